"""The race that chose the backbone, as the page takes it."""

from __future__ import annotations

from headstart.race_values import Ranking, Runner
from headstart.report import page as p
from headstart.report.story import Story


def choosing(story: Story) -> p.Choosing | None:
    """Return who ran and why the pick was taken; None where there was no race."""
    ranking, examples = story.ranking, len(story.splits.train)
    if ranking is None:
        return None
    within = f" of {ranking.limit:.0f} that it was given" if ranking.limit else ""
    up = f" The runner-up is {ranking.runner_up}." if ranking.runner_up else ""
    seen = ranking.runners[0].examples
    took = f" The race took {ranking.seconds:.0f} s{within}, its last round on {seen} examples."
    why = f"{ranking.pick}: {ranking.why}.{up}{took}"
    ran = tuple(_contender(ranking, runner, examples) for runner in ranking.runners)
    return p.Choosing(why, ranking.measure, ran, ranking.failed, ranking.measure in story.aim.scoring.percent)


def _contender(ranking: Ranking, r: Runner, examples: int) -> p.Contender:
    status = {ranking.pick: "shipped", ranking.runner_up: "passed"}.get(r.name, "beaten")
    whole = r.opening + examples * r.milliseconds / 1000
    low, high = r.score.low, r.score.high
    return p.Contender(r.name, r.expected, low, high, whole, r.milliseconds, r.parameters, r.licence, status)
