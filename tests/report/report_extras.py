"""A page with all that a run adds which also fine-tunes, trains from random weights and draws a learning curve."""

from __future__ import annotations

import dataclasses
import math
import random

import report_samples as samples

from headstart.report.page import (
    CurvePoint,
    Estimate,
    Ladder,
    Page,
    PlanBlock,
    PlanLine,
    Rung,
    RungStatus,
    Scratch,
    TrainingCurve,
)

POOLED = "the pooled output"
SENTENCE = (
    "Trained from random weights for 4 min 10 s, at least as long as all rungs together, the same network gets 70.6% "
    "of the same 153 photos right."
)
SCRATCH = Scratch(samples.share(108, 153), 250.0, SENTENCE, Estimate(0.248, 0.17, 0.327))
PLAN = (
    PlanBlock(
        "Fine-tuning",
        (
            PlanLine("learning rate", "3e-4", "the best of four tried on the cached top for 20 steps each"),
            PlanLine("decay of the rate by layer", "0.7", "lower layers are more general and need to move less"),
            PlanLine("batch size", "32", "the largest that leaves a tenth of the memory free"),
            PlanLine("epochs", "12", "validation loss rose for three epochs in a row after the ninth"),
        ),
    ),
    PlanBlock("Augmentation", (PlanLine("views of each photo", "4", "more did not fit the budget of 10 minutes"),)),
)
FROZEN = "The weights below the cut have the SHA-256 9f2c4b0f1b4a before and after training: nothing in them moved."
UNTRIED = (
    ("everything", "would take about 14 min; 2 min 5 s of the budget were left"),
    ("stages from blocks.2", "the cut above it was not better than the one above that"),
)


def climbed(*rungs: tuple[str, float | None, float, RungStatus, float | None]) -> tuple[Rung, ...]:
    """Return rungs from (name, score, seconds, status, at), each with an interval."""
    return tuple(
        Rung(name, POOLED, Estimate(v, v and v - 0.03, v and min(1.0, v + 0.025)), cost, status, "", at)
        for name, v, cost, status, at in rungs
    )


RUNGS = climbed(
    ("majority guess", 0.508, 0.01, "yardstick", 2.31),
    ("nearest neighbours", 0.926, 0.07, "yardstick", 2.38),
    ("linear head", 0.938, 0.22, "passed", 2.6),
    ("last stage, from blocks.6", 0.955, 31.0, "shipped", 33.9),
    ("stages from blocks.5", 0.951, 88.0, "beaten", 122.0),
)
JUDGED = "Scores here are from 5-fold cross-validation inside train/."
LADDER = Ladder(RUNGS, JUDGED, UNTRIED, SCRATCH)
CURVE = tuple(
    CurvePoint(labels, n, samples.share(right, 153), samples.share(plain, 153) if plain else None)
    for labels, n, right, plain in (
        ("5", 10, 121, 79),
        ("10", 20, 131, 83),
        ("25", 50, 138, 88),
        ("50", 100, 142, 97),
        ("all", 244, 146, 108),
    )
)


def losses(name: str, total: int, seed: int) -> TrainingCurve:
    """Return a training loss that falls and is noisy."""
    rng = random.Random(seed)
    values = (0.1 + 0.6 * math.exp(-3 * i / total) + rng.gauss(0, 0.04) for i in range(total))
    return TrainingCurve(name, tuple(range(1, total + 1)), tuple(values))


TRAINING = tuple(losses(f"rate {rate:g}", 80 * (i + 1), i) for i, rate in enumerate((1e-5, 1e-4, 3e-4, 1e-3)))


def tuned() -> Page:
    """Return the page of ants and bees with every optional part."""
    page = samples.two()
    assert page.made is not None
    made = dataclasses.replace(page.made, plan=PLAN, frozen=FROZEN, training=TRAINING)
    return dataclasses.replace(page, ladder=LADDER, curve=CURVE, made=made)
