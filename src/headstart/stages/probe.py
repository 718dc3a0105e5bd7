"""probe: the first rungs of the ladder, on cached features: majority guess, nearest neighbours, linear head.

Every choice (number of neighbours, regularisation, temperature) is made on examples that the candidate was not
fitted on. What later stages need to judge the choices, the held-out logits of every candidate, is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.heads import neighbours
from headstart.heads.linear import LinearHead
from headstart.stages.solvers import Candidates, Problem, blocks, by_logistic, by_ridge, large, over_folds
from headstart.stages.split import Index, Splits

Logits = NDArray[np.float64]
Clock = Callable[[], float]

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
    problem = Problem(features_ND, target_N, aim, splits)
    rungs = [_rung(problem, aim.scoring.naive, ("training targets alone",), _guess, clock)]
    advance(1)
    rungs.append(_rung(problem, "nearest neighbours", [f"k={k}" for k in neighbours.GRID], _near, clock))
    advance(1)
    solver = by_ridge(problem) if large(problem, work) else by_logistic(problem)
    last = _rung(problem, "linear head", solver.settings, solver.candidates, clock, solver.gives_logits)

    def refit(rows: Index) -> LinearHead:
        return solver.fit(last.best, rows).with_temperature(last.temperatures[last.best])

    head = refit(splits.train)
    advance(1)
    return Probe((*rungs, last), problem.row_R, head, solver.name, refit)


def _rung(
    problem: Problem,
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


def _guess(problem: Problem) -> NDArray[np.float64]:
    rows = []
    for fit, held in problem.splits.folds:
        rows.append(np.broadcast_to(problem.aim.guess(problem.target_N[fit]), (len(held), len(problem.aim.outputs))))
    return np.concatenate(rows)[None]


def _near(problem: Problem) -> NDArray[np.float64]:
    x, y = problem.features_ND, problem.target_N

    def one(fit: Index, held: Index) -> NDArray[np.float64]:
        known = fit[:: -(-len(fit) // NEIGHBOURS_KNOWN)]  # evenly spread: the yardstick need not hold them all twice
        votes = [problem.aim.near(x[rows], x[known], y[known]) for rows in blocks(held)]
        return np.stack([np.concatenate(each) for each in zip(*votes, strict=True)])

    return over_folds(problem, one)


def closed_form_loss(features_ND: NDArray[np.float32], target_N: Truth, aim: Aim, splits: Splits) -> float:
    """Return the least held-out log loss of a closed-form head: a fast stand-in for the linear head's."""
    problem = Problem(features_ND, target_N, aim, splits)
    solver = by_ridge(problem)
    rung = _rung(problem, "", solver.settings, solver.candidates, lambda: 0.0, solver.gives_logits)
    return float(rung.loss_SR.mean(1).min())
