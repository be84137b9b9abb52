"""What the brokers' authorizer lets a user do, in words that say what to do. Pure."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["DESCRIBE", "READ", "WRITE", "missing_right"]

READ = "READ"
WRITE = "WRITE"
DESCRIBE = "DESCRIBE"
"""Comes with each of the other two."""


def missing_right(
    right: str, names: Collection[str], kind: str = "topic", *, is_unknown: bool = False
) -> str:
    """Say which right is missing, on what, and how to give it.

    :param names: of topics or groups, as *kind* says.
    :param is_unknown: whether the user may not even know of it.
    """
    listed = sorted(names)
    things = f"{kind}{'s' if len(listed) > 1 else ''} {', '.join(map(repr, listed))}"
    options = " ".join(f"--{kind} {name}" for name in listed)
    verb = "and with it DESCRIBE is missing" if is_unknown and right != DESCRIBE else "is missing"
    return (
        f"the right {right} on the {things} {verb}: let whoever may do so allow it to this user, "
        f"for example by: kafka-acls.sh --add --allow-principal User:... --operation {right} "
        f"{options}"
    )
