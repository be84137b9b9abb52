"""What travels between the client and the server."""

from __future__ import annotations

from attrs import frozen

__all__ = ["HeroEntered", "Item", "KillDragon"]


@frozen
class KillDragon:
    """A request: kill that dragon."""

    id: int


@frozen
class Item:
    """What a dragon leaves behind."""

    id: int
    name: str


@frozen
class HeroEntered:
    """An event: a hero came into the kingdom."""

    hero: str
