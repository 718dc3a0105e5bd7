"""Arrays of different lengths: put into one, too short ones filled up with zeros; or those of one shape together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_WAITING = 1024  # inputs that wait for others of their shape, at most


def pile(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack arrays_L... to one of N x the greatest L; they differ in nothing but L.

    Of pictures all are alike, and it is `np.stack`. Of texts a place of zeros is no token: see `backbones.tokens`.
    """
    if len({row.shape for row in rows}) < 2:
        return np.stack(rows)
    longest = max(len(row) for row in rows)
    out = np.zeros((len(rows), longest, *rows[0].shape[1:]), rows[0].dtype)
    for place, row in zip(out, rows, strict=True):
        place[: len(row)] = row
    return out


def lengthened(array_NL: NDArray[Any], length: int) -> NDArray[Any]:
    """Return an array with its second axis filled up to a length with zeros; itself where it is as long already."""
    if array_NL.ndim < 3 or array_NL.shape[1] >= length:
        return array_NL
    out = np.zeros((len(array_NL), length, *array_NL.shape[2:]), array_NL.dtype)
    out[:, : array_NL.shape[1]] = array_NL
    return out


Group = tuple[list[int], Array]
"""Places of inputs, and the inputs as one batch; the batch is as long as asked for, its end filled up."""


def grouped(inputs: Iterable[Array], size: int) -> Iterator[Group]:
    """Put inputs of one shape together, in batches of `size`. Of one shape alone, the batches are in order."""
    waiting: dict[tuple[int, ...], list[tuple[int, Array]]] = {}
    count = 0
    for place, each in enumerate(inputs):
        mine = waiting.setdefault(each.shape, [])
        mine.append((place, each))
        count += 1
        if len(mine) == size:
            yield _group(waiting.pop(each.shape), size)
            count -= size
        elif count >= _WAITING:
            for rest in waiting.values():
                yield _group(rest, size)
            waiting, count = {}, 0
    for rest in waiting.values():
        yield _group(rest, size)


def _group(pairs: Sequence[tuple[int, Array]], size: int) -> Group:
    batch = [each for _, each in pairs]
    return [place for place, _ in pairs], np.stack([*batch, *[batch[-1]] * (size - len(batch))])


def in_order(results: Iterable[tuple[list[int], NDArray[Any]]]) -> Iterator[NDArray[Any]]:
    """Yield the rows of batches in the order of the inputs."""
    ready: dict[int, NDArray[Any]] = {}
    at = 0
    for places, batch in results:
        ready.update(zip(places, batch, strict=False))  # what fills a batch up has no place
        while at in ready:
            yield ready.pop(at)
            at += 1
