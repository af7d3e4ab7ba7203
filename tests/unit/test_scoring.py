"""The score scale and its inverse."""

from __future__ import annotations

from math import inf

import pytest

from face_server.faces.scoring import Scorer

KNOTS = [(-1.0, 0.0), (0.1, 20.0), (0.4, 80.0), (0.5, 80.0), (0.6, 95.0), (1.0, 100.0)]
SCORER = Scorer(KNOTS)


def test_knots_and_between() -> None:
    cosines = [-1.0, -0.45, 0.1, 0.25, 0.4, 0.8, 1.0, 1.0000001, -2.0]
    assert SCORER.scores(cosines) == [0, 10, 20, 50, 80, 97.5, 100, 100, 0]


@pytest.mark.parametrize("score", [0.1, 10.0, 20.0, 50.0, 79.99, 80.0, 80.01, 95.0, 100.0])
def test_inverse_is_the_smallest_cosine_that_reaches_the_score(score: float) -> None:
    cosine = SCORER.cosine(score)
    assert SCORER.score(cosine) == pytest.approx(score)
    assert SCORER.score(cosine - 1e-6) < score


def test_inverse_outside_of_the_scale() -> None:
    assert SCORER.cosine(0.0) == -inf
    assert SCORER.cosine(100.1) == inf


@pytest.mark.parametrize("knots", [[(0.0, 0.0)], [(0.0, 0.0), (0.0, 1.0)], [(0.0, 5.0), (1.0, 4.0)]])
def test_calibration_that_is_none(knots: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Scorer(knots)
