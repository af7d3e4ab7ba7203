"""Runs insightface's own classes and writes down what they say. Started by test_reference_insightface in an
environment that holds insightface and nothing of ours: python -I -S insightface_dump.py SITE JOB ANSWERS
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import cv2
import numpy as np
from insightface.app.common import Face
from insightface.model_zoo import SCRFD, ArcFaceONNX, Attribute, Landmark

SIDE = 640
MODELS = {"embedders": ArcFaceONNX, "landmarks": Landmark, "attributes": Attribute}


def main(job: dict[str, Any], answers: Path) -> None:
    found = {}
    for picture, faces in job["pictures"].items():
        pixels = cv2.imread(picture)
        for name in job["detectors"]:
            detector = SCRFD(model_file=name)
            detector.prepare(-1, det_thresh=job["threshold"], nms_thresh=job["nms"], input_size=(SIDE, SIDE))
            boxes, points = detector.detect(pixels, input_size=(SIDE, SIDE))
            found[key(name, picture, "boxes")], found[key(name, picture, "points")] = boxes, points
        for kind in MODELS:
            for name in job[kind]:
                rows = [ask(kind, name, pixels, face) for face in faces]
                found[key(name, picture, kind)] = np.array(rows, np.float64)
    np.savez(answers, **found)


def ask(kind: str, name: str, pixels: Any, face: dict[str, Any]) -> np.ndarray:
    known = Face(bbox=np.array(face["box"], np.float32), kps=np.array(face["points"], np.float32))
    model = MODELS[kind](model_file=name)
    model.prepare(-1)
    return np.asarray(model.get(pixels, known), np.float64)


def key(model: str, picture: str, what: str) -> str:
    return f"{Path(model).stem} {Path(picture).stem} {what}"


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
