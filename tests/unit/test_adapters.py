"""Adapters: each family on real photos where its weights are at hand, its arithmetic on networks made for the test."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from face_server.vision import layouts
from face_server.vision.adapters import make
from face_server.vision.adapters.base import blob, softmax
from face_server.vision.adapters.detectors import Detector, cells
from face_server.vision.adapters.nms import overlaps, suppress
from face_server.vision.align import roll_of
from face_server.vision.detection import Finder, letterbox
from face_server.vision.images import Pixels, decode
from face_server.vision.view import Crop, Faces, View
from tests.vision_kit import IMAGENET, YUNET, Fake, boxed, load_net

GREY = np.full((120, 160, 3), 128, np.uint8)


def photo(folder: Path, name: str) -> Pixels:
    return decode((folder / name).read_bytes(), 24_000_000).pixels


def one_face(box: tuple[float, ...] = (40, 20, 100, 100)) -> Faces:
    x1, y1, x2, y2 = box
    wide, high = x2 - x1, y2 - y1
    places = [(0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    points = [(x1 + x * wide, y1 + y * high) for x, y in places]
    return Faces(np.array([box], np.float32), np.ones(1, np.float32), np.array([points], np.float32))


def two_faces() -> Faces:
    return Faces.joined([one_face(), one_face((80, 30, 150, 110))])


# Detectors

DETECTORS = {
    "yunet": YUNET,
    "yunet small": "yunet/yunet_s_dynamic.onnx",
    "scrfd, named outputs": "scrfd/scrfd_500m_bnkps.onnx",
    "scrfd, any size": "scrfd/scrfd_2.5g_bnkps.onnx",
    "scrfd of buffalo_s": "scrfd/det_500m.onnx",
    "retinaface": "retinaface/retinaface_640x640_opt.onnx",
}


def detector(models: Path, name: str) -> Detector:
    made = make(name.split()[0].rstrip(","), [load_net(models / DETECTORS[name])], {})
    assert isinstance(made, Detector)
    return made


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_find_the_five_friends(name: str, photos: Path, foreign_models: Path) -> None:
    pixels = photo(photos, "group_5_friends.jpg")
    found = Finder(detector(foreign_models, name)).find(pixels, most=10)
    known = boxed(foreign_models, pixels, most=10)
    assert len(found) == len(known) == 5
    same = overlaps(found.boxes, known.boxes)
    assert (same.max(axis=1) > 0.6).all()
    side = (known.boxes[:, 2:] - known.boxes[:, :2]).max(axis=1)
    order = same.argmax(axis=0)
    apart = np.linalg.norm(found.points[order] - known.points, axis=2).mean(axis=1) / side
    assert apart.max() < 0.12
    # Eyes above the mouth, left eye left of the right one: the order of the points is the template's.
    assert (found.points[:, :2, 1].max(axis=1) < found.points[:, 3:, 1].min(axis=1)).all()
    assert (found.points[:, 0, 0] < found.points[:, 1, 0]).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_batch_is_the_same_as_its_pictures_one_by_one(name: str, photos: Path, foreign_models: Path) -> None:
    made = detector(foreign_models, name)
    files = ("group_5_friends.jpg", "noface_landscape.jpg", "id_obama_1.jpg")
    batch = np.stack([letterbox(photo(photos, file), 640, made.fixed, True)[0] for file in files])
    together = made.detect(batch)
    assert [len(faces) for faces in together] == [5, 0, 1]
    for faces, picture in zip(together, batch, strict=True):
        (alone,) = made.detect(picture[None])
        assert len(alone) == len(faces)
        assert faces.boxes == pytest.approx(alone.boxes, abs=0.05)
        assert faces.points == pytest.approx(alone.points, abs=0.05)
        assert faces.scores == pytest.approx(alone.scores, abs=1e-3)


def test_anchor_free_rows_are_taken_as_they_are() -> None:
    scores = np.array([[0.9, 0.2, 0.8, 0.85]], np.float32)
    boxes = np.array([[[0, 0, 10, 10], [5, 5, 9, 9], [40, 40, 60, 70], [1, 1, 11, 11]]], np.float32)
    points = np.arange(40, dtype=np.float32).reshape(1, 4, 10)
    net = Fake({"image": ("n", "h", "w", 3)}, lambda image: {"scores": scores, "boxes": boxes, "points": points})
    (faces,) = make("anchor_free", [net], {"threshold": 0.5, "nms": 0.4}).detect(GREY[None, :96, :96])
    assert net.batches[0]["image"].dtype == np.uint8
    assert faces.scores.tolist() == pytest.approx([0.9, 0.8])
    assert faces.boxes.tolist() == [[0, 0, 10, 10], [40, 40, 60, 70]]
    assert faces.points[1].tolist() == points[0, 2].reshape(5, 2).tolist()


@pytest.mark.parametrize("anchors", [1, 2])
def test_cells_of_sizes_that_no_stride_divides(anchors: int) -> None:
    corners, strides = cells(240, 320, anchors)
    assert len(corners) == len(strides) == anchors * (30 * 40 + 15 * 20 + 8 * 10)
    assert corners[anchors - 1].tolist() == [0, 0]
    assert corners[anchors].tolist() == [8, 0]
    assert corners[-1].tolist() == [288, 224]


box_lists = st.lists(st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2), max_size=25)


# No overlap of boxes with small whole sides is exactly one of these.
@given(box_lists, st.integers(0, 2**32 - 1), st.sampled_from([0.1234567, 0.3141592, 0.4567891, 0.7182818]))
@settings(max_examples=150, deadline=None)
def test_suppression_is_the_greedy_rule(rows: list[tuple[int, ...]], seed: int, limit: float) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)
    scores = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32)
    faces = Faces(boxes, scores, np.zeros((len(boxes), 5, 2), np.float32))
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], boxes[j]) <= limit for j in kept):
            kept.append(int(i))
    assert suppress(faces, limit).scores.tolist() == scores[kept].tolist()


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    return float(np.float32(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)))


# Input


def test_blob_is_the_written_formula() -> None:
    crops = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    plain = crops.astype(np.float64)
    for mean, std in ((0.0, 1.0), (127.5, 128.0), ([10.0, 20.0, 30.0], [2.0, 4.0, 8.0])):
        wanted = ((plain - mean) / std).transpose(0, 3, 1, 2)
        assert blob(crops, mean, std) == pytest.approx(wanted, abs=1e-4)
        turned = ((plain[..., ::-1] - mean) / std).transpose(0, 3, 1, 2)
        assert blob(crops, mean, std, bgr=True) == pytest.approx(turned, abs=1e-4)


def test_unknown_adapter_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"anchor_free.*yunet"):
        make("yolo", [], {})


def test_one_model_is_one_model() -> None:
    net = Fake({"image": (1, 3, 112, 112)}, lambda image: {})
    with pytest.raises(ValueError, match="one model"):
        make("pfld68", [net, net], {})


# Landmarks

LANDMARKS = {
    "pfld68": "pfld68/pfld.onnx",
    "ghostone98": "ghostone98/PFLD_GhostOne_112_1_opt_sim.onnx",
    "pfld106": "pfld106/lite.onnx",
}


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_landmark_models_agree_on_a_face_in_any_turn(turn: int, photos: Path, foreign_models: Path) -> None:
    pixels = photo(photos, "id_df_personB_1.jpg")
    faces = boxed(foreign_models, pixels)
    side = float((faces.boxes[0, 2:] - faces.boxes[0, :2]).max())
    for _ in range(turn):  # a quarter counterclockwise each: (x, y) -> (y, width - x)
        width = pixels.shape[1]
        pixels = np.ascontiguousarray(np.rot90(pixels))
        corners = np.stack([faces.boxes[:, 1::2], width - faces.boxes[:, ::2]], axis=2)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
        points = np.stack([faces.points[..., 1], width - faces.points[..., 0]], axis=2).astype(np.float32)
        faces = Faces(boxes, faces.scores, points)
    places = []
    for adapter, file in LANDMARKS.items():
        landmarker = make(adapter, [load_net(foreign_models / file)], {})
        points, pose = landmarker.find(View(pixels, faces))
        assert pose is None
        places.append(layouts.five(landmarker.layout, points)[0])
    for found in places:
        assert np.linalg.norm(found - faces.points[0], axis=1).mean() / side < 0.07
        assert np.linalg.norm(found - np.mean(places, axis=0), axis=1).mean() / side < 0.05


def upright98() -> np.ndarray:
    """An upright face as shares of a crop, in the order of WFLW; only the points that alignment uses are set."""
    shares = np.full((1, 98, 2), 0.5, np.float32)
    shares[0, 60:68], shares[0, 68:76] = (0.3, 0.35), (0.7, 0.35)
    shares[0, 54], shares[0, 76], shares[0, 82] = (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)
    return shares


def test_crop_points_gives_points_and_pose_in_the_picture() -> None:
    """A network that always answers the crop's centre and corner, and a pose, for a face lying on its side."""
    faces = one_face()
    points = np.stack([120 - faces.points[..., 1], faces.points[..., 0]], axis=2)
    lying = Faces(faces.boxes, faces.scores, points.astype(np.float32))
    shares = upright98()
    shares[0, :2] = (0.5, 0.5), (0.5, 0.0)
    pose = np.array([[10.0, -5.0, 3.0]], np.float32)
    net = Fake({"image": ("n", 112, 112, 3)}, lambda image: {"points": shares, "pose": pose}, ("points", "pose"))
    points, found = make("crop_points", [net], {"layout": "wflw98", "scale": 1.25}).find(View(GREY, lying))
    assert points[0, 0] == pytest.approx([70, 60], abs=0.01)
    # The top of an upright crop of a face turned by 90 degrees clockwise lies at the picture's right.
    assert points[0, 1] == pytest.approx([70 + 1.25 * 80 / 2, 60], abs=0.5)
    assert found is not None
    assert found[0] == pytest.approx([10, -5, 93], abs=0.5)
    assert len(net.batches) == 1


def test_a_face_that_proves_tilted_is_looked_at_again() -> None:
    """The detector said upright; the network sees a tilt of 40 degrees, and then an upright face in the next crop."""
    tilt = np.radians(40)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]], np.float32)
    answers = [(upright98() - 0.5) @ turn + 0.5, upright98()]

    def answer(image: np.ndarray) -> dict[str, np.ndarray]:
        return {"points": np.repeat(answers[len(net.batches) - 1], len(image), axis=0)}

    net = Fake({"image": ("n", 112, 112, 3)}, answer, ("points",))
    points, _ = make("crop_points", [net], {"layout": "wflw98"}).find(View(GREY, one_face()))
    assert len(net.batches) == 2
    assert roll_of(layouts.five("wflw98", points))[0] == pytest.approx(40, abs=1)


@pytest.mark.parametrize(("adapter", "count", "axes", "rows"), [("2d106", 106, 2, 106), ("3d68", 68, 3, 1103)])
def test_insightface_layouts(adapter: str, count: int, axes: int, rows: int) -> None:
    """Coordinates run from -1 to 1 over the crop; of a mesh the last 68 rows are the landmarks."""
    answer = np.zeros((1, rows, axes), np.float32)
    answer[0, -count:, 0] = -1.0
    net = Fake({"data": ("n", 3, 192, 192)}, lambda data: {"fc1": answer.reshape(1, -1)}, ("fc1",))
    points, _ = make(adapter, [net], {}).find(View(GREY, one_face()))
    assert points.shape == (1, count, 2)
    assert points[0, 0] == pytest.approx([70 - 80 * 1.5 / 2, 60], abs=0.01)
    assert net.batches[0]["data"].shape == (1, 3, 192, 192)
    assert net.batches[0]["data"].max() == 128.0


# Embedders


def test_flip_average_and_unit_length() -> None:
    """A network whose vector is (mean of the left half, mean of the right half, 1)."""

    def halves(image: np.ndarray) -> dict[str, np.ndarray]:
        means = [image[:, :, part].mean(axis=(1, 2, 3)) for part in (slice(56), slice(56, None))]
        return {"embedding": np.stack([*means, np.ones(len(image))], axis=1).astype(np.float32)}

    crops = np.zeros((2, 112, 112, 3), np.uint8)
    crops[:, :, :56] = 200
    net = Fake({"image": ("n", 112, 112, 3)}, halves)
    plain = make("aligned", [net], {}).embed(crops)
    both = make("aligned", [net], {"flip": True})
    assert both.dimensions == 3
    assert plain[0, 0] > 0.99
    averaged = both.embed(crops)
    assert averaged[0, 0] == pytest.approx(averaged[0, 1])
    assert np.linalg.norm(averaged, axis=1) == pytest.approx([1, 1])
    assert len(net.batches[-1]["image"]) == 4  # both views of both faces in one run


def test_arcface_knows_people(photos: Path, foreign_models: Path) -> None:
    embedder = make(
        "arcface", [load_net(foreign_models / "mobilefacenet/MobileFaceNet.onnx")], {**IMAGENET, "flip": True}
    )
    landmarker = make("pfld68", [load_net(foreign_models / LANDMARKS["pfld68"])], {})
    vectors = {}
    for name in ("id_df_personA_1", "id_df_personA_2", "id_df_personB_1", "id_df_personB_2"):
        pixels = photo(photos, f"{name}.jpg")
        faces = boxed(foreign_models, pixels)
        points, _ = landmarker.find(View(pixels, faces))
        exact = Faces(faces.boxes, faces.scores, layouts.five("300w68", points))
        vectors[name] = embedder.read(View(pixels, exact))[0]
    a1, a2, b1, b2 = vectors.values()
    assert min(a1 @ a2, b1 @ b2) > 0.7
    assert max(a1 @ b1, a1 @ b2, a2 @ b1, a2 @ b2) < 0.25


# Liveness


def silent_face_crop(pixels: Pixels, box: np.ndarray, scale: float) -> tuple[int, int, int, int]:
    """The corners of Silent-Face's crop, worked out from its rule: shrink to fit, centre, push back inside."""
    height, width = pixels.shape[:2]
    wide, high = box[2] - box[0], box[3] - box[1]
    scale = min((height - 1) / high, (width - 1) / wide, scale)
    corners = []
    for low, side, limit in ((box[0], wide, width), (box[1], high, height)):
        start, end = low + side / 2 - side * scale / 2, low + side / 2 + side * scale / 2
        if start < 0:
            start, end = 0, end - start
        if end > limit - 1:
            start, end = start - (end - limit + 1), limit - 1
        corners.append((int(start), int(end)))
    return corners[0][0], corners[1][0], corners[0][1], corners[1][1]


@pytest.mark.parametrize("box", [(40, 20, 100, 100), (0, 0, 30, 40), (130, 80, 159, 119), (-10, 50, 20, 90)])
@pytest.mark.parametrize("scale", [1.0, 2.7, 4.0])
def test_liveness_sees_the_official_crop(box: tuple[float, ...], scale: float) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    left, top, right, bottom = silent_face_crop(pixels, np.array(box, float), scale)
    crop = View(pixels, one_face(box)).crops(Crop("inside", 80, scale=scale))[0]
    wanted = cv2.resize(pixels[top : bottom + 1, left : right + 1], (80, 80))
    # The last row may fall on either side of a whole number.
    assert np.abs(crop.astype(int) - wanted).mean() < 25


def test_minifasnet_averages_and_reads_class_one() -> None:
    nets = [
        Fake({"crop": ("n", 3, 80, 80)}, lambda crop, row=row: {"logits": np.repeat([row], len(crop), axis=0)})
        for row in (np.log([[0.2, 0.5, 0.3]])[0], np.log([[0.05, 0.9, 0.05]])[0])
    ]
    view = View(GREY, two_faces())
    readings = make("minifasnet", nets, {"scales": [2.7, 4.0]}).read(view)
    assert readings["live"] == pytest.approx([0.7, 0.7], abs=1e-5)
    table = {"raw": [0.0, 0.5, 0.9, 1.0], "score": [0.0, 0.1, 0.9, 1.0]}
    calibrated = make("minifasnet", nets, {"scales": [2.7, 4.0], "calibration": table}).read(view)
    assert calibrated["live"] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert calibrated["live_raw"] == pytest.approx([0.7, 0.7], abs=1e-5)
    assert nets[0].batches[0]["crop"].shape == (2, 3, 80, 80)
    assert nets[0].batches[0]["crop"].max() == 128.0


def test_our_liveness_has_one_input_per_crop() -> None:
    def answer(wide: np.ndarray, close: np.ndarray) -> dict[str, np.ndarray]:
        assert wide.shape[1:] == (80, 80, 3)
        assert close.shape[1:] == (96, 96, 3)
        return {"logit": np.array([2.0, -2.0], np.float32)}

    net = Fake({"wide": ("n", 80, 80, 3), "close": ("n", 96, 96, 3)}, answer, ("logit",))
    facts: dict[str, Any] = {"inputs": ["wide", "close"], "scales": [2.7, 1.2], "sizes": [80, 96], "output": "logit"}
    plain = make("crops_softmax", [net], facts).read(View(GREY, two_faces()))
    assert plain["live"] == pytest.approx([0.8808, 0.1192], abs=1e-4)
    table = {"raw": [-4.0, 0.0, 4.0], "score": [0.0, 0.3, 1.0]}
    fitted = make("crops_softmax", [net], {**facts, "calibration": table}).read(View(GREY, two_faces()))
    assert fitted["live"] == pytest.approx([0.65, 0.15], abs=1e-4)
    assert fitted["live_raw"] == pytest.approx(plain["live"])


# Heads


def test_heads_of_two_roles_run_once() -> None:
    net = Fake(
        {"image": ("n", 112, 112, 3)},
        lambda image: {"age": np.array([30.0, 40.0]), "gender": np.array([[0.9, 0.1], [0.2, 0.8]])},
        ("age", "gender"),
    )
    view = View(GREY, two_faces())
    age = make("heads", [net], {"crop": "aligned", "margin": 0.0, "heads": ["age"]})
    gender = make("heads", [net], {"crop": "aligned", "margin": 0.0, "heads": ["gender"]})
    assert set(age.read(view)) == {"age"}
    assert gender.read(view)["gender"].shape == (2, 2)
    assert len(net.batches) == 1
    wider = make("heads", [net], {"crop": "aligned", "margin": 0.2, "heads": ["age"]})
    wider.read(view)
    assert len(net.batches) == 2


def test_unknown_crop_is_refused() -> None:
    net = Fake({"image": ("n", 112, 112, 3)}, lambda image: {}, ("age",))
    with pytest.raises(ValueError, match="circle"):
        make("heads", [net], {"crop": "circle"})


def test_genderage() -> None:
    rows = np.array([[1.0, 3.0, 0.31], [2.0, 0.0, 0.07]], np.float32)
    net = Fake({"data": ("n", 3, 96, 96)}, lambda data: {"fc1": rows}, ("fc1",))
    readings = make("genderage", [net], {}).read(View(GREY, two_faces()))
    assert readings["age"] == pytest.approx([31, 7])
    assert readings["gender"] == pytest.approx(softmax(rows[:, :2]))
    assert readings["gender"].argmax(axis=1).tolist() == [1, 0]  # male, female


@pytest.mark.parametrize(
    ("name", "yaw", "roll"),
    [("cond_profile_left.jpg", -1, 0), ("cond_profile_right.png", 1, 0), ("cond_tilt.png", 0, 1)],
)
def test_fsanet_turns_our_way(name: str, yaw: int, roll: int, photos: Path, foreign_models: Path) -> None:
    files = ("fsanet/fsanet-1x1-iter-688590.onnx", "fsanet/fsanet-var-iter-688590.onnx")
    pixels = photo(photos, name)
    reader = make("fsanet", [load_net(foreign_models / file) for file in files], {})
    found = reader.read(View(pixels, boxed(foreign_models, pixels)))["pose"][0]
    if yaw:
        assert 35 < yaw * found[0] < 80
    if roll:
        assert 25 < roll * found[2] < 55


# Pictures


def test_parsing_lies_where_the_face_is() -> None:
    """A network that sees class 1 in the middle of its crop and 0 around; the picture was sent twice as large."""
    classes = np.zeros((1, 2, 112, 112), np.float32)
    classes[:, 0] = 1
    classes[:, 1, 28:84, 28:84] = 2
    net = Fake({"image": ("n", 112, 112, 3)}, lambda image: {"classes": classes}, ("classes",))
    parser = make("parsing", [net], {"labels": ["background", "face"], "crop": "box", "scale": 2.0})
    (found,) = parser.read(View(GREY, one_face()), 320, 240)
    assert found.shape == (240, 320)
    rows, columns = np.nonzero(found)
    # The crop is 160 wide around (70, 60); its middle half is 80 wide; everything doubled.
    assert (columns.min(), columns.max()) == pytest.approx((60, 219), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((40, 199), abs=2)


@pytest.mark.parametrize("box", [(40, 20, 100, 100), (-20, -20, 30, 30), (100, 60, 400, 300)])
def test_only_the_face_is_repainted(box: tuple[float, ...]) -> None:
    def inverted(image: np.ndarray) -> dict[str, np.ndarray]:
        assert image.dtype == np.uint8
        assert image.shape[1] % 16 == 0
        assert image.shape[2] % 16 == 0
        assert min(image.shape[1:3]) >= 16
        assert max(image.shape[1:3]) <= 320
        return {"image_clean": 255.0 - image}

    pixels = np.full((300, 400, 3), 55, np.uint8)
    net = Fake({"image": ("n", "h", "w", 3)}, inverted, ("image_clean",))
    repainter = make("image_to_image", [net], {"multiple": 16, "sides": [128, 320]})
    clean = repainter.repaint(pixels, np.array([box], np.float32))
    assert (pixels == 55).all()
    x, y = np.clip([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], 0, (399, 299)).astype(int)
    assert clean[y, x].tolist() == [200] * 3
    assert set(np.unique(clean)) == {55, 200}
    share = (clean[..., 0] == 200).mean()
    wanted = min(box[2] - box[0], 400) * 1.6 * max(box[3] - box[1], 1) * 1.6 / pixels[..., 0].size
    assert share < wanted * 2
