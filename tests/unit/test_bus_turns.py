"""Apps take turns: nobody's pictures wait behind all those of another."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from face_server.bus.turns import Turns


@dataclass(frozen=True)
class Item:
    app: str
    number: int
    size: int = 1


def items(app: str, count: int, size: int = 1) -> list[Item]:
    return [Item(app, number, size) for number in range(count)]


def filled(*given: Item, most: int = 100, most_bytes: int = 10_000) -> Turns[Item]:
    turns: Turns[Item] = Turns(most, most_bytes)
    for item in given:
        assert turns.put(item) == []
    return turns


def drained(turns: Turns[Item]) -> list[Item]:
    taken = []
    while (item := turns.take()) is not None:
        taken.append(item)
    assert len(turns) == 0
    return taken


def test_apps_come_in_turn_and_each_in_its_order() -> None:
    turns = filled(*items("busy", 4), *items("quiet", 1), *items("other", 2))
    order = [(item.app, item.number) for item in drained(turns)]
    assert order == [("busy", 0), ("quiet", 0), ("other", 0), ("busy", 1), ("other", 1), ("busy", 2), ("busy", 3)]


def test_a_taken_item_can_come_back_to_the_front_of_its_app() -> None:
    turns = filled(*items("a", 3))
    first = turns.take()
    assert first is not None
    turns.put_back(first)
    assert [item.number for item in drained(turns)] == [0, 1, 2]


@pytest.mark.parametrize(("app", "ahead"), [("busy", 50), ("quiet", 5), ("new", 2)])
def test_how_many_come_before(app: str, ahead: int) -> None:
    turns = filled(*items("busy", 48), *items("quiet", 2))
    assert turns.ahead(app) == ahead
    turns.put(last := Item(app, -1))
    assert drained(turns).index(last) <= ahead


def test_when_it_is_full_the_app_with_most_makes_room() -> None:
    turns = filled(*items("busy", 10), most=10)
    assert turns.put(Item("busy", 10)) == [Item("busy", 10)]
    for number in range(5):
        assert [item.app for item in turns.put(Item("quiet", number))] == ["busy"]
    assert turns.put(Item("quiet", 5)) == [Item("quiet", 5)]
    assert len(turns) == 10


def test_bytes_are_bounded_and_one_alone_is_always_let_in() -> None:
    turns = filled(*items("a", 3, size=30), most_bytes=100)
    assert turns.put(Item("a", 9, 11)) == [Item("a", 9, 11)]
    assert turns.put(Item("b", 0, 60)) == [Item("a", 2, 30), Item("a", 1, 30)]
    assert len(drained(turns)) == 2
    assert turns.put(Item("a", 0, 1000)) == []


def test_removed_items_are_not_taken() -> None:
    one, two = items("a", 2)
    turns = filled(one, two)
    assert turns.remove(one)
    assert not turns.remove(one)
    assert list(turns) == [two]
    assert drained(turns) == [two]
