"""scratch: the same architecture from random weights, same split, at least as long: what pretraining is worth.

No straw man: its own learning rate, chosen by short trials, augmentation anew in each epoch, warm-up and cosine decay,
averaged weights, weight decay, and BatchNorm statistics that it learns itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import update_bn

from headstart.aims.aim import Scoring, Truth
from headstart.backbones.scratch import random_trunk
from headstart.checkpoints import read, write
from headstart.errors import StoreError
from headstart.metrics.interval import Measure, between, resamples
from headstart.stages.batches import Batches, Source
from headstart.stages.ground import Ground
from headstart.stages.held import logits_of
from headstart.stages.loops import OutOfTime
from headstart.stages.plan import ScratchPlan
from headstart.stages.split import Index, Splits
from headstart.stages.trial import begun, ran
from headstart.stages.tune import Recipe

RATES = (3e-4, 1e-3, 3e-3)
DECAY = 0.05
SETTLING = 8
"""Batches that the statistics of the final weights are computed from."""
_INNER = 5
_DONE = 99999999


@dataclass(frozen=True)
class Scratch:
    """What training from random weights came to.

    Attributes:
        logits_NK: on the examples that are judged.
        rows: these examples.
        fitted: how many examples it learned from.
        rate: the learning rate that was chosen.
        steps: how many were done of those that were planned.
        planned: how many were planned.
        seconds: that it took, its trials and decoding included.
    """

    logits_NK: NDArray[np.float64]
    rows: Index
    fitted: int
    rate: float
    steps: int
    planned: int
    seconds: float


def halves(splits: Splits) -> tuple[Index, Index]:
    """Return (examples to train on, examples to judge on): the given test, or the first fold where there is none."""
    return (splits.train, splits.judged) if len(splits.judged) else splits.folds[0]


def predicted(fit: Index, judged: Index, rates: Sequence[float], batch: int) -> int:
    """Return how many examples go through the network beside training: the judged ones, those that each rate's trial
    held out, and those that statistics are computed from."""
    settling = min(len(fit), SETTLING * batch)
    return len(judged) + settling + len(rates) * (len(fit) // _INNER + settling)


def random_model(ground: Ground, low: bool) -> Any:
    """Return the whole network from random weights, with a head of small ones, in training mode."""
    backbone = ground.encoder.backbone
    trunk = random_trunk(backbone, ground.seed)
    body = ground.encoder.task.network(trunk, backbone.preprocess).requires_grad_(True)
    model = ground.aim.plain(backbone, ground.seed).on(body, low).to(ground.device)
    model.train()
    return model


def from_scratch(
    ground: Ground,
    source: Source,
    plan: ScratchPlan,
    fit: Index,
    judged: Index,
    folder: Path,
    left: Callable[[], float],
) -> Scratch:
    """Train from random weights.

    Args:
        ground: data, splits, network.
        source: decoded inputs.
        plan: steps and rates.
        fit: examples to train on.
        judged: examples to predict.
        folder: for checkpoints and results.
        left: seconds left; when none are, it is judged as it is then.
    """
    start = ground.clock()

    def to_train() -> float:
        return left() - plan.judging

    rate = _rate(ground, source, plan, fit, folder, to_train) if len(plan.rates) > 1 else plan.rates[0]
    model, steps = _trained(ground, source, plan, rate, plan.steps, fit, folder / "whole", to_train)
    logits_NK = _said(ground, model, source, judged)
    spent = ground.clock() - start
    return Scratch(logits_NK, judged, len(fit), rate, steps, plan.steps, spent)


def _said(ground: Ground, model: Any, source: Source, judged: Index) -> NDArray[np.float64]:
    """Return what a model says of judged examples, asked as the one that ships is."""
    if not ground.encoder.backbone.whole:
        return logits_of(model, source, judged, ground.device, ground.size_N)
    model.eval()
    said_NK: NDArray[np.float64] = model.head().logits(source.clean(judged))
    return said_NK


def _rate(
    ground: Ground, source: Source, plan: ScratchPlan, fit: Index, folder: Path, left: Callable[[], float]
) -> float:
    """Return the rate with the least log loss on a fifth that the trials did not train on."""
    order = np.random.default_rng([ground.seed, 0x5C8A]).permutation(len(fit))
    held, inner = fit[np.sort(order[::_INNER])], fit[np.sort(np.delete(order, np.s_[::_INNER]))]
    losses = []
    for rate in plan.rates:
        model, _ = _trained(ground, source, plan, rate, plan.trial, inner, folder / f"trial-{rate:g}", left)
        logits_HK = logits_of(model, source, held, ground.device, ground.size_N)
        losses.append(float(ground.aim.loss_N(logits_HK, ground.target_N[held]).mean()))
    return plan.rates[int(np.argmin(losses))]


def _trained(
    ground: Ground,
    source: Source,
    plan: ScratchPlan,
    rate: float,
    steps: int,
    rows: Index,
    folder: Path,
    left: Callable[[], float],
) -> tuple[nn.Module, int]:
    """Return the model with its averaged weights, and how many steps were done before time was out."""
    model = random_model(ground, plan.low)
    batches = ground.batches(source, rows, plan.batch)
    _, training = begun(model, Recipe(steps, rate, seed=ground.seed, decay=DECAY), batches, ground.aim)
    done = folder / f"step-{_DONE:08}.safetensors"
    try:
        weights, about = read(done)
        training.use(weights)
        return model, int(about["steps"])
    except StoreError:
        pass
    with ground.track(f"from scratch, rate {rate:g}", steps) as advance:
        watch = ground.watch(folder.parent, left, advance)
        with suppress(OutOfTime):  # what there is by then is judged, and said to be less than was planned
            ran(training, batches, folder, watch)
    training.use(training.average)
    settle(model, batches)
    write(folder, _DONE, training.followed, {"steps": training.step})
    return model, training.step


def settle(model: nn.Module, batches: Batches) -> None:
    """Compute the BatchNorm statistics of averaged weights, from a few batches as they are trained on.

    Statistics that were averaged on the way belong to no weights at all: after some fifty steps all pictures came out
    as one class (hymenoptera, five seeds of five). Izmailov et al. 2018, 1803.05407, section 3.2.
    """
    inputs = (x_B for x_B, _ in batches.run(0, min(batches.in_epoch, SETTLING)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(batches.seed)  # dropout, the same after a resume
        update_bn(inputs, model)


def worth(
    transfer_NK: NDArray[np.floating],
    scratch_NK: NDArray[np.floating],
    target_N: Truth,
    unit_N: Index,
    scoring: Scoring,
    seed: int,
) -> Measure:
    """Return by how much the headline measure is higher with pretraining, with its paired bootstrap interval.

    Args:
        transfer_NK, scratch_NK: logits of both on the same examples.
        target_N: what is true of them.
        unit_N: their units; copies are drawn together.
        scoring: the task's measures.
        seed: fixes the resamples.
    """
    both = [scoring.read(logits, target_N) for logits in (transfer_NK, scratch_NK)]
    name = next(iter(scoring.score(both[0], np.ones(len(target_N)))))
    unit_N = np.unique(unit_N, return_inverse=True)[1]

    def difference(weight_N: NDArray[np.float64]) -> float:
        one, other = (scoring.score(each, weight_N)[name] for each in both)
        return one - other

    drawn = [difference(counts[unit_N].astype(np.float64)) for counts in resamples(int(unit_N.max()) + 1, seed)]
    return between(name, difference(np.ones(len(target_N))), drawn)


def sentence(
    gain: Measure,
    transfer: float,
    scratch: float,
    seconds: Sequence[float],
    count: int,
    noun: str,
    percent: bool = True,
) -> str:
    """Say what pretraining was worth.

    Args:
        gain: from `worth`.
        transfer, scratch: the headline measure of both.
        seconds: that both took.
        count: examples judged.
        noun: what one is called.
        percent: whether the measure reads as a percentage.
    """
    one, other = (f"{value:.1%}" if percent else f"{value:.3f}" for value in (scratch, transfer))
    how = (
        f"the same network from random weights, trained for {seconds[1]:.0f} s where the transfer run took "
        f"{seconds[0]:.0f} s, gets {one} of {gain.name} on the same {count} {noun}s, against {other}"
    )
    low, value, high = ((f"{100 * v:+.1f}" if percent else f"{v:+.3f}") for v in (gain.low, gain.value, gain.high))
    between_ = f"{value}{' points' * percent} (95% interval {low} to {high})"
    if gain.low > 0:
        return f"Pretraining was worth {between_} of {gain.name}: {how}."
    if gain.high < 0:
        return f"Pretraining did harm, {between_} of {gain.name}: {how}."
    return f"There is no evidence that pretraining helps here, {between_} of {gain.name}: {how}."
