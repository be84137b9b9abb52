"""What is told of a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.history import record_of
from tests.chaos.plan import Plan
from tests.chaos.run import Outcome
from tests.reliability.journal import FINISHED

__all__ = ["describe_failure", "summarize"]

_SHOWN = 8


def summarize(plan: Plan, outcome: Outcome) -> str:
    """One line of figures."""
    history = outcome.history
    ends = Counter(ended.outcome for ended in history.ended)
    faults = Counter(step.fault for step in plan.steps)
    finished = [record_of(entry) for entry in history.entries if entry.event == FINISHED]
    again = len(finished) - len(set(finished))
    return (
        f"seed {plan.seed}: {len(plan.steps)} faults ({_counted(faults)}); "
        f"{len(history.produced):,} events, {again:,} handled again; "
        f"{len(history.asked):,} requests ({_counted(ends)}); {outcome.seconds:.0f} s"
    )


def describe_failure(plan: Plan, outcome: Outcome, saved: Path) -> str:
    """What was broken, what had been done, and how to have it again."""
    lines = [summarize(plan, outcome), ""]
    for promise, breaches in outcome.breaches.items():
        lines.append(f"NOT KEPT: {promise} ({len(breaches)})")
        lines += [f"    {breach}" for breach in breaches[:_SHOWN]]
    lines += ["", f"What was done, from {outcome.began:.3f} on:"]
    for deed in outcome.deeds:
        lines.append(f"    {deed.began:.3f} to {deed.ended:.3f}: {deed.step}")
    minutes = plan.seconds / 60
    lines += [
        "",
        f"again: make test-chaos MINUTES={minutes:g} SEED={plan.seed}",
        f"or:    make test-chaos PLAN={saved / 'plan.json'}",
        f"what the processes wrote: {saved}",
    ]
    return "\n".join(lines)


def _counted(names: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
