"""What a race is made of: the networks that run, what was found out about each, and how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {**asdict(self), "score": self.score.record()}


@dataclass(frozen=True)
class Ranking:
    """How the race ended.

    Attributes:
        runners: best first; those that were dropped earlier come after.
        failed: (name, why) of candidates that cannot be used on these data.
        pick: the name of the recommended one.
        why: the reason, in a sentence.
        seconds: that the whole race took.
        measure: what the scores are.
    """

    runners: tuple[Runner, ...]
    failed: tuple[tuple[str, str], ...]
    pick: str
    why: str
    seconds: float
    measure: str

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "pick": self.pick,
            "why": self.why,
            "measure": self.measure,
            "seconds": round(self.seconds, 2),
            "runners": [runner.record() for runner in self.runners],
            "failed": [{"name": name, "reason": why} for name, why in self.failed],
        }


@dataclass(frozen=True)
class Candidate:
    """A network that may run: its entry in the catalog, its encoder, its published accuracy, its measured speed."""

    entry: Entry
    encode: Encoder
    prior: float | None
    milliseconds: float


@dataclass(frozen=True)
class Run:
    """A candidate's run in a round: what is told, and how well each example came out."""

    runner: Runner
    merit_R: Any
    row_R: Index
