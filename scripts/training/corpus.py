"""Face crops with labels, scenes and eyes, read from the tars and the zip of a corpus folder.

The folder is named by --corpus or FACE_CORPUS; the default lies beside the checkout.
"""

import csv
import hashlib
import os
import tarfile
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "corpus"
SPLIT_SEED = "face-server-1"


@dataclass(frozen=True, slots=True)
class Crop:
    """One row of index.csv: a face in a square crop, `points` in that crop's pixels."""

    file: str
    archive: str
    source: str
    identity: str
    labels: dict[str, str]
    points: Points | None

    def number(self, label: str, default: float = float("nan")) -> float:
        """A label as a number; `default` when the row does not say."""
        text = self.labels[label]
        return float(text) if text else default

    @property
    def part(self) -> str:
        """train (80 %), valid (10 %) or test (10 %), fixed per person, or per picture where nobody is named."""
        return split(self.identity or self.file)


def split(key: str) -> str:
    """The fixed part of a person or picture. A hash, so that new rows never move old ones."""
    place = int.from_bytes(hashlib.sha256(f"{SPLIT_SEED}:{key}".encode()).digest()[:4], "big") % 10
    return "test" if place == 0 else "valid" if place == 1 else "train"


def decode(data: bytes) -> Image:
    """RGB pixels of an encoded picture."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("not a picture that OpenCV can decode")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


class _Archive:
    """Random access to the members of one tar or zip; safe to use after a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zips: dict[int, zipfile.ZipFile] = {}
        self._places: dict[str, tuple[int, int]] = {}
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                self._places = {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
            self._handle = os.open(path, os.O_RDONLY)

    def names(self) -> list[str]:
        return list(self._places) if self._places else self._zip().namelist()

    def read(self, name: str) -> bytes:
        if not self._places:
            return self._zip().read(name)
        offset, size = self._places[name]
        return os.pread(self._handle, size, offset)

    def _zip(self) -> zipfile.ZipFile:
        # Forked processes would share one file position.
        if os.getpid() not in self._zips:
            self._zips[os.getpid()] = zipfile.ZipFile(self._path)
        return self._zips[os.getpid()]


class Corpus:
    """Everything in the corpus folder; nothing is decoded before it is asked for."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ.get("FACE_CORPUS") or DEFAULT)
        if not (self.folder / "index.csv").exists():
            raise FileNotFoundError(f"no corpus in {self.folder}: name its folder by --corpus or FACE_CORPUS")
        self._archives: dict[str, _Archive] = {}

    @cached_property
    def crops(self) -> list[Crop]:
        with (self.folder / "index.csv").open(newline="") as handle:
            return [_crop(row) for row in csv.DictReader(handle)]

    def select(self, *sources: str, parts: Collection[str] = (), aligned: bool = True) -> list[Crop]:
        """Crops of these sources (all when none is named), of these parts; `aligned` asks for five points."""
        return [
            crop
            for crop in self.crops
            if (not sources or crop.source in sources)
            and (not aligned or crop.points is not None)
            and (not parts or crop.part in parts)
        ]

    def read(self, crop: Crop) -> bytes:
        """The encoded picture."""
        return self._archive(crop.archive).read(crop.file)

    def pixels(self, crop: Crop) -> Image:
        """The decoded picture, RGB."""
        return decode(self.read(crop))

    def scenes(self) -> list[str]:
        """Names of the ordinary photos; read them with `scene`."""
        return self._archive("scenes.tar").names()

    def scene(self, name: str) -> Image:
        return decode(self._archive("scenes.tar").read(name))

    def eyes(self) -> Iterator[tuple[str, bool, Image]]:
        """Name, open?, pixels of every single-eye crop."""
        with (self.folder / "eyes.csv").open(newline="") as handle:
            for row in csv.DictReader(handle):
                pixels = decode(self._archive("eyes.tar").read(row["file"]))
                yield row["file"], row["eyes"] == "open", pixels

    def _archive(self, name: str) -> _Archive:
        if name not in self._archives:
            self._archives[name] = _Archive(self.folder / name)
        return self._archives[name]


def _crop(row: dict[str, str]) -> Crop:
    numbers = [row.pop(f"l{i}{axis}") for i in range(5) for axis in "xy"]
    points = np.array(numbers, np.float32).reshape(5, 2) if all(numbers) else None
    names = (row.pop("file"), row.pop("tar"), row.pop("source"), row.pop("identity"))
    return Crop(*names, labels=row, points=points)


def encode_jpeg(pixels: Image, quality: int) -> bytes:
    """A JPEG of RGB pixels: for recompression in augmentations."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("this picture cannot be encoded")
    return bytes(data.tobytes())
