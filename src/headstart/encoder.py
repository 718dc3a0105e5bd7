"""Encoder: a task's inputs, a backbone's trunk, an engine and the cache, together for whoever needs features."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart import cache
from headstart.backbones.backbone import Backbone
from headstart.backbones.engine import Array, Chosen, Plain, Precision, Recalled, TorchEngine, choose, recalled
from headstart.data.examples import Content
from headstart.progress import Track
from headstart.ragged import pile
from headstart.stages.encode import Features, Item, decoded, encode, features_of, sample
from headstart.store import fingerprint
from headstart.tasks.task import Load, Task

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Encoder:
    """Makes features of examples.

    Attributes:
        task: how inputs are made.
        backbone: the trunk, and its preprocessing.
        precision: what is asked of the engine.
        root: folder of the cache.
        threads: cores.
        take: (some inputs) -> the engine; by default the fastest that agrees with PyTorch on them.
        taken: what `take` gives, where that is known before: of what the cache has already, nothing is read then.
        look: bytes of an example -> the network's input, where it is not what the task makes of it.
        seen: what the cache calls that.
    """

    task: Task
    backbone: Backbone
    precision: Precision
    root: Path
    threads: int
    take: Callable[[Sequence[Array]], Chosen] | None = None
    taken: Recalled | None = None
    look: Load | None = None
    seen: str = "clean"

    @property
    def load(self) -> Load:
        """Bytes of an example -> the network's input."""
        return self.look or self.task.load(self.backbone)

    @cached_property
    def network(self) -> nn.Module:
        """The trunk with normalisation in front."""
        made: nn.Module = self.task.network(self.backbone.trunk, self.backbone.preprocess)
        return made

    def choose(self, inputs: Sequence[Array]) -> Chosen:
        """Take an engine by comparing it with the reference on some inputs."""
        if self.take is not None:
            return self.take(inputs)
        if self.backbone.whole:
            return Chosen(Plain(), 1.0)
        return choose(self.network, inputs, self.precision, self.threads, self.kept, self.task.batch)

    @property
    def known(self) -> Recalled | None:
        """The engine, where it is known without looking at inputs."""
        if self.backbone.whole:
            return Recalled(Plain().name, 1.0, "")
        return self.taken if self.take is not None else recalled(self.kept, self.precision)

    @property
    def kept(self) -> Path:
        """Where the network as converted for the engine is kept."""
        libraries = [version(name) for name in ("openvino", "torch")]
        return self.root / "engines" / fingerprint(self.backbone.weights, self._how, libraries)[:32]

    @property
    def _how(self) -> list[str]:
        return [self.backbone.preprocess.key(), self.backbone.cut]

    def key(self, engine: str) -> str:
        """Return the name of the cache's space for an engine."""
        preprocess, cut = self._how
        return cache.space_key(
            weights=self.backbone.weights, preprocess=preprocess, cut=cut, view=self.seen, engine=engine
        )

    def encode(self, items: Sequence[Item], track: Track, clock: Callable[[], float]) -> Features:
        """Compute what the cache lacks; see `stages.encode`."""
        return encode(items, self.load, self.known, self.choose, self.key, self.root, track, clock, self.threads)

    def stream(self, contents: Sequence[Content]) -> Iterator[NDArray[np.float32] | str]:
        """Yield the features of each content in order, or why there are none, past the cache."""
        if inputs := sample(contents, self.load):
            yield from features_of(contents, self.load, self.choose(inputs).engine, self.threads)
        else:
            yield from (str(decoded(content, self.load)) for content in contents)

    def reference(self, network: nn.Module, inputs: Sequence[Array]) -> NDArray[np.float32]:
        """Run a network of the backbone's library on inputs in PyTorch fp32, normalisation in front."""
        whole = self.task.network(network, self.backbone.preprocess)
        return pile(list(TorchEngine(whole).run(inputs)))


def encoder(
    task: Task,
    backbone: Backbone,
    precision: Precision = "auto",
    root: Path | None = None,
    *,
    choose: Callable[[Sequence[Array]], Chosen] | None = None,
) -> Encoder:
    """Return an encoder with this machine's defaults."""
    return Encoder(task, backbone, precision, root or cache.default_root(), cores(), choose)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
