"""Any number of labels an example: what is encoded, guessed and said; scikit-learn's regressions as the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from headstart.aims import aim_for, aim_of
from headstart.aims.labels import many_labels
from headstart.heads import neighbours
from headstart.heads.linear import LinearHead, fit_temperature_each, log_loss_each_NK, sigmoid
from headstart.heads.logistic import GRID, fit_logistic_each

Floats = NDArray[np.float64]
AIM = many_labels(("dark", "long", "wet"))
TIGHT = 1e-10


def noisy(n: int, d: int, labels: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Labels that overlap, on features of very different means and scales; each is had by some and not by others."""
    rng = np.random.default_rng(seed)
    z_ND = rng.normal(size=(n, d))
    has_NK = (z_ND @ rng.normal(size=(d, labels)) + 2 * rng.normal(size=(n, labels)) > rng.normal(size=labels)) * 1.0
    has_NK[0], has_NK[1] = 0, 1
    return z_ND * np.geomspace(0.01, 100, d) + 5 * rng.normal(size=d), has_NK


# -- encoding


def test_labels_are_encoded_as_columns_of_ones_and_an_example_may_have_none() -> None:
    has_NK = AIM.encode([("wet", "dark"), (), ("long",)])
    assert (has_NK.tolist(), has_NK.dtype) == ([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.float64)


def test_a_label_that_was_not_learned_is_passed_over_and_the_others_are_not() -> None:
    assert AIM.encode([("wet", "old"), ("old",)]).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_lists_are_known_whatever_is_in_them_and_nothing_else_is() -> None:
    assert [AIM.knows(target) for target in ((), ("wet",), ("old",), "wet", 1.0)] == [True, True, True, False, False]


def test_the_outputs_are_the_labels_of_what_is_learned_from_sorted() -> None:
    made = aim_for("labels", [("wet",), (), ("dark", "wet")])
    assert (made.goal, made.outputs) == ("labels", ("dark", "wet"))
    opened = aim_of("labels", made.outputs)
    np.testing.assert_array_equal(opened.encode([("wet",)]), made.encode([("wet",)]))


# -- strata


def test_the_stratum_of_an_example_is_its_rarest_label_and_one_more_where_it_has_none() -> None:
    has_NK = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0.0]])
    assert AIM.strata(has_NK).tolist() == [0, 2, 0, 3, 1]
    assert AIM.strata(has_NK).dtype == np.intp


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=40)
def test_the_stratum_is_a_label_of_the_example_and_none_of_its_labels_is_rarer(n: int, k: int, seed: int) -> None:
    has_NK = (np.random.default_rng(seed).random((n, k)) < 0.4).astype(float)
    count_K = has_NK.sum(0)
    for has_K, stratum in zip(has_NK, AIM.strata(has_NK), strict=True):
        mine = np.flatnonzero(has_K)
        assert stratum in mine if len(mine) else stratum == k
        assert all(count_K[stratum] <= count_K[label] for label in mine)


# -- guesses and neighbours


def test_who_has_not_looked_says_the_share_of_each_label_half_an_example_counted_in() -> None:
    has_NK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0.0]])
    np.testing.assert_allclose(sigmoid(AIM.guess(has_NK)), [3.5 / 4, 2.5 / 4, 0.5 / 4])


def slowly(query_MD: Floats, known_ND: Floats, has_NK: Floats, k: int) -> Floats:
    """The definition, one query and one neighbour at a time; one further neighbour has each label by half."""
    out = []
    for q in query_MD:
        similar = [float(q @ z / np.linalg.norm(q) / np.linalg.norm(z)) for z in known_ND]
        nearest = sorted(range(len(known_ND)), key=lambda i: -similar[i])[:k]
        weight = [np.exp((similar[i] - similar[nearest[0]]) / 0.07) for i in nearest]
        has_K = 0.5 + sum(w * has_NK[i] for w, i in zip(weight, nearest, strict=True))
        out.append(has_K / (1 + sum(weight)))
    return np.array(out)


def test_neighbours_tell_the_weighted_share_of_each_label() -> None:
    x_ND, has_NK = noisy(40, 5, 3)
    query_MD = x_ND[:7] + 0.1
    for k, logits_MK in zip(neighbours.GRID, AIM.near(query_MD, x_ND, has_NK), strict=True):
        np.testing.assert_allclose(sigmoid(logits_MK), slowly(query_MD, x_ND, has_NK, k), rtol=1e-6)


def test_neighbours_that_all_agree_are_not_certain() -> None:
    x_ND = np.random.default_rng(0).normal(size=(30, 4))
    for logits_MK in AIM.near(x_ND[:3], x_ND, np.tile([1.0, 0.0, 1.0], (30, 1))):
        assert np.isfinite(logits_MK).all()
        assert ((logits_MK > 0) == [True, False, True]).all()


# -- heads


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky"])
@pytest.mark.parametrize(("n", "d"), [(120, 8), (30, 60)], ids=["n>d", "n<d"])
@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_each_label_has_the_regression_that_scikit_learn_gives_it(c: float, n: int, d: int, solver: str) -> None:
    x_ND, has_NK = noisy(n, d, 4)
    [head] = fit_logistic_each(x_ND, has_NK, [c], TIGHT)
    z_ND = (x_ND - x_ND.mean(0)) / x_ND.std(0)
    for label in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it cannot reach a gradient of 1e-10 everywhere
            theirs = LogisticRegression(C=c, solver=solver, tol=TIGHT, max_iter=5000).fit(z_ND, has_NK[:, label])
        found = sigmoid(head.logits(x_ND))[:, label]
        np.testing.assert_allclose(found, theirs.predict_proba(z_ND)[:, 1], atol=2e-6)
        np.testing.assert_allclose(head.weight_DK[:, label], theirs.coef_[0], atol=1e-5)


def test_a_grid_gives_what_each_of_its_values_gives_alone_and_a_label_what_it_gets_alone() -> None:
    x_ND, has_NK = noisy(60, 6, 3)
    together = fit_logistic_each(x_ND, has_NK, GRID, 1e-8)
    assert len(together) == len(GRID)
    for c, head in zip(GRID[::3], together[::3], strict=True):
        [alone] = fit_logistic_each(x_ND, has_NK[:, 1:2], [c], 1e-8)
        np.testing.assert_allclose(head.logits(x_ND)[:, 1:2], alone.logits(x_ND), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_that_all_have_or_none_is_learned_without_overflow(value: float) -> None:
    x_ND, has_NK = noisy(40, 6, 3)
    has_NK[:, 1] = value
    with np.errstate(all="raise", under="ignore"):
        heads = fit_logistic_each(x_ND, has_NK, GRID)
    for head in heads:
        p_NK = sigmoid(head.logits(x_ND))
        assert np.isfinite(head.weight_DK).all()
        assert np.abs(p_NK[:, 1] - value).max() < 0.01


def test_a_ridge_regression_is_fitted_to_plus_and_minus_one() -> None:
    assert AIM.spread(np.array([[1, 0, 1.0]])).tolist() == [[1, -1, 1]]


# -- loss and temperature


def test_the_loss_of_an_example_is_the_mean_over_its_labels() -> None:
    p_NK, has_NK = np.array([[0.9, 0.2, 0.5], [0.3, 0.6, 0.1]]), np.array([[1, 0, 1], [1, 1, 0.0]])
    expected = -np.log([[0.9, 0.8, 0.5], [0.3, 0.6, 0.9]]).mean(1)
    np.testing.assert_allclose(AIM.loss_N(np.log(p_NK / (1 - p_NK)), has_NK), expected)


def test_sigmoids_and_losses_of_huge_logits_are_finite() -> None:
    logits_NK, has_NK = np.array([[1e4, -1e4, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    assert sigmoid(logits_NK).tolist() == [[1, 0, 0.5]]
    np.testing.assert_allclose(log_loss_each_NK(logits_NK, has_NK), [[1e4, 0, np.log(2)]])


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_temperature_takes_back_what_logits_were_multiplied_by(factor: float) -> None:
    rng = np.random.default_rng(0)
    honest_NK = 2 * rng.normal(size=(4000, 3))
    has_NK = (rng.random((4000, 3)) < sigmoid(honest_NK)).astype(float)
    assert AIM.temperature(factor * honest_NK, has_NK) == pytest.approx(factor, rel=0.06)


def test_the_temperature_is_where_a_search_by_scipy_finds_the_least_loss() -> None:
    rng = np.random.default_rng(1)
    logits_NK = 3 * rng.normal(size=(40, 3))
    has_NK = (rng.random((40, 3)) < sigmoid(logits_NK / 2)).astype(float)

    def loss(log_t: float) -> float:
        cold_NK = logits_NK / np.exp(log_t)
        further = (log_loss_each_NK(cold_NK, np.ones_like(has_NK)) + log_loss_each_NK(cold_NK, 0 * has_NK)) / 2
        return float(log_loss_each_NK(cold_NK, has_NK).sum() + further.mean(0).sum())

    theirs = np.exp(minimize_scalar(loss, bounds=(-9, 9), method="bounded", options={"xatol": 1e-8}).x)
    assert fit_temperature_each(logits_NK, has_NK) == pytest.approx(theirs, rel=1e-3)


def test_all_right_of_few_is_not_certainty() -> None:
    has_NK = np.array([[1.0, 0], [0, 1]])
    t = fit_temperature_each(2 * has_NK - 1, has_NK)
    assert 0.05 < t < 1
    assert sigmoid((2 * has_NK - 1) / t).max() < 0.99


def test_the_loss_of_a_training_is_the_mean_over_examples_and_labels() -> None:
    logits_BK = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    has_NK = np.eye(3)[np.arange(6) % 3]
    found = AIM.training(has_NK)(lambda _: logits_BK, torch.empty(0), torch.tensor(has_NK, dtype=torch.float32))
    assert found.item() == pytest.approx(AIM.loss_N(logits_BK.numpy(), has_NK).mean(), rel=1e-6)
    assert torch.equal(found, F.binary_cross_entropy_with_logits(logits_BK, torch.tensor(has_NK).float()))


# -- what is said


def test_what_is_likelier_than_not_is_said_with_the_probabilities_of_all() -> None:
    said = AIM.said(np.array([0.7, 0.5, 0.51]))
    assert (said.label, said.labels, said.value) == ("dark | wet", ("dark", "wet"), None)
    assert np.isnan(said.probability)
    assert said.probabilities == (("dark", 0.7), ("long", 0.5), ("wet", 0.51))


def test_the_same_is_said_twice_of_the_same() -> None:
    """There is no single probability, and what stands for none must still be equal to itself."""
    assert AIM.said(np.array([0.7, 0.5, 0.51])) == AIM.said(np.array([0.7, 0.5, 0.51]))


def test_it_may_be_said_that_there_is_no_label() -> None:
    said = AIM.said(np.array([0.1, 0.2, 0.3]))
    assert (said.label, said.labels) == ("", ())


def test_probabilities_need_not_add_up_to_one() -> None:
    np.testing.assert_allclose(AIM.probabilities(np.log([[9.0, 4.0, 0.25]])), [[0.9, 0.8, 0.2]])


def test_the_head_of_training_is_that_of_the_user() -> None:
    head = LinearHead(np.zeros(2), np.ones(2), np.eye(2, 3), np.zeros(3), 2.0)
    assert AIM.outward(head) is head


def test_the_headline_is_a_percentage_and_the_mean_of_the_merits() -> None:
    x_ND, has_NK = noisy(60, 3, 3)
    data, scoring = AIM.scoring.read(x_ND, has_NK), AIM.scoring
    [name, *_] = scores = scoring.score(data, np.ones(60))
    assert list(scores) == list(scoring.explained)
    assert scores[name] == pytest.approx(data.merit_N.mean())
    assert name in scoring.percent
    assert set(scoring.shares) <= set(scoring.percent) <= set(scoring.explained)
    assert set(scoring.lower) <= set(scoring.explained)
