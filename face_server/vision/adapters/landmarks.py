"""Landmark models: a loose crop of each face in, points in the picture out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from face_server.vision import layouts
from face_server.vision.adapters.base import Net, Params, adapter, blob, only, side_of
from face_server.vision.align import Floats, back, roll_of
from face_server.vision.view import Crop, Faces, View

# What each family was trained with. `scale`: crop side over the box's longer side; `span`: where its coordinates lie
# in the crop (low, high). A pack may override any of it.
FAMILIES: dict[str, dict[str, Any]] = {
    "crop_points": {"scale": 1.25},
    "pfld68": {"layout": "300w68", "scale": 1.1, "std": 255.0},
    "ghostone98": {"layout": "wflw98", "scale": 1.2, "std": 255.0, "bgr": True},
    "pfld106": {"layout": "insightface106", "scale": 1.2, "std": 255.0, "bgr": True, "output": "output"},
    "2d106": {"layout": "insightface106", "scale": 1.5, "span": (-1.0, 1.0), "rotate": False},
    "3d68": {"layout": "300w68", "scale": 1.5, "span": (-1.0, 1.0), "rotate": False},
}


TILT = 12.0  # degrees by which a crop may be off upright; landmark models were trained within that


@adapter(*FAMILIES)
class Landmarker:
    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, self.input = only(nets)
        self.raw = name == "crop_points"
        facts = {"rotate": True, **FAMILIES[name], **params}
        self.layout: str = facts["layout"]
        self.crop = Crop.of({**facts, "crop": "box"}, side_of(self.net, 112))
        self.mean, self.std, self.bgr = facts.get("mean", 0.0), facts.get("std", 1.0), bool(facts.get("bgr"))
        self.low, self.high = facts.get("span", (0.0, 1.0))
        self.output = facts.get("output") or ("points" if self.raw else next(iter(self.net.outputs)))
        self.gives_pose = self.raw and "pose" in self.net.outputs
        self.axes = 3 if name == "3d68" else 2

    def find(self, view: View) -> tuple[Floats, Floats | None]:
        """(n, k, 2) points, and (n, 3) yaw, pitch, roll where the network gives them.

        Where a face turns out to be tilted otherwise than the detector's points said, it is set upright and looked at
        once more: these networks know upright faces best.
        """
        points, pose = self._find(view)
        if not self.crop.upright:
            return points, pose
        exact = layouts.five(self.layout, points)
        error = (roll_of(exact) - roll_of(view.faces.points) + 180) % 360 - 180
        tilted = np.flatnonzero(np.abs(error) > TILT)
        if len(tilted):
            faces = view.faces[tilted]
            again = self._find(View(view.pixels, Faces(faces.boxes, faces.scores, exact[tilted])))
            points[tilted] = again[0]
            if pose is not None and again[1] is not None:
                pose[tilted] = again[1]
        return points, pose

    def _find(self, view: View) -> tuple[Floats, Floats | None]:
        crops = view.crops(self.crop)
        answer = self.net.run({self.input: crops if self.raw else blob(crops, self.mean, self.std, self.bgr)})
        shares = answer[self.output].reshape(len(view), -1, self.axes)[:, :, :2]
        if self.axes == 3:
            shares = shares[:, -68:]  # before them the network answers the vertices of a mesh
        in_crop = (shares - self.low) * (self.crop.size / (self.high - self.low))
        points = back(in_crop, view.matrices(self.crop))
        return points, self._pose(answer["pose"], view) if self.gives_pose else None

    def _pose(self, pose: Floats, view: View) -> Floats:
        """From the frame of the crop to that of the picture."""
        pose = pose.copy()
        if self.crop.upright:
            pose[:, 2] += roll_of(view.faces.points)
        return pose
