"""Telling a hiccup from an outage. Pure."""

from __future__ import annotations

__all__ = ["Outage"]


class Outage:
    """Trouble counts once it lasted; connections that are merely slow to open are none.

    :param grace: seconds of trouble that are still no outage.
    """

    def __init__(self, grace: float = 1.0) -> None:
        self._grace = grace
        self._since: float | None = None
        self._told = False

    def trouble(self, now: float, *, lasted: bool = False) -> bool:
        """There is trouble at *now*; ``True`` the first time that it has lasted.

        :param lasted: whether it is known to have lasted when it is told.
        """
        if self._since is None:
            self._since = now
        if self._told or not (lasted or now - self._since >= self._grace):
            return False
        self._told = True
        return True

    def over(self) -> bool:
        """All is well; ``True`` if that ends trouble that has lasted."""
        told, self._told = self._told, False
        self._since = None
        return told
