"""Tiny climbs: networks of 32 x 32 pixels with random weights, two dozen pictures, made as `fit` makes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.depth import image_depths
from headstart.backbones.depths import Depth
from headstart.data.examples import CellContent
from headstart.options import Options, Stopwatch
from headstart.pipeline import Base, begin
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages import climb as stage
from headstart.stages.climb import Climbed, climb
from headstart.stages.encode import Item
from headstart.stages.ground import Ground
from headstart.stages.plan import Plan, RungPlan
from headstart.stages.tune import Row
from tiny import photos, timm_folder

SIDE = 32
YES, NO, NOTHING = (0.2, 0.1), (0.1, 0.1), (0.0, 0.1)
"""Gains with their standard errors: above one, and not."""


class Ticks:
    """A clock that goes on by so many seconds with each look."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds, self.looks = seconds, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.seconds * self.looks


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: on a busy machine its own threads wait for each other ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_folder(folder: Path, architecture: str) -> Path:
    """Save a network of timm's that takes small pictures; transformers must be made for these."""
    of_size = {"img_size": SIDE} if "vit" in architecture else {}
    overlay = {"input_size": (3, SIDE, SIDE)}
    return timm_folder(folder, architecture, pretrained_cfg_overlay=overlay, **of_size)


def based(root: Path, architecture: str = "test_resnet") -> Base:
    """Go as far as the linear head: 24 pictures to train on, 6 to be judged."""
    for part, each, seed in (("train", 8, 1), ("test", 2, 2)):
        photos(root / "photos" / part, each=each, seed=seed)
    network = network_folder(root / "network", architecture)
    options = Options(str(root / "photos"), str(root / "out"), backbone=str(network), cache=str(root / "cache"))
    return begin(options, quiet, Stopwatch(Ticks(), 0.0))


def never() -> bytes:
    """What is read where nothing may be read."""
    raise AssertionError("it must not be looked at")


def unread(item: Item) -> Item:
    """An example that must not be looked at."""
    return replace(item, content=CellContent(never))


@dataclass
class Around:
    """What goes on around a climb: the rows of its trainings, by name, and when it is told to stop.

    Attributes:
        seconds: how many are left; each row takes one.
        kill: after so many rows the process is killed.
    """

    seconds: float = math.inf
    kill: float = math.inf
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def left(self) -> float:
        return self.seconds - self.count

    def log(self, name: str, row: Row) -> None:
        self.rows.setdefault(name, []).append(row)
        if self.count >= self.kill:
            raise KeyboardInterrupt


def ground(base: Base, folder: Path, around: Around | None = None, workers: int = 0) -> Ground:
    """What a climb stands on, as `pipeline.deeper` makes it; what is judged must not be looked at."""
    d = base.divided
    every = items_of(base.data, base.task.size)
    items = [item if i in d.splits.train else unread(item) for i, item in enumerate(every)]
    log = (around or Around()).log
    return Ground(
        base.encoder, items, d.target_N, d.splits, base.probe, d.aim, 0, folder, workers, "cpu", quiet,
        Ticks(), log,
    )  # fmt: skip


def depths_of(backbone: Backbone) -> dict[str, Depth]:
    """The places to train from by their names, shallowest first."""
    return {depth.name: depth for depth in image_depths(backbone)}


def places(backbone: Backbone) -> list[str]:
    return list(depths_of(backbone))


def rung(name: str, **changes: Any) -> RungPlan:
    """A rung of four trainings of twelve steps, and a last one."""
    usual = RungPlan(
        name, views=2, epochs=3, batch=4, folds=2, starts=("linear", "fresh"), rates=(0.003,), bottom=0.3, low=False
    )
    return replace(usual, **changes)


class Outcomes:
    """A `gain` with these outcomes, rung by rung; what gained enough surprises less too, as rungs by pairs must."""

    def __init__(self, *outcomes: tuple[float, float]) -> None:
        self.each, self.last = iter(outcomes), NO

    def gain(self, *_: Any) -> tuple[float, float]:
        self.last = next(self.each)
        return self.last

    def surprised_less(self, *_: Any) -> bool:
        return self.last[0] > self.last[1]


def climbed(
    base: Base,
    folder: Path,
    rungs: list[RungPlan],
    outcomes: list[tuple[float, float]] | None = None,
    around: Around | None = None,
    workers: int = 0,
    untried: tuple[tuple[str, str], ...] = (),
) -> Climbed:
    """Climb in a folder, where the gains are given with these outcomes."""
    around = around or Around()
    with pytest.MonkeyPatch.context() as patch:
        if outcomes is not None:
            given = Outcomes(*outcomes)
            patch.setattr(stage, "gain", given.gain)
            patch.setattr(stage, "surprised_less", given.surprised_less)
        return climb(ground(base, folder, around, workers), Plan(60.0, tuple(rungs), untried), around.left)


def differing(network: nn.Module, other: nn.Module) -> set[str]:
    """The names of the tensors that differ; both have the same."""
    ours, theirs = network.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    return {name for name, tensor in ours.items() if not torch.equal(tensor, theirs[name])}


def assert_same_climb(one: Climbed, other: Climbed) -> None:
    """The same rungs, and the same bits shipped."""
    assert [(s.tried.gain, s.tried.accepted, s.frozen) for s in one.steps] == [
        (s.tried.gain, s.tried.accepted, s.frozen) for s in other.steps
    ]
    for a, b in zip(one.steps, other.steps, strict=True):
        np.testing.assert_array_equal(a.tried.rung.logits_SRK, b.tried.rung.logits_SRK, strict=True)
    assert one.untried == other.untried
    assert one.backbone.weights == other.backbone.weights
    assert differing(one.backbone.trunk, other.backbone.trunk) == set()
    for name in ("mean_D", "std_D", "weight_DK", "bias_K", "temperature"):
        np.testing.assert_array_equal(getattr(one.head, name), getattr(other.head, name), err_msg=name)
