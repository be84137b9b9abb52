"""Nothing is lost and nothing overtakes, whatever finishes, fails, moves and dies in which order.

A simulation: the parts of a server that decide, with a fake log, group and clock. Rebalances keep
and take partitions, follow each other at once, are announced and called off; generations are
missed, members come back under another name, servers are killed, commits are answered late,
partitions are sought, and their topics made anew.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from threading import Event
from typing import Any

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_patterns.consuming.offset_map import Run, decode_runs
from kafka_patterns.consuming.timers import Timer, Timers
from kafka_patterns.errors import CommitFailed
from kafka_patterns.message import OffsetAndMetadata, Record, TopicPartition
from kafka_patterns.server.assignments import Assignments
from kafka_patterns.server.commits import Committer
from kafka_patterns.server.group import GroupDecisions
from kafka_patterns.server.intake import lane_key
from kafka_patterns.server.lanes import Lanes
from kafka_patterns.server.ledger import AssignedPartition, Ledger
from kafka_patterns.server.offsets import OffsetTracker
from kafka_patterns.server.work import WorkItem
from kafka_patterns.transport.group import Assignment

PARTITIONS = [TopicPartition("hero", number) for number in range(3)]
MAX_IN_FLIGHT = 9
SUBSETS = st.sets(st.sampled_from(PARTITIONS))
FAILS = st.sampled_from([True, False, False])
NO_ROUTE: Any = None

Done = Callable[[Exception | None], None]


class ManualTimers(Timers):
    """Timers whose time comes when the test says so."""

    def __init__(self) -> None:
        super().__init__("manual-timers")
        self.functions: list[Callable[[], object]] = []

    def at(self, due: float, function: Callable[[], object]) -> Timer:
        self.functions.append(function)
        return Timer(function, lambda _: None)


def is_in(offset: int, runs: Collection[Run]) -> bool:
    return any(first <= offset < end for first, end in runs)


class World:
    """The log and the group's offsets, as the broker has them; and what was handled at all."""

    def __init__(self) -> None:
        self.log: dict[TopicPartition, list[Record]] = {tp: [] for tp in PARTITIONS}
        self.committed: dict[TopicPartition, OffsetAndMetadata] = {}
        self.handled: set[tuple[TopicPartition, int]] = set()
        self.arrived: set[tuple[TopicPartition, int]] = set()
        self.sought: set[tuple[TopicPartition, int]] = set()

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        for partition, (offset, _) in offsets.items():
            before = self.committed.get(partition)
            goes_back = before is not None and offset < before.offset
            assert not goes_back or (partition, offset) in self.sought
            self.arrived.add((partition, offset))
        self.committed.update(offsets)

    def note_handled(self, record: Record) -> None:
        """Unless its topic was made anew meanwhile."""
        if any(record is one for one in self.log[record.topic_partition]):
            self.handled.add((record.topic_partition, record.offset))

    def skip_to(self, partition: TopicPartition, offset: int) -> None:
        """Whoever seeks ahead wants nothing of what is before."""
        self.sought.add((partition, offset))
        before = (record.offset for record in self.log[partition] if record.offset < offset)
        self.handled.update((partition, one) for one in before)

    def make_anew(self, partition: TopicPartition) -> None:
        self.log[partition].clear()
        self.committed.pop(partition, None)
        for kept in (self.handled, self.arrived, self.sought):
            kept -= {entry for entry in kept if entry[0] == partition}

    def end(self, partition: TopicPartition) -> int:
        log = self.log[partition]
        return log[-1].offset + 1 if log else 0


@attrs.define
class Sent:
    """A commit on its way; ``error`` is what the group made of it, once it arrived."""

    generation: int | None
    offsets: Mapping[TopicPartition, OffsetAndMetadata]
    done: Done
    arrived: bool = False
    error: CommitFailed | None = None


@attrs.define
class Member:
    """This server in the group; ``generation`` is ``None`` when the group went on without it."""

    world: World
    generation: int | None = 0
    name: str = "member-0"
    membership_lost: bool = False
    rejoin_needed: bool = False
    under_way: list[Sent] = attrs.field(factory=list)

    def committed(
        self, partitions: Collection[TopicPartition], timeout: float
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        return {partition: self.world.committed.get(partition) for partition in partitions}

    def commit_now(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout: float
    ) -> None:
        for sent in self.under_way:  # the connection keeps their order
            self.arrive(sent)
        if self.generation is None:
            raise CommitFailed("another generation")
        self.world.commit(offsets)

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], done: Done) -> None:
        self.under_way.append(Sent(self.generation, offsets, done))

    def arrive(self, sent: Sent) -> None:
        """What was sent under a generation that is over is refused."""
        if sent.arrived:
            return
        sent.arrived = True
        if sent.generation is None or sent.generation != self.generation:
            sent.error = CommitFailed("another generation")
        else:
            self.world.commit(sent.offsets)

    def answer(self) -> None:
        sent = self.under_way.pop(0)
        self.arrive(sent)
        sent.done(sent.error)


@attrs.define
class Reading:
    """In the place of the fetcher: what is read, from where."""

    reopen: Callable[[AssignedPartition, int], AssignedPartition]
    positions: dict[TopicPartition, tuple[AssignedPartition, int]] = attrs.field(factory=dict)

    def assign(self, partition: TopicPartition, offset: int, token: AssignedPartition) -> None:
        self.positions[partition] = (token, offset)

    def unassign(self, partition: TopicPartition) -> None:
        self.positions.pop(partition, None)

    def seek(self, partition: TopicPartition, offset: int, token: AssignedPartition) -> None:
        if self.positions[partition][0] is token:
            self.positions[partition] = (self.reopen(token, offset), offset)


class FirstOffsets:
    """In the place of the admin."""

    def offsets(
        self, timestamps: Mapping[TopicPartition, int], timeout: float
    ) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(timestamps, 0)


class Nothing:
    """In the place of what plays no part: discovery and watch."""

    def look_again(self, member: Any) -> None: ...

    def warn(self) -> None: ...


class Server:
    """The deciding parts of one process, and a check of the order in which items run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.timers = ManualTimers()
        self.ledger = Ledger(MAX_IN_FLIGHT, 10**9)
        self.lanes: Lanes[WorkItem] = Lanes(self.timers)
        self.committer = Committer(self.ledger, interval=0.0, group="heroes", wake=lambda: None)
        self.reading = Reading(self.reopen)
        self.begun: dict[AssignedPartition, int] = {}
        self.member: Any = Member(world)
        admin: Any = FirstOffsets()
        fetcher: Any = self.reading
        nothing: Any = Nothing()
        assignments = Assignments(self.ledger, admin, fetcher, from_beginning=True)
        self.decisions = GroupDecisions(
            self.ledger,
            self.lanes,
            self.committer,
            assignments,
            nothing,
            fetcher,
            group_id="heroes",
            rebalance_timeout=0.0,
            stopping=Event(),
            set_status=lambda _: None,
            flush=lambda _: True,
            freed=self.free,
            watch=nothing,
            fatal=lambda _: None,
        )
        self.owned: Collection[TopicPartition] = ()
        self.running: list[WorkItem] = []
        self.finished: dict[AssignedPartition, set[int]] = defaultdict(set)
        self.finished_before: dict[AssignedPartition, list[Run]] = {}
        self._mark = AssignedPartition(
            TopicPartition("mark", 0), OffsetTracker(0), OffsetAndMetadata(0)
        )

    def free(self, item: WorkItem) -> None:
        self.ledger.release(item.assigned, item.record, finished=False)

    def reopen(self, assigned: AssignedPartition, offset: int) -> AssignedPartition:
        return self.decisions.reopen(assigned, offset)

    def fetch(self, partition: TopicPartition) -> None:
        token, position = self.reading.positions[partition]
        room = self.ledger.room(token)
        found = [r for r in self.world.log[partition] if r.offset >= position][: room.records]
        if found:
            assert token.committed is not None
            self.finished_before.setdefault(token, decode_runs(*token.committed))
            self.begun.setdefault(token, token.committed.offset)
            new = self.ledger.accept(token, found)
            finished_before = self.finished_before[token]
            assert (
                not [
                    r for r in new if any(first <= r.offset < end for first, end in finished_before)
                ]
                or token.tracker.position > token.committed.offset
            )
            self.lanes.put((lane_key(token, r, "key"), WorkItem(r, token, NO_ROUTE)) for r in new)
            self.reading.positions[partition] = (token, found[-1].offset + 1)

    def take(self) -> WorkItem | None:
        """As a worker does; ``None`` if nothing may run now."""
        mark = WorkItem(Record("mark", 0, 0, 0, None, None, []), self._mark, NO_ROUTE)
        self.lanes.put([(None, mark)])
        while True:
            item = self.lanes.take()
            assert item is not None
            if item.assigned is self._mark or item.assigned.lost:
                self.lanes.done(item)
                if item is mark:
                    return None
                if item.assigned.lost:
                    self.free(item)
                continue
            assert item.assigned is self.reading.positions[item.assigned.partition][0]
            assert self.member.generation is None or item.assigned.partition in self.owned
            begun = (item.assigned.partition, self.begun[item.assigned])
            # What a log that was made anew left in the lanes runs until that is found out.
            is_known = item.assigned.doubted or begun in self.world.arrived
            assert is_known, "where its epoch begins is not committed"
            self._check_order(item)
            self.running.append(item)
            return item

    def _check_order(self, item: WorkItem) -> None:
        lane = lane_key(item.assigned, item.record, "key")
        finished = self.finished[item.assigned]
        assert item.record.offset not in finished, "it ran before in this epoch"
        if item.record.key is None:
            return
        assert lane not in [lane_key(r.assigned, r.record, "key") for r in self.running]
        later = [
            r.offset
            for r in self.world.log[item.assigned.partition]
            if r.key == item.record.key and r.offset > item.record.offset
        ]
        assert not finished.intersection(later), "a later one of its key ran before"

    def finish(self, item: WorkItem) -> None:
        self.running.remove(item)
        self.finished[item.assigned].add(item.record.offset)
        self.world.note_handled(item.record)
        self.ledger.release(item.assigned, item.record, finished=True)
        self.lanes.done(item)

    def work_through(self) -> bool:
        """Read, start and finish what can be; ``False`` if there was nothing."""
        self.decisions.on_tick(self.member)
        while self.member.under_way:
            self.member.answer()
        for partition in PARTITIONS:
            self.fetch(partition)
        while self.timers.functions:
            self.timers.functions.pop()()
        while self.take() is not None:
            pass
        started = list(self.running)
        for item in started:
            self.finish(item)
        return bool(started)

    def fail(self, item: WorkItem) -> None:
        self.running.remove(item)
        self.lanes.hold(item, 1.0)


class ConsumingMachine(RuleBasedStateMachine):
    @initialize(partitions=SUBSETS)
    def start(self, partitions: set[TopicPartition]) -> None:
        self.world = World()
        self.generations = itertools.count(1)
        self.names = itertools.count(1)
        self.rebalancing = False
        self.begin(partitions)

    def begin(self, partitions: Collection[TopicPartition]) -> None:
        self.server = Server(self.world)
        self.server.member.membership_lost = True
        self.settle(partitions)

    def settle(self, partitions: Collection[TopicPartition]) -> None:
        self.join(partitions)
        self.rebalancing = False
        self.server.decisions.on_tick(self.server.member)
        assert set(self.server.ledger.partitions) == set(partitions)

    def join(self, partitions: Collection[TopicPartition]) -> None:
        member = self.server.member
        member.generation = next(self.generations)
        if member.membership_lost:
            member.name = f"member-{next(self.names)}"
            member.membership_lost = False
        given = Assignment(frozenset(partitions), member.generation, member.name)
        self.server.owned = given.partitions
        self.server.decisions.on_assigned(member, given)

    # The log

    @rule(
        partition=st.sampled_from(PARTITIONS),
        gap=st.integers(0, 3),
        keys=st.lists(st.sampled_from([b"a", b"b", None]), min_size=1, max_size=5),
    )
    def produce(self, partition: TopicPartition, gap: int, keys: list[bytes | None]) -> None:
        for key in keys:
            offset = self.world.end(partition) + gap
            self.world.log[partition].append(Record(*partition, offset, 0, key, b"x", []))

    # The server

    @rule(data=st.data(), rounds=st.integers(1, 4))
    def work(self, data: st.DataObject, rounds: int) -> None:
        server = self.server
        for _ in range(rounds):
            for partition in data.draw(st.permutations(sorted(server.reading.positions))):
                server.fetch(partition)
            for _ in range(0 if self.rebalancing else data.draw(st.integers(0, 6))):
                server.take()
            for _ in range(data.draw(st.integers(0, len(server.running)))):
                item = data.draw(st.sampled_from(server.running))
                (server.fail if data.draw(FAILS) else server.finish)(item)
            if not self.rebalancing:
                server.decisions.on_tick(server.member)
            if server.member.under_way and data.draw(st.booleans()):
                server.member.answer()

    @precondition(lambda self: self.server.timers.functions)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        functions = self.server.timers.functions
        functions.pop(data.draw(st.integers(0, len(functions) - 1)))()

    @precondition(lambda self: self.server.reading.positions)
    @rule(data=st.data())
    def seek(self, data: st.DataObject) -> None:
        reading = self.server.reading
        partition = data.draw(st.sampled_from(sorted(reading.positions)))
        offset = data.draw(st.integers(0, self.world.end(partition)))
        self.world.skip_to(partition, offset)
        reading.seek(partition, offset, reading.positions[partition][0])

    @precondition(lambda self: not self.rebalancing and self.server.member.generation is not None)
    @rule(partition=st.sampled_from(PARTITIONS))
    def make_topic_anew(self, partition: TopicPartition) -> None:
        while self.server.member.under_way:
            self.server.member.answer()
        self.world.make_anew(partition)
        if partition in self.server.reading.positions:
            self.server.ledger.doubt(self.server.reading.positions[partition][0])

    # Now and then, what disturbs it

    @rule(
        kind=st.sampled_from(["rebalance", "miss", "kill", "call off"]),
        end=st.sampled_from(["next", "next", "twice", "missed", "thrown out"]),
        partitions=SUBSETS,
        data=st.data(),
    )
    def disturb(
        self, kind: str, end: str, partitions: set[TopicPartition], data: st.DataObject
    ) -> None:
        if self.rebalancing:
            self.rebalance_ends(end, partitions, data)
        elif kind == "call off":
            self.server.decisions.before_rejoin(self.server.member)
            self.server.decisions.on_tick(self.server.member)
        elif kind == "kill":
            self.begin(partitions)
        elif self.server.member.generation is None:
            self.notices_and_comes_back(partitions)
        elif kind == "miss":
            self.server.member.generation = None
        else:
            self.server.decisions.before_rejoin(self.server.member)
            self.server.decisions.on_revoked(self.server.member, membership_lost=False)
            self.rebalancing = True

    def rebalance_ends(
        self, end: str, partitions: set[TopicPartition], data: st.DataObject
    ) -> None:
        before = dict(self.server.reading.positions)
        doubted = self.server.ledger.doubted
        kept = set(partitions)
        if end == "twice":
            in_between = data.draw(SUBSETS)
            kept &= in_between
            self.join(in_between)
            self.others_work(data, set(PARTITIONS) - in_between)
            self.server.decisions.on_revoked(self.server.member, membership_lost=False)
        elif end != "next":
            kept.clear()
            next(self.generations)
            self.server.member.membership_lost = end == "thrown out"
            self.others_work(data, PARTITIONS)

        self.settle(partitions)

        for partition, (epoch, position) in before.items():
            if epoch in doubted:
                continue
            if partition in kept:
                assert self.server.reading.positions[partition] == (epoch, position)
            else:
                self.check_that_is_over(epoch)

    def notices_and_comes_back(self, partitions: set[TopicPartition]) -> None:
        member = self.server.member
        before = [epoch for epoch, _ in self.server.reading.positions.values()]
        member.membership_lost = True
        self.server.decisions.before_rejoin(member)
        self.server.decisions.on_revoked(member, membership_lost=True)
        for epoch in before:
            self.check_that_is_over(epoch)
        self.settle(partitions)

    def others_work(self, data: st.DataObject, partitions: Collection[TopicPartition]) -> None:
        """On what this member does not have in a generation, of which it may know nothing."""
        for partition in sorted(partitions):
            self.let_another_work(partition, data.draw(st.integers(0, 3)))

    def check_that_is_over(self, epoch: AssignedPartition) -> None:
        """What was being read when it ended is not taken."""
        late = Record(*epoch.partition, 10**6, 0, None, b"late", [])
        assert self.server.ledger.accept(epoch, [late]) == []

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 4))
    def another_member_works(self, partition: TopicPartition, count: int) -> None:
        owned = self.server.member.generation is not None and (
            self.rebalancing or partition in self.server.ledger.partitions
        )
        if not owned:
            self.let_another_work(partition, count)

    def let_another_work(self, partition: TopicPartition, count: int) -> None:
        position = self.world.committed.get(partition, OffsetAndMetadata(0)).offset
        for record in [r for r in self.world.log[partition] if r.offset >= position][:count]:
            self.world.handled.add((partition, record.offset))
            self.world.commit({partition: OffsetAndMetadata(record.offset + 1)})

    # What always holds

    @invariant()
    def nothing_unhandled_is_committed(self) -> None:
        for partition, (offset, text) in self.world.committed.items():
            said = {r.offset for r in self.world.log[partition] if r.offset < offset}
            for first, end in decode_runs(offset, text):
                said |= {r.offset for r in self.world.log[partition] if first <= r.offset < end}
            assert {(partition, one) for one in said} <= self.world.handled

    @invariant()
    def no_more_is_held_than_allowed(self) -> None:
        assert self.server.ledger.held <= MAX_IN_FLIGHT + len(PARTITIONS)

    def teardown(self) -> None:
        """Left alone, it handles and commits everything."""
        if not hasattr(self, "server"):
            return
        member = self.server.member
        while member.under_way:
            member.answer()
        if member.generation is None:
            self.notices_and_comes_back(set(PARTITIONS))
        else:
            self.settle(PARTITIONS)
        while self.server.work_through():
            pass
        self.server.committer.commit_now(member, 1.0)
        for partition in PARTITIONS:
            offsets = {(partition, record.offset) for record in self.world.log[partition]}
            assert offsets <= self.world.handled
            if offsets:
                assert self.world.committed[partition].offset == self.world.end(partition)


ConsumingMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=25)
TestConsuming = ConsumingMachine.TestCase
