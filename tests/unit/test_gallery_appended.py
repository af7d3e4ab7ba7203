"""Galleries in Faiss on a card. On a processor here: its flat indexes in half precision have the same methods."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from face_server.engine import driver as nvidia
from face_server.engine.driver import Card, Driver
from face_server.index import choice
from face_server.index.appended import MOST, Appended, Index, Place, on_card
from face_server.index.card import CardForLarge
from face_server.index.codes import CodesForLarge
from face_server.index.gallery import LocalGallery
from face_server.index.protocol import Ids, Vectors
from face_server.index.shortlist import prove
from tests.gallery_oracle import AnyHistory, gallery_of, rows_of
from tests.small_library import DIMENSIONS, vector


def flat(dimensions: int = DIMENSIONS) -> Index:
    made: Any = faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    return made  # type: ignore[no-any-return]


def place(length: int = 64, megabytes: int = 64, dimensions: int = DIMENSIONS) -> Place:
    return Place(lambda: flat(dimensions), dimensions, megabytes, length)


def on(where: Place, group_id: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> LocalGallery:
    return LocalGallery(group_id, 0, vectors, face_ids, user_ids, CardForLarge(where, 20))


@pytest.mark.parametrize("length", [16, 1000])
def test_whatever_happens_gallery_and_oracle_find_the_same(length: int) -> None:
    where = place(length)
    make = staticmethod(lambda group_id, *rows: on(where, group_id, *rows))
    machine = type("History", (AnyHistory,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=20, deadline=None))


def test_the_known_search_is_found_right() -> None:
    prove(place(400).shortlist(0), DIMENSIONS)


class Wrong:
    """Tells other rows than it found."""

    def __init__(self) -> None:
        self._right = flat()

    def search(self, queries: Vectors, k: int) -> object:
        scores, rows = self._right.search(queries, k)
        return scores, (rows + 1) % self._right.ntotal

    def __getattr__(self, name: str) -> object:
        return getattr(self._right, name)


def test_an_index_that_computes_wrong_is_found_out() -> None:
    with pytest.raises(RuntimeError):
        prove(Place(Wrong, DIMENSIONS, 64).shortlist(0), DIMENSIONS)  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [1, 100, 1000, 16_000])
def test_none_is_missing_between_those_that_are_told(wanted: int) -> None:
    """Also where thousands of tombstones are nearest, and where more is wanted than a card can tell."""
    rng = np.random.default_rng(wanted)
    rows = rng.integers(-3, 4, (9000, 8)).astype(np.float32)
    asked = rng.integers(-3, 4, (3, 8)).astype(np.float32)
    shortlist = Appended(place(3000, dimensions=8))
    shortlist.fill(np.arange(9000), rows)
    dead = np.argsort(-rows @ asked[0])[:2500]
    for slot in dead.tolist():
        shortlist.remove(slot)
    alive = np.ones(9000, bool)
    alive[dead] = False
    for query, found in zip(asked, shortlist.find(asked, wanted), strict=True):
        assert alive[found].all()
        best = np.sort(rows[alive] @ query)[::-1]
        assert np.array_equal(np.sort(rows[found] @ query)[::-1], best[: len(found)])
    assert len(found) == min(max(wanted, 64), MOST)


def test_a_block_of_tombstones_is_used_again_and_full_ones_stay() -> None:
    shortlist = Appended(place(64))
    shortlist.fill(np.arange(128), np.stack([vector(n) for n in range(128)]))
    for slot in range(40):
        shortlist.remove(slot)
    shortlist.put(500, vector(500))
    assert [block.rows for block in shortlist.blocks] == [25, 64]
    assert shortlist.size == 89 * 2 * DIMENSIONS
    (every,) = shortlist.find(vector(500)[None], 64 * 4)
    assert sorted(every.tolist()) == [*range(40, 128), 500]
    for again in range(200):
        shortlist.put(127, vector(1000 + again))
    assert len(shortlist.blocks) <= 3, "who is overwritten often takes no more room"


def test_what_does_not_fit_on_the_card_is_searched_in_two_stages() -> None:
    gallery = on(place(megabytes=0), 1, *rows_of(range(100)))
    assert not gallery.untidy
    where = place(megabytes=1)
    first = gallery_of(lambda group_id, *rows: on(where, group_id, *rows), range(3000))
    first.tidy(lambda: False)
    assert not where.has_room(24_500)
    del first
    assert where.has_room(24_500)


# Which engine


P4, V100 = Card("Tesla P4", 61, 7600), Card("V100", 70, 16_000)


FOR_CARDS = {"StandardGpuResources": object}


@pytest.mark.parametrize(
    ("has", "cards", "code", "said"),
    [
        ({}, (V100,), "sm_70", "for processors"),
        (FOR_CARDS, (), "sm_70", "no driver shows a card 0"),
        (FOR_CARDS, (P4,), "sm_70", "sm_70, Tesla P4 is sm_61"),
        (FOR_CARDS, (V100,), "", "no code for cards, V100"),
        (FOR_CARDS, (V100,), "sm_70", ""),
    ],
)
def test_a_card_that_the_wheel_has_nothing_for_is_told(
    tmp_path: Path, has: dict[str, object], cards: tuple[Card, ...], code: str, said: str
) -> None:
    """The libraries of the wheel lie in a folder beside the package."""
    package, libraries = tmp_path / "faiss", tmp_path / "faiss_gpu_cu12.libs"
    package.mkdir()
    libraries.mkdir()
    if code:
        (libraries / f"kernels.{code}.cubin").write_bytes(b"")
    module = SimpleNamespace(__file__=str(package / "__init__.py"), __version__="1.14.1", **has)
    reason = choice.unfit(module, Driver((12, 4), cards), 0)  # type: ignore[arg-type]
    assert (said in reason) if said else not reason


def test_without_a_card_the_processor_searches() -> None:
    chosen = choice.choose("auto", "cpu", DIMENSIONS, 64)
    assert (chosen.engine, type(chosen.shortlists)) == ("cpu", CodesForLarge)
    assert choice.choose("cpu", "cuda:0", DIMENSIONS, 64).engine == "cpu"


@pytest.mark.parametrize("engine", ["graph", "faiss"])
def test_who_asks_for_a_card_where_none_is_used_is_told(engine: Any) -> None:
    with pytest.raises(ValueError, match="FACE_GALLERY_ENGINE"):
        choice.choose(engine, "cpu", DIMENSIONS, 64)


def _broken(*arguments: object) -> Place:
    raise RuntimeError("no kernel image")


def _appended(*arguments: object) -> Place:
    return place(400)


@pytest.mark.parametrize(
    ("wanted", "graphs", "faiss_", "engine"),
    [
        ("auto", _appended, _appended, "graph"),
        ("auto", _broken, _appended, "faiss"),
        ("auto", _broken, _broken, "cpu"),
        ("faiss", _appended, _appended, "faiss"),
        ("faiss", _appended, _broken, None),
    ],
)
def test_what_cannot_search_gives_way(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, graphs: Any, faiss_: Any, engine: str | None
) -> None:
    monkeypatch.setattr(choice, "_graphs", graphs)
    monkeypatch.setattr(choice, "_faiss", faiss_)
    if engine is None:
        with pytest.raises(ValueError, match="no kernel image"):
            choice.choose(wanted, "cuda:0", DIMENSIONS, 64)
        return
    chosen = choice.choose(wanted, "cuda:0", DIMENSIONS, 64)
    assert chosen.engine == engine
    assert ("no kernel image" in chosen.why) == (graphs is _broken)


def test_on_a_card() -> None:
    reason = choice.unfit(faiss, nvidia.driver(), 0)
    if reason:
        pytest.skip(f"Faiss cannot search on a card here: {reason}")
    where = Place(on_card(0, DIMENSIONS), DIMENSIONS, 64, 64)
    prove(Place(on_card(0, DIMENSIONS), DIMENSIONS, 64).shortlist(0), DIMENSIONS)
    make = staticmethod(lambda group_id, *rows: on(where, group_id, *rows))
    machine = type("History", (AnyHistory,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=20, deadline=None))
