"""The teacher's inner maps for some of the views: they tell each part of the embedder what to answer.

`python -m scripts.training.embed_maps` fills WORK/maps, 100 kB a view; a map's numbers are standardised by channel.
"""

import argparse
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.training import align, runs, teachers
from scripts.training.corpus import Image
from scripts.training.embed_net import COARSE, DIMENSIONS, FINE
from scripts.training.embed_views import Stored
from scripts.training.teachers import IMAGENET_MEAN, IMAGENET_STD, unit
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


class Inside:
    """The teacher, which also tells its maps."""

    def __init__(self) -> None:
        proto = onnx.load(teachers.folder() / "mobilefacenet/MobileFaceNet.onnx")
        proto.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in INNER.values())
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def __call__(self, face: Image) -> dict[str, Floats]:
        pixels = ((face.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
        names = {"answer": "output0", **INNER}
        answers = self._session.run(list(names.values()), {"input0": pixels[None]})
        return dict(zip(names, (answer[0] for answer in answers), strict=True))


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
            return (values.permute(0, 3, 1, 2).float() - 127.5) / 127.5
        return values / STEP if values.dtype == torch.int8 else values

    def _row(self, face: Image) -> Row:
        told = self._teacher(face)
        maps = {name: self._standard(name, told[name]) for name in INNER}
        return {"pixels": face, "answer": unit(told["answer"]), **maps}

    def _standard(self, name: str, values: Floats) -> NDArray[np.int8]:
        mean, spread = self._spread[name]
        return np.rint((values - mean) / spread * STEP).clip(-127, 127).astype(np.int8)

    @cached_property
    def _teacher(self) -> Inside:
        return Inside()

    @cached_property
    def _spread(self) -> dict[str, tuple[Floats, Floats]]:
        stored = Stored(self._work / "views", most=1)
        told = [self._teacher(stored.pixels(number)) for number in range(MEASURED)]
        maps = {name: np.stack([answer[name] for answer in told]) for name in INNER}
        axes = (0, 2, 3)
        return {
            name: (values.mean(axes)[:, None, None], values.std(axes)[:, None, None]) for name, values in maps.items()
        }


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--count", type=int, default=COUNT)
    args: argparse.Namespace = parser.parse_args()
    runs.start(args)
    Maps(args.work, args.count).fill()


if __name__ == "__main__":
    main()
