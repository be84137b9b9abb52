"""What was not closed is closed when the interpreter exits."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["call_at_exit"]


def call_at_exit(method: Callable[[], Any]) -> Callable[[], None]:
    """Call the bound *method* at exit if its object still lives; returns what takes it back.

    Call it after everything was made that registers itself too: the last one runs first.
    """
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    atexit.register(call)
    return lambda: atexit.unregister(call)
