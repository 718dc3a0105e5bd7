"""The final scores: made on what was held out, corrected for choices, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from headstart.aims.aim import Aim
from headstart.aims.label import one_label
from headstart.aims.labels import many_labels
from headstart.aims.number import standardising
from headstart.heads.linear import LinearHead, log_loss_N
from headstart.stages.judge import (
    RungScore,
    Scores,
    Tried,
    corrected,
    gain,
    judge,
    ladder,
    paired,
    surprised_less,
)
from headstart.stages.probe import Probe, Rung, probe
from headstart.stages.split import Index, Splits, split

AIM = one_label(("a", "b", "c"))
SCORING = AIM.scoring
Floats = NDArray[np.floating]


def clusters(n: int, spread: float = 1.5, seed: int = 0) -> tuple[NDArray[np.float32], Index]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(3, 6))[y] + spread * rng.normal(size=(n, 6))).astype(np.float32), y


def crossed(y: Index, unit: Index | None = None) -> Splits:
    return split([""] * len(y), y, np.arange(len(y)) if unit is None else unit, 0)


def with_test(y: Index, train: int) -> Splits:
    return split(["train"] * train + ["test"] * (len(y) - train), y, np.arange(len(y)), 0)


def judged(x: Floats, y: Index, splits: Splits, seed: int = 0) -> Scores:
    found = probe(x, y, AIM, splits, lambda: 0.0)
    return judge(found, (), found.head, lambda rows: x[rows], y, splits, AIM, seed)


def rung(logits_SRK: NDArray[np.float64], target_R: Index, name: str = "a rung") -> Rung:
    loss_SR = np.stack([log_loss_N(l_RK, target_R) for l_RK in logits_SRK])
    settings = tuple(f"s={s}" for s in range(len(logits_SRK)))
    return Rung(name, settings, logits_SRK.astype(np.float32), loss_SR, (1.0,) * len(settings), 2.5)


def saying(labels: ArrayLike, classes: int = 2) -> NDArray[np.float64]:
    """Logits of one setting that names these labels."""
    return (3.0 * np.eye(classes)[np.asarray(labels)])[None]


# -- a held-out test


def test_the_test_examples_are_asked_for_once_and_nothing_else() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    found = probe(x, y, AIM, splits, lambda: 0.0)
    asked: list[Index] = []
    judge(found, (), found.head, lambda rows: (asked.append(rows), x[rows])[1], y, splits, AIM, 0)
    assert [rows.tolist() for rows in asked] == [list(range(60, 90))]


def test_on_a_test_the_measures_are_those_of_the_shipped_head_on_it() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    found = probe(x, y, AIM, splits, lambda: 0.0)
    scores = judge(found, (), found.head, lambda rows: x[rows], y, splits, AIM, 0)
    logits = found.head.logits(x[60:])
    manual = SCORING.score(SCORING.read(logits, y[60:]), np.ones(30))
    assert {m.name: m.value for m in scores.measures} == pytest.approx(manual)
    assert scores.how == "test"
    assert scores.rows.tolist() == list(range(60, 90))
    np.testing.assert_array_equal(scores.logits_NK, logits)


def test_labels_of_the_test_change_its_scores_and_nothing_that_was_chosen() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    other = y.copy()
    other[60:] = (y[60:] + 1) % 3
    there, here = judged(x, y, splits), judged(x, other, splits)
    assert there.rungs[1:] == here.rungs[1:]
    assert here.headline.value < there.headline.value


def test_the_guess_beside_a_test_names_the_commonest_training_class() -> None:
    x, _ = clusters(90)
    y = np.r_[np.zeros(30), np.ones(20), 2 * np.ones(10), np.zeros(6), np.ones(24)].astype(np.intp)
    scores = judged(x, y, with_test(y, 60))
    assert scores.guess.value == pytest.approx(6 / 30)
    assert scores.guess.name == scores.headline.name
    assert scores.guess.low < 0.2 < scores.guess.high


# -- cross-validation


def test_without_a_test_no_features_are_asked_for_and_each_example_has_one_row() -> None:
    x, y = clusters(60)
    splits = crossed(y)
    found = probe(x, y, AIM, splits, lambda: 0.0)

    def never(rows: Index) -> Floats:
        raise AssertionError("there is nothing to judge")

    scores = judge(found, (), found.head, never, y, splits, AIM, 0)
    assert scores.how == "cross-validation"
    assert scores.rows.tolist() == list(range(60))
    assert scores.logits_NK.shape == (60, 3)


def test_the_row_of_an_example_is_its_prediction_in_the_first_repeat() -> None:
    x, y = clusters(60)
    splits = crossed(y)
    found = probe(x, y, AIM, splits, lambda: 0.0)
    scores = judge(found, (), found.head, lambda rows: x[rows], y, splits, AIM, 0)
    first = {int(i): r for r, i in reversed(list(enumerate(found.row_R)))}
    for row, logits_K in zip(scores.rows, scores.logits_NK, strict=True):
        np.testing.assert_array_equal(logits_K, found.rungs[-1].chosen_RK[first[int(row)]])


def test_without_a_test_the_guess_is_that_of_the_folds() -> None:
    x, y = clusters(60)
    scores = judged(x, y, crossed(y))
    assert scores.guess == scores.rungs[0].headline


@pytest.mark.parametrize("train", [60, 90])
def test_the_headline_is_the_first_measure_and_all_are_explained(train: int) -> None:
    x, y = clusters(90)
    scores = judged(x, y, with_test(y, 60) if train == 60 else crossed(y))
    assert scores.headline is scores.measures[0]
    assert [m.name for m in scores.measures] == list(SCORING.explained)
    assert scores.headline.name == "accuracy"
    assert all(m.low <= m.value <= m.high for m in scores.measures)


@pytest.mark.parametrize("train", [60, 90])
def test_a_seed_fixes_every_interval(train: int) -> None:
    x, y = clusters(90)
    splits = with_test(y, 60) if train == 60 else crossed(y)
    assert judged(x, y, splits, 3).measures == judged(x, y, splits, 3).measures
    assert judged(x, y, splits, 3).measures != judged(x, y, splits, 4).measures


# -- the correction


def noise(settings: int, n: int, seed: int) -> tuple[Rung, Index]:
    """Settings that all know nothing."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    return rung(0.5 * rng.normal(size=(settings, n, 2)), y), y


def test_the_best_of_many_settings_that_know_nothing_is_said_to_know_nothing() -> None:
    naive, fair = [], []
    for seed in range(12):
        found, y = noise(40, 50, seed)
        naive.append((found.chosen_RK.argmax(1) == y).mean())
        fair.append(corrected(found, np.arange(50), y, np.arange(50), SCORING, seed)[0].value)
    assert np.mean(naive) > 0.57, "or there is nothing to correct"
    assert abs(np.mean(fair) - 0.5) < 0.03
    assert abs(np.mean(fair) - 0.5) < 0.5 * abs(np.mean(naive) - 0.5)


def test_a_choice_of_one_is_corrected_by_nothing() -> None:
    y = np.arange(80) % 2
    said = y.copy()
    said[:16] = 1 - y[:16]
    [accuracy, *_] = corrected(rung(saying(said), y), np.arange(80), y, np.arange(80), SCORING, 0)
    assert accuracy.value == pytest.approx(0.8, abs=0.01)
    assert accuracy.low < 0.8 < accuracy.high


def test_a_setting_that_is_best_beyond_doubt_is_corrected_by_next_to_nothing() -> None:
    y = np.arange(80) % 2
    good = y.copy()
    good[:8] = 1 - y[:8]
    both = np.concatenate([saying(1 - y), saying(good)])
    assert corrected(rung(both, y), np.arange(80), y, np.arange(80), SCORING, 0)[0].value == pytest.approx(
        0.9, abs=0.01
    )


def test_choices_are_made_by_the_loss_that_the_rung_kept_and_scored_on_what_the_resample_left_out() -> None:
    """The loss says that the second setting is better, whatever its logits look like."""
    y = np.arange(40) % 2
    both = np.concatenate([saying(y), saying(1 - y)])
    misled = Rung("r", ("a", "b"), both.astype(np.float32), np.array([[1.0] * 40, [0.5] * 40]), (1.0, 1.0), 0.0)
    assert corrected(misled, np.arange(40), y, np.arange(40), SCORING, 0)[0].value == 0


def test_all_right_is_still_not_certain_and_copies_do_not_make_it_more_so() -> None:
    y = np.arange(20) % 2
    few = corrected(rung(saying(y), y), np.arange(20), y, np.arange(20), SCORING, 0)[0]
    assert (few.value, few.high) == (1, 1)
    assert few.low == pytest.approx(0.839, abs=1e-3)
    rows = np.repeat(np.arange(20), 5)
    many = corrected(rung(saying(y[rows]), y[rows]), rows, y, np.arange(20), SCORING, 0)[0]
    assert many == few


def test_pairs_of_copies_taken_for_what_they_are_give_a_wider_interval() -> None:
    y = np.arange(30) % 2
    said = np.where(np.random.default_rng(0).random(30) < 0.7, y, 1 - y)
    twice = np.repeat(np.arange(30), 2)
    found = rung(saying(said[twice]), y[twice])
    apart, together = (
        corrected(found, np.arange(60), y[twice], unit, SCORING, 0)[0] for unit in (np.arange(60), twice)
    )
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


def test_a_copy_of_what_a_choice_was_made_on_does_not_score_it() -> None:
    """40 settings, each right on some pictures by chance: scored on copies of these, the best would look good."""
    fair = []
    for seed in range(12):
        found, y = noise(40, 25, seed)
        rows = np.repeat(np.arange(25), 2)
        copied = rung(found.logits_SRK[:, rows].astype(np.float64), y[rows])
        fair.append(corrected(copied, np.arange(50), y[rows], rows, SCORING, seed)[0].value)
    assert abs(np.mean(fair) - 0.5) < 0.04


# -- the ladder


def test_the_paired_gain_and_its_error_are_those_of_the_textbook() -> None:
    right, below = np.array([1.0, 1, 0, 1, 1, 1]), np.array([0.0, 1, 1, 0, 1, 0])
    gain, error = paired(right, below, np.arange(6))
    difference = np.array([1, 0, -1, 1, 0, 1])
    assert gain == pytest.approx(1 / 3)
    assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(6))


def test_merits_need_not_be_right_or_wrong() -> None:
    merit, below = np.array([0.9, 0.2, -3.0]), np.array([0.4, 0.5, 1.0])
    gain, error = paired(merit, below, np.arange(3))
    assert gain == pytest.approx((0.5 - 0.3 - 4) / 3)
    assert error == pytest.approx(np.std([0.5, -0.3, -4], ddof=1) / np.sqrt(3))


def test_repeats_and_copies_of_a_unit_count_as_one() -> None:
    right, below = np.array([1.0, 1, 0, 1]), np.array([0.0, 1, 1, 1])
    once = paired(right, below, np.arange(4))
    assert paired(np.tile(right, 3), np.tile(below, 3), np.tile(np.arange(4), 3)) == pytest.approx(once)
    assert paired(np.repeat(right, 2), np.repeat(below, 2), np.repeat([7, 3, 9, 1], 2)) == pytest.approx(once)


def test_units_of_different_sizes_weigh_the_same() -> None:
    gain, error = paired(np.array([1.0, 1, 1, 0]), np.zeros(4), np.array([5, 5, 5, 8]))
    assert (gain, error) == (0.5, pytest.approx(0.5))


def test_a_single_unit_proves_nothing() -> None:
    assert paired(np.ones(2), np.zeros(2), np.array([0, 0])) == (1.0, float("inf"))


def probed(*rungs: Rung) -> Probe:
    row_R = np.arange(rungs[-1].logits_SRK.shape[1])
    return Probe(rungs, row_R, head=None, solver="", refit=None)  # type: ignore[arg-type]


def laddered(*said: Index, y: Index) -> list[tuple[float, float, bool]]:
    found = probed(*(rung(saying(labels), y, str(i)) for i, labels in enumerate(said)))
    return [(r.gain, r.error, r.better) for r in ladder(found, (), y, crossed(y), SCORING, 0)]


def test_each_rung_is_compared_with_the_one_below_it() -> None:
    y = np.arange(40) % 2
    poor, fair = y.copy(), y.copy()
    poor[:20], fair[:10] = 1 - y[:20], 1 - y[:10]
    first, second, third, fourth = laddered(poor, fair, fair, poor, y=y)
    assert np.isnan(first[0])
    assert np.isnan(first[1])
    assert second == (0.25, pytest.approx(np.sqrt(0.25 * 0.75 / 39)), True)
    assert third == (0.0, 0.0, False), "the same again is not better"
    assert fourth[0] == -0.25
    assert fourth[2] is False


def test_a_gain_within_one_standard_error_is_not_called_better() -> None:
    y = np.arange(40) % 2
    below, above = y.copy(), y.copy()
    below[:5], above[5:9] = 1 - y[:5], 1 - y[5:9]
    [_, (gain, error, better)] = laddered(below, above, y=y)
    assert 0 < gain < error
    assert better is False


def test_a_rung_is_told_by_its_name_its_chosen_setting_and_its_score_where_choices_were_made() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    found = probe(x, y, AIM, splits, lambda: 0.0)
    for told, made in zip(ladder(found, (), y, splits, SCORING, 0), found.rungs, strict=True):
        right = made.chosen_RK.argmax(1) == y[found.row_R]
        assert (told.name, told.setting, told.seconds) == (made.name, made.settings[made.best], made.seconds)
        assert told.headline.value == pytest.approx(right.mean())
        assert told.headline.low <= told.headline.value <= told.headline.high


# -- rungs above the linear head

Y = np.arange(40) % 2


def wrong(count: int, start: int = 0) -> Index:
    """Labels of which so many are wrong."""
    said = Y.copy()
    said[start : start + count] = 1 - said[start : start + count]
    return said


def told(*accepted: bool, rows: int = 40) -> tuple[RungScore, ...]:
    """The ladder with rungs above the linear head that were accepted or not."""
    below = probed(rung(saying(wrong(20)), Y, "guess"), rung(saying(wrong(10)), Y, "linear head"))
    tried = [
        Tried(rung(saying(wrong(4)[:rows]), Y[:rows], f"rung {i}"), 0.1 + i, 0.01 + i, yes, f"after {i}")
        for i, yes in enumerate(accepted)
    ]
    return ladder(below, tried, Y, crossed(Y), SCORING, 0)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ((), "shipped"),
        ((False,), "shipped beaten"),
        ((True,), "passed shipped"),
        ((True, True), "passed passed shipped"),
        ((True, False), "passed shipped beaten"),
        ((False, True), "passed beaten shipped"),
        ((True, False, True, False), "passed passed beaten shipped beaten"),
    ],
)
def test_the_last_rung_that_was_better_ships_and_the_linear_head_where_none_was(
    accepted: tuple[bool, ...], expected: str
) -> None:
    found = told(*accepted)
    assert " ".join(each.status for each in found) == f"yardstick {expected}"
    assert [each.better for each in found[2:]] == list(accepted)


def test_a_rung_above_is_told_with_the_gain_that_it_was_accepted_by_and_the_place_it_trained_from() -> None:
    *below, deep = told(True)
    assert (deep.name, deep.setting, deep.seconds, deep.cut) == ("rung 0", "s=0", 2.5, "after 0")
    assert (deep.gain, deep.error) == (0.1, 0.01)
    assert deep.headline.value == pytest.approx(0.9)
    assert [each.cut for each in below] == ["", ""]


def test_a_rung_that_was_tried_on_the_first_folds_is_scored_on_these() -> None:
    *_, deep = told(True, rows=16)
    assert deep.headline.value == pytest.approx(12 / 16)


def test_the_shipped_rung_is_found() -> None:
    y, x = Y, np.random.default_rng(0).normal(size=(40, 2))
    below = probed(rung(saying(wrong(20)), y, "guess"), rung(saying(wrong(10)), y, "linear head"))
    tried = (Tried(rung(saying(wrong(4)), y, "deep"), 0.1, 0.01, True, ""),)
    head = LinearHead(np.zeros(2), np.ones(2), np.eye(2), np.zeros(2))
    for given, expected in (((), "linear head"), (tried, "deep")):
        scores = judge(below, given, head, lambda rows: x[rows], y, crossed(y), AIM, 0)
        assert scores.shipped.name == expected
        assert scores.headline.value == pytest.approx({"linear head": 0.75, "deep": 0.9}[expected], abs=0.02)


def test_without_a_test_the_shipped_rung_is_scored_on_the_folds_that_it_was_tried_on() -> None:
    below = probed(rung(saying(wrong(20)), Y, "guess"), rung(saying(wrong(10)), Y, "linear head"))
    deep = rung(saying(wrong(4)[:16]), Y[:16], "deep")
    beaten = rung(saying(wrong(40)), Y, "deeper")
    passed = rung(saying(wrong(6)), Y, "shallow")
    tried = (Tried(passed, 0.1, 0.01, True, ""), Tried(deep, 0.1, 0.01, True, ""), Tried(beaten, -0.1, 0.01, False, ""))
    scores = judge(below, tried, None, None, Y, crossed(Y), AIM, 0)  # type: ignore[arg-type]
    assert scores.rows.tolist() == list(range(16))
    np.testing.assert_array_equal(scores.logits_NK, deep.chosen_RK)
    assert scores.headline.value == pytest.approx(12 / 16, abs=0.02)
    assert scores.guess.value == 0, "the guess is that on the same examples"


def test_on_a_test_the_shipped_head_is_judged_with_the_features_of_its_own_network() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    found = probe(x, y, AIM, splits, lambda: 0.0)
    rng = np.random.default_rng(3)
    head = LinearHead(np.zeros(5), np.ones(5), rng.normal(size=(5, 3)), np.zeros(3), 2.0)
    other = rng.normal(size=(90, 5))
    scores = judge(found, (), head, lambda rows: other[rows], y, splits, AIM, 0)
    np.testing.assert_array_equal(scores.logits_NK, head.logits(other[60:]))
    assert scores.headline.value == pytest.approx((scores.logits_NK.argmax(1) == y[60:]).mean())


# -- the gain of a rung


def gained(one: Rung, below: Rung, fold_R: Index, row_R: Index | None = None, y: Index = Y) -> tuple[float, float]:
    rows = np.arange(len(fold_R)) if row_R is None else row_R
    return gain(one, below, fold_R, rows, y, crossed(y), AIM)


FOLDS = np.arange(40) // 8


def test_the_gain_is_paired_over_the_held_out_examples() -> None:
    found = gained(rung(saying(wrong(4)), Y), rung(saying(wrong(10)), Y), FOLDS)
    assert found == (pytest.approx(6 / 40), pytest.approx(np.sqrt(0.15 * 0.85 / 39)))
    assert gained(rung(saying(wrong(4)), Y), rung(saying(wrong(4)), Y), FOLDS) == (0.0, 0.0)


def test_of_several_settings_the_gain_is_that_of_the_one_chosen_on_the_other_folds() -> None:
    """By its own fold each row would be given the setting that is right on it, and the gain would be all."""
    fold_R = np.arange(40) % 2
    settings = np.concatenate([saying(np.where(fold_R == 0, Y, 1 - Y)), saying(np.where(fold_R == 1, Y, 1 - Y))])
    assert gained(rung(settings, Y), rung(saying(1 - Y), Y), fold_R)[0] == 0


def test_settings_that_know_nothing_gain_nothing_however_many_they_are() -> None:
    gains = []
    for seed in range(30):
        many, y = noise(40, 40, seed)
        gains.append(gained(many, rung(many.logits_SRK[:1].astype(np.float64), y), FOLDS, y=y)[0])
    assert abs(np.mean(gains)) < 0.04


def test_the_rung_below_may_have_been_chosen_on_more_folds() -> None:
    few, whole = FOLDS[:16], rung(saying(wrong(10)), Y)
    assert gained(rung(saying(wrong(4)[:16]), Y[:16]), whole, few, np.arange(40))[0] == pytest.approx(6 / 16)


def test_the_rung_below_may_have_been_tried_on_fewer_folds() -> None:
    """A plan that was edited, or a shallow rung for which there was less time: what both saw is compared."""
    few = rung(saying(wrong(10)[:16]), Y[:16])
    assert gained(rung(saying(wrong(4)), Y), few, FOLDS)[0] == pytest.approx(6 / 16)
    assert gained(rung(saying(wrong(4)), Y), rung(saying(wrong(6)[:8]), Y[:8]), FOLDS)[0] == pytest.approx(2 / 8)


def test_rows_are_held_against_the_examples_behind_them() -> None:
    row_R = np.random.default_rng(0).permutation(40)
    one, below = rung(saying(wrong(4)[row_R]), Y[row_R]), rung(saying(wrong(10)[row_R]), Y[row_R])
    found = gained(one, below, FOLDS, row_R)
    assert found == pytest.approx(gained(rung(saying(wrong(4)), Y), rung(saying(wrong(10)), Y), FOLDS))


def test_copies_do_not_make_a_gain_more_certain() -> None:
    y, row = np.repeat(Y, 2), np.repeat(np.arange(40), 2)
    splits = crossed(y, row)
    one, below = rung(saying(wrong(4)[row]), y), rung(saying(wrong(10)[row]), y)
    found = gain(one, below, np.repeat(FOLDS, 2), np.arange(80), y, splits, AIM)
    assert found == pytest.approx(gained(rung(saying(wrong(4)), Y), rung(saying(wrong(10)), Y), FOLDS))


# -- surprise


def test_of_two_rungs_that_get_the_same_right_the_one_that_is_less_surely_wrong_surprises_less() -> None:
    calm, loud = rung(saying(wrong(10)), Y), rung(10 * saying(wrong(10)), Y)
    for one, other, expected in ((calm, loud, True), (loud, calm, False), (calm, calm, False)):
        assert surprised_less(one, other, FOLDS, np.arange(40), Y, AIM) is expected


def test_surprise_is_compared_on_what_both_saw() -> None:
    few = rung(saying(wrong(0)[:16]), Y[:16])
    assert surprised_less(few, rung(saying(wrong(16)), Y), FOLDS, np.arange(40), Y, AIM)
    assert not surprised_less(rung(saying(wrong(16)), Y), few, FOLDS, np.arange(40), Y, AIM)


# -- other aims


def of_tags() -> tuple[NDArray[np.float32], NDArray[np.float64], Aim]:
    x, y = clusters(90)
    return x, np.stack([y == 0, y != 1, y == 2], 1).astype(float), many_labels(("a", "b", "c"))


def of_numbers() -> tuple[NDArray[np.float32], NDArray[np.float64], Aim]:
    x, y = clusters(90)
    values = (50.0 + 10 * y).tolist()
    aim = standardising(values[:60])
    return x, aim.encode(values), aim


@pytest.mark.parametrize("made", [of_tags, of_numbers])
@pytest.mark.parametrize("how", ["test", "cross-validation"])
def test_every_aim_is_judged_by_its_own_measures_on_what_no_choice_was_made_on(made: Any, how: str) -> None:
    x, truth_N, aim = made()
    stratum_N = aim.strata(truth_N)
    splits = with_test(stratum_N, 60) if how == "test" else crossed(stratum_N)
    found = probe(x, truth_N, aim, splits, lambda: 0.0)
    scores = judge(found, (), found.head, lambda rows: x[rows], truth_N, splits, aim, 0)
    assert scores.how == how
    assert [m.name for m in scores.measures] == list(aim.scoring.explained)
    assert all(m.low <= m.value <= m.high for m in scores.measures)
    assert scores.rungs[0].name == aim.scoring.naive
    assert scores.headline.low > scores.guess.value
    assert [np.isnan(r.gain) for r in scores.rungs] == [True, False, False]
    assert scores.rungs[1].better, "neighbours know more than who has not looked"
    manual = aim.scoring.score(aim.scoring.read(scores.logits_NK, truth_N[scores.rows]), np.ones(len(scores.rows)))
    if how == "test":
        assert {m.name: m.value for m in scores.measures} == pytest.approx(manual)
        blind_NK = np.tile(aim.guess(truth_N[:60]), (30, 1))
        blind = aim.scoring.score(aim.scoring.read(blind_NK, truth_N[60:]), np.ones(30))
        assert scores.guess.value == pytest.approx(blind[scores.guess.name])
    assert scores.headline.value == pytest.approx(manual[scores.headline.name], abs=0.1)


@pytest.mark.parametrize("made", [of_tags, of_numbers])
def test_the_gain_of_a_rung_is_by_the_merits_of_its_aim(made: Any) -> None:
    _, truth_N, aim = made()
    rng = np.random.default_rng(0)
    columns_NK = truth_N[:, None] if truth_N.ndim == 1 else 4 * truth_N - 2
    rungs = []
    for noise in (0.3, 2.0):
        logits_NK = columns_NK + noise * rng.normal(size=columns_NK.shape)
        loss_SR = aim.loss_N(logits_NK, truth_N)[None]
        rungs.append(Rung("r", ("s",), logits_NK[None].astype(np.float32), loss_SR, (1.0,), 0.0))
    stratum_N = aim.strata(truth_N)
    found = gain(*rungs, np.arange(90) // 18, np.arange(90), truth_N, crossed(stratum_N), aim)
    one, below = (aim.scoring.read(r.chosen_RK, truth_N).merit_N for r in rungs)
    assert found == pytest.approx(((one - below).mean(), (one - below).std(ddof=1) / np.sqrt(90)))
    assert found[0] > found[1] > 0
