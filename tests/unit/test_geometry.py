"""Landmark layouts and what points tell: drawn faces with known answers, then real ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face_server.vision import geometry, layouts
from face_server.vision.adapters import make
from face_server.vision.align import back, roll_of, similarity, squares, template, warp
from face_server.vision.images import decode
from face_server.vision.mean_face import HEAD_68, HEAD_98
from face_server.vision.view import Crop, Faces, View

RNG = np.random.default_rng(3)


def turned(head: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The head as a camera far away sees it: (n, 2). Written out axis by axis, apart from the code under test."""
    y, p, r = np.radians([yaw, pitch, roll])
    # z points away from the viewer and the face looks along -z: turning to the image's left brings +x closer.
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(head @ (about_z @ about_x @ about_y).T)[:, :2]


def drawn68(head: np.ndarray, **turn: float) -> np.ndarray:
    inner = turned(head, **{"yaw": 0.0, "pitch": 0.0, "roll": 0.0, **turn})
    return np.concatenate([np.zeros((17, 2)), inner])[None].astype(np.float32) * 120 + 200


# Pose


@pytest.mark.parametrize("yaw", [-60, -20, 0, 35, 70])
@pytest.mark.parametrize("pitch", [-30, 0, 25])
@pytest.mark.parametrize("roll", [-170, -45, 0, 30, 90])
def test_pose_of_a_turned_head(yaw: float, pitch: float, roll: float) -> None:
    for head, layout in ((HEAD_68, "300w68"), (HEAD_98, "wflw98")):
        found = geometry.pose_of_68(drawn68(head, yaw=yaw, pitch=pitch, roll=roll), layout)[0]
        assert found == pytest.approx([yaw, pitch, roll], abs=0.5)


def test_signs_of_the_pose() -> None:
    """The nose leads: to the image's left when yaw is negative, upwards when pitch is negative."""
    nose, between = 13, [19, 22, 25, 28]
    middle = HEAD_98[between].mean(axis=0)
    for turn, axis in (({"yaw": -30.0}, 0), ({"pitch": -30.0}, 1)):
        still = drawn68(HEAD_98)[0, 17:]
        moved = drawn68(HEAD_98, **turn)[0, 17:]
        lead = (moved[nose] - moved[between].mean(axis=0)) - (still[nose] - still[between].mean(axis=0))
        assert lead[axis] < -5
    assert middle[2] > HEAD_98[nose, 2]
    clockwise = drawn68(HEAD_98, roll=30.0)[0, 17:]
    assert clockwise[28, 1] > clockwise[19, 1] + 30  # the eye at the image's right sinks


def test_pose_of_five_points_follows_the_head() -> None:
    head = np.stack([HEAD_98[19:25].mean(axis=0), HEAD_98[25:31].mean(axis=0), *HEAD_98[[13, 31, 37]]])
    for yaw, pitch, roll in ((-40, 0, 0), (0, 20, 0), (30, -10, 120)):
        points = turned(head, yaw, pitch, roll)[None].astype(np.float32) * 100
        assert geometry.pose_of_5(points)[0] == pytest.approx([yaw, pitch, roll], abs=0.5)


# Layouts


def face98() -> np.ndarray:
    """A face drawn by hand in the order of WFLW: symmetrical about x = 0, chin at y = 100."""
    angle = np.linspace(np.pi, 0, 33)
    contour = np.stack([80 * np.cos(angle), 100 * np.sin(angle)], axis=1)

    def mirrored(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(-x, y) for x, y in points]

    brow = [(-60, -40), (-50, -48), (-40, -50), (-30, -48), (-20, -42), (-20, -38), (-30, -43), (-40, -45), (-50, -43)]
    right_brow = [brow[4], *brow[3::-1], brow[8], brow[7], brow[6], brow[5]]
    bridge = [(0, -20), (0, -8), (0, 4), (0, 16)]
    base = [(-14, 24), (-7, 27), (0, 29), (7, 27), (14, 24)]
    eye = [(-50, -20), (-44, -25), (-38, -27), (-32, -25), (-26, -20), (-32, -16), (-38, -14), (-44, -16)]
    right_eye = [eye[i] for i in (4, 3, 2, 1, 0, 7, 6, 5)]
    lips = [(-28, 55), (-18, 49), (-8, 46), (0, 48), (8, 46), (18, 49), (28, 55)]
    lips += [(18, 63), (8, 67), (0, 68), (-8, 67), (-18, 63)]
    mouth = [(-24, 55), (-12, 53), (0, 54), (12, 53), (24, 55), (12, 59), (0, 60), (-12, 59)]
    rest = [
        *brow,
        *mirrored(right_brow),
        *bridge,
        *base,
        *eye,
        *mirrored(right_eye),
        *lips,
        *mouth,
        (-38, -20),
        (38, -20),
    ]
    return np.concatenate([contour, np.array(rest, float)]).astype(np.float32)[None]


def test_the_drawing_is_a_face() -> None:
    assert face98().shape == (1, 98, 2)


@pytest.mark.parametrize(("target", "count"), [("300w68", 68), ("baidu72", 72), ("jd106", 106)])
def test_conversions_keep_the_symmetry_of_the_face(target: str, count: int) -> None:
    """Mirroring the drawing gives the same set of points: no point is taken from the wrong side."""
    points = layouts.convert("wflw98", target, face98())[0]
    assert points.shape == (count, 2)
    distance = np.linalg.norm(points[:, None] - (points * [-1, 1])[None], axis=2).min(axis=1)
    assert distance.max() < 1.5


@pytest.mark.parametrize(
    ("target", "index", "place"),
    [
        ("300w68", 0, (-80, 0)),
        ("300w68", 8, (0, 100)),
        ("300w68", 16, (80, 0)),
        ("300w68", 17, (-60, -40)),
        ("300w68", 26, (60, -40)),
        ("300w68", 30, (0, 16)),
        ("300w68", 36, (-50, -20)),
        ("300w68", 45, (50, -20)),
        ("300w68", 48, (-28, 55)),
        ("300w68", 57, (0, 68)),
        ("300w68", 62, (0, 54)),
        ("300w68", 66, (0, 60)),
        ("baidu72", 0, (-80, 0)),
        ("baidu72", 6, (0, 100)),
        ("baidu72", 12, (80, 0)),
        ("baidu72", 13, (-50, -20)),
        ("baidu72", 15, (-38, -27)),
        ("baidu72", 17, (-26, -20)),
        ("baidu72", 19, (-38, -14)),
        ("baidu72", 21, (-38, -20.375)),
        ("baidu72", 24, (-40, -50)),
        ("baidu72", 28, (-35, -44)),
        ("baidu72", 30, (26, -20)),
        ("baidu72", 34, (50, -20)),
        ("baidu72", 38, (38, -20.375)),
        ("baidu72", 41, (40, -50)),
        ("baidu72", 51, (-7, 27)),
        ("baidu72", 52, (7, 27)),
        ("baidu72", 57, (0, 16)),
        ("baidu72", 58, (-28, 55)),
        ("baidu72", 60, (0, 48)),
        ("baidu72", 62, (28, 55)),
        ("baidu72", 64, (0, 68)),
        ("baidu72", 67, (0, 54)),
        ("baidu72", 70, (0, 60)),
        ("jd106", 16, (0, 100)),
        ("jd106", 46, (0, 16)),
        ("jd106", 52, (-50, -20)),
        ("jd106", 61, (50, -20)),
        ("jd106", 72, (-38, -27)),
        ("jd106", 76, (38, -14)),
        ("jd106", 84, (-28, 55)),
        ("jd106", 93, (0, 68)),
        ("jd106", 105, (38, -20)),
    ],
)
def test_where_named_points_lie(target: str, index: int, place: tuple[float, float]) -> None:
    found = layouts.convert("wflw98", target, face98())[0, index]
    assert found == pytest.approx(place, abs=1.6)


@pytest.mark.parametrize("layout", ["jd106", "300w68"])
def test_a_layout_made_from_another_leads_to_the_same_points(layout: str) -> None:
    """wflw98 -> layout -> baidu72 lies where wflw98 -> baidu72 does, up to what the middle one cannot say."""
    direct = layouts.convert("wflw98", "baidu72", face98())
    roundabout = layouts.convert(layout, "baidu72", layouts.convert("wflw98", layout, face98()))
    assert np.abs(direct - roundabout).max() < 4


def test_the_two_orders_of_106_are_one_set() -> None:
    """Relabelled from one order to the other, all drawings agree: the tables name the same places."""
    jd = layouts.convert("wflw98", "jd106", face98())
    other = np.zeros_like(jd)
    for curve, indices in layouts.LAYOUTS["insightface106"].items():
        other[:, list(indices)] = jd[:, list(layouts.LAYOUTS["jd106"][curve])]
    for target in ("five", "300w68", "baidu72", "jd106"):
        a, b = (layouts._matrix(name, target) @ points for name, points in (("jd106", jd), ("insightface106", other)))
        assert np.abs(a - b).max() < 0.5


def test_five_and_four_points() -> None:
    points = layouts.five("wflw98", face98())
    assert points[0] == pytest.approx(np.array([(-38, -20.375), (38, -20.375), (0, 16), (-28, 55), (28, 55)]))
    assert layouts.four(points)[0, 3] == pytest.approx([0, 55])


# Openings and shape


def test_eyes_and_mouth() -> None:
    points = layouts.convert("wflw98", "300w68", face98())
    assert geometry.eyes_open(points).min() > 0.95
    closed = points.copy()
    closed[:, 36:42, 1] = -20
    assert geometry.eyes_open(closed)[0] == pytest.approx([0, 1], abs=0.05)
    assert geometry.mouth_open(points)[0] < 0.5
    wide = points.copy()
    wide[:, 65:68, 1] += 15
    assert geometry.mouth_open(wide)[0] > 0.95


def test_shapes_differ_as_their_names_say() -> None:
    names = ("square", "triangle", "oval", "heart", "round")
    base = layouts.convert("wflw98", "300w68", face98())

    def shaped(jaw: float, chin: float, height: float, brows: float) -> str:
        """A face with given proportions, in deviations from the mean."""
        mean, deviation = geometry.SHAPE_FACTS["wflw98"]
        tall, wide_jaw, wide_chin, wide_brows = mean + deviation * [height, jaw, chin, brows]
        points = base.copy()
        points[0, [1, 15], 0] = -50, 50
        points[0, [1, 15], 1] = 0
        for pair, width in (([4, 12], wide_jaw), ([6, 10], wide_chin), ([17, 26], wide_brows)):
            points[0, pair, 0] = -50 * width, 50 * width
            points[0, pair, 1] = points[0, pair[0], 1]
        points[0, 27], points[0, 8] = (0, 0), (0, 100 * tall)
        rows = geometry.face_shape(points, "wflw98")[0]
        assert rows.sum() == pytest.approx(1, abs=1e-5)
        return names[int(rows.argmax())]

    assert shaped(jaw=1.5, chin=1.5, height=0, brows=0) == "square"
    assert shaped(jaw=0.8, chin=0.3, height=0, brows=-1.5) == "triangle"
    assert shaped(jaw=0, chin=0, height=1.5, brows=0) == "oval"
    assert shaped(jaw=-1.2, chin=-1.2, height=0, brows=1.2) == "heart"
    assert shaped(jaw=0, chin=0, height=-1.5, brows=0) == "round"


# Alignment


def test_similarity_finds_the_exact_transform() -> None:
    target = template()
    angle, scale, shift = 0.7, 2.3, np.array([40.0, -8.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = ((target - shift) @ np.linalg.inv(turn).T)[None].astype(np.float32)
    matrix = similarity(source, target)[0]
    assert matrix[:, :2] == pytest.approx(turn, abs=1e-4)
    assert matrix[:, 2] == pytest.approx(shift, abs=1e-3)


def test_similarity_agrees_with_scikit_image() -> None:
    transform = pytest.importorskip("skimage.transform")
    points = (template()[None] * RNG.uniform(0.5, 6, (20, 1, 1)) + RNG.normal(0, 8, (20, 5, 2)) + 90).astype(np.float32)
    for ours, source in zip(similarity(points, template()), points, strict=True):
        theirs = transform.SimilarityTransform.from_estimate(source, template()).params[:2]
        assert ours == pytest.approx(theirs, abs=2e-3)


def test_crops_and_the_way_back() -> None:
    boxes = np.array([[10, 20, 110, 180], [200, 40, 260, 90]], np.float32)
    points = RNG.uniform(0, 300, (2, 7, 2)).astype(np.float32)
    for matrices in (squares(boxes, 112, 1.25), squares(boxes, 96, 1.5, np.array([30.0, -120.0], np.float32))):
        seen = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
        assert back(seen, matrices) == pytest.approx(points, abs=0.01)
        middle = boxes[:, None, :2] / 2 + boxes[:, None, 2:] / 2
        centre = middle @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
        assert centre == pytest.approx(centre[0, 0, 0], abs=0.01)


@pytest.mark.parametrize("roll", [-150.0, -30.0, 0.0, 45.0, 90.0])
def test_upright_crops_show_an_upright_face(roll: float) -> None:
    """A face drawn tilted by `roll` is read as tilted by `roll`, and its crop shows the eyes above the mouth."""
    points = turned(np.array([(-30, -20, 0), (30, -20, 0), (0, 10, 0), (-20, 40, 0), (20, 40, 0)]), 0, 0, roll)
    points = (points + 150)[None].astype(np.float32)
    assert roll_of(points)[0] == pytest.approx(roll, abs=0.01)
    canvas = np.zeros((300, 300, 3), np.uint8)
    for eye in points[0, :2]:
        cv2.circle(canvas, tuple(int(value) for value in eye), 6, (255, 0, 0), -1)
    for corner in points[0, 3:]:
        cv2.circle(canvas, tuple(int(value) for value in corner), 6, (0, 255, 0), -1)
    faces = Faces(np.array([[100, 100, 200, 200]], np.float32), np.ones(1, np.float32), points)
    for crop in (Crop("box", 100, scale=1.5, upright=True), Crop("aligned", 100, margin=0.5)):
        shown = View(canvas, faces).crops(crop)[0].astype(float)
        rows = np.arange(100)[:, None]
        eyes, mouth = ((shown[:, :, c] * rows).sum() / shown[:, :, c].sum() for c in (0, 1))
        assert mouth - eyes > 12


def test_warp_is_black_outside() -> None:
    white = np.full((50, 50, 3), 255, np.uint8)
    crop = warp(white, squares(np.array([[0, 0, 50, 50]], np.float32), 100, 2.0), 100)[0]
    assert crop[50, 50].tolist() == [255] * 3
    assert crop[2, 2].tolist() == [0] * 3


# Real faces


@pytest.mark.parametrize(
    ("photo", "yaw", "pitch", "roll"),
    [
        ("cond_profile_left.jpg", (-75, -35), (-15, 15), (-25, 15)),
        ("cond_profile_right.png", (35, 75), (-15, 15), (-35, 10)),
        ("cond_chin_up.jpg", (-15, 15), (-40, -10), (0, 20)),
        ("cond_eyes_closed.jpg", (-15, 20), (10, 40), (-10, 15)),
        ("cond_tilt.png", (-25, 15), (-5, 25), (30, 50)),
        ("id_obama_1.jpg", (-12, 12), (-8, 15), (-6, 6)),
    ],
)
def test_pose_of_photos(
    photo: str,
    yaw: tuple[float, float],
    pitch: tuple[float, float],
    roll: tuple[float, float],
    photos: Path,
    foreign_models: Path,
) -> None:
    from tests.vision_kit import boxed, load_net

    pixels = decode((photos / photo).read_bytes(), 24_000_000).pixels
    for adapter, file in (
        ("pfld68", "pfld68/pfld.onnx"),
        ("ghostone98", "ghostone98/PFLD_GhostOne_112_1_opt_sim.onnx"),
    ):
        landmarker = make(adapter, [load_net(foreign_models / file)], {})
        points, _ = landmarker.find(View(pixels, boxed(foreign_models, pixels)))
        found = geometry.pose_of_68(layouts.convert(landmarker.layout, "300w68", points), landmarker.layout)[0]
        for value, (low, high) in zip(found, (yaw, pitch, roll), strict=True):
            assert low <= value <= high, (adapter, found)
