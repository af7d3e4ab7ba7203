"""The landmark teachers on upright crops: PFLD-68 (MIT), GhostOne-98 (Apache-2.0), MediaPipe's mesh (Apache-2.0).

The mesh is a .tflite inside MediaPipe's .task bundle and runs with `ai-edge-litert` (a training extra).
"""

import zipfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import teachers
from scripts.training.corpus import Image
from scripts.training.teachers import Floats

MESH = "mediapipe/face_landmarker_v2_with_blendshapes.task"
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A detector's answer for one face, in the picture's pixels."""

    box: Floats
    points: Floats
    score: float

    @classmethod
    def from_row(cls, row: Floats) -> "FaceBox":
        return cls(row[:4].copy(), row[5:15].reshape(5, 2).copy(), float(row[4]))

    @property
    def centre(self) -> Floats:
        return np.asarray((self.box[:2] + self.box[2:]) / 2, np.float32)

    @property
    def side(self) -> float:
        return float((self.box[2:] - self.box[:2]).max())

    @property
    def roll(self) -> float:
        """Degrees clockwise by which the head is turned in the picture: from the line eyes -> mouth."""
        down = self.points[3:].mean(0) - self.points[:2].mean(0)
        return float(np.degrees(np.arctan2(-down[0], down[1])))

    def shifted(self, by: float) -> "FaceBox":
        return replace(self, box=self.box + np.float32(by), points=self.points + np.float32(by))


def upright(face: FaceBox, scale: float, size: int, turn: float = 0.0) -> Matrix:
    """2x3 matrix from the picture to an upright square crop of `size` pixels, `scale` box sides wide."""
    centre = (float(face.centre[0]), float(face.centre[1]))
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, face.roll + turn, size / (face.side * scale)), np.float64)
    matrix[:, 2] += size / 2 - np.array(centre)
    return matrix


def apply(matrix: Matrix, points: NDArray[np.floating]) -> Floats:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def inverse(matrix: Matrix) -> Matrix:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


class FaceMesh:
    """MediaPipe's 478 points: RGB crop of `size` pixels -> x, y, z in crop pixels, z growing away from the viewer."""

    size = 192

    @cached_property
    def _net(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        net = Interpreter(model_content=bundled("face_landmarks_detector.tflite"), num_threads=1)
        net.allocate_tensors()
        return net

    def __call__(self, crop: Image) -> Floats:
        return self.seen(crop)[0]

    def seen(self, crop: Image) -> tuple[Floats, float]:
        """The points, and the logit of a face being there at all."""
        net = self._net
        net.set_tensor(net.get_input_details()[0]["index"], crop[None].astype(np.float32) / 255)
        net.invoke()
        answers = [net.get_tensor(output["index"]) for output in net.get_output_details()]
        points, presence = max(answers, key=np.size), min(answers, key=np.size)
        return np.asarray(points.reshape(478, 3), np.float32), float(presence.item())


def bundled(name: str) -> bytes:
    """A member of MediaPipe's bundle."""
    with zipfile.ZipFile(Path(teachers.folder()) / MESH) as bundle:
        return bundle.read(name)


class LandmarkTeachers:
    """All three on one face; answers in the picture's pixels."""

    def __init__(self) -> None:
        self._mesh = FaceMesh()

    def presence(self, pixels: Image, face: FaceBox) -> float:
        """The mesh's logit that this is a human face."""
        return self._mesh.seen(self._crop(pixels, face, 1.5, FaceMesh.size, 0.0)[0])[1]

    def __call__(self, pixels: Image, face: FaceBox, turn: float = 0.0, zoom: float = 1.0) -> dict[str, Floats]:
        """`turn` degrees and `zoom` vary the view, so that several answers can be averaged."""
        crop, matrix = self._crop(pixels, face, 1.1 * zoom, 112, turn)
        answers = {"p68": apply(inverse(matrix), _direct("pfld68/pfld.onnx", crop, 68))}
        crop, matrix = self._crop(pixels, face, 1.2 * zoom, 112, turn)
        ghost = _direct("ghostone98/PFLD_GhostOne_112_1_opt_sim.onnx", crop[:, :, ::-1], 98)
        answers["p98"] = apply(inverse(matrix), ghost)
        crop, matrix = self._crop(pixels, face, 1.5 * zoom, FaceMesh.size, turn)
        mesh = self._mesh(crop)
        unit = face.side * 1.5 * zoom / FaceMesh.size
        answers["p478"] = np.concatenate([apply(inverse(matrix), mesh[:, :2]), mesh[:, 2:] * unit], 1)
        return answers

    @staticmethod
    def _crop(pixels: Image, face: FaceBox, scale: float, size: int, turn: float) -> tuple[Image, Matrix]:
        matrix = upright(face, scale, size, turn)
        crop = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop, np.uint8), matrix


def _direct(file: str, crop: Image, count: int) -> Floats:
    session = teachers.session(file)
    blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255
    answer = session.run(None, {session.get_inputs()[0].name: blob})[0]
    return np.asarray(answer.reshape(count, 2) * crop.shape[0], np.float32)
