"""Does it pay to join the best network with the next? Their features are cached: a linear head says so in a second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.aims.aim import Index
from headstart.race_choice import LITTLE
from headstart.race_course import Course, Seen, scored, seen_by
from headstart.race_values import Candidate, Run
from headstart.stages.judge import paired
from headstart.stages.readout import first_columns

SURE = 2.0
"""Standard errors that two networks must gain on one, as they take the time of both."""


def joined(course: Course, pair: tuple[Candidate, Candidate], best: Run, rows: Index) -> tuple[Run, str, bool]:
    """Score two networks as one, by the features after their last layers side by side.

    Args:
        course: what is run on.
        pair: the best, whose preprocessing they will share, and the next.
        best: the run of the first.
        rows: the examples of the last round.

    Returns:
        Its run, what came out in words, whether it pays.
    """
    first, second = (seen_by(course, each, rows) for each in pair)
    both, at, also = set(first.digests) & set(second.digests), _places(first), _places(second)
    digests = [digest for digest in first.digests if digest in both]
    parts = [(first, pair[0], [at[d] for d in digests]), (second, pair[1], [also[d] for d in digests])]
    x_ND = np.hstack([first_columns(seen.x_ND, c.encode.backbone.readouts)[rows_] for seen, c, rows_ in parts])
    a, b = (each.entry for each in pair)
    sizes = [each.parameters for each in (a, b)]
    runner = replace(
        best.runner,
        name=f"{a.name}+{b.name}",
        licence="; ".join(dict.fromkeys((a.licence, b.licence))),
        parameters=None if None in sizes else sum(size or 0 for size in sizes),
        prior=None,
        milliseconds=sum(each.milliseconds for each in pair),
        opening=sum(each.opening for each in pair),
        examples=len(digests),
        cut="both joined",
        weights="",
    )
    run = scored(course, runner, Seen(x_ND, digests, first.target_N[parts[0][2]]), ())
    if not np.array_equal(run.row_R, best.row_R):
        return run, f"{runner.name}, but they did not see the same examples", False
    value, error = paired(run.merit_R, best.merit_R, best.row_R)
    pays = value > SURE * error and value >= LITTLE
    told = f"{runner.name}, {value:+.3f} ± {error:.3f} against {a.name} alone"
    expected = best.runner.expected + value
    return replace(run, runner=replace(run.runner, expected=expected)), told, pays


def _places(seen: Seen) -> dict[str, int]:
    return {digest: i for i, digest in enumerate(seen.digests)}
