"""Batches: which examples in which order, and what the network is given of each. All of it from (seed, epoch, index).

Nothing here depends on how many workers read ahead, on what was read before, or on a global generator: training that
was killed goes on with the very batches that it would have had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.aims.aim import Move
from headstart.cache import Rows
from headstart.data.augment import View, drawn_from
from headstart.ragged import pile
from headstart.stages.split import Index

Batch = tuple[torch.Tensor, torch.Tensor]
_AHEAD = 3  # batches that wait, for each worker
_NONE = np.empty(0, np.intp)
_STRETCH = 16  # batches whose examples are sorted by size among themselves


class Source(Protocol):
    """Gives the inputs of examples: in an epoch of training, or as they are for judging."""

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]: ...

    def clean(self, index_B: Index) -> NDArray[Any]: ...

    def draws(self, index_B: Index, epoch: int) -> Sequence[np.random.Generator | None]:
        """Return generators as those that the inputs of training were drawn from; None for plain ones."""
        ...


@dataclass(frozen=True)
class Views:
    """Cached views of every example, one of which is drawn for each epoch.

    Attributes:
        views: rows of each view, the clean one first.
        seed: fixes the draws.
        digests: SHA-256 of the bytes of all examples, which the views were drawn from as well.
    """

    views: Sequence[Rows]
    seed: int
    digests: Sequence[str] = ()

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        drawn = self._drawn(index_B, epoch)
        rows = [self.views[view].take(np.array([i]))[0] for view, i in zip(drawn, index_B, strict=True)]
        return pile(rows)

    def _drawn(self, index_B: Index, epoch: int) -> list[int]:
        return [int(np.random.default_rng([self.seed, epoch, int(i)]).integers(len(self.views))) for i in index_B]

    def draws(self, index_B: Index, epoch: int) -> Sequence[np.random.Generator | None]:
        return [
            drawn_from(self.digests[i], View(view, self.seed)) if view else None
            for view, i in zip(self._drawn(index_B, epoch), index_B, strict=True)
        ]

    def clean(self, index_B: Index) -> NDArray[Any]:
        return self.views[0].take(index_B)


@dataclass(frozen=True)
class Fly:
    """Cached inputs that are augmented anew in each epoch.

    Attributes:
        wide: what is augmented.
        plain: the inputs as they are.
        change: (what is augmented, generator) -> input.
        seed: fixes the draws.
    """

    wide: Rows
    plain: Rows
    change: Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
    seed: int

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        draws = [np.random.default_rng([self.seed, epoch, int(i)]) for i in index_B]
        return pile([self.change(x, rng) for x, rng in zip(self.wide.take(index_B), draws, strict=True)])

    def draws(self, index_B: Index, epoch: int) -> Sequence[np.random.Generator | None]:
        return [np.random.default_rng([self.seed, epoch, int(i)]) for i in index_B]

    def clean(self, index_B: Index) -> NDArray[Any]:
        return self.plain.take(index_B)


@dataclass(frozen=True)
class Batches:
    """The batches of a training, by number.

    Attributes:
        source: gives inputs.
        rows: the examples to train on.
        target_N: what is true of all examples.
        size: examples in a batch.
        seed: fixes the order.
        workers: threads that read ahead; 0 reads when asked.
        device: where batches go.
        move: what becomes of what is true where inputs are varied; None where it stays: see `Aim.move`.
        size_N: how long each of all examples is; batches are of like lengths. None where all are alike.
        evenly: whether a batch has as much in it as the others, rather than as many: what is written is learned word
            by word, and a batch of long texts would need the memory of several.
        drawn: (those of `rows` that others may stand in for, these others): so many are drawn from both in each epoch.
            What is only to be remembered is so met in more shapes than time allows to be learned from.
    """

    source: Source
    rows: Index
    target_N: NDArray[Any]
    size: int
    seed: int
    workers: int = 0
    device: str = "cpu"
    size_N: Index | None = None
    move: Move | None = None
    evenly: bool = False
    drawn: tuple[Index, Index] = (_NONE, _NONE)

    @property
    def in_epoch(self) -> int:
        """How many batches an epoch has; what does not fill the last one is left for another epoch."""
        return max(1, len(self.rows) // self.size)

    def of_epoch(self, epoch: int) -> tuple[list[Index] | Index, Index]:
        """Return the examples of each batch of an epoch, a row each where all are as large, and what is left out."""
        rng = np.random.default_rng([self.seed, 0x0DE4, epoch])
        order = rng.permutation(self._rows(rng))
        full = self.in_epoch * min(self.size, len(order))  # what is left out is left out by chance, not for its size
        if self.size_N is None:
            return order[:full].reshape(self.in_epoch, -1), order[full:]
        stretch = _STRETCH * self.size
        parts = [order[at : min(at + stretch, full)] for at in range(0, full, stretch)]
        alike = [batch for part in parts for batch in self._alike(part, self.size_N)]
        return [alike[i] for i in rng.permutation(len(alike))], order[full:]

    def _rows(self, rng: np.random.Generator) -> Index:
        """Return the examples of an epoch."""
        some, others = self.drawn
        if not len(some) or not len(others):
            return self.rows
        stay = np.setdiff1d(self.rows, some)
        return np.concatenate([stay, rng.choice(np.concatenate([some, others]), len(some), replace=False)])

    def _alike(self, part: Index, size_N: Index) -> list[Index]:
        """Cut a stretch of some batches, sorted by size: little is filled up and, once mixed, much left to chance."""
        part = part[np.argsort(size_N[part], kind="stable")]
        count = max(1, len(part) // self.size)
        return np.split(part, _even(size_N[part], count) if self.evenly else count)

    def rows_of(self, step: int) -> tuple[Index, int]:
        """Return the examples of a batch and their epoch."""
        epoch, place = divmod(step, self.in_epoch)
        return self.of_epoch(epoch)[0][place], epoch

    def batch(self, step: int) -> Batch:
        """Return x_B... and target_B of a batch."""
        return self._given(*self.rows_of(step))

    def _given(self, index_B: Index, epoch: int) -> Batch:
        x_B = tensor(self.source.train(index_B, epoch), self.device)
        target_B = self.target_N[index_B]
        if self.move is not None:
            target_B = self.move(target_B, self.source.draws(index_B, epoch))
        return x_B, target_tensor(target_B, self.device)

    def _from(self, start: int, stop: int) -> Iterator[tuple[Index, int]]:
        """Yield the examples of batches and their epoch; the order of an epoch is drawn once for all of them."""
        while start < stop:
            epoch, place = divmod(start, self.in_epoch)
            some = self.of_epoch(epoch)[0][place : place + stop - start]
            yield from ((index_B, epoch) for index_B in some)
            start += len(some)

    def run(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches from number `start` to before `stop`."""
        if not self.workers:
            yield from (self._given(*each) for each in self._from(start, stop))
            return
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for index_B, epoch in self._from(start, stop):
                    waiting.append(pool.submit(self._given, index_B, epoch))
                    if len(waiting) >= _AHEAD * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _even(size_n: Index, count: int) -> Index:
    """Return where to cut sizes into parts of about the same sum, none of them empty."""
    part = np.arange(1, count)
    middle_n = np.cumsum(size_n) - size_n / 2
    cuts = np.searchsorted(middle_n, size_n.sum() * part / count)
    cuts = np.maximum.accumulate(np.maximum(cuts, 1) - part) + part  # each after the one before
    return np.asarray(np.minimum(cuts, len(size_n) - count + part), np.intp)


def target_tensor(target_B: NDArray[Any], device: str) -> torch.Tensor:
    """Return what is true of a batch as losses take it: classes as whole numbers, all else as float32."""
    kind = np.int64 if target_B.dtype.kind in "iu" else np.float32
    return torch.from_numpy(target_B.astype(kind)).to(device)


def tensor(x_B: NDArray[Any], device: str) -> torch.Tensor:
    """Return inputs as networks take them: halves as float32, whole numbers as they are."""
    x = torch.from_numpy(x_B).to(device)
    return x.float() if x.is_floating_point() else x
