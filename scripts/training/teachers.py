"""Permissively licensed networks that teach ours: found in --models or FACE_MODELS, by default beside the checkout."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, or the wheel phones home

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from scripts.training.corpus import Image

Floats = NDArray[np.float32]
DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "models"
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def folder() -> Path:
    """Where the teachers' files lie."""
    return Path(os.environ.get("FACE_MODELS") or DEFAULT)


@cache
def session(file: str | Path, *inner: str) -> ort.InferenceSession:
    """A one-thread session of a teacher (path below the folder) or of any ONNX file (absolute path).

    `inner` are names of values inside, which it then answers too.
    """
    proto = onnx.load(folder() / file)
    proto.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    return _opened(proto.SerializeToString())


def _opened(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def unit(vectors: Floats) -> Floats:
    """Rows scaled to length one."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-9), np.float32)


class MobileFaceNet:
    """Face embedding, 128 numbers, Apache-2.0: aligned 112x112 RGB pictures -> unit vectors."""

    def __init__(self, flip: bool = False, inner: Sequence[str] = ()) -> None:
        self._session = session("mobilefacenet/MobileFaceNet.onnx", *inner)
        self._flip = flip
        self._names = ["output0", *inner]

    def __call__(self, faces: NDArray[np.uint8]) -> Floats:
        # One at a time: on a CPU that is this network's fastest batch.
        answers = np.stack([self.inside(face)[0] for face in faces])
        if self._flip:
            answers = unit(answers) + unit(np.stack([self.inside(face[:, ::-1])[0] for face in faces]))
        return unit(answers)

    def inside(self, face: Image) -> list[Floats]:
        """The answer as it leaves the network, and the inner values."""
        pixels = (face.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        return [value[0] for value in self._session.run(self._names, {"input0": pixels.transpose(2, 0, 1)[None]})]


class FaceApi:
    """One of face-api's networks, MIT, published without a graph: the server draws it. Takes 112x112 RGB crops."""

    def __init__(self, draw: Callable[[Mapping[str, bytes]], bytes], name: str) -> None:
        files = (folder() / "faceapi").glob(f"{name}*")
        self._session = _opened(draw({file.name: file.read_bytes() for file in files}))

    def __call__(self, faces: NDArray[np.uint8]) -> list[Floats]:
        answers: list[Floats] = self._session.run(None, {"image": faces})
        return answers


class YuNet:
    """Face detector, Apache-2.0: RGB picture -> rows of x1, y1, x2, y2, score, five points (x, y), in its pixels."""

    def __init__(self, threshold: float = 0.6, nms: float = 0.4, side: int = 320) -> None:
        self._session = session("yunet/yunet_n_dynamic.onnx")
        self._threshold, self._nms, self._side = threshold, nms, side

    def __call__(self, pixels: Image) -> Floats:
        scale = self._side / max(pixels.shape[:2])
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = (-(-n // 32) * 32 for n in small.shape[:2])
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[: small.shape[0], : small.shape[1]] = small
        rows = self.cells(canvas)
        rows = rows[rows[:, 4] >= self._threshold]
        boxes = np.column_stack([rows[:, :2], rows[:, 2:4] - rows[:, :2]]).tolist()
        kept = np.array(cv2.dnn.NMSBoxes(boxes, rows[:, 4].tolist(), self._threshold, self._nms), int).reshape(-1)
        rows = rows[kept]
        rows[:, :4] /= scale
        rows[:, 5:] /= scale
        return np.asarray(rows, np.float32)

    def cells(self, canvas: Image) -> Floats:
        """What every cell says, stride by stride; the sides of the picture are multiples of 32."""
        blob = canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        names = [o.name for o in self._session.get_outputs()]
        outputs = dict(zip(names, self._session.run(None, {"input": blob}), strict=True))
        width = canvas.shape[1]
        return np.concatenate([self._decode(outputs, stride, width // stride) for stride in (8, 16, 32)])

    @staticmethod
    def _decode(outputs: dict[str, Floats], stride: int, columns: int) -> Floats:
        cls, obj, box, kps = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
        cell = np.arange(len(box))
        origin = np.column_stack([cell % columns, cell // columns])
        centre = (origin + box[:, :2]) * stride
        half = np.exp(box[:, 2:]) * stride / 2
        score = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1)).reshape(-1, 1)
        points = ((kps.reshape(-1, 5, 2) + origin[:, None]) * stride).reshape(-1, 10)
        return np.asarray(np.hstack([centre - half, centre + half, score, points]), np.float32)


def square(pixels: Image, box: Floats, scale: float, size: int) -> tuple[Image, NDArray[np.float64]]:
    """The square crop `scale` times a box, resized, black outside; and the 2x3 matrix from picture to crop."""
    x1, y1, x2, y2 = (float(v) for v in box[:4])
    side = max(x2 - x1, y2 - y1) * scale
    zoom = size / side
    matrix = np.array([[zoom, 0, size / 2 - zoom * (x1 + x2) / 2], [0, zoom, size / 2 - zoom * (y1 + y2) / 2]])
    crop = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8), matrix


def landmarks68(pixels: Image, box: Floats) -> Floats:
    """PFLD, MIT: 68 points (300-W order) in the picture's pixels for one detector box."""
    return _points(pixels, box, "pfld68/pfld.onnx", 1.1, bgr=False)


def landmarks98(pixels: Image, box: Floats) -> Floats:
    """PFLD GhostOne, Apache-2.0: 98 points (WFLW order) in the picture's pixels for one detector box."""
    return _points(pixels, box, "ghostone98/PFLD_GhostOne_112_1_opt_sim.onnx", 1.2, bgr=True)


def _points(pixels: Image, box: Floats, file: str, scale: float, bgr: bool) -> Floats:
    crop, matrix = square(pixels, box, scale, 112)
    blob = (crop[:, :, ::-1] if bgr else crop).astype(np.float32).transpose(2, 0, 1)[None] / 255
    teacher = session(file)
    answers = teacher.run(None, {teacher.get_inputs()[0].name: blob})
    flat = max(answers, key=lambda a: a.size if a.size in (136, 196) else 0)
    points = np.asarray(flat, np.float64).reshape(-1, 2) * 112
    return np.asarray((points - matrix[:, 2]) / matrix[0, 0], np.float32)
