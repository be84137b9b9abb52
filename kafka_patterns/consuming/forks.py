"""Staying usable after a fork, in the parent and in the child.

A child inherits sockets, and locks that threads it does not have may hold. What was connected is
put aside there, never closed and never collected: closing it could take it away from the parent.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

__all__ = ["Forkable", "begin_anew_after_fork"]


class Forkable(Protocol):
    """Something with connections and threads."""

    def begin_anew(self) -> Any:
        """In the child: forget all connections, threads and locks; returns what held them."""
        ...


_forkables: weakref.WeakSet[Any] = weakref.WeakSet()
_inherited: list[Any] = []
_registered = False


def begin_anew_after_fork(forkable: Forkable) -> None:
    """Call ``begin_anew`` of *forkable* in every child that is forked from now on."""
    global _registered  # noqa: PLW0603  hooks of a process cannot be taken back
    _forkables.add(forkable)
    if not _registered and hasattr(os, "register_at_fork"):
        _registered = True
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    _inherited.extend([forkable.begin_anew() for forkable in list(_forkables)])
