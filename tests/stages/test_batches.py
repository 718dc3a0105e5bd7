"""Batches: all of them from (seed, epoch, index), whoever reads them and whenever."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.stages.batches import Batches, Fly, Source, Views, tensor
from training_samples import stored

Array = NDArray[Any]
VIEWS = 4


def numbered(n: int = 20, view: int = 0) -> Array:
    """Rows that say which example and which view they are."""
    return np.stack([np.arange(n), np.full(n, view)], 1).astype(np.float32)


def views(seed: int = 0, n: int = 20) -> Views:
    return Views([stored(numbered(n, view)) for view in range(VIEWS)], seed)


def drawing(x: Array, rng: np.random.Generator) -> Array:
    """A change that says which example it was given, and the first number that it drew."""
    return np.array([x[0], rng.random()])


def fly(seed: int = 0, n: int = 20) -> Fly:
    return Fly(stored(numbered(n)), stored(numbered(n, 9)), drawing, seed)


def made(source: Source | None = None, n: int = 20, size: int = 4, seed: int = 0, workers: int = 0) -> Batches:
    return Batches(source or fly(seed, n), np.arange(n), np.arange(n) % 3, size, seed, workers)


def seen(batches: Batches, start: int, stop: int) -> list[tuple[list[list[float]], list[int]]]:
    return [(x_B.tolist(), target_B.tolist()) for x_B, target_B in batches.run(start, stop)]


# -- order


def order(batches: Batches, epoch: int) -> Array:
    """All examples in the order of an epoch, those that are left out of it last."""
    of_batch, left_out = batches.of_epoch(epoch)
    return np.concatenate([*of_batch, left_out])


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**40))
def test_every_example_comes_once_an_epoch_but_for_what_does_not_fill_a_batch(
    n: int, size: int, epoch: int, seed: int
) -> None:
    batches = made(n=n, size=size, seed=seed)
    steps = range(epoch * batches.in_epoch, (epoch + 1) * batches.in_epoch)
    rows = [batches.rows_of(step) for step in steps]
    assert {epoch for _, epoch in rows} == {epoch}
    count = Counter(int(i) for index_B, _ in rows for i in index_B)
    assert set(count.values()) == {1}
    assert len(count) == (n - n % size if n >= size else n)
    assert {len(index_B) for index_B, _ in rows} == {min(n, size)}


def test_what_is_left_out_of_one_epoch_is_another_epoch_s() -> None:
    batches = made(n=11, size=4)
    left = [set(range(11)) - {int(i) for s in (2 * e, 2 * e + 1) for i in batches.rows_of(s)[0]} for e in range(12)]
    assert {len(each) for each in left} == {3}
    assert set.union(*left) == set(range(11))


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    one = made()
    orders = [order(one, epoch).tolist() for epoch in (0, 1, 2)]
    np.random.seed(3)  # the global one, which nothing may look at
    list(one.run(0, 7))
    other = made(views(5), size=7, workers=2)
    assert [order(other, epoch).tolist() for epoch in (2, 1, 0)] == orders[::-1]
    assert len({tuple(order) for order in orders}) == 3
    assert order(made(seed=1), 0).tolist() != orders[0]


def test_the_order_of_a_seed_written_out() -> None:
    """Another order is another training: whatever was measured with this one would have to be measured again."""
    assert order(made(n=8), 0).tolist() == [2, 7, 0, 6, 3, 4, 1, 5]
    assert order(made(n=8, seed=7), 3).tolist() == [4, 7, 3, 1, 6, 5, 0, 2]


def test_only_the_rows_that_are_asked_for_are_trained_on_with_their_own_labels() -> None:
    rows = np.array([3, 5, 8, 13, 2, 17])
    batches = replace(made(size=3), rows=rows)
    assert sorted(i for x_B, _ in batches.run(0, 2) for i in x_B[:, 0].tolist()) == sorted(rows)
    for x_B, target_B in batches.run(0, 9):
        assert target_B.tolist() == [int(i) % 3 for i in x_B[:, 0]]
        assert target_B.dtype == torch.int64


def test_general_examples_are_drawn_anew_in_each_epoch_and_the_others_always_come() -> None:
    some, others = np.arange(8, 12), np.arange(12, 20)
    batches = replace(made(size=4), rows=np.arange(12), drawn=(some, others))
    assert batches.in_epoch == 3
    epochs = [sorted(int(i) for i in np.concatenate(batches.of_epoch(epoch)[0])) for epoch in range(30)]
    for rows in epochs:
        assert rows[:8] == list(range(8))
        assert len(set(rows)) == 12
    assert {i for rows in epochs for i in rows} == set(range(20))
    assert [sorted(int(i) for i in np.concatenate(batches.of_epoch(e)[0])) for e in range(30)] == epochs
    alone = replace(batches, drawn=(some, others[:0]))
    np.testing.assert_array_equal(alone.of_epoch(3)[0], replace(alone, drawn=(some[:0], others)).of_epoch(3)[0])


def test_a_batch_does_not_depend_on_the_ones_before_it() -> None:
    whole = seen(made(), 0, 15)
    assert seen(made(), 7, 15) == whole[7:]
    assert seen(made(), 11, 12) == whole[11:12]
    assert seen(made(), 4, 4) == []


# -- views


def drawn(source: Views, epoch: int, index_B: Array) -> dict[int, int]:
    return {int(i): int(view) for i, view in source.train(index_B, epoch)}


def test_the_view_of_an_example_depends_on_seed_epoch_and_index_and_on_no_neighbour() -> None:
    everyone = np.arange(20)
    first = drawn(views(), 1, everyone)
    assert drawn(views(), 1, everyone[::-1]) == first
    for i in (3, 11, 19):
        assert drawn(views(), 1, np.array([i])) == {i: first[i]}
    assert drawn(views(1), 1, everyone) != first
    assert drawn(views(), 2, everyone) != first


def test_rows_come_in_the_order_that_was_asked_for_each_of_the_view_that_was_drawn() -> None:
    index_B = np.array([7, 2, 19, 2])
    got = views().train(index_B, 0)
    assert got[:, 0].tolist() == [7, 2, 19, 2]
    assert got[1].tolist() == got[3].tolist()


def test_all_views_are_drawn_alike() -> None:
    count = Counter(view for epoch in range(60) for view in drawn(views(), epoch, np.arange(20)).values())
    assert set(count) == set(range(VIEWS))
    assert max(abs(n - 300) for n in count.values()) < 5 * np.sqrt(1200 * 0.25 * 0.75)


def test_a_single_view_is_always_that_one() -> None:
    one = Views([stored(numbered())], 0)
    np.testing.assert_array_equal(one.train(np.arange(20), 3), numbered())


def test_for_judging_the_first_view_is_taken() -> None:
    np.testing.assert_array_equal(views().clean(np.array([4, 1])), numbered()[[4, 1]])


# -- changed on the fly


def test_what_is_changed_is_drawn_from_seed_epoch_and_index() -> None:
    index_B = np.array([7, 2, 19])
    got = fly(5).train(index_B, 3)
    assert got[:, 0].tolist() == [7, 2, 19]
    assert got[:, 1].tolist() == [np.random.default_rng([5, 3, i]).random() for i in index_B]
    assert len({*got[:, 1], *fly(5).train(index_B, 4)[:, 1], *fly(6).train(index_B, 3)[:, 1]}) == 9


def test_for_judging_nothing_is_changed() -> None:
    np.testing.assert_array_equal(fly().clean(np.array([4, 1])), numbered(20, 9)[[4, 1]])


# -- workers


@pytest.mark.parametrize("source", [views, fly])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_nothing(source: Any, workers: int) -> None:
    assert seen(made(source(), workers=workers), 3, 21) == seen(made(source()), 3, 21)


class Watched:
    """A source that knows who read what, and that fails at an example."""

    def __init__(self, fails: int = -1) -> None:
        self.threads: set[int] = set()
        self.read = 0
        self.fails = fails

    def train(self, index_B: Array, epoch: int) -> Array:
        self.threads.add(threading.get_ident())
        self.read += 1
        if self.fails in index_B:
            raise ValueError("no such example")
        return numbered()[index_B]

    clean = None


def test_without_workers_batches_are_read_when_asked_for_and_not_before() -> None:
    source = Watched()
    run = made(source).run(0, 10)  # type: ignore[arg-type]
    next(run)
    assert (source.read, source.threads) == (1, {threading.get_ident()})


def test_workers_read_ahead_a_few_batches_and_stop_when_nobody_wants_more() -> None:
    source = Watched()
    run = made(source, workers=2).run(0, 1000)  # type: ignore[arg-type]
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert 1 <= source.read <= 6
    assert threading.get_ident() not in source.threads
    assert not [t for t in threading.enumerate() if t.ident in source.threads], "they are gone"


def test_what_waits_to_be_read_is_not_read_once_nobody_wants_more() -> None:
    """A training that is stopped does not first augment six more batches."""
    gate = threading.Event()

    class Slow(Watched):
        def train(self, index_B: Array, epoch: int) -> Array:
            if self.read:
                gate.wait(10)
            return super().train(index_B, epoch)

    source = Slow()
    run = made(source, workers=1).run(0, 1000)  # type: ignore[arg-type]
    next(run)
    threading.Timer(0.3, gate.set).start()
    run.close()  # type: ignore[attr-defined]
    assert source.read <= 2


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_source_comes_with_its_batch(workers: int) -> None:
    batches = made(Watched(fails=7), workers=workers)  # type: ignore[arg-type]
    place = next(step for step in range(5) if 7 in batches.rows_of(step)[0])
    run = batches.run(0, 5)
    for step in range(place):
        assert torch.equal(next(run)[0], batches.batch(step)[0])
    with pytest.raises(ValueError, match="no such example"):
        next(run)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_of_an_epoch_is_drawn_once(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 29,000 pairs that takes 5 ms, a step of a small network no more."""
    drawn: list[int] = []
    real = Batches.of_epoch

    def counted(self: Batches, epoch: int) -> Any:
        drawn.append(epoch)
        return real(self, epoch)

    monkeypatch.setattr(Batches, "of_epoch", counted)
    batches = made(workers=workers)
    each = batches.in_epoch
    assert len(list(batches.run(1, 3 * each + 1))) == 3 * each
    assert drawn == [0, 1, 2, 3]


# -- tensors


def test_halves_come_as_floats_and_whole_numbers_as_they_are() -> None:
    halves = tensor(np.array([[1.5, 65504, -0.1]], np.float16), "cpu")
    assert halves.dtype == torch.float32
    assert halves.tolist() == np.array([[1.5, 65504, -0.1]], np.float16).astype(np.float32).tolist()
    pixels = tensor(np.array([[0, 255]], np.uint8), "cpu")
    assert (pixels.dtype, pixels.tolist()) == (torch.uint8, [[0, 255]])
    assert tensor(np.ones((2, 3), np.float32), "cpu").dtype == torch.float32


@pytest.mark.parametrize(("dtype", "expected"), [(np.float16, torch.float32), (np.uint8, torch.uint8)])
def test_batches_of_activations_and_of_pixels_have_the_shape_and_the_kind_that_networks_take(
    dtype: Any, expected: torch.dtype
) -> None:
    x_N = np.arange(20 * 3 * 4 * 5).reshape(20, 3, 4, 5).astype(dtype)
    x_B, target_B = made(Views([stored(x_N)], 0)).batch(2)
    assert (x_B.dtype, tuple(x_B.shape), tuple(target_B.shape)) == (expected, (4, 3, 4, 5), (4,))
    index_B, _ = made().rows_of(2)
    np.testing.assert_array_equal(x_B.numpy(), x_N[index_B].astype(x_B.numpy().dtype))


# -- of like lengths


def lengths(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(1, 200, n)


def alike(n: int, size: int, seed: int = 0, length_n: Array | None = None) -> Batches:
    return replace(made(n=n, size=size, seed=seed), size_N=lengths(n) if length_n is None else length_n)


@given(st.integers(1, 300), st.integers(1, 12), st.integers(0, 3))
def test_batches_of_like_lengths_are_each_example_once_as_well(n: int, size: int, epoch: int) -> None:
    batches = alike(n, size)
    assert sorted(order(batches, epoch)) == list(range(n))
    rows = [batches.rows_of(step) for step in range(epoch * batches.in_epoch, (epoch + 1) * batches.in_epoch)]
    assert {len(index_B) for index_B, _ in rows} == {min(n, size)}
    assert len({int(i) for index_B, _ in rows for i in index_B}) == (n - n % size if n >= size else n)


def test_little_is_filled_up_in_batches_of_like_lengths() -> None:
    """Filled up is what the longest of a batch has more than the others."""

    def wasted(batches: Batches) -> float:
        rows = [lengths(640)[batches.rows_of(step)[0]] for step in range(batches.in_epoch)]
        return 1 - sum(each.sum() for each in rows) / sum(len(each) * each.max() for each in rows)

    assert wasted(made(n=640, size=8)) > 0.4
    assert wasted(alike(640, 8)) < 0.1


def test_what_is_left_out_is_left_out_by_chance_and_not_for_its_length() -> None:
    batches = alike(11, 4)
    left = Counter(int(i) for epoch in range(100) for i in order(batches, epoch)[8:])
    assert set(left) == set(range(11)), "all are left out sometimes, so none is always"
    assert max(left.values()) < 50


def test_batches_of_like_lengths_are_mixed_anew_in_each_epoch() -> None:
    batches = alike(128, 4)
    orders = [order(batches, epoch) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    longest = [[int(lengths(128)[order[at : at + 4]].max()) for at in range(0, 128, 4)] for order in orders]
    assert all(each != sorted(each) for each in longest), "short ones do not come before long ones"
    together = [{frozenset(order[at : at + 4].tolist()) for at in range(0, 128, 4)} for order in orders]
    assert len(together[0] & together[1]) < 8, "not the same ones together each time"
    assert order(alike(128, 4, seed=1), 0).tolist() != orders[0].tolist()
    assert order(alike(128, 4), 0).tolist() == orders[0].tolist()


def test_examples_that_are_all_as_long_come_as_often_as_without_lengths() -> None:
    batches = alike(20, 4, length_n=np.full(20, 7))
    assert sorted(i for x_B, _ in batches.run(0, 5) for i in x_B[:, 0].tolist()) == list(range(20))


def texts(rows: Array) -> list[Array]:
    """Rows of different lengths: the length says which example it is."""
    return [np.full((int(i) % 5 + 1, 2), int(i) + 1, np.int32) for i in rows]


class Longer:
    """A cache's rows that are of different lengths."""

    def take(self, index_B: Array) -> Any:
        return texts(index_B)


@pytest.mark.parametrize("kind", ["views", "fly"])
def test_a_batch_is_as_long_as_its_longest_and_ends_in_zeros(kind: str) -> None:
    rows: Any = Longer()
    source: Source = Views([rows], 0) if kind == "views" else Fly(rows, rows, lambda x, rng: x, 0)
    index_B = np.array([4, 0, 7, 10])
    batch = source.train(index_B, 0)
    assert (batch.shape, batch.dtype) == ((4, 5, 2), np.int32)
    for row, i in zip(batch, index_B, strict=True):
        length = i % 5 + 1
        assert (row[:length] == i + 1).all()
        assert not row[length:].any()
    x_B, _ = Batches(source, np.arange(12), np.arange(12) % 2, 4, 0).batch(1)
    assert x_B.dtype == torch.int32


# -- with as much in each


def evenly(length_n: Array, size: int, seed: int = 0) -> Batches:
    return replace(alike(len(length_n), size, seed, length_n), evenly=True)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=120), st.integers(1, 12), st.integers(0, 3))
def test_even_batches_are_each_example_once_and_none_is_empty(sizes: list[int], size: int, epoch: int) -> None:
    batches = evenly(np.array(sizes), size)
    of_batch, left_out = batches.of_epoch(epoch)
    assert len(of_batch) == batches.in_epoch
    assert all(map(len, of_batch))
    assert sorted(order(batches, epoch)) == list(range(len(sizes)))
    assert len(left_out) == (len(sizes) % size if len(sizes) >= size else 0)


def test_even_batches_have_about_as_much_in_each() -> None:
    length_n = lengths(640)
    sums = {
        name: np.array([length_n[index_B].sum() for index_B in batches.of_epoch(0)[0]])
        for name, batches in (("alike", alike(640, 8)), ("evenly", evenly(length_n, 8)))
    }
    assert sums["evenly"].max() < 1.4 * sums["evenly"].mean()
    assert sums["alike"].max() > 1.8 * sums["alike"].mean()


def test_batches_that_are_as_even_as_can_be_are_those_of_as_many() -> None:
    length_n = np.full(64, 7)
    of_batch, _ = evenly(length_n, 4).of_epoch(0)
    assert {len(index_B) for index_B in of_batch} == {4}


def test_a_giant_has_a_batch_of_its_own_and_the_others_share_the_rest() -> None:
    length_n = np.array([1] * 11 + [1000])
    of_batch, _ = evenly(length_n, 4).of_epoch(0)
    assert [11] in [index_B.tolist() for index_B in of_batch]
    assert len(of_batch) == 3
