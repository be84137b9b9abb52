"""Sending dead letters to where they came from.

A run reads the dead letter topic up to where it ends now, window by window: send what is wanted,
wait for the broker's acknowledgements, commit what was replayed, read on.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import attrs

from kafka_patterns.errors import ReplayFailed, SendFailed
from kafka_patterns.failures.dead_letter_record import DeadLetterRecord, is_no_message
from kafka_patterns.failures.replay_group import ReplayLost
from kafka_patterns.failures.replay_message import replayed_message
from kafka_patterns.failures.replay_state import ReplayState
from kafka_patterns.failures.replay_topics import partitions_of
from kafka_patterns.headers import INTERNAL_TOPIC_PREFIX
from kafka_patterns.message import Record, RecordMetadata
from kafka_patterns.patterns import is_valid_topic_name
from kafka_patterns.synchronous import refuse_awaitable
from kafka_patterns.transport.base import Admin, Producer

__all__ = ["Replay", "ReplayPlan", "ReplayReport"]

logger = logging.getLogger("kafka_patterns.replay")

_WINDOW = 100
_PAUSE_SECONDS = 0.1
_KEEP_SECONDS = 1.0
_ACKNOWLEDGEMENT_MARGIN_SECONDS = 5.0


@attrs.frozen(kw_only=True)
class ReplayPlan:
    """What is to be replayed, and how; see :func:`kafka_patterns.replay`."""

    topic: str
    to: str | None
    where: Callable[[DeadLetterRecord], bool] | None
    limit: int | None
    rate: float | None
    dry_run: bool
    again: bool
    all_groups: bool


@attrs.frozen(kw_only=True)
class ReplayReport:
    """What a run of a replay did.

    :param read: dead letters that were looked at: the sum of the next three.
    :param skipped: those that ``where`` did not want.
    :param already_replayed: those that an earlier run had replayed.
    :param matched: all others: in a run that is not dry, the sum of the next three.
    :param replayed: those that the broker acknowledged; none in a dry run.
    :param unroutable: those that do not say which topic they came from, or one that cannot be, and
        those that are no message but bytes that could not be read.
    :param failed: those that the broker did not acknowledge.
    :param targets: how many of ``matched`` go to which topic.
    :param dry_run: whether nothing was to be sent.
    """

    read: int
    skipped: int
    already_replayed: int
    matched: int
    replayed: int
    unroutable: int
    failed: int
    targets: Mapping[str, int]
    dry_run: bool


class Replay:
    """One run.

    :param state: what was replayed before, and where reading goes on.
    :param producer: ``None`` in a dry run.
    :param send_timeout: seconds for each message.
    :param clock: seconds that never go back, for the rate.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        state: ReplayState,
        admin: Admin,
        producer: Producer | None,
        send_timeout: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._plan = plan
        self._state = state
        self._admin = admin
        self._producer = producer
        self._send_timeout = send_timeout
        self._clock = clock
        self._sleep = sleep
        self._counts: Counter[str] = Counter()
        self._targets: Counter[str] = Counter()
        self._partitions: dict[str, set[int]] = {}
        self._next_send = self._next_keep = clock()

    def run(self, read: Callable[[int], Sequence[Record]]) -> ReplayReport:
        """Go through what *read* returns, until that is nothing.

        :raises ReplayFailed: if the broker did not acknowledge a message, or there is no room to
            note more; what it did acknowledge is noted as replayed. Or if another run may have
            gone on: what was not noted before, that one has found or sent.
        """
        try:
            return self._run(read)
        except ReplayLost as error:
            raise ReplayFailed(str(error), self.report()) from error

    def _run(self, read: Callable[[int], Sequence[Record]]) -> ReplayReport:
        while not self._is_enough and (records := read(_WINDOW)):
            self._check_room()
            self._work_on(records)
            if self._counts["failed"]:
                raise ReplayFailed(
                    f"{self._counts['failed']} dead letters of {self._plan.topic!r} were not "
                    f"acknowledged, {self._counts['replayed']} were; the log says why. Run it "
                    "again: what was acknowledged is left out",
                    self.report(),
                )
        return self.report()

    def _check_room(self) -> None:
        if not self._plan.dry_run and (full := self._state.full):
            raise ReplayFailed(
                f"what was replayed of {', '.join(map(str, full))} is so scattered that the commit "
                "has no room for more. Replay what lies between first, or give this replay a "
                "group_id of its own, which has its own progress",
                self.report(),
            )

    def report(self) -> ReplayReport:
        """What was done so far."""
        names = ("read", "skipped", "already_replayed", "matched", "replayed")
        return ReplayReport(
            **{name: self._counts[name] for name in (*names, "unroutable", "failed")},
            targets=dict(self._targets),
            dry_run=self._plan.dry_run,
        )

    @property
    def _is_enough(self) -> bool:
        limit = self._plan.limit
        return limit is not None and self._counts["matched"] >= limit

    def _work_on(self, records: Sequence[Record]) -> None:
        """Send what is wanted of a window, and note what became of it, whatever happens."""
        sent: list[tuple[Record, Future[RecordMetadata] | None]] = []
        self._state.begin_window()
        seconds = self._send_timeout + _ACKNOWLEDGEMENT_MARGIN_SECONDS
        try:
            for record in records:
                if self._is_enough:
                    break
                sent.append((record, self._handle(record)))
        except ReplayLost:
            seconds = 0.0  # nothing that waits is sent any more
            raise
        except BaseException:
            self._state.doubt()  # perhaps just behind a send
            raise
        finally:
            if not self._plan.dry_run:
                for record, future in sent:
                    acknowledged = self._is_acknowledged(record, future, seconds)
                    self._state.note(record, replayed=acknowledged)
            self._state.end_window()

    def _handle(self, record: Record) -> Future[RecordMetadata] | None:
        """Count *record*, and send it if it is wanted."""
        self._stay_in_the_group()
        if not self._plan.again and self._state.is_replayed(record):
            self._count("already_replayed")
            return None
        letter = DeadLetterRecord.of(record)
        if self._plan.where is not None and not refuse_awaitable(self._plan.where(letter), "where"):
            self._count("skipped")
            return None
        self._count("matched")
        target = self._plan.to or self._home_of(letter)
        if is_no_message(record):
            self._counts["unroutable"] += 1
            logger.warning(
                "dead letter %s[%d] offset %d is no message, but bytes that could not be read: "
                "it is not sent",
                *record[:3],
            )
            return None
        if target is not None:
            self._targets[target] += 1
            return self._send(letter, target)
        self._counts["unroutable"] += 1
        logger.warning(
            "dead letter %s[%d] offset %d does not say which topic it came from, or says one that "
            "nothing is replayed into; to= sends it somewhere",
            *record[:3],
        )
        return None

    def _home_of(self, letter: DeadLetterRecord) -> str | None:
        """The topic it came from, unless no message of ours can have come from there."""
        home = letter.original_topic
        if home is None or not is_valid_topic_name(home):
            return None
        return None if home == letter.topic or home.startswith(INTERNAL_TOPIC_PREFIX) else home

    def _count(self, kind: str) -> None:
        self._counts["read"] += 1
        self._counts[kind] += 1

    def _send(self, letter: DeadLetterRecord, target: str) -> Future[RecordMetadata] | None:
        partitions = self._partitions_of(target)
        if self._producer is None:
            return None
        goes_home = target == letter.original_topic
        partition = letter.original_partition if goes_home else None
        message = replayed_message(
            letter,
            partition=partition if partition in partitions else None,
            only_group=letter.consumer_group if goes_home and not self._plan.all_groups else None,
        )
        self._wait_for_turn()
        self._state.await_contact()
        return self._producer.send(target, message, timeout=self._send_timeout)

    def _partitions_of(self, target: str) -> set[int]:
        if target not in self._partitions:
            found = partitions_of(self._admin, target)
            if not self._plan.dry_run:
                self._state.begin_sending_to(found)
            self._partitions[target] = {partition for _, partition in found}
        return self._partitions[target]

    def _stay_in_the_group(self) -> None:
        """Now and then: a window of letters may take ``where`` very long."""
        now = self._clock()
        if now >= self._next_keep:
            self._state.keep()
            self._next_keep = now + _KEEP_SECONDS

    def _wait_for_turn(self) -> None:
        if self._plan.rate is None:
            return
        while (wait := self._next_send - self._clock()) > 0:
            self._sleep(min(wait, _PAUSE_SECONDS))
            self._state.keep()
        self._next_send = max(self._next_send, self._clock()) + 1 / self._plan.rate

    def _is_acknowledged(
        self, record: Record, future: Future[RecordMetadata] | None, seconds: float
    ) -> bool:
        if future is None:
            return False
        try:
            future.result(seconds)
        except (SendFailed, FutureTimeoutError) as error:
            self._counts["failed"] += 1
            if getattr(error, "outcome_unknown", True):
                self._state.doubt()
            logger.warning("dead letter %s[%d] offset %d was not replayed: %s", *record[:3], error)
            return False
        self._counts["replayed"] += 1
        return True
