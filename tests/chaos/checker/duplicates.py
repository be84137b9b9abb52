"""What is delivered again has a reason, and there is not more of it than the reason excuses."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import attrs

from tests.chaos.history import History, Loss, RecordId, record_of
from tests.reliability.journal import FINISHED, STARTED, Entry

__all__ = ["check_duplicates"]


@attrs.define
class _Delivery:
    """A record was given to a process; tries of one process after a failure are one delivery."""

    entry: Entry
    finished_at: float | None = None
    failed: bool = False


def check_duplicates(history: History) -> list[str]:
    """Deliveries after another one that nothing excuses.

    At least once means: what a loss caught finished but not committed comes again, and at most
    ``max_in_flight`` messages of a process that it caught unfinished.
    """
    found = []
    unfinished: Counter[tuple[Loss, int]] = Counter()
    for record, deliveries in _deliveries(history).items():
        for before, again in itertools.pairwise(deliveries):
            # What failed and waits for its next try leaves with its partition, in good order.
            if before.failed or _was_sought(history, before, again):
                continue
            loss = _excuse(history, before, again)
            if loss is None:
                found.append(_tell(record, before, again))
            elif before.finished_at is None or before.finished_at > again.entry.at:
                unfinished[loss, before.entry.pid] += 1
    found += [
        f"{count} unfinished records of process {pid} came again after {loss.reason}, "
        f"which may leave {history.max_in_flight}"
        for (loss, pid), count in unfinished.items()
        if count > history.max_in_flight
    ]
    return found


def _deliveries(history: History) -> dict[RecordId, list[_Delivery]]:
    by_record: defaultdict[RecordId, list[_Delivery]] = defaultdict(list)
    for entry in sorted(history.entries, key=lambda entry: entry.at):
        deliveries = by_record[record_of(entry)]
        own = next((one for one in reversed(deliveries) if one.entry.pid == entry.pid), None)
        if entry.event == STARTED:
            if own is not None and own.failed and own is deliveries[-1]:
                own.failed = False
            else:
                deliveries.append(_Delivery(entry))
        elif own is not None and entry.event == FINISHED:
            own.finished_at = own.finished_at or entry.at
        elif own is not None:
            own.failed = True
    return by_record


def _excuse(history: History, before: _Delivery, again: _Delivery) -> Loss | None:
    """The loss that explains why the second delivery was made."""
    for loss in history.losses:
        if not _concerns(loss, before.entry) or loss.began > again.entry.at:
            continue
        if before.finished_at is not None and before.finished_at < again.entry.at:
            if loss.began - history.commit_window <= before.finished_at <= loss.ended:
                return loss
        elif before.entry.at <= loss.ended:
            return loss
    return None


def _concerns(loss: Loss, entry: Entry) -> bool:
    return loss.pid in (None, entry.pid) and loss.topic in (None, entry.position.topic)


def _was_sought(history: History, before: _Delivery, again: _Delivery) -> bool:
    topic, partition, offset = again.entry.position
    return any(
        seek.partition == (topic, partition)
        and seek.offset <= offset
        and before.entry.at <= seek.ended
        and again.entry.at >= seek.began
        for seek in history.seeks
    )


def _tell(record: RecordId, before: _Delivery, again: _Delivery) -> str:
    finished = "unfinished"
    if before.finished_at is not None:
        finished = f"finished at {before.finished_at:.3f}"
    return (
        f"{record}: process {before.entry.pid} began at {before.entry.at:.3f} ({finished}), "
        f"process {again.entry.pid} again at {again.entry.at:.3f}"
    )
