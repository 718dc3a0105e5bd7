"""From what the stages found to what is written down: `headstart.json`, `scores.json`, the report, the model card."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.data.examples import Examples
from headstart.stages.encode import Features
from headstart.stages.judge import RungScore, Scores
from headstart.stages.probe import Probe
from headstart.stages.split import Index, Splits
from headstart.tasks.task import Task

if TYPE_CHECKING:
    from headstart.pipeline import Options

LIBRARIES = ("headstart", "torch", "torchvision", "timm", "transformers", "openvino", "pillow", "numpy")


@dataclass(frozen=True)
class Story:
    """Everything that one run of `fit` found."""

    task: Task
    options: Options
    backbone: Backbone
    examples: Examples
    features: Features
    splits: Splits
    target_N: Index
    probe: Probe
    scores: Scores
    seconds: dict[str, float]
    fingerprint: str
    near: float

    @property
    def shipped(self) -> RungScore:
        """The rung that is shipped."""
        return self.scores.rungs[-1]

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
            "cut": network.cut,
            "preprocessing": asdict(network.preprocess),
            "engine": {"name": self.features.engine, "cosine": self.features.cosine},
            "head": {
                "rung": self.shipped.name,
                "solver": self.probe.solver,
                "setting": self.shipped.setting,
                "temperature": self.probe.head.temperature,
            },
            "thresholds": {"near_copies": self.near},
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
            "scratch": None,
            "seconds": {**{k: round(v, 4) for k, v in self.seconds.items()}, "total": round(total, 4)},
            "examples": self.counts,
            "features": {
                "computed": self.features.computed,
                "cached": len(self.features.kept) + len(self.features.failures) - self.features.computed,
                "engine": self.features.engine,
            },
            "findings": dict(Counter(f.kind for f in self.examples.findings)),
        }

    def rung_record(self, rung: RungScore) -> dict[str, Any]:
        """Return a rung as `scores.json` has it."""
        known = np.isfinite(rung.gain)
        return {
            "name": rung.name,
            "cut": self.backbone.cut if rung is not self.scores.rungs[0] else None,  # guessing needs no network
            "setting": rung.setting,
            "headline": rung.headline.record(),
            "gain": {"value": rung.gain, "standard_error": rung.error} if known else None,
            "seconds": round(rung.seconds, 4),
        }


def versions() -> dict[str, str]:
    """Return the versions that decide what a model computes."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "not installed"
    return found


def command(options: Options) -> str:
    """Return the command line that repeats a run."""
    import shlex

    if options.command:
        return options.command
    words = ["headstart", "fit", options.data]
    defaults = type(options)(options.data)
    flags: Mapping[str, Any] = {
        "--out": options.out,
        "--task": options.task,
        "--backbone": options.backbone,
        "--test": options.test,
        "--content": options.content,
        "--label": options.label,
        "--seed": options.seed,
        "--precision": options.precision,
    }
    for flag, value in flags.items():
        if value != getattr(defaults, flag[2:]):
            words += [flag, str(value)]
    return shlex.join(words)
