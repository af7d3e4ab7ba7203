"""Golden answers: what each network of the pack says to one picture that comes with scikit-image.

`python -m scripts.training.golden [ROLE ...]` writes tests/golden/ROLE.json after an export; a unit test compares.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from scripts.training import packtoml
from scripts.training.align import align
from scripts.training.corpus import Image
from scripts.training.teachers import session

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"
# Eyes, nose, mouth corners and a square around the face of skimage.data.astronaut().
POINTS = [[204.0, 101.5], [246.5, 104.0], [225.0, 128.5], [202.5, 139.5], [247.0, 141.0]]
BOX = (148, 45, 300, 197)
KEPT = 256


def picture(role: str, side: int | None) -> Image:
    """What `role` is asked: the aligned face, a square crop of `side`, or the whole picture where any size goes."""
    astronaut = np.asarray(data.astronaut(), np.uint8)
    if role == "embed":
        return align(astronaut, POINTS)
    if side is None:
        return astronaut
    left, top, right, bottom = BOX
    return np.asarray(cv2.resize(astronaut[top:bottom, left:right], (side, side)), np.uint8)


def answers(role: str, pack: Path = packtoml.PACK) -> dict[str, dict[str, Any]]:
    """Every output of the role's network: shape, mean, and its first numbers."""
    network = session((pack / packtoml.read(pack)["roles"][role]["file"]).resolve())
    feeds = {}
    for entry in network.get_inputs():
        side = entry.shape[1] if isinstance(entry.shape[1], int) else None
        feeds[entry.name] = picture(role, side)[None]
    outputs = zip(network.get_outputs(), network.run(None, feeds), strict=True)
    return {output.name: _summary(np.asarray(values)) for output, values in outputs}


def _summary(values: NDArray[np.float32]) -> dict[str, Any]:
    first = [float(f"{value:.5g}") for value in values.ravel()[:KEPT]]
    return {"shape": list(values.shape), "mean": float(f"{values.mean():.5g}"), "first": first}


def write(role: str, pack: Path = packtoml.PACK) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{role}.json").write_text(json.dumps(answers(role, pack), indent=1) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or packtoml.read()["roles"]:
        write(name)
