"""How ``repr`` shows options that hold secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["show_secret", "show_without_secrets"]

_HIDDEN = "'***'"
_SECRET_NAME = re.compile(
    "password|passwd|secret|token|passphrase|credential|private|jaas|api_?key", re.IGNORECASE
)


def show_secret(value: object) -> str:
    """Show whether there is a secret, and nothing of it."""
    return "None" if value is None else _HIDDEN


def show_without_secrets(value: object) -> str:
    """Show a value, but nothing under a name that looks like a secret's, at any depth."""
    if isinstance(value, Mapping):
        entries = (
            f"{key!r}: {_HIDDEN if _SECRET_NAME.search(str(key)) else show_without_secrets(item)}"
            for key, item in value.items()
        )
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show_without_secrets(item) for item in value) + "]"
    return repr(value)
