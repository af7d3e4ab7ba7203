"""Landmark layouts: every layout is cut into the same curves, and another layout is drawn by walking along them.

A curve runs from the image's left to its right (the bridge from the brows to the tip). Left and right are the image's.
Resampling is linear in the points, so a conversion is one matrix, made once. Three things are not in every layout:
300w68 has no lower edge of the brows (drawn a sixth of the way to the eye), and only 106-point layouts have the sides
of the nose (elsewhere built from bridge, nostrils and eye corners).

    300w68          dlib's and 300-W's 68 points
    wflw98          WFLW's 98 points
    jd106           the 106 points of the JD challenge, LaPa and pfld106
    insightface106  the same 106 places in the order of insightface's 2d106det
    baidu72         0-12 contour, 13-21 and 30-38 eyes with their centres, 22-29 and 39-46 brows, 47-57 nose, 58-71 lips
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from face_server.vision.align import Floats, floats

Curves = dict[str, Floats]  # name -> (points along the curve, ...)

# Curve -> indices. `low` curves of lips and eyes begin and end in the corners, like their `top`.
_300W68 = {
    "contour": range(17),
    "brow_left_top": range(17, 22),
    "brow_right_top": range(22, 27),
    "bridge": range(27, 31),
    "base": range(31, 36),
    "eye_left_top": (36, 37, 38, 39),
    "eye_left_low": (36, 41, 40, 39),
    "eye_right_top": (42, 43, 44, 45),
    "eye_right_low": (42, 47, 46, 45),
    "lips_top": range(48, 55),
    "lips_low": (48, 59, 58, 57, 56, 55, 54),
    "mouth_top": range(60, 65),
    "mouth_low": (60, 67, 66, 65, 64),
}
_WFLW98 = {
    "contour": range(33),
    "brow_left_top": range(33, 38),
    "brow_left_low": (41, 40, 39, 38),
    "brow_right_top": range(42, 47),
    "brow_right_low": (50, 49, 48, 47),
    "bridge": range(51, 55),
    "base": range(55, 60),
    "eye_left_top": range(60, 65),
    "eye_left_low": (60, 67, 66, 65, 64),
    "eye_right_top": range(68, 73),
    "eye_right_low": (68, 75, 74, 73, 72),
    "pupils": (96, 97),
    "lips_top": range(76, 83),
    "lips_low": (76, 87, 86, 85, 84, 83, 82),
    "mouth_top": range(88, 93),
    "mouth_low": (88, 95, 94, 93, 92),
}
_JD106 = {
    "contour": range(33),
    "brow_left_top": range(33, 38),
    "brow_left_low": range(64, 68),
    "brow_right_top": range(38, 43),
    "brow_right_low": range(68, 72),
    "bridge": range(43, 47),
    "base": range(47, 52),
    "side_left": (78, 80, 82),
    "side_right": (79, 81, 83),
    "eye_left_top": (52, 53, 72, 54, 55),
    "eye_left_low": (52, 57, 73, 56, 55),
    "eye_right_top": (58, 59, 75, 60, 61),
    "eye_right_low": (58, 63, 76, 62, 61),
    "pupils": (104, 105),
    "lips_top": range(84, 91),
    "lips_low": (84, 95, 94, 93, 92, 91, 90),
    "mouth_top": range(96, 101),
    "mouth_low": (96, 103, 102, 101, 100),
}
_INSIGHTFACE106 = {
    "contour": (1, *range(9, 17), *range(2, 9), 0, *range(24, 17, -1), *range(32, 24, -1), 17),
    "brow_left_top": (43, 48, 49, 51, 50),
    "brow_left_low": (44, 45, 47, 46),
    "brow_right_top": (102, 103, 104, 105, 101),
    "brow_right_low": (97, 98, 99, 100),
    "bridge": (72, 73, 74, 86),
    "base": (78, 79, 80, 85, 84),
    "side_left": (75, 76, 77),
    "side_right": (81, 82, 83),
    "eye_left_top": (35, 41, 40, 42, 39),
    "eye_left_low": (35, 36, 33, 37, 39),
    "eye_right_top": (89, 95, 94, 96, 93),
    "eye_right_low": (89, 90, 87, 91, 93),
    "pupils": (38, 88),
    "lips_top": (52, 64, 63, 71, 67, 68, 61),
    "lips_low": (52, 55, 56, 53, 59, 58, 61),
    "mouth_top": (65, 66, 62, 70, 69),
    "mouth_low": (65, 54, 60, 57, 69),
}
LAYOUTS: dict[str, Mapping[str, Sequence[int]]] = {
    "300w68": _300W68,
    "wflw98": _WFLW98,
    "jd106": _JD106,
    "insightface106": _INSIGHTFACE106,
}


def five(layout: str, points: Floats) -> Floats:
    """(n, k, 2) -> (n, 5, 2): eye centres, nose tip and mouth corners, the points alignment uses."""
    return _matrix(layout, "five") @ points


def four(points5: Floats) -> Floats:
    """Eye centres, nose tip, and the middle between the mouth's corners."""
    return np.concatenate([points5[:, :3], points5[:, 3:].mean(axis=1, keepdims=True)], axis=1)


def convert(layout: str, target: str, points: Floats) -> Floats:
    """(n, k, 2) in one layout -> (n, m, 2) in another: 300w68, jd106 or baidu72."""
    return points if layout == target else _matrix(layout, target) @ points


@lru_cache(maxsize=32)
def _matrix(layout: str, target: str) -> Floats:
    indices = LAYOUTS[layout]
    # Each point as a row of its own dimension: what the drawing makes of these rows are the weights.
    points = np.eye(1 + max(max(group) for group in indices.values()), dtype=np.float32)
    curves = {name: points[list(group)] for name, group in indices.items()}
    _add_missing(curves)
    return np.asarray(_DRAWINGS[target](curves), np.float32)


def _add_missing(curves: Curves) -> None:
    bridge, base = curves["bridge"], curves["base"]
    for side, outer, inner, corner in (("left", 0, 1, -1), ("right", -1, -2, 0)):
        top = curves[f"eye_{side}_top"]
        brow = curves[f"brow_{side}_top"]
        if f"brow_{side}_low" not in curves:
            above_eye = brow[1:] if side == "left" else brow[:-1]  # without the outer end
            curves[f"brow_{side}_low"] = floats((5 * above_eye + _along(top, 4)) / 6)
        if f"side_{side}" not in curves:
            root = 0.7 * bridge[0] + 0.3 * top[corner]
            wing = base[outer] + 0.35 * (base[outer] - base[inner])
            above = wing + 0.45 * (bridge[-1] - base[2])
            curves[f"side_{side}"] = np.stack([root, above, wing])
    if "pupils" not in curves:
        curves["pupils"] = np.stack([_eye_centre(curves, side) for side in ("left", "right")])


def _eye_centre(curves: Curves, side: str) -> Floats:
    """The mean of the outline: unlike the pupil it does not follow the gaze."""
    ring = [*curves[f"eye_{side}_top"], *curves[f"eye_{side}_low"][1:-1]]
    return floats(np.mean(ring, axis=0))


def _along(curve: Floats, count: int) -> Floats:
    """`count` points at equal steps along a curve, ends included."""
    places = np.linspace(0, len(curve) - 1, count)
    before = np.minimum(places.astype(int), len(curve) - 2)
    share = (places - before).astype(np.float32)[:, None]
    return floats(curve[before] * (1 - share) + curve[before + 1] * share)


def _inner(curve: Floats, count: int) -> Floats:
    """`count` points between the ends."""
    return _along(curve, count + 2)[1:-1]


def _draw_five(c: Curves) -> list[Floats]:
    eyes = [_eye_centre(c, "left"), _eye_centre(c, "right")]
    return [*eyes, c["bridge"][-1], c["lips_top"][0], c["lips_top"][-1]]


def _draw_68(c: Curves) -> list[Floats]:
    return [
        *_along(c["contour"], 17),
        *c["brow_left_top"],
        *c["brow_right_top"],
        *c["bridge"],
        *c["base"],
        *(point for side in ("left", "right") for point in _ring(c[f"eye_{side}_top"], c[f"eye_{side}_low"], 4, 2)),
        *_ring(c["lips_top"], c["lips_low"], 7, 5),
        *_ring(c["mouth_top"], c["mouth_low"], 5, 3),
    ]


def _draw_72(c: Curves) -> list[Floats]:
    left, right = c["side_left"], c["side_right"]
    eyes = {side: _ring(c[f"eye_{side}_top"], c[f"eye_{side}_low"], 5, 3) for side in ("left", "right")}
    brows = {side: [*c[f"brow_{side}_top"], *_inner(c[f"brow_{side}_low"], 3)[::-1]] for side in ("left", "right")}
    return [
        *_along(c["contour"], 13),
        *eyes["left"],
        _eye_centre(c, "left"),
        *brows["left"],
        *eyes["right"],
        _eye_centre(c, "right"),
        *brows["right"],
        *_along(left, 4),
        c["base"][1],
        c["base"][3],
        *_along(right, 4)[::-1],
        c["bridge"][-1],
        *_ring(c["lips_top"], c["lips_low"], 5, 3),
        *_inner(c["mouth_top"], 3),
        *_inner(c["mouth_low"], 3)[::-1],
    ]


def _draw_106(c: Curves) -> list[Floats]:
    eyes = {side: (_along(c[f"eye_{side}_top"], 5), _along(c[f"eye_{side}_low"], 5)) for side in ("left", "right")}
    rings = [point for top, low in eyes.values() for point in (top[0], top[1], top[3], top[4], low[3], low[1])]
    middles = [point for side, (top, low) in eyes.items() for point in (top[2], low[2], _eye_centre(c, side))]
    sides = [point for pair in zip(c["side_left"], c["side_right"], strict=True) for point in pair]
    return [
        *_along(c["contour"], 33),
        *c["brow_left_top"],
        *c["brow_right_top"],
        *c["bridge"],
        *c["base"],
        *rings,
        *c["brow_left_low"],
        *c["brow_right_low"],
        *middles,
        *sides,
        *_ring(c["lips_top"], c["lips_low"], 7, 5),
        *_ring(c["mouth_top"], c["mouth_low"], 5, 3),
        *c["pupils"],
    ]


def _ring(top: Floats, low: Floats, above: int, below: int) -> list[Floats]:
    """Along the top with both corners, then back along the lower edge without them."""
    return [*_along(top, above), *_inner(low, below)[::-1]]


_DRAWINGS: dict[str, Callable[[Curves], list[Floats]]] = {
    "five": _draw_five,
    "300w68": _draw_68,
    "baidu72": _draw_72,
    "jd106": _draw_106,
}
