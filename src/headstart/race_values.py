"""What a race is made of: the networks that run, what was found out about each, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from headstart.aims.aim import Index
from headstart.backbones.catalog import Entry
from headstart.encoder import Encoder
from headstart.metrics.interval import Measure


@dataclass(frozen=True)
class Runner:
    """What was found out about a candidate.

    Attributes:
        name: as `--backbone` takes it.
        licence, parameters: as far as they are stated.
        prior: published accuracy on ImageNet, in per cent; None where none is known.
        score: the headline measure of its linear head, held out, with its interval.
        neighbours: of nearest neighbours.
        logme: log evidence an example.
        examples: it was measured on.
        milliseconds: of one example through the network in its engine, decoding included.
        cut: where its features are taken.
        dropped: after which round it was dropped; 0 for those that ran to the end.
        opening: seconds that opening it and building its engine took.
        expected: the score with what was known before blended in.
        earlier: on how many earlier data sets of the user's it was measured.
        weights: SHA-256 of the network.
    """

    name: str
    licence: str
    parameters: int | None
    prior: float | None
    score: Measure
    neighbours: float
    logme: float
    examples: int
    milliseconds: float
    cut: str
    dropped: int = 0
    opening: float = 0.0
    expected: float = 0.0
    earlier: int = 0
    weights: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "score": self.score.record()}


@dataclass(frozen=True)
class Ranking:
    """How the race ended.

    Attributes:
        runners: best first; those that were dropped earlier come after.
        failed: (name, why) of candidates that did not run.
        pick: the name of the recommended one.
        why: the reason, in a sentence.
        seconds: that the race took, reading the data not counted.
        measure: what the scores are.
        runner_up: the name of the next best; empty where there is none.
        limit: seconds that it was allowed to take; 0 where there was no limit.
        cut: what `--cut` makes `fit` take the same features.
        learned: how many examples are learned from.
        joint: what came of joining the two best, in words; empty where that was not tried.
    """

    runners: tuple[Runner, ...]
    failed: tuple[tuple[str, str], ...]
    pick: str
    why: str
    seconds: float
    measure: str
    runner_up: str = ""
    limit: float = 0.0
    cut: str = "last"
    joint: str = ""
    learned: int = 0

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "cut": self.cut,
            "joint": self.joint,
            "learned": self.learned,
            "pick": self.pick,
            "why": self.why,
            "runner_up": self.runner_up,
            "measure": self.measure,
            "seconds": round(self.seconds, 2),
            "limit": round(self.limit, 2),
            "runners": [runner.record() for runner in self.runners],
            "failed": [{"name": name, "reason": why} for name, why in self.failed],
        }

    def lines(self) -> list[str]:
        """Return the outcome as people read it."""
        within = f" of {self.limit:.0f} that it may take" if self.limit else ""
        many = "1 network" if len(self.runners) == 1 else f"{len(self.runners)} networks"
        out = [f"Raced {many} in {self.seconds:.0f} s{within}; {self.pick}: {self.why}."]
        out += [f"  {line}" for line in (*map(self.told, self.runners),)]
        out += [f"  joined: {self.joint}"] if self.joint else []
        return [*out, *(f"  did not run: {name}: {why}" for name, why in self.failed)]

    def told(self, r: Runner) -> str:
        """Return a runner in a line."""
        of = f"{r.score.low:.3f} to {r.score.high:.3f} on {r.examples} examples, {r.milliseconds:.1f} ms each"
        return f"{r.name}: {self.measure} {r.score.value:.3f}, {of}" + self.mark(r)

    def mark(self, r: Runner) -> str:
        """Return what a runner became."""
        if r.name == self.pick:
            return ": the pick"
        return ": the runner-up" if r.name == self.runner_up else f": out in round {r.dropped}" if r.dropped else ""


def ranking_of(record: Mapping[str, Any]) -> Ranking:
    """Return a ranking from its record."""
    runners = tuple(Runner(**{**r, "score": Measure(**r["score"])}) for r in record["runners"])
    failed = tuple((f["name"], f["reason"]) for f in record["failed"])
    names = {each.name for each in fields(Ranking)} - {"runners", "failed"}
    plain = {name: record[name] for name in names & record.keys()}  # a race of an earlier version lacks some
    return Ranking(runners, failed, **plain)


@dataclass(frozen=True)
class Candidate:
    """A network that may run: its entry in the catalog, its encoder, its published accuracy, its measured speed.

    `opening` is the seconds that opening it and building its engine took, `again` what that takes the next time.
    """

    entry: Entry
    encode: Encoder
    prior: float | None
    milliseconds: float
    opening: float = 0.0
    again: float = 0.0

    def extraction(self, examples: int) -> float:
        """Return the seconds that the features of so many examples take from nothing."""
        return self.opening + examples * self.milliseconds / 1000


@dataclass(frozen=True)
class Run:
    """A candidate's run in a round: what is told, how well each example came out, and the seconds of scoring it."""

    runner: Runner
    merit_R: Any
    row_R: Index
    scoring: float = 0.0
