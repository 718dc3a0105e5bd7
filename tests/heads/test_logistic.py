"""Logistic regression, with scikit-learn's as the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from headstart.heads.linear import log_loss_N, softmax
from headstart.heads.logistic import GRID, fit_logistic

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
TIGHT = 1e-10


def noisy(n: int, d: int, classes: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Overlapping classes, on features of very different means and scales."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    centre = rng.normal(size=(classes, d))
    z = centre[y] + 2 * rng.normal(size=(n, d))
    return z * np.geomspace(0.01, 100, d) + rng.normal(size=d) * 5, y


def reference(x: Floats, y: Ints, c: float, solver: str) -> Floats:
    """Probabilities that scikit-learn gives, on standardised features."""
    z = (x - x.mean(0)) / np.where(x.std(0) > 1e-8, x.std(0), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it cannot reach a gradient of 1e-10 everywhere
        model = LogisticRegression(C=c, solver=solver, tol=TIGHT, max_iter=5000).fit(z, y)
    return model.predict_proba(z)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky"])
@pytest.mark.parametrize(("n", "d"), [(120, 8), (30, 60)], ids=["n>d", "n<d"])
@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_several_classes_give_what_scikit_learn_gives(c: float, classes: int, n: int, d: int, solver: str) -> None:
    x, y = noisy(n, d, classes)
    [head] = fit_logistic(x, y, classes, [c], TIGHT)
    np.testing.assert_allclose(softmax(head.logits(x)), reference(x, y, c, solver), atol=2e-6)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky"])
@pytest.mark.parametrize(("n", "d"), [(120, 8), (30, 60)], ids=["n>d", "n<d"])
@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_two_classes_give_scikit_learn_s_binary_head_at_twice_the_c(c: float, n: int, d: int, solver: str) -> None:
    """Two weight columns share the penalty that scikit-learn puts on one: w is (w/2, -w/2), and costs half."""
    x, y = noisy(n, d, 2)
    [head] = fit_logistic(x, y, 2, [c], TIGHT)
    np.testing.assert_allclose(softmax(head.logits(x)), reference(x, y, 2 * c, solver), atol=2e-6)


def test_two_columns_mirror_each_other() -> None:
    x, y = noisy(60, 5, 2)
    [head] = fit_logistic(x, y, 2, [0.1], TIGHT)
    np.testing.assert_allclose(head.weight_DK.sum(1), 0, atol=1e-7)


@pytest.mark.parametrize(("n", "d"), [(80, 6), (20, 50)], ids=["n>d", "n<d"])
def test_a_feature_that_never_varies_changes_nothing(n: int, d: int) -> None:
    x, y = noisy(n, d, 3)
    wider = np.concatenate([x, np.full((n, 2), 7.25)], 1)
    [with_it], [without] = fit_logistic(wider, y, 3, [0.1], TIGHT), fit_logistic(x, y, 3, [0.1], TIGHT)
    np.testing.assert_allclose(with_it.logits(wider), without.logits(x), atol=1e-6)
    np.testing.assert_allclose(with_it.weight_DK[d:], 0, atol=1e-9)


@pytest.mark.parametrize("d", [3, 40])
def test_features_that_never_vary_at_all_give_the_class_shares(d: int) -> None:
    y = np.array([0] * 6 + [1] * 3 + [2] * 1)
    [head] = fit_logistic(np.full((10, d), 3.5), y, 3, [1.0], TIGHT)
    np.testing.assert_allclose(softmax(head.logits(np.full((1, d), 3.5))), [[0.6, 0.3, 0.1]], atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(90, 6), (24, 50)], ids=["n>d", "n<d"])
def test_a_class_without_examples_gets_no_probability_and_leaves_the_others_as_they_are(n: int, d: int) -> None:
    x, y = noisy(n, d, 3)
    [wide] = fit_logistic(x, np.array([0, 2, 3])[y], 5, [0.1])
    [narrow] = fit_logistic(x, y, 3, [0.1], TIGHT)
    p = softmax(wide.logits(x))
    assert p[:, [1, 4]].max() < 1e-3
    np.testing.assert_allclose(p[:, [0, 2, 3]], softmax(narrow.logits(x)), atol=2e-3)
    assert all(np.isfinite(part).all() for part in (wide.weight_DK, wide.bias_K))


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 50)], ids=["n>d", "n<d"])
def test_a_grid_solved_together_equals_each_solved_alone(n: int, d: int) -> None:
    x, y = noisy(n, d, 3)
    for c, head in zip(GRID, fit_logistic(x, y, 3, GRID, TIGHT), strict=True):
        [alone] = fit_logistic(x, y, 3, [c], TIGHT)
        np.testing.assert_allclose(head.logits(x), alone.logits(x), atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (20, 50)], ids=["n>d", "n<d"])
def test_the_order_of_the_examples_does_not_matter(n: int, d: int) -> None:
    x, y = noisy(n, d, 3)
    order = np.random.default_rng(1).permutation(n)
    [there], [back] = fit_logistic(x, y, 3, [0.1], TIGHT), fit_logistic(x[order], y[order], 3, [0.1], TIGHT)
    np.testing.assert_allclose(back.logits(x), there.logits(x), atol=1e-6)


def test_the_order_of_classes_and_of_features_does_not_matter() -> None:
    x, y = noisy(60, 5, 4)
    [there] = fit_logistic(x, y, 4, [0.1], TIGHT)
    [classes] = fit_logistic(x, 3 - y, 4, [0.1], TIGHT)
    [features] = fit_logistic(x[:, ::-1], y, 4, [0.1], TIGHT)
    np.testing.assert_allclose(classes.logits(x)[:, ::-1], there.logits(x), atol=1e-6)
    np.testing.assert_allclose(features.logits(x[:, ::-1]), there.logits(x), atol=1e-6)


@given(st.integers(0, 100), st.floats(-50, 50), st.floats(0.01, 100))
@settings(max_examples=20)
def test_shifting_and_stretching_a_feature_changes_nothing(seed: int, shift: float, stretch: float) -> None:
    x, y = noisy(40, 4, 3, seed)
    other = x.copy()
    other[:, 1] = x[:, 1] * stretch + shift
    [there], [here] = fit_logistic(x, y, 3, [0.1], 1e-9), fit_logistic(other, y, 3, [0.1], 1e-9)
    np.testing.assert_allclose(here.logits(other), there.logits(x), atol=1e-4)


def test_as_many_rows_as_features_is_one_problem_whichever_way_it_is_solved() -> None:
    """n = d takes the direct way, n = d - 1 the way through the row space: a feature of zeros decides between them."""
    x, y = noisy(30, 30, 3)
    wider = np.concatenate([x, np.zeros((30, 1))], 1)
    [direct], [rotated] = fit_logistic(x, y, 3, [0.1], TIGHT), fit_logistic(wider, y, 3, [0.1], TIGHT)
    np.testing.assert_allclose(rotated.logits(wider), direct.logits(x), atol=1e-6)


def test_more_regularisation_gives_smaller_weights_and_a_larger_loss() -> None:
    x, y = noisy(100, 6, 3)
    heads = fit_logistic(x, y, 3)
    assert (np.diff([np.abs(h.weight_DK).sum() for h in heads]) > 0).all()
    assert (np.diff([log_loss_N(h.logits(x), y).mean() for h in heads]) < 0).all()


def test_the_solution_is_a_minimum_of_the_objective_in_the_docstring() -> None:
    x, y = noisy(50, 4, 3)
    [head] = fit_logistic(x, y, 3, [0.5], TIGHT)
    z = (x - head.mean_D) / head.std_D

    def objective(weight_DK: Floats, bias_K: Floats) -> float:
        return float(0.5 * (weight_DK**2).sum() + 0.5 * log_loss_N(z @ weight_DK + bias_K, y).sum())

    least = objective(head.weight_DK, head.bias_K)
    rng = np.random.default_rng(0)
    for _ in range(50):
        dw, db = 1e-3 * rng.normal(size=(4, 3)), 1e-3 * rng.normal(size=3)
        assert objective(head.weight_DK + dw, head.bias_K + db) >= least


def test_separable_classes_are_learned_without_overflow() -> None:
    x = np.array([[-5.0], [-4.0], [4.0], [5.0]])
    for head in fit_logistic(x, np.array([0, 0, 1, 1]), 2, (*GRID, 1e6)):
        assert head.logits(x).argmax(1).tolist() == [0, 0, 1, 1]
        assert np.isfinite(head.weight_DK).all()


def test_float32_features_give_what_float64_features_give() -> None:
    x, y = noisy(60, 5, 3)
    x32 = x.astype(np.float32)
    [half], [full] = fit_logistic(x32, y, 3, [0.1], 1e-9), fit_logistic(x32.astype(np.float64), y, 3, [0.1], 1e-9)
    assert half.weight_DK.dtype == np.float64
    np.testing.assert_allclose(half.logits(x32), full.logits(x32), atol=1e-4)


def test_the_same_call_gives_the_same_bits() -> None:
    x, y = noisy(60, 80, 4)
    for a, b in zip(fit_logistic(x, y, 4), fit_logistic(x, y, 4), strict=True):
        np.testing.assert_array_equal(a.weight_DK, b.weight_DK)
        np.testing.assert_array_equal(a.bias_K, b.bias_K)


def test_a_head_that_can_be_solved_by_hand_has_the_numbers_of_the_hand() -> None:
    """One feature at -1 and 1, C = 1, weights (-w, w): the derivative is 0 where w = 2 / (1 + exp(2 w))."""
    [head] = fit_logistic(np.array([[-1.0], [1.0]]), np.array([0, 1]), 2, [1.0], TIGHT)
    np.testing.assert_allclose(head.weight_DK, [[-0.521298457000, 0.521298457000]], atol=1e-9)
    np.testing.assert_allclose(head.bias_K, 0, atol=1e-9)
