"""Foreign models made fit: any batch, proven; weights without a graph get theirs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from face_server.vision import faceapi
from face_server.vision.convert import ConversionError, batchable
from tests import tiny_nets


def session(model: bytes) -> ort.InferenceSession:
    return ort.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("stock", "shape"),
    [
        (tiny_nets.scrfd(), (3, 64, 96)),
        (tiny_nets.fixed(), (3, 2, 2)),
        (tiny_nets.fixed(reshape=(1, 12)), (3, 2, 2)),
        (tiny_nets.fixed_resize(), (3, 4, 4)),
        (tiny_nets.embedder(), (3, 112, 112)),
    ],
    ids=["scrfd", "flatten", "fixed reshape", "fixed resize", "already free"],
)
def test_a_batch_is_answered_as_its_pictures_one_by_one(stock: bytes, shape: tuple[int, ...]) -> None:
    before, after = session(stock), session(batchable({"net.onnx": stock}))
    name = before.get_inputs()[0].name
    pictures = np.random.default_rng(0).normal(0, 1, (4, *shape)).astype(np.float32)
    together = after.run(None, {name: pictures})
    assert [output.name for output in after.get_outputs()] == [output.name for output in before.get_outputs()]
    for place, picture in enumerate(pictures):
        for rows, alone in zip(together, before.run(None, {name: picture[None]}), strict=True):
            assert len(rows) == len(pictures)
            np.testing.assert_allclose(rows[place], alone.reshape(rows[place].shape), rtol=1e-5, atol=1e-6)


def test_scrfd_rows_come_picture_first() -> None:
    after = session(batchable({"det.onnx": tiny_nets.scrfd()}))
    outputs = after.run(None, {"input.1": np.zeros((2, 3, 64, 96), np.float32)})
    assert [output.shape for output in outputs[:3]] == [(2, 192, 1), (2, 48, 1), (2, 12, 1)]


def test_weights_that_lie_in_another_file_are_taken_in() -> None:
    stock = tiny_nets.fixed(external="net.onnx.data")
    inner = batchable({"net.onnx": stock, "net.onnx.data": tiny_nets.fixed_weight()})
    assert inner == batchable({"net.onnx": tiny_nets.fixed()})
    with pytest.raises(ConversionError, match=r"net\.onnx\.data"):
        batchable({"net.onnx": stock})


def test_a_net_that_mixes_its_pictures_is_refused() -> None:
    with pytest.raises(ConversionError, match="3 pictures"):
        batchable({"net.onnx": tiny_nets.fixed(mixes=True)})


def test_quantised_tensors_are_read_by_their_manifest() -> None:
    entries = [
        {"name": "a", "shape": [2, 1], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1}},
        {"name": "b", "shape": [1], "dtype": "float32"},
    ]
    manifest = json.dumps([{"weights": entries, "paths": ["x.bin"]}]).encode()
    data = bytes([0, 6]) + np.array([7.5], np.float32).tobytes()
    found = faceapi.weights({"x.json": manifest, "x.bin": data})
    assert found["a"].tolist() == [[-1.0], [2.0]]
    assert found["b"].tolist() == [7.5]
    with pytest.raises(ValueError, match="8 bytes"):
        faceapi.weights({"x.json": manifest, "x.bin": data + b"xx"})


Corners = tuple[int, int, int, int]


def crop(path: Path, box: Corners) -> np.ndarray:
    """The square around a detector's box, as a network sees it."""
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    photo = cv2.imread(str(path))
    assert photo is not None
    pixels = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    centre = ((left + right) / 2, (top + bottom) / 2)
    return cv2.resize(cv2.getRectSubPix(pixels, (side, side), centre), (112, 112), interpolation=cv2.INTER_AREA)


def faceapi_net(models: Path, name: str, draw: Callable[[Mapping[str, bytes]], bytes]) -> ort.InferenceSession:
    return session(draw({path.name: path.read_bytes() for path in (models / "faceapi").glob(f"{name}*")}))


@pytest.mark.parametrize(
    ("photo", "box", "female", "ages"),
    [
        ("id_obama_1.jpg", (373, 81, 616, 426), False, (40, 58)),
        ("id_nasa_norishige_kanai.jpg", (140, 220, 514, 681), False, (25, 45)),
        ("id_rose_leslie_1.jpg", (180, 114, 424, 452), True, (22, 42)),
        ("id_biden_2.jpg", (357, 126, 713, 655), False, (55, 75)),
        ("cond_child.jpg", (148, 98, 299, 317), None, (0, 18)),
    ],
)
def test_faceapi_tells_age_and_gender(
    photos: Path,
    foreign_models: Path,
    photo: str,
    box: tuple[int, int, int, int],
    female: bool | None,
    ages: tuple[int, int],
) -> None:
    net = faceapi_net(foreign_models, "age_gender_model", faceapi.age_gender)
    face = crop(photos / photo, box)
    age, gender = net.run(["age", "gender"], {"image": np.stack([face, face[:, ::-1]])})
    assert np.all((age > ages[0]) & (age < ages[1]))
    np.testing.assert_allclose(gender.sum(axis=1), 1, atol=1e-5)
    if female is not None:
        assert np.all((gender[:, 0] > 0.5) == female)


def test_faceapi_tells_a_smile(photos: Path, foreign_models: Path) -> None:
    net = faceapi_net(foreign_models, "face_expression_model", faceapi.emotion)
    smiling = crop(photos / "id_obama_1.jpg", (373, 81, 616, 426))
    earnest = crop(photos / "id_clapton_2.jpg", (189, 42, 334, 261))
    emotion = net.run(["emotion"], {"image": np.stack([smiling, earnest])})[0]
    assert emotion[0, 3] > 0.9  # happy
    assert emotion[1, 6] > 0.9  # neutral
