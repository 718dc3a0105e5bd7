"""Closed-form ridge regression, of classes on one-hot targets, from accumulated statistics.

For many rows or many classes: the data are passed over in blocks and only D x D and D x K sums are kept, so
memory does not grow with the number of examples, and a fold is fitted by subtracting its own sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.linear import Array, LinearHead, safe_std, standardisation

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Penalties tried, in units of the number of rows (the features being standardised)."""
_ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding leaves of a feature that never varies."""


@dataclass(frozen=True)
class Sums:
    """What ridge needs to know of a set of rows. Sums of disjoint sets add, and subtract."""

    rows: float
    x_D: Array
    xx_DD: Array
    y_K: Array
    xy_DK: Array

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.rows + other.rows,
            self.x_D + other.x_D,
            self.xx_DD + other.xx_DD,
            self.y_K + other.y_K,
            self.xy_DK + other.xy_DK,
        )

    def __sub__(self, other: Sums) -> Sums:
        return self + Sums(-other.rows, -other.x_D, -other.xx_DD, -other.y_K, -other.xy_DK)


def accumulate(blocks: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]], dim: int, outputs: int) -> Sums:
    """Add up blocks of features_BD and of what is to be told, y_BK, in float64.

    Products in float32 take three quarters of the time, and lose the variance of a feature whose mean is a hundred
    times its standard deviation.
    """
    total = Sums(0.0, np.zeros(dim), np.zeros((dim, dim)), np.zeros(outputs), np.zeros((dim, outputs)))
    for block_BD, y_BK in blocks:
        x_BD = block_BD.astype(np.float64)
        total.xx_DD[...] += x_BD.T @ x_BD
        total.xy_DK[...] += x_BD.T @ y_BK
        total.x_D[...] += x_BD.sum(0)
        total.y_K[...] += y_BK.sum(0)
        total = Sums(total.rows + len(x_BD), total.x_D, total.xx_DD, total.y_K, total.xy_DK)
    return total


def fit_rows(
    x_ND: NDArray[np.floating], y_NK: NDArray[np.floating], grid: Sequence[float] = GRID
) -> tuple[LinearHead, ...]:
    """Fit the heads of `fit_ridge` from the rows themselves, which is quicker where there are fewer rows than features.

    The solution lies in the span of the rows (the kernel form of ridge regression): of 160 rows with 1,280 features an
    eigendecomposition of 160 x 160 is needed, where the features' own would be of 1,280 x 1,280 and takes seconds.
    """
    n = len(x_ND)
    mean_D, std_D = standardisation(x_ND)
    z_ND, share_K = (x_ND - mean_D) / std_D, y_NK.mean(0, dtype=np.float64)
    values_N, vectors_NN = np.linalg.eigh(z_ND @ z_ND.T)
    projected_NK = vectors_NN.T @ (y_NK - share_K)
    heads = []
    for penalty in grid:
        dual_NK = vectors_NN @ (projected_NK / (np.maximum(values_N, 0.0) + n * penalty)[:, None])
        heads.append(LinearHead(mean_D, std_D, z_ND.T @ dual_NK, share_K.copy()))
    return tuple(heads)


def fit_ridge(sums: Sums, grid: Sequence[float] = GRID) -> tuple[LinearHead, ...]:
    """Fit one head for each penalty, all from one eigendecomposition of the correlation matrix.

    The scores of classes lie about [0, 1] and are not logits: a temperature must be fitted to them before they
    are used as probabilities.
    """
    n = sums.rows
    mean_D = sums.x_D / n
    covariance_DD = sums.xx_DD / n - np.outer(mean_D, mean_D)
    variance_D, square_D = np.diag(covariance_DD), np.diag(sums.xx_DD) / n
    std_D = safe_std(np.sqrt(np.where(variance_D > _ROUNDING * square_D, variance_D, 0.0)))
    share_K = sums.y_K / n
    cross_DK = (sums.xy_DK / n - np.outer(mean_D, share_K)) / std_D[:, None]
    values_D, vectors_DD = np.linalg.eigh(covariance_DD / np.outer(std_D, std_D))
    projected_DK = vectors_DD.T @ cross_DK
    heads = []
    for penalty in grid:
        weight_DK = vectors_DD @ (projected_DK / (np.maximum(values_D, 0.0) + penalty)[:, None])
        heads.append(LinearHead(mean_D, std_D, weight_DK, share_K.copy()))
    return tuple(heads)
