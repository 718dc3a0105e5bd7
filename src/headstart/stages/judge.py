"""judge: the final scores, made once. On a held-out test where there is one, else by corrected cross-validation.

Without a test set each example is predicted by heads that did not see it. As the best of several settings was
chosen on those very predictions, their score would be a little too good: the bootstrap bias corrected
cross-validation of Tsamardinos, Greasidou and Borboudakis (2018, 1708.07180) chooses again in every resample and
scores on what the resample left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Scoring, Truth
from headstart.heads.head import Head
from headstart.metrics.interval import Measure, between, measured, resamples
from headstart.stages.probe import Probe, Rung
from headstart.stages.split import Index, Splits

Floats = NDArray[np.floating]
Logits = NDArray[np.float64]
Status = Literal["yardstick", "passed", "shipped", "beaten"]


@dataclass(frozen=True)
class RungScore:
    """A rung's headline measure on the examples that choices were made on.

    Attributes:
        gain: by how much better these examples came out than of the rung below, paired; nan for the first.
        error: standard error of the gain, over units.
        better: whether the gain is above one standard error.
        status: `shipped`; `passed`, until a later one was better; `beaten`, not better; `yardstick`, never shipped.
        cut: what was trained, as people read it; empty where nothing above the backbone's own cut was.
        compared: each setting with its held-out log loss, in nats, and its headline measure.
    """

    name: str
    setting: str
    headline: Measure
    seconds: float
    gain: float
    error: float
    better: bool
    status: Status
    cut: str = ""
    compared: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True)
class Tried:
    """A rung above the linear head: held-out logits on the first rows of the probe's, its gain over the best below."""

    rung: Rung
    gain: float
    error: float
    accepted: bool
    cut: str


@dataclass(frozen=True)
class Scores:
    """What is known of the shipped model.

    Attributes:
        measures: all measures, the headline first.
        guess: the headline measure of who has not looked, on the very same examples: see `Aim.guess`.
        how: `test` (held out, judged once) or `cross-validation`.
        rungs: the ladder.
        rows: the example behind each row of `logits_NK`, one row an example.
        logits_NK: predictions of examples that were not learned from, for figures and examples of mistakes.
    """

    measures: tuple[Measure, ...]
    guess: Measure
    how: str
    rungs: tuple[RungScore, ...]
    rows: Index
    logits_NK: Logits

    @property
    def headline(self) -> Measure:
        return self.measures[0]

    @property
    def shipped(self) -> RungScore:
        """The rung that is shipped."""
        return next(rung for rung in self.rungs if rung.status == "shipped")


def judge(
    probe: Probe,
    tried: Sequence[Tried],
    head: Head,
    features_ND: Callable[[Index], Floats],
    target_N: Truth,
    splits: Splits,
    aim: Aim,
    seed: int,
) -> Scores:
    """Score the shipped model and put intervals on everything.

    Args:
        probe: the rungs up to the linear head.
        tried: those above it.
        head: the shipped one.
        features_ND: gives the shipped network's features of examples; asked for the judged ones, once.
        target_N: what is true of each example.
        splits: says what is judged.
        aim: what is to be said of an example, and how that is scored.
        seed: fixes the resamples.
    """
    scoring = aim.scoring
    rungs = ladder(probe, tried, target_N, splits, scoring, seed)
    if len(splits.judged):
        logits_NK = head.logits(features_ND(splits.judged))
        measures = _on(logits_NK, splits.judged, target_N, splits, scoring, seed)
        constant_K = aim.guess(target_N[splits.train])
        constant_NK = np.broadcast_to(constant_K, (len(logits_NK), len(constant_K)))
        guess = _on(constant_NK, splits.judged, target_N, splits, scoring, seed)[0]
        return Scores(measures, guess, "test", rungs, splits.judged, logits_NK)
    shipped = next((t.rung for t in reversed(tried) if t.accepted), probe.rungs[-1])
    row_R = probe.row_R[: shipped.logits_SRK.shape[1]]
    measures = corrected(shipped, row_R, target_N, splits.unit, scoring, seed)
    guess = _on(probe.rungs[0].chosen_RK[: len(row_R)], row_R, target_N, splits, scoring, seed)[0]
    rows, first = np.unique(row_R, return_index=True)
    return Scores(measures, guess, "cross-validation", rungs, rows, shipped.chosen_RK[first])


def ladder(
    probe: Probe, tried: Sequence[Tried], target_N: Truth, splits: Splits, scoring: Scoring, seed: int
) -> tuple[RungScore, ...]:
    """Score every rung where choices were made, and compare each with what was the best below it."""
    out: list[RungScore] = []
    below: NDArray[np.floating] | None = None
    shipped = max((i for i, t in enumerate(tried) if t.accepted), default=-1)
    last = probe.rungs[-1]
    for rung in probe.rungs:
        headline = _on(rung.chosen_RK, probe.row_R, target_N, splits, scoring, seed)[0]
        merit_R = scoring.read(rung.chosen_RK, target_N[probe.row_R]).merit_N
        gain, error = (np.nan, np.nan) if below is None else paired(merit_R, below, splits.unit[probe.row_R])
        status: Status = "yardstick" if rung is not last else "shipped" if shipped < 0 else "passed"
        setting = rung.settings[rung.best]
        settings = compared(rung, target_N[probe.row_R], scoring)
        better = not gain <= error
        out.append(RungScore(rung.name, setting, headline, rung.seconds, gain, error, better, status, "", settings))
        below = merit_R
    for i, t in enumerate(tried):
        status = "beaten" if not t.accepted else "shipped" if i == shipped else "passed"
        chosen_RK = t.rung.chosen_RK
        row_R = probe.row_R[: len(chosen_RK)]
        headline = _on(chosen_RK, row_R, target_N, splits, scoring, seed)[0]
        setting, spent = t.rung.settings[t.rung.best], t.rung.seconds
        settings = compared(t.rung, target_N[row_R], scoring)
        out.append(
            RungScore(t.rung.name, setting, headline, spent, t.gain, t.error, t.accepted, status, t.cut, settings)
        )
    return tuple(out)


def compared(rung: Rung, target_R: Truth, scoring: Scoring) -> tuple[tuple[str, float, float], ...]:
    """Return each setting of a rung with its held-out log loss and headline measure."""
    heads = []
    for logits_RK in rung.logits_SRK:
        scores = scoring.score(scoring.read(logits_RK.astype(np.float64), target_R), np.ones(len(target_R)))
        heads.append(next(iter(scores.values())))
    losses = (float(loss) for loss in rung.loss_SR.mean(1))
    return tuple(zip(rung.settings, losses, heads, strict=True))


def gain(
    rung: Rung, below: Rung, fold_R: Index, row_R: Index, target_N: Truth, splits: Splits, aim: Aim
) -> tuple[float, float]:
    """Return by how much better the held-out examples come out of a rung than of another, and the standard error.

    Both by the setting that was best on the other folds, so that neither is compared on rows it was chosen on.

    Args:
        rung, below: with held-out logits on the same rows, one of them perhaps on more behind these.
        fold_R: the fold of each row; those that both have are compared.
        row_R: the example behind each row.
        target_N: what is true of each example.
        splits: says what is one unit.
        aim: what is to be said of an example.
    """
    fold_R = fold_R[: min(rung.loss_SR.shape[1], below.loss_SR.shape[1])]
    rows = row_R[: len(fold_R)]
    merit, merit_below = (aim.scoring.read(r.crossed_RK(fold_R), target_N[rows]).merit_N for r in (rung, below))
    return paired(merit, merit_below, splits.unit[rows])


def surprised_less(rung: Rung, below: Rung, fold_R: Index, row_R: Index, target_N: Truth, aim: Aim) -> bool:
    """Whether the held-out log loss of a rung is below that of another; arguments as of `gain`.

    What rungs are chosen by that are known to help where labels are few: on sixteen texts the standard error of an
    accuracy is as large as any gain, and the log loss, in which all of a probability counts, is less rough.
    """
    fold_R = fold_R[: min(rung.loss_SR.shape[1], below.loss_SR.shape[1])]
    rows = row_R[: len(fold_R)]
    mine, other = (aim.loss_N(r.crossed_RK(fold_R), target_N[rows]).mean() for r in (rung, below))
    return bool(mine < other)


def paired(merit_R: Floats, below_R: Floats, unit_R: Index) -> tuple[float, float]:
    """Return the mean difference and its standard error, over units (copies and repeats are not independent)."""
    number_R = np.unique(unit_R, return_inverse=True)[1]
    size_U = np.bincount(number_R)
    difference_U = np.bincount(number_R, merit_R - below_R) / size_U
    if len(difference_U) < 2:
        return float(difference_U.mean()), float("inf")
    return float(difference_U.mean()), float(difference_U.std(ddof=1) / np.sqrt(len(difference_U)))


def _on(
    logits_NK: Logits, rows: Index, target_N: Truth, splits: Splits, scoring: Scoring, seed: int
) -> tuple[Measure, ...]:
    data = scoring.read(logits_NK, target_N[rows])
    unit_N = np.unique(splits.unit[rows], return_inverse=True)[1].astype(np.intp)
    units = int(unit_N.max()) + 1
    return measured(lambda weight_N: scoring.score(data, weight_N), unit_N, seed, dict.fromkeys(scoring.shares, units))


def corrected(
    rung: Rung, row_R: Index, target_N: Truth, unit: Index, scoring: Scoring, seed: int
) -> tuple[Measure, ...]:
    """Return the measures of a rung with the choice among its settings paid for (BBC-CV)."""
    target_R = target_N[row_R]
    settings = [scoring.read(logits_RK.astype(np.float64), target_R) for logits_RK in rung.logits_SRK]
    unit_R = np.unique(unit[row_R], return_inverse=True)[1]
    units = int(unit_R.max()) + 1
    drawn: list[Mapping[str, float]] = []
    for counts in resamples(units, seed):
        inside_R = counts[unit_R].astype(np.float64)
        best = int((rung.loss_SR @ inside_R).argmin())
        left_out_R = (inside_R == 0).astype(np.float64)
        if left_out_R.any():
            drawn.append(scoring.score(settings[best], left_out_R))
    names = drawn[0]
    shares = dict.fromkeys(scoring.shares, units)
    return tuple(
        between(name, float(np.nanmean([d[name] for d in drawn])), [d[name] for d in drawn], shares.get(name))
        for name in names
    )
