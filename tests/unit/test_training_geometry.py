"""What the training of detector and landmarks says about turned, mirrored and mapped faces."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training extra is not installed")

import torch

from scripts.training.detect import FILE, publish
from scripts.training.detect_net import DetectNet, Detector
from scripts.training.detect_picture import turned_box
from scripts.training.landmarks_consensus import Maps, angles, consensus, five_of
from scripts.training.landmarks_data import MIRROR
from scripts.training.landmarks_teachers import FaceBox, apply, inverse, upright
from scripts.training.onnx_weights import restore


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


@pytest.mark.parametrize("pose", [(0, 0, 0), (40, 0, 0), (-40, 0, 0), (0, 25, 0), (0, 0, 30), (35, -20, -50)])
def test_angles_read_what_was_turned(pose: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(angles(rotation(*pose)[None])[0], pose, atol=1e-3)


def test_look_to_the_right_and_down_is_positive() -> None:
    look = -rotation(30, 20, 0)[:, 2]  # x right, y down, z away
    assert look[0] > 0
    assert look[1] > 0


def test_mirror_swaps_sides_and_is_its_own_inverse() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(98))
    points = np.random.default_rng(1).uniform(size=(98, 2)).astype(np.float32)
    mirrored = np.stack([1 - points[:, 0], points[:, 1]], 1)[MIRROR]
    five, other = five_of(points), five_of(mirrored)
    np.testing.assert_allclose(other[[1, 0, 2, 4, 3], 0], 1 - five[:, 0])
    np.testing.assert_allclose(other[[1, 0, 2, 4, 3], 1], five[:, 1])


def test_upright_crop_stands_a_tilted_face_up() -> None:
    """Eyes over mouth in the crop, the box's centre in its middle, and the way back is exact."""
    points = np.array([[60, 40], [80, 60], [60, 60], [40, 60], [60, 80]], np.float32)
    face = FaceBox(np.array([30, 30, 90, 90], np.float32), points, 0.9)
    assert face.roll == pytest.approx(45.0)
    matrix = upright(face, 1.25, 112)
    seen = apply(matrix, points)
    assert seen[3:].mean(0)[0] == pytest.approx(seen[:2].mean(0)[0], abs=1e-3)
    assert seen[3:].mean(0)[1] > seen[:2].mean(0)[1]
    np.testing.assert_allclose(apply(matrix, face.centre[None])[0], [56, 56], atol=1e-3)
    np.testing.assert_allclose(apply(inverse(matrix), seen), points, atol=1e-3)


def test_quarter_turn_swaps_width_and_height() -> None:
    quarter = np.array([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(turned_box(quarter, np.array([10, 20, 30, 60], np.float32)), [40, 10, 80, 30], atol=1e-4)


def test_maps_move_with_the_face() -> None:
    maps = Maps.load()
    for weights, count in ((maps.from68, 68), (maps.from478, 478)):
        assert weights.shape == (98, count)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-3)


def test_one_wrong_teacher_has_no_say() -> None:
    right = np.random.default_rng(2).uniform(0.3, 0.7, (98, 2)).astype(np.float32)
    answers = np.stack([right, right + 0.002, right + 0.3])[:, None]
    points, spread = consensus(answers, np.array([0.5], np.float32))
    assert np.abs(points[0] - right).max() < 0.01
    assert spread.min() > 0.1  # but the disagreement is reported


def test_shipped_weights_come_back_as_a_network_that_answers_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = DetectNet()
    for _ in range(3):
        network(torch.randn(2, 3, 64, 64))  # batch norms with statistics of their own
    for head in network.heads:
        torch.nn.init.normal_(head.out.bias)  # the exporter stores equal ones once
    publish(network, tmp_path)
    pictures = torch.randn(2, 3, 64, 96)
    again = DetectNet()
    restore(again, tmp_path / FILE, lambda: again(pictures))
    for mode in (again.eval(), again.train()):
        with torch.no_grad():
            answers = zip(Detector(network.eval())(pictures), Detector(mode)(pictures), strict=True)
        for one, other in answers:
            np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)
