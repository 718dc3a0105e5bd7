"""Scores of detections, with pycocotools' as the reference."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headstart.metrics.boxes import EXPLAINED, SHARES, UNSURE, Detected, best_threshold, class_scores, scores

Floats = NDArray[np.float64]
STATS = {"AP50": 1, "AP": 0, "AP75": 2, "recall": 8}


def made(seed: int, n: int = 6, m: int = 12, k: int = 3, t: int = 5, ties: bool = False) -> tuple[Floats, Floats]:
    """Detections some of which are near a true box; crowds, empty pictures, a class that is never true."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((n, t, 6))
    at = rng.uniform(0, 0.6, (n, t, 2))
    truth[:, :, 0] = rng.integers(0, max(k - 1, 1), (n, t))
    truth[:, :, 1:3], truth[:, :, 3:5] = at, at + rng.uniform(0.05, 0.4, (n, t, 2))
    truth[:, :, 5] = rng.random((n, t)) < 0.2
    truth[rng.random((n, t)) < 0.3, 0] = -1
    truth[rng.random(n) < 0.2, :, 0] = -1
    return near(rng, truth, m, k, ties), truth


def near(rng: np.random.Generator, truth: Floats, m: int, k: int, ties: bool) -> Floats:
    n, t = truth.shape[:2]
    found = np.zeros((n, m, 6))
    of = np.take_along_axis(truth, rng.integers(0, t, (n, m, 1)), 1)
    at = of[:, :, 1:5] + rng.normal(0, 0.03, (n, m, 4)) * rng.integers(0, 3, (n, m, 1))
    found[:, :, 2:4], found[:, :, 4:6] = at[:, :, :2], np.maximum(at[:, :, 2:], at[:, :, :2] + 0.01)
    found[:, :, 1] = np.where((rng.random((n, m)) < 0.7) & (of[:, :, 0] >= 0), of[:, :, 0], rng.integers(0, k, (n, m)))
    score = rng.integers(1, 5, (n, m)) / 5 if ties else rng.uniform(0.01, 1, (n, m))
    found[:, :, 0] = -np.sort(-score, 1)
    empty = (np.arange(m) >= rng.integers(0, m + 1, (n, 1))) & (rng.random((n, 1)) < 0.5)
    found[empty] = [0, -1, 0, 0, 0, 0]
    return found


def box(corners: Floats) -> dict[str, Any]:
    left, top, right, bottom = map(float, corners)
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}


def coco(found: Floats, truth: Floats, k: int) -> COCOeval:
    """What pycocotools makes of it, by its own reader."""
    ours, said = COCO(), []
    annotations: list[dict[str, Any]] = []
    for n in range(len(truth)):
        for label, *corners, crowd in truth[n][truth[n, :, 0] >= 0]:
            about = {"id": len(annotations) + 1, "image_id": n, "category_id": int(label), "iscrowd": int(crowd)}
            annotations.append(about | box(corners))
        for score, label, *corners in found[n][found[n, :, 1] >= 0]:
            said.append({"image_id": n, "category_id": int(label), "score": score, **box(corners)})
    ours.dataset = {
        "images": [{"id": n} for n in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": each} for each in range(k)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        ours.createIndex()
        theirs = ours.loadRes(said) if said else COCO()
        result = COCOeval(ours, theirs, "bbox")
        if not said:
            theirs.dataset = ours.dataset | {"annotations": []}
            theirs.createIndex()
        result.evaluate()
        result.accumulate()
        result.summarize()
    return result


def assert_same(ours: dict[str, float], theirs: COCOeval) -> None:
    assert list(ours) == list(EXPLAINED) == list(STATS)
    for name, at in STATS.items():
        value = theirs.stats[at]
        np.testing.assert_allclose(ours[name], value if value > -1 else np.nan, rtol=0, atol=1e-12, err_msg=name)


cases = given(st.integers(0, 100_000), st.booleans(), st.integers(1, 4))
few = settings(max_examples=60, deadline=None)


@cases
@few
def test_scores_are_pycocotools(seed: int, ties: bool, k: int) -> None:
    found, truth = made(seed, k=k, ties=ties)
    assert_same(scores(Detected.of(found, truth, k), np.ones(len(truth))), coco(found, truth, k))


@cases
@few
def test_a_weight_says_how_often_a_picture_counts(seed: int, ties: bool, k: int) -> None:
    """The whole bootstrap rests on this: weights give what pycocotools gives of copies, and 0 leaves a picture out."""
    found, truth = made(seed, k=k, ties=ties)
    weight = np.random.default_rng(seed).integers(0, 4, len(truth)).astype(float)
    rows = np.repeat(np.arange(len(truth)), weight.astype(int))
    if len(rows):
        assert_same(scores(Detected.of(found, truth, k), weight), coco(found[rows], truth[rows], k))


@cases
@few
def test_scores_of_each_class_are_pycocotools(seed: int, ties: bool, k: int) -> None:
    found, truth = made(seed, k=k, ties=ties)
    each = class_scores(Detected.of(found, truth, k), np.ones(len(truth)))
    precision_SRK = coco(found, truth, k).eval["precision"][:, :, :, 0, 2]
    precision_SRK = np.where(precision_SRK < 0, np.nan, precision_SRK)
    np.testing.assert_allclose(each.ap50_K, precision_SRK[0].mean(0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(each.ap_K, precision_SRK.mean((0, 1)), rtol=0, atol=1e-12)
    mine = truth[(truth[:, :, 5] == 0) & (truth[:, :, 0] >= 0), 0].astype(int)
    assert each.boxes_K.tolist() == np.bincount(mine, minlength=k).tolist()


@cases
@few
def test_merit_and_loss_are_pycocotools_within_each_picture(seed: int, ties: bool, k: int) -> None:
    """Of the classes that are true in it: pycocotools takes no mean over classes that are only said either."""
    found, truth = made(seed, k=k, ties=ties)
    data = Detected.of(found, truth, k)
    for n in range(len(truth)):
        precision_SK = coco(found[n : n + 1], truth[n : n + 1], k).eval["precision"][:, :, :, 0, 2].mean(1)
        true_K = precision_SK[0] >= 0
        surest = found[n, found[n, :, 1] >= 0, 0].max(initial=0.0)
        each_S = precision_SK[:, true_K].mean(1) if true_K.any() else np.full(len(precision_SK), 1 - surest)
        np.testing.assert_allclose(data.merit_N[n], each_S[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(data.loss_N[n], 1 - each_S.mean(), rtol=0, atol=1e-12)


def test_in_a_picture_classes_that_are_only_said_do_not_count() -> None:
    """A head says a little of every class: else merit would tell how many there are."""
    hit, off = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    truth = np.array([[[0, *hit, 0]]], float)
    few = np.array([[[0.9, 0, *hit], [0.0, -1, 0, 0, 0, 0]]])
    more = np.array([[[0.9, 0, *hit], [0.95, 1, *off]]])[:, ::-1]
    for found in (few, more):
        data = Detected.of(found, truth, 3)
        np.testing.assert_allclose([data.merit_N[0], data.loss_N[0]], [1, 0], atol=1e-12)


@pytest.mark.parametrize(("said", "merit"), [([0.4, 0.1], 0.6), ([0.95, 0.9], 0.05), ([], 1.0)])
def test_where_nothing_is_to_be_found_merit_falls_with_the_surest_thing_that_is_said(
    said: list[float], merit: float
) -> None:
    """Weak guesses are better than strong ones, and silence is right."""
    rows = [[score, i % 2, 0.1, 0.1, 0.4, 0.4] for i, score in enumerate(said)]
    found = np.array([[*rows, *[[0.0, -1, 0, 0, 0, 0]] * (3 - len(rows))]])
    data = Detected.of(found, np.array([[NONE]], float), 2)
    np.testing.assert_allclose(data.merit_N, [merit])
    np.testing.assert_allclose(data.loss_N, [1 - merit], atol=1e-12)


def test_of_a_class_the_first_hundred_in_a_picture_count() -> None:
    found, truth = made(3, n=3, m=260, k=2)
    data = Detected.of(found, truth, 2)
    kept, told = (
        [int((each[n, :, 1] == k).sum()) for n in range(3) for k in (0, 1)] for each in (data.found_NM6, found)
    )
    assert kept == [min(many, 100) for many in told] != told
    assert_same(scores(data, np.ones(3)), coco(found, truth, 2))


def test_of_two_boxes_that_are_overlapped_alike_the_last_is_taken() -> None:
    """As pycocotools has it: the second detection, which fits the first box alone, is then right as well."""
    left, right, between = [0, 0, 0.5, 0.5], [0.25, 0, 0.75, 0.5], [0.125, 0, 0.625, 0.5]
    found, truth = np.array([[[0.9, 0, *between], [0.8, 0, *left]]]), np.array([[[0, *left, 0], [0, *right, 0]]])
    data = Detected.of(found, truth, 1)
    assert data.box_SNM[0, 0].tolist() == [1, 0]
    assert_same(scores(data, np.ones(1)), coco(found, truth, 1))


def test_many_pictures_are_matched_block_by_block() -> None:
    found, truth = made(4, n=600, m=10)
    data = Detected.of(found, truth, 3)
    assert_same(scores(data, np.ones(600)), coco(found, truth, 3))
    some = Detected.of(found[500:510], truth[500:510], 3)
    np.testing.assert_array_equal(data.box_SNM[:, 500:510], some.box_SNM)
    np.testing.assert_array_equal(data.merit_N[500:510], some.merit_N)


@pytest.mark.parametrize("scale", [1.0, 640.0])
def test_float32_and_pixels_are_taken(scale: float) -> None:
    found, truth = made(5)
    plain = scores(Detected.of(found, truth, 3), np.ones(6))
    found[:, :, 2:] *= scale
    truth[:, :, 1:5] *= scale
    ours = scores(Detected.of(found.astype(np.float32), truth.astype(np.float32), 3), np.ones(6))
    for name, value in plain.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-6, err_msg=name)


def test_weights_that_are_no_whole_numbers_count_in_proportion() -> None:
    found, truth = made(6, ties=True)
    data = Detected.of(found, truth, 3)
    half, whole = scores(data, np.full(6, 0.5)), scores(data, np.ones(6))
    for name, value in whole.items():
        np.testing.assert_allclose(half[name], value, rtol=1e-9, err_msg=name)


TRUE = [0, 0.1, 0.1, 0.5, 0.5, 0]
NONE = [-1, 0, 0, 0, 0, 0]


def hand_made() -> Detected:
    """Three pictures: a box that is found between two mistakes; one that is found first; nothing."""
    hit, off, empty = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9], [0.0, -1, 0, 0, 0, 0]
    found = [
        [[0.9, 0, *off], [0.8, 0, *hit], [0.3, 1, *off]],
        [[0.7, 0, *hit], empty, empty],
        [empty, empty, empty],
    ]
    return Detected.of(np.array(found), np.array([[TRUE], [TRUE], [NONE]], float), 2)


def test_scores_of_a_made_set_have_the_numbers_of_the_hand() -> None:
    data = hand_made()
    ours = scores(data, np.ones(3))
    assert ours == pytest.approx({"AP50": 2 / 3, "AP": 2 / 3, "AP75": 2 / 3, "recall": 1.0})
    np.testing.assert_allclose(data.merit_N, [0.5, 1, 1])
    np.testing.assert_allclose(data.loss_N, [0.5, 0, 0], atol=1e-12)
    each = class_scores(data, np.array([2.0, 1.0, 5.0]))
    np.testing.assert_allclose(each.ap50_K, [0.6, np.nan])
    assert each.boxes_K.tolist() == [3, 0]


def test_without_any_box_every_score_is_nan() -> None:
    data = hand_made()
    for weight in (np.zeros(3), np.array([0.0, 0.0, 1.0])):
        assert all(np.isnan(value) for value in scores(data, weight).values())


def test_there_may_be_no_slots_at_all() -> None:
    found, truth = made(7)
    assert set(scores(Detected.of(found[:, :0], truth, 3), np.ones(6)).values()) == {0.0}
    blind = Detected.of(found, truth[:, :0], 3)
    assert np.isnan(scores(blind, np.ones(6))["AP50"])
    assert (blind.merit_N == 1 - np.where(found[:, :, 1] < 0, 0, found[:, :, 0]).max(1)).all()


def test_the_best_threshold_has_the_highest_f1() -> None:
    assert best_threshold(hand_made()) == pytest.approx((0.7 + 0.3) / 2)


@cases
@few
def test_no_other_threshold_has_a_higher_f1(seed: int, ties: bool, k: int) -> None:
    data = Detected.of(*made(seed, k=k, ties=ties), k)
    right, counts = data.box_SNM[0] >= 0, (data.found_NM6[:, :, 1] >= 0) & ~data.ignored_SNM[0]
    score, boxes = data.found_NM6[:, :, 0], data.boxes_NK.sum()

    def f1(threshold: float) -> float:
        told = score >= threshold
        return float(2 * (right & told).sum() / max((counts & told).sum() + boxes, 1))

    best = f1(best_threshold(data))
    assert best == max([f1(value) for value in np.unique(score[counts])], default=0.0)


def test_where_nothing_is_right_there_is_no_best_threshold() -> None:
    found, truth = made(8)
    truth[:, :, 0] = -1
    assert best_threshold(Detected.of(found, truth, 3)) == UNSURE


def test_no_measure_is_a_plain_share() -> None:
    assert SHARES == ()
