"""What adapters share: the network they drive, how its input is made, and their names in a pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from face_server.vision.align import Floats, floats
from face_server.vision.view import Crops, View

Shape = Sequence[int | str | None]
Params = Mapping[str, Any]
Readings = dict[str, Floats]  # head -> one row per face


class Net(Protocol):
    """A loaded network, however the engine runs it. Dimension 0 of every array is the batch."""

    @property
    def inputs(self) -> Mapping[str, Shape]: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def run(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...


Class = TypeVar("Class", bound=Callable[..., Any])
_REGISTRY: dict[str, Callable[..., Any]] = {}


def adapter(*names: str) -> Callable[[Class], Class]:
    """Registers a class under the names a pack may use. It is made as `cls(name, nets, params)`."""

    def register(cls: Class) -> Class:
        for name in names:
            _REGISTRY[name] = cls
        return cls

    return register


def make(name: str, nets: Sequence[Net], params: Params) -> Any:
    try:
        cls = _REGISTRY[name]
    except KeyError:
        raise ValueError(f"unknown adapter {name!r}; known are {', '.join(sorted(_REGISTRY))}") from None
    return cls(name, nets, params)


def only(nets: Sequence[Net]) -> tuple[Net, str]:
    """The network and the name of its input, for families with one of each."""
    if len(nets) != 1:
        raise ValueError(f"this adapter takes one model, not {len(nets)}")
    return nets[0], next(iter(nets[0].inputs))


def side_of(net: Net, default: int) -> int:
    """The side of the square pictures a network takes, from its graph where that says it."""
    shape = next(iter(net.inputs.values()))
    sides = [size for size in shape[1:] if isinstance(size, int) and size > 4]
    return sides[0] if sides else default


def blob(
    crops: Crops,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    bgr: bool = False,
) -> Floats:
    """uint8 NHWC RGB -> float32 NCHW, `(x - mean) / std` per channel; `bgr` turns the channels round first."""
    scale = 1 / std if isinstance(std, int | float) else 1.0
    values = floats(cv2.dnn.blobFromImages(list(crops), scale, mean=_triple(mean), swapRB=bgr, crop=False))
    if not isinstance(std, int | float):
        values /= floats(std).reshape(1, 3, 1, 1)
    return values


class Reader(Protocol):
    """An adapter that reads values off faces. `heads`: their names; pose is yaw, pitch, roll in the picture."""

    heads: frozenset[str]
    aligned: bool  # it needs exact points

    def read(self, view: View) -> Readings: ...


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def _triple(mean: float | Sequence[float]) -> tuple[float, float, float]:
    a, b, c = (mean, mean, mean) if isinstance(mean, int | float) else mean
    return (a, b, c)
