"""The course of a race: the examples that networks run on, and how each run is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims import aim_for
from headstart.aims.aim import Aim, Index, Truth
from headstart.backbones.backbone import Readout
from headstart.data.check import Checked
from headstart.errors import DataError
from headstart.metrics.interval import Measure, measured
from headstart.metrics.logme import logme
from headstart.options import Options
from headstart.prepare import items_of
from headstart.progress import Track
from headstart.race_values import Candidate, Run, Runner
from headstart.stages.probe import Probe, closed_form_loss, probe
from headstart.stages.readout import best_readout
from headstart.stages.split import Splits, copies, cross_validation
from headstart.tasks.task import Task

EXACT = 1e6
"""Up to so many (examples)² x outputs networks are scored by the head that `fit` gives them, which takes about a second
then, and 30 s at 770 examples of 77 classes; above by a closed-form one, which took 0.5 s there."""


@dataclass(frozen=True)
class Course:
    """What is run on: the task, the examples that are learned from, what is to be said of them, what was asked."""

    task: Task
    checked: Checked
    aim: Aim
    target_N: Truth
    options: Options
    track: Track
    clock: Callable[[], float]

    def rows(self, most: int) -> Index:
        """Return the examples of a round."""
        return drawn(self.aim.strata(self.target_N), most, self.options.seed)


def course_of(task: Task, checked: Checked, options: Options, track: Track, clock: Callable[[], float]) -> Course:
    examples = checked.examples
    learned = [i for i, e in enumerate(examples.items) if e.part in ("", "train")]
    aim = aim_for(examples.goal, [examples.items[i].target for i in learned])
    if aim.costly:
        raise DataError("Networks are ranked for labels and numbers, not for boxes yet.", found=examples.how)
    kept = checked.only(learned)
    return Course(task, kept, aim, aim.encode([e.target for e in kept.examples.items]), options, track, clock)


def drawn(stratum_N: Index, most: int, seed: int) -> Index:
    """Return about so many examples, of each stratum its share but no fewer than ten where it has them, three where the
    strata are many; all where there are no more."""
    if len(stratum_N) <= most:
        return np.arange(len(stratum_N))
    rng = np.random.default_rng([seed, 0x4ACE])
    picked, strata = [], np.unique(stratum_N)
    least = min(10, max(3, most // len(strata)))
    for k in strata:
        mine = rng.permutation(np.flatnonzero(stratum_N == k))
        picked.append(mine[: max(min(least, len(mine)), round(most * len(mine) / len(stratum_N)))])
    return np.sort(np.concatenate(picked))


@dataclass(frozen=True)
class Seen:
    """Features of some examples: which these are, and what is true of them."""

    x_ND: NDArray[np.float32]
    digests: list[str]
    target_N: Truth


def seen_by(course: Course, candidate: Candidate, rows: Index) -> Seen:
    """Return a network's features of some examples; what the cache lacks is computed."""
    encode = candidate.encode
    items = items_of(course.checked.only([int(i) for i in rows]), encode.task.size)
    features = encode.encode(items, course.track, course.clock)
    digests = [items[i].digest for i in features.kept]
    return Seen(features.space.take(digests), digests, course.target_N[rows][list(features.kept)])


def run(course: Course, candidate: Candidate, rows: Index) -> Run:
    """Score a candidate on some examples."""
    entry, backbone = candidate.entry, candidate.encode.backbone
    seen = seen_by(course, candidate, rows)
    blank = Runner(
        entry.name,
        entry.licence,
        entry.parameters,
        candidate.prior,
        Measure("", 0.0, 0.0, 0.0),
        0.0,
        0.0,
        len(seen.digests),
        candidate.milliseconds,
        backbone.cut,
        opening=candidate.opening,
        weights=backbone.weights,
    )
    return scored(course, blank, seen, backbone.readouts)


def scored(course: Course, runner: Runner, seen: Seen, readouts: Sequence[Readout]) -> Run:
    """Fill in what features are worth."""
    aim, start = course.aim, course.clock()
    x_ND, digests, mine_N = seen.x_ND, seen.digests, seen.target_N
    unit_N = copies(digests, [])
    every = np.arange(len(digests))
    folds = cross_validation(every, aim.strata(mine_N), unit_N, course.options.seed)[:5]
    splits = Splits(every, every[:0], folds, unit_N, 0, "")
    work = math.inf if len(digests) ** 2 * len(aim.outputs) <= EXACT else 0.0
    found, x_ND, way = best_readout(
        x_ND,
        readouts,
        lambda x: probe(x, mine_N, aim, splits, course.clock, work=work),
        lambda x: closed_form_loss(x, mine_N, aim, splits),  # a head of each would take longer than the features
    )
    score, merit_R = _scored(found, mine_N, unit_N, aim, course.options.seed)
    near = aim.scoring.read(found.rungs[1].chosen_RK, mine_N[found.row_R]).merit_N
    worth = logme(x_ND, aim.spread(mine_N))
    cut = way.name if way else runner.cut
    runner = replace(runner, score=score, neighbours=float(near.mean()), logme=worth, cut=cut)
    return Run(runner, merit_R, np.asarray(found.row_R), course.clock() - start)


def _scored(found: Probe, target_N: Truth, unit_N: Index, aim: Aim, seed: int) -> tuple[Measure, Any]:
    rung, row_R = found.rungs[-1], found.row_R
    data = aim.scoring.read(rung.chosen_RK, target_N[row_R])
    place_R = np.unique(unit_N[row_R], return_inverse=True)[1]
    bounded = dict.fromkeys(aim.scoring.shares, int(place_R.max()) + 1)
    return measured(lambda weight: aim.scoring.score(data, weight), place_R, seed, bounded)[0], data.merit_N
