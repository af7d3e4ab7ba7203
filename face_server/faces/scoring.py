"""Cosine <-> score 0..100, piecewise linear between the knots of the pack: 80 is a false accept rate of 1e-4.

In plain Python: for the few numbers of a request NumPy needs longer to begin than this needs in all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

FULL = 100.0


class Scorer:
    def __init__(self, knots: Sequence[tuple[float, float]]) -> None:
        self._cosines, self._scores = ([float(value) for value in side] for side in zip(*knots, strict=True))
        rising = all(low < high for low, high in pairwise(self._cosines))
        if len(knots) < 2 or not rising or any(low > high for low, high in pairwise(self._scores)):
            raise ValueError("the calibration of the embedder must rise in cosine and never fall in score")

    def score(self, cosine: float) -> float:
        right = bisect_right(self._cosines, cosine)
        if right == 0 or right == len(self._cosines):
            score = self._scores[max(right - 1, 0)]
        else:
            score = _between(cosine, self._cosines, self._scores, right)
        return min(max(score, 0.0), FULL)

    def scores(self, cosines: Iterable[float]) -> list[float]:
        """Rounded: equal faces must be equal on the wire too, whatever the last bit of their cosine is."""
        return [round(self.score(cosine), 4) for cosine in cosines]

    def cosine(self, score: float) -> float:
        """The smallest cosine that reaches the score: -inf when everybody does, inf when nobody can."""
        right = bisect_left(self._scores, score)
        if right == 0:
            return -inf
        return inf if right == len(self._scores) else _between(score, self._scores, self._cosines, right)


def _between(value: float, inputs: Sequence[float], outputs: Sequence[float], right: int) -> float:
    """On the straight line that ends at the knot `right`."""
    left = right - 1
    share = (value - inputs[left]) / (inputs[right] - inputs[left])
    return outputs[left] + share * (outputs[right] - outputs[left])
