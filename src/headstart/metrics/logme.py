"""LogME: the log evidence of a Bayesian linear model of the targets on features (You et al. 2021, 2102.11005).

Shown beside the held-out score, and not decided by: published comparisons find it no better than a good prior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 100
_TOLERANCE = 1e-3


def logme(features_ND: NDArray[np.floating], target_NK: NDArray[np.floating]) -> float:
    """Return the mean over the columns of the targets of the log evidence an example, at its best precisions.

    Args:
        features_ND: features.
        target_NK: one column an output: 0 and 1 for a class, or a number.
    """
    x_ND = np.asarray(features_ND, np.float64)
    u_NR, s_R, _ = np.linalg.svd(x_ND, full_matrices=False)
    return float(np.mean([_evidence(u_NR, s_R**2, x_ND.shape[1], y_N) for y_N in np.asarray(target_NK, np.float64).T]))


def _evidence(u_NR: NDArray[np.float64], square_R: NDArray[np.float64], dim: int, y_N: NDArray[np.float64]) -> float:
    n = len(y_N)
    along_R = (u_NR.T @ y_N) ** 2
    beside = max(float(y_N @ y_N - along_R.sum()), 0.0)
    alpha, beta = 1.0, 1.0
    for _ in range(_STEPS):
        ratio = alpha / beta
        freedom = float((square_R / (square_R + ratio)).sum())
        weight2 = float((square_R * along_R / (square_R + ratio) ** 2).sum())
        error2 = float((along_R / (1 + square_R / ratio) ** 2).sum()) + beside
        new_alpha, new_beta = freedom / (weight2 + 1e-12), (n - freedom) / (error2 + 1e-12)
        done = abs(new_alpha / new_beta - ratio) / ratio <= _TOLERANCE
        alpha, beta = new_alpha, new_beta
        if done:
            break
    ratio = alpha / beta
    weight2 = float((square_R * along_R / (square_R + ratio) ** 2).sum())
    error2 = float((along_R / (1 + square_R / ratio) ** 2).sum()) + beside
    size = float(np.log(alpha + beta * square_R).sum()) + (dim - len(square_R)) * np.log(alpha)
    evidence = dim * np.log(alpha) + n * np.log(beta) - size - beta * error2 - alpha * weight2 - n * np.log(2 * np.pi)
    return 0.5 * evidence / n
