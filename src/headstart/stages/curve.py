"""curve: how good the model is with 5, 10, 25, … labels of each class, with pretraining and from scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.errors import UsageError
from headstart.heads import logistic, ridge
from headstart.heads.linear import LinearHead
from headstart.metrics.interval import Measure, measured
from headstart.stages.batches import Source
from headstart.stages.ground import Ground
from headstart.stages.plan import ScratchPlan
from headstart.stages.scratch import from_scratch, halves
from headstart.stages.split import Index

LEAST_STEPS = 50


@dataclass(frozen=True)
class Point:
    """A place on the curve.

    Attributes:
        labels: of each class; `all` for everything.
        examples: that were learned from.
        transfer: the headline measure of a linear head on pretrained features.
        scratch: of the whole network from random weights; None where there was no time.
    """

    labels: str
    examples: int
    transfer: Measure
    scratch: Measure | None


def counts(text: str) -> tuple[int | None, ...]:
    """Read `5,10,25,all`; None stands for all.

    Raises:
        UsageError: something in it is neither a number of at least 2 nor `all`.
    """
    out: list[int | None] = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        if word != "all" and not (word.isdecimal() and int(word) >= 2):
            raise UsageError(f"{word!r} is no number of labels.", hint="Write for example 5,10,25,all.")
        out.append(None if word == "all" else int(word))
    return tuple(out)


def some(rows: Index, stratum_N: Index, each: int | None, seed: int) -> Index:
    """Return so many examples of each class, drawn; all of a class that has fewer."""
    if each is None:
        return rows
    rng = np.random.default_rng([seed, 0xC04E, each])
    picked = [rng.permutation(rows[stratum_N[rows] == k])[:each] for k in np.unique(stratum_N[rows])]
    return np.sort(np.concatenate(picked))


def curve(
    ground: Ground,
    features_ND: NDArray[np.float32],
    wanted: Sequence[int | None],
    source: Source | None,
    plan: ScratchPlan | None,
    rate: float,
    left: Callable[[], float],
) -> tuple[Point, ...]:
    """Return the curve.

    Args:
        ground: data, splits, network.
        features_ND: pretrained features of all examples.
        wanted: labels of each class.
        source: decoded inputs, for training from scratch.
        plan: of the whole training from scratch; None where there was none.
        rate: that it chose.
        left: seconds left.
    """
    fit, judged = halves(ground.splits)
    out = []
    for each in wanted:
        rows = some(fit, ground.aim.strata(ground.target_N), each, ground.seed)
        logits_NK = linear(features_ND, ground.target_N, ground.aim, rows, ground.seed).logits(features_ND[judged])
        scratch = None
        if plan is not None and source is not None and left() > 0:
            steps = max(LEAST_STEPS, plan.steps * len(rows) // len(fit))
            small = replace(plan, steps=min(plan.steps, steps), rates=(rate,))
            folder = ground.folder / f"curve-{each or 'all'}"
            made = from_scratch(ground, source, small, rows, judged, folder, left)
            scratch = _measure(ground, made.logits_NK, judged) if made.steps == made.planned else None
        out.append(Point(str(each or "all"), len(rows), _measure(ground, logits_NK, judged), scratch))
    return tuple(out)


def linear(features_ND: NDArray[np.float32], target_N: Truth, aim: Aim, rows: Index, seed: int) -> LinearHead:
    """Return a linear head on some examples, its C or penalty chosen on a fifth of them where there are enough."""
    order = np.random.default_rng([seed, 0x11EA]).permutation(rows)
    held, inner = order[::5], np.delete(order, np.s_[::5])
    heads = _fitted(features_ND[inner], target_N[inner], aim)
    losses = [aim.loss_N(h.logits(features_ND[held]), target_N[held]).mean() for h in heads]
    return _fitted(features_ND[rows], target_N[rows], aim)[int(np.argmin(losses))]


def _fitted(x_ND: NDArray[np.float32], target_N: Truth, aim: Aim) -> tuple[LinearHead, ...]:
    if aim.fit is not None:
        return aim.fit(x_ND, target_N, logistic.GRID, 1e-5)
    return ridge.fit_ridge(ridge.accumulate([(x_ND, aim.spread(target_N))], x_ND.shape[1], len(aim.outputs)))


def _measure(ground: Ground, logits_NK: NDArray[np.floating], rows: Index) -> Measure:
    data = ground.aim.scoring.read(logits_NK, ground.target_N[rows])
    unit_N = np.unique(ground.splits.unit[rows], return_inverse=True)[1]
    shares = dict.fromkeys(ground.aim.scoring.shares, int(unit_N.max()) + 1)
    return measured(lambda weight_N: ground.aim.scoring.score(data, weight_N), unit_N, ground.seed, shares)[0]
