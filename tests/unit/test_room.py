"""Ten thousand tiny groups: what a search costs does not grow with the number of galleries that are in memory."""

from __future__ import annotations

from typing import Any, cast

import pytest

from face_server.index.registry import Registry
from face_server.index.room import Room
from face_server.index.scan import Scan
from face_server.store.rows import Feed, GroupRef

MANY = 10_000
SIZE = 100
LOOKS = 6  # at a gallery's size, for each that is loaded and leaves again


class Tiny:
    """A gallery that counts how often it is weighed."""

    looks = 0

    def __init__(self, group_id: int) -> None:
        self.group_id, self.seq, self.untidy, self.size = group_id, 0, False, SIZE

    def __len__(self) -> int:
        return 1

    @property
    def memory(self) -> int:
        Tiny.looks += 1
        return self.size

    def search(self, *_: object) -> list[Any]:
        return []


class Shelf:
    """Every gallery is there at once."""

    embedding_id = ""

    def load(self, group_id: int) -> Tiny:
        return Tiny(group_id)

    def save(self, gallery: Tiny, seq: int) -> bool:
        return True

    def keep_only(self, group_ids: set[int]) -> None: ...

    def remove(self, group_id: int) -> None: ...


class Rows:
    """An app that nobody writes to."""

    async def changes(self, *_: object) -> Feed:
        return Feed(0, (), 1)

    async def group_ids(self) -> set[int]:
        return set()

    async def still_there(self, group_ids: list[int]) -> set[int]:
        return set(group_ids)


@pytest.fixture(autouse=True)
def no_looks() -> None:
    Tiny.looks = 0


def registry(memory: int) -> Registry:
    return Registry(cast(Any, Rows()), cast(Any, None), 8, cast(Any, Shelf()), memory)


def groups(*numbers: int) -> list[GroupRef]:
    return [GroupRef(number, 1 + number % 3, str(number)) for number in numbers]


@pytest.mark.parametrize("room", [MANY * SIZE, 100 * SIZE], ids=["all fit", "few fit"])
async def test_loading_one_after_the_other_is_not_quadratic(room: int) -> None:
    library = registry(room)
    for number in range(MANY):
        await library.scan(groups(number), 1)
    assert Tiny.looks <= LOOKS * MANY
    assert len(library.galleries) == min(MANY, room // SIZE)
    assert library.evictions == MANY - len(library.galleries)
    await library.drop_gone()
    assert Tiny.looks <= LOOKS * MANY
    await library.close()


async def test_one_search_over_all_of_them_is_not_quadratic_either() -> None:
    library = registry(100 * SIZE)
    scan = await library.scan(groups(*range(MANY)), 1)
    assert len(library.galleries) == MANY, "what is searched stays"
    assert Tiny.looks <= LOOKS * MANY
    del scan
    await library.drop_gone()
    assert len(library.galleries) == 100
    assert Tiny.looks <= LOOKS * MANY
    await library.close()


def entered(room: Room, gallery: Tiny) -> Scan:
    scan = Scan(1, None)
    room.enters(scan, cast(Any, gallery), 1)
    return scan


def test_the_sum_follows_what_comes_grows_and_goes() -> None:
    room = Room(10 * SIZE)
    tiny = [Tiny(number) for number in range(3)]
    for gallery in (*tiny, tiny[0]):
        entered(room, gallery)
    assert room.bytes == 3 * SIZE
    tiny[1].size = 9 * SIZE
    room.weigh(cast(Any, tiny[1]))
    assert room.bytes == 11 * SIZE
    cold = room.one_too_many()
    assert cold is not None
    assert cold.gallery.group_id == 1, "the first one was searched again after it"
    room.left(1)
    room.left(1)
    assert (room.bytes, room.one_too_many()) == (2 * SIZE, None)
    entered(room, Tiny(2))  # loaded again, while nobody said that the old one had gone
    assert room.bytes == 2 * SIZE


def test_what_any_search_has_is_not_one_too_many() -> None:
    room, gallery = Room(1), Tiny(1)
    first, second = entered(room, gallery), entered(room, gallery)
    del first
    assert room.one_too_many() is None
    assert room.in_use(cast(Any, gallery))
    del second
    held = room.one_too_many()
    assert held is not None
    assert held.gallery is cast(Any, gallery)
    assert not room.in_use(cast(Any, gallery))
