"""Apache Kafka's jars, downloaded once with Maven and kept in a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.processes import REPOSITORY

__all__ = ["KAFKA_VERSIONS", "kafka_libraries", "require_program"]

KAFKA_VERSIONS = ("3.9.1", "4.1.0")
"""The versions that ``make test-kafka`` runs against."""

_CACHE_VARIABLE = "KAFKA_PATTERNS_CACHE"
_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_DOWNLOAD_TIMEOUT = 600.0
_SCALA = "2.13"

_PROJECT = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafka-patterns</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>{dependencies}
  </dependencies>
</project>
"""

_DEPENDENCY = """
    <dependency>
      <groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
    </dependency>"""


def kafka_libraries(version: str) -> Path:
    """Return the folder with the jars of Apache Kafka *version*, downloaded if absent.

    :raises RuntimeError: if Java or Maven is missing, or the download fails.
    """
    require_program("java", "a Java 17 runtime, for example the package openjdk-17-jre-headless")
    folder = _cache() / "kafka" / version
    libraries = folder / "libs"
    if not libraries.is_dir():
        require_program("mvn", "Maven, for example the package maven")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary:
            _move_into_place(_download(version, Path(temporary)), libraries)
    return libraries


def require_program(program: str, what_to_install: str) -> str:
    """Return the path of *program*.

    :raises RuntimeError: if it is missing; the message says what to install.
    """
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(
            f"tests against Apache Kafka need the program {program!r}, which is not on the "
            f"PATH: install {what_to_install}"
        )
    return path


def _cache() -> Path:
    return Path(os.environ.get(_CACHE_VARIABLE) or REPOSITORY / ".cache")


def _download(version: str, folder: Path) -> Path:
    """Let Maven copy Kafka and all it depends on into a folder below *folder*."""
    project = folder / "pom.xml"
    project.write_text(_project(version), encoding="utf-8")
    libraries = folder / "libs"
    command = ["mvn", "--batch-mode", "--quiet", f"--file={project}", _COPY_DEPENDENCIES]
    command += [f"-DoutputDirectory={libraries}", "-DincludeScope=runtime"]
    # Kafka 3 brings a binding of SLF4J to another logger; two bindings are one too many.
    command += ["-DexcludeArtifactIds=slf4j-reload4j"]
    finished = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_TIMEOUT,
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(
            f"Maven could not download Apache Kafka {version} "
            f"(exit code {finished.returncode}):\n{finished.stdout}{finished.stderr}"
        )
    return libraries


def _project(version: str) -> str:
    dependencies = [
        ("org.apache.kafka", f"kafka_{_SCALA}", version),
        # The storage formatter of Kafka 4 is here; 3.9 has it in the core as well.
        ("org.apache.kafka", "kafka-tools", version),
        # Without a binding of SLF4J 1.7 the server's log would go nowhere.
        ("org.slf4j", "slf4j-simple", "1.7.36"),
    ]
    return _PROJECT.format(
        dependencies="".join(
            _DEPENDENCY.format(group=group, artifact=artifact, version=number)
            for group, artifact, number in dependencies
        )
    )


def _move_into_place(downloaded: Path, libraries: Path) -> None:
    try:
        downloaded.rename(libraries)
    except OSError:
        # Another test run was faster; its folder is as good.
        if not libraries.is_dir():
            raise
