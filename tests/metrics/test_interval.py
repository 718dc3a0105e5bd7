"""Bootstrap intervals: do they hold what they promise?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.metrics import interval
from headstart.metrics.interval import Measure, between, measured, resamples, widened

Floats = NDArray[np.float64]


def share(right: Floats) -> Callable[[NDArray[np.floating]], dict[str, float]]:
    """A score that is one plain share."""
    return lambda weight: {"accuracy": float(weight @ right / weight.sum())}


def of(right: Floats, seed: int = 0, unit: NDArray[np.intp] | None = None) -> Measure:
    unit_N = np.arange(len(right)) if unit is None else unit
    [measure] = measured(share(right), unit_N, seed, {"accuracy": int(unit_N.max()) + 1})
    return measure


def wilson(right: int, of_all: int) -> tuple[float, float]:
    z, p = 1.959963984540054, right / of_all
    middle = (p + z**2 / (2 * of_all)) / (1 + z**2 / of_all)
    half = z / (1 + z**2 / of_all) * np.sqrt(p * (1 - p) / of_all + z**2 / (4 * of_all**2))
    return middle - half, middle + half


def test_the_interval_of_an_accuracy_holds_the_truth_about_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for trial in range(300):
        measure = of((rng.random(100) < 0.8).astype(float), seed=trial)
        held += measure.low <= 0.8 <= measure.high
    assert 0.90 < held / 300 < 0.99


def test_units_drawn_one_by_one_although_they_come_in_pairs_would_promise_too_much() -> None:
    """Each picture is there twice: the interval is as wide as that of the pictures, not of the copies."""
    right = (np.random.default_rng(1).random(60) < 0.7).astype(float)
    once, paired = of(right), of(np.repeat(right, 2), unit=np.repeat(np.arange(60), 2))
    apart = of(np.repeat(right, 2))
    assert (paired.value, paired.low, paired.high) == (once.value, once.low, once.high)
    assert apart.high - apart.low < 0.8 * (paired.high - paired.low)


def test_the_rows_of_a_unit_are_drawn_together() -> None:
    unit = np.array([0, 1, 1, 2, 2, 2])
    seen: list[Floats] = []
    measured(lambda weight: (seen.append(weight.copy()), {"n": 1.0})[1], unit, 0, {})
    assert len(seen) == 1 + interval.RESAMPLES
    assert seen[0].tolist() == [1] * 6
    for weight in seen[1:]:
        assert weight[1] == weight[2]
        assert weight[3] == weight[4] == weight[5]
        assert weight[[0, 1, 3]].sum() == 3


def test_the_interval_is_about_that_of_the_textbook() -> None:
    right = np.arange(1000) < 700
    measure = of(right.astype(float))
    np.testing.assert_allclose([measure.low, measure.high], wilson(700, 1000), atol=0.005)
    assert measure.value == 0.7


def test_the_interval_narrows_with_the_root_of_the_number() -> None:
    widths = [of((np.arange(n) % 5 > 0).astype(float)) for n in (100, 1600)]
    assert (widths[0].high - widths[0].low) / (widths[1].high - widths[1].low) == pytest.approx(4, rel=0.15)


# -- shares of nothing and of all


@pytest.mark.parametrize("n", [1, 5, 20, 1000])
def test_all_right_is_widened_to_wilson_s_interval(n: int) -> None:
    measure = of(np.ones(n))
    assert (measure.value, measure.high) == (1.0, 1.0)
    np.testing.assert_allclose(measure.low, wilson(n, n)[0], atol=1e-6)


def test_twenty_right_of_twenty_may_have_been_839_in_a_thousand() -> None:
    assert of(np.ones(20)).low == pytest.approx(0.839, abs=5e-4)


@pytest.mark.parametrize("n", [1, 5, 20, 1000])
def test_all_wrong_is_widened_the_other_way(n: int) -> None:
    measure = of(np.zeros(n))
    assert (measure.value, measure.low) == (0.0, 0.0)
    np.testing.assert_allclose(measure.high, wilson(0, n)[1], atol=1e-6)


def test_copies_do_not_make_all_right_more_certain() -> None:
    assert of(np.ones(100), unit=np.arange(100) // 5) == of(np.ones(20))


def test_a_share_between_is_not_widened() -> None:
    measure = Measure("accuracy", 0.95, 0.9, 1.0)
    assert widened(measure, 20) is measure


def test_a_measure_that_is_no_share_is_not_widened() -> None:
    [measure] = measured(lambda _: {"log loss": 0.0}, np.arange(20), 0, {"accuracy": 20})
    assert measure == Measure("log loss", 0.0, 0.0, 0.0)


# -- resamples


def test_resamples_are_counts_that_add_up_to_the_units() -> None:
    drawn = list(resamples(7, 0, 50))
    assert len(drawn) == 50
    assert all(len(counts) == 7 and counts.sum() == 7 and counts.min() >= 0 for counts in drawn)


def test_every_unit_is_drawn_once_on_average_and_left_out_by_the_share_that_theory_says() -> None:
    counts = np.stack(list(resamples(50, 0)))
    np.testing.assert_allclose(counts.mean(0), 1, atol=0.15)
    np.testing.assert_allclose((counts == 0).mean(), (1 - 1 / 50) ** 50, atol=0.01)


def test_a_seed_fixes_the_resamples_and_another_one_gives_others() -> None:
    first, again, other = (np.stack(list(resamples(9, seed, 20))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_first_resamples_do_not_depend_on_how_many_follow() -> None:
    few, many = list(resamples(9, 0, 3)), list(islice(resamples(9, 0, 100), 3))
    np.testing.assert_array_equal(few, many)


def test_a_seed_fixes_the_interval_and_another_one_hardly_moves_it() -> None:
    right = (np.random.default_rng(1).random(200) < 0.8).astype(float)
    first, again, other = of(right, 0), of(right, 0), of(right, 1)
    assert first == again
    assert first.low == pytest.approx(other.low, abs=0.02)


# -- what goes between


def test_the_ends_are_the_percentiles_of_what_was_drawn() -> None:
    measure = between("x", 50.0, [float(v) for v in range(101)])
    assert (measure.low, measure.high) == (pytest.approx(2.5), pytest.approx(97.5))


@given(st.floats(-1e6, 1e6), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_value_is_never_outside_its_interval(value: float, drawn: list[float]) -> None:
    measure = between("x", value, drawn)
    assert measure.low <= measure.value <= measure.high


def test_resamples_in_which_a_measure_does_not_exist_are_passed_over() -> None:
    nan, inf = float("nan"), float("inf")
    assert between("x", 2.0, [1.0, nan, 3.0, inf]) == between("x", 2.0, [1.0, 3.0])


def test_a_measure_that_exists_in_no_resample_has_an_interval_without_extent() -> None:
    assert between("x", 2.0, [float("nan")] * 5) == Measure("x", 2.0, 2.0, 2.0)


def test_a_score_without_a_value_has_none_and_breaks_nothing() -> None:
    [measure] = measured(lambda _: {"accuracy": float("nan")}, np.arange(5), 0, {"accuracy": 5})
    assert all(np.isnan(v) for v in (measure.value, measure.low, measure.high))


def test_measures_keep_their_order_and_their_own_bounds() -> None:
    measures = measured(lambda _: {"b": 1.0, "a": 1.0}, np.arange(20), 0, {"a": 20})
    assert [m.name for m in measures] == ["b", "a"]
    assert measures[0].low == 1.0
    assert measures[1].low < 0.9


def test_a_record_is_what_scores_json_holds() -> None:
    assert Measure("accuracy", 0.9, 0.8, 0.95).record() == {"name": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95}
