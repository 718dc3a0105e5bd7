"""What the user asked of `fit`, and the stopwatch of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headstart.backbones.engine import Precision

DEFAULT = "default"
"""The network that needs no connection, whatever the data."""
BUDGET = 300.0
"""Seconds: what one waits for without going away, and enough to tune the last stages of 1000 pictures on a laptop."""


@dataclass(frozen=True)
class Options:
    """What the user asked of `fit`; every field has the default that most want.

    Attributes:
        data: a folder, a table, or a hub name.
        out: the model folder; `headstart-NAME` in the working folder where it is left out.
        task: a task's name, or `auto`.
        backbone: a pretrained network: see `headstart.backbones.images.open_image_backbone`; `auto`: what a race picks.
        folders: where candidates for that are looked for too.
        licence: of candidates: `any` or `permissive`.
        test: further data that are judged once, at the end.
        goal: what is to be said of an example: `label`, `labels`, `number`, or `auto`: found by looking.
        content, label: columns of a table; found by looking where they are left out.
        seed: fixes everything that is drawn.
        precision: of the engine: `auto`, `fp32` or `bf16`.
        cache: folder of the feature cache, and of what a run has finished so far.
        command: the command line that repeats the run, where it is not `fit` with these options.
        budget: seconds for the whole run; 0 stops at the linear head.
        scratch: whether the same network is trained from random weights, to say what pretraining is worth.
        labels: of each class, for the learning curve: `5,10,25,all`; none where it is empty.
        plan: a plan's file, as a run wrote it or as it was edited since.
        plan_only: a file to write the plan to, and train nothing.
        log: a folder for the rows of all trainings.
        workers: threads that read batches ahead.
        source_language, target_language: from which is translated, and into which; found by names.
        rules: other thresholds of the rules for pairs: see `data.pair_checks.PairRules`.
        cut: where features of pictures are taken: after the last layer, or wherever a linear head does best on them.
        keep: general pairs, as many of which are learned from in each epoch, and others judged before and after.
    """

    data: str
    out: str = ""
    task: str = "auto"
    goal: str = "auto"
    backbone: str = DEFAULT
    test: str = ""
    content: str = ""
    label: str = ""
    seed: int = 0
    precision: Precision = "auto"
    cache: str = ""
    command: str = ""
    budget: float = BUDGET
    scratch: bool = True
    labels: str = ""
    plan: str = ""
    plan_only: str = ""
    log: str = ""
    workers: int = 2
    source_language: str = ""
    target_language: str = ""
    rules: tuple[tuple[str, float], ...] = ()
    keep: str = ""
    folders: tuple[str, ...] = ()
    licence: str = "any"
    cut: Literal["last", "any"] = "last"

    @property
    def name(self) -> str:
        """What the data are called: the last part of their path."""
        return Path(self.data).resolve().stem or "model"

    @property
    def folder(self) -> Path:
        """Where the model goes."""
        return Path(self.out or f"headstart-{self.name}")


@dataclass
class Stopwatch:
    """Wall-clock seconds of the stages, by name, and when each was done."""

    clock: Callable[[], float]
    began: float
    seconds: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start
        self.done[name] = self.clock() - self.began
