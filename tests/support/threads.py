"""Finds threads that a test left behind."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Collection

__all__ = ["describe_threads", "threads_beside"]


def threads_beside(known: Collection[threading.Thread]) -> list[threading.Thread]:
    """Return the living threads that are not in *known*."""
    return [thread for thread in threading.enumerate() if thread not in known]


def describe_threads(threads: Collection[threading.Thread]) -> str:
    """Return the names of *threads*, each with what it is doing."""
    frames = sys._current_frames()
    parts = []
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame else "    (no frame)\n"
        parts.append(f"thread {thread.name!r}:\n{stack}")
    return "".join(parts)
