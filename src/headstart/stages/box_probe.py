"""box_probe: the first rungs for boxes, on cached maps: usual boxes, and a detection head on the frozen network.

As `probe`, which it stands in for; but a detection head takes a minute and not a second, so that there is one setting,
on the one part that is held out, and the head that was judged is the one that goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.backbones.backbone import Backbone
from headstart.backbones.whole import kept_as_they_are
from headstart.stages.batches import Batches
from headstart.stages.held import logits_of
from headstart.stages.probe import Probe, Rung
from headstart.stages.split import Index, Splits
from headstart.stages.trial import begun, model_at
from headstart.stages.tune import Recipe, tune

Clock = Callable[[], float]
STEPS = 300
BATCH = 16
RATE = 2e-3
WHOLE_STEPS, WHOLE_BATCH, WHOLE_RATE = 60, 4, 1e-3
"""A whole network runs in each step: it takes ten times as long as a head on cached maps, or more."""


@dataclass(frozen=True)
class First:
    """How a first head is trained: on which network, in how many steps of which batches, how fast; and what it is."""

    body: torch.nn.Module
    steps: int
    batch: int
    rate: float
    name: str
    solver: str


def _first(backbone: Backbone) -> First:
    """Return how a head is trained: on maps; or, in a detector that is taken whole, its new layers alone."""
    if backbone.whole is None:
        return First(torch.nn.Identity(), STEPS, BATCH, RATE, "detection head", "AdamW, on cached maps")
    body = deepcopy(backbone.trunk)
    kept = kept_as_they_are(body)  # type: ignore[arg-type]
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(name not in kept)
    return First(
        body, WHOLE_STEPS, WHOLE_BATCH, WHOLE_RATE, "detector with new layers", "AdamW, the other layers frozen"
    )


@dataclass(frozen=True)
class Kept:
    """Features that are in memory, as a source of batches."""

    features_ND: NDArray[np.float32]

    def train(self, index_B: Index, epoch: int) -> NDArray[np.float32]:
        return self.features_ND[index_B]

    def clean(self, index_B: Index) -> NDArray[np.float32]:
        return self.features_ND[index_B]

    def draws(self, index_B: Index, epoch: int) -> list[None]:
        return [None] * len(index_B)


def box_probe(
    backbone: Backbone,
    features_ND: NDArray[np.float32],
    target_N: Truth,
    aim: Aim,
    splits: Splits,
    clock: Clock,
    advance: Callable[[int], None],
    *,
    seed: int,
) -> Probe:
    """Train a detection head on maps.

    Args:
        backbone: the network that they are of.
        features_ND: maps of every picture, or its pixels where the network is taken whole; judged ones included (they
            are not looked at here).
        target_N: truth_NT6.
        aim: of boxes.
        splits: with one fold.
        seed: fixes where the head starts, and the order of the batches.
        clock: seconds, for the rungs' times.
        advance: called with the share of each step.

    Returns:
        The rungs and the head. Deterministic.
    """
    fit, held = splits.folds[0]
    start = clock()
    guess_F = aim.guess(target_N[fit])
    guess = _rung(
        aim.scoring.naive,
        "training targets alone",
        np.tile(guess_F, (len(held), 1)),
        target_N[held],
        aim,
        clock() - start,
    )
    start = clock()
    first = _first(backbone)
    model = model_at(first.body, aim.plain(backbone, seed), False, "cpu")
    batches = Batches(Kept(features_ND), fit, target_N, min(first.batch, len(fit)), seed)
    _, training = begun(model, Recipe(first.steps, first.rate, seed=seed, average=0.98), batches, aim)
    for row in tune(training, batches):
        if row.step % (first.steps // 3) == 0:
            advance(1)
    training.use(training.average)
    asked = clock()
    found_HF = logits_of(model, batches.source, held, "cpu")
    judging = clock() - asked
    head = aim.settle(model.head(), found_HF, target_N[held])
    rung = _rung(first.name, f"{first.steps} steps", found_HF, target_N[held], aim, clock() - start)
    rung = replace(rung, judging=judging)
    return Probe((guess, rung), held, head, first.solver, lambda rows: head)


def _rung(name: str, setting: str, found_HF: NDArray[np.float64], truth_H: Truth, aim: Aim, seconds: float) -> Rung:
    loss_SR = aim.loss_N(found_HF, truth_H)[None]
    return Rung(name, (setting,), found_HF[None].astype(np.float32), loss_SR, (1.0,), seconds)
