"""solvers: the ways to fit a linear head on features, over the folds and on any examples.

Logistic regression by L-BFGS (or what an aim has in its place), and ridge regression in closed form for larger data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from headstart.aims.aim import Aim, Truth
from headstart.heads import logistic, ridge
from headstart.heads.linear import LinearHead
from headstart.stages.split import Index, Splits

CLOSED_FORM_ROWS = 20_000
MANY_ROWS = 4000
"""Above so many rows fewer values of C are tried: each takes seconds, and the smallest are never best there."""
CLOSED_FORM_WORK = 2e12
"""Above so many rows, or multiply-adds for the whole grid (about 20 s on two cores), the head is closed-form."""
_STEPS = 100  # L-BFGS evaluations that a grid typically takes
_BLOCK = 512


@dataclass(frozen=True)
class Problem:
    """What is to be solved: features and what is true of all examples, what is to be said, folds to choose by."""

    features_ND: NDArray[np.float32]
    target_N: Truth
    aim: Aim
    splits: Splits

    @property
    def row_R(self) -> Index:
        """The held-out rows, fold after fold."""
        return np.concatenate([held for _, held in self.splits.folds])


Candidates = Callable[[Problem], NDArray[np.float64]]


@dataclass(frozen=True)
class Solver:
    """A way to fit the linear head: its candidates on the folds, and one of them on any examples."""

    name: str
    settings: tuple[str, ...]
    candidates: Candidates
    fit: Callable[[int, Index], LinearHead]
    gives_logits: bool


def large(problem: Problem, most: float | None = None) -> bool:
    """Say whether the head is found in closed form: from so many multiply-adds on, by default `CLOSED_FORM_WORK`."""
    if problem.aim.fit is None:
        return True
    n, d = len(problem.splits.train), problem.features_ND.shape[1]
    work = 4.0 * n * min(n, d) * len(problem.aim.outputs) * len(_grid(problem)) * _STEPS * len(problem.splits.folds)
    return n > CLOSED_FORM_ROWS or work > (CLOSED_FORM_WORK if most is None else most)


def _grid(problem: Problem) -> tuple[float, ...]:
    return logistic.GRID if len(problem.splits.train) <= MANY_ROWS else logistic.FEW


def by_logistic(problem: Problem) -> Solver:
    """Return logistic regression, or what the aim has in its place."""
    settings = tuple(f"C={c:g}" for c in _grid(problem))
    fit = partial(_logistic_head, problem)
    return Solver(problem.aim.solver, settings, _logistic_folds, fit, gives_logits=True)


def by_ridge(problem: Problem) -> Solver:
    """Return ridge regression in closed form."""
    settings = tuple(f"penalty={p:g}" for p in ridge.GRID)
    fit = partial(_ridge_head, problem)
    return Solver("closed-form ridge regression", settings, _ridge_folds, fit, gives_logits=problem.aim.fit is None)


def _logistic_folds(problem: Problem) -> NDArray[np.float64]:
    x, y, solve = problem.features_ND, problem.target_N, problem.aim.fit
    assert solve is not None

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        heads = solve(x[fit], y[fit], _grid(problem), 1e-4)
        return np.stack([h.logits(x[held]) for h in heads])

    return over_folds(problem, one)


def _logistic_head(problem: Problem, setting: int, rows: Index) -> LinearHead:
    grid = _grid(problem)[setting : setting + 1]
    assert problem.aim.fit is not None
    with threadpool_limits(1, user_api="blas"):  # the same bits on any number of cores
        return problem.aim.fit(problem.features_ND[rows], problem.target_N[rows], grid, 1e-5)[0]


def blocks(rows: Index) -> Iterator[Index]:
    """Yield rows a few hundred at a time, so that memory does not grow with their number."""
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def _ridge_sums(problem: Problem, rows: Index) -> ridge.Sums:
    aim = problem.aim
    pairs = ((problem.features_ND[at], aim.spread(problem.target_N[at])) for at in blocks(rows))
    return ridge.accumulate(pairs, problem.features_ND.shape[1], len(aim.outputs))


def _ridge_folds(problem: Problem) -> NDArray[np.float64]:
    train = problem.splits.train
    total = None if _wide(problem, train) else _ridge_sums(problem, train)

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        if total is not None and len(fit) + len(held) == len(train):
            heads = ridge.fit_ridge(total - _ridge_sums(problem, held))
        else:
            heads = _ridge_heads(problem, fit, ridge.GRID)
        parts = [[h.logits(problem.features_ND[at]) for h in heads] for at in blocks(held)]
        return np.stack([np.concatenate(each) for each in zip(*parts, strict=True)])

    return over_folds(problem, one)


def _ridge_heads(problem: Problem, rows: Index, grid: Sequence[float]) -> tuple[LinearHead, ...]:
    if _wide(problem, rows):
        return ridge.fit_rows(problem.features_ND[rows], problem.aim.spread(problem.target_N[rows]), grid)
    return ridge.fit_ridge(_ridge_sums(problem, rows), grid)


def _wide(problem: Problem, rows: Index) -> bool:
    return len(rows) < problem.features_ND.shape[1]


def _ridge_head(problem: Problem, setting: int, rows: Index) -> LinearHead:
    return _ridge_heads(problem, rows, ridge.GRID[setting : setting + 1])[0]


def over_folds(problem: Problem, one: Callable[[Index, Index], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Run (fit, held) -> logits_SHK over the folds, one on each core, and join the held rows.

    Each fold computes on one thread, which is faster than folds one after another on all of them, gives the same
    bits on any number of cores, and does not stall when the machine is busy: with both cores taken by others the
    linear head took 15 s by BLAS's own threads, and 0.3 s so.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(lambda fold: one(*fold), problem.splits.folds)), axis=1)
