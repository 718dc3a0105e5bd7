"""fit: the stages in their order, from the user's data to a model folder. All the flow there is, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Saved
from headstart.backbones.engine import Array, Precision
from headstart.data.check import Checked, bad_share, check
from headstart.data.examples import Examples, Finding
from headstart.data.near import near_duplicates, threshold_for
from headstart.data.read import read
from headstart.encoder import Encoder, encoder
from headstart.errors import DataError
from headstart.progress import Track, quiet
from headstart.report.story import Story
from headstart.report.telling import model_card, page
from headstart.stages.encode import Features, Item, sample
from headstart.stages.judge import judge
from headstart.stages.probe import probe
from headstart.stages.ship import Model, check_out, ship
from headstart.stages.split import Index, Splits, copies, split
from headstart.store import fingerprint
from headstart.tasks import task_named
from headstart.tasks.task import Task

Floats = NDArray[np.float32]

GOLDEN = 4
"""How many inputs are kept with their expected outputs."""


@dataclass(frozen=True)
class Options:
    """What the user asked of `fit`; every field has the default that most want.

    Attributes:
        data: a folder, a table, or a hub name.
        out: the model folder; `headstart-NAME` in the working folder where it is left out.
        task: a task's name, or `auto`.
        backbone: a pretrained network: see `headstart.backbones.images.open_image_backbone`.
        test: further data that are judged once, at the end.
        content, label: columns of a table; found by looking where they are left out.
        seed: fixes everything that is drawn.
        precision: of the engine: `auto`, `fp32` or `bf16`.
        cache: folder of the feature cache.
        command: the command line that repeats the run, where it is not `fit` with these options.
    """

    data: str
    out: str = ""
    task: str = "auto"
    backbone: str = "auto"
    test: str = ""
    content: str = ""
    label: str = ""
    seed: int = 0
    precision: Precision = "auto"
    cache: str = ""
    command: str = ""

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
    """Wall-clock seconds of the stages, by name."""

    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = self.clock()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start


@dataclass(frozen=True)
class Result:
    """What `fit` gives.

    Attributes:
        folder: the model folder.
        scores: the content of `scores.json`.
        findings: what the checks saw.
    """

    folder: Path
    scores: dict[str, Any]
    findings: tuple[Finding, ...]


def gather(options: Options, task: Task, track: Track) -> Checked:
    """Read and check the data, and the further test data where they are given.

    Raises:
        UsageError, DataError: the data are not there, or cannot be learned from.
    """
    examples = read(options.data, options.content or None, options.label or None)
    if options.test:
        examples = joined(examples, read(options.test, options.content or None, options.label or None))
    return check(examples, task.inspect, track)


def joined(train: Examples, test: Examples) -> Examples:
    """Put further data in the test part, under names that say so; the first data's own test part is left out."""
    kept = [e if e.part else replace(e, part="train") for e in train.items if e.part != "test"]
    further = [replace(e, part="test", name=f"test: {e.name}") for e in test.items]
    how = f"{train.how}; judged on further data: {test.how}"
    return Examples((*kept, *further), how, (*train.findings, *test.findings))


def fit(options: Options, track: Track = quiet, clock: Callable[[], float] = time.perf_counter) -> Result:
    """Make a model of the user's data.

    Args:
        options: what is asked for.
        track: shows progress.
        clock: seconds.

    Raises:
        HeadstartError: see `headstart.errors`; nothing half-made is left behind.
    """
    watch = Stopwatch(clock)
    began = clock()
    out = options.folder
    check_out(out, Path(options.data))
    task = task_named(options.task)
    with watch("read"):
        checked = gather(options, task, track)
    with watch("backbone"):
        backbone = task.backbone(options.backbone)
        encode_with = encoder(task, backbone, options.precision, Path(options.cache) if options.cache else None)
    with watch("encode"):
        items = [
            Item(e.name, digest, e.content) for e, digest in zip(checked.examples.items, checked.digests, strict=True)
        ]
        features = encode_with.encode(items, track, clock)
        data, x_ND = _decodable(checked, features)
    with watch("split"):
        divided = divide(data, x_ND, options.seed)
    splits, target_N, found = divided.splits, divided.target_N, divided.examples
    with watch("probe"), track("probe", 3) as advance:
        probed = probe(x_ND, target_N, len(found.classes), splits, clock, advance)
    with watch("judge"):
        scores = judge(probed, lambda rows: x_ND[rows], target_N, splits, task.scoring, options.seed)
    mark = data_fingerprint(data)
    story = Story(
        task, options, backbone, found, features, splits, target_N, probed, scores, watch.seconds, mark, divided.near
    )
    shipping = clock()
    golden = _golden(encode_with, data)
    model = Model(backbone, probed.head, found.classes, story.record())
    said: dict[str, Any] = {}

    def others(saved: Saved) -> Mapping[str, bytes]:
        watch.seconds["ship"] = clock() - shipping  # all of it but writing this and the report
        said.update(story.score_record(clock() - began))
        return _texts(story, said, saved)

    ship(model, encode_with.reference, golden, out, others)
    return Result(out, said, found.findings)


def _texts(story: Story, said: Mapping[str, Any], saved: Saved) -> dict[str, bytes]:
    import json

    from headstart.report import render

    return {
        "scores.json": (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode(),
        "report.html": render(page(story, said, saved, datetime.now().astimezone())).encode(),
        "README.md": model_card(story, said, saved).encode(),
    }


def _decodable(checked: Checked, features: Features) -> tuple[Checked, Floats]:
    """Leave out what turned out not to decode, and fetch the features of the rest."""
    items = checked.examples.items
    findings = [
        Finding(items[i].name, "undecodable", "left out", f"cannot be decoded: {why}", bad=True)
        for i, why in features.failures.items()
    ]
    examples = checked.examples.only(features.kept, findings)
    bad_share(examples)
    digests = tuple(checked.digests[i] for i in features.kept)
    return Checked(examples, digests), features.space.take(digests)


@dataclass(frozen=True)
class Divided:
    """The examples with the near copies found among them, their classes, how they are split, and from which
    similarity on two were taken for copies."""

    examples: Examples
    target_N: Index
    splits: Splits
    near: float


def divide(checked: Checked, x_ND: Floats, seed: int) -> Divided:
    """Split the examples, copies kept on one side."""
    examples = checked.examples
    parts = [e.part for e in examples.items]
    least = threshold_for(x_ND, parts)
    near, findings = near_duplicates(x_ND, [e.name for e in examples.items], parts, least)
    classes = {name: k for k, name in enumerate(examples.classes)}
    target_N = np.asarray([classes[e.target] for e in examples.items], np.intp)
    found = replace(examples, findings=(*examples.findings, *findings))
    try:
        splits = split(parts, target_N, copies(checked.digests, near), seed)
    except DataError:  # look-alikes joined whole classes, or there is too little in any case, which is raised again
        splits = split(parts, target_N, copies(checked.digests, []), seed)
    return Divided(found, target_N, splits, least)


def _golden(encode_with: Encoder, checked: Checked) -> list[Array]:
    contents = [e.content for e in checked.examples.items]
    return sample(contents, encode_with.task.load(encode_with.backbone))[:GOLDEN]


def data_fingerprint(checked: Checked) -> str:
    """Return a SHA-256 over the bytes, labels and parts of all examples."""
    rows = [(e.target, e.part, d) for e, d in zip(checked.examples.items, checked.digests, strict=True)]
    return fingerprint(sorted(rows))
