"""Faces with a class for every pixel and seven named parts, by MediaPipe's mesh and hair teachers (Apache-2.0)."""

from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from scripts.training import align, teachers
from scripts.training.corpus import Corpus, Crop, Image, Points
from scripts.training.landmarks_teachers import FaceBox, FaceMesh, apply, inverse, upright
from scripts.training.livefaces import box_of
from scripts.training.teachers import Floats
from scripts.training.views import Row, Views

SIZE, MARGIN = 128, 0.28  # of the stored pictures; the network sees 112 pixels with a margin of 0.2
LABELS = ("background", "skin", "brows", "eyes", "nose", "lips", "hair", "glasses")
UNKNOWN = 255  # outside the source picture: no label
PARTS = ("left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek", "chin_contour")
FACES = 7_000
FIELDS = {
    "pixels": (np.uint8, (SIZE, SIZE, 3)),
    "classes": (np.uint8, (SIZE, SIZE)),
    "parts": (np.uint8, (SIZE, SIZE)),  # 0 none, else 1 + place in PARTS
    "points": (np.float32, (5, 2)),
    "crop": (np.int32, ()),
}

# Outlines as rings of mesh points; "left" is the image's left.
Ring = tuple[int, ...]
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
NOSE = (
    *(168, 193, 245, 188, 174, 236, 198, 209, 129, 64, 98, 97),
    *(2, 326, 327, 294, 358, 429, 420, 456, 399, 412, 465, 417),
)
LEFT_SOCKET = (70, 63, 105, 66, 107, 193, 245, 128, 121, 120, 119, 118, 117, 111, 143, 156)
RIGHT_SOCKET = (300, 293, 334, 296, 336, 417, 465, 357, 350, 349, 348, 347, 346, 340, 372, 383)
LEFT_CHEEK = (117, 118, 119, 120, 47, 126, 209, 129, 203, 206, 216, 207, 187, 147, 177, 137, 227, 116)
RIGHT_CHEEK = (346, 347, 348, 349, 277, 355, 429, 358, 423, 426, 436, 427, 411, 376, 401, 366, 447, 345)
MOUTH = (164, 167, 165, 92, 186, 57, 43, 106, 182, 83, 18, 313, 406, 335, 273, 287, 410, 322, 391, 393)
CHIN = (
    *(172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397),
    *(364, 394, 395, 369, 396, 175, 171, 140, 170, 169, 135),
)
RINGS: tuple[Ring, ...] = (LEFT_SOCKET, RIGHT_SOCKET, NOSE, MOUTH, LEFT_CHEEK, RIGHT_CHEEK, CHIN)  # as in PARTS
DRAWN: tuple[tuple[str, Ring], ...] = (  # a later one covers an earlier one
    *(("skin", OVAL), ("brows", LEFT_BROW), ("brows", RIGHT_BROW), ("nose", NOSE)),
    *(("eyes", LEFT_EYE), ("eyes", RIGHT_EYE), ("lips", LIPS)),
)


class Hair:
    """Probability of hair at every pixel of an RGB picture."""

    SIDE = 512

    @cached_property
    def _net(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        net = Interpreter(str(teachers.folder() / "mediapipe/hair_segmentation.tflite"), num_threads=1)
        net.allocate_tensors()
        return net

    def __call__(self, pixels: Image) -> Floats:
        net = self._net
        blob = np.zeros((1, self.SIDE, self.SIDE, 4), np.float32)  # the fourth channel is the last frame's mask: none
        blob[0, :, :, :3] = cv2.resize(pixels, (self.SIDE, self.SIDE), interpolation=cv2.INTER_LINEAR) / np.float32(255)
        net.set_tensor(net.get_input_details()[0]["index"], blob)
        net.invoke()
        logits = net.get_tensor(net.get_output_details()[0]["index"])[0]
        odds = cv2.resize(logits[:, :, 1] - logits[:, :, 0], pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def painted(shape: tuple[int, int], mesh: Points, hair: Floats, known: NDArray[np.bool_]) -> tuple[Image, Image]:
    """Class map and part map of one face."""
    classes = np.zeros(shape, np.uint8)

    def draw(canvas: Image, ring: Ring, value: int) -> None:
        cv2.fillPoly(canvas, [np.round(mesh[list(ring)] * 16).astype(np.int32)], value, lineType=cv2.LINE_8, shift=4)

    for name, ring in DRAWN:
        draw(classes, ring, LABELS.index(name))
    parts = np.zeros(shape, np.uint8)
    for place, ring in enumerate(RINGS):
        draw(parts, ring, place + 1)
    # Where the teacher calls nose and cheeks hair (dark or back-lit faces), it is not believed inside the face at all.
    believed = float((hair > 0.5)[parts > 0].mean() if parts.any() else 0) < 0.25
    over = ("background", "skin") if believed else ("background",)
    classes[(hair > 0.5) & (parts == 0) & np.isin(classes, [LABELS.index(name) for name in over])] = LABELS.index(
        "hair"
    )
    classes[~known] = UNKNOWN
    return classes, parts


def faces(corpus: Corpus, work: Path) -> Views:
    """FairFace's wider crops, aligned and painted once."""
    crops = [i for i, c in enumerate(corpus.crops) if c.points is not None and c.source == "fairface" and is_wide(c)]
    chosen = default_rng(11).permutation(crops)[:FACES]
    mesh_of, hair_of = FaceMesh(), Hair()

    def make(number: int) -> Row:
        crop = corpus.crops[chosen[number]]
        return {**_one(corpus.pixels(crop), crop, mesh_of, hair_of), "crop": int(chosen[number])}

    views = Views(work / "faces", len(chosen), FIELDS)
    views.fill(make)
    return views


def painted_faces(corpus: Corpus, crops: list[Crop]) -> dict[str, NDArray[np.generic]]:
    """The same for a few crops, in memory."""
    mesh_of, hair_of = FaceMesh(), Hair()
    rows = [_one(corpus.pixels(crop), crop, mesh_of, hair_of) for crop in crops]
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def is_wide(crop: Crop) -> bool:
    """Archives that leave room around the face."""
    return crop.archive in ("faces_01.tar", "faces_02.tar")


def _one(pixels: Image, crop: Crop, mesh_of: FaceMesh, hair_of: Hair) -> dict[str, object]:
    assert crop.points is not None
    look = upright(FaceBox(box_of(crop), crop.points, 1.0), 1.5, FaceMesh.size)
    seen = cv2.warpAffine(pixels, look, (FaceMesh.size,) * 2, borderMode=cv2.BORDER_REPLICATE)
    mesh = apply(inverse(look), mesh_of(np.asarray(seen, np.uint8))[:, :2])
    matrix = align.similarity(crop.points, align.template(SIZE, MARGIN))
    size = (SIZE, SIZE)
    aligned = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    hair = np.asarray(cv2.warpAffine(hair_of(pixels), matrix, size), np.float32)
    known = cv2.warpAffine(np.ones(pixels.shape[:2], np.float32), matrix, size) > 0.99
    classes, parts = painted(size, apply(matrix, mesh), hair, known)
    pixels = filled(np.asarray(aligned, np.uint8), known)
    return {"pixels": pixels, "classes": classes, "parts": parts, "points": apply(matrix, crop.points)}


def filled(pixels: Image, known: NDArray[np.bool_]) -> Image:
    """Something smooth where the source picture ended."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), 12)[:, :, None]
    smooth = cv2.GaussianBlur(pixels, (0, 0), 12) / weight.clip(0.02)
    return np.where(known[:, :, None], pixels, smooth.clip(0, 255)).astype(np.uint8)
