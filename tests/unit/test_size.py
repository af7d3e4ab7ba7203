"""`face-server size`: the formula, and a machine never smaller for more."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from face_server.commands.size import BUILTIN, Measured, app, need, search_ms

ROUND = Measured(
    base_mb=1024, face_bytes=1024, disk_bytes=500, identify_ms=14, detect_ms=7, scan_ms=0.1, stages_ms=0.01
)


@pytest.mark.parametrize(
    ("faces", "qps", "interface", "cores", "memory_gb"),
    [
        (0, 0, "identify", 1, 1.5),
        (0, 50, "identify", 1, 1.5),
        (0, 51, "identify", 2, 1.5),
        (0, 100, "detect", 1, 1.5),
        (2**20, 500, "detect", 5, 3.0),
        (10_000, 500, "identify", 10, 1.5),
        (30_000, 500, "identify", 12, 1.5),  # 2 ms more than among 10,000
        (1_010_000, 500, "identify", 17, 2.9),  # two stages: 10.1 ms instead of 1 ms
    ],
)
def test_the_formula(faces: int, qps: float, interface: str, cores: int, memory_gb: float) -> None:
    found = need(faces, qps, "identify" if interface == "identify" else "detect", True, ROUND)
    assert (found.cores, found.memory_gb) == (cores, memory_gb)


def test_pictures_take_most_of_the_disk() -> None:
    with_, without = (need(10**6, 1, "identify", kept, BUILTIN) for kept in (True, False))
    assert with_.disk_gb > 5 * without.disk_gb > 0


@pytest.mark.parametrize("interface", ["identify", "detect"])
def test_more_faces_never_need_less(interface: str) -> None:
    kind = "identify" if interface == "identify" else "detect"
    needs = [need(10**n, 100, kind, True, BUILTIN, card_qps=40) for n in range(4, 9)]  # type: ignore[arg-type]
    for name in ("memory_gb", "disk_gb", "card_gb", "cores"):
        values = [getattr(one, name) for one in needs]
        assert values == sorted(values), name
    assert {one.cards for one in needs} == {4}
    assert needs[-1].card_gb == 30.0
    assert search_ms(10**8, BUILTIN) > 100


def test_the_word() -> None:
    done = CliRunner().invoke(app, ["--faces", "1000000", "--qps", "100"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == ["cores", "memory", "disk", "GPUs"]
    assert "say --gpu-qps" in done.output
    done = CliRunner().invoke(app, ["--faces", "1000000", "--qps", "100", "--gpu-qps", "40"])
    assert "GPUs    4 instead of the cores; galleries take 0.3 GB" in done.output
    assert CliRunner().invoke(app, ["--faces", "1", "--qps", "1", "--interface", "both"]).exit_code == 2


def test_the_page_says_what_the_formula_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sizing.md").read_text()
    for line in (f"{BUILTIN.base_mb} MB", f"{BUILTIN.face_bytes} bytes", f"{BUILTIN.disk_bytes} bytes"):
        assert f"| {line} |" in page
    for cost in (BUILTIN.identify_ms, BUILTIN.detect_ms):
        assert f"| {cost} ms, {1000 / cost:.0f} a second |" in page
    for name, faces in {"10,000": 10**4, "100,000": 10**5, "1 million": 10**6, "10 million": 10**7}.items():
        whole, bare = (need(faces, 100, "identify", kept, BUILTIN) for kept in (True, False))
        disk = f"{whole.disk_gb:,} GB, {bare.disk_gb} without"
        row = f"| {whole.cores} | {whole.memory_gb} GB | {disk} | {whole.card_gb} GB |"
        assert any(line.startswith(f"| {name} | ") and line.endswith(row) for line in page.splitlines()), row
