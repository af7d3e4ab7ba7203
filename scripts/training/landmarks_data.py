"""Training views of the landmark model: the server's upright crop of a face, disturbed in every way a photo may be."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import disguises
from scripts.training.corpus import Corpus, Image, decode, encode_jpeg
from scripts.training.landmarks_consensus import Maps, angles, box_side, consensus, five_of, rotations
from scripts.training.landmarks_labels import Labels, read
from scripts.training.landmarks_teachers import FaceBox, Matrix, apply, upright
from scripts.training.teachers import Floats

SIDE = 128  # stored crops
SIZE = 112  # the model's input
SCALE = 1.25  # crop side / detector box side
BORDERS = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)

# The WFLW points after mirroring the picture: left becomes right.
_CONTOUR = list(range(32, -1, -1))
_BROWS = [46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38]
_NOSE = [51, 52, 53, 54, 59, 58, 57, 56, 55]
_EYES = [72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65]
_MOUTH = [82, 81, 80, 79, 78, 77, 76, 87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93]
MIRROR = np.array([*_CONTOUR, *_BROWS, *_NOSE, *_EYES, *_MOUTH, 97, 96])


@dataclass(frozen=True)
class Faces:
    """Pixels and targets of all labelled crops of some parts; coordinates in pixels of the stored 128x128 crop."""

    pixels: NDArray[np.uint8]
    rows: NDArray[np.intp]
    boxes: Floats
    five: Floats
    points: Floats
    spread: Floats
    rotation: NDArray[np.float64]
    teachers: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def face(self, index: int) -> FaceBox:
        return FaceBox(self.boxes[index], self.five[index], 1.0)

    def image(self, index: int) -> Image:
        return self.pixels[self.rows[index]]


def load(folder: Path, corpus: Corpus, *parts: str) -> Faces:
    """The crops labelled so far that belong to these parts and on which the teachers roughly agree."""
    labels = read(folder)
    pixels = _pixels(folder, corpus, labels)
    side = box_side(labels)
    answers = Maps.load().answers(labels)
    points, spread = consensus(answers, side)
    keep = np.isin(np.asarray(labels["part"]), parts) & (np.median(spread, axis=1) < 0.06) & (side > 0.3)
    rotation = rotations(np.asarray(labels["p478"], np.float64)[keep])
    return Faces(
        pixels=pixels,
        rows=np.flatnonzero(keep),
        boxes=np.asarray(labels["box"], np.float32)[keep] * SIDE,
        five=np.asarray(labels["five"], np.float32)[keep] * SIDE,
        points=(points[keep] + 0.5) * SIDE,
        spread=spread[keep],
        rotation=rotation,
        teachers=(answers[:, keep] + 0.5) * SIDE,
    )


def _pixels(folder: Path, corpus: Corpus, labels: Labels) -> NDArray[np.uint8]:
    """All labelled crops at one size in one file, which the system keeps in memory once for all processes."""
    path, count = folder / "pixels.npy", len(labels["name"])
    if path.exists():
        stored = np.load(path, mmap_mode="r")
        if len(stored) == count:
            return np.asarray(stored)
    crops = {crop.file: crop for crop in corpus.select("fairface", aligned=False)}
    fresh = folder / "pixels.new.npy"
    out = np.lib.format.open_memmap(fresh, "w+", np.uint8, (count, SIDE, SIDE, 3))
    for i, name in enumerate(labels["name"]):
        pixels = corpus.pixels(crops[str(name)])
        out[i] = pixels if pixels.shape[0] == SIDE else cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    out.flush()
    fresh.replace(path)
    return np.asarray(np.load(path, mmap_mode="r"))


@dataclass
class Views:
    """Endless random views: (pixels, points in 0..1, weights, pose in degrees)."""

    faces: Faces
    rng: np.random.Generator

    def batch(self, count: int) -> tuple[NDArray[np.uint8], Floats, Floats, Floats]:
        views = [self._view(int(i)) for i in self.rng.integers(len(self.faces), size=count)]
        pixels, points, weights, turns = zip(*views, strict=True)
        return np.stack(pixels), np.stack(points), np.stack(weights), angles(np.stack(turns))

    def _view(self, index: int) -> tuple[Image, Floats, Floats, NDArray[np.float64]]:
        rng, faces = self.rng, self.faces
        matrix, turn = self._crop(faces.face(index))
        border = BORDERS[rng.integers(3)]
        shade = tuple(int(v) for v in rng.integers(0, 256, 3))
        pixels = cv2.warpAffine(faces.image(index), matrix, (SIZE, SIZE), borderMode=border, borderValue=shade)
        points = apply(matrix, faces.points[index]) / np.float32(SIZE)
        weights = 1 / (1 + (faces.spread[index] / 0.03) ** 2)
        rotation = _about_z(turn) @ faces.rotation[index]
        if rng.random() < 0.5:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            points = np.stack([1 - points[:, 0], points[:, 1]], 1)[MIRROR]
            weights = weights[MIRROR]
            mirror = np.diag([-1.0, 1.0, 1.0])
            rotation = mirror @ rotation @ mirror
        view = np.asarray(pixels, np.uint8)
        if rng.random() < 0.1:
            view = disguise(view, five_of(points) * SIZE, rng)
        return disturb(view, rng), points, weights, rotation

    def _crop(self, face: FaceBox) -> tuple[Matrix, float]:
        """The matrix of a crop as the server would make it from a rough detection, and its clockwise turn."""
        rng = self.rng
        turn = rng.uniform(-30, 30) if rng.random() < 0.3 else rng.normal(0, 7)
        zoom = SCALE * np.exp(rng.normal(0, 0.08))
        matrix = upright(face, zoom, SIZE, -turn)
        stretch = np.exp(rng.normal(0, 0.03))
        matrix[0] *= stretch
        matrix[0, 2] += SIZE * (1 - stretch) / 2
        matrix[:, 2] += rng.normal(0, 0.045, 2) * SIZE
        return matrix, turn - face.roll


def _about_z(degrees: float) -> NDArray[np.float64]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def disguise(pixels: Image, five: Floats, rng: np.random.Generator) -> Image:
    """The same face with a mask or with sunglasses."""
    return (disguises.mask if rng.random() < 0.65 else disguises.sunglasses)(pixels, five, rng)


def disturb(pixels: Image, rng: np.random.Generator) -> Image:
    """Light, colour, blur, loss of detail, noise, recompression and occluders, each now and then."""
    out = pixels.astype(np.float32)
    if rng.random() < 0.8:
        out = (out - 128) * rng.uniform(0.5, 1.4) + 128 + rng.normal(0, 25)
        out *= rng.normal(1, 0.08, 3).astype(np.float32)
    if rng.random() < 0.2:
        ramp = np.linspace(-1, 1, len(out), dtype=np.float32) * rng.uniform(-70, 70)
        out += ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    if rng.random() < 0.15:
        out = np.repeat(out.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.12:
        out = 255 * (np.clip(out, 0, 255) / 255) ** np.exp(rng.normal(0, 0.5))
    if rng.random() < 0.3:
        out = _blur(out, rng)
    if rng.random() < 0.2:
        out += rng.standard_normal(out.shape, dtype=np.float32) * rng.uniform(2, 16)
    view = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        view = _occlude(view, rng)
    return decode(encode_jpeg(view, int(rng.integers(15, 75)))) if rng.random() < 0.15 else view


def _blur(out: Floats, rng: np.random.Generator) -> Floats:
    kind, size = rng.integers(3), out.shape[0]
    if kind == 0:
        return np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 2.5)), np.float32)
    if kind == 1:
        small = int(rng.integers(24, 80))
        down = cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(down, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    length = int(rng.integers(3, 11))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    turned = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turned, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(out, -1, kernel / max(kernel.sum(), 1e-3)), np.float32)


def _occlude(view: Image, rng: np.random.Generator) -> Image:
    """A plain or textured ellipse, box or bar over part of the face; often from the border, like hands and hair."""
    size = view.shape[0]
    mask = np.zeros((size, size), np.uint8)
    centre = rng.uniform(0, size, 2)
    if rng.random() < 0.5:
        centre[rng.integers(2)] = rng.choice([0, size])
    axes = rng.uniform(0.06, 0.28, 2) * size
    if rng.random() < 0.5:
        place, spread = (int(centre[0]), int(centre[1])), (int(axes[0]), int(axes[1]))
        cv2.ellipse(mask, place, spread, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    else:
        corners = cv2.boxPoints((tuple(map(float, centre)), tuple(map(float, axes * 2)), float(rng.uniform(0, 180))))
        cv2.fillConvexPoly(mask, corners.astype(np.int32), 255)
    texture = np.empty_like(view)
    texture[:] = rng.integers(0, 256, 3)
    if rng.random() < 0.5:  # something with structure: another place of the same picture, turned around
        texture = np.roll(view[::-1], int(rng.integers(size)), axis=1)
    return np.where(mask[..., None] > 0, texture, view)
