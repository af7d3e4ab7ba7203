"""The teacher's inner maps for some of the views: they tell each part of the embedder what to answer.

`python -m scripts.training.embed_maps` fills WORK/maps, 100 kB a view; a map's numbers are standardised by channel.
"""

import argparse
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.training import align, runs
from scripts.training.corpus import Image
from scripts.training.embed_net import COARSE, DIMENSIONS, FINE
from scripts.training.embed_views import Stored
from scripts.training.smallnets import centred
from scripts.training.teachers import MobileFaceNet, unit
from scripts.training.views import Row, Views

# What leaves the last block of the teacher at 28x28 and at 14x14.
INNER = {"fine": "/features/features.4/Add_output_0", "coarse": "/features/features.11/Add_output_0"}
FIELDS = {
    "pixels": (np.uint8, (align.SIZE, align.SIZE, 3)),
    "fine": (np.int8, FINE),
    "coarse": (np.int8, COARSE),
    "answer": (np.float32, (DIMENSIONS,)),
}
STEP = 20  # of an int8 to a standard deviation
MEASURED = 200  # views whose maps give mean and standard deviation
COUNT, LEFT_OUT = 32_000, 1_000  # the last ones are not learned from
Floats = NDArray[np.float32]


class Maps:
    """Views with the teacher's maps, as they are stored and as tensors."""

    def __init__(self, work: Path, count: int = COUNT) -> None:
        self._work = work
        self._rows = Views(work / "maps", count, FIELDS)

    def __len__(self) -> int:
        return self._rows.filled - LEFT_OUT

    def fill(self) -> None:
        if self._rows.filled == self._rows.count:
            return
        stored = Stored(self._work / "views")
        chosen = np.random.default_rng(0).permutation(len(stored))[: self._rows.count]
        self._rows.fill(lambda number: self._row(stored.pixels(chosen[number])))

    def rows(self, field: str, places: NDArray[np.int64]) -> Tensor:
        """Rows of a field: faces as floats NCHW around zero, standardised maps, answers of length one."""
        values = torch.from_numpy(np.array(self._rows[field][places]))
        if field == "pixels":
            return centred(values)
        return values / STEP if values.dtype == torch.int8 else values

    def _row(self, face: Image) -> Row:
        answer, *maps = self._teacher.inside(face)
        standard = {name: self._standard(name, values) for name, values in zip(INNER, maps, strict=True)}
        return {"pixels": face, "answer": unit(answer), **standard}

    def _standard(self, name: str, values: Floats) -> NDArray[np.int8]:
        mean, spread = self._spread[name]
        return np.rint((values - mean) / spread * STEP).clip(-127, 127).astype(np.int8)

    @cached_property
    def _teacher(self) -> MobileFaceNet:
        return MobileFaceNet(inner=tuple(INNER.values()))

    @cached_property
    def _spread(self) -> dict[str, tuple[Floats, Floats]]:
        stored = Stored(self._work / "views", most=1)
        told = [self._teacher.inside(stored.pixels(number))[1:] for number in range(MEASURED)]
        maps = zip(INNER, map(np.stack, zip(*told, strict=True)), strict=True)
        axes = (0, 2, 3)
        return {name: (values.mean(axes)[:, None, None], values.std(axes)[:, None, None]) for name, values in maps}


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--count", type=int, default=COUNT)
    args: argparse.Namespace = parser.parse_args()
    runs.start(args)
    Maps(args.work, args.count).fill()


if __name__ == "__main__":
    main()
