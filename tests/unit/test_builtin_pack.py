"""The builtin pack is whole: files as named, within 30 MB, licensed, described, and each network says what it said."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from skimage import data

from scripts.training.align import align
from scripts.training.golden import FOLDER, POINTS, answers, picture

PACK = Path(__file__).parents[2] / "models" / "builtin"
ROLES = tomllib.loads((PACK / "pack.toml").read_text())["roles"]
PERMISSIVE = {"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0"}


@pytest.mark.parametrize("role", ROLES)
def test_role_is_the_file_it_names_and_may_be_used(role: str) -> None:
    table = ROLES[role]
    assert hashlib.sha256((PACK / table["file"]).read_bytes()).hexdigest() == table["sha256"]
    assert table["licence"] in PERMISSIVE
    assert f"## {role}" in (PACK / "MODEL_CARD.md").read_text()


def test_pack_stays_small() -> None:
    assert sum(path.stat().st_size for path in PACK.iterdir()) <= 30e6


@pytest.mark.parametrize("role", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_network_answers_as_before(role: str) -> None:
    golden = json.loads((FOLDER / f"{role}.json").read_text())
    for output, now in answers(role).items():
        before = golden[output]
        scale = np.abs(before["first"]).max()
        assert now["shape"] == before["shape"]
        np.testing.assert_allclose(now["first"], before["first"], rtol=1e-3, atol=2e-3 * scale, err_msg=output)
        np.testing.assert_allclose(now["mean"], before["mean"], rtol=1e-3, atol=2e-3 * scale, err_msg=output)


def test_embedder_has_a_golden_answer() -> None:
    assert (FOLDER / "embed.json").exists()


def test_embedder_takes_batches_and_knows_a_face_again() -> None:
    """The same face a little darker stays above the threshold of one false accept in 10,000; noise stays below."""
    session = ort.InferenceSession(PACK / ROLES["embed"]["file"], providers=["CPUExecutionProvider"])
    face = picture("embed", 112)
    darker = (face * 0.8).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, face.shape, np.uint8)
    vectors = session.run(["embedding"], {"image": np.stack([face, darker, noise])})[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    threshold = dict(ROLES["embed"]["calibration"]["far"])[1e-4]
    assert vectors[0] @ vectors[1] > threshold > vectors[0] @ vectors[2]


def test_calibration_rises_and_puts_80_at_one_false_accept_in_10_000() -> None:
    table = ROLES["embed"]["calibration"]
    assert np.all(np.diff(table["cosine"]) > 0)
    assert np.all(np.diff(table["score"]) > 0)
    assert np.interp(dict(table["far"])[1e-4], table["cosine"], table["score"]) == pytest.approx(80)
    assert table["impostor_pairs"] >= 2_000_000


def test_age_and_gender_of_a_face_and_its_mirror_image_agree() -> None:
    session = ort.InferenceSession(PACK / ROLES["age_gender"]["file"], providers=["CPUExecutionProvider"])
    photo: Any = data
    face = align(photo.astronaut(), POINTS, 112, ROLES["age_gender"]["margin"])
    age, gender = session.run(["age", "gender"], {"image": np.stack([face, face[:, ::-1]])})
    np.testing.assert_allclose(age[0], age[1], rtol=1e-4)
    np.testing.assert_allclose(gender[0], gender[1], atol=1e-4)
    assert 20 < age[0] < 50
    assert gender[0, 0] > 0.5, "Eileen Collins"
