"""What a race decides: who goes on to the next round, and which network is taken in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.beliefs import Belief, blended
from headstart.race_values import Run
from headstart.stages.judge import paired

KEPT = 0.5
"""Share of the networks that goes on."""
LITTLE = 0.005
"""A faster network may be expected to lose so much: half a point."""
FASTER = 0.8
"""A network is called faster where it takes less than this share of the other's time."""


def with_beliefs(runs: Sequence[Run], believed: Sequence[Belief]) -> list[Run]:
    """Return the runs of one round with what was believed blended in, the best first."""
    scores, examples = [run.runner.score for run in runs], [run.runner.examples for run in runs]
    found = zip(runs, blended(scores, examples, believed), believed, strict=True)
    told = [
        replace(run, runner=replace(run.runner, expected=value, earlier=belief.earlier)) for run, value, belief in found
    ]
    return sorted(told, key=lambda run: run.runner.expected, reverse=True)


def halved(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Return who goes on, two at least, and who does not; of runs that stand best first."""
    stay = max(2, round(len(runs) * KEPT))
    return list(runs[:stay]), list(runs[stay:])


def chosen(runs: Sequence[Run]) -> tuple[str, str]:
    """Return which network to take, and why: the best, or a faster one that is no worse beyond noise.

    Args:
        runs: of the last round, the best first.
    """
    best = runs[0]
    faster = [run for run in runs[1:] if run.runner.milliseconds < FASTER * best.runner.milliseconds]
    for run in sorted(faster, key=lambda run: run.runner.milliseconds):
        if len(run.merit_R) != len(best.merit_R) or not np.array_equal(run.row_R, best.row_R):
            continue
        value, error = paired(best.merit_R, run.merit_R, run.row_R)
        if value <= error and best.runner.expected - run.runner.expected <= LITTLE:
            times = best.runner.milliseconds / run.runner.milliseconds
            noise = f"no difference to {best.runner.name} beyond noise ({value:+.3f} ± {error:.3f})"
            return run.runner.name, f"{noise}, so the faster one: {times:.1f} times as fast"
    if len(runs) == 1:
        return best.runner.name, "the only one that could be used"
    second, gap = runs[1], best.runner.score.value - runs[1].runner.score.value
    if gap < 0:
        why = f"{second.runner.name} scored {-gap:.3f} more, which is no match for what was known before"
        return best.runner.name, why
    return best.runner.name, f"the best score, {gap:+.3f} before {second.runner.name}"
