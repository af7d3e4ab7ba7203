"""One picture from bytes to faces: straight-line code for one thread, which asks only the models the task needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from face_server.errors import ModelMissing
from face_server.model import Analysis, Box, Cleaned, Face, Landmarks, Parsing, Pose, Quality, Spot, Task, Want
from face_server.request import stage
from face_server.vision import geometry, layouts, measures, portrait
from face_server.vision.adapters import Net, Readings
from face_server.vision.align import Floats
from face_server.vision.attributes import attributes, expression, occlusion
from face_server.vision.detection import Finder
from face_server.vision.equipment import Equipment, Plan, Role
from face_server.vision.heads import FROM_EMOTION, FROM_LANDMARKS
from face_server.vision.images import Picture, decode
from face_server.vision.view import Faces, View

# A JPEG twice as long as this or more is decoded at a half, a quarter or an eighth of its size. One number for all
# tasks: the token of a face comes from these pixels.
ENOUGH = 1600
TOKEN_SIDE = 48
MANY = 100  # faces cleaned in one picture


@dataclass(frozen=True, slots=True)
class Limits:
    max_pixels: int = 24_000_000
    square_input: bool = False  # detector inputs of one shape, so that requests share batches


@dataclass(slots=True)
class Findings:
    """What is known of the faces of a picture, row by row, while it is being found."""

    view: View  # with the exact points
    readings: Readings = field(default_factory=dict)
    landmarks: Floats | None = None
    embeddings: Floats | None = None
    blur: Floats | None = None
    illumination: Floats | None = None
    contrast: Floats | None = None
    parsing: list[NDArray[np.uint8]] | None = None


class Analyzer:
    def __init__(
        self, roles: Mapping[str, Role], models: Mapping[str, Sequence[Net]], limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.equipment = Equipment(roles, models)
        self.finder = Finder(self.equipment.detector, self.limits.square_input)

    @property
    def dimensions(self) -> int:
        return self.equipment.embedder.dimensions if self.equipment.embedder else 0

    @property
    def capabilities(self) -> Want:
        return self.equipment.capabilities

    def analyze(self, data: bytes, task: Task) -> Analysis:
        with stage("decode"):
            picture = decode(data, self.limits.max_pixels, ENOUGH)
        with stage("detect"):
            faces = self._faces(picture, task)
        if not len(faces):
            return Analysis(picture.width, picture.height, ())
        tokens = [task.spot.token] if task.spot else [token(picture, box) for box in faces.boxes]
        found = self._study(picture, faces, task)
        return Analysis(
            picture.width,
            picture.height,
            tuple(self._face(found, faces, i, picture, tokens[i], task) for i in range(len(faces))),
        )

    def clean(self, data: bytes) -> Cleaned:
        """The whole picture where it is a small identity photo; of a larger one the faces, at the size that the
        network knows."""
        repainter = self.equipment.repainter
        if repainter is None:
            raise ModelMissing("dewater")
        with stage("decode"):
            picture = decode(data, self.limits.max_pixels)
        boxes = np.array([[0, 0, picture.width, picture.height]], np.float32)
        if max(picture.width, picture.height) > repainter.most:
            with stage("detect"):
                faces = self.finder.find(picture.pixels, MANY)
            boxes = faces.boxes if len(faces) else boxes
        with stage("dewater"):
            pixels = repainter.repaint(picture.pixels, boxes)
            return Cleaned(portrait.jpeg(pixels), picture.width, picture.height)

    def _faces(self, picture: Picture, task: Task) -> Faces:
        if task.spot:
            return _known(task.spot, picture)
        return self.finder.find(picture.pixels, task.max_faces, task.by_area, task.any_turn)

    def _study(self, picture: Picture, faces: Faces, task: Task) -> Findings:
        plan = self.equipment.plan(task.want)
        found = Findings(View(picture.pixels, faces))
        clean = self._clean(found.view, task) if task.dewater and plan.embed else found.view
        if plan.points:
            clean = self._locate(found, clean, plan)
        if plan.embed and self.equipment.embedder:
            with stage("embed"):
                found.embeddings = self.equipment.embedder.read(clean)
        for name, reader in plan.readers.items():
            with stage(name):
                found.readings = reader.read(found.view) | found.readings
        if plan.parse and self.equipment.parser:
            with stage("parsing"):
                found.parsing = self.equipment.parser.read(found.view, picture.width, picture.height)
        if plan.quality or not plan.heads <= found.readings.keys():
            with stage("measures"):
                self._measure(found, plan)
        return found

    def _clean(self, view: View, task: Task) -> View:
        """Without the mesh that watermarked photos of ID cards carry."""
        if not self.equipment.repainter:
            return view
        with stage("dewater"):
            return View(self.equipment.repainter.repaint(view.pixels, view.faces.boxes), view.faces)

    def _locate(self, found: Findings, clean: View, plan: Plan) -> View:
        """Exact points, for the view of the picture and for the clean one, which is answered."""
        landmarker = self.equipment.landmarker
        assert landmarker is not None
        with stage("landmarks"):
            found.landmarks, pose = landmarker.find(clean)
        if pose is not None and "pose" not in plan.given:
            found.readings["pose"] = pose
        exact = replace(clean.faces, points=layouts.five(landmarker.layout, found.landmarks))
        # One view for both where there was nothing to clean, so that they share crops.
        same = clean is found.view
        found.view = View(found.view.pixels, exact)
        return found.view if same else View(clean.pixels, exact)

    def _measure(self, found: Findings, plan: Plan) -> None:
        """What needs no network of its own."""
        readings, missing = found.readings, plan.heads - found.readings.keys()
        if found.landmarks is not None and missing & (FROM_LANDMARKS | FROM_EMOTION.keys()):
            layout = self._layout
            readings |= geometry.readings(layouts.convert(layout, "300w68", found.landmarks), layout, missing)
            if "expression" in missing and "emotion" in readings:
                readings["expression"] = expression(readings["emotion"], readings["mouth_open"])
        elif "pose" in missing:
            readings["pose"] = geometry.pose_of_5(found.view.faces.points)
        if plan.quality:
            found.blur = measures.blur(found.view.crops(measures.SHARPNESS_CROP))
            found.illumination = measures.illumination(found.view.pixels, found.view.faces.boxes)
        if plan.contrast:
            found.contrast = measures.contrast(found.view.pixels, found.view.faces.boxes)

    @property
    def _layout(self) -> str:
        return self.equipment.landmarker.layout if self.equipment.landmarker else ""

    def _face(self, found: Findings, faces: Faces, i: int, picture: Picture, token: str, task: Task) -> Face:
        readings, parser, want = found.readings, self.equipment.parser, task.want
        live, raw = readings.get("live"), readings.get("live_raw")
        box = _box(faces.boxes[i], picture)
        cut = bool(task.portrait) and i == 0 and picture.scale == 1.0
        return Face(
            box=box,
            probability=float(faces.scores[i]),
            # The detector's own: with them the face can be analysed again to the same result.
            points=faces.points[i] / np.float32(picture.scale),
            token=token,
            pose=_pose(readings["pose"][i]) if want & Want.POSE and "pose" in readings else None,
            landmarks=self._landmarks(found, i, picture) if want & Want.LANDMARKS else None,
            quality=_quality(found, i, picture),
            liveness=float(live[i]) if live is not None else None,
            liveness_raw=float(raw[i]) if raw is not None else None,
            attributes=attributes(readings, i, want),
            embedding=found.embeddings[i] if found.embeddings is not None else None,
            parsing=Parsing(found.parsing[i], parser.labels) if parser and found.parsing else None,
            portrait=portrait.cut_pixels(picture.pixels, box, task.portrait) if cut else None,
        )

    def _landmarks(self, found: Findings, i: int, picture: Picture) -> Landmarks:
        back = np.float32(1 / picture.scale)
        p4 = layouts.four(found.view.faces.points[i : i + 1])[0] * back
        if found.landmarks is None:
            return Landmarks(p4)
        points = found.landmarks[i : i + 1] * back
        p68, p72, p106 = (layouts.convert(self._layout, t, points)[0] for t in ("300w68", "baidu72", "jd106"))
        return Landmarks(p4, p68, p72, p106)


def token(picture: Picture, corners: Floats) -> str:
    """Names a face by its pixels and place: the same in every lossless encoding of the same picture."""
    box = np.rint(corners / picture.scale).astype("<i4")
    part = measures.inside(picture.pixels, corners)
    sample = cv2.resize(part, (TOKEN_SIDE, TOKEN_SIDE), interpolation=cv2.INTER_NEAREST)
    return hashlib.blake2b(sample.tobytes() + box.tobytes(), digest_size=16).hexdigest()


def _known(spot: Spot, picture: Picture) -> Faces:
    box = spot.box
    corners = np.array([[box.left, box.top, box.left + box.width, box.top + box.height]], np.float32)
    scale = np.float32(picture.scale)
    points = np.asarray(spot.points, np.float32).reshape(1, 5, 2)
    return Faces(corners * scale, np.array([spot.probability], np.float32), points * scale)


def _box(corners: Floats, picture: Picture) -> Box:
    left, top, right, bottom = (float(value) / picture.scale for value in corners)
    return Box(left, top, right - left, bottom - top)


def _pose(row: Floats) -> Pose:
    yaw, pitch, roll = (float(value) for value in row)
    return Pose(min(max(yaw, -90.0), 90.0), min(max(pitch, -90.0), 90.0), (roll + 180) % 360 - 180)


def _quality(found: Findings, i: int, picture: Picture) -> Quality | None:
    if found.blur is None or found.illumination is None:
        return None
    return Quality(
        blur=float(found.blur[i]),
        illumination=float(found.illumination[i]),
        completeness=measures.complete(
            picture.pixels, found.view.faces.boxes[i], found.landmarks[i] if found.landmarks is not None else None
        ),
        occlusion=occlusion(found.readings, i),
        contrast=None if found.contrast is None else float(found.contrast[i]),
    )
