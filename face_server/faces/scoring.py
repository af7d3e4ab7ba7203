"""Cosine <-> score 0..100, piecewise linear between the knots of the pack: 80 is a false accept rate of 1e-4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from face_server.model import FloatArray

FULL = 100.0


class Scorer:
    def __init__(self, knots: Sequence[tuple[float, float]]) -> None:
        cosine, score = (np.array(side, np.float64) for side in zip(*knots, strict=True))
        if len(cosine) < 2 or np.any(np.diff(cosine) <= 0) or np.any(np.diff(score) < 0):
            raise ValueError("the calibration of the embedder must rise in cosine and never fall in score")
        self._cosine, self._score = cosine, score

    def score(self, cosine: FloatArray) -> NDArray[np.float64]:
        return np.clip(np.interp(cosine, self._cosine, self._score), 0.0, FULL)

    def cosine(self, score: float) -> float:
        """The smallest cosine that reaches the score: -inf when everybody does, inf when nobody can."""
        knot = int(np.searchsorted(self._score, score, side="left"))
        if knot == 0:
            return -np.inf
        if knot == len(self._score):
            return np.inf
        left, right = self._cosine[knot - 1 : knot + 1]
        low, high = self._score[knot - 1 : knot + 1]
        return float(left + (score - low) / (high - low) * (right - left))
