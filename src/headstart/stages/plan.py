"""plan: which rungs, how deep, how long, at which rates: chosen from measured speed and the budget, with reasons.

A plan is a value: printed, saved before the first step, reused by a run that goes on, and taken from a file that the
user edited. Nothing below it looks at a clock to decide what is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

RATES = (3e-4, 1e-3, 3e-3)
"""Of AdamW, for the head; lower layers get less."""
DEEP_RATES = (1e-4, 3e-4, 1e-3)
"""Where most of the weights themselves are trained. On patches of blood smears (see dev/LOG.md) the last stages did
best with 1e-3, everything with 3e-4; with 1e-3 everything was no better than guessing."""
DEEP = 0.5
STARTS = ("linear", "fresh")
BATCH = 32
STEPS = 200
EPOCHS = (4, 20)
VIEWS = 8
MARGIN = 1.15
"""Predicted seconds are multiplied by this: the first steps of a training are slower than the measured ones."""
CAPS = (0.5, 0.6, 1.0)
"""A rung may take this share of what is left, so that the deeper ones have room; what these leave, it gets as well."""


@dataclass(frozen=True)
class RungPlan:
    """What one rung does.

    Attributes:
        name: the depth: `after MODULE`, or `everything`.
        views: cached views of each picture, the clean one first (at the input: drawn anew each epoch instead).
        epochs, batch: of each training.
        folds: on how many folds its settings are compared; the final training is on all training examples.
        starts: `linear` (LP-FT) and `fresh` (small random weights).
        rates: learning rates tried.
        bottom: the lowest layer's share of the rate.
        low: whether layers compute in bfloat16.
        lora: rank of the adapters; 0 trains the weights themselves.
        seconds: predicted.
        reasons: for each number, why.
    """

    name: str
    views: int
    epochs: int
    batch: int
    folds: int
    starts: tuple[str, ...]
    rates: tuple[float, ...]
    bottom: float
    low: bool
    lora: int = 0
    seconds: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScratchPlan:
    """What training from random weights does: steps at the best of some rates, each tried for a few steps first.

    `transfer` is how many seconds the transfer run took, which it is given as well; `judging` is set aside to predict.
    """

    steps: int
    trial: int
    batch: int
    rates: tuple[float, ...]
    low: bool
    transfer: float
    seconds: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    judging: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All of it.

    Attributes:
        budget: seconds for the whole run.
        rungs: shallowest first.
        untried: (rung, why not).
        scratch: training from scratch; planned when the rungs are done, as it must last as long as they did.
        without: why there is none.
    """

    budget: float
    rungs: tuple[RungPlan, ...]
    untried: tuple[tuple[str, str], ...] = ()
    scratch: ScratchPlan | None = None
    without: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """Measured seconds for one example at a depth.

    Attributes:
        name, share: of the depth.
        below: through the frozen trunk and its engine, decoding included; at the input, decoding alone.
        step: forward, backward and update of the top.
        low: whether the top was faster in bfloat16.
        lora: rank of the adapters it was measured with; 0 without.
        guessed: whether it was not measured but taken from a shallower depth by its share of the work.
    """

    name: str
    share: float
    below: float
    step: float
    low: bool
    lora: int = 0
    guessed: bool = False


def plan(
    speeds: Sequence[Speed],
    examples: int,
    folds: int,
    left: float,
    budget: float,
    why_less: str = "",
    views: int = VIEWS,
) -> Plan:
    """Choose what each rung does.

    Args:
        speeds: of the depths, shallowest first.
        examples: to train on.
        folds: there are to compare settings on.
        left: seconds that the rungs may take together.
        budget: seconds of the whole run.
        why_less: why `left` is less than the budget, for the reasons.
        views: the most that are worth caching.
    """
    ways = [
        [_rung(speed, examples, level, folds, views) for level in _levels(speed, examples, folds)] for speed in speeds
    ]
    chosen: dict[int, RungPlan] = {}
    untried: list[tuple[str, str]] = []
    for number, (speed, tries) in enumerate(zip(speeds, ways, strict=True)):
        cap = CAPS[min(number, len(CAPS) - 1)] * left
        if fitting := [each for each in tries if each.seconds <= cap]:
            chosen[number] = fitting[0]
            left -= fitting[0].seconds
        else:
            least = min(each.seconds for each in tries)
            guess = ", by its share of the work" if speed.guessed else ""
            untried.append(
                (speed.name, f"takes {least:.0f} s at least{guess}; {max(0.0, cap):.0f} s are for it{why_less}")
            )
    for number, rung in chosen.items():  # what is left over then makes them richer, the shallow ones first
        chosen[number] = next(each for each in ways[number] if each.seconds <= max(rung.seconds, rung.seconds + left))
        left -= chosen[number].seconds - rung.seconds
    return Plan(budget, tuple(chosen.values()), tuple(untried))


@dataclass(frozen=True)
class _Level:
    folds: int
    rates: tuple[float, ...]
    starts: tuple[str, ...]
    epochs: int
    views: int
    cut: str


def _levels(speed: Speed, examples: int, folds: int) -> list[_Level]:
    """Return the ways to spend time on a rung, richest first."""
    low, high = EPOCHS
    epochs = max(low, min(high, -(-STEPS * BATCH // max(1, examples))))
    rates = DEEP_RATES if speed.share > DEEP and not speed.lora else RATES
    few, middle = max(low, epochs // 2), rates[1:2]
    ways = [
        (folds, rates, STARTS, epochs, VIEWS, ""),
        (folds, rates, STARTS, epochs, VIEWS // 2, "fewer views"),
        (min(folds, 3), rates, STARTS, epochs, VIEWS // 2, "fewer views and folds"),
        (min(folds, 3), rates, STARTS, few, VIEWS // 2, "fewer views, folds and epochs"),
        (min(folds, 3), rates[:2], STARTS[:1], few, VIEWS // 2, "one start, fewer views, folds, epochs and rates"),
        (min(folds, 3), middle, STARTS[:1], few, VIEWS // 2, "one start and rate, fewer views, folds and epochs"),
        (min(folds, 2), middle, STARTS[:1], few, 2, "one start and rate, fewer views, folds and epochs"),
        (1, middle, STARTS[:1], low, 2, "one start, rate and fold, the fewest views and epochs"),
    ]
    return [_Level(*way) for way in ways]


def _rung(speed: Speed, examples: int, level: _Level, folds: int, most: int) -> RungPlan:
    at_input = speed.share >= 1
    views = 1 if at_input else min(most, level.views)
    passes = 2 if at_input else views  # of the data through what lies below
    inside = examples * (1 - 1 / folds) if folds > 1 else examples  # what a fold trains on; of one fold, at most all
    runs = level.folds * len(level.starts) * len(level.rates)
    judging = (level.epochs + 4) * (examples - inside) / 3  # a forward pass is a third of a step
    training = runs * (level.epochs * inside + judging) + level.epochs * examples
    seconds = MARGIN * (passes * examples * speed.below + training * speed.step)
    return RungPlan(
        name=speed.name,
        views=views,
        epochs=level.epochs,
        batch=min(BATCH, max(4, examples // 8)),
        folds=level.folds,
        starts=level.starts,
        rates=level.rates,
        bottom=round(0.1**speed.share, 2),
        low=speed.low,
        lora=speed.lora,
        seconds=round(seconds, 1),
        reasons=_reasons(speed, examples, level, runs),
    )


def _reasons(speed: Speed, examples: int, level: _Level, runs: int) -> dict[str, str]:
    less = f"the budget allows no more ({level.cut})" if level.cut else "the budget allows all that is usual"
    how = (
        "drawn anew each epoch" if speed.share >= 1 else f"{1000 * speed.below:.1f} ms a picture and view below the cut"
    )
    return {
        "views": f"{how}; {less}",
        "epochs": f"about {STEPS} steps in all for {examples} examples, {EPOCHS[0]} to {EPOCHS[1]} epochs; {less}",
        "batch": f"{BATCH}, or an eighth of the examples",
        "folds": f"settings are compared on pictures not trained on; {runs} short trainings and a last one",
        "starts": "the linear head (LP-FT), and small random weights as its rival"
        if len(level.starts) > 1
        else "the linear head (LP-FT): no time for a rival",
        "rates": "the learning rate matters most",
        "bottom": f"{speed.share:.0%} of the network's work lies above the cut: 0.1 to that power",
        "low": f"{1000 * speed.step:.1f} ms a picture and step, the faster of bfloat16 and float32 here",
        "lora": "low-rank adapters (LoRA) of a transformer, merged at the end" if speed.lora else "no transformer",
        "seconds": f"measured speed, and {MARGIN - 1:.0%} more",
    }


def scratch_plan(
    step: float, low: bool, least: float, most: float, batch: int, rates: tuple[float, ...], judged: int = 0
) -> ScratchPlan:
    """Choose how long to train from scratch.

    Args:
        step: seconds of a step of the whole network on a batch.
        low: whether it computes in bfloat16.
        least: seconds that the transfer run used: at least as many are given.
        most: seconds that are left.
        batch: examples in a batch.
        rates: tried for a tenth of the time each.
        judged: examples that are predicted in between and at the end: a forward pass is a third of a step.
    """
    judging = MARGIN * judged * step / batch / 3
    total = int(least * MARGIN / step) + 1
    trial = max(1, total // 10)
    steps = max(1, total - len(rates) * trial) if len(rates) > 1 else total
    return ScratchPlan(
        steps,
        trial,
        batch,
        rates,
        low,
        round(least, 1),
        round((steps + len(rates) * trial) * step + judging, 1),
        {
            "steps": f"{1000 * step:.0f} ms a step; the transfer run took {least:.0f} s, of {most:.0f} s left",
            "trial": "each rate is tried for a tenth of the time, the best on pictures not trained on goes on",
            "judging": f"{judged} predictions, a forward pass being a third of a step",
        },
        round(judging, 1),
    )
