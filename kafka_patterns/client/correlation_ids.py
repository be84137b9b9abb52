"""The ids of requests, with a beginning by which an instance knows its own."""

from __future__ import annotations

import re
import secrets
from collections import deque
from typing import Literal

__all__ = ["CorrelationIds", "Origin"]

Origin = Literal["late", "of_others", "unknown"]

_LENGTH = 21
_PREFIX_LENGTH = 8
_STOCK = 64
_FORM = re.compile(rb"[0-9a-f]{21}")


class CorrelationIds:
    """Makes the ids of one client: 21 lowercase hex digits from a cryptographic source.

    A forked child needs an object of its own: what is in stock here would come twice.
    """

    def __init__(self) -> None:
        self._prefix = _hex_digits(_PREFIX_LENGTH)
        # Each question to the source lets go of the interpreter: one is made for many ids.
        self._stock: deque[bytes] = deque()  # append and pop are atomic

    def new(self) -> bytes:
        """An id that no other request has."""
        try:
            return self._stock.pop()
        except IndexError:
            return self._restock()

    def _restock(self) -> bytes:
        """Add to the stock, and return one beside it."""
        each = _LENGTH - _PREFIX_LENGTH
        digits = _hex_digits(each * _STOCK)
        one, *others = [
            self._prefix + digits[start : start + each] for start in range(0, len(digits), each)
        ]
        self._stock.extend(others)
        return one

    def origin(self, correlation_id: bytes | None) -> Origin:
        """Whose request it is that no caller of ours waits for.

        ``late`` if we sent it and it has ended, ``of_others`` if it has the form of NestJS's and
        our ids, else ``unknown``.
        """
        if correlation_id is None or not _FORM.fullmatch(correlation_id):
            return "unknown"
        return "late" if correlation_id.startswith(self._prefix) else "of_others"


def _hex_digits(count: int) -> bytes:
    return secrets.token_hex(count // 2 + 1)[:count].encode()
