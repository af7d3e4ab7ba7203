"""What writes docs/benchmarks.md: right searches, a pack of the size that is said, figures read as they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from face_server.vision.adapters import make
from face_server.vision.offline import net
from face_server.vision.packs import find_pack
from scripts.gpu import card, large_pack, page, searches, stages
from scripts.gpu.__main__ import measured


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    said = large_pack.write(folder)
    assert said == (
        "detect: 4.23 million parameters, 13.34 billion multiplications for 640x640; "
        "embed: 43.59 million parameters, 6.31 billion multiplications for 112x112"
    )
    return folder


def test_the_pack_is_what_it_says_and_finds_one_face_in_the_middle(pack: Path) -> None:
    found = find_pack(str(pack), pack)
    assert found.verify() == []
    role = found.roles["detect"]
    detector = make(role.adapter, [net(role.files[0])], role.parameters)
    noise = np.random.default_rng(1).integers(0, 256, (2, 640, 640, 3)).astype(np.uint8)
    for faces in detector.detect(noise):
        (box,) = faces.boxes
        assert np.abs(box - [192, 192, 448, 448]).max() < 3
        assert (faces.points[0] > box[:2]).all()
        assert (faces.points[0] < box[2:]).all()


def test_every_engine_finds_what_numpy_finds() -> None:
    rows = list(searches.measure(3000, 32, "cpu", [1, 5], 0.001))
    engines = {row["engine"] for row in rows}
    assert engines == {"exact, NumPy", "graph, cpu", "two stages, CPU", "Faiss, card"}
    for row in rows:
        if "missing" in row:
            assert row["missing"] == "no card"
        elif row["engine"] != "exact, NumPy":
            assert row["same"] > 0.98
            assert row["first"] == 1.0
            assert row["qps"] > 0


def test_numpy_finds_the_nearest_of_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "PART", 100)
    rows = searches.faces_of(350, 16)
    queries = searches.queries_of(rows)
    expected = np.argsort(-(queries @ rows.astype(np.float32).T), axis=1)[:, : searches.NEAREST]
    assert np.array_equal(searches.exact(rows, queries), expected)


def test_what_a_card_does_not_tell_is_left_out() -> None:
    said = card.averages("50, 1000, [N/A]\n100, 2000, [N/A]\n7, 30")
    assert said == {"utilization.gpu": 75.0, "memory.used": 1500.0}
    assert card.averages("") == {}


def test_the_figures_are_of_the_networks_that_ship() -> None:
    rows = json.loads((page.FIGURES / "cpu.json").read_text())["stages"]
    known = {row["stage"] for row in rows if row["pack"] == "builtin"}
    assert known == set(stages.names(find_pack("builtin", Path())).values())


def test_a_network_that_is_gone_loses_its_figures() -> None:
    def row(pack: str, stage: str, qps: float) -> dict[str, object]:
        return {"pack": pack, "stage": stage, "what": "32 bit", "batch": 1, "qps": qps}

    kept: list[list[dict[str, object]]] = []
    old = [row("builtin", "eyes, nose", 1), row("builtin", "nose", 1), row("large", "ears", 1)]
    measured("stages", old, iter([row("builtin", "eyes", 2), row("builtin", "nose", 2)]), kept.append)
    assert kept[-1] == [row("builtin", "nose", 2), row("large", "ears", 1), row("builtin", "eyes", 2)]


def test_the_page_is_made_of_the_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.write()
    committed = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert (tmp_path / "page.md").read_text() == committed
    assert (page.MISSING in committed) != (page.FIGURES / "card.json").exists()
