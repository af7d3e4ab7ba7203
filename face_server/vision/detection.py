"""Where the faces of a picture are: at which sizes and turns to look, and how the findings become one list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from face_server.vision.adapters.detectors import Detector
from face_server.vision.adapters.nms import overlaps, within
from face_server.vision.align import Floats, floats
from face_server.vision.images import Pixels
from face_server.vision.view import Crop, Faces, View

GRID = 32  # input sides are multiples of it
# Below this a smaller input has guessed rather than seen; the next larger input decides. (Pixels of the input.)
CLEAR = 32
SAME = 0.4  # overlap from which two findings are one face
# So many faces smaller than CLEAR are a crowd, worth a look at a larger input. It adds its own small faces only (pixels
# of that input): what is large and was seen by no other input is no face.
FEW, SMALL = 3, 64
# How a doubtful face is looked at again: upright and alone, as large as detectors like it. Of the crops tried on real
# photos this one tells dogs (below .5) from masked, turned and cut faces (above .75) best.
SECOND_LOOK = Crop("box", 96, scale=1.35, upright=True)
_ROTATIONS = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)


class Finder:
    """`square`: always a square input, so that pictures of different requests can share a batch (on a GPU)."""

    def __init__(self, detector: Detector, square: bool = False) -> None:
        self.detector = detector
        self.square = square

    def find(self, pixels: Pixels, most: int = 1, by_area: bool = True, any_turn: bool = False) -> Faces:
        """At most `most` faces in the picture's pixels: the largest first, or the most certain.

        A small input comes first: detectors place the points of a large face better when it fills at most 300 pixels
        of their input, and one large face is all that most pictures have. What it sees clearly is kept as it is by the
        larger input, which only adds smaller faces: so the largest face of a picture is the same, box and token,
        whether one face was asked for or ten.
        """
        chosen = faces = Faces.none()
        for faces in self._passes(pixels, any_turn):
            if most == 1:
                chosen = self._choose(pixels, faces, most, by_area)
                if len(chosen):
                    return chosen
        return chosen if most == 1 else self._choose(pixels, faces, most, by_area)

    def _passes(self, pixels: Pixels, any_turn: bool) -> Iterator[Faces]:
        """All that is found so far, after each size of input."""
        longest = max(pixels.shape[:2])
        sizes = self._sizes(longest)
        kept: list[Faces] = []
        for size in sizes:
            least = CLEAR if size != sizes[-1] else 0
            kept.append(self._turned(pixels, size, any_turn, least=least))
            yield _union(kept)
        if sizes[-1] < min(longest, self.detector.crowd) and _small(_union(kept), longest / sizes[-1]) >= FEW:
            kept.append(self._turned(pixels, self.detector.crowd, any_turn, most=SMALL))
            yield _union(kept)

    def _sizes(self, longest: int) -> tuple[int, ...]:
        """Never larger than the picture: enlarging a small one misleads the detector."""
        sizes = self.detector.sizes
        useful = [size for size in sizes if size < longest]
        beyond = [size for size in sizes if size >= longest]
        return tuple(useful + beyond[:1])

    def _turned(self, pixels: Pixels, size: int, any_turn: bool, least: float = 0, most: float = np.inf) -> Faces:
        turns = [self._look(pixels, size, turn, least, most) for turn in range(4 if any_turn else 1)]
        # A turned face may also be found, badly, in the upright picture: the most certain view of it counts.
        return _surest(turns)

    def _look(self, pixels: Pixels, size: int, turn: int, least: float, most: float) -> Faces:
        """The faces from `least` to below `most` pixels of the input, seen after `turn` quarters clockwise."""
        rotation = _ROTATIONS[turn]
        seen = pixels if rotation is None else np.asarray(cv2.rotate(pixels, rotation), np.uint8)
        canvas, scale = letterbox(seen, size, self.detector.fixed, self.square)
        (faces,) = self.detector.detect(canvas[None])
        faces = whole(faces)
        if least or most < np.inf:
            sides = faces.sides
            faces = faces[(sides >= least) & (sides < most)]
        faces = Faces(faces.boxes / np.float32(scale), faces.scores, faces.points / np.float32(scale))
        return unturn(faces, turn, *pixels.shape[:2]) if turn else faces

    def _choose(self, pixels: Pixels, faces: Faces, most: int, by_area: bool) -> Faces:
        left = faces
        if len(faces) > 1:
            areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)
            left = faces[np.argsort(-(areas if by_area else faces.scores), kind="stable")]
        chosen = Faces.none()
        while len(left) and len(chosen) < most:
            room = most - len(chosen)
            sure = self._confirmed(pixels, left[:room])
            chosen = Faces.joined([chosen, sure]) if len(chosen) else sure
            left = left[room:]
        return chosen

    def _confirmed(self, pixels: Pixels, faces: Faces) -> Faces:
        """Without the doubtful faces that a second look, plain and mirrored, does not confirm."""
        if self.detector.fixed or not self.detector.doubt:
            return faces
        doubtful = np.flatnonzero(faces.scores < self.detector.doubt)
        if not len(doubtful):
            return faces
        crops = View(pixels, faces[doubtful]).crops(SECOND_LOOK)
        # What scores less in one of the two crops cannot reach the mean that is asked for.
        least = max(0.0, 2 * self.detector.sure - 1)
        looks = self.detector.detect(np.concatenate([crops, crops[:, :, ::-1]]), least)
        sure = np.array([_central(look) for look in looks], np.float32).reshape(2, -1).mean(axis=0)
        scores = faces.scores.copy()
        scores[doubtful] = sure
        return replace(faces, scores=scores)[
            scores >= np.where(faces.scores < self.detector.doubt, self.detector.sure, 0.0)
        ]


def letterbox(pixels: Pixels, size: int, fixed: tuple[int, int] | None, square: bool) -> tuple[Pixels, float]:
    """The picture, at most `size` long and never enlarged, at the top left of a black canvas the detector takes."""
    height, width = pixels.shape[:2]
    scale = min(1.0, size / max(height, width))
    if fixed:
        scale = min(scale, fixed[0] / height, fixed[1] / width)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    side = -(-size // GRID) * GRID
    rows, columns = fixed or ((side, side) if square else (-(-high // GRID) * GRID, -(-wide // GRID) * GRID))
    canvas = np.zeros((rows, columns, 3), np.uint8)
    if scale == 1.0:
        canvas[:high, :wide] = pixels
    else:
        canvas[:high, :wide] = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_LINEAR)
    return canvas, scale


def whole(faces: Faces) -> Faces:
    """Without what lies inside a surer face: eyes, nose and mouth of a large face pass for a face now and then."""
    if len(faces) < 2:
        return faces
    return faces[np.flatnonzero(~np.triu(within(faces.boxes, faces.boxes), 1).any(axis=0))]


def unturn(faces: Faces, turn: int, height: int, width: int) -> Faces:
    """Faces found in the picture turned `turn` quarters clockwise, in the picture itself (height x width)."""
    corners = _unturn(faces.boxes.reshape(-1, 2, 2), turn, height, width)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Faces(boxes, faces.scores, _unturn(faces.points, turn, height, width))


def _unturn(points: Floats, turn: int, height: int, width: int) -> Floats:
    x, y = points[..., 0], points[..., 1]
    back = {1: (y, height - x), 2: (width - x, height - y), 3: (width - y, x)}[turn]
    return np.stack(back, axis=-1).astype(np.float32)


def _central(look: Faces) -> float:
    """The best score of a face in the middle of the crop."""
    middle = (look.boxes[:, :2] + look.boxes[:, 2:]) / 2
    near = np.abs(middle / SECOND_LOOK.size - 0.5).max(axis=1, initial=0.0) < 0.2
    return float(look.scores[near].max(initial=0.0))


def _small(faces: Faces, pixel: float) -> int:
    """How many faces are smaller than CLEAR pixels of an input, one of which is `pixel` of the picture's."""
    return int((faces.sides < CLEAR * pixel).sum())


def _union(parts: list[Faces]) -> Faces:
    """Of one face in several parts the finding of the first part counts. What lies inside a less certain one stays:
    that one may turn out to be no face."""
    result = parts[0]
    for part in parts[1:]:
        surer = result.scores[:, None] >= part.scores
        again = (overlaps(result.boxes, part.boxes) > SAME) | (within(result.boxes, part.boxes) & surer)
        new = ~again.any(axis=0)
        result = Faces.joined([result, part[np.flatnonzero(new)]])
    return result


def _surest(parts: list[Faces]) -> Faces:
    """Of one face in several parts the most certain finding counts."""
    result = parts[0]
    for part in parts[1:]:
        same = overlaps(part.boxes, result.boxes) > SAME
        rival = floats(np.where(same, result.scores[None], 0.0).max(axis=1, initial=0.0))
        better = np.greater(part.scores, rival)
        beaten = (same & better[:, None]).any(axis=0)
        result = Faces.joined([result[np.flatnonzero(~beaten)], part[np.flatnonzero(better)]])
    return result
