"""Looking through a group, against the plain loop over all pairs."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from face_server.admin import tidying
from face_server.admin.jobs import Progress, Result
from face_server.admin.tidying import Tidying
from face_server.store.rows import NewFace
from face_server.store.store import Store
from tests.small_library import open_store, rows_of, token

KNOTS = ((-1.0, 0.0), (1.0, 100.0))
WHAT = {"app": "default", "group": "g", "score": "75"}


class Group:
    """Only what is asked of the service: the group by its name, and how cosines become scores."""

    def __init__(self, store: Store) -> None:
        self.info = SimpleNamespace(calibration=KNOTS, embedding_id="model")
        self.library = self
        self._store = store

    async def group(self, app: str, group: str) -> object:
        return (await self._store.groups(app, [group]))[0]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path)
    yield opened
    await opened.close()


async def fill(store: Store, faces: list[tuple[str, np.ndarray]]) -> None:
    for number, (user, place) in enumerate(faces):
        template = (place / np.linalg.norm(place)).astype(np.float16)
        await store.enroll("default", "g", user, NewFace(token(number), template.tobytes(), b"spot"), "model")


def drawn(seed: int) -> list[tuple[str, np.ndarray]]:
    """Sixty faces of twenty people in few dimensions, so that many are alike."""
    numbers = np.random.default_rng(seed)
    return [(f"u{numbers.integers(20):02}", numbers.standard_normal(4)) for _ in range(60)]


@pytest.mark.parametrize("cells", [1, 700, 1 << 24], ids=["row by row", "in blocks", "at once"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_both_searches_find_what_a_loop_finds(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int, cells: int
) -> None:
    monkeypatch.setattr(tidying, "CELLS", cells)
    await fill(store, drawn(seed))
    rows = await rows_of(store, "default")
    vectors = np.stack([np.frombuffer(row.template, np.float16).astype(np.float32) for row in rows])
    cosines, users = vectors @ vectors.T, [row.user for row in rows]
    pairs = {
        (rows[a].id, rows[b].id)
        for a in range(len(rows))
        for b in range(a + 1, len(rows))
        if users[a] != users[b] and cosines[a, b] >= 0.5
    }
    doubtful = set()
    for a in range(len(rows)):
        own = [cosines[a, b] for b in range(len(rows)) if b != a and users[b] == users[a]]
        others = [cosines[a, b] for b in range(len(rows)) if users[b] != users[a]]
        if own and max(others) > max(own):
            doubtful.add(rows[a].id)
    assert pairs
    assert doubtful

    work, progress = Tidying(Group(store), store), Progress()  # type: ignore[arg-type]
    found = await work.duplicates(WHAT, progress)
    assert {(row[1], row[3]) for row in found.rows} == pairs
    assert scores(found, 4) == sorted(scores(found, 4), reverse=True)
    assert progress == Progress(60, 60)
    found = await work.doubtful(WHAT, Progress())
    assert {row[1] for row in found.rows} == doubtful
    assert all(row[2] <= row[5] for row in found.rows)  # type: ignore[operator]
    names = {row.id: row.user for row in rows}
    assert all((names[row[1]], names[row[4]]) == (row[0], row[3]) for row in found.rows)  # type: ignore[index]


def scores(found: Result, column: int) -> list[float]:
    return [float(row[column]) for row in found.rows]  # type: ignore[arg-type]


async def test_the_most_alike_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(store, drawn(3))
    work = Tidying(Group(store), store)  # type: ignore[arg-type]
    all_ = await work.duplicates(WHAT, Progress())
    monkeypatch.setattr(tidying, "MOST_ROWS", 5)
    monkeypatch.setattr(tidying, "CELLS", 100)
    assert scores(await work.duplicates(WHAT, Progress()), 4) == scores(all_, 4)[:5]


@pytest.mark.parametrize("people", [[], ["one"], ["one", "one"], ["one", "two"]])
async def test_small_groups(store: Store, people: list[str]) -> None:
    await store.add_group("default", "g")
    await fill(store, [(user, np.eye(4)[number]) for number, user in enumerate(people)])
    work = Tidying(Group(store), store)  # type: ignore[arg-type]
    assert (await work.duplicates(WHAT, Progress())).rows == []
    assert (await work.doubtful(WHAT, Progress())).rows == []
