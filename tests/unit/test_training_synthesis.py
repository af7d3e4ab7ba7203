"""What the training pictures promise: the face box follows the face, left-out kinds stay out, measures measure."""

import numpy as np
import pytest

from scripts.training import meshes, metrics, occluders, replays
from scripts.training.detect_paint import dress
from scripts.training.detect_picture import Picture
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


FIVE = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)


def pictured(*boxes: tuple[float, float, float, float]) -> Picture:
    picture = Picture(np.full((200, 200, 3), 128, np.uint8))
    for box in np.array(boxes, np.float32):
        picture.add(box, box[:2] + FIVE * (box[2:] - box[:2]))
    return picture


@pytest.mark.parametrize(
    ("right", "faces", "ignored"),
    [(200, 1, 0), (150, 1, 0), (130, 1, 0), (115, 0, 1), (101, 0, 0), (40, 0, 0)],
)
def test_a_face_cut_off_by_a_bar_counts_while_half_of_it_is_seen(right: int, faces: int, ignored: int) -> None:
    less = pictured((100, 100, 150, 160)).cut((0, 0, right, 200), (0, 0, 0))
    assert (len(less.boxes), len(less.ignored)) == (faces, ignored)
    assert less.pixels[:, right:].max(initial=0) == 0
    assert less.pixels[:, :right].min() == 128


def test_a_shrunk_picture_keeps_what_is_still_large_enough() -> None:
    small = pictured((100, 100, 150, 160), (20, 20, 32, 34)).shrunk(100)
    assert small.pixels.shape == (100, 100, 3)
    assert small.boxes[0].tolist() == [50, 50, 75, 80]
    np.testing.assert_allclose(small.points[0], (50, 50) + FIVE * (25, 30), atol=1e-4)
    assert [box.tolist() for box in small.ignored] == [[10, 10, 16, 17]]


def test_mirrored_twice_is_the_picture_itself() -> None:
    one = pictured((100, 100, 150, 160), (-30, 20, 10, 70))
    two = one.mirrored().mirrored()
    np.testing.assert_allclose(two.boxes, one.boxes)
    np.testing.assert_allclose(two.points, one.points)
    np.testing.assert_allclose(two.ignored, one.ignored)


@pytest.mark.parametrize("mask", [True, False])
def test_a_dressed_face_changes_where_the_thing_is_worn_and_nowhere_else(mask: bool) -> None:
    picture = pictured((60, 60, 120, 130))
    dress(picture.pixels, picture.boxes[0], picture.points[0], np.random.default_rng(3), mask)
    changed = np.abs(picture.pixels.astype(int) - 128).max(2) > 8
    eyes, mouth = changed[80:96, 75:105].mean(), changed[110:125, 75:105].mean()
    assert (mouth > 0.9 > eyes) if mask else (eyes > 0.3 > mouth)
    outside = changed.copy()
    outside[40:150, 40:140] = False
    assert not outside.any()
