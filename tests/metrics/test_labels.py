"""Scores of label predictions, with scikit-learn's as the reference."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from headstart.heads.linear import softmax
from headstart.metrics.labels import (
    BINS,
    EXPLAINED,
    SHARES,
    Labelled,
    calibration_bins,
    calibration_error,
    class_scores,
    confusion,
    scores,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def made(n: int, k: int, seed: int) -> tuple[Floats, Ints, Floats]:
    """Logits, labels that go with them more often than not, and weights, some of them larger, none zero."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, k, n)
    return 2 * rng.normal(size=(n, k)) + 2 * np.eye(k)[target], target, rng.uniform(0.2, 3, n)


cases = given(st.integers(2, 60), st.integers(2, 6), st.integers(0, 10_000))
few = settings(max_examples=40)


def their_scores(logits: Floats, target: Ints, weight: Floats) -> dict[str, float]:
    p = softmax(logits)
    said, labels = p.argmax(1), range(logits.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that was named and does not occur
        return {
            "accuracy": metrics.accuracy_score(target, said, sample_weight=weight),
            "balanced accuracy": metrics.balanced_accuracy_score(target, said, sample_weight=weight),
            "macro F1": metrics.f1_score(target, said, average="macro", sample_weight=weight),
            "log loss": metrics.log_loss(target, p, sample_weight=weight, labels=labels),
        }


@cases
@few
def test_scores_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits, target, _ = made(n, k, seed)
    ours = scores(Labelled.of(logits, target), np.ones(n))
    for name, value in their_scores(logits, target, np.ones(n)).items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, err_msg=name)


@cases
@few
def test_weighted_scores_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits, target, weight = made(n, k, seed)
    ours = scores(Labelled.of(logits, target), weight)
    for name, value in their_scores(logits, target, weight).items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-9, err_msg=name)


@cases
@few
def test_a_weight_says_how_often_an_example_counts(n: int, k: int, seed: int) -> None:
    """The whole bootstrap rests on this: weights give what copying the rows gives, and 0 leaves a row out."""
    logits, target, _ = made(n, k, seed)
    counts = np.random.default_rng(seed).integers(0, 4, n)
    counts[0] = 1
    rows = np.repeat(np.arange(n), counts)
    weighted = scores(Labelled.of(logits, target), counts.astype(float))
    copied = scores(Labelled.of(logits[rows], target[rows]), np.ones(len(rows)))
    for name in EXPLAINED:
        np.testing.assert_allclose(weighted[name], copied[name], rtol=1e-9, atol=1e-12, err_msg=name)


@cases
@few
def test_scores_of_each_class_are_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits, target, weight = made(n, k, seed)
    data = Labelled.of(logits, target)
    ours = class_scores(data, weight)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        target, data.guess_N, labels=range(k), sample_weight=weight, zero_division=0
    )
    for name, a, b in (
        ("precision", ours.precision_K, precision),
        ("recall", ours.recall_K, recall),
        ("f1", ours.f1_K, f1),
        ("support", ours.true_K, support),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(ours.said_K, np.bincount(data.guess_N, weight, k))


@cases
@few
def test_the_confusion_matrix_is_scikit_learn_s(n: int, k: int, seed: int) -> None:
    logits, target, _ = made(n, k, seed)
    data = Labelled.of(logits, target)
    np.testing.assert_array_equal(confusion(data), metrics.confusion_matrix(target, data.guess_N, labels=range(k)))


def slow_calibration_error(p: Floats, target: Ints, weight: Floats) -> float:
    total = 0.0
    for b in range(BINS):
        rows = [i for i in range(len(p)) if b == min(int(p[i].max() * BINS), BINS - 1)]
        if rows:
            held = sum(weight[i] for i in rows)
            confidence = sum(weight[i] * p[i].max() for i in rows) / held
            right = sum(weight[i] * (p[i].argmax() == target[i]) for i in rows) / held
            total += held * abs(confidence - right)
    return total / weight.sum()


@cases
@few
def test_calibration_error_is_that_of_a_slow_loop(n: int, k: int, seed: int) -> None:
    logits, target, weight = made(n, k, seed)
    ours = calibration_error(Labelled.of(logits, target), weight)
    np.testing.assert_allclose(ours, slow_calibration_error(softmax(logits), target, weight), rtol=1e-9)


def test_confidence_that_is_right_as_often_as_it_says_has_a_small_error() -> None:
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 3))
    target = (softmax(logits).cumsum(1) < rng.random((20_000, 1))).sum(1)
    assert calibration_error(Labelled.of(logits, target), np.ones(20_000)) < 0.01
    assert calibration_error(Labelled.of(3 * logits, target), np.ones(20_000)) > 0.1


def test_bins_hold_every_example_once_certain_ones_in_the_last() -> None:
    logits = np.array([[0.0, 800.0], [0.0, 0.0], [0.0, np.log(3)]])
    confidence_B, right_B, weight_B = calibration_bins(Labelled.of(logits, np.array([1, 1, 1])), np.ones(3))
    assert weight_B.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(confidence_B[[5, 7, 9]], [0.5, 0.75, 1.0])
    assert right_B[[5, 7, 9]].tolist() == [0, 1, 1]


def hand_made() -> Labelled:
    """Six examples of four classes, the last of which occurs nowhere; one of them is wrong."""
    p = np.array(
        [
            [0.72, 0.18, 0.05, 0.05],
            [0.61, 0.29, 0.05, 0.05],
            [0.25, 0.65, 0.05, 0.05],
            [0.09, 0.81, 0.05, 0.05],
            [0.04, 0.91, 0.03, 0.02],
            [0.20, 0.10, 0.62, 0.08],
        ]
    )
    return Labelled.of(np.log(p), np.array([0, 0, 0, 1, 1, 2]))


def test_scores_of_a_made_set_have_the_numbers_of_the_hand() -> None:
    ours = scores(hand_made(), np.ones(6))
    assert list(ours) == list(EXPLAINED)
    np.testing.assert_allclose(ours["accuracy"], 5 / 6)
    np.testing.assert_allclose(ours["balanced accuracy"], (2 / 3 + 1 + 1) / 3)
    np.testing.assert_allclose(ours["macro F1"], (0.8 + 0.8 + 1) / 3)
    np.testing.assert_allclose(ours["log loss"], -np.log([0.72, 0.61, 0.25, 0.81, 0.91, 0.62]).mean())
    np.testing.assert_allclose(ours["calibration error"], (abs(1.88 - 2) + 0.28 + 0.19 + 0.09) / 6)


def test_the_parts_of_a_made_set_have_the_numbers_of_the_hand() -> None:
    data = hand_made()
    assert confusion(data).tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    each = class_scores(data, np.ones(6))
    np.testing.assert_allclose(each.precision_K, [1, 2 / 3, 1, 0])
    np.testing.assert_allclose(each.recall_K, [2 / 3, 1, 1, 0])
    np.testing.assert_allclose(each.f1_K, [0.8, 0.8, 1, 0])
    assert (each.true_K.tolist(), each.said_K.tolist()) == ([3, 2, 1, 0], [2, 3, 1, 0])
    assert data.right_N.tolist() == [True, True, False, True, True, True]
    np.testing.assert_allclose(data.confidence_N, [0.72, 0.61, 0.65, 0.81, 0.91, 0.62])


def test_a_class_that_is_only_ever_named_counts_in_f1_and_not_in_balanced_accuracy() -> None:
    data = Labelled.of(np.log([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]]), np.array([0, 0]))
    ours = scores(data, np.ones(2))
    np.testing.assert_allclose(ours["balanced accuracy"], 1 / 2)
    np.testing.assert_allclose(ours["macro F1"], (2 / 3 + 0) / 2)


def test_without_any_weight_every_score_is_nan() -> None:
    assert all(np.isnan(value) for value in scores(hand_made(), np.zeros(6)).values())


def test_rows_can_be_taken() -> None:
    data = hand_made()
    some = data.take(np.array([4, 2, 2]))
    assert some.target_N.tolist() == [1, 0, 0]
    assert some.guess_N.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(some.loss_N, data.loss_N[[4, 2, 2]])
    np.testing.assert_array_equal(some.confidence_N, data.confidence_N[[4, 2, 2]])
    assert some.classes == 4


def test_a_temperature_changes_confidence_and_no_label() -> None:
    logits, target, _ = made(50, 4, 0)
    plain, cool = Labelled.of(logits, target), Labelled.of(logits / 5, target)
    np.testing.assert_array_equal(plain.guess_N, cool.guess_N)
    assert (cool.confidence_N < plain.confidence_N).all()


def test_whole_numbers_as_weights_and_float32_logits_are_taken() -> None:
    logits, target, _ = made(30, 3, 0)
    whole = scores(Labelled.of(logits.astype(np.float32), target), np.ones(30, np.int64))
    for name, value in scores(Labelled.of(logits, target), np.ones(30)).items():
        np.testing.assert_allclose(whole[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", SHARES)
def test_a_share_counts_examples(name: str) -> None:
    logits, target, _ = made(7, 3, 0)
    right = scores(Labelled.of(logits, target), np.ones(7))[name] * 7
    assert right == pytest.approx(round(right), abs=1e-12)
    assert 0 < round(right) < 7
