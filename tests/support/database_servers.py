"""Servers of PostgreSQL and MariaDB for tests: each in a temporary folder, on a free port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from tests.support.kafka_node import free_port
from tests.support.processes import EndedEarlyError, ManagedProcess
from tests.support.waiting import eventually

__all__ = ["DatabaseServer", "MariaDbServer", "PostgresServer", "database_server"]

_HOST = "127.0.0.1"
_SETUP_TIMEOUT = 120.0
_START_TIMEOUT = 60.0
_DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


class DatabaseServer:
    """A server with one empty database, for as long as the context lasts.

    Both programs refuse to serve as root; a root starts them as the user that their package made.

    :param folder: an own one.
    """

    name: str
    user: str

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self._process: ManagedProcess | None = None
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(folder, account.pw_uid, account.pw_gid)

    def prepare(self) -> None:
        """Make the files of the server."""
        raise NotImplementedError

    def command(self) -> Sequence[str | Path]:
        """What runs the server in the foreground."""
        raise NotImplementedError

    def connect(self, **options: Any) -> Any:
        """A connection of the driver, not in autocommit mode."""
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self) -> Iterator[DatabaseServer]:
        """Start it, and stop it by its own process id."""
        self.prepare()
        with ManagedProcess(
            [*self._as_user(), *self.command()], name=self.name, directory=self.folder
        ) as process:
            self._process = process
            eventually(
                self._answers,
                _START_TIMEOUT,
                describe=lambda: f"an answer of {self.name}:\n{process.report()}",
            )
            yield self
            os.kill(process.pid, signal.SIGINT if self.name == "postgresql" else signal.SIGTERM)
            process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        if not self._process.is_running:
            raise EndedEarlyError(self._process.report())
        try:
            self.connect().close()
        except (psycopg.OperationalError, pymysql.OperationalError):
            return False
        return True

    def run(self, *command: str | Path) -> None:
        """Run a program that ends."""
        finished = subprocess.run(
            [str(part) for part in (*self._as_user(), *command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SETUP_TIMEOUT,
            cwd=self.folder,
            check=False,
        )
        assert finished.returncode == 0, f"{command}:\n{finished.stdout}{finished.stderr}"

    def _as_user(self) -> Sequence[str]:
        if os.geteuid() != 0:
            return ()
        return ("setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--")


class PostgresServer(DatabaseServer):
    """PostgreSQL 15 or later, with the driver psycopg."""

    name = "postgresql"
    user = "postgres"

    def prepare(self) -> None:
        initdb = _program("initdb", "postgresql", postgres_folders())
        self.run(
            *(initdb, "--pgdata", self.folder / "data", "--username", "hero"),
            *("--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"),
        )

    def command(self) -> Sequence[str | Path]:
        settings = [
            *(f"port={self.port}", f"listen_addresses={_HOST}", "fsync=off"),
            f"unix_socket_directories={self.folder}",
        ]
        postgres = _program("postgres", "postgresql", postgres_folders())
        return [postgres, "-D", self.folder / "data", *(f"--{line}" for line in settings)]

    def connect(self, **options: Any) -> Any:
        return psycopg.connect(
            host=_HOST, port=self.port, user="hero", dbname="postgres", connect_timeout=5, **options
        )


class MariaDbServer(DatabaseServer):
    """MariaDB 10.6 or later, with the driver PyMySQL."""

    name = "mariadb"
    user = "mysql"

    def prepare(self) -> None:
        self.run(
            *(_program("mariadb-install-db", "mariadb-server"), "--no-defaults"),
            *(f"--datadir={self.folder / 'data'}", "--auth-root-authentication-method=normal"),
            "--skip-test-db",
        )

    def command(self) -> Sequence[str | Path]:
        return [
            *(_program("mariadbd", "mariadb-server", ("/usr/sbin",)), "--no-defaults"),
            *(f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 'socket'}"),
            *(f"--port={self.port}", f"--bind-address={_HOST}", f"--tmpdir={self.folder}"),
            *("--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"),
        ]

    def connect(self, **options: Any) -> Any:
        return pymysql.connect(
            host=_HOST, port=self.port, user="root", connect_timeout=5, charset="utf8mb4", **options
        )


def postgres_folders() -> Sequence[str]:
    """Where Debian puts the programs of PostgreSQL, the newest version first."""
    versions = _DEBIAN_POSTGRES.glob("*/bin")
    return [str(path) for path in sorted(versions, key=lambda path: -int(path.parent.name))]


def _program(name: str, package: str, folders: Sequence[str] = ()) -> str:
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    assert found, (
        f"the program {name!r} is missing: install a server, for example Debian's package "
        f"{package} with: apt-get install --no-install-recommends {package}"
    )
    return found


@contextlib.contextmanager
def database_server(kind: type[DatabaseServer]) -> Iterator[DatabaseServer]:
    """A running server in a temporary folder, both gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="kafka-patterns-") as folder,
        kind(Path(folder)).running() as server,
    ):
        yield server
