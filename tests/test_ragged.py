"""Arrays of different lengths: filled up, put with their like, and back in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart import ragged
from headstart.ragged import grouped, in_order, lengthened, pile

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=40)


def row(length: int, value: int, dtype: Any = np.int32) -> NDArray[Any]:
    """An array_L2 that says which one it is."""
    return np.full((length, 2), value, dtype)


def rows(lengths: Iterable[int]) -> list[NDArray[Any]]:
    return [row(length, number + 1) for number, length in enumerate(lengths)]


# -- one array


@given(LENGTHS)
def test_a_pile_has_each_row_and_zeros_after_it(lengths: list[int]) -> None:
    piled = pile(rows(lengths))
    assert (piled.shape, piled.dtype) == ((len(lengths), max(lengths), 2), np.int32)
    for number, length in enumerate(lengths):
        assert (piled[number, :length] == number + 1).all()
        assert (piled[number, length:] == 0).all()


def test_rows_of_one_shape_are_stacked_whatever_they_are() -> None:
    for shape in ((), (3,), (3, 4, 5)):
        given = [np.full(shape, i, np.float16) for i in range(3)]
        np.testing.assert_array_equal(pile(given), np.stack(given), strict=True)


def test_rows_that_differ_in_more_than_their_length_are_a_bug() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        pile([np.zeros((3, 2)), np.zeros((4, 5))])


def test_an_array_is_filled_up_to_a_length_and_never_cut() -> None:
    array_NL = pile(rows([2, 3]))
    longer = lengthened(array_NL, 5)
    assert longer.shape == (2, 5, 2)
    np.testing.assert_array_equal(longer[:, :3], array_NL)
    assert (longer[:, 3:] == 0).all()
    assert longer.dtype == array_NL.dtype
    assert lengthened(array_NL, 3) is array_NL
    assert lengthened(array_NL, 1) is array_NL


def test_a_table_of_features_has_no_length() -> None:
    features_ND = np.ones((2, 3), np.float32)
    assert lengthened(features_ND, 9) is features_ND


# -- groups


@given(LENGTHS, st.integers(1, 5))
def test_every_input_is_in_one_group_of_its_own_shape_and_groups_are_full(lengths: list[int], size: int) -> None:
    inputs = rows(lengths)
    groups = list(grouped(inputs, size))
    assert sorted(place for places, _ in groups for place in places) == list(range(len(inputs)))
    for places, batch in groups:
        assert len(batch) == size
        for i, each in enumerate(batch):  # the end is filled up with the last one again
            np.testing.assert_array_equal(each, inputs[places[min(i, len(places) - 1)]], strict=True)


@given(LENGTHS, st.integers(1, 5))
def test_what_is_made_of_groups_comes_back_in_order(lengths: list[int], size: int) -> None:
    made = ((places, batch[:, 0, :1]) for places, batch in grouped(rows(lengths), size))
    assert [int(each[0]) for each in in_order(made)] == [i + 1 for i in range(len(lengths))]


def test_batches_of_one_shape_come_in_order_as_soon_as_they_are_full() -> None:
    taken: list[int] = []

    def inputs() -> Iterator[NDArray[Any]]:
        for i in range(7):
            taken.append(i)
            yield row(2, i)

    groups = grouped(inputs(), 3)
    assert next(groups)[0] == [0, 1, 2]
    assert taken == [0, 1, 2]
    assert [places for places, _ in groups] == [[3, 4, 5], [6]]


def test_no_more_inputs_wait_for_others_of_their_shape_than_memory_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ragged, "_WAITING", 5)
    taken: list[int] = []

    def inputs() -> Iterator[NDArray[Any]]:
        for i in range(40):
            taken.append(i)
            yield row(1 + i % 9, i)

    at_most = 0
    given: list[int] = []
    for places, batch in grouped(inputs(), 8):
        at_most = max(at_most, len(taken) - len(given))
        given += places
        assert batch[: len(places), 0, 0].tolist() == places
    assert at_most <= 5
    assert sorted(given) == list(range(40))


def test_nothing_comes_of_nothing() -> None:
    assert list(grouped([], 4)) == []
    assert list(in_order([])) == []


def test_results_are_given_as_soon_as_all_before_them_are_there() -> None:
    asked: list[int] = []

    def results() -> Iterator[tuple[list[int], NDArray[Any]]]:
        for places in ([0, 3], [1], [2, 4]):
            asked.append(len(places))
            yield places, np.array(places)

    each = in_order(results())
    assert int(next(each)) == 0
    assert asked == [2]
    assert int(next(each)) == 1
    assert asked == [2, 1]
    assert [int(one) for one in each] == [2, 3, 4]
