"""encode: every example once through the frozen trunk, into the cache; what the cache knows is not redone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart import cache
from headstart.backbones.engine import Array, Chosen, Engine, Recalled
from headstart.data.examples import Content
from headstart.data.pixels import decoding_thread
from headstart.errors import DataError
from headstart.progress import Track
from headstart.ragged import pile

Load = Callable[[bytes], Array]
SAMPLE = 8
SHARD_ROWS = 256
SHARD_SECONDS = 10.0
_AHEAD = 16  # decoded inputs waiting for the network, for each decoding thread: 2 x 16 x 150 kB


@dataclass(frozen=True)
class Item:
    """An example to encode: what it is called, the SHA-256 of its bytes, the bytes, and how long it is to a network.

    The size orders examples, so that those of like length are computed, stored and trained on together: any unit
    serves. It is 0 where all are alike, as pictures are.
    """

    name: str
    digest: str
    content: Content
    size: int = 0


class Unreadable(str):
    """Why the bytes of an example could not be had just now. The next run tries again: bytes are not at fault."""


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
    known: Recalled | None,
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
        known: the engine that an earlier run took, if one did; where its space lacks nothing, none is built.
        choose: given some inputs, takes an engine.
        key: name of the engine -> name of the cache's space.
        root: folder of the cache.
        track: shows progress.
        clock: seconds.
        threads: decoding threads, beside the engine's own.

    Raises:
        DataError: nothing can be decoded.
        StoreError: the cache cannot be written; the finished shards stay.
    """
    digests = [item.digest for item in items]
    if known:
        space = cache.open_space(root, key(known.name))
        if not cache.missing(space, digests):
            return _features(items, space, known, {}, computed=0, building=0.0)
    start = clock()
    inputs = sample([item.content for item in items], load)
    if not inputs:
        raise DataError("None of the examples can be decoded.", found=f"{len(items)} examples")
    chosen = choose(inputs)
    building = clock() - start
    name = chosen.engine.name
    space = cache.open_space(root, key(name))
    todo = sorted((items[i] for i in cache.missing(space, digests)), key=lambda item: item.size)
    with track("features", len(todo)) as advance:
        unread = _compute(todo, load, chosen.engine, space, advance, clock, threads)
    space = cache.open_space(root, key(name))
    return _features(items, space, Recalled(name, chosen.cosine, chosen.note), unread, len(todo), building)


def _features(
    items: Sequence[Item],
    space: cache.Space,
    engine: Recalled,
    unread: dict[str, str],
    computed: int,
    building: float,
) -> Features:
    reasons = {**space.failures, **unread}
    failures = {i: reasons[item.digest] for i, item in enumerate(items) if item.digest in reasons}
    kept = tuple(i for i in range(len(items)) if i not in failures)
    return Features(space, kept, failures, engine.name, engine.cosine, engine.note, computed, building)


def sample(contents: Sequence[Content], load: Load) -> list[Array]:
    """Decode a few of the contents, evenly spread; fewer, or none, where fewer can be decoded."""
    step = max(1, len(contents) // SAMPLE)
    inputs = (decoded(content, load) for content in (*contents[::step], *contents))
    return list(islice((each for each in inputs if not isinstance(each, str)), SAMPLE))


def decoded(content: Content, load: Load) -> Array | str:
    """Return the network's input, or why there is none."""
    try:
        return load(content.read())
    except DataError as error:
        return error.found or error.what
    except OSError as error:
        return Unreadable(f"cannot be read: {error.strerror or error}")


def features_of(contents: Sequence[Content], load: Load, engine: Engine, threads: int) -> Iterator[NDArray[Any] | str]:
    """Yield the features of each content in order, or why there are none; decoding runs ahead in threads."""
    failed: deque[str | None] = deque()

    def inputs() -> Iterator[Array]:
        for outcome in _ahead(contents, load, threads):
            failed.append(outcome if isinstance(outcome, str) else None)
            if not isinstance(outcome, str):
                yield outcome

    for features_D in engine.run(inputs()):
        while (reason := failed.popleft()) is not None:
            yield reason
        yield features_D
    yield from (reason for reason in failed if reason is not None)


def _compute(
    todo: Sequence[Item],
    load: Load,
    engine: Engine,
    space: cache.Space,
    advance: Callable[[int], None],
    clock: Callable[[], float],
    threads: int,
) -> dict[str, str]:
    """Fill the cache, a shard at a time; a thread of its own forces them to disk. Returns what could not be read."""
    rows: list[NDArray[Any]] = []
    digests: list[str] = []
    failed: dict[str, str] = {}
    unread: dict[str, str] = {}
    writing: list[Future[None]] = []
    since = clock()
    with ThreadPoolExecutor(1) as writer:

        def flush() -> None:
            features_ND = pile(rows) if rows else np.empty((0, 1), np.float32)
            for earlier in writing:
                earlier.result()
            writing[:] = [writer.submit(cache.append, space, tuple(digests), features_ND, dict(failed))]
            rows.clear()
            digests.clear()
            failed.clear()

        outcomes = features_of([item.content for item in todo], load, engine, threads)
        for item, outcome in zip(todo, outcomes, strict=True):
            if isinstance(outcome, Unreadable):
                unread[item.digest] = outcome
            elif isinstance(outcome, str):
                failed[item.digest] = outcome
            else:
                digests.append(item.digest)
                rows.append(outcome)
            advance(1)
            if len(rows) >= SHARD_ROWS or clock() - since > SHARD_SECONDS:
                flush()
                since = clock()
        if rows or failed:
            flush()
        for last in writing:
            last.result()
    return unread


def _ahead(contents: Sequence[Content], load: Load, threads: int) -> Iterator[Array | str]:
    """Decode in threads, in order, a bounded number ahead of the network."""
    waiting: deque[Future[Array | str]] = deque()
    with ThreadPoolExecutor(threads, initializer=decoding_thread) as pool:
        try:
            for content in contents:
                waiting.append(pool.submit(decoded, content, load))
                if len(waiting) >= threads * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
