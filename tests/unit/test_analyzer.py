"""The analyzer: from bytes to faces on real photos, and that it computes what is asked for and nothing else."""

import asyncio
import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from face_server.engine.lanes import Lanes
from face_server.errors import BadPicture, Busy, Cancelled, PictureTooLarge, Stage
from face_server.model import Spot, Task, Want
from face_server.request import RequestContext, current
from face_server.vision.analyzer import Analyzer, Limits
from face_server.vision.detection import Finder, unturn
from face_server.vision.heads import HEADS
from face_server.vision.local import LocalVision
from face_server.vision.protocol import VisionInfo
from face_server.vision.view import Faces
from tests.vision_kit import Fake, analyzer

TEMPLATE = Want.EMBEDDING
EVERYTHING = ~Want.NONE


@pytest.fixture(scope="module")
def full(foreign_models: Path) -> Analyzer:
    return analyzer(foreign_models)


@contextmanager
def request(seconds: float = 60.0, cancelled: bool = False) -> Iterator[RequestContext]:
    context = RequestContext(1, time.monotonic() + seconds, cancelled)
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def rgb(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def one(made: Analyzer, data: bytes, want: Want = Want.NONE, **task: Any) -> Any:
    """The one face; a test that reads what no model of it has told fails of that."""
    (face,) = made.analyze(data, Task(want, **task)).faces
    return face


# What is found


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("group_2.jpg", 2),
        ("group_3.jpg", 3),
        ("group_5_friends.jpg", 5),
        ("group_selfie6.jpg", 6),
        ("group_8_office.jpg", 8),
        ("group_9.jpg", 9),
        ("group_masked_crowd.webp", 12),
        ("noface_dogs.jpg", 0),
        ("noface_landscape.jpg", 0),
        ("noface_food.jpg", 0),
        ("noface_park.jpg", 0),
        ("cond_mask_1.png", 1),
        ("cond_very_dark.jpg", 1),
        ("cond_tiny_48.jpg", 1),
    ],
)
@pytest.mark.parametrize("most", [1, 50])
def test_how_many_faces(name: str, count: int, most: int, full: Analyzer, photos: Path) -> None:
    found = full.analyze((photos / name).read_bytes(), Task(Want.NONE, max_faces=most)).faces
    assert len(found) == min(count, most)
    areas = [face.box.area for face in found]
    assert areas == sorted(areas, reverse=True)


def test_certain_faces_first(full: Analyzer, photos: Path) -> None:
    data = (photos / "group_selfie6.jpg").read_bytes()
    found = full.analyze(data, Task(Want.NONE, max_faces=6, by_area=False)).faces
    chances = [face.probability for face in found]
    assert len(chances) == 6
    assert chances[0] > 0.9


@pytest.mark.parametrize("name", ["group_5_friends.jpg", "id_obama_4_wide.jpg", "group_selfie6.jpg", "group_9.jpg"])
def test_the_largest_face_is_the_same_whatever_is_asked(name: str, full: Analyzer, photos: Path) -> None:
    data = (photos / name).read_bytes()
    alone = one(full, data, TEMPLATE)
    among = full.analyze(data, Task(TEMPLATE, max_faces=10)).faces[0]
    assert alone.token == among.token
    assert alone.box == among.box
    assert alone.embedding @ among.embedding > 0.9999


@pytest.mark.parametrize("square", [True, False])
def test_square_inputs_find_the_same(square: bool, foreign_models: Path, photos: Path) -> None:
    made = analyzer(foreign_models, "detect")
    finder = Finder(made.equipment.detector, square=square)
    assert len(finder.find(rgb(photos / "group_5_friends.jpg"), most=10)) == 5


def test_same_person_and_others(full: Analyzer, photos: Path) -> None:
    """Every pair of the identity photos on its right side of one threshold."""
    with (photos / "photos.csv").open(newline="", encoding="utf-8") as handle:
        people = {row["file"]: row["identity"] for row in csv.DictReader(handle) if row["file"].startswith("id_")}
    people = {file: name for file, name in people.items() if name and "and" not in name.split() and "|" not in name}
    vectors: dict[str, Any] = {}
    for file in people:
        faces = full.analyze((photos / file).read_bytes(), Task(TEMPLATE, max_faces=2)).faces
        if len(faces) == 1:
            vectors[file] = faces[0].embedding
    files = sorted(vectors)
    assert len(files) > 20
    same: list[float] = []
    other: list[float] = []
    for i, a in enumerate(files):
        for b in files[:i]:
            (same if people[a] == people[b] else other).append(float(vectors[a] @ vectors[b]))
    assert min(same) > 0.5
    assert max(other) < 0.4
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) for vector in vectors.values())


# Places


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_exif_photos_are_analysed_upright(orientation: int, full: Analyzer, photos: Path) -> None:
    upright = one(full, (photos / "fmt_progressive.jpg").read_bytes(), TEMPLATE | Want.POSE)
    turned = one(full, (photos / f"exif_orient_{orientation}.jpg").read_bytes(), TEMPLATE | Want.POSE)
    assert turned.box.left == pytest.approx(upright.box.left, abs=8)
    assert turned.box.top == pytest.approx(upright.box.top, abs=8)
    assert abs(turned.pose.roll - upright.pose.roll) < 4
    assert turned.embedding @ upright.embedding > 0.95


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_any_turn(turn: int, full: Analyzer, photos: Path) -> None:
    """A picture turned by quarters has the same face, placed and posed in its own frame."""
    pixels = rgb(photos / "id_df_personB_1.jpg")
    height, width = pixels.shape[:2]
    upright = one(full, png(pixels), TEMPLATE | Want.POSE | Want.LANDMARKS)
    turned = np.ascontiguousarray(np.rot90(pixels, -turn))
    found = one(full, png(turned), TEMPLATE | Want.POSE | Want.LANDMARKS, any_turn=True)
    assert found.embedding @ upright.embedding > 0.95
    assert abs((found.pose.roll - upright.pose.roll - 90 * turn + 180) % 360 - 180) < 6
    assert found.pose.yaw == pytest.approx(upright.pose.yaw, abs=6)
    corners = np.array(
        [[found.box.left, found.box.top, found.box.left + found.box.width, found.box.top + found.box.height]]
    )
    seen = Faces(corners.astype(np.float32), np.ones(1, np.float32), found.points[None])
    # Turning the rest of the way round leads back to the upright picture.
    home = unturn(seen, turn, height, width)
    assert home.points[0] == pytest.approx(upright.points, abs=0.06 * upright.box.width)
    assert home.boxes[0, :2] == pytest.approx([upright.box.left, upright.box.top], abs=0.08 * upright.box.width)


@pytest.mark.parametrize(("name", "roll"), [("cond_upside_down.jpg", 180), ("cond_rot90_noexif.jpg", -90)])
def test_photos_that_lie_the_wrong_way(name: str, roll: int, full: Analyzer, photos: Path) -> None:
    face = one(full, (photos / name).read_bytes(), Want.POSE, any_turn=True)
    assert face.probability > 0.9
    assert abs((face.pose.roll - roll + 180) % 360 - 180) < 15


@pytest.mark.parametrize("factor", [2, 4])
def test_large_photos_are_answered_in_their_own_pixels(factor: int, full: Analyzer, photos: Path) -> None:
    pixels = np.ascontiguousarray(rgb(photos / "id_obama_1.jpg")[:, 230:640])
    longer = 1700 * factor / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=longer, fy=longer, interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", large[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    small, big = one(full, png(pixels), TEMPLATE | Want.LANDMARKS), one(full, data, TEMPLATE | Want.LANDMARKS)
    answer = full.analyze(data, Task(Want.NONE))
    assert (answer.height, answer.width) == large.shape[:2]
    slack = 0.04 * big.box.width
    assert big.box.left == pytest.approx(small.box.left * longer, abs=slack)
    assert big.box.width == pytest.approx(small.box.width * longer, abs=slack)
    assert big.landmarks.p72 == pytest.approx(small.landmarks.p72 * longer, abs=1.5 * slack)
    assert big.embedding @ small.embedding > 0.95


def test_landmarks_of_every_layout(full: Analyzer, photos: Path) -> None:
    face = one(full, (photos / "id_obama_1.jpg").read_bytes(), Want.LANDMARKS)
    shapes = {name: getattr(face.landmarks, name).shape for name in ("p4", "p68", "p72", "p106")}
    assert shapes == {"p4": (4, 2), "p68": (68, 2), "p72": (72, 2), "p106": (106, 2)}
    box = face.box
    for points in (face.landmarks.p4, face.landmarks.p68, face.landmarks.p72, face.landmarks.p106):
        assert (points >= [box.left - 0.15 * box.width, box.top - 0.1 * box.height]).all()
        assert (points <= [box.left + 1.15 * box.width, box.top + 1.1 * box.height]).all()


def test_without_a_landmark_model_there_are_four_points_and_a_pose(foreign_models: Path, photos: Path) -> None:
    made = analyzer(foreign_models, "detect", "embed")
    face = one(made, (photos / "cond_profile_left.jpg").read_bytes(), EVERYTHING)
    assert face.landmarks.p4.shape == (4, 2)
    assert face.landmarks.p68 is None
    assert face.landmarks.p72 is None
    assert face.pose.yaw < -30
    assert face.attributes.eyes is None
    assert face.quality.occlusion is None
    assert face.liveness is None
    assert made.capabilities == TEMPLATE | Want.LANDMARKS | Want.POSE | Want.QUALITY


# Tokens and known faces


def test_token_is_of_the_pixels_not_of_the_file(full: Analyzer, photos: Path) -> None:
    pixels = rgb(photos / "id_obama_1.jpg")
    tokens = set()
    for kind, options in (
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {"optimize": True}),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        tokens.add(one(full, buffer.getvalue()).token)
    assert len(tokens) == 1
    token = tokens.pop()
    assert len(token) == 32
    assert set(token) <= set("0123456789abcdef")
    darker = one(full, png((pixels * 0.98).astype(np.uint8))).token
    assert darker != token


def test_faces_of_one_picture_have_different_tokens(full: Analyzer, photos: Path) -> None:
    faces = full.analyze((photos / "group_5_friends.jpg").read_bytes(), Task(Want.NONE, max_faces=10)).faces
    assert len({face.token for face in faces}) == 5


def test_a_known_face_is_analysed_without_detecting(full: Analyzer, photos: Path) -> None:
    data = (photos / "group_5_friends.jpg").read_bytes()
    faces: Any = full.analyze(data, Task(TEMPLATE | Want.POSE, max_faces=10)).faces
    for face in faces:
        spot = Spot(face.box, face.points, face.probability, face.token)
        with request() as context:
            again = one(full, data, TEMPLATE | Want.POSE, spot=spot)
        assert again.token == face.token
        assert again.box.left == pytest.approx(face.box.left, abs=0.01)
        assert again.embedding @ face.embedding > 0.99999
        assert again.pose.yaw == pytest.approx(face.pose.yaw, abs=0.2)
        assert context.stages["detect"] < 2


# What is computed


class Counting:
    def __init__(self, net: Any) -> None:
        self.inputs, self.outputs, self.runs, self._net = net.inputs, net.outputs, 0, net

    def run(self, batch: dict[str, Any]) -> dict[str, Any]:
        self.runs += 1
        answer: dict[str, Any] = self._net.run(batch)
        return answer


def counted(made: Analyzer) -> dict[str, Counting]:
    """The first network of every adapter, replaced by one that counts."""
    kit, counters = made.equipment, {}
    owners: dict[str, Any] = {"detect": kit.detector, "landmarks": kit.landmarker, "embed": kit.embedder}
    for name, owner in owners.items():
        owner.net = counters[name] = Counting(owner.net)
    liveness: Any = kit.readers["liveness"]
    counters["liveness"] = Counting(liveness.parts[0][0])
    liveness.parts = [(counters["liveness"], liveness.parts[0][1]), *liveness.parts[1:]]
    pose: Any = kit.readers["pose"]
    counters["pose"] = Counting(pose.nets[0])
    pose.nets = [counters["pose"], *pose.nets[1:]]
    return counters


@pytest.mark.parametrize(
    ("want", "runs"),
    [
        (Want.NONE, {"detect"}),
        (TEMPLATE, {"detect", "landmarks", "embed"}),
        (Want.LIVENESS, {"detect", "liveness"}),
        (Want.POSE, {"detect", "pose"}),
        (Want.LANDMARKS, {"detect", "landmarks"}),
        (Want.QUALITY, {"detect", "landmarks"}),
        (Want.EYES, {"detect", "landmarks"}),
        (Want.AGE, {"detect"}),  # no role of the pack gives it
        (EVERYTHING, {"detect", "landmarks", "embed", "liveness", "pose"}),
    ],
)
def test_only_what_is_asked_for_is_computed(want: Want, runs: set[str], foreign_models: Path, photos: Path) -> None:
    made = analyzer(foreign_models)
    counters = counted(made)
    with request() as context:
        made.analyze((photos / "group_5_friends.jpg").read_bytes(), Task(want, max_faces=5))
    assert {name for name, counter in counters.items() if counter.runs} == runs
    # Five faces share a batch; landmarks may look at tilted ones once more.
    assert all(counter.runs == 1 for name, counter in counters.items() if name in runs - {"detect", "landmarks"})
    assert counters["landmarks"].runs <= 2
    assert {"decode", *runs} <= context.stages.keys()
    assert all(spent >= 0 for spent in context.stages.values())


def test_answers_hold_only_what_was_asked_for(full: Analyzer, photos: Path) -> None:
    data = (photos / "id_obama_1.jpg").read_bytes()
    bare = one(full, data)
    assert (bare.pose, bare.landmarks, bare.quality, bare.liveness, bare.embedding, bare.parsing) == (None,) * 6
    assert bare.attributes == type(bare.attributes)()
    rich = one(full, data, EVERYTHING)
    assert None not in (rich.pose, rich.landmarks, rich.quality, rich.liveness, rich.liveness_raw)
    assert rich.embedding.shape == (128,)
    assert rich.attributes.eyes.left > 0.5
    assert rich.attributes.mouth_open > 0.5
    assert rich.attributes.face_shape.probability > 0.2
    assert rich.attributes.age is None  # the pack has no model for it
    assert full.capabilities & (Want.AGE | Want.PARSING | Want.BEAUTY) == Want.NONE
    assert full.capabilities & (Want.LIVENESS | Want.EYES) == Want.LIVENESS | Want.EYES


def told(models: Path, **answers: Any) -> Analyzer:
    """A real detector and landmarks, with one network that answers fixed heads."""
    rows = {name: np.array([row], np.float32) for name, row in answers.items()}
    net = Fake({"image": ("n", 112, 112, 3)}, lambda image: rows, tuple(answers))
    return analyzer(models, "detect", "landmarks", extra={"attributes": ("heads", [net], {"crop": "aligned"})})


def test_heads_become_words(foreign_models: Path, photos: Path) -> None:
    made = told(
        foreign_models,
        age=31.4,
        gender=[0.1, 0.9],
        expression=[0.2, 0.7, 0.1],
        emotion=[0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.1],
        glasses=[0.1, 0.1, 0.8],
        mask=0.25,
        eyes=[0.9, 0.1],
        mouth_open=0.6,
        face_type=[0.99, 0.01],
        beauty=130.0,
        occlusion=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.2],
    )
    face = one(made, (photos / "id_obama_1.jpg").read_bytes(), EVERYTHING)
    words = face.attributes
    assert words.age == pytest.approx(31.4)
    assert (words.gender.type, words.expression.type, words.emotion.type) == ("male", "smile", "happy")
    assert (words.glasses.type, words.face_type.type) == ("sun", "human")
    assert words.glasses.probability == pytest.approx(0.8)
    assert words.mask == pytest.approx(0.25)
    assert (words.eyes.left, words.eyes.right) == pytest.approx((0.9, 0.1))
    assert words.mouth_open == pytest.approx(0.6)
    assert words.beauty == 100.0
    assert words.race is None
    assert face.quality.occlusion.right_eye == pytest.approx(0.1)
    assert face.quality.occlusion.chin_contour == 1.0
    only_age = one(made, (photos / "id_obama_1.jpg").read_bytes(), Want.AGE).attributes
    assert only_age.age == pytest.approx(31.4)
    assert only_age.gender is None


def test_smile_and_laugh_without_an_expression_model(foreign_models: Path, photos: Path) -> None:
    """Happy with the lips apart is a laugh, with closed lips a smile; not happy is neither."""
    happy = told(foreign_models, emotion=[0, 0, 0, 1.0, 0, 0, 0])
    sad = told(foreign_models, emotion=[0, 0, 0, 0.1, 0.9, 0, 0])
    laughing, closed = ((photos / name).read_bytes() for name in ("id_obama_1.jpg", "id_df_personA_1.jpg"))
    assert one(happy, laughing, Want.EXPRESSION).attributes.expression.type == "laugh"
    assert one(happy, closed, Want.EXPRESSION).attributes.expression.type == "smile"
    assert one(sad, laughing, Want.EXPRESSION).attributes.expression.type == "none"
    assert one(happy, laughing, Want.EXPRESSION).attributes.emotion is None


def test_every_head_has_a_wish() -> None:
    assert len(set(HEADS.values())) == len(HEADS)


# Quality


def test_blur_tells_blurred_from_sharp(full: Analyzer, photos: Path) -> None:
    def blur(name: str) -> float:
        return float(one(full, (photos / name).read_bytes(), Want.QUALITY).quality.blur)

    assert min(blur("cond_gauss_blur.jpg"), blur("cond_blur_motion.jpg")) > 0.6
    portraits = ("id_obama_1.jpg", "id_df_personB_1.jpg", "id_nasa_anne_mcclain.jpg", "id_clapton_1.jpg", "live_T1.jpg")
    assert max(blur(name) for name in portraits) < 0.2


def test_blur_grows_with_a_gaussian(full: Analyzer, photos: Path) -> None:
    pixels = rgb(photos / "id_df_personB_1.jpg")
    values = [
        one(full, png(cv2.GaussianBlur(pixels, (0, 0), sigma) if sigma else pixels), Want.QUALITY).quality.blur
        for sigma in (0, 2, 4, 8)
    ]
    assert values == sorted(values)
    assert values[0] < 0.1
    assert values[-1] > 0.8


def test_illumination_is_the_brightness_of_the_face(full: Analyzer, photos: Path) -> None:
    bright, dark = (
        one(full, (photos / name).read_bytes(), Want.QUALITY).quality.illumination
        for name in ("fmt_progressive.jpg", "cond_very_dark.jpg")
    )
    assert 100 < bright < 200
    assert dark == pytest.approx(0.12 * bright, rel=0.25)


def test_completeness(full: Analyzer, photos: Path) -> None:
    pixels = rgb(photos / "id_obama_1.jpg")
    face = one(full, png(pixels), Want.QUALITY)
    assert face.quality.completeness == 1
    cut = int(face.box.left + 0.3 * face.box.width)
    assert one(full, png(pixels[:, cut:]), Want.QUALITY).quality.completeness == 0
    for name in ("id_obama_partial_1.jpg", "id_obama_partial_2.jpg"):
        assert one(full, (photos / name).read_bytes(), Want.QUALITY).quality.completeness == 0


def test_liveness_of_photos(full: Analyzer, photos: Path) -> None:
    scores = {
        name: one(full, (photos / f"{name}.jpg").read_bytes(), Want.LIVENESS).liveness
        for name in ("live_T1", "spoof_screen_1", "spoof_screen_2")
    }
    assert scores["live_T1"] > 0.9
    assert max(scores["spoof_screen_1"], scores["spoof_screen_2"]) < 0.5


# Dewatering


def test_watermarks_are_taken_away_before_the_template_only(full: Analyzer, photos: Path) -> None:
    """A repainter that knows the clean picture: the template becomes that of the clean photo, all else stays."""
    pixels = rgb(photos / "id_df_personB_2.jpg")
    mesh = pixels.copy()
    mesh[::6] = mesh[::6] // 3 + 150
    mesh[:, ::6] = mesh[:, ::6] // 3 + 150

    class Knowing:
        def repaint(self, seen: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            assert (seen == mesh).all()
            assert boxes.shape == (1, 4)
            return pixels

    clean = one(full, png(pixels), TEMPLATE).embedding
    marked = one(full, png(mesh), TEMPLATE | Want.QUALITY)
    full.equipment.repainter = Knowing()  # type: ignore[assignment]
    try:
        mended = one(full, png(mesh), TEMPLATE | Want.QUALITY, dewater=True)
        untouched = one(full, png(mesh), TEMPLATE)
    finally:
        full.equipment.repainter = None
    assert mended.embedding @ clean > 0.97
    assert mended.embedding @ clean > marked.embedding @ clean + 0.02
    assert untouched.embedding @ marked.embedding > 0.9999
    assert mended.token == marked.token
    assert mended.quality.blur == pytest.approx(marked.quality.blur, abs=0.05)


# Errors, deadlines, lanes


def test_pictures_that_cannot_be(full: Analyzer) -> None:
    with pytest.raises(BadPicture):
        full.analyze(b"not a picture", Task(Want.NONE))
    with pytest.raises(PictureTooLarge):
        full.analyze(png(np.zeros((5000, 5000, 3), np.uint8)), Task(Want.NONE))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 2), (31, 33)])
def test_pictures_of_odd_sizes(shape: tuple[int, int], full: Analyzer) -> None:
    for any_turn in (False, True):
        answer = full.analyze(png(np.zeros((*shape, 3), np.uint8)), Task(EVERYTHING, max_faces=3, any_turn=any_turn))
        assert (answer.height, answer.width, answer.faces) == (*shape, ())


def test_a_strange_spot_is_answered(full: Analyzer, photos: Path) -> None:
    """A box from elsewhere may lie outside its picture: whatever is there is analysed, nothing breaks."""
    data = (photos / "id_obama_1.jpg").read_bytes()
    face = one(full, data)
    for left, width in ((-5000.0, 10.0), (900.0, 4000.0), (10.0, 0.0)):
        box = type(face.box)(left, left, width, width)
        spot = Spot(box, np.full((5, 2), left, np.float32), 1.0, "0" * 32)
        strange = one(full, data, EVERYTHING, spot=spot)
        assert np.isfinite(strange.embedding).all()
        assert 0 <= strange.quality.blur <= 1


def test_no_stage_begins_for_nobody(full: Analyzer, photos: Path) -> None:
    data = (photos / "id_obama_1.jpg").read_bytes()
    with request(cancelled=True) as context, pytest.raises(Cancelled):
        full.analyze(data, Task(EVERYTHING))
    assert not context.stages
    with request(seconds=-1) as context, pytest.raises(Busy) as busy:
        full.analyze(data, Task(EVERYTHING))
    assert busy.value.stage is Stage.DEADLINE
    assert not context.stages


def test_a_client_that_goes_away_in_the_middle_saves_the_rest(foreign_models: Path, photos: Path) -> None:
    made = analyzer(foreign_models)
    counters = counted(made)
    with request() as context:
        plain = counters["landmarks"].run

        def leave(batch: dict[str, Any]) -> dict[str, Any]:
            context.cancelled = True
            return plain(batch)

        counters["landmarks"].run = leave  # type: ignore[method-assign]
        with pytest.raises(Cancelled):
            made.analyze((photos / "id_obama_1.jpg").read_bytes(), Task(EVERYTHING))
    assert counters["detect"].runs == 1
    assert counters["embed"].runs == counters["liveness"].runs == 0


async def test_local_vision_works_in_lanes(full: Analyzer, photos: Path) -> None:
    lanes = Lanes(2, queue_bytes=10**8)
    lanes.start()
    try:
        info = VisionInfo("test", full.capabilities, "id", full.dimensions, ())
        vision = LocalVision(full, lanes, info)
        assert vision.ready
        assert vision.info is info
        data = (photos / "id_obama_1.jpg").read_bytes()
        with request() as context:
            answers = await asyncio.gather(*(vision.analyze(data, Task(TEMPLATE)) for _ in range(4)))
        assert len({answer.faces[0].token for answer in answers}) == 1
        assert {"decode", "detect", "landmarks", "embed"} <= context.stages.keys()
        with pytest.raises(BadPicture):
            await vision.analyze(b"nothing", Task(TEMPLATE))
    finally:
        lanes.close()


def test_limits_are_the_operators() -> None:
    assert Limits().max_pixels == 24_000_000
