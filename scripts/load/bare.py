"""The raw limit: the same decoding, models and search called in a bare loop, with nothing of a server around them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import faiss
import numpy as np

from face_server.engine.lanes import stay_on, usable_cores
from face_server.vision import adapters, offline
from face_server.vision.detection import letterbox
from face_server.vision.layouts import five
from face_server.vision.packs import find_pack
from face_server.vision.view import Faces, View
from scripts.load.photos import decoded

DETECTOR_INPUT = 320  # the faces of the benchmark's photos are large: the server, too, looks at this size only


class Bare:
    """Straight calls of each network with its own reading and writing, for any pack."""

    def __init__(self, pack: str, models_dir: Path, gallery: int = 10_000) -> None:
        roles = find_pack(pack, models_dir).roles

        def made(name: str) -> Any:
            role = roles[name]
            return adapters.make(role.adapter, [offline.net(file) for file in role.files], role.parameters)

        self._detector, self._landmarker, self._embedder = made("detect"), made("landmarks"), made("embed")
        # As well tuned as the server: no pool of threads beside the loop's own, and the interpreter changes hands fast.
        faiss.omp_set_num_threads(1)
        cv2.setNumThreads(1)
        sys.setswitchinterval(0.0005)
        self.rows = random_vectors(gallery, self._embedder.dimensions)

    def detect(self, picture: bytes) -> View:
        pixels = decoded(picture, cv2.IMREAD_COLOR_RGB)
        canvas, scale = letterbox(pixels, DETECTOR_INPUT, self._detector.fixed, square=False)
        (faces,) = self._detector.detect(canvas[None])
        largest = [int((faces.boxes[:, 2] - faces.boxes[:, 0]).argmax())]
        box, points = faces.boxes[largest] / np.float32(scale), faces.points[largest] / np.float32(scale)
        return View(pixels, Faces(box, faces.scores[largest], points))

    def sees(self, picture: bytes) -> bool:
        """Whether the server takes no more than the loop's one look: a face is found, and none to doubt."""
        try:
            return bool(self.detect(picture).faces.scores[0] >= self._detector.doubt)
        except ValueError:
            return False

    def embed(self, picture: bytes) -> Any:
        view = self.detect(picture)
        marks, _ = self._landmarker.find(view)
        exact = replace(view.faces, points=five(self._landmarker.layout, marks))
        return self._embedder.read(View(view.pixels, exact))

    def match(self, picture: bytes) -> float:
        return float((self.embed(picture) @ self.embed(picture).T)[0, 0])

    def identify(self, picture: bytes) -> int:
        _, rows = faiss.knn(self.embed(picture), self.rows, 4, faiss.METRIC_INNER_PRODUCT)
        return int(rows[0, 0])


def random_vectors(count: int, dimensions: int) -> Any:
    vectors = np.random.default_rng(0).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def loop(work: Callable[[bytes], object], pictures: Sequence[bytes], threads: int, seconds: float) -> list[float]:
    """Milliseconds of every call made by so many threads in so many seconds."""
    times: list[float] = []
    ends = time.perf_counter() + seconds

    def turn(first: int) -> None:
        if threads == len(cores := usable_cores()):  # as the lanes of the server
            stay_on(cores[first])
        number = first
        while (started := time.perf_counter()) < ends:
            work(pictures[number % len(pictures)])
            times.append((time.perf_counter() - started) * 1000)
            number += 1

    workers = [threading.Thread(target=turn, args=(first,)) for first in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return times
