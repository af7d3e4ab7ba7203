"""Where to look and what to believe: the rules of detection, on a detector that sees what the test puts before it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face_server.vision.detection import GRID, Finder, letterbox, unturn, whole
from face_server.vision.view import Faces

Thing = tuple[float, float, float]  # left, top, side: in the picture's pixels


class Eye:
    """Sees squares of one colour. `scores(side in input pixels, whether it is a second look)`."""

    fixed = None
    threshold, doubt, sure = 0.5, 0.8, 0.5

    def __init__(
        self, sizes: tuple[int, ...] = (320, 640), scores: Any = lambda side, second: 0.95, crowd: int = 0
    ) -> None:
        self.sizes, self.crowd = sizes, crowd
        self.scores = scores
        self.looks: list[tuple[int, ...]] = []

    def detect(self, pictures: np.ndarray, threshold: float | None = None) -> list[Faces]:
        self.looks.append(pictures.shape)
        least = self.threshold if threshold is None else threshold
        return [self._see(picture, threshold is not None, least) for picture in pictures]

    def _see(self, picture: np.ndarray, second: bool, least: float) -> Faces:
        found = []
        for red in np.unique(picture[..., 0]):
            rows, columns = np.nonzero((picture[..., 0] == red) & (red > 0) & (red % 10 == 0))
            if len(rows) < 30:
                continue
            x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            score = self.scores(max(x2 - x1, y2 - y1), second)
            if score >= least:
                found.append((x1, y1, x2, y2, score))
        boxes = np.array(found, np.float32).reshape(-1, 5)
        places = np.array([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.35, 0.8), (0.65, 0.8)], np.float32)
        points = boxes[:, None, :2] + places * (boxes[:, None, 2:4] - boxes[:, None, :2])
        return Faces(boxes[:, :4], boxes[:, 4], points)


def picture(width: int, height: int, things: Sequence[Thing]) -> np.ndarray:
    pixels = np.zeros((height, width, 3), np.uint8)
    for number, (left, top, side) in enumerate(things, 1):
        pixels[int(top) : int(top + side), int(left) : int(left + side)] = number * 10
    return pixels


def test_a_part_of_a_face_is_none() -> None:
    boxes = np.array([(0, 0, 90, 120), (20, 40, 70, 100), (0, 0, 20, 25), (70, 90, 110, 140)], np.float32)
    faces = Faces(boxes, np.array([0.8, 0.7, 0.6, 0.5], np.float32), np.zeros((4, 5, 2), np.float32))
    # The second lies inside the first; the third is too small to be a part of it, the fourth lies half beside it.
    assert whole(faces).boxes.tolist() == boxes[[0, 2, 3]].tolist()


class Fooled(Eye):
    """Takes two people for one large face in the small input, sees them in the larger, and nothing at a second look."""

    doubt = 0.6

    def detect(self, pictures: np.ndarray, threshold: float | None = None) -> list[Faces]:
        rows = {320: [(40, 40, 140, 140, 0.5)], 640: [(90, 120, 150, 200, 0.9), (190, 120, 250, 200, 0.9)]}
        found = np.array([] if threshold is not None else rows[pictures.shape[2]], np.float32).reshape(-1, 5)
        return [Faces(found[:, :4], found[:, 4], np.zeros((len(found), 5, 2), np.float32)) for _ in pictures]


def test_a_doubtful_large_face_hides_nobody() -> None:
    found = Finder(Fooled()).find(picture(640, 640, []), most=10)  # type: ignore[arg-type]
    assert found.boxes.tolist() == [[90, 120, 150, 200], [190, 120, 250, 200]]


def test_one_large_face_needs_the_small_input_only() -> None:
    eye = Eye()
    found = Finder(eye).find(picture(1280, 960, [(300, 200, 400)]), most=1)  # type: ignore[arg-type]
    assert eye.looks == [(1, 256, 320, 3)]
    assert found.boxes[0] == pytest.approx([300, 200, 700, 600], abs=4)


def test_a_small_face_is_looked_for_in_the_larger_input() -> None:
    eye = Eye()
    found = Finder(eye).find(picture(1280, 960, [(300, 200, 90)]), most=1)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == [320, 640]
    assert found.boxes[0] == pytest.approx([300, 200, 390, 290], abs=3)


def test_the_larger_input_adds_to_the_smaller() -> None:
    eye = Eye()
    things = [(300, 200, 400), (900, 100, 60), (1100, 700, 60)]
    found = Finder(eye).find(picture(1280, 960, things), most=10)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == [320, 640]
    assert len(found) == 3
    alone = Finder(Eye()).find(picture(1280, 960, things), most=1)  # type: ignore[arg-type]
    assert found.boxes[0].tolist() == alone.boxes[0].tolist()


TINY = [(100, 100, 24), (300, 100, 24), (500, 100, 24)]  # 12 pixels of the input of 640
UNSEEN = (800, 500, 8)  # too small for that input, as Eye sees


@pytest.mark.parametrize(
    ("things", "inputs", "count"),
    [
        ([*TINY, UNSEEN], [320, 640, 1280], 4),
        ([*TINY[:2], UNSEEN], [320, 640], 2),
        ([(100, 400, 300), (500, 400, 300), (900, 400, 300), UNSEEN], [320, 640], 3),
        ([UNSEEN], [320, 640], 0),
    ],
)
def test_a_crowd_is_looked_at_more_closely(things: list[Thing], inputs: list[int], count: int) -> None:
    eye = Eye(crowd=1280)
    found = Finder(eye).find(picture(1280, 960, things), most=10)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == inputs
    assert len(found) == count


def test_the_closer_look_adds_small_faces_only_and_moves_none() -> None:
    """A large thing that the smaller inputs refused is no face."""

    def scores(side: float, second: bool) -> float:
        return 0.95 if side < 30 or side > 280 else 0.1

    things = [(100, 400, 300), *TINY]  # the large one is 75, 150 and 300 pixels of the inputs
    eye = Eye(crowd=1280, scores=scores)
    found = Finder(eye).find(picture(1280, 960, things), most=10)  # type: ignore[arg-type]
    before = Finder(Eye(scores=scores)).find(picture(1280, 960, things), most=10)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == [320, 640, 1280]
    assert found.boxes.tolist() == before.boxes.tolist()


def test_nobody_looks_closer_at_a_picture_that_was_seen_in_full() -> None:
    eye = Eye(crowd=1280)
    Finder(eye).find(picture(640, 480, [(x / 2, y / 2, s / 2) for x, y, s in TINY]), most=10)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == [320, 640]


@pytest.mark.parametrize(("longest", "inputs"), [(200, [200]), (320, [320]), (321, [320, 352]), (500, [320, 512])])
def test_a_small_picture_is_never_enlarged(longest: int, inputs: list[int]) -> None:
    eye = Eye()
    Finder(eye).find(picture(longest, 100, []), most=5)  # type: ignore[arg-type]
    assert [look[2] for look in eye.looks] == [-(-size // GRID) * GRID for size in inputs]


@pytest.mark.parametrize(("second", "count"), [(0.2, 0), (0.49, 0), (0.6, 1), (0.9, 1)])
def test_a_doubtful_face_is_looked_at_again(second: float, count: int) -> None:
    eye = Eye(scores=lambda side, again: second if again else 0.6)
    found = Finder(eye).find(picture(320, 320, [(100, 100, 100)]), most=1)  # type: ignore[arg-type]
    assert len(found) == count
    assert (2, 96, 96, 3) in eye.looks
    assert found.scores.tolist() == pytest.approx([second] * count)


def test_a_certain_face_is_not() -> None:
    eye = Eye()
    Finder(eye).find(picture(320, 320, [(100, 100, 100)]), most=1)  # type: ignore[arg-type]
    assert len(eye.looks) == 1


def test_the_next_face_takes_the_place_of_a_refused_one() -> None:
    """The largest thing is no face: the answer to "one face" is the next one, not nothing."""
    large = 150

    def scores(side: float, second: bool) -> float:
        return 0.1 if second else 0.6 if side > large / 2 else 0.95

    things = [(20, 20, large), (220, 30, 60), (220, 200, 50)]
    for most in (1, 2):
        found = Finder(Eye(scores=scores)).find(picture(320, 320, things), most=most)  # type: ignore[arg-type]
        assert found.boxes[:, 0].tolist() == [220, 220][:most]


def test_certain_before_large_when_asked() -> None:
    def scores(side: float, second: bool) -> float:
        return 0.85 if side > 80 else 0.99

    pixels = picture(320, 320, [(20, 20, 100), (200, 30, 60)])
    by_area = Finder(Eye(scores=scores)).find(pixels, most=2)  # type: ignore[arg-type]
    by_score = Finder(Eye(scores=scores)).find(pixels, most=2, by_area=False)  # type: ignore[arg-type]
    assert by_area.boxes[:, 0].tolist() == [20, 200]
    assert by_score.boxes[:, 0].tolist() == [200, 20]


def test_the_surest_turn_counts() -> None:
    """A detector that is sure only when the thing lies in the left half of what it sees."""

    class Picky(Eye):
        def _see(self, picture: np.ndarray, second: bool, least: float) -> Faces:
            faces = super()._see(picture, second, least)
            left = faces.boxes[:, 0] < picture.shape[1] / 2
            return Faces(faces.boxes, np.where(left, 0.95, 0.82).astype(np.float32), faces.points)

    found = Finder(Picky()).find(picture(320, 320, [(220, 30, 70)]), most=5, any_turn=True)  # type: ignore[arg-type]
    assert len(found) == 1
    assert found.scores[0] == pytest.approx(0.95)
    assert found.boxes[0] == pytest.approx([220, 30, 290, 100], abs=1)


@given(
    st.integers(1, 1500), st.integers(1, 1500), st.sampled_from([160, 320, 640]), st.booleans(),
    st.sampled_from([None, (640, 640), (240, 320)]),
)  # fmt: skip
def test_letterbox(width: int, height: int, size: int, square: bool, fixed: tuple[int, int] | None) -> None:
    pixels = np.full((height, width, 3), 200, np.uint8)
    canvas, scale = letterbox(pixels, size, fixed, square)
    assert scale <= 1
    if fixed:
        assert canvas.shape[:2] == fixed
    else:
        assert canvas.shape[0] % GRID == canvas.shape[1] % GRID == 0
        assert max(canvas.shape[:2]) <= max(size, GRID)
        assert not square or canvas.shape[:2] == (size, size)
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    assert (canvas[:high, :wide] == 200).all()
    assert canvas[high:].max(initial=0) == canvas[:, wide:].max(initial=0) == 0


@given(st.integers(1, 3), st.integers(20, 300), st.integers(20, 300), st.integers(0, 10**6))
def test_unturn_undoes_the_turn(turn: int, width: int, height: int, seed: int) -> None:
    """A bright pixel in the turned picture is found where the upright one has it."""
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    pixels = np.zeros((height, width), np.uint8)
    pixels[y, x] = 1
    row, column = np.argwhere(np.rot90(pixels, -turn))[0]
    corner = np.array([[column, row, column + 1, row + 1]], np.float32)
    points = np.full((1, 5, 2), 0.5, np.float32) + corner[:, None, :2]
    home = unturn(Faces(corner, np.ones(1, np.float32), points), turn, height, width)
    assert home.boxes[0].tolist() == [x, y, x + 1, y + 1]
    assert home.points[0, 0].tolist() == [x + 0.5, y + 0.5]
