"""probe: the first rungs of the ladder, on cached features: majority guess, nearest neighbours, linear head.

Every choice (number of neighbours, regularisation, temperature) is made on examples that the candidate was not
fitted on. What later stages need to judge the choices, the held-out logits of every candidate, is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from headstart.aims.aim import Aim, Truth
from headstart.heads import logistic, neighbours, ridge
from headstart.heads.linear import LinearHead
from headstart.stages.split import Index, Splits

Logits = NDArray[np.float64]
Clock = Callable[[], float]

CLOSED_FORM_ROWS = 20_000
MANY_ROWS = 4000
"""Above so many rows fewer values of C are tried: each takes seconds, and the smallest are never best there."""
CLOSED_FORM_WORK = 2e12
"""Above so many rows, or multiply-adds for the whole grid (about 20 s on two cores), the head is closed-form."""
_STEPS = 100  # L-BFGS evaluations that a grid typically takes
_BLOCK = 512
NEIGHBOURS_KNOWN = 4096
"""At most so many training examples are looked through for neighbours."""


@dataclass(frozen=True)
class Rung:
    """One rung: its candidates, and the one that was chosen.

    Attributes:
        name: what the field calls it.
        settings: the candidates, in words.
        logits_SRK: held-out logits of each candidate, its temperature applied.
        loss_SR: what choices are made by: the log loss of each held-out row.
        temperatures: the temperature of each candidate.
        seconds: what the rung took.
        judging: of these, the seconds in which a network that is taken whole was asked about the held-out rows; 0 where
            that is next to nothing.
    """

    name: str
    settings: tuple[str, ...]
    logits_SRK: NDArray[np.float32]
    loss_SR: NDArray[np.float64]
    temperatures: tuple[float, ...]
    seconds: float
    judging: float = 0.0

    @property
    def best(self) -> int:
        """The position of the candidate with the least held-out loss."""
        return int(self.loss_SR.mean(1).argmin())

    def crossed_RK(self, fold_R: Index) -> Logits:
        """Return held-out logits, each from the candidate that was best on the other folds.

        So that what is compared was not chosen on the rows that it is compared on. With one fold, as `chosen_RK`.
        """
        held = self.logits_SRK[self.best].astype(np.float64)
        for fold in np.unique(fold_R) if len(np.unique(fold_R)) > 1 else ():
            here = fold_R == fold
            best = int(self.loss_SR[:, : len(fold_R)][:, ~here].mean(1).argmin())
            held[: len(fold_R)][here] = self.logits_SRK[best, : len(fold_R)][here]
        return held[: len(fold_R)]

    @property
    def chosen_RK(self) -> Logits:
        """The held-out logits of the chosen candidate."""
        return self.logits_SRK[self.best].astype(np.float64)


@dataclass(frozen=True)
class Probe:
    """What probing found.

    Attributes:
        rungs: cheapest first; the last one, the linear head, is what can be shipped.
        row_R: the example behind each held-out row; with repeated cross-validation one comes several times.
        head: the chosen linear head, fitted on all training examples.
        solver: how it was fitted, in words.
        refit: fits the chosen linear head, temperature and all, on other examples.
    """

    rungs: tuple[Rung, ...]
    row_R: Index
    head: Any
    solver: str
    refit: Callable[[Index], Any]


@dataclass(frozen=True)
class _Problem:
    features_ND: NDArray[np.float32]
    target_N: Truth
    aim: Aim
    splits: Splits

    @property
    def row_R(self) -> Index:
        return np.concatenate([held for _, held in self.splits.folds])


def probe(
    features_ND: NDArray[np.float32],
    target_N: Truth,
    aim: Aim,
    splits: Splits,
    clock: Clock,
    advance: Callable[[int], None] = lambda _: None,
    work: float | None = None,
) -> Probe:
    """Climb the rungs that need nothing but features.

    Args:
        features_ND: pooled features of every example, judged ones included (they are not looked at here).
        target_N: what is true of each example.
        aim: what is to be said of one.
        splits: folds to choose by.
        clock: seconds, for the rungs' times.
        advance: called with 1 after each rung.
        work: from how many multiply-adds on the head is closed-form; by default `CLOSED_FORM_WORK`.

    Returns:
        The rungs and the chosen head. Deterministic.
    """
    problem = _Problem(features_ND, target_N, aim, splits)
    rungs = [_rung(problem, aim.scoring.naive, ("training targets alone",), _guess, clock)]
    advance(1)
    rungs.append(_rung(problem, "nearest neighbours", [f"k={k}" for k in neighbours.GRID], _near, clock))
    advance(1)
    solver = _ridge(problem) if _large(problem, CLOSED_FORM_WORK if work is None else work) else _logistic(problem)
    last = _rung(problem, "linear head", solver.settings, solver.candidates, clock, solver.gives_logits)

    def refit(rows: Index) -> LinearHead:
        return solver.fit(last.best, rows).with_temperature(last.temperatures[last.best])

    head = refit(splits.train)
    advance(1)
    return Probe((*rungs, last), problem.row_R, head, solver.name, refit)


Candidates = Callable[[_Problem], NDArray[np.float64]]


def _rung(
    problem: _Problem,
    name: str,
    settings: Sequence[str],
    candidates: Candidates,
    clock: Clock,
    gives_logits: bool = True,
) -> Rung:
    """Run the candidates and fit a temperature to each.

    Logits are compared by their log loss as they are, which is what logistic regression minimises; compared after
    the temperature they choose no better (accuracy 0.931 both, mean of 120 runs on Office-Caltech). Scores that are
    no logits are compared after it.
    """
    start = clock()
    raw_SRK = candidates(problem)
    target_R = problem.target_N[problem.row_R]
    temperatures = [problem.aim.temperature(l_RK, target_R) for l_RK in raw_SRK]
    logits_SRK = raw_SRK / np.asarray(temperatures)[:, None, None]
    compared_SRK = raw_SRK if gives_logits else logits_SRK
    loss_SR = np.stack([problem.aim.loss_N(l_RK, target_R) for l_RK in compared_SRK])
    kept = logits_SRK.astype(np.float32)
    return Rung(name, tuple(settings), kept, loss_SR, tuple(temperatures), clock() - start)


def _guess(problem: _Problem) -> NDArray[np.float64]:
    rows = []
    for fit, held in problem.splits.folds:
        rows.append(np.broadcast_to(problem.aim.guess(problem.target_N[fit]), (len(held), len(problem.aim.outputs))))
    return np.concatenate(rows)[None]


def _near(problem: _Problem) -> NDArray[np.float64]:
    x, y = problem.features_ND, problem.target_N

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        known = fit[:: -(-len(fit) // NEIGHBOURS_KNOWN)]  # evenly spread: the yardstick need not hold them all twice
        votes = [problem.aim.near(x[rows], x[known], y[known]) for rows in _blocks(held)]
        return np.stack([np.concatenate(each) for each in zip(*votes, strict=True)])

    return _over_folds(problem, one)


def _over_folds(problem: _Problem, one: Callable[[Index, Index], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Run (fit, held) -> logits_SHK over the folds, one on each core, and join the held rows.

    Each fold computes on one thread, which is faster than folds one after another on all of them, gives the same
    bits on any number of cores, and does not stall when the machine is busy: with both cores taken by others the
    linear head took 15 s by BLAS's own threads, and 0.3 s so.
    """
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(lambda fold: one(*fold), problem.splits.folds)), axis=1)


@dataclass(frozen=True)
class _Solver:
    """A way to fit the linear head: its candidates on the folds, and one of them on any examples."""

    name: str
    settings: tuple[str, ...]
    candidates: Candidates
    fit: Callable[[int, Index], LinearHead]
    gives_logits: bool


def _large(problem: _Problem, most: float) -> bool:
    if problem.aim.fit is None:
        return True
    n, d = len(problem.splits.train), problem.features_ND.shape[1]
    work = 4.0 * n * min(n, d) * len(problem.aim.outputs) * len(_grid(problem)) * _STEPS * len(problem.splits.folds)
    return n > CLOSED_FORM_ROWS or work > most


def _grid(problem: _Problem) -> tuple[float, ...]:
    return logistic.GRID if len(problem.splits.train) <= MANY_ROWS else logistic.FEW


def closed_form_loss(features_ND: NDArray[np.float32], target_N: Truth, aim: Aim, splits: Splits) -> float:
    """Return the least held-out log loss of a closed-form head: a fast stand-in for the linear head's."""
    problem = _Problem(features_ND, target_N, aim, splits)
    solver = _ridge(problem)
    rung = _rung(problem, "", solver.settings, solver.candidates, lambda: 0.0, solver.gives_logits)
    return float(rung.loss_SR.mean(1).min())


def _logistic(problem: _Problem) -> _Solver:
    settings = tuple(f"C={c:g}" for c in _grid(problem))
    fit = partial(_logistic_head, problem)
    return _Solver(problem.aim.solver, settings, _logistic_folds, fit, gives_logits=True)


def _ridge(problem: _Problem) -> _Solver:
    settings = tuple(f"penalty={p:g}" for p in ridge.GRID)
    fit = partial(_ridge_head, problem)
    return _Solver("closed-form ridge regression", settings, _ridge_folds, fit, gives_logits=problem.aim.fit is None)


def _logistic_folds(problem: _Problem) -> NDArray[np.float64]:
    x, y, solve = problem.features_ND, problem.target_N, problem.aim.fit
    assert solve is not None

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        heads = solve(x[fit], y[fit], _grid(problem), 1e-4)
        return np.stack([h.logits(x[held]) for h in heads])

    return _over_folds(problem, one)


def _logistic_head(problem: _Problem, setting: int, rows: Index) -> LinearHead:
    grid = _grid(problem)[setting : setting + 1]
    assert problem.aim.fit is not None
    with threadpool_limits(1, user_api="blas"):  # the same bits on any number of cores
        return problem.aim.fit(problem.features_ND[rows], problem.target_N[rows], grid, 1e-5)[0]


def _blocks(rows: Index) -> Iterator[Index]:
    """Yield rows a few hundred at a time, so that memory does not grow with their number."""
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def _ridge_sums(problem: _Problem, rows: Index) -> ridge.Sums:
    aim = problem.aim
    pairs = ((problem.features_ND[at], aim.spread(problem.target_N[at])) for at in _blocks(rows))
    return ridge.accumulate(pairs, problem.features_ND.shape[1], len(aim.outputs))


def _ridge_folds(problem: _Problem) -> NDArray[np.float64]:
    train = problem.splits.train
    total = None if _wide(problem, train) else _ridge_sums(problem, train)

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        if total is not None and len(fit) + len(held) == len(train):
            heads = ridge.fit_ridge(total - _ridge_sums(problem, held))
        else:
            heads = _ridge_heads(problem, fit, ridge.GRID)
        blocks = [[h.logits(problem.features_ND[at]) for h in heads] for at in _blocks(held)]
        return np.stack([np.concatenate(each) for each in zip(*blocks, strict=True)])

    return _over_folds(problem, one)


def _ridge_heads(problem: _Problem, rows: Index, grid: Sequence[float]) -> tuple[LinearHead, ...]:
    if _wide(problem, rows):
        return ridge.fit_rows(problem.features_ND[rows], problem.aim.spread(problem.target_N[rows]), grid)
    return ridge.fit_ridge(_ridge_sums(problem, rows), grid)


def _wide(problem: _Problem, rows: Index) -> bool:
    return len(rows) < problem.features_ND.shape[1]


def _ridge_head(problem: _Problem, setting: int, rows: Index) -> LinearHead:
    return _ridge_heads(problem, rows, ridge.GRID[setting : setting + 1])[0]
