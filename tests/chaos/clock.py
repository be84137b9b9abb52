"""The wall clock of this process, shifted."""

from __future__ import annotations

import time

__all__ = ["shift_clock"]

_true_time = time.time


def shift_clock(seconds: float) -> None:
    """Let ``time.time`` tell so much more from now on; zero makes it right again."""
    time.time = (lambda: _true_time() + seconds) if seconds else _true_time
