"""`face-server size`: the formula, and a machine never smaller for more."""

import pytest
from typer.testing import CliRunner

from face_server.commands.size import BUILTIN, Measured, app, need

ROUND = Measured(base_mb=1024, face_bytes=1024, disk_bytes=500, identify_ms=14, detect_ms=7)


@pytest.mark.parametrize(
    ("faces", "qps", "interface", "cores", "memory_gb"),
    [
        (0, 0, "identify", 1, 1.5),
        (0, 50, "identify", 1, 1.5),
        (0, 51, "identify", 2, 1.5),
        (0, 100, "detect", 1, 1.5),
        (2**20, 500, "identify", 10, 3.0),
    ],
)
def test_the_formula(faces: int, qps: float, interface: str, cores: int, memory_gb: float) -> None:
    found = need(faces, qps, "identify" if interface == "identify" else "detect", True, ROUND)
    assert (found.cores, found.memory_gb) == (cores, memory_gb)


def test_pictures_take_most_of_the_disk() -> None:
    with_, without = (need(10**6, 1, "identify", kept, BUILTIN) for kept in (True, False))
    assert with_.disk_gb > 5 * without.disk_gb > 0


def test_the_word() -> None:
    done = CliRunner().invoke(app, ["--faces", "1000000", "--qps", "100"])
    assert done.exit_code == 0
    assert done.output.split()[0::2][0] == "cores"
    assert CliRunner().invoke(app, ["--faces", "1", "--qps", "1", "--interface", "both"]).exit_code == 2
