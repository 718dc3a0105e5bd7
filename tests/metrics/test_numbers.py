"""Scores of numbers, with scikit-learn's and scipy's as the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn import metrics

from headstart.metrics.numbers import EXPLAINED, Numbered, rank_correlation, scores

Floats = NDArray[np.float64]


def made(n: int, seed: int) -> tuple[Floats, Floats]:
    """What was said and what is true, in units of any size; some values come again."""
    rng = np.random.default_rng(seed)
    true_N = np.round(rng.normal(size=n), int(rng.integers(0, 3)))
    true_N[:2] = -1.5, 2.5  # they are never all the same
    said_N = np.round(true_N * rng.uniform(-0.5, 1) + rng.normal(size=n), int(rng.integers(0, 3)))
    unit, start = 10 ** rng.uniform(-3, 3), 100 * rng.normal()
    return unit * (said_N + start), unit * (true_N + start)


def some_weights(n: int, seed: int) -> Floats:
    """Weights as a bootstrap draws them: whole numbers, about a third of them 0; the first two count."""
    weight_N = np.bincount(np.random.default_rng([seed, 1]).integers(0, n, n), minlength=n).astype(float)
    weight_N[:2] += 1
    return weight_N


def spearman(said_N: Floats, true_N: Floats, weight_N: Floats) -> float:
    rows = np.repeat(np.arange(len(said_N)), weight_N.astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is all the same it is not defined
        return float(spearmanr(said_N[rows], true_N[rows]).statistic)


cases = given(st.integers(2, 60), st.integers(0, 10_000))
few = settings(max_examples=60)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weights of a bootstrap"])
@cases
@few
def test_scores_are_scikit_learn_s_and_scipy_s(weighted: bool, n: int, seed: int) -> None:
    said_N, true_N = made(n, seed)
    weight_N = some_weights(n, seed) if weighted else np.ones(n)
    ours = scores(Numbered.of(said_N, true_N), weight_N)
    theirs = {
        "R²": metrics.r2_score(true_N, said_N, sample_weight=weight_N),
        "mean absolute error": metrics.mean_absolute_error(true_N, said_N, sample_weight=weight_N),
        "root mean squared error": metrics.root_mean_squared_error(true_N, said_N, sample_weight=weight_N),
        "rank correlation": spearman(said_N, true_N, weight_N),
    }
    assert list(ours) == list(theirs) == list(EXPLAINED)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


@cases
@few
def test_a_weight_says_how_often_an_example_counts(n: int, seed: int) -> None:
    said_N, true_N = made(n, seed)
    counts = some_weights(n, seed)
    rows = np.repeat(np.arange(n), counts.astype(int))
    weighted = scores(Numbered.of(said_N, true_N), counts)
    copied = scores(Numbered.of(said_N[rows], true_N[rows]), np.ones(len(rows)))
    for name in EXPLAINED:
        np.testing.assert_allclose(weighted[name], copied[name], rtol=1e-9, atol=1e-12, err_msg=name)


@cases
@few
def test_the_headline_is_the_mean_merit_of_the_examples(n: int, seed: int) -> None:
    data = Numbered.of(*made(n, seed))
    [name, *_] = EXPLAINED
    assert scores(data, np.ones(n))[name] == pytest.approx(data.merit_N.mean())


def test_scores_of_a_made_set_have_the_numbers_of_the_hand() -> None:
    data = Numbered.of(np.array([1.0, 4.0, 3.0]), np.array([1.0, 2.0, 6.0]))
    ours = scores(data, np.ones(3))
    assert data.error_N.tolist() == [0, 2, -3]
    assert ours["R²"] == pytest.approx(1 - 13 / 14)
    assert ours["mean absolute error"] == pytest.approx(5 / 3)
    assert ours["root mean squared error"] == pytest.approx((13 / 3) ** 0.5)
    assert ours["rank correlation"] == pytest.approx(0.5)


def test_the_units_of_the_data_change_errors_by_their_factor_and_nothing_else() -> None:
    said_N, true_N = made(40, 3)
    plain, other = (scores(Numbered.of(a * said_N + b, a * true_N + b), np.ones(40)) for a, b in ((1, 0), (60, 7)))
    assert other["R²"] == pytest.approx(plain["R²"])
    assert other["rank correlation"] == pytest.approx(plain["rank correlation"])
    for name in ("mean absolute error", "root mean squared error"):
        assert other[name] == pytest.approx(60 * plain[name])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 + 0.1, -3e-5])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_of_numbers_that_are_all_the_same_no_share_is_explained_and_nothing_is_in_order(value: float, n: int) -> None:
    """Rounding leaves a mean that is not quite their value; a quotient of that would be anything."""
    data = Numbered.of(np.linspace(0, 1, n), np.full(n, value))
    for weight_N in (np.ones(n), np.full(n, 3.0)):
        ours = scores(data, weight_N)
        assert np.isnan([ours["R²"], ours["rank correlation"]]).all()
        assert ours["mean absolute error"] == pytest.approx(np.abs(np.linspace(0, 1, n) - value).mean())
    assert np.isfinite(data.merit_N).all()


def test_always_saying_the_same_is_in_no_order() -> None:
    assert np.isnan(rank_correlation(Numbered.of(np.full(5, 0.1), np.arange(5.0)), np.ones(5)))


def test_only_the_order_counts_for_the_rank_correlation() -> None:
    true_N = np.arange(1.0, 9)
    for said_N, expected in ((true_N**5, 1.0), (-np.exp(true_N), -1.0)):
        assert rank_correlation(Numbered.of(said_N, true_N), np.ones(8)) == pytest.approx(expected)


def test_without_any_weight_every_score_is_nan() -> None:
    ours = scores(Numbered.of(*made(5, 0)), np.zeros(5))
    assert list(ours) == list(EXPLAINED)
    assert all(np.isnan(value) for value in ours.values())


def test_a_bootstrap_that_draws_one_example_alone_is_not_scored_as_a_disaster() -> None:
    data = Numbered.of(np.array([0.3, 0.2, 0.9]), np.array([0.1, 0.7, 0.4]))
    assert np.isnan(scores(data, np.array([3.0, 0.0, 0.0]))["R²"])
