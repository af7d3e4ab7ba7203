"""insightface is the reference: on the same files and pictures our batched adapters must say what its classes say.

It is installed without its dependencies into a folder of its own, because its GUI OpenCV would break the headless one.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face_server.engine.session import SessionModel, open_session
from face_server.vision import adapters
from face_server.vision.convert import batchable
from face_server.vision.view import Faces, View
from tests import tiny_nets
from tests.conftest import ROOT, SHARED

# One worker makes the environment for all.
pytestmark = pytest.mark.xdist_group("reference-insightface")

HOME = ROOT / "build" / "reference-env"
PACKAGE = "insightface==2.1"
NEEDS = ("requests", "scikit-image", "scipy", "tqdm")
# Of these the reference must use what we use: another version may round another way.
SHARED_NEEDS = ("numpy", "onnx", "onnxruntime", "opencv-python-headless")
SIDE, THRESHOLD, NMS = 640, 0.5, 0.4
DETECTORS = ("scrfd_2.5g_bnkps.onnx", "det_500m.onnx", "tiny_scrfd.onnx")
EMBEDDERS = ("MobileFaceNet.onnx", "tiny_embedder.onnx")
PICTURES = ("t1.jpg", "Tom_Hanks_54745.png")

Job = dict[str, Any]
Answers = Callable[[str, str, str], NDArray[np.float64]]


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder with insightface and what it imports; made once, kept between runs."""
    shared = [f"{name}=={_version(name)}" for name in SHARED_NEEDS]
    wanted = "\n".join([PACKAGE, *shared, *NEEDS])
    note = HOME / "installed.txt"
    if not (note.exists() and note.read_text() == wanted):
        shutil.rmtree(HOME, ignore_errors=True)
        _pip("--no-deps", PACKAGE)
        _pip(*shared, *NEEDS)
        note.write_text(wanted)
    return HOME / "site"


def _version(name: str) -> str:
    for distribution in (name, f"{name}-gpu"):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    pytest.fail(f"{name} is not installed")


def _pip(*arguments: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--target",
    ]
    done = subprocess.run([*command, str(HOME / "site"), *arguments], capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        pytest.skip(f"the reference cannot be installed: {reason}")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real models where this machine has them, and small ones in the layout of those it has not."""
    folder = tmp_path_factory.mktemp("nets")
    for name in (*DETECTORS, *EMBEDDERS):
        for real in (SHARED / "models").rglob(name):
            shutil.copyfile(real, folder / name)
    made = {
        "tiny_scrfd": tiny_nets.scrfd(),
        "tiny_embedder": tiny_nets.embedder(),
        "2d106det": tiny_nets.landmarks_106(),
        "1k3d68": tiny_nets.landmarks_3d(),
        "genderage": tiny_nets.gender_age(),
    }
    for name, model in made.items():
        (folder / f"{name}.onnx").write_bytes(model)
    return folder


@pytest.fixture(scope="module")
def job(site: Path, nets: Path) -> Job:
    images = site / "insightface" / "data" / "images"
    mirrored = nets / "t1_mirrored.png"
    cv2.imwrite(str(mirrored), read(images / "t1.jpg")[:, ::-1])
    pictures = [*(images / name for name in PICTURES), mirrored]
    return {
        "pictures": {str(path): faces_in(path) for path in pictures},
        "detectors": [str(nets / name) for name in DETECTORS if (nets / name).exists()],
        "embedders": [str(nets / name) for name in EMBEDDERS if (nets / name).exists()],
        "landmarks": [str(nets / "2d106det.onnx"), str(nets / "1k3d68.onnx")],
        "attributes": [str(nets / "genderage.onnx")],
        "threshold": THRESHOLD,
        "nms": NMS,
    }


def read(path: Path | str) -> Any:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def faces_in(path: Path) -> list[dict[str, Any]]:
    """Places as a detector might give them, tilted and over the edge too. What they show is no matter here."""
    height, width = read(path).shape[:2]
    rng = np.random.default_rng(len(path.name))
    template = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    faces = []
    for turn in (0.0, 0.4, -0.9, 2.8):
        side = rng.uniform(0.2, 0.5) * min(height, width)
        corner = rng.uniform(-0.1, 0.8, 2) * (width, height)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        points = (template - 0.5) @ rotation * side + corner + side / 2 + rng.normal(0, side / 50, (5, 2))
        box = [*corner, *(corner + side * rng.uniform(0.8, 1.2, 2))]
        faces.append({"box": np.array(box, np.float32).tolist(), "points": points.astype(np.float32).tolist()})
    return faces


@pytest.fixture(scope="module")
def reference(site: Path, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("reference")
    (folder / "job.json").write_text(json.dumps(job))
    script = ROOT / "tests" / "reference" / "insightface_dump.py"
    command = [sys.executable, "-I", "-S", script, site, folder / "job.json", folder / "answers.npz"]
    quiet = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=quiet, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = np.load(folder / "answers.npz")
    return lambda model, picture, what: answers[f"{Path(model).stem} {Path(picture).stem} {what}"]


def net(path: str) -> SessionModel:
    return SessionModel(open_session(batchable({"net.onnx": Path(path).read_bytes()})))


def pixels(path: str) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(read(path), cv2.COLOR_BGR2RGB), np.uint8)


def view(path: str, faces: list[dict[str, Any]]) -> View:
    boxes, points = (np.array([face[name] for face in faces], np.float32) for name in ("box", "points"))
    return View(pixels(path), Faces(boxes, np.ones(len(faces), np.float32), points))


def canvas(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The picture as large as it fits, top left on black: the reference enlarges small ones too."""
    height, width = picture.shape[:2]
    high, wide = (SIDE, int(SIDE * width / height)) if height > width else (int(SIDE * height / width), SIDE)
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    black[:high, :wide] = cv2.resize(picture, (wide, high))
    return black, high / height


@pytest.mark.parametrize("name", DETECTORS)
def test_scrfd_finds_the_same_faces(name: str, job: Job, reference: Answers) -> None:
    path = next((path for path in job["detectors"] if Path(path).name == name), None)
    if path is None:
        pytest.skip(f"{name} is not in the folder of test material (FACE_SHARED, default ../shared)")
    canvases, scales = zip(*(canvas(pixels(picture)) for picture in job["pictures"]), strict=True)
    detector = adapters.make("scrfd", [net(path)], {"threshold": THRESHOLD, "nms": NMS})
    together = detector.detect(np.stack(canvases))
    assert min(len(together[0]), len(together[2])) >= 5
    for found, scale, picture in zip(together, scales, job["pictures"], strict=True):
        boxes, points = (reference(path, picture, what) for what in ("boxes", "points"))
        order = np.argsort(-boxes[:, 4], kind="stable")
        np.testing.assert_allclose(found.scores, boxes[order, 4], atol=1e-5)
        np.testing.assert_allclose(found.boxes / scale, boxes[order, :4], atol=1e-3)
        np.testing.assert_allclose(found.points / scale, points[order], atol=1e-3)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_arcface_makes_the_same_templates(name: str, job: Job, reference: Answers) -> None:
    path = next((path for path in job["embedders"] if Path(path).name == name), None)
    if path is None:
        pytest.skip(f"{name} is not in the folder of test material (FACE_SHARED, default ../shared)")
    embedder = adapters.make("arcface", [net(path)], {"mean": 127.5, "std": 127.5})
    for picture, faces in job["pictures"].items():
        ours = embedder.read(view(picture, faces))
        theirs = reference(path, picture, "embedders")
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        assert (ours * theirs).sum(axis=1).min() > 0.99999
        np.testing.assert_allclose(ours, theirs, atol=5e-4)


@pytest.mark.parametrize(("adapter", "name"), [("2d106", "2d106det"), ("3d68", "1k3d68")])
def test_landmarks_lie_in_the_same_places(adapter: str, name: str, job: Job, reference: Answers) -> None:
    path = next(path for path in job["landmarks"] if Path(path).stem == name)
    landmarker = adapters.make(adapter, [net(path)], {})
    for picture, faces in job["pictures"].items():
        ours = landmarker.find(view(picture, faces))[0]
        np.testing.assert_allclose(ours, reference(path, picture, "landmarks")[:, :, :2], atol=0.01)


def test_genderage_says_the_same(job: Job, reference: Answers) -> None:
    (path,) = job["attributes"]
    reader = adapters.make("genderage", [net(path)], {})
    for picture, faces in job["pictures"].items():
        ours = reader.read(view(picture, faces))
        gender, age = reference(path, picture, "attributes").T
        assert ours["gender"].argmax(axis=1).tolist() == gender.tolist()
        assert np.abs(ours["age"] - age).max() <= 0.51  # the reference rounds to years
