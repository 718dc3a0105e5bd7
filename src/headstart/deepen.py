"""deepen: what comes after the linear head: plan, climb, training from scratch, the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import BackboneError
from headstart.options import Stopwatch
from headstart.ragged import pile
from headstart.runs import Budget, Run, Tell
from headstart.stages.batches import Source
from headstart.stages.climb import Climbed, climb
from headstart.stages.curve import Point, curve
from headstart.stages.ground import Ground
from headstart.stages.levels import NEW_BATCH, batch_of, new_plan
from headstart.stages.pairs import FEW
from headstart.stages.plan import BATCH, Plan, plan, scratch_plan
from headstart.stages.scratch import RATES, Scratch, from_scratch, halves, predicted, random_model
from headstart.stages.sources import inputs
from headstart.stages.speed import Learned, precisions, speeds, step_seconds
from headstart.stages.split import Index
from headstart.stages.text_probe import brevity

SAMPLE = 8
SLOWER = 1.3
"""Times as long as was planned that rungs may take."""
SCRATCH_AGAIN = 1.3
"""Training from scratch takes as long as everything before it, and a little more to be sure of that."""
FULLY = 1.5
"""The same where a rung spends all that it is given: then nothing else is left to predict what scratch is judged by."""


@dataclass(frozen=True)
class Deepened:
    """What came of it.

    Attributes:
        plan: as it was carried out.
        climbed: the rungs, and what ships.
        scratch: from random weights; None where it was left out.
        curve: the learning curve, where one was asked for.
    """

    plan: Plan
    climbed: Climbed
    scratch: Scratch | None
    curve: tuple[Point, ...]


def make_plan(ground: Ground, budget: Budget, reserve: float, spent: float, scratch: bool, tell: Tell) -> Plan:
    """Measure this machine and choose what is tried.

    Args:
        ground: what the rungs stand on.
        budget: of the whole run.
        reserve: seconds that judging and saving take at the end.
        spent: seconds that transfer has taken so far, which training from scratch must be given as well.
        scratch: whether it is wanted.
        tell: told what is being done.
    """
    tell("Measuring how fast this machine trains …")
    train = ground.splits.train
    start = ground.clock()

    def for_rungs() -> float:
        used = spent + ground.clock() - start
        left = budget.left(reserve)
        return max(0.0, (left - SCRATCH_AGAIN * used) / (1 + SCRATCH_AGAIN) if scratch else left)

    own = ground.encoder.task.rates(ground.encoder.backbone)
    count = len(train) - (ground.splits.given_valid if ground.aim.costly else 0)
    some = typical(ground, train)
    contents = [ground.items[i].content.read for i in some]
    learned = Learned(ground.target_N[some], ground.aim, ground.probe.head)
    new = ground.encoder.backbone.untrained
    size, left = _measured_on(ground, count, bool(own)), for_rungs()
    found = speeds(ground.encoder, contents, learned, len(train), size, left, ground.device, ground.clock)
    writes = ground.encoder.backbone.whole and not new
    once = ground.probe.rungs[-1].judging * brevity(ground.probe, ground.target_N) if writes else 0.0
    looking = 0.0 if ground.aim.watched else once  # else a loss is watched, which is quick
    measured = [replace(each, judging=len(ground.alphas) * once, looking=looking) for each in found]
    why = ", half of what is left: the other half is for training from scratch" if scratch else ""
    folds = folds_once(ground)
    views = ground.encoder.task.augment.views
    by_pairs = ground.encoder.task.pairs and ground.aim.pairs and len(train) <= FEW * ground.outputs
    again, longer = not (ground.splits.given_valid or ground.aim.costly), ground.encoder.task.longer
    if new:
        rung = new_plan(measured[-1], count, budget.left(reserve))
        return Plan(budget.seconds, (rung,), (), None, "the network began with random weights itself")
    last = (views, again, by_pairs, longer, ground.aim.costly, own)
    made = plan(measured, count, folds, for_rungs(), budget.seconds, why, *last)
    if made.rungs or not scratch:
        return made
    left = budget.left(reserve)
    alone = plan(measured, count, folds, left, budget.seconds, "", *last)
    return replace(alone, without="the budget has room for tuning or for this, not for both") if alone.rungs else made


def _measured_on(ground: Ground, examples: int, long: bool) -> int:
    """Return how many examples steps are measured on: of a whole detector few, as a step takes seconds an example."""
    backbone = ground.encoder.backbone
    if long:
        return batch_of(examples, NEW_BATCH if backbone.untrained else BATCH)
    return SAMPLE if backbone.whole and ground.size_N is None else BATCH


def typical(ground: Ground, rows: Index) -> Index:
    """Return a few of some examples, evenly spread, of about the mean size: a step takes on these what it takes on
    average.

    Batches are of like lengths; one of mixed lengths, filled up to the longest, would take twice as long.
    """
    if ground.size_N is None:
        return rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    off_N = np.abs(ground.size_N - ground.size_N[rows].mean())
    spread = rows[:: max(1, len(rows) // (SAMPLE * SAMPLE))]
    return spread[np.argsort(off_N[spread], kind="stable")][:SAMPLE]


def folds_once(ground: Ground) -> int:
    """Return how many of the first folds hold each example at most once: settings are compared on these."""
    seen, count = set[int](), 0
    for _, held in ground.splits.folds:
        if seen.intersection(int(i) for i in held):
            break
        seen.update(int(i) for i in held)
        count += 1
    return max(1, count)


def deepen(
    ground: Ground,
    run: Run,
    chosen: Plan,
    budget: Budget,
    reserve: float,
    spent: float,
    wanted: Sequence[int | None],
    features_ND: NDArray[np.float32],
    want_scratch: bool,
    watch: Stopwatch,
) -> Deepened:
    """Climb, then train from scratch.

    Args:
        ground: what everything stands on.
        run: where the plan is kept.
        chosen: the plan, saved.
        budget, reserve: see `make_plan`.
        spent: seconds that transfer took before.
        wanted: labels of each class, for the learning curve.
        features_ND: pretrained features.
        want_scratch: whether training from scratch is wanted.
        watch: for the time of the stages.
    """
    start = ground.clock()
    anew = any(rung.most for rung in chosen.rungs)
    more = (FULLY if anew else SCRATCH_AGAIN) if want_scratch and not chosen.without else 0.0
    planned = sum(SLOWER * rung.seconds for rung in chosen.rungs if not rung.most)
    limit = max((budget.left(reserve) - more * spent) / (1 + more), planned)
    end = start + min(limit, max(0.0, budget.left(reserve)))
    with watch("tune"):
        climbed = climb(ground, chosen, lambda: end - ground.clock())
    chosen = carried_out(chosen, climbed)
    used = spent + ground.clock() - start
    made: Scratch | None = None
    source: Source | None = None
    if want_scratch and chosen.scratch is None and not chosen.without:
        chosen = run.keep(_with_scratch(ground, chosen, used, budget.left(reserve)))
    elif not want_scratch and not chosen.without:
        chosen = replace(chosen, without="it was turned off")
    fit, judged = halves(ground.splits)

    def left() -> float:
        return budget.left(reserve)

    if chosen.scratch is not None:
        with watch("scratch"):
            rows = np.union1d(ground.splits.used, judged)
            source = inputs(ground.encoder, ground.items, rows, ground.seed, ground.track, ground.clock)
            made = from_scratch(ground, source, chosen.scratch, fit, judged, ground.folder / "scratch", left)
    points: tuple[Point, ...] = ()
    if wanted:
        with watch("curve"):
            rate = made.rate if made else 0.0
            points = curve(ground, features_ND, wanted, source, chosen.scratch, rate, left)
    return Deepened(chosen, climbed, made, points)


def carried_out(chosen: Plan, climbed: Climbed) -> Plan:
    """Return a plan with what its rungs came to do: their epochs may have been counted anew."""
    done = {step.plan.name: step.plan for step in climbed.steps}
    return replace(chosen, rungs=tuple(done.get(r.name, r) if r.most else r for r in chosen.rungs))


def _with_scratch(ground: Ground, chosen: Plan, used: float, left: float) -> Plan:
    """Add the plan of training from scratch, or why there is none."""
    fit, judged = halves(ground.splits)
    own = ground.encoder.task.rates(ground.encoder.backbone)
    size = batch_of(len(fit), BATCH) if own else min(BATCH, max(4, len(fit) // 8))  # as the transfer run's
    some = typical(ground, fit)
    inputs_ = [ground.encoder.load(ground.items[i].content.read()) for i in some]
    x_B = pile([inputs_[i % len(inputs_)] for i in range(size)])
    try:
        body = random_model(ground, False).body
    except BackboneError as error:
        return replace(chosen, without=f"{error.what} {error.found}".strip())
    plain = ground.aim.plain(ground.encoder.backbone, ground.seed)
    learned = Learned(ground.target_N[some], ground.aim, plain)
    steps = {
        low: step_seconds(body, x_B, learned, low, ground.device, ground.clock) for low in precisions(ground.device)
    }
    low = min(steps, key=steps.__getitem__)
    made = scratch_plan(steps[low], low, used, left, size, RATES, predicted(fit, judged, RATES, size))
    if made.seconds > max(0.0, left):
        why = (
            f"it must last as long as the transfer run ({used:.0f} s), which takes {made.seconds:.0f} s; "
            f"{max(0.0, left):.0f} s were left"
        )
        return replace(chosen, without=why)
    return replace(chosen, scratch=made)


def lines(made: Plan) -> list[str]:
    """Return a plan as people read it: each number with its reason."""
    out = []
    for rung in made.rungs:
        out.append(f"Plan for {rung.name}:")
        record: dict[str, Any] = {k: v for k, v in rung.__dict__.items() if k not in ("name", "reasons")}
        out += [
            f"  {name} {value_text(value)}: {rung.reasons.get(name, '')}".rstrip(": ") for name, value in record.items()
        ]
    out += [f"Not tried: {name}: {why}" for name, why in made.untried]
    return out


def value_text(value: Any) -> str:
    """Return a number of a plan as people read it."""
    if isinstance(value, tuple):
        return ", ".join(value_text(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
