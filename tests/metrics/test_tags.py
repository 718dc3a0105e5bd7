"""Scores of any number of labels an example, with scikit-learn's as the reference."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from headstart.heads.linear import sigmoid
from headstart.metrics.tags import EXPLAINED, SHARES, Tagged, average_precision_K, f1, scores, sums

Floats = NDArray[np.float64]


def made(n: int, k: int, seed: int) -> tuple[Floats, Floats]:
    """Logits, some of them alike, and labels that go with them more often than not; some examples have none."""
    rng = np.random.default_rng(seed)
    has_NK = (rng.random((n, k)) < rng.uniform(0.05, 0.7, k)).astype(float)
    logits_NK = np.round(2 * rng.normal(size=(n, k)) + 3 * has_NK - 2, int(rng.integers(0, 3)))
    return logits_NK, has_NK


def some_weights(n: int, seed: int) -> Floats:
    """Weights as a bootstrap draws them: whole numbers, about a third of them 0."""
    rng = np.random.default_rng([seed, 1])
    return np.bincount(rng.integers(0, n, n), minlength=n).astype(float)


def _wide(*given_NK: NDArray[Any]) -> list[NDArray[Any]]:
    """Put an empty column beside labels: a single one would be taken for two classes."""
    return [np.concatenate([each_NK, np.zeros_like(each_NK[:, :1])], 1) for each_NK in given_NK]


cases = given(st.integers(2, 50), st.integers(1, 6), st.integers(0, 10_000))
few = settings(max_examples=40)


def their_scores(logits_NK: Floats, has_NK: Floats, weight_N: Floats) -> dict[str, float]:
    p_NK = sigmoid(logits_NK)
    has, given_NK, columns = has_NK.astype(int), (p_NK > 0.5).astype(int), range(has_NK.shape[1])
    occurs = [k for k in columns if weight_N @ has_NK[:, k] > 0]

    def of_label(score: Callable[..., float], k: int) -> float:
        return score(has[:, k], p_NK[:, k], sample_weight=weight_N)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels that nothing has and nothing was given
        f1_of = {
            how: metrics.f1_score(
                *_wide(has, given_NK), average=how, sample_weight=weight_N, zero_division=where_nothing
            )
            for how, where_nothing in (("samples", 1.0), ("micro", 0.0), ("macro", np.nan))
        }
    precisions = [of_label(metrics.average_precision_score, k) for k in occurs]
    losses = [
        metrics.log_loss(has[:, k], np.clip(p_NK[:, k], 1e-16, 1 - 1e-16), sample_weight=weight_N, labels=[0, 1])
        for k in columns
    ]
    return {
        "F1 per example": f1_of["samples"],
        "micro F1": f1_of["micro"],
        "macro F1": f1_of["macro"],
        "mean average precision": float(np.mean(precisions)) if precisions else float("nan"),
        "exact match": metrics.accuracy_score(has, given_NK, sample_weight=weight_N),
        "log loss": float(np.mean(losses)),
    }


@cases
@few
def test_scores_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    ours = scores(Tagged.of(logits_NK, has_NK), np.ones(n))
    assert list(ours) == list(EXPLAINED)
    for name, value in their_scores(logits_NK, has_NK, np.ones(n)).items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@cases
@few
def test_scores_by_the_weights_of_a_bootstrap_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    weight_N = some_weights(n, seed)
    ours = scores(Tagged.of(logits_NK, has_NK), weight_N)
    for name, value in their_scores(logits_NK, has_NK, weight_N).items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@cases
@few
def test_a_weight_says_how_often_an_example_counts(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    counts = some_weights(n, seed)
    rows = np.repeat(np.arange(n), counts.astype(int))
    weighted = scores(Tagged.of(logits_NK, has_NK), counts)
    copied = scores(Tagged.of(logits_NK[rows], has_NK[rows]), np.ones(len(rows)))
    for name in EXPLAINED:
        np.testing.assert_allclose(weighted[name], copied[name], rtol=1e-9, atol=1e-12, err_msg=name)


@cases
@few
def test_the_average_precision_of_each_label_is_scikit_learn_s_whatever_the_weights(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    data = Tagged.of(logits_NK, has_NK)
    for weight_N in (np.ones(n), some_weights(n, seed), np.random.default_rng(seed).uniform(0.2, 3, n)):
        ours_K = average_precision_K(data, weight_N)
        for label in np.flatnonzero(weight_N @ has_NK > 0):
            theirs = metrics.average_precision_score(has_NK[:, label], data.p_NK[:, label], sample_weight=weight_N)
            assert ours_K[label] == pytest.approx(theirs, rel=1e-9)


@cases
@few
def test_the_sums_of_a_label_and_its_f1_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    weight_N = some_weights(n, seed)
    data = Tagged.of(logits_NK, has_NK)
    both_K, true_K, said_K = sums(data, weight_N)
    matrix_K22 = metrics.multilabel_confusion_matrix(*_wide(data.has_NK, data.given_NK), sample_weight=weight_N)[:k]
    np.testing.assert_allclose(both_K, matrix_K22[:, 1, 1])
    np.testing.assert_allclose(true_K, matrix_K22[:, 1].sum(1))
    np.testing.assert_allclose(said_K, matrix_K22[:, :, 1].sum(1))
    for label in range(k):
        theirs = metrics.f1_score(
            data.has_NK[:, label], data.given_NK[:, label], sample_weight=weight_N, zero_division=0
        )
        assert f1(both_K, true_K, said_K)[label] == pytest.approx(theirs)


@cases
@few
def test_the_headline_is_the_mean_merit_of_the_examples(n: int, k: int, seed: int) -> None:
    logits_NK, has_NK = made(n, k, seed)
    data, weight_N = Tagged.of(logits_NK, has_NK), some_weights(n, seed)
    [name, *_] = EXPLAINED
    assert scores(data, weight_N)[name] == pytest.approx(np.average(data.merit_N, weights=weight_N))


def hand_made() -> Tagged:
    """Four examples of three labels, the last of which none has and none is given."""
    p_NK = np.array([[0.9, 0.6, 0.1], [0.7, 0.2, 0.1], [0.3, 0.4, 0.2], [0.8, 0.1, 0.3]])
    has_NK = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    return Tagged.of(np.log(p_NK / (1 - p_NK)), has_NK)


def test_scores_of_a_made_set_have_the_numbers_of_the_hand() -> None:
    ours = scores(hand_made(), np.ones(4))
    assert hand_made().merit_N.tolist() == [1, 2 / 3, 1, 0]
    assert ours["F1 per example"] == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert ours["micro F1"] == pytest.approx(2 * 3 / (4 + 4))
    assert ours["macro F1"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 1 / (2 + 1)) / 2)
    assert ours["mean average precision"] == pytest.approx(((1 + 2 / 3) / 2 + (1 + 2 / 3) / 2) / 2)
    assert ours["exact match"] == 0.5
    p_NK = [0.9, 0.6, 0.9, 0.7, 0.2, 0.9, 0.7, 0.6, 0.8, 0.2, 0.9, 0.7]
    assert ours["log loss"] == pytest.approx(-np.log(p_NK).mean())


def test_one_half_is_not_given_and_a_little_more_is() -> None:
    data = Tagged.of(np.array([[0.0, 1e-9]]), np.array([[1.0, 1.0]]))
    assert data.given_NK.tolist() == [[False, True]]


def test_examples_that_are_equally_likely_are_one_step_whatever_their_order() -> None:
    has_NK = np.array([[1.0], [0], [0], [1]])
    one, other = (average_precision_K(Tagged.of(np.zeros((4, 1)), has), np.ones(4)) for has in (has_NK, has_NK[::-1]))
    assert one == other == pytest.approx(0.5)


def test_logits_that_are_huge_give_finite_scores() -> None:
    logits_NK = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, -1e4]])
    ours = scores(Tagged.of(logits_NK, (logits_NK > 0).astype(float)), np.ones(3))
    assert ours == {**dict.fromkeys(EXPLAINED, 1.0), "log loss": 0.0}
    assert scores(Tagged.of(logits_NK, (logits_NK < 0).astype(float)), np.ones(3))["log loss"] == pytest.approx(1e4)


def test_without_any_label_what_needs_one_is_nan_and_the_rest_is_not() -> None:
    ours = scores(Tagged.of(np.full((3, 2), -2.0), np.zeros((3, 2))), np.ones(3))
    assert np.isnan([ours["macro F1"], ours["mean average precision"]]).all()
    assert (ours["F1 per example"], ours["exact match"], ours["micro F1"]) == (1, 1, 0)


def test_without_any_weight_every_score_is_nan() -> None:
    ours = scores(hand_made(), np.zeros(4))
    assert list(ours) == list(EXPLAINED)
    assert all(np.isnan(value) for value in ours.values())


def test_whole_numbers_as_weights_and_float32_logits_are_taken() -> None:
    logits_NK, has_NK = made(30, 3, 0)
    whole = scores(Tagged.of(logits_NK.astype(np.float32), has_NK), np.ones(30, np.int64))
    for name, value in scores(Tagged.of(logits_NK, has_NK), np.ones(30)).items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", SHARES)
def test_a_share_counts_examples_with_just_their_labels(name: str) -> None:
    right = scores(Tagged.of(*made(40, 2, 1)), np.ones(40))[name] * 40
    assert right == pytest.approx(round(right), abs=1e-9)
    assert 0 < round(right) < 40
