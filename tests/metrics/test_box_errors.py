"""What is wrong with detections: each kind of error made by hand, and that nothing is counted twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.metrics.box_errors import KINDS, BoxErrors, Verdict, errors
from headstart.metrics.boxes import Detected

CAT, DOG = 0, 1
A_CAT, A_DOG = [0.0, 0.0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0]
LOW_CAT, LOW_DOG = [0.0, 0.2, 0.4, 0.6], [0.6, 0.4, 1.0, 0.8]  # a third of a cat's, of a dog's
FAR = [0.5, 0.0, 0.6, 0.1]


def judged(*found: tuple[float, int, list[float]], threshold: float = 0.0, crowd: bool = False) -> BoxErrors:
    """Detections in a picture of a cat and a dog, which may be a crowd of dogs."""
    slots = [[score, label, *corners] for score, label, *(corners,) in found] + [[0.0, -1, 0, 0, 0, 0]]
    truth = [[CAT, *A_CAT, 0], [DOG, *A_DOG, crowd], [-1, 0, 0, 0, 0, 0]]
    return errors(Detected.of(np.array([slots], float), np.array([truth], float), 2), threshold)


def kinds(result: BoxErrors) -> list[str]:
    return [verdict.kind for verdict in result.pictures[0]]


def test_each_kind_of_error_is_told() -> None:
    result = judged((0.9, CAT, A_CAT), (0.8, CAT, A_CAT), (0.7, CAT, A_DOG), (0.6, DOG, LOW_DOG), (0.5, CAT, FAR))
    assert kinds(result) == ["right", "duplicate", "wrong class", "badly placed", "background"]
    assert [verdict.box for verdict in result.pictures[0]] == [0, 0, 1, 1, -1]
    np.testing.assert_allclose([v.overlap for v in result.pictures[0]], [1, 1, 1, 1 / 3, 0])
    assert result.counts_LL.tolist() == [[1, 0, 0], [1, 0, 0], [2, 1, 0]]


def test_a_box_that_no_detection_is_about_is_missed() -> None:
    result = judged((0.9, CAT, A_CAT))
    assert result.pictures[0][1] == Verdict("missed", -1, 1)
    assert result.counts_LL.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_a_box_that_is_found_badly_and_as_another_class_is_missed_too() -> None:
    result = judged((0.9, DOG, LOW_CAT), (0.8, DOG, A_DOG))
    assert kinds(result) == ["wrong class, badly placed", "right", "missed"]
    assert result.counts_LL.tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_detections_below_the_threshold_are_not_told() -> None:
    result = judged((0.9, CAT, A_CAT), (0.8, DOG, A_DOG), threshold=0.85)
    assert kinds(result) == ["right", "missed"]
    assert judged((0.85, CAT, A_CAT), threshold=0.85).counts["right"] == 1


def test_crowds_and_what_lies_in_them_are_left_out() -> None:
    result = judged((0.9, DOG, A_DOG), (0.8, DOG, A_DOG), (0.7, CAT, A_DOG), crowd=True)
    assert kinds(result) == ["background", "missed"]
    assert result.counts == dict.fromkeys(KINDS, 0) | {"background": 1, "missed": 1}


def test_a_picture_may_be_empty() -> None:
    empty = np.array([[[0.0, -1, 0, 0, 0, 0]]])
    assert errors(Detected.of(empty, np.array([[[-1.0, 0, 0, 0, 0, 0]]]), 2), 0.5).pictures == ((),)
    told = np.array([[[0.9, DOG, *FAR]]])
    result = errors(Detected.of(told, np.array([[[-1.0, 0, 0, 0, 0, 0]]]), 2), 0.5)
    assert result.counts["background"] == 1
    assert result.counts_LL.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def some(seed: int, n: int = 4, m: int = 8, t: int = 5, k: int = 3) -> Detected:
    """True boxes and detections around them, of one class or another."""
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((n, t, 6)), np.zeros((n, m, 6))
    at = rng.uniform(0, 0.6, (n, t, 2))
    truth[:, :, 0] = rng.integers(-1, k, (n, t))
    truth[:, :, 1:5] = np.concatenate([at, at + rng.uniform(0.1, 0.4, (n, t, 2))], 2)
    truth[:, :, 5] = rng.random((n, t)) < 0.1
    of = np.take_along_axis(truth, rng.integers(0, t, (n, m, 1)), 1)
    found[:, :, 0] = -np.sort(-rng.random((n, m)), 1)
    found[:, :, 1] = np.where(rng.random((n, m)) < 0.6, of[:, :, 0], rng.integers(-1, k, (n, m)))
    found[:, :, 2:] = of[:, :, 1:5] + rng.normal(0, 0.05, (n, m, 4))
    return Detected.of(found, truth, k)


@given(st.integers(0, 100_000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_every_box_and_every_detection_is_counted_once(seed: int, threshold: float) -> None:
    data = some(seed)
    result = errors(data, threshold)
    told = (data.found_NM6[:, :, 0] >= threshold) & (data.found_NM6[:, :, 1] >= 0) & ~data.ignored_SNM[0]
    labels = data.found_NM6[:, :, 1][told].astype(int)
    assert sum(result.counts.values()) - result.counts["missed"] == told.sum()
    assert result.counts_LL[:-1].sum(1).tolist() == data.boxes_NK.sum(0).tolist()
    assert result.counts_LL[:, :-1].sum(0).tolist() == np.bincount(labels, minlength=3).tolist()
    assert result.counts_LL.diagonal()[:-1].sum() == result.counts["right"]
    assert result.counts["missed"] <= data.boxes_NK.sum() - result.counts["right"]
    for n, picture in enumerate(result.pictures):
        assert [v.slot for v in picture if v.slot >= 0] == np.flatnonzero(told[n]).tolist()
