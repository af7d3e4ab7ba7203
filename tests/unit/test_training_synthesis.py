"""What the training pictures promise: the face box follows the face, left-out kinds stay out, measures measure."""

import numpy as np
import pytest

from scripts.training import meshes, metrics, occluders, replays
from scripts.training.livefaces import cut
from scripts.training.replays import Shown, attack

GREEN = np.array([20, 200, 40], np.uint8)


@pytest.mark.parametrize("kind", [*replays.KINDS, *replays.LEFT_OUT])
def test_an_attack_moves_the_box_with_the_face(kind: str) -> None:
    face = np.full((160, 160, 3), 90, np.uint8)
    face[40:120, 50:110] = GREEN
    scene = np.full((240, 320, 3), 128, np.uint8)
    hits = []
    for seed in range(5):
        made = attack(Shown(face, np.array([50, 40, 110, 120], np.float32)), kind, scene, np.random.default_rng(seed))
        x1, y1, x2, y2 = made.box.astype(int)
        assert x2 - x1 > 20
        middle = made.pixels[max(y1, 0) : y2, max(x1, 0) : x2].reshape(-1, 3).mean(0)
        hits.append(middle[1] > middle[0] + 10)
        hits.append(middle[1] > middle[2] + 10)
    # Casts and reflections may hide the colour now and then, never mostly.
    assert np.mean(hits) > 0.8


@pytest.mark.parametrize(
    ("box", "scale"),
    [((10, 10, 50, 60), 2.7), ((-5, -5, 70, 90), 1.2), ((60, 60, 99, 99), 4.0), ((30, 30, 50, 55), 1.0)],
)
def test_a_crop_stays_inside_the_picture(box: tuple[float, ...], scale: float) -> None:
    pixels = np.full((100, 100, 3), 255, np.uint8)
    assert cut(pixels, np.array(box, np.float32), scale, 80).min() == 255


def test_left_out_kinds_are_never_trained_on() -> None:
    assert not set(replays.KINDS) & set(replays.LEFT_OUT)
    assert not set(occluders.KINDS) & set(occluders.LEFT_OUT)
    assert not set(meshes.KINDS) & set(meshes.LEFT_OUT)


def test_measures_on_cases_known_by_hand() -> None:
    assert metrics.auc([2, 3], [0, 1]) == 1.0
    assert metrics.auc([1, 1], [1, 1]) == 0.5
    assert metrics.balanced(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])) == 0.5
    clean = np.zeros((4, 4))
    assert metrics.psnr(clean, clean + 25.5) == pytest.approx(20.0)
