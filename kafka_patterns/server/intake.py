"""What was read, on its way into the lanes: the fetcher's sink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka_patterns.consuming.counters import Counters
from kafka_patterns.failures.replay_message import is_for_another_group
from kafka_patterns.message import Record, TopicPartition
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.marks import Ordering
from kafka_patterns.server.routes import Route, Routes
from kafka_patterns.server.work import WorkItem
from kafka_patterns.transport.base import Room

__all__ = ["Intake", "lane_key"]


class Intake:
    """Takes what the books have room for. Called in the fetcher's thread; never blocks.

    :param ordering: ``run.ordering``, for handlers that do not choose.
    :param skip: finishes an item that is for nobody here.
    :param reopen: begins a new epoch of a partition at an offset, and returns it.
    :param doubt: told of a partition that nobody knew for a while.
    """

    def __init__(
        self,
        routes: Routes,
        ledger: Ledger,
        lanes: Lanes[WorkItem],
        counters: Counters,
        *,
        group_id: str,
        ordering: Ordering | None,
        skip: Callable[[WorkItem], object],
        reopen: Callable[[AssignedPartition, int], AssignedPartition],
        doubt: Callable[[AssignedPartition], object],
    ) -> None:
        self._routes = routes
        self._ledger = ledger
        self._lanes = lanes
        self._counters = counters
        self._group_id = group_id
        self._ordering = ordering
        self._skip_item = skip
        self._reopen = reopen
        self._doubt = doubt

    def room(self, partition: TopicPartition, token: AssignedPartition) -> Room:
        """What the books have room for."""
        room = self._ledger.room(token)
        if not room.records:
            self._lanes.wait_for_no_more(token)
        return room

    def deliver(
        self, partition: TopicPartition, token: AssignedPartition, records: list[Record]
    ) -> None:
        """Put records into their lanes."""
        route = self._routes.get(partition.topic)
        if route is None:
            return
        new = self._ledger.accept(token, records)
        self._counters.add("received", len(new))
        others = [r for r in new if r.headers and is_for_another_group(r, self._group_id)]
        if others:
            self._skip(token, route, others)
            new = [r for r in new if not is_for_another_group(r, self._group_id)]
        ordering = route.ordering(self._ordering)
        others_pass = ordering != "partition"
        if ordering == "key" and new and new[-1].unreadable and new[-1].unreadable.is_raw:
            self._ledger.bar(token, new[-1])  # its key may be that of any behind it
        items = [WorkItem(record, token, route, others_pass) for record in new]
        if token.care is not None and token.care.ends:
            for item in items:  # they go on counting where a process that died left off
                item.attempt = item.lost_tries = token.care.ends.get(item.record.offset, 0)
        self._lanes.put([(lane_key(token, item.record, ordering), item) for item in items])

    def _skip(self, token: AssignedPartition, route: Route, others: list[Record]) -> None:
        """Finish what was replayed for other groups."""
        self._counters.add("replays_of_others", len(others))
        for record in others:
            self._skip_item(WorkItem(record, token, route))

    def passed(self, partition: TopicPartition, token: AssignedPartition, offset: int) -> None:
        """Tell the books of a hole."""
        self._ledger.passed(token, offset)

    def restarted(
        self, partition: TopicPartition, token: AssignedPartition, offset: int
    ) -> AssignedPartition:
        """Begin a new epoch: an offset finished before says nothing about the new record."""
        return self._reopen(token, offset)

    def reappeared(self, partition: TopicPartition, token: AssignedPartition) -> None:
        """Deliver nothing of it until the group's offset says whether it is the same log."""
        self._doubt(token)


def lane_key(token: AssignedPartition, record: Record, ordering: str) -> Any:
    """The lane of a record; ``None`` for a lane of its own. The epoch is part of it."""
    if ordering == "partition":
        return token
    if ordering == "key" and record.key is not None:
        return (token, record.key)
    return None
