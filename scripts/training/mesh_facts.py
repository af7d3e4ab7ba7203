"""Smile, blink and open lips of a face, from MediaPipe's mesh and blendshape networks (Apache-2.0)."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np

from scripts.training.corpus import Crop, Image
from scripts.training.landmarks_teachers import FaceBox, FaceMesh, bundled, upright
from scripts.training.livefaces import box_of
from scripts.training.teachers import Floats

# The 146 of 478 mesh points that the blendshape network reads, as MediaPipe's graph lists them.
MESH_SUBSET = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382),
    *(384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478)),
)
BLINK_RIGHT, BLINK_LEFT, JAW_OPEN, SMILE_LEFT, SMILE_RIGHT = 10, 9, 25, 44, 45  # the person's left and right
INNER_LIPS, MOUTH_CORNERS, EYE_CORNERS = (13, 14), (61, 291), (33, 263)  # mesh points


class Blendshapes:
    """478 mesh points in pixels -> 52 activations, 0..1."""

    @cached_property
    def _net(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        net = Interpreter(model_content=bundled("face_blendshapes.tflite"), num_threads=1)
        net.allocate_tensors()
        return net

    def __call__(self, mesh: Floats) -> Floats:
        net = self._net
        net.set_tensor(net.get_input_details()[0]["index"], mesh[list(MESH_SUBSET), :2][None].astype(np.float32))
        net.invoke()
        return np.asarray(net.get_tensor(net.get_output_details()[0]["index"]), np.float32).reshape(52)


@dataclass(frozen=True, slots=True)
class Facts:
    """Activations 0..1; `gap` in distances of the outer eye corners; `blink` of the eyes at image left and right."""

    smile: float
    gap: float
    blink: Floats


@cache
def _teachers() -> tuple[FaceMesh, Blendshapes]:
    return FaceMesh(), Blendshapes()


def mesh_facts(pixels: Image, crop: Crop) -> Facts:
    """What the teachers see in one crop of the corpus."""
    assert crop.points is not None
    net, shapes_of = _teachers()
    matrix = upright(FaceBox(box_of(crop), crop.points, 1.0), 1.5, FaceMesh.size)
    seen = cv2.warpAffine(pixels, matrix, (FaceMesh.size,) * 2, borderMode=cv2.BORDER_REPLICATE)
    mesh = net(np.asarray(seen, np.uint8))
    shapes = shapes_of(mesh)
    lips, corners = mesh[list(INNER_LIPS), :2], mesh[list(EYE_CORNERS), :2]
    gap = float(np.linalg.norm(lips[0] - lips[1]) / np.linalg.norm(corners[0] - corners[1]))
    smile = float(shapes[SMILE_LEFT] + shapes[SMILE_RIGHT]) / 2
    return Facts(smile, gap, shapes[[BLINK_RIGHT, BLINK_LEFT]])
