"""settings: the trainings that a rung compares, where each starts and how it goes, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headstart.heads.head import Head
from headstart.heads.linear import LinearHead, fresh_head
from headstart.stages.levels import PAIRS
from headstart.stages.plan_values import RungPlan
from headstart.stages.split import Index
from headstart.stages.tune import Recipe

Setting = tuple[str, float, tuple[float, ...]]
"""Where a training starts, its rate, and the places on the way from start to end that are judged."""


def settings(plan: RungPlan, places: tuple[float, ...]) -> list[Setting]:
    """Return the trainings on a fold; a fresh head is no place to stop on the way from."""
    return [(start, rate, places if start == "linear" else (1.0,)) for start in plan.starts for rate in plan.rates]


def recipe_of(plan: RungPlan, rate: float, rows: Index, seed: int) -> Recipe:
    """Return how a model is trained on some examples."""
    in_epoch = max(1, len(rows) // min(plan.batch, len(rows)))
    return Recipe(max(1, round(plan.epochs * in_epoch)), rate, plan.bottom, seed)


def start_head(start: str, linear: Head, seed: int) -> Head:
    """Return the head that a training starts with: the one fitted on frozen features, or small random weights."""
    return fresh_head(linear, seed) if start == "fresh" and isinstance(linear, LinearHead) else linear


def title(plan: RungPlan) -> str:
    """Return what a rung is called."""
    how = f" by LoRA, rank {plan.lora}" if plan.lora else " by pairs" if plan.starts == (PAIRS,) else ""
    alone = plan.name.startswith(("everything", "the "))
    return f"{plan.name}{how}" if alone else f"layers {plan.name}{how}"


def candidates(trainings: Sequence[Setting], whole: bool, shares: Mapping[str, float]) -> list[str]:
    """Return what the candidates are called.

    Args:
        trainings: of a rung.
        whole: whether the network was taken whole, head and all.
        shares: `start-rate` of a training -> the share of its steps that it took.
    """
    out = []
    for start, rate, places in trainings:
        name = f"{_said(start, whole)}, rate {rate:g}"
        share = shares[f"{start}-{rate:g}"]
        ended = f", ended after {share:.0%} of its steps" if share < 1 else ""
        out += [name + (f", {place:.0%} of the way" if place < 1 else "") + ended for place in places]
    return out


def _said(start: str, whole: bool) -> str:
    linear, fresh = "from the linear head", "from a fresh head"
    if whole:
        linear, fresh = "from the network as it was", "from random weights"
    return {"linear": linear, "fresh": fresh, PAIRS: "by pairs (SetFit)"}[start]
