"""plan: which rungs, how deep, how long, at which rates: chosen from measured speed and the budget, with reasons.

A plan is a value: printed, saved before the first step, reused by a run that goes on, and taken from a file that the
user edited. Below it a clock decides one thing alone, how many epochs a long training has (see `pace`), and not that
where the user gave the plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from headstart.stages.levels import ATTENTION_RATES as ATTENTION_RATES
from headstart.stages.levels import BATCH as BATCH
from headstart.stages.levels import DEEP_RATES as DEEP_RATES
from headstart.stages.levels import EPOCHS as EPOCHS
from headstart.stages.levels import MANY as MANY
from headstart.stages.levels import MARGIN as MARGIN
from headstart.stages.levels import RATES as RATES
from headstart.stages.levels import STARTS as STARTS
from headstart.stages.levels import STEPS as STEPS
from headstart.stages.levels import VIEWS as VIEWS
from headstart.stages.levels import levels, pairs_plans, rung_plan
from headstart.stages.plan_values import Plan as Plan
from headstart.stages.plan_values import RungPlan as RungPlan
from headstart.stages.plan_values import ScratchPlan as ScratchPlan
from headstart.stages.plan_values import Speed as Speed

CAPS = (0.5, 0.6, 1.0)
"""A rung may take this share of what is left, so that the deeper ones have room; what these leave, it gets as well."""


def plan(
    speeds: Sequence[Speed],
    examples: int,
    folds: int,
    left: float,
    budget: float,
    why_less: str = "",
    views: int = VIEWS,
    again: bool = True,
    by_pairs: bool = False,
    longer: int = 1,
    one_start: bool = False,
    rates: tuple[float, ...] = (),
) -> Plan:
    """Choose what each rung does.

    Of few examples the shallow rungs come first: they have less to learn, and are cheap. Of many, and of networks that
    want to see theirs often, all the time goes to the deepest rung that fits in.

    Args:
        speeds: of the depths, shallowest first.
        examples: to train on.
        folds: there are to compare settings on.
        left: seconds that the rungs may take together.
        budget: seconds of the whole run.
        why_less: why `left` is less than the budget, for the reasons.
        views: the most that are worth caching.
        longer: how many times as many epochs are worth while: see `Task.longer`.
        by_pairs: whether pairs of examples are worth trying, with all layers, before labels are.
        one_start: whether heads start in one way alone, as those do that are a network's own.
        rates: that are tried, where a task has its own, the one to take where there is time for one first.
        again: whether the best setting is trained once more, on all training examples; else what was compared ships.
    """
    ways = [
        [
            rung_plan(speed, examples, level, folds, views, again, longer)
            for level in levels(speed, examples, folds, longer, one_start, rates)
        ]
        for speed in speeds
    ]
    if (examples >= MANY or rates) and (deep := _deepest(speeds, ways, left, len(rates))):
        rung, why = deep
        return Plan(budget, (rung,), tuple((s.name, why) for s in speeds if s.name != rung.name))
    first = [each for each in pairs_plans(speeds[-1], examples, folds, again) if each.seconds <= left * CAPS[1]]
    before = first[:1] if by_pairs else []
    left -= sum(each.seconds for each in before)
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
    return Plan(budget, (*before, *chosen.values()), tuple(untried))


def _deepest(
    speeds: Sequence[Speed], ways: Sequence[Sequence[RungPlan]], left: float, own: int
) -> tuple[RungPlan, str] | None:
    """Return the deepest rung that fits in, and why it is the only one; None where none fits.

    Args:
        own: how many rates of its own the task has: it has them because its networks are trained long.
    """
    why = "such a network wants to see its examples often" if own else f"with {MANY} examples or more"
    for speed, tries in zip(reversed(speeds), reversed(ways), strict=True):
        if fitting := [each for each in tries if each.seconds <= left]:
            return fitting[0], f"{why}, the time is better spent on {speed.name}, which fits in"
    return None


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
            "trial": "each rate is tried for a tenth of the time, the best on examples not trained on goes on",
            "judging": f"{judged} predictions, a forward pass being a third of a step",
        },
        round(judging, 1),
    )
