"""The few measures that the tables of the small models share."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(high: ArrayLike, low: ArrayLike) -> float:
    """Chance that a value of `high` exceeds one of `low`; ties count half."""
    above, below = np.asarray(high, np.float64), np.sort(np.asarray(low, np.float64))
    left, right = np.searchsorted(below, above, "left"), np.searchsorted(below, above, "right")
    return float((left + right).mean() / (2 * len(below)))


def balanced(wanted: NDArray[np.generic], got: NDArray[np.generic]) -> float:
    """Mean recall over the classes that occur."""
    return float(np.mean([(got[wanted == kind] == kind).mean() for kind in np.unique(wanted)]))


def psnr(clean: ArrayLike, other: ArrayLike) -> float:
    """Peak signal to noise ratio in decibels."""
    error = float(np.mean((np.asarray(clean, np.float64) - np.asarray(other, np.float64)) ** 2))
    return 10 * float(np.log10(255**2 / max(error, 1e-2)))
