"""Nearest neighbours on features: the yardstick that has nothing to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.heads.linear import Array

GRID = (1, 5, 20)
_SHARPNESS = 0.07
_BLOCK = 512


def unit_rows(features_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1, in float32; a zero row stays zero."""
    norm_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return np.asarray(features_ND / np.maximum(norm_N1, 1e-12), dtype=np.float32)


def vote(
    query_MD: NDArray[np.floating],
    known_ND: NDArray[np.floating],
    target_N: NDArray[np.integer],
    classes: int,
    grid: Sequence[int] = GRID,
) -> tuple[Array, ...]:
    """Return log probabilities_MK of a weighted vote, one array for each number of neighbours.

    Cosine similarity, votes weighted by exp(similarity / 0.07), as in the k-NN evaluation of Wu et al. 2018
    (1805.01978) and DINO; one further vote is spread over all classes, so that no probability is zero.
    Works in blocks of 512 queries, so that memory does not grow with their number.
    """
    out = tuple(np.empty((len(query_MD), classes)) for _ in grid)
    for start, near_BM, weight_BM in _nearest(query_MD, known_ND, max(grid)):
        rows = np.arange(len(near_BM))[:, None]
        for k, log_p in zip(grid, out, strict=True):
            votes_BK = np.full((len(near_BM), classes), 1.0 / classes)
            np.add.at(votes_BK, (rows, target_N[near_BM[:, :k]]), weight_BM[:, :k])
            log_p[start : start + _BLOCK] = np.log(votes_BK / votes_BK.sum(1, keepdims=True))
    return out


def sums(
    query_MD: NDArray[np.floating],
    known_ND: NDArray[np.floating],
    value_NK: NDArray[np.floating],
    grid: Sequence[int] = GRID,
) -> tuple[tuple[Array, Array], ...]:
    """Return (the weighted sum_MK of the neighbours' values, the sum of their weights_M1) for each number of them.

    Neighbours and weights are those of `vote`.
    """
    out = tuple((np.empty((len(query_MD), value_NK.shape[1])), np.empty((len(query_MD), 1))) for _ in grid)
    for start, near_BM, weight_BM in _nearest(query_MD, known_ND, max(grid)):
        for k, (sum_MK, weight_M1) in zip(grid, out, strict=True):
            here = slice(start, start + _BLOCK)
            sum_MK[here] = np.einsum("bm,bmk->bk", weight_BM[:, :k], value_NK[near_BM[:, :k]])
            weight_M1[here] = weight_BM[:, :k].sum(1, keepdims=True)
    return out


def _nearest(
    query_MD: NDArray[np.floating], known_ND: NDArray[np.floating], most: int
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float32]]]:
    """Yield (first row, neighbours_BM, weights_BM) of a few hundred rows at a time, the nearest first."""
    known_ND, query_MD = unit_rows(known_ND), unit_rows(query_MD)
    most = min(most, len(known_ND))
    for start in range(0, len(query_MD), _BLOCK):
        similar_BN = query_MD[start : start + _BLOCK] @ known_ND.T
        near_BM = np.argpartition(-similar_BN, most - 1, axis=1)[:, :most]
        value_BM = np.take_along_axis(similar_BN, near_BM, 1)
        order = np.argsort(-value_BM, axis=1, kind="stable")
        near_BM, value_BM = np.take_along_axis(near_BM, order, 1), np.take_along_axis(value_BM, order, 1)
        yield start, near_BM, np.exp((value_BM - value_BM[:, :1]) / _SHARPNESS)
