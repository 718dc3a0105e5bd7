"""climb: from rung to rung as the plan says, each accepted only when it is measurably better than what was there.

Settings of a rung (where it starts, its rate, how far it goes) are compared on the folds by which the linear head was
chosen, the last training is on all training examples. Whatever was finished is on disk, so a run that was stopped goes
on in the middle of a training and ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.backbones import lora
from headstart.backbones.backbone import Backbone, unchanged, weights_digest
from headstart.backbones.depths import Depth
from headstart.checkpoints import read, write
from headstart.errors import StoreError, UsageError
from headstart.heads.head import Head
from headstart.stages.batches import Source
from headstart.stages.ground import Ground
from headstart.stages.judge import Tried, gain, surprised_less
from headstart.stages.levels import PAIRS
from headstart.stages.loops import OutOfTime
from headstart.stages.plan import Plan, RungPlan
from headstart.stages.probe import Rung
from headstart.stages.rates import tried as tried_out
from headstart.stages.settings import candidates, recipe_of, settings, start_head, title
from headstart.stages.sources import Opened, open_at, source_at
from headstart.stages.split import Index, Splits
from headstart.stages.trial import attempt, begun, between, ended, model_at, ran, with_head
from headstart.store import load_json, save_json


@dataclass(frozen=True)
class Step:
    """A rung that was tried.

    Attributes:
        tried: its candidates, and its gain over the rung that was the best before.
        plan: what it did.
        frozen: SHA-256 of the trunk before and after; empty strings where nothing is frozen.
    """

    tried: Tried
    plan: RungPlan
    frozen: tuple[str, str]


@dataclass(frozen=True)
class Climbed:
    """What the climb came to.

    Attributes:
        steps: the rungs that were tried, in order.
        untried: (rung, why not).
        backbone, head: of the best rung.
    """

    steps: tuple[Step, ...]
    untried: tuple[tuple[str, str], ...]
    backbone: Backbone
    head: Head

    @property
    def best(self) -> Step | None:
        """The rung that ships; None when it is the linear head."""
        return next((step for step in reversed(self.steps) if step.tried.accepted), None)


def climb(ground: Ground, plan: Plan, left: Callable[[], float]) -> Climbed:
    """Try the plan's rungs, shallowest first, until one gains nothing; one that gains within the noise is no end yet.

    Args:
        ground: what they stand on.
        plan: what they do.
        left: seconds left for all of them; when none are, the rung in hand is given up, and that is written down.
    """
    backbone = deepcopy(ground.encoder.backbone)
    places = {d.name: d for d in ground.encoder.task.depths(backbone)}
    origin = {n: t.clone() for n, t in backbone.trunk.state_dict().items()}
    head, below = ground.probe.head, ground.probe.rungs[-1]
    best = origin
    steps: list[Step] = []
    untried: list[tuple[str, str]] = []
    for rung in plan.rungs:  # before anything is trained
        if rung.name not in places:
            raise UsageError(f"The plan's {rung.name!r} is no place of this network.", found=", ".join(places))
    for number, rung in enumerate(plan.rungs):
        if steps and steps[-1].tried.gain <= 0 and steps[-1].plan.starts != (PAIRS,):
            untried.append((rung.name, f"{steps[-1].tried.rung.name} was no better than what was there before"))
            continue
        folder = ground.folder / f"{number}-{rung.name}"
        if reason := _given_up(folder):
            untried.append((rung.name, reason))
            continue
        backbone.trunk.load_state_dict(origin)
        try:
            step, new = _try(ground, rung, places[rung.name], backbone, below, folder, left)
        except OutOfTime:
            untried.append((rung.name, give_up(folder, "the budget was spent in the middle of it")))
            continue
        steps.append(step)
        if step.tried.accepted:
            below, head = step.tried.rung, new
            if ground.aim.costly:  # its head is where the next one starts
                ground = replace(ground, probe=replace(ground.probe, refit=partial(_given, new)))
            best = {n: t.clone() for n, t in backbone.trunk.state_dict().items()}
    shipped = ground.encoder.backbone
    if any(step.tried.accepted for step in steps):
        backbone.trunk.load_state_dict(best)
        backbone.trunk.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
        shipped = replace(backbone, weights=weights_digest(backbone.trunk))
    return Climbed(tuple(steps), (*plan.untried, *untried), shipped, head)


def _given(head: Head, rows: Index) -> Head:
    return head


def give_up(folder: Path, reason: str) -> str:
    """Write down that a rung was not finished, so that a run that goes on decides the same."""
    save_json(folder / "given-up.json", {"reason": reason})
    return reason


def _given_up(folder: Path) -> str:
    path = folder / "given-up.json"
    return str(load_json(path)["reason"]) if path.exists() else ""


def _try(
    ground: Ground,
    plan: RungPlan,
    depth: Depth,
    backbone: Backbone,
    below: Rung,
    folder: Path,
    left: Callable[[], float],
) -> tuple[Step, Head]:
    """Compare a rung's settings on the folds; train the best on everything if it is better than the rung below."""
    start = ground.clock()
    opened = open_at(depth, backbone, ground.encoder)
    if opened.below is not None:  # states of all that could stand in would be computed before the first step
        ground = replace(ground, splits=replace(ground.splits, spare=ground.splits.spare[:0]))
    before = opened.digest()
    source = source_at(
        opened, ground.encoder, ground.items, ground.splits.used, plan.views, ground.seed, ground.track, ground.clock
    )
    opened.free()
    adapted = lora.adapt(opened.body, plan.lora, ground.seed, opened.shared) if plan.lora else None
    try:
        opened.body.to(ground.device)
        origin = {n: t.detach().clone() for n, t in opened.body.state_dict().items()}
        rated = tried_out(ground, plan, opened, source, origin, folder, left)
        rung, shares = _compared(ground, rated, opened, source, origin, folder, left)
        fold_R = rows_of_folds(ground.splits, plan.folds)
        value, error = gain(rung, below, fold_R, ground.probe.row_R, ground.target_N, ground.splits, ground.aim)
        accepted, head = value > error, ground.probe.head
        if plan.starts == (PAIRS,):
            accepted = surprised_less(rung, below, fold_R, ground.probe.row_R, ground.target_N, ground.aim)
        if accepted:
            head = _final(ground, rated, opened, source, origin, rung, shares, folder, left)
    finally:
        opened.body.to("cpu")
        if adapted:
            adapted.merge()
    rung = replace(rung, seconds=ground.clock() - start)
    tried = Tried(rung, value, error, accepted, depth.name)
    plan = replace(plan, epochs=rated.epochs, most=rated.most, reasons=rated.reasons)
    return Step(tried, plan, (before, unchanged(before, opened.digest()))), head


def rows_of_folds(splits: Splits, folds: int) -> Index:
    """Return the fold of each held-out row of the first few folds."""
    return np.concatenate([np.full(len(held), i, np.intp) for i, (_, held) in enumerate(splits.folds[:folds])])


def _compared(
    ground: Ground,
    plan: RungPlan,
    opened: Opened,
    source: Source,
    origin: dict[str, torch.Tensor],
    folder: Path,
    left: Callable[[], float],
) -> tuple[Rung, dict[str, float]]:
    """Return the rung, and the share of its steps that each training took, by its name."""
    folds = ground.splits.folds[: plan.folds]
    logits: list[NDArray[np.float64]] = []
    shares: dict[str, list[float]] = {}
    by_pairs = plan.starts == (PAIRS,)
    trainings = settings(plan, ground.alphas)
    total = sum(recipe_of(plan, rate, fit, ground.seed).steps for fit, _ in folds for _, rate, _ in trainings)
    with ground.track(f"{plan.name}", total) as advance:
        # Where there is one training, and that ships, it is worth more half done than not at all.
        ends = len(folds) == len(trainings) == 1 and not plan.again
        watch = ground.watch(folder, (lambda: left() - plan.judging) if ends else left, advance, ends)
        for number, (fit, held) in enumerate(folds):
            linear = ground.probe.refit(fit)
            on_fold = []
            for start, rate, alphas in trainings:
                name = f"fold{number}-{start}-{rate:g}"
                opened.body.load_state_dict(origin)
                model = model_at(opened.body, start_head(start, linear, ground.seed), plan.low, ground.device)
                batches = ground.batches(source, fit, plan.batch)
                recipe = recipe_of(plan, rate, fit, ground.seed)
                tried = attempt(
                    model, recipe, batches, held, alphas, ground.aim, folder / name, watch, not plan.again, by_pairs
                )
                on_fold.append(tried.logits_AHK)
                shares.setdefault(f"{start}-{rate:g}", []).append(tried.share)
            logits.append(np.concatenate(on_fold))
    whole = ground.encoder.backbone.whole is not None
    took = {name: float(np.mean(each)) for name, each in shares.items()}
    names = candidates(trainings, whole, took)
    row_R = ground.probe.row_R[: sum(len(held) for _, held in folds)]
    rung = rung_of(title(plan), names, np.concatenate(logits, axis=1), ground.target_N[row_R], ground.aim)
    return rung, took


def rung_of(name: str, settings: Sequence[str], raw_SRK: NDArray[np.float64], target_R: Truth, aim: Aim) -> Rung:
    """Make a rung of held-out logits, a temperature fitted to each candidate."""
    temperatures = tuple(aim.temperature(l_RK, target_R) for l_RK in raw_SRK)
    logits_SRK = raw_SRK / np.asarray(temperatures)[:, None, None]
    loss_SR = np.stack([aim.loss_N(l_RK, target_R) for l_RK in logits_SRK])
    return Rung(name, tuple(settings), logits_SRK.astype(np.float32), loss_SR, temperatures, 0.0)


def _final(
    ground: Ground,
    plan: RungPlan,
    opened: Opened,
    source: Source,
    origin: dict[str, torch.Tensor],
    rung: Rung,
    shares: dict[str, float],
    folder: Path,
    left: Callable[[], float],
) -> Head:
    """Train the chosen setting on all training examples and leave the network so; returns the head.

    Where a validation set was given, or time is short, the network that was compared ships: it costs nothing more, and
    is the one that was measured.
    """
    start, rate, alpha = [(s, r, a) for s, r, alphas in settings(plan, ground.alphas) for a in alphas][rung.best]
    rows, probe = ground.splits.train, ground.probe
    opened.body.load_state_dict(origin)
    model = model_at(opened.body, start_head(start, probe.refit(rows), ground.seed), plan.low, ground.device)
    recipe = recipe_of(plan, rate, rows, ground.seed)
    batches = ground.batches(source, rows, plan.batch)
    by_pairs = start == PAIRS
    first, training = begun(model, recipe, batches, ground.aim, by_pairs)
    done = folder / "final" / "step-99999999.safetensors"
    try:
        training.use(ended(folder / f"fold0-{start}-{rate:g}", alpha) if not plan.again else read(done)[0])
    except StoreError:
        with ground.track(f"{plan.name}, all examples", recipe.steps) as advance:
            watch = ground.watch(folder, left, advance)
            stop = max(1, round(shares[f"{start}-{rate:g}"] * recipe.steps))
            ran(training, batches, folder / "final", watch, stop=stop)
        end = between(first, training.average, alpha)
        training.use(with_head(training, batches, end, ground.aim) if by_pairs else end)
        write(folder / "final", 99999999, training.followed, {})
    model.eval()
    held = probe.row_R[: rung.loss_SR.shape[1]]
    head = model.head(rung.temperatures[rung.best])
    settled: Head = ground.aim.settle(head, rung.chosen_RK, ground.target_N[held])
    return settled
