"""From the teachers' answers to one target: 98 WFLW points with a measure of agreement, and the head's pose.

The teachers draw the same names in slightly different places. Linear maps, fitted on the training crops, bring the
68 and the 478 points to the habits of the 98; then the points are averaged with weights that fall where a teacher
leaves the others. The pose is the rotation that takes MediaPipe's canonical face to the mesh.

    python -m scripts.training.landmarks_consensus --labels runs/landmarks     # fit the maps anew
"""

import argparse
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.training.landmarks_labels import Labels, read
from scripts.training.landmarks_teachers import bundled
from scripts.training.teachers import Floats

FILE = Path(__file__).with_name("landmarks_maps.json")
NEIGHBOURS = 5
RIDGE = 0.01
TOLERANCE = 0.02  # of the box's side: beyond it a teacher loses its vote


@dataclass(frozen=True)
class Maps:
    """Weights [98,n] that turn the 68 and the 478 points into the 98 of WFLW; every row sums to one."""

    from68: Floats
    from478: Floats

    @classmethod
    def load(cls, path: Path = FILE) -> "Maps":
        """The maps everything was trained and is measured with; they lie beside this module."""
        rows = json.loads(path.read_text())
        return cls(*(_dense(rows[name], count) for name, count in (("from68", 68), ("from478", 478))))

    def save(self, path: Path = FILE) -> None:
        sparse = {"from68": _sparse(self.from68), "from478": _sparse(self.from478)}
        tables = []
        for name, rows in sparse.items():
            lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
            tables.append(f' "{name}": [\n{lines}\n ]')
        path.write_text("{\n" + ",\n".join(tables) + "\n}\n")

    @classmethod
    def fit(cls, labels: Labels) -> "Maps":
        train = labels["part"] == "train"
        side = box_side(labels)[train, None, None]
        target, p68, mesh = (np.asarray(labels[key][train, :, :2], np.float32) / side for key in ("p98", "p68", "p478"))
        return cls(_fit(p68, target), _fit(mesh, target))

    def answers(self, labels: Labels) -> Floats:
        """[3,N,98,2]: each teacher's points in the order of WFLW, as shares of the crop minus 0.5."""
        p68, p98, mesh = (np.asarray(labels[key][..., :2], np.float32) for key in ("p68", "p98", "p478"))
        return np.stack([self.from68 @ p68, p98, self.from478 @ mesh])


def _sparse(weights: Floats) -> list[list[list[float]]]:
    """Per target point: [source point, weight] for every weight that is not zero."""
    return [[[int(i), round(float(row[i]), 4)] for i in np.flatnonzero(row)] for row in weights]


def _dense(rows: list[list[list[float]]], count: int) -> Floats:
    weights = np.zeros((len(rows), count), np.float32)
    for row, entries in zip(weights, rows, strict=True):
        for index, value in entries:
            row[int(index)] = value
    return weights


def box_side(labels: Labels) -> Floats:
    box = np.asarray(labels["box"], np.float32)
    return np.asarray((box[:, 2:] - box[:, :2]).max(1), np.float32)


def _fit(source: Floats, target: Floats) -> Floats:
    """Sparse affine weights per target point from its nearest source points, refitted without the worst fifth."""
    centre = target.mean(1, keepdims=True)
    mean_source, mean_target = (source - centre).mean(0), (target - centre).mean(0)
    weights = np.zeros((target.shape[1], source.shape[1]), np.float32)
    for i, place in enumerate(mean_target):
        near = np.argsort(((mean_source - place) ** 2).sum(1))[:NEIGHBOURS]
        keep = np.ones(len(target), bool)
        for _ in range(3):
            row = _affine(source[keep][:, near], target[keep, i])
            error = np.linalg.norm(np.einsum("k,nkd->nd", row, source[:, near]) - target[:, i], axis=1)
            keep = error < np.quantile(error, 0.8)
        weights[i, near] = row
    return weights


def _affine(source: Floats, target: Floats) -> Floats:
    """Least squares with weights that sum to one: the first carries what the others leave."""
    base = source[:, :1]
    a = (source[:, 1:] - base).transpose(0, 2, 1).reshape(-1, source.shape[1] - 1).astype(np.float64)
    b = (target - base[:, 0]).reshape(-1).astype(np.float64)
    rest = np.linalg.solve(a.T @ a + RIDGE * len(a) * np.eye(a.shape[1]) * (a**2).mean(), a.T @ b)
    return np.asarray([1 - rest.sum(), *rest], np.float32)


def consensus(answers: Floats, side: Floats) -> tuple[Floats, Floats]:
    """Points [N,98,2] and each teacher's weighted mean distance to them [N,98], a share of the box's side."""
    median = np.median(answers, axis=0)
    distance = np.linalg.norm(answers - median, axis=-1) / side[:, None]
    weight = 1 / (1 + (distance / TOLERANCE) ** 2) ** 2
    points = (weight[..., None] * answers).sum(0) / weight.sum(0)[..., None]
    spread = (np.linalg.norm(answers - points, axis=-1) / side[:, None]).mean(0)
    return np.asarray(points, np.float32), np.asarray(spread, np.float32)


def five_of(points: Floats) -> Floats:
    """[..., 98, 2] -> [..., 5, 2]: middles of the eyes, nose tip, corners of the mouth."""
    eyes = [points[..., 60:68, :].mean(-2), points[..., 68:76, :].mean(-2)]
    return np.stack([*eyes, points[..., 54, :], points[..., 76, :], points[..., 82, :]], -2)


def canonical_face() -> tuple[Floats, Floats]:
    """MediaPipe's canonical mesh [468,3] (x right, y down, z away from the viewer) and its weights for fitting."""
    vertices: list[float] = []
    weights = np.zeros(468, np.float32)
    for field, value in _fields(bundled("geometry_pipeline_metadata_landmarks.binarypb")):
        if field == 1:  # the mesh; its field 3 holds x, y, z, u, v of every vertex
            for inner, number in _fields(_bytes(value)):
                if inner == 3:
                    packed = _bytes(number)
                    vertices.extend(struct.unpack(f"<{len(packed) // 4}f", packed))
        elif field == 2:  # one landmark of the fit: id, weight
            entry = dict(_fields(_bytes(value)))
            index, packed = entry.get(1, 0), _bytes(entry[2])
            assert isinstance(index, int)
            weights[index] = struct.unpack("<f", packed)[0]
    mesh = np.array(vertices, np.float32).reshape(468, 5)[:, :3]
    return mesh * np.array([1, -1, -1], np.float32), weights


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a protobuf message: varints as int, everything else as bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            yield tag >> 3, varint()
            continue
        length = varint() if kind == 2 else 4 if kind == 5 else 8
        yield tag >> 3, data[at : at + length]
        at += length


def rotations(meshes: NDArray[np.generic]) -> NDArray[np.float64]:
    """[N,3,3] rotation from the canonical face to each mesh (weighted Procrustes, scale left free)."""
    model, weights = canonical_face()
    share = weights / weights.sum()
    points = np.asarray(meshes[:, :468], np.float64)
    points = points - np.einsum("k,nkd->nd", share, points)[:, None]
    model = model - share @ model
    u, _, vt = np.linalg.svd(np.einsum("k,nki,kj->nij", share, points, model))
    sign = np.ones((len(u), 3))
    sign[:, 2] = np.linalg.det(u @ vt)
    return np.asarray((u * sign[:, None]) @ vt, np.float64)


def angles(rotation: NDArray[np.float64]) -> Floats:
    """[N,3] yaw, pitch, roll in degrees: yaw - = towards the image's left, pitch - = up, roll + = clockwise.

    Rotation = roll x pitch x yaw: turning the picture changes the roll alone, and no roll means that eyes stand over
    the mouth. Axes: x right, y down, z away from the viewer; the canonical face looks along -z.
    """
    look = -rotation[:, :, 2]
    roll = np.degrees(np.arctan2(-rotation[:, 0, 1], rotation[:, 1, 1]))
    # Undo the roll first, then read yaw and pitch from the direction of the look.
    turn = np.radians(-roll)
    x = np.cos(turn) * look[:, 0] - np.sin(turn) * look[:, 1]
    y = np.sin(turn) * look[:, 0] + np.cos(turn) * look[:, 1]
    yaw = np.degrees(np.arctan2(x, np.hypot(y, look[:, 2])))
    pitch = np.degrees(np.arctan2(y, -look[:, 2]))
    return np.asarray(np.stack([yaw, pitch, roll], 1), np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the maps on cached labels.")
    parser.add_argument("--labels", type=Path, required=True)
    Maps.fit(read(parser.parse_args().labels)).save()
