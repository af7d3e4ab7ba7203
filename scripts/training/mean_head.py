"""The constants of face_server/vision: mean heads for the pose from points, and the proportions faces have.

    python -m scripts.training.mean_head

Reads the teachers' answers that landmarks_labels keeps, takes the rotation of every head from MediaPipe's mesh, and
fits the three-dimensional points 17-67 of 300-W that these rotations would throw onto the teachers' points. Prints the
tables of mean_face.py and SHAPE_FACTS of geometry.py.
"""

import numpy as np
from numpy.typing import NDArray

from face_server.vision import geometry, layouts, mean_face
from scripts.training import runs
from scripts.training.landmarks_consensus import angles, rotations
from scripts.training.landmarks_labels import read
from scripts.training.teachers import Floats

SHARDS = 4  # 2000 crops each
OUTER_CORNERS = (19, 28)  # of the eyes, among the points 17-67
# Where each of the points 17-67 lies on the mirrored head.
_BROWS_NOSE = (*range(9, -1, -1), 10, 11, 12, 13, 18, 17, 16, 15, 14)
_EYES = (28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23)
_LIPS = (37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38, 47, 46, 45, 44, 43, 50, 49, 48)
MIRRORED = np.array((*_BROWS_NOSE, *_EYES, *_LIPS))
Matrix = NDArray[np.float64]


def fit(points: Floats, turns: Matrix, weights: Matrix) -> Matrix:
    """(51, 3): the head that explains (n, 51, 2) points seen under known rotations; scale and place are free."""
    points = points - points.mean(axis=1, keepdims=True)
    rows = turns[:, :2]
    head = np.asarray(mean_face.HEAD_68, np.float64)
    for _ in range(4):
        shadow = np.einsum("nij,kj->nki", rows, head - head.mean(axis=0))
        scale = (shadow * points).sum(axis=(1, 2)) / (shadow**2).sum(axis=(1, 2))
        seen = points / scale[:, None, None]
        error = np.abs(seen - shadow).mean(axis=(1, 2))
        share = weights * (error < np.quantile(error, 0.9))
        left = np.einsum("n,nij,nik->jk", share, rows, rows)
        right = np.einsum("n,nki,nij->kj", share, seen, rows)
        head = right @ np.linalg.inv(left)
    head = (head + head[MIRRORED] * [-1, 1, 1]) / 2
    head -= head.mean(axis=0)
    return np.asarray(head / np.linalg.norm(np.subtract(*head[list(OUTER_CORNERS)])), np.float64)


def main() -> None:
    parser = runs.arguments(__doc__ or "", "landmarks")
    args = parser.parse_args()
    labels = read(args.work)
    count = SHARDS * 2000
    turns = rotations(np.asarray(labels["p478"][:count], np.float32))
    poses = angles(turns)
    weights = np.cos(np.radians(np.clip(np.abs(poses[:, 0]), 0, 80))).astype(np.float64)
    frontal = (np.abs(poses[:, 0]) < 15) & (np.abs(poses[:, 1] - 5) < 12)
    np.set_printoptions(precision=3, suppress=True, floatmode="fixed")
    for name, layout in (("p68", "300w68"), ("p98", "wflw98")):
        points = np.asarray(labels[name][:count, :, :2], np.float32)
        points68 = layouts.convert(layout, "300w68", points)
        head = fit(points68[:, 17:], turns, weights)
        ratios = geometry.shape_ratios(points68[frontal])
        print(f"{layout}: head\n{head}\nproportions of {frontal.sum()}: {ratios.mean(0)} +- {ratios.std(0)}")
        error = np.abs(geometry.pose_of_68(points68, layout) - poses).mean(axis=0)
        print(f"the heads in use are off by {error} degrees of yaw, pitch, roll")


if __name__ == "__main__":
    main()
