"""The linear head and its arithmetic: standardisation, log loss, temperature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from headstart.heads.linear import LinearHead, fit_temperature, log_loss_N, safe_std, softmax, standardisation

Floats = NDArray[np.float64]
logits = arrays(np.float64, (5, 3), elements=st.floats(-1e4, 1e4))


def made(d: int = 6, k: int = 3, temperature: float = 1.0, seed: int = 0) -> LinearHead:
    rng = np.random.default_rng(seed)
    return LinearHead(
        rng.normal(size=d) * 10, rng.uniform(0.1, 5, d), rng.normal(size=(d, k)), rng.normal(size=k), temperature
    )


def overconfident(n: int, k: int, factor: float, seed: int = 0) -> tuple[Floats, NDArray[np.intp]]:
    """Logits that are `factor` times what they should be, with labels drawn from what they should be."""
    rng = np.random.default_rng(seed)
    honest = 2 * rng.normal(size=(n, k))
    target = (softmax(honest).cumsum(1) < rng.random((n, 1))).sum(1)
    return honest * factor, target


# -- the head


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_folded_head_gives_the_logits_that_the_definition_gives(temperature: float) -> None:
    head = made(temperature=temperature)
    x = np.random.default_rng(1).normal(size=(20, 6)) * 5
    slow = (((x - head.mean_D) / head.std_D) @ head.weight_DK + head.bias_K) / temperature
    weight_DK, bias_K = head.folded()
    np.testing.assert_allclose(x @ weight_DK + bias_K, slow, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(head.logits(x), slow, rtol=1e-10, atol=1e-10)


def test_logits_are_float64_of_float32_features_too() -> None:
    x = np.ones((2, 6), np.float32)
    assert made().logits(x).dtype == np.float64


def test_a_temperature_divides_the_logits_and_leaves_the_head_alone() -> None:
    head, x = made(), np.random.default_rng(1).normal(size=(4, 6))
    cool = head.with_temperature(np.float64(2.5))
    np.testing.assert_allclose(cool.logits(x) * 2.5, head.logits(x))
    assert (cool.temperature, head.temperature) == (2.5, 1.0)
    assert cool.weight_DK is head.weight_DK


def test_a_temperature_replaces_an_earlier_one() -> None:
    assert made(temperature=3.0).with_temperature(2.0).temperature == 2.0


# -- standardisation


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    x = np.random.default_rng(0).normal(7, 3, (100, 4)).astype(np.float32)
    mean_D, std_D = standardisation(x)
    z = (x - mean_D) / std_D
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-9)


def test_a_feature_that_never_varies_is_left_alone() -> None:
    x = np.column_stack([np.full(50, 0.1, np.float32), np.arange(50, dtype=np.float32)])
    mean_D, std_D = standardisation(x)
    assert std_D[0] == 1.0
    np.testing.assert_allclose(((x - mean_D) / std_D)[:, 0], 0, atol=1e-6)


def test_only_vanishing_deviations_are_replaced() -> None:
    np.testing.assert_array_equal(safe_std(np.array([0.0, 1e-9, 1e-7, 2.0])), [1.0, 1.0, 1e-7, 2.0])


def test_large_float32_sets_are_standardised_without_loss() -> None:
    x = np.full((200_000, 1), 1000.0, np.float32)
    x[::2] += 1
    mean_D, std_D = standardisation(x)
    np.testing.assert_allclose([mean_D[0], std_D[0]], [1000.5, 0.5], rtol=1e-9)


# -- softmax and log loss


@given(logits)
def test_softmax_gives_probabilities(l_NK: Floats) -> None:
    p = softmax(l_NK)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(1), 1)


@given(logits, st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_log_loss_is_that_of_scipy_s_log_softmax(l_NK: Floats, target: list[int]) -> None:
    expected = -log_softmax(l_NK, axis=1)[np.arange(5), target]
    np.testing.assert_allclose(log_loss_N(l_NK, np.asarray(target)), expected, rtol=1e-12, atol=1e-9)


def test_log_loss_of_huge_logits_is_their_difference_and_never_infinite() -> None:
    l_NK = np.array([[1e5, 0.0], [-1e5, 1e5], [1e300, 1e300]])
    np.testing.assert_allclose(log_loss_N(l_NK, np.array([1, 0, 0])), [1e5, 2e5, np.log(2)])
    np.testing.assert_array_equal(softmax(l_NK), [[1, 0], [0, 1], [0.5, 0.5]])


def test_log_loss_and_softmax_have_the_numbers_they_always_had() -> None:
    l_NK = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]) + 3
    np.testing.assert_allclose(softmax(l_NK), [[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(log_loss_N(l_NK, np.array([0, 2])), [0.35667494393873245, 0.6931471805599453])


# -- temperature


def smoothed(l_NK: Floats, target: NDArray[np.intp], log_t: float) -> float:
    """The objective of the docstring, slowly: all examples, and one more that could be of any class."""
    log_p = log_softmax(l_NK / np.exp(log_t), axis=1)
    return float(-log_p[np.arange(len(target)), target].sum() - log_p.mean())


@pytest.mark.parametrize(("n", "k"), [(30, 2), (200, 3), (500, 10)])
@pytest.mark.parametrize("factor", [0.02, 0.5, 1.0, 5.0])
def test_the_temperature_has_the_least_loss_of_a_dense_grid_and_of_scipy_s_search(
    n: int, k: int, factor: float
) -> None:
    l_NK, target = overconfident(n, k, factor)
    t = fit_temperature(l_NK, target)
    grid = np.geomspace(1e-3, 1e2, 400)
    assert smoothed(l_NK, target, np.log(t)) <= min(smoothed(l_NK, target, np.log(g)) for g in grid) + 1e-6
    exact = minimize_scalar(lambda u: smoothed(l_NK, target, u), bounds=(-9, 9), method="bounded")
    np.testing.assert_allclose(np.log(t), exact.x, atol=1e-3)


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0])
def test_with_many_examples_the_temperature_undoes_what_was_done_to_the_logits(factor: float) -> None:
    l_NK, target = overconfident(20_000, 5, factor)
    np.testing.assert_allclose(fit_temperature(l_NK, target), factor, rtol=0.05)


def test_with_many_examples_the_one_that_is_added_does_not_matter() -> None:
    l_NK, target = overconfident(5000, 4, 2.0)
    grid = np.geomspace(0.5, 8, 2000)
    plain = grid[np.argmin([log_loss_N(l_NK / g, target).mean() for g in grid])]
    np.testing.assert_allclose(fit_temperature(l_NK, target), plain, rtol=0.01)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_the_temperature_scales_with_the_logits(scale: float) -> None:
    """Ridge scores of 500 classes need a temperature of 0.005: no bound may come in the way."""
    l_NK, target = overconfident(200, 3, 1.0)
    np.testing.assert_allclose(fit_temperature(scale * l_NK, target), scale * fit_temperature(l_NK, target), rtol=1e-3)


@pytest.mark.parametrize("n", [20, 200, 2000])
def test_n_right_of_n_are_not_taken_for_certainty(n: int) -> None:
    target = np.arange(n) % 2
    l_NK = np.where(np.arange(2) == target[:, None], 5.0, 0.0)
    wrong = 1 - softmax(l_NK / fit_temperature(l_NK, target)).max(1)[0]
    np.testing.assert_allclose(wrong, 0.5 / (n + 1), rtol=1e-2)


def test_logits_that_are_wrong_throughout_are_made_to_say_nothing() -> None:
    target = np.arange(50) % 2
    l_NK = np.where(np.arange(2) == target[:, None], 0.0, 5.0)
    np.testing.assert_allclose(softmax(l_NK / fit_temperature(l_NK, target)), 0.5, atol=1e-3)


def test_a_shift_of_all_logits_of_an_example_changes_nothing() -> None:
    l_NK, target = overconfident(100, 3, 2.0)
    shift = 1e3 * np.random.default_rng(0).normal(size=(100, 1))
    np.testing.assert_allclose(fit_temperature(l_NK + shift, target), fit_temperature(l_NK, target), rtol=1e-3)


@given(arrays(np.float64, (6, 3), elements=st.floats(-100, 100)), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_any_logits_give_a_positive_finite_temperature(l_NK: Floats, target: list[int]) -> None:
    assert 0 < fit_temperature(l_NK, np.asarray(target)) <= 1e4 * (1 + 1e-3)
