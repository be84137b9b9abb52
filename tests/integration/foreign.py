"""A group member of another implementation: kafka-python's consumer, led by a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from kafka.errors import KafkaError
from typing_extensions import Self

from kafka_patterns.transport.base import Interrupted
from kafka_patterns.transport.kafka_python.network import InterruptibleClient

__all__ = ["Claims", "ForeignMember", "Plan"]

Claims = Mapping[str, ConsumerProtocolMemberMetadata]
"""What each member said when it joined, by member id."""
Plan = Callable[[Claims], Mapping[str, Mapping[str, Sequence[int]]]]
"""What a leader gives to each member: member id to topic to partitions."""

_VERSION = 1
_POLL_MS = 50
_END_SECONDS = 2.0


class _Assignor(AbstractPartitionAssignor):  # type: ignore[misc]  # the base has no types
    def __init__(self, name: str, user_data: bytes, plan: Plan) -> None:
        self._name = name
        self._user_data = user_data
        self.plan = plan
        self.claims: list[Claims] = []
        self.given: list[ConsumerProtocolMemberAssignment] = []

    @property
    def name(self) -> str:
        return self._name

    def metadata(self, topics: Sequence[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(_VERSION, sorted(topics), self._user_data)

    def assign(self, cluster: Any, members: Claims) -> dict[str, Any]:
        planned = self.plan(members)
        # Kept last: whoever waits for the claims may rely on the plan having been asked.
        self.claims.append(dict(members))
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, [(t, list(p)) for t, p in planned.get(member, {}).items()], b""
            )
            for member in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        self.given.append(assignment)


class ForeignMember:
    """Joins a group and stays in it, in a thread of its own.

    :param protocol: the name of its assignment protocol.
    :param plan: what it gives to whom when it leads; nothing to anybody, if not given.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        group_id: str,
        topics: Sequence[str],
        *,
        protocol: str,
        tuning: Mapping[str, int],
        user_data: bytes = b"",
        plan: Plan | None = None,
    ) -> None:
        self._assignor = _Assignor(protocol, user_data, plan or (lambda claims: {}))
        self._consumer = KafkaConsumer(
            bootstrap_servers=list(brokers),
            api_version=(2, 4, 0),
            group_id=group_id,
            enable_auto_commit=False,
            retry_backoff_ms=20,
            partition_assignment_strategy=[self._assignor],
            kafka_client=InterruptibleClient,
            **tuning,
        )
        self._consumer.subscribe(list(topics))
        self._rejoin_wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="foreign-member", daemon=True)

    @property
    def claims(self) -> list[Claims]:
        """What the members said, at each join that this one led."""
        return self._assignor.claims

    @property
    def given(self) -> list[ConsumerProtocolMemberAssignment]:
        """What this one was given, at each join."""
        return self._assignor.given

    def lead_by(self, plan: Plan) -> None:
        """Give by *plan* from now on, and let the group join again."""
        self._assignor.plan = plan
        self._rejoin_wanted.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_END_SECONDS)
        # A poll of the base may never end by itself.
        self._consumer._client.interrupt()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(Interrupted), contextlib.closing(self._consumer):
            while not self._stopped.is_set():
                if self._rejoin_wanted.is_set():
                    self._rejoin_wanted.clear()
                    self._consumer._coordinator.request_rejoin()
                with contextlib.suppress(KafkaError, AssertionError):
                    self._consumer.poll(_POLL_MS)
