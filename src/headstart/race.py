"""race: which pretrained network suits these data, measured on a few hundred of them, in rounds that drop the worse.

What decides is the held-out score of the linear head on cached features, as in `fit`, blended with what was known
before: published accuracy, and scores on earlier data sets. Published evidence says that scores of transferability do
not beat such a prior; LogME and nearest neighbours are shown beside it. The features go to the cache that `fit` reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart import cache
from headstart.aims.aim import Index
from headstart.backbones.backbone import itself
from headstart.backbones.catalog import Entry
from headstart.data.check import Checked
from headstart.errors import DataError
from headstart.history import Memory, Past, known_as, remember, remembered
from headstart.options import Options
from headstart.prepare import data_fingerprint, gather
from headstart.progress import Track
from headstart.race_choice import chosen, halved, with_beliefs
from headstart.race_course import Course, course_of, run
from headstart.race_field import LATE, Limit, beaten, believed_of, fair, hopeless, late, opened, ordered, running, same
from headstart.race_pair import joined
from headstart.race_values import Candidate, Ranking, Run
from headstart.runs import Tell
from headstart.tasks.task import Task

ROUNDS = (200, 500)
"""Examples of each round."""
TIMED = 24
"""Examples that the speed of a network is measured on."""
TWICE = 2.0
"""Times one extraction of all training examples with the picked network: what a race may take."""


def race(
    options: Options,
    entries: Sequence[Entry],
    track: Track,
    clock: Callable[[], float],
    tell: Tell = lambda _: None,
    times: float = TWICE,
) -> Ranking:
    """Let networks run against each other on a part of the training examples.

    Args:
        options: says the data, seed, precision and cache.
        entries: the candidates; those of another kind than the data are passed over.
        track: shows progress.
        clock: seconds.
        tell: told in a line what is going on.
        times: one extraction with the network that is picked the race may take; infinite for no limit.

    Raises:
        DataError: the data cannot be read, or no candidate can be used on them.
    """
    return compete(*gather(options, track), options, entries, track, clock, tell, times)


def compete(
    task: Task,
    checked: Checked,
    options: Options,
    entries: Sequence[Entry],
    track: Track,
    clock: Callable[[], float],
    tell: Tell = lambda _: None,
    times: float = TWICE,
) -> Ranking:
    """Do so with data that were read; see `race`."""
    began, mark = clock(), data_fingerprint(checked)
    course = course_of(task, checked, options, track, clock)
    root = Path(options.cache) if options.cache else cache.default_root()
    standing = _Standing(course, remembered(root, mark), Limit(times, len(course.checked.digests), began, clock))
    _first(standing, [e for e in entries if e.kind == task.kind], tell)
    if not standing.runs:
        reasons = "; ".join(f"{name}: {why}" for name, why in standing.failed)
        raise DataError("No network here can be used on these data.", found=reasons)
    for number, most in enumerate(ROUNDS[1:], 1):
        if not _further(standing, number, course.rows(most), tell):
            break
    speeds = {c.entry.name: (c.milliseconds, c.again) for c in standing.opened.values()}
    runners = [each.runner for each in standing.runs]
    remember(root, [Past(mark, "race", known_as(r.name), r.weights, r.score.value) for r in runners], speeds)
    return _ranking(standing)


@dataclass
class _Standing:
    """How a race stands: who was opened, who runs, the best first, who was dropped, who did not run and why; on which
    examples the last round was."""

    course: Course
    memory: Memory
    limit: Limit
    opened: dict[str, Candidate] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    dropped: list[Run] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    rows: Any = None

    def left(self) -> float:
        """Return the seconds that are left if what is best by now is picked."""
        return self.limit.left(self.opened[chosen(self.runs)[0]]) if self.runs else math.inf

    def ran(self, runs: Sequence[Run]) -> None:
        """Take the runs of a round."""
        mine = [self.opened[each.runner.name] for each in runs]
        self.runs = with_beliefs(runs, believed_of(mine, self.memory.others))


def _first(standing: _Standing, entries: Sequence[Entry], tell: Tell) -> None:
    """Open networks, the most promising first, and let each run on a few examples, as long as the time lasts."""
    course, failed = standing.course, standing.failed
    contents = [e.content for e in course.checked.examples.items]
    contents = contents[:: max(1, len(contents) // TIMED)][:TIMED]
    rows = standing.rows = course.rows(ROUNDS[0])
    tell(f"Round 1: up to {len(entries)} networks on {len(rows)} examples.")
    for entry in ordered(fair(entries, failed), standing.memory.others):
        others = list(standing.opened.values())
        if why := hopeless(entry, others, standing.memory, len(rows), standing.runs, standing.left()):
            failed.append((entry.name, why))
            continue
        candidate = opened(entry, course.task, contents, course.options, course.clock, failed)
        if candidate is None or same(candidate, others):
            continue
        standing.opened[entry.name] = candidate
        need = running(candidate.milliseconds, len(rows), standing.runs)
        if why := beaten(candidate.prior, candidate.milliseconds, others) or late(need, standing.left()):
            failed.append((entry.name, why))
            continue
        standing.ran([*standing.runs, run(course, candidate, rows)])


def _further(standing: _Standing, number: int, rows: Index, tell: Tell) -> bool:
    """Let the better half run on more examples; returns whether there were more, and the time for it."""
    stay, out = halved(standing.runs)
    need = sum(running(each.runner.milliseconds, len(rows), standing.runs) for each in stay)
    more = len(rows) > standing.runs[0].runner.examples
    if len(stay) == 1 or not more or late(need, standing.left()):
        return False
    tell(f"Round {number + 1}: {len(stay)} networks on {len(rows)} examples.")
    standing.dropped[:0] = [replace(each, runner=replace(each.runner, dropped=number)) for each in out]
    standing.ran([run(standing.course, standing.opened[each.runner.name], rows) for each in stay])
    standing.rows = rows
    return True


def _together(standing: _Standing) -> tuple[Run, str, bool] | None:
    """Return what comes of joining the two best; None where that cannot be done, or there is no time for it."""
    pair = tuple(standing.opened[each.runner.name] for each in standing.runs[:2])
    most = standing.runs[0].runner.examples
    if len(pair) < 2 or not all(standing.course.task.joins(each.encode.backbone) for each in pair):
        return None
    if late(running(0.0, most, standing.runs), standing.left()):
        return None
    return joined(standing.course, (pair[0], pair[1]), standing.runs[0], standing.rows)


def _ranking(standing: _Standing) -> Ranking:
    """Return how it ended."""
    finalists = [each.runner for each in standing.runs]
    (pick, why), joint = chosen(standing.runs), ""
    if together := _together(standing):
        run, told, pays = together
        joint = told if pays else f"{told}: not worth the time of both"
        if pays:
            finalists.insert(0, run.runner)
            standing.opened[run.runner.name] = replace(
                standing.opened[pick], milliseconds=run.runner.milliseconds, opening=run.runner.opening
            )
            pick, why = run.runner.name, told
    if len(finalists) == 1 and any(each.startswith(LATE) for _, each in standing.failed):
        why = "the most promising by what was known before, and there was no time for another"
    whole = standing.limit.whole(standing.opened[pick])
    return Ranking(
        (*finalists, *(each.runner for each in standing.dropped)),
        tuple(standing.failed),
        pick,
        why,
        standing.limit.spent(),
        finalists[0].score.name,
        next((runner.name for runner in finalists if runner.name != pick), ""),
        0.0 if math.isinf(whole) else whole,
        "last" if standing.course.task.several is itself else "any",
        joint,
        standing.limit.examples,
    )
