"""From what the stages found to what is written down: `headstart.json`, `scores.json`, the report, the model card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.backbones.backbone import Backbone
from headstart.data.examples import Examples
from headstart.deepen import Deepened
from headstart.heads.head import Head
from headstart.metrics.interval import Measure, measured
from headstart.race_values import Ranking
from headstart.report.origin import command, versions
from headstart.stages.climb import Step
from headstart.stages.curve import Point
from headstart.stages.encode import Features
from headstart.stages.general import KeptUp
from headstart.stages.judge import Logits, RungScore, Scores
from headstart.stages.probe import Probe
from headstart.stages.scratch import sentence, worth
from headstart.stages.split import Splits
from headstart.tasks.task import Task

if TYPE_CHECKING:
    from headstart.options import Options


Moved = Mapping[int, tuple[float, ...]]
"""Rows of examples -> for each piece of theirs, how much it spoke for the class that was wrongly said."""


BEFORE = 200
"""So many of the judged examples are told by the network as it was, too: one that knows nothing writes for long."""


@dataclass(frozen=True)
class Story:
    """Everything that one run of `fit` found."""

    task: Task
    aim: Aim
    options: Options
    backbone: Backbone
    examples: Examples
    features: Features
    splits: Splits
    target_N: Truth
    probe: Probe
    scores: Scores
    seconds: dict[str, float]
    done: dict[str, float]
    fingerprint: str
    near: float
    deep: Deepened | None = None
    unfinished: bool = False
    moved: Moved = field(default_factory=dict)
    before: Logits | None = None  # what the network said of the judged examples before anything was trained
    kept: KeptUp | None = None
    ranking: Ranking | None = None  # of the race that chose the network
    pretrained: str = ""  # hash of the network that was not trained, as checked at the end

    @property
    def shipped(self) -> RungScore:
        """The rung that is shipped."""
        return self.scores.shipped

    @property
    def tuned(self) -> Step | None:
        """The rung above the linear head that is shipped, if one is."""
        return self.deep.climbed.best if self.deep else None

    @property
    def head(self) -> Head:
        """The head that is shipped."""
        return self.deep.climbed.head if self.deep else self.probe.head

    @property
    def solver(self) -> str:
        """How the head was fitted, in words."""
        return "AdamW, together with the layers below it" if self.tuned else self.probe.solver

    @property
    def counts(self) -> dict[str, int]:
        """How many examples learned, chose and were judged."""
        valid = self.splits.given_valid
        return {
            "train": len(self.splits.train) - valid,
            "valid": valid,
            "test": len(self.splits.judged),
        }

    def record(self) -> dict[str, Any]:
        """Return what `headstart.json` says beside labels and files."""
        network = self.backbone
        return {
            "task": self.task.name,
            "backbone": {
                "name": network.name,
                "library": network.library,
                "architecture": network.architecture,
                "source": network.source,
                "licence": network.licence,
                "weights_sha256": network.weights,
                "missing": list(network.missing),
                "features": network.dim,
            },
            "race": self.ranking.record() if self.ranking else None,
            "cut": self.tuned.tried.cut if self.tuned else network.cut,
            "preprocessing": network.preprocess.record(),
            "engine": {"name": self.features.engine, "cosine": self.features.cosine},
            "head": {
                "rung": self.shipped.name,
                "solver": self.solver,
                "setting": self.shipped.setting,
                "temperature": self.head.temperature,
            },
            "frozen": self.frozen(),
            # Tuned features draw a class together: by the pretrained ones' threshold all of it would be copies.
            "thresholds": {"near_copies": None if self.tuned else self.near},
            "data_sha256": self.fingerprint,
            "seed": self.options.seed,
            "command": command(self.options),
            "versions": versions(),
        }

    def score_record(self, total: float) -> dict[str, Any]:
        """Return the content of `scores.json`."""
        return {
            "task": self.task.name,
            "backbone": self.backbone.name,
            "rung": self.shipped.name,
            "headline": self.scores.headline.record(),
            "judged": {"by": self.scores.how, "how": self.splits.how},
            "guess": self.scores.guess.record(),
            "measures": [m.record() for m in self.scores.measures],
            "rungs": [self.rung_record(r) for r in self.scores.rungs],
            "race": self.ranking.record() if self.ranking else None,
            "unfinished": self.unfinished,
            "untried": [{"name": name, "reason": why} for name, why in self.untried],
            "scratch": self.scratch_record(),
            "before": self.before_record(),
            "general": self.kept.record() if self.kept else None,
            "curve": [self.point_record(p) for p in self.deep.curve] if self.deep else [],
            "seconds": {**{k: round(v, 4) for k, v in self.seconds.items()}, "total": round(total, 4)},
            "examples": self.counts,
            "features": {
                "computed": self.features.computed,
                "cached": len(self.features.kept) + len(self.features.failures) - self.features.computed,
                "engine": self.features.engine,
            },
            "findings": dict(Counter(f.kind for f in self.examples.findings)),
        }

    @property
    def untried(self) -> tuple[tuple[str, str], ...]:
        """The rungs that were not tried, and why."""
        return self.deep.climbed.untried if self.deep else ()

    def frozen(self) -> dict[str, str] | None:
        """Return the hash of the shipped rung's trunk before and after training; None where nothing was trained."""
        step = self.tuned
        return {"before": step.frozen[0], "after": step.frozen[1]} if step and step.frozen[0] else None

    def scratch_record(self) -> dict[str, Any] | None:
        """Return what pretraining was worth, as `scores.json` has it; None where that was not found out."""
        if self.deep is None or self.deep.scratch is None or self.deep.plan.scratch is None:
            return None
        made, scratch = compared(self), self.deep.scratch
        return {
            "headline": made.scratch.record(),
            "transfer": made.transfer.record(),
            "worth": made.worth.record(),
            "sentence": made.sentence,
            "rate": scratch.rate,
            "steps": scratch.steps,
            "planned": scratch.planned,
            "seconds": round(scratch.seconds, 4),
            "transfer_seconds": round(self.deep.plan.scratch.transfer, 4),
            "examples": len(scratch.rows),
        }

    def before_record(self) -> dict[str, Any] | None:
        """Return by how much the network as it was is surpassed on the judged examples; None where it was not asked."""
        if self.before is None:
            return None
        at = asked_before(len(self.scores.rows))
        rows, scoring, now_NK = self.scores.rows[at], self.aim.scoring, self.scores.logits_NK[at]
        unit_N, truth_N, unit = self.splits.unit[rows], self.target_N[rows], np.ones(len(rows))
        was, now = (scoring.score(scoring.read(said, truth_N), unit) for said in (self.before, now_NK))
        gain = worth(now_NK, self.before, truth_N, unit_N, scoring, self.options.seed)
        return {"measures": was, "now": now, "gain": gain.record(), "examples": len(rows)}

    def point_record(self, point: Point) -> dict[str, Any]:
        """Return a point of the learning curve as `scores.json` has it."""
        scratch = point.scratch.record() if point.scratch else None
        return {
            "labels": point.labels,
            "examples": point.examples,
            "transfer": point.transfer.record(),
            "scratch": scratch,
        }

    def rung_record(self, rung: RungScore) -> dict[str, Any]:
        """Return a rung as `scores.json` has it."""
        known = np.isfinite(rung.gain)
        return {
            "name": rung.name,
            # Guessing needs no network.
            "cut": rung.cut or (self.backbone.cut if rung is not self.scores.rungs[0] else None),
            "setting": rung.setting,
            "status": rung.status,
            "headline": rung.headline.record(),
            "compared": [
                {"setting": setting, "log_loss": round(loss, 5), rung.headline.name: round(value, 5)}
                for setting, loss, value in rung.compared
            ],
            "gain": {"value": rung.gain, "standard_error": rung.error} if known else None,
            "seconds": round(rung.seconds, 4),
        }


@dataclass(frozen=True)
class Compared:
    """Both ways on the same examples: the headline of each, the difference, and a sentence."""

    transfer: Measure
    scratch: Measure
    worth: Measure
    sentence: str


def compared(story: Story) -> Compared:
    """Compare what ships with the same network from random weights.

    On the judged examples; where none are held out, on those of the first fold, by models that had not seen them.
    """
    deep = story.deep
    assert deep
    assert deep.scratch
    assert deep.plan.scratch
    rows, scoring, seed = deep.scratch.rows, story.aim.scoring, story.options.seed
    place = {int(row): i for i, row in enumerate(story.scores.rows)}
    transfer_NK = story.scores.logits_NK[[place[int(row)] for row in rows]]
    unit_N = np.unique(story.splits.unit[rows], return_inverse=True)[1]
    shares = dict.fromkeys(scoring.shares, int(unit_N.max()) + 1)

    def headline(logits_NK: Logits) -> Measure:
        data = scoring.read(logits_NK, story.target_N[rows])
        return measured(lambda weight_N: scoring.score(data, weight_N), unit_N, seed, shares)[0]

    one, other = headline(transfer_NK), headline(deep.scratch.logits_NK)
    gain = worth(transfer_NK, deep.scratch.logits_NK, story.target_N[rows], unit_N, scoring, seed)
    spent = (deep.plan.scratch.transfer, deep.scratch.seconds)
    said = sentence(gain, one.value, other.value, spent, len(rows), story.task.noun, gain.name in scoring.percent)
    return Compared(one, other, gain, said)


def asked_before(count: int) -> NDArray[np.intp]:
    """Return the places, of so many judged examples, of those that the network as it was is asked for."""
    return np.unique(np.linspace(0, count - 1, min(count, BEFORE)).astype(np.intp))
