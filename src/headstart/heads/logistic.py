"""L2-regularised multinomial logistic regression, for a whole grid of regularisations at once.

The same objective as scikit-learn's (`C` is its C): 0.5 |W|^2 + C * sum of log losses, bias not penalised,
one weight column a class also when there are two. scikit-learn is the reference in the tests and not a
dependency: importing it takes 0.9-1.8 s, more than everything this file does in a run of 400 photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.lbfgs import minimise
from headstart.heads.linear import Array, LinearHead, log_loss_each_NK, sigmoid, standardisation

GRID = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0, 10.0)
"""The values of C tried: the least gives little more than class shares, the largest fits every row."""
FEW = (1e-3, 1e-2, 1e-1, 1.0)
"""Those tried on thousands of rows."""


@dataclass(frozen=True)
class _Rotated:
    """Standardised features in the coordinates of their own row space.

    With an L2 penalty the solution lies in the span of the rows, so N examples need at most N coordinates:
    244 photos with 1280 features become a 244 x 244 problem with the same solution.
    """

    mean_D: Array
    std_D: Array
    rows_NR: Array
    back_DR: Array | None


def _rotate(features_ND: NDArray[np.floating]) -> _Rotated:
    mean_D, std_D = standardisation(features_ND)
    z_ND = (features_ND - mean_D) / std_D
    n, d = z_ND.shape
    if n >= d:
        return _Rotated(mean_D, std_D, z_ND, None)
    values_N, vectors_NN = np.linalg.eigh(z_ND @ z_ND.T)
    keep = values_N > values_N[-1] * 1e-10
    scale_R = np.sqrt(values_N[keep])
    u_NR = vectors_NN[:, keep]
    return _Rotated(mean_D, std_D, u_NR * scale_R, z_ND.T @ (u_NR / scale_R))


def fit_logistic(
    features_ND: NDArray[np.floating],
    target_N: NDArray[np.integer],
    classes: int,
    grid: Sequence[float] = GRID,
    tolerance: float = 1e-5,
) -> tuple[LinearHead, ...]:
    """Fit one head for each C of the grid.

    Args:
        features_ND: features, one row an example.
        target_N: class indices in [0, classes).
        classes: how many classes there are, seen here or not.
        grid: values of C.
        tolerance: largest gradient entry at which a problem counts as solved, per example.

    Returns:
        One head for each C, in the order of the grid.
    """
    return _solved(features_ND, np.eye(classes)[target_N], grid, tolerance, _softmax)


def fit_logistic_each(
    features_ND: NDArray[np.floating],
    has_NK: NDArray[np.floating],
    grid: Sequence[float] = GRID,
    tolerance: float = 1e-5,
) -> tuple[LinearHead, ...]:
    """Fit a logistic regression for each label, one head of them for each C of the grid.

    The same objective for each label by itself: 0.5 |w|^2 + C * sum of log losses. Arguments as of `fit_logistic`, but
    has_NK: 1 where an example has a label, else 0.
    """
    return _solved(features_ND, np.asarray(has_NK, np.float64), grid, tolerance, _sigmoids)


Residual = Callable[[Array, Array], tuple[Array, Array]]
"""(logits_NBK, y_NK) -> (log loss_NB, probability less truth_NBK)."""


def _softmax(logits_NBK: Array, y_NK: Array) -> tuple[Array, Array]:
    top_NB1 = logits_NBK.max(-1, keepdims=True)
    e_NBK = np.exp(logits_NBK - top_NB1)
    sum_NB1 = e_NBK.sum(-1, keepdims=True)
    nll_NB = (top_NB1 + np.log(sum_NB1))[..., 0] - np.einsum("nbk,nk->nb", logits_NBK, y_NK)
    return nll_NB, e_NBK / sum_NB1 - y_NK[:, None]


def _sigmoids(logits_NBK: Array, y_NK: Array) -> tuple[Array, Array]:
    y_N1K = y_NK[:, None]
    return log_loss_each_NK(logits_NBK, y_N1K).sum(-1), sigmoid(logits_NBK) - y_N1K


def _solved(
    features_ND: NDArray[np.floating], y_NK: Array, grid: Sequence[float], tolerance: float, residual: Residual
) -> tuple[LinearHead, ...]:
    rotated = _rotate(features_ND)
    x_NR = rotated.rows_NR
    n, r = x_NR.shape
    classes = y_NK.shape[1]
    decay_B = 1.0 / (np.asarray(grid, dtype=np.float64) * n)
    b = len(grid)

    def loss_and_gradient(flat_BM: Array) -> tuple[Array, Array]:
        p_BMK = flat_BM.reshape(b, r + 1, classes)
        w_BRK = p_BMK[:, :r]
        wide = w_BRK.transpose(1, 0, 2).reshape(r, b * classes)
        nll_NB, residual_NBK = residual((x_NR @ wide).reshape(n, b, classes) + p_BMK[:, r], y_NK)
        residual_NBK = residual_NBK / n
        gradient = np.empty_like(p_BMK)
        flat = x_NR.T @ residual_NBK.reshape(n, b * classes)
        gradient[:, :r] = flat.reshape(r, b, classes).transpose(1, 0, 2) + decay_B[:, None, None] * w_BRK
        gradient[:, r] = residual_NBK.sum(0)
        loss_B = nll_NB.mean(0) + 0.5 * decay_B * np.einsum("brk,brk->b", w_BRK, w_BRK)
        return loss_B, gradient.reshape(b, -1)

    start = np.zeros((b, (r + 1) * classes))
    solved = minimise(loss_and_gradient, start, tolerance).reshape(b, r + 1, classes)
    return tuple(_head(rotated, p_MK) for p_MK in solved)


def _head(rotated: _Rotated, p_MK: Array) -> LinearHead:
    weight = p_MK[:-1] if rotated.back_DR is None else rotated.back_DR @ p_MK[:-1]
    return LinearHead(rotated.mean_D, rotated.std_D, weight, p_MK[-1].copy())
