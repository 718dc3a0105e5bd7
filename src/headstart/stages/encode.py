"""encode: every example once through the frozen trunk, into the cache; what the cache knows is not computed again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart import cache
from headstart.backbones.engine import Array, Chosen, Engine
from headstart.data.examples import Content
from headstart.data.pixels import decoding_thread
from headstart.errors import DataError
from headstart.progress import Track

Load = Callable[[bytes], Array]
SAMPLE = 8
SHARD_ROWS = 256
SHARD_SECONDS = 10.0
_AHEAD = 16  # decoded inputs waiting for the network, for each decoding thread: 2 x 16 x 150 kB


@dataclass(frozen=True)
class Item:
    """An example to encode: what it is called, the SHA-256 of its bytes, and the bytes."""

    name: str
    digest: str
    content: Content


@dataclass(frozen=True)
class Features:
    """Where the features of some examples are, and how they came there.

    Attributes:
        space: the cache's space that holds them.
        kept: positions of the items that have features; the others could not be decoded.
        failures: position -> why not.
        engine: name of the engine.
        cosine: its least cosine similarity with PyTorch fp32.
        note: why a faster engine was not taken.
        computed: examples that went through the network now; the others were in the cache.
        seconds_building: of the time, what opening or converting the network for the engine took.
    """

    space: cache.Space
    kept: tuple[int, ...]
    failures: dict[int, str]
    engine: str
    cosine: float
    note: str
    computed: int
    seconds_building: float


def encode(
    items: Sequence[Item],
    load: Load,
    choose: Callable[[Sequence[Array]], Chosen],
    key: Callable[[str], str],
    root: Path,
    track: Track,
    clock: Callable[[], float],
    threads: int,
) -> Features:
    """Compute what the cache lacks.

    Args:
        items: the examples.
        load: bytes -> the network's input. Raises DataError for what cannot be decoded; called in threads.
        choose: given some inputs, takes an engine.
        key: name of the engine -> name of the cache's space.
        root: folder of the cache.
        track: shows progress.
        clock: seconds.
        threads: decoding threads, beside the engine's own.

    Raises:
        StoreError: the cache cannot be written; the finished shards stay.
    """
    start = clock()
    chosen = choose(_sample(items, load))
    building = clock() - start
    space = cache.open_space(root, key(chosen.engine.name))
    todo = [items[i] for i in cache.missing(space, [item.digest for item in items])]
    if todo:
        with track("features", len(todo)) as advance:
            _compute(todo, load, chosen.engine, space, advance, clock, threads)
        space = cache.open_space(root, key(chosen.engine.name))
    failures = {i: space.failures[item.digest] for i, item in enumerate(items) if item.digest in space.failures}
    kept = tuple(i for i in range(len(items)) if i not in failures)
    return Features(
        space, kept, failures, chosen.engine.name, chosen.cosine, chosen.note, len(todo), building
    )


def _sample(items: Sequence[Item], load: Load) -> list[Array]:
    """Decode the first few decodable of evenly spread examples."""
    step = max(1, len(items) // SAMPLE)
    spread = [*items[::step], *items]
    inputs = (pixels for item in spread if isinstance(pixels := _decoded(item, load), np.ndarray))
    sample = list(islice(inputs, SAMPLE))
    if not sample:
        raise DataError("None of the examples can be decoded.", found=f"{len(items)} examples")
    return sample


def _decoded(item: Item, load: Load) -> Array | str:
    """Return the network's input, or why there is none."""
    try:
        return load(item.content.read())
    except DataError as error:
        return error.found or error.what
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _compute(
    todo: Sequence[Item],
    load: Load,
    engine: Engine,
    space: cache.Space,
    advance: Callable[[int], None],
    clock: Callable[[], float],
    threads: int,
) -> None:
    order: deque[str] = deque()
    failed: dict[str, str] = {}

    def inputs() -> Iterator[Array]:
        for item, outcome in _ahead(todo, load, threads):
            if isinstance(outcome, str):
                failed[item.digest] = outcome
                advance(1)
            else:
                order.append(item.digest)
                yield outcome

    rows: list[NDArray[np.float32]] = []
    digests: list[str] = []
    since = clock()
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for features_D in engine.run(inputs()):
            digests.append(order.popleft())
            rows.append(features_D)
            advance(1)
            if len(rows) >= SHARD_ROWS or clock() - since > SHARD_SECONDS:
                if writing:
                    writing.result()
                write = partial(cache.append, space, tuple(digests), np.stack(rows), {})
                writing = writer.submit(write)
                rows, digests, since = [], [], clock()
        if writing:
            writing.result()
    if rows or failed:
        last = np.stack(rows) if rows else np.empty((0, 1), np.float32)
        cache.append(space, digests, last, failed)


def _ahead(todo: Sequence[Item], load: Load, threads: int) -> Iterator[tuple[Item, Array | str]]:
    """Decode in threads, in order, a bounded number ahead of the network."""
    waiting: deque[tuple[Item, Future[Array | str]]] = deque()
    with ThreadPoolExecutor(threads, initializer=decoding_thread) as pool:
        try:
            for item in todo:
                waiting.append((item, pool.submit(_decoded, item, load)))
                if len(waiting) >= threads * _AHEAD:
                    head, future = waiting.popleft()
                    yield head, future.result()
            while waiting:
                head, future = waiting.popleft()
                yield head, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
