"""Training views made once and kept as plain arrays on disk: making them costs more than learning from them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

Row = Mapping[str, object]
Shape = tuple[int, ...]


class Views:
    """`count` rows of named arrays in a folder; `fill` goes on where an earlier call stopped."""

    def __init__(self, folder: Path, count: int, fields: Mapping[str, tuple[DTypeLike, Shape]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.count = count
        self._filled = folder / "filled"
        self._arrays = {
            name: _open(folder / f"{name}.npy", (count, *shape), kind) for name, (kind, shape) in fields.items()
        }

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self._arrays[name][: self.filled]

    @property
    def filled(self) -> int:
        return int(self._filled.read_text()) if self._filled.exists() else 0

    def fill(self, make: Callable[[int], Row]) -> None:
        """Row i is `make(i)`, a function of i alone."""
        for number in range(self.filled, self.count):
            for name, value in make(number).items():
                self._arrays[name][number] = value
            if (number + 1) % 500 == 0 or number + 1 == self.count:
                for array in self._arrays.values():
                    array.flush()
                self._filled.write_text(str(number + 1))
                print(f"{number + 1} of {self.count} views", flush=True)


def endless(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Places in random order without end: every place once before any comes again."""
    while True:
        yield from rng.permutation(count).tolist()


def _open(path: Path, shape: Shape, kind: DTypeLike) -> np.memmap:
    if path.exists():
        array = np.lib.format.open_memmap(path, mode="r+")
        if array.shape != shape:
            raise ValueError(f"{path} holds {array.shape}, not {shape}: remove the folder to make it anew")
        return array
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
