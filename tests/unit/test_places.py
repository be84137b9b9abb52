"""Places are given in turn, and none is lost whoever waits, goes, or is sent away."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kafka_patterns.client.places import Places, Turn

LIMIT = 3


class PlacesMachine(RuleBasedStateMachine):
    """The model: who has a place, for whom one is kept, and who waits, in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places(LIMIT)
        self.taken = 0
        self.kept: list[bytes] = []
        self.queue: list[bytes] = []
        self.turns: dict[bytes, Turn] = {}
        self.count = 0

    def newcomer(self) -> bytes:
        self.count += 1
        return b"%d" % self.count

    @property
    def is_full(self) -> bool:
        return self.taken + len(self.kept) == LIMIT

    def place_is_free(self) -> None:
        if self.queue:
            self.kept.append(self.queue.pop(0))

    @rule()
    def take(self) -> None:
        full = self.is_full

        assert self.places.take(self.newcomer()) is not full

        self.taken += not full

    @rule()
    def line_up(self) -> None:
        who = self.newcomer()
        (self.queue if self.is_full else self.kept).append(who)

        self.turns[who] = self.places.line_up(who)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def take_what_is_kept(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(self.kept))

        assert self.places.take(who)

        self.kept.remove(who)
        self.taken += 1

    @precondition(lambda self: self.taken)
    @rule()
    def give_back(self) -> None:
        self.places.give_back()

        self.taken -= 1
        self.place_is_free()

    @precondition(lambda self: self.turns)
    @rule(data=st.data())
    def forgo(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.turns)))

        self.places.forgo(who)

        if who in self.kept:
            self.kept.remove(who)
            self.place_is_free()
        elif who in self.queue:
            self.queue.remove(who)

    @rule()
    def dismiss(self) -> None:
        self.places.dismiss()

        assert all(self.turns[who].ended.is_set() for who in self.queue)
        assert all(self.turns[who].dismissed for who in self.queue)
        self.queue.clear()

    @invariant()
    def agrees_with_the_model(self) -> None:
        for who in self.turns:
            assert self.places.is_kept(who) == (who in self.kept)
        for who in self.kept:
            assert self.turns[who].ended.is_set()
            assert not self.turns[who].dismissed
        for who in self.queue:
            assert not self.turns[who].ended.is_set()


TestPlaces = PlacesMachine.TestCase


@pytest.mark.parametrize("waiting", [1, 5])
def test_who_comes_later_does_not_get_ahead(waiting: int) -> None:
    places = Places(1)
    places.take(b"first")
    turns = [places.line_up(b"%d" % number) for number in range(waiting)]

    places.give_back()

    assert not places.take(b"newcomer")
    assert [turn.ended.is_set() for turn in turns] == [True] + [False] * (waiting - 1)
    assert places.take(b"0")
