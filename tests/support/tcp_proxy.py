"""A TCP proxy before one broker that does to its connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import attrs
from typing_extensions import Self

__all__ = ["HEARTBEAT", "JOIN_GROUP", "Faults", "ProxiedConnection", "TcpProxy"]

JOIN_GROUP = 11
HEARTBEAT = 12

_HOST = "127.0.0.1"
_CHUNK_BYTES = 65536
_CONTROL_SECONDS = 10.0
_FRAME = struct.Struct(">ih")  # the size of a request, and the key of what it asks

T = TypeVar("T")


@attrs.define
class Faults:
    """What is done to the bytes of a connection from now on.

    :param delay_seconds: each chunk waits so long.
    :param piece_bytes: forward in pieces of so many bytes; 0 for as they come.
    :param piece_seconds: between two pieces.
    :param stall_to_broker: hold what the client sends until this ends; nothing is lost.
    :param stall_to_client: hold what the broker sends.
    """

    delay_seconds: float = 0.0
    piece_bytes: int = 0
    piece_seconds: float = 0.0
    stall_to_broker: bool = False
    stall_to_client: bool = False


@attrs.define(eq=False)
class ProxiedConnection:
    """One connection through the proxy.

    :param api_keys: of the requests that the client has sent on it.
    :param dropped: a middlebox forgot it: what either side sends vanishes, and nobody is told.
    """

    _writers: tuple[asyncio.StreamWriter, ...]
    api_keys: set[int] = attrs.field(factory=set)
    dropped: bool = False
    _header: bytes = b""
    _rest_of_frame: int = 0

    def drop_silently(self) -> None:
        """From any thread: forget this connection, for good."""
        self.dropped = True

    def note_requests(self, data: bytes) -> None:
        """Learn from the client's bytes what it asks."""
        while data:
            if self._rest_of_frame:
                passed = min(self._rest_of_frame, len(data))
                self._rest_of_frame -= passed
                data = data[passed:]
                continue
            wanted = _FRAME.size - len(self._header)
            self._header, data = self._header + data[:wanted], data[wanted:]
            if len(self._header) == _FRAME.size:
                size, api_key = _FRAME.unpack(self._header)
                self.api_keys.add(api_key)
                self._rest_of_frame = max(0, size - 2)
                self._header = b""

    def abort(self) -> None:
        """In the proxy's thread: reset both sides."""
        for writer in self._writers:
            writer.transport.abort()


class TcpProxy:
    """Passes connections on to a port on the loopback address; its faults change at any time.

    A context manager. All methods are for any thread.

    :param target_port: of the broker.
    :param port: where to listen; 0 for a free one.
    :param source: the address that the broker sees, by which it can tell clients of the proxy.
    """

    def __init__(self, target_port: int, *, port: int = 0, source: str = _HOST) -> None:
        self.port = port
        self._source = source
        self.faults = Faults()
        self._target_port = target_port
        self._drops_new = False
        self._connections: set[ProxiedConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CONTROL_SECONDS)
        self._loop.close()

    @property
    def address(self) -> str:
        """For ``client.brokers`` and ``advertised.listeners``."""
        return f"{_HOST}:{self.port}"

    @property
    def connections(self) -> list[ProxiedConnection]:
        """Those that are open."""
        return list(self._connections)

    def set_faults(self, faults: Faults) -> None:
        """Do this to all connections from now on, also to what is held."""

        def change() -> None:
            self.faults = faults
            self._changed.set()

        self._loop.call_soon_threadsafe(change)

    def drop_silently(self, which: Callable[[ProxiedConnection], bool] | None = None) -> None:
        """Forget connections without telling anybody, as a NAT that lost its table.

        :param which: of the open ones; if not given, all, and those that come until :meth:`heal`.
        """
        self._drops_new = which is None
        for connection in self.connections:
            if which is None or which(connection):
                connection.drop_silently()

    def refuse(self) -> None:
        """Reset all connections, and refuse new ones until :meth:`heal`."""
        self._call(self._refuse())

    def reset(self) -> None:
        """Reset all connections; new ones are fine."""
        self._call(self._reset())

    def heal(self) -> None:
        """No faults any more; connections that were dropped silently stay dead."""
        self._drops_new = False
        self.set_faults(Faults())
        self._call(self._listen())

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(_CONTROL_SECONDS)

    # Everything below runs in the proxy's thread.

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, _HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self._reset()

    async def _reset(self) -> None:
        for connection in self.connections:
            connection.abort()

    async def _end(self) -> None:
        await self._refuse()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection(
                _HOST, self._target_port, local_addr=(self._source, 0)
            )
        except OSError:
            to_client.transport.abort()
            return
        connection = ProxiedConnection((to_client, to_broker), dropped=self._drops_new)
        self._connections.add(connection)
        try:
            pipes = (
                self._pipe(connection, from_client, to_broker, to_the_broker=True),
                self._pipe(connection, from_broker, to_client, to_the_broker=False),
            )
            tasks = [asyncio.ensure_future(pipe) for pipe in pipes]
            # One side that ends ends the other: there are no half-open connections here.
            # The proxy's own end cancels all three, of which asyncio's streams would complain.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        finally:
            connection.abort()
            self._connections.discard(connection)

    async def _pipe(
        self,
        connection: ProxiedConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        to_the_broker: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if to_the_broker:
                    connection.note_requests(data)
                if self.faults.delay_seconds:
                    await asyncio.sleep(self.faults.delay_seconds)
                while self._stalls(to_the_broker=to_the_broker):
                    self._changed.clear()
                    await self._changed.wait()
                if not connection.dropped:
                    await self._forward(data, writer)
            if connection.dropped:
                # Nobody is told of the end either: the other side waits for ever.
                await asyncio.Event().wait()

    def _stalls(self, *, to_the_broker: bool) -> bool:
        return self.faults.stall_to_broker if to_the_broker else self.faults.stall_to_client

    async def _forward(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        while data:
            size = self.faults.piece_bytes or len(data)
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            if data and self.faults.piece_seconds:
                await asyncio.sleep(self.faults.piece_seconds)
