"""Scores of numbers: R², mean absolute and root mean squared error, rank correlation.

Every function takes a weight for each example, as `metrics.labels`; scikit-learn and scipy are the reference in the
tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPLAINED = {
    "R²": "share of the numbers' variance that is explained: 1 is perfect, 0 is what always saying the mean gets",
    "mean absolute error": "how far off a prediction is on average, in the units of the data",
    "root mean squared error": "the same with large errors counting more",
    "rank correlation": "whether larger is said of what is larger (Spearman): 1 always, 0 by chance",
}


@dataclass(frozen=True)
class Numbered:
    """Predictions beside the truth, in the user's units.

    Attributes:
        true_N, said_N: the numbers.
        true_place_N, said_place_N: their places among the different ones, for what goes by ranks.
    """

    true_N: NDArray[np.float64]
    said_N: NDArray[np.float64]
    true_place_N: NDArray[np.intp]
    said_place_N: NDArray[np.intp]

    @staticmethod
    def of(said_N: NDArray[np.floating], true_N: NDArray[np.floating]) -> Numbered:
        """Take what was said and what is true."""
        both = np.asarray(true_N, np.float64), np.asarray(said_N, np.float64)
        return Numbered(*both, *(np.unique(each_N, return_inverse=True)[1].reshape(-1) for each_N in both))

    @property
    def error_N(self) -> NDArray[np.float64]:
        """By how much too large each prediction is."""
        return self.said_N - self.true_N

    @property
    def merit_N(self) -> NDArray[np.float64]:
        """1 less the squared error in units of the variance: R² is the mean of it."""
        return 1.0 - self.error_N**2 / (float(self.true_N.var()) if _differ(self.true_N) else 1.0)


def scores(data: Numbered, weight_N: NDArray[np.floating]) -> dict[str, float]:
    """Return every measure of `EXPLAINED`, in that order; nan where they are not defined."""
    total = weight_N.sum()
    if total <= 0:
        return dict.fromkeys(EXPLAINED, float("nan"))
    mean = weight_N @ data.true_N / total
    variance = weight_N @ (data.true_N - mean) ** 2 / total
    square = weight_N @ data.error_N**2 / total
    return {
        "R²": float(1 - square / variance) if _differ(data.true_N[weight_N > 0]) else float("nan"),
        "mean absolute error": float(weight_N @ np.abs(data.error_N) / total),
        "root mean squared error": float(np.sqrt(square)),
        "rank correlation": rank_correlation(data, weight_N),
    }


def _differ(value_N: NDArray[np.float64]) -> bool:
    """Whether values are not all the same; their variance need not be 0 where they are, but a rounding error."""
    return bool(np.ptp(value_N) > 0)


def rank_correlation(data: Numbered, weight_N: NDArray[np.floating]) -> float:
    """Return Spearman's correlation, examples counted as often as their weight says; nan where one side is constant."""
    one_N, other_N = _ranks(data.true_place_N, weight_N), _ranks(data.said_place_N, weight_N)
    total = weight_N.sum()
    one_N, other_N = one_N - weight_N @ one_N / total, other_N - weight_N @ other_N / total
    scale = np.sqrt((weight_N @ one_N**2) * (weight_N @ other_N**2))
    return float(weight_N @ (one_N * other_N) / scale) if scale > 0 else float("nan")


def _ranks(place_N: NDArray[np.intp], weight_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean rank of each value among as many copies as the weights say; equal values share theirs."""
    weight_U = np.bincount(place_N, weight_N)
    return np.asarray((np.cumsum(weight_U) - weight_U / 2)[place_N])
