"""A group's coordinator, asked by hand: nothing hangs here when brokers come and go."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.api import RequestHeader
from kafka.protocol.commit import GroupCoordinatorRequest, OffsetFetchRequest

__all__ = ["Group", "GroupUnknown"]

_ANSWER_SECONDS = 3.0


class GroupUnknown(Exception):
    """No broker could tell."""


class Group:
    """What the broker knows of one consumer group.

    :param brokers: addresses; one of those that run is asked for the coordinator.
    """

    def __init__(self, brokers: Sequence[str], group_id: str) -> None:
        self.group_id = group_id
        self._brokers = list(brokers)

    def committed(self) -> dict[tuple[str, int], int]:
        """The committed offset of each partition that has one.

        :raises GroupUnknown: if no broker answers.
        """
        answer = self._ask_coordinator(OffsetFetchRequest[2](self.group_id, None))
        _refuse(answer.error_code)
        found = {}
        for topic, partitions in answer.topics:
            for partition, offset, _metadata, error_code in partitions:
                _refuse(error_code)
                found[topic, partition] = offset
        return found

    def members(self) -> set[str]:
        """The ids of the members; one that falls out comes back with another id.

        :raises GroupUnknown: if no broker answers.
        """
        answer = self._ask_coordinator(DescribeGroupsRequest[1]([self.group_id]))
        ((error_code, _group, _state, _type, _protocol, members),) = answer.groups
        _refuse(error_code)
        return {member[0] for member in members}

    def coordinator(self) -> str:
        """The address of the broker that coordinates the group.

        :raises GroupUnknown: if no broker answers.
        """
        failure: Exception = GroupUnknown("there are no brokers")
        for address in self._brokers:
            try:
                found = ask(address, GroupCoordinatorRequest[0](self.group_id))
                _refuse(found.error_code)
            except (OSError, GroupUnknown) as error:
                failure = error
            else:
                return f"{found.host}:{found.port}"
        raise GroupUnknown(f"no broker knows who coordinates {self.group_id}") from failure

    def _ask_coordinator(self, request: Any) -> Any:
        try:
            return ask(self.coordinator(), request)
        except OSError as error:
            raise GroupUnknown(f"the coordinator of {self.group_id} does not answer") from error


def ask(address: str, request: Any) -> Any:
    """Send *request* to the broker at *address* and return its response.

    :raises OSError: if it does not answer.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), _ANSWER_SECONDS) as connection:
        header = RequestHeader(request, correlation_id=1, client_id="tests")
        message = header.encode() + request.encode()
        connection.sendall(struct.pack(">i", len(message)) + message)
        (size,) = struct.unpack(">i", _receive(connection, 4))
        answer = BytesIO(_receive(connection, size))
    answer.read(4)  # the correlation id
    return request.RESPONSE_TYPE.decode(answer)


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("the broker hung up")
        received += part
    return received


def _refuse(error_code: int) -> None:
    if error_code:
        raise GroupUnknown(f"error {error_code}")
