"""Ground: what all that comes after the linear head stands on: data, splits, network, and what goes on around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.aims.aim import Aim, Truth
from headstart.encoder import Encoder
from headstart.progress import Advance, Track
from headstart.stages.batches import Batches, Source
from headstart.stages.encode import Item
from headstart.stages.loops import Clock, Log
from headstart.stages.probe import Probe
from headstart.stages.split import Index, Splits
from headstart.stages.trial import ALPHAS, WRITTEN, Watch
from headstart.stages.tune import Row


@dataclass(frozen=True)
class Ground:
    """What all rungs stand on.

    Attributes:
        encoder: the pretrained network, its engine and cache.
        items: all examples.
        target_N: what is true of each.
        splits: what trains, and the folds to choose by.
        probe: the rungs below, and the linear head.
        aim: what is to be said of an example.
        seed: fixes all that is drawn.
        folder: where what is finished is kept.
        workers: threads that read ahead.
        device: where is computed.
        track, clock, log: what goes on around.
    """

    encoder: Encoder
    items: Sequence[Item]
    target_N: Truth
    splits: Splits
    probe: Probe
    aim: Aim
    seed: int
    folder: Path
    workers: int
    device: str
    track: Track
    clock: Clock
    log: Log

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.aim.outputs)

    @property
    def alphas(self) -> tuple[float, ...]:
        """The places on the way from start to end that are judged of a training: fewer where each must write."""
        return WRITTEN if self.encoder.backbone.whole else ALPHAS

    @property
    def size_N(self) -> Index | None:
        """How long each example is to a network, or what is to be said of it; None where all are alike."""
        size_N = np.asarray([item.size for item in self.items], np.intp)
        if self.aim.lengths is not None:
            size_N = np.maximum(size_N, self.aim.lengths(self.target_N))
        return size_N if size_N.any() else None

    def batches(self, source: Source, rows: Index, size: int) -> Batches:
        """Return the batches of a training on some examples, at most so many in each on average."""
        aim, general = self.aim, np.intersect1d(rows, self.splits.general)
        return Batches(
            source, rows, self.target_N, min(size, len(rows)), self.seed, self.workers, self.device, self.size_N,
            aim.move, aim.lengths is not None, (general, self.splits.spare),
        )  # fmt: skip

    def watch(self, folder: Path, left: Callable[[], float], advance: Advance, ends: bool = False) -> Watch:
        """Return what goes on around the trainings of a folder; the log knows them by its name and theirs.

        Args:
            folder: of a rung.
            left: seconds left for it.
            advance: moves its progress bar.
            ends: whether a training that runs out of time ends as it is then.
        """

        def log(name: str, row: Row) -> None:
            self.log(f"{folder.name}/{name}", row)

        return Watch(self.clock, left, log, advance, self.workers, self.device, ends)
