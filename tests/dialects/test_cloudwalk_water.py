"""Taking the mesh off: which part of a picture is cleaned, and what is left of a mesh with the builtin pack."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from face_server.vision import manifest
from face_server.vision.packs import models_home
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import pixels, png, text
from tests.clients.cloudwalk_client import CloudWalk
from tests.dialects.test_cloudwalk import refusal

PATH = "/face/tool/removeWater"


def negative() -> bytes:
    """A network that no mesh remover is: what it has painted cannot be mistaken."""
    shape: list[str | int | None] = ["n", "h", "w", 3]
    nodes = [
        helper.make_node("Cast", ["image"], ["seen"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "seen"], ["image_clean"]),
    ]
    white = helper.make_tensor("white", TensorProto.FLOAT, [1], [255.0])
    source = helper.make_tensor_value_info("image", TensorProto.UINT8, shape)
    target = helper.make_tensor_value_info("image_clean", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "negative", [source], [target], [white])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def equipped(folder: Path, dewater: bytes | None) -> Path:
    """The builtin pack with this network, or none, as its mesh remover."""
    shutil.copytree(models_home("builtin"), folder)
    path = folder / manifest.NAME
    table = manifest.read(path)
    table["roles"].pop("dewater", None)
    if dewater is not None:
        (folder / "mesh.onnx").write_bytes(dewater)
        table["roles"]["dewater"] = {
            "file": "mesh.onnx",
            "sha256": hashlib.sha256(dewater).hexdigest(),
            "adapter": "image_to_image",
            "licence": "Apache-2.0",
            "multiple": 16,
            "sides": [128, 320],
        }
    manifest.write(path, table)
    return folder


def cleaned(answer: dict[str, Any]) -> np.ndarray[Any, Any]:
    seen = Image.open(io.BytesIO(base64.b64decode(answer["img"])))
    assert seen.format == "JPEG"
    return np.asarray(seen.convert("RGB"), np.float32)


def rgb(picture: bytes) -> np.ndarray[Any, Any]:
    return pixels(picture)[..., ::-1].astype(np.float32)


def test_small_pictures_are_cleaned_as_a_whole_and_large_ones_at_their_faces(astronaut: bytes, tmp_path: Path) -> None:
    small = png(np.ascontiguousarray(pixels(astronaut)[20:220, 120:300]))
    empty = png(np.full((400, 500, 3), 200, np.uint8))
    with serving(tmp_path / "data", pack=str(equipped(tmp_path / "pack", negative()))) as server:
        api = CloudWalk(server.url)
        answer = api.call(PATH, img=text(small))
        assert re.fullmatch(r"user_\d{4}(_\d\d){5}_0\d{3}_1", answer["imageLog"])
        assert answer["path"] == PATH
        assert 0 < int(answer["seq"]) < 2**63
        whole = cleaned(answer)
        assert whole.shape == (200, 180, 3)
        assert np.abs(whole - (255 - rgb(small))).mean() < 12
        (face, *_) = api.detect(astronaut)
        picture, part = rgb(astronaut), cleaned(api.call(PATH, img=text(astronaut)))
        assert part.shape == picture.shape
        x, y = face["x"] + face["width"] // 2, face["y"] + face["height"] // 2
        near = np.s_[y - 20 : y + 20, x - 20 : x + 20]
        assert np.abs(part[near] - (255 - picture[near])).mean() < 20
        corner = np.s_[:30, :30]
        assert np.abs(part[corner] - picture[corner]).mean() < 5
        assert np.abs(cleaned(api.call(PATH, img=text(empty))) - 55).mean() < 3
        for wrong, code in ((b"x", 8497), (png(np.zeros((23, 40, 3), np.uint8)), 8499)):
            assert refusal(partial(api.call, PATH, img=text(wrong))) == code


def test_without_the_model_it_is_not_supported(astronaut: bytes, tmp_path: Path) -> None:
    with serving(tmp_path / "data", pack=str(equipped(tmp_path / "pack", None))) as server:
        assert refusal(lambda: CloudWalk(server.url).call(PATH, img=text(astronaut))) == 4100


def test_the_builtin_pack_takes_a_mesh_away(server: ServerProcess, astronaut: bytes) -> None:
    clean = rgb(png(np.ascontiguousarray(pixels(astronaut)[20:220, 120:300])))
    rows, columns = np.mgrid[: clean.shape[0], : clean.shape[1]]
    lines = ((rows + 5 * np.sin(columns / 9)) % 14 < 1) | ((rows - columns + 4 * np.sin(rows / 7)) % 16 < 1)
    marked = np.where(lines[..., None], clean * 0.5 + 110, clean).clip(0, 255).astype(np.uint8)
    sent = text(png(np.ascontiguousarray(marked[..., ::-1])))
    mended = cleaned(CloudWalk(server.url).call(PATH, img=sent))
    assert mended.shape == clean.shape
    before, after = (np.square(seen - clean).mean() for seen in (marked.astype(np.float32), mended))
    assert after < before / 2  # three decibels
