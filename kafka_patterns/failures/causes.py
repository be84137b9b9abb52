"""What kind of failure an exception is: the message's, the code's, or the moment's. Pure."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Cause", "error_text", "is_wrong_call"]


class Cause(enum.Enum):
    """Where a failure comes from, as far as it decides whether another try may help."""

    HANDLER = "the handler raised it"
    UNREADABLE = "the payload cannot be read, or is not what the handler asks for"
    WRONG_CALL = "the handler cannot be called with what it is given"

    @property
    def is_hopeless(self) -> bool:
        """Whether the next try fails the same way, until somebody changes something."""
        return self is not Cause.HANDLER


def is_wrong_call(error: BaseException, function: Callable[..., Any]) -> bool:
    """Whether *error* says that *function* does not take the arguments it was called with.

    Then its body has not begun: the traceback has no frame of its code.
    """
    if not isinstance(error, TypeError):
        return False
    code = _code(function)
    if code is None:
        return False
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return False
        traceback = traceback.tb_next
    return True


def error_text(error: BaseException) -> str:
    """The text of *error*; one that cannot be made must not lose a message."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  it is code of users
        return "<the text of the exception could not be made>"


def _code(function: Any) -> Any:
    """The code of the Python function that a call ends in, ``None`` if that is not known.

    A wrapper's code is its own: what it wraps may have been called wrongly by its body.
    """
    while hasattr(function, "func"):
        function = function.func  # functools.partial
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = type(function).__call__
    return getattr(inspect.unwrap(function, stop=_has_code), "__code__", None)


def _has_code(function: Any) -> bool:
    return hasattr(function, "__code__")
