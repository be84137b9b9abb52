"""Stands before one mock broker: its address, and the order of some of its requests."""

from __future__ import annotations

import asyncio
import struct

from kafka_patterns.errors import ConfigurationError
from kafka_patterns.testing.patience import shorten_waits
from kafka_patterns.testing.sync_order import SyncOrder, parse_sync_request

__all__ = ["HOST", "Gateway"]

HOST = "127.0.0.1"

_CHUNK_SIZE = 65536
_LENGTH_SIZE = 4


class Gateway:
    """Listens where clients connect and passes everything on to the broker behind it.

    :param broker_port: of the mock broker, on the loopback address.
    :param port: where to listen; 0 for a free one, which is then kept.
    :param sync_order: shared by the gateways of one cluster.
    """

    def __init__(self, *, broker_port: int, port: int, sync_order: SyncOrder) -> None:
        self.port = port
        self._broker_port = broker_port
        self._sync_order = sync_order
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Accept connections. Does nothing if it does already.

        :raises ConfigurationError: if the port is taken.
        """
        if self._server is not None:
            return
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)
        except OSError as error:
            raise ConfigurationError(
                f"the embedded broker cannot listen on {HOST}:{self.port} ({error.strerror}); "
                "choose another port, or 0 for a free one"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Refuse new connections and cut those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for client in self._clients:
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        if self._server is None:
            client.transport.abort()  # it was let in just before the doors closed
            return
        self._clients.add(client)
        try:
            answers, broker = await asyncio.open_connection(HOST, self._broker_port)
        except OSError:
            self._clients.discard(client)
            client.close()
            return
        directions = [
            asyncio.create_task(self._pass_requests(reader, broker)),
            asyncio.create_task(_pass_answers(answers, client)),
        ]
        try:
            _done, unfinished = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            for direction in unfinished:
                direction.cancel()
            await asyncio.wait(directions)
        except asyncio.CancelledError:
            # The gateway ends. Python 3.11 reports a cancelled handler of a connection as an
            # error, so this one returns.
            pass
        finally:
            self._clients.discard(client)
            for writer in (broker, client):
                writer.close()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                length = await reader.readexactly(_LENGTH_SIZE)
                frame = await reader.readexactly(*struct.unpack(">i", length))
                sync_request = parse_sync_request(frame)
                if sync_request:
                    await self._sync_order.wait_for_turn(sync_request)
                broker.write(length + shorten_waits(frame))  # its length stays
                await broker.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        except (ValueError, struct.error):
            # Not Kafka's protocol; a broker hangs up as well.
            return


async def _pass_answers(answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    try:
        while chunk := await answers.read(_CHUNK_SIZE):
            client.write(chunk)
            await client.drain()
    except OSError:
        return
