"""Ridge regression from sums, with scikit-learn's as the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from headstart.heads.ridge import GRID, Sums, accumulate, fit_ridge, fit_rows

Floats = NDArray[np.floating]
Ints = NDArray[np.intp]


def made(n: int, d: int, classes: int, seed: int = 0) -> tuple[NDArray[np.float64], Ints]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    z = rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d))
    return z * np.geomspace(0.1, 10, d) + rng.normal(size=d) * 3, y


def summed(x: Floats, y: Ints, classes: int, block: int = 10**9) -> Sums:
    blocks = ((x[i : i + block], np.eye(classes)[y[i : i + block]]) for i in range(0, len(x), block))
    return accumulate(blocks, x.shape[1], classes)


def assert_same(a: Sums, b: Sums, rtol: float = 1e-9) -> None:
    for name in ("rows", "x_D", "xx_DD", "y_K", "xy_DK"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("penalty", GRID)
@pytest.mark.parametrize(("n", "d", "classes"), [(60, 5, 2), (60, 5, 4), (25, 40, 3)], ids=["two", "four", "n<d"])
def test_the_head_is_scikit_learn_s_ridge_on_standardised_features(
    n: int, d: int, classes: int, penalty: float
) -> None:
    x, y = made(n, d, classes)
    [head] = fit_ridge(summed(x, y, classes), [penalty])
    z = (x - x.mean(0)) / x.std(0)
    theirs = Ridge(alpha=penalty * n).fit(z, np.eye(classes)[y])
    np.testing.assert_allclose(head.logits(x), theirs.predict(z), atol=1e-7)
    np.testing.assert_allclose(head.weight_DK, theirs.coef_.T, atol=1e-7)


def test_scores_of_an_example_add_up_to_one() -> None:
    x, y = made(50, 4, 3)
    for head in fit_ridge(summed(x, y, 3)):
        np.testing.assert_allclose(head.logits(x).sum(1), 1, atol=1e-9)


def test_a_grid_gives_what_each_of_its_values_gives_alone() -> None:
    x, y = made(50, 4, 3)
    for penalty, head in zip(GRID, fit_ridge(summed(x, y, 3)), strict=True):
        np.testing.assert_array_equal(head.weight_DK, fit_ridge(summed(x, y, 3), [penalty])[0].weight_DK)


@given(st.integers(2, 40), st.integers(1, 39), st.integers(1, 17), st.integers(0, 1000))
@settings(max_examples=25)
def test_sums_of_parts_add_up_and_subtract(n: int, cut: int, block: int, seed: int) -> None:
    x, y = made(n, 3, 2, seed)
    whole, first, rest = (summed(x[s], y[s], 2, block) for s in (slice(None), slice(cut), slice(cut, None)))
    assert_same(first + rest, whole)
    assert_same(whole - rest, first)
    assert whole.rows == n


def test_adding_changes_neither_side() -> None:
    x, y = made(20, 3, 2)
    a, b = summed(x[:10], y[:10], 2), summed(x[10:], y[10:], 2)
    before = a.xx_DD.copy()
    _ = a + b, a - b
    np.testing.assert_array_equal(a.xx_DD, before)


@pytest.mark.parametrize("block", [1, 7, 512])
def test_the_result_does_not_depend_on_the_size_of_the_blocks(block: int) -> None:
    x, y = made(100, 5, 3)
    there, here = fit_ridge(summed(x, y, 3))[2], fit_ridge(summed(x, y, 3, block))[2]
    np.testing.assert_allclose(here.logits(x), there.logits(x), atol=1e-9)


def test_a_fold_by_subtraction_is_the_fold_fitted_directly() -> None:
    x, y = made(200, 8, 4)
    by_subtraction = fit_ridge(summed(x, y, 4) - summed(x[:40], y[:40], 4))
    for a, b in zip(by_subtraction, fit_ridge(summed(x[40:], y[40:], 4)), strict=True):
        np.testing.assert_allclose(a.logits(x), b.logits(x), atol=1e-8)


def test_float32_features_give_what_float64_features_give() -> None:
    x, y = made(2000, 6, 3)
    x32 = x.astype(np.float32)
    half, full = summed(x32, y, 3, 512), summed(x32.astype(np.float64), y, 3, 512)
    assert_same(half, full)
    assert half.xx_DD.dtype == np.float64
    np.testing.assert_allclose(fit_ridge(half)[0].logits(x32), fit_ridge(full)[0].logits(x32), atol=1e-9)


def test_a_float32_feature_far_from_zero_keeps_its_variance() -> None:
    """Products in float32 got the deviation of such a feature wrong by a third of a per cent."""
    rng = np.random.default_rng(0)
    x = (10 + 0.05 * rng.normal(size=(3000, 4))).astype(np.float32)
    y = (x[:, 0] > 10).astype(np.intp)
    [head] = fit_ridge(summed(x, y, 2, 512), [1e-3])
    np.testing.assert_allclose(head.std_D, x.astype(np.float64).std(0), rtol=1e-7)
    z = (x - x.mean(0, dtype=np.float64)) / x.astype(np.float64).std(0)
    theirs = Ridge(alpha=1e-3 * 3000).fit(z, np.eye(2)[y])
    np.testing.assert_allclose(head.logits(x), theirs.predict(z), atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e4, -3e-5])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_feature_that_never_varies_is_left_alone(value: float, kind: type[np.floating]) -> None:
    x, y = made(700, 3, 2)
    wider = np.concatenate([x, np.full((700, 1), value)], 1).astype(kind)
    with_it, without = fit_ridge(summed(wider, y, 2, 64))[0], fit_ridge(summed(x.astype(kind), y, 2, 64))[0]
    assert with_it.std_D[3] == 1.0
    np.testing.assert_allclose(with_it.weight_DK[3], 0, atol=1e-6)
    np.testing.assert_allclose(with_it.logits(wider), without.logits(x.astype(kind)), atol=1e-6)


def test_a_class_without_examples_scores_nothing() -> None:
    x, y = made(60, 4, 3)
    for head in fit_ridge(summed(x, np.array([0, 1, 3])[y], 5)):
        np.testing.assert_allclose(head.logits(x)[:, [2, 4]], 0, atol=1e-9)


def test_more_penalty_gives_smaller_weights() -> None:
    x, y = made(60, 4, 3)
    sizes = [np.abs(head.weight_DK).sum() for head in fit_ridge(summed(x, y, 3))]
    assert (np.diff(sizes) < 0).all()


def test_sums_of_a_made_problem_have_the_numbers_of_the_hand() -> None:
    blocks = [(np.array([[1.0, 2.0], [3.0, 4.0]]), np.eye(3)[[0, 2]]), (np.array([[5.0, 6.0]]), np.eye(3)[[2]])]
    sums = accumulate(blocks, 2, 3)
    assert sums.rows == 3
    assert sums.x_D.tolist() == [9, 12]
    assert sums.xx_DD.tolist() == [[35, 44], [44, 56]]
    assert sums.y_K.tolist() == [1, 0, 2]
    assert sums.xy_DK.tolist() == [[1, 0, 8], [2, 0, 10]]


def test_a_head_of_a_made_problem_has_the_numbers_of_the_hand() -> None:
    """One feature at -1 and 1, standardised already: the slope is 0.5 / (1 + penalty)."""
    sums = accumulate([(np.array([[-1.0], [1.0]]), np.eye(2))], 1, 2)
    [head] = fit_ridge(sums, [1.0])
    np.testing.assert_allclose(head.weight_DK, [[-0.25, 0.25]])
    np.testing.assert_allclose(head.logits(np.array([[3.0]])), [[-0.25, 1.25]])


@pytest.mark.parametrize(("n", "d"), [(25, 40), (60, 5)], ids=["wide", "tall"])
def test_from_the_rows_come_the_same_heads(n: int, d: int) -> None:
    x, y = made(n, d, 3)
    pairs = zip(fit_rows(x, np.eye(3)[y]), fit_ridge(summed(x, y, 3)), strict=True)
    for mine, sums in pairs:
        np.testing.assert_allclose(mine.logits(x), sums.logits(x), atol=1e-7)
        np.testing.assert_allclose(mine.weight_DK, sums.weight_DK, atol=1e-7)
