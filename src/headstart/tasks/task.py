"""A task is a record: everything that differs between tasks, and nothing that does not.

Stages take what they need of it as arguments and never ask which task it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.backbones.backbone import Backbone, itself
from headstart.backbones.depths import Depth
from headstart.data.augment import View
from headstart.data.check import Inspect
from headstart.data.examples import Content, Examples, Goal, Kind
from headstart.report.pieces import Cut
from headstart.stages.probe import Probe, probe
from headstart.stages.split import Splits


def alone(backbone: Backbone) -> bool:
    """Return that a network cannot be joined with another."""
    return False


def as_it_is(backbone: Backbone, examples: Examples) -> Backbone:
    """Return the backbone."""
    return backbone


class Prober(Protocol):
    """(features_ND, truth_N, aim, splits, clock, advance) -> the first rungs."""

    def __call__(
        self,
        features_ND: NDArray[np.float32],
        target_N: Truth,
        aim: Aim,
        splits: Splits,
        clock: Callable[[], float],
        advance: Callable[[int], None],
        /,
    ) -> Probe: ...


def usual(backbone: Backbone) -> tuple[float, ...]:
    """Return no rates of its own: those of `stages.levels` are tried."""
    return ()


def on_features(backbone: Backbone, seed: int) -> Prober:
    """Return the rungs that need nothing but features."""
    return probe


class Load(Protocol):
    """bytes of an example -> the network's input. Raises DataError for what cannot be decoded."""

    def __call__(self, data: bytes, /) -> NDArray[np.generic]: ...


@dataclass(frozen=True)
class Augment:
    """How a task's inputs are varied for training.

    Attributes:
        view: (backbone, view) -> the function that makes its inputs, the same at every call.
        wide: backbone -> the function that makes what `change` varies.
        change: backbone -> (what `wide` made, generator) -> input.
        views: how many views are worth caching; 1 where there is only the example as it is.
    """

    view: Callable[[Backbone, View], Load]
    wide: Callable[[Backbone], Load]
    change: Callable[[Backbone], Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]]
    views: int


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as `--task` and `scores.json` have it.
        noun: what one example is called.
        inspect: looks at one example before anything is trained.
        backbone: opens a pretrained network by what the user wrote.
        kind: what its examples are, as readers tell it.
        goals: what may be said of them.
        fitted: (backbone, examples) -> the backbone as these data need it.
        several: a backbone -> the same, read at several places, of which evidence chooses one.
        joins: whether a backbone's features can be joined with another's, by a name with a plus.
        probe: (backbone, seed) -> the first rungs, as `stages.probe` has them.
        longer: how many times as many epochs as a linear head takes are worth while.
        rates: a backbone -> learning rates that it wants, where these are others than usual; the first where there is
            time for one.
        load: a backbone -> the function that makes its inputs.
        size: how long an example is to a network, in any unit; 0 where all are alike.
        batch: how many inputs of one shape an engine on a CPU takes at a time.
        depths: a backbone -> the places to train from, shallowest first.
        given: what a user hands over for one example -> its content.
        inputs: (a word of `predict`'s command line, the column of a table that was named or nothing) -> the examples
            that it stands for, by name.
        augment: how inputs are varied for training.
        network: (network of a library, preprocessing) -> the network that takes such inputs, normalising them
            itself.
        draw: bytes of an example -> how the report shows it, a data URI; empty where it is no picture.
        pieces: bytes of an example -> the words that the report shows it as, and it without each of them; None where
            it has none.
        sample: what a user hands over for one example, as Python has it.
        endings: file endings that a folder given to `predict` is searched for.
        pairs: whether its networks are worth tuning by pairs of examples where labels are few.
        remark: (backbone, bytes of an example) -> (kind, reason) of what is lost of it on its way into the network;
            is; None where nothing ever is.
    """

    name: str
    noun: str
    inspect: Inspect
    backbone: Callable[[str], Backbone]
    kind: Kind
    load: Callable[[Backbone], Load]
    size: Callable[[Content], int]
    batch: int
    depths: Callable[[Backbone], tuple[Depth, ...]]
    given: Callable[[str | Path | tuple[str, ...]], Content]
    inputs: Callable[[str, str], Iterable[tuple[str, Content]]]
    augment: Augment
    network: Callable[[Any, Any], Any]
    draw: Callable[[bytes], str]
    pieces: Callable[[bytes], Sequence[Cut]] | None
    sample: str
    endings: Sequence[str]
    goals: tuple[Goal, ...] = ("label", "labels", "number")
    fitted: Callable[[Backbone, Examples], Backbone] = as_it_is
    several: Callable[[Backbone], Backbone] = itself
    joins: Callable[[Backbone], bool] = alone
    probe: Callable[[Backbone, int], Prober] = on_features
    longer: int = 1
    rates: Callable[[Backbone], tuple[float, ...]] = usual
    remark: Callable[[Backbone, bytes], Iterable[tuple[str, str]]] | None = None
    pairs: bool = False
