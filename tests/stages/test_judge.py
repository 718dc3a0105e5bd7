"""The final scores: made on what was held out, corrected for choices, with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from headstart.heads.linear import log_loss_N
from headstart.stages.judge import Scores, corrected, judge, ladder, paired
from headstart.stages.probe import Probe, Rung, probe
from headstart.stages.split import Index, Splits, split
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION

SCORING = IMAGE_CLASSIFICATION.scoring
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
    found = probe(x, y, 3, splits, lambda: 0.0)
    return judge(found, lambda rows: x[rows], y, splits, SCORING, seed)


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
    found = probe(x, y, 3, splits, lambda: 0.0)
    asked: list[Index] = []
    judge(found, lambda rows: (asked.append(rows), x[rows])[1], y, splits, SCORING, 0)
    assert [rows.tolist() for rows in asked] == [list(range(60, 90))]


def test_on_a_test_the_measures_are_those_of_the_shipped_head_on_it() -> None:
    x, y = clusters(90)
    splits = with_test(y, 60)
    found = probe(x, y, 3, splits, lambda: 0.0)
    scores = judge(found, lambda rows: x[rows], y, splits, SCORING, 0)
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
    found = probe(x, y, 3, splits, lambda: 0.0)

    def never(rows: Index) -> Floats:
        raise AssertionError("there is nothing to judge")

    scores = judge(found, never, y, splits, SCORING, 0)
    assert scores.how == "cross-validation"
    assert scores.rows.tolist() == list(range(60))
    assert scores.logits_NK.shape == (60, 3)


def test_the_row_of_an_example_is_its_prediction_in_the_first_repeat() -> None:
    x, y = clusters(60)
    splits = crossed(y)
    found = probe(x, y, 3, splits, lambda: 0.0)
    scores = judge(found, lambda rows: x[rows], y, splits, SCORING, 0)
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
    right, below = np.array([1, 1, 0, 1, 1, 1], bool), np.array([0, 1, 1, 0, 1, 0], bool)
    gain, error = paired(right, below, np.arange(6))
    difference = np.array([1, 0, -1, 1, 0, 1])
    assert gain == pytest.approx(1 / 3)
    assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(6))


def test_repeats_and_copies_of_a_unit_count_as_one() -> None:
    right, below = np.array([1, 1, 0, 1], bool), np.array([0, 1, 1, 1], bool)
    once = paired(right, below, np.arange(4))
    assert paired(np.tile(right, 3), np.tile(below, 3), np.tile(np.arange(4), 3)) == pytest.approx(once)
    assert paired(np.repeat(right, 2), np.repeat(below, 2), np.repeat([7, 3, 9, 1], 2)) == pytest.approx(once)


def test_units_of_different_sizes_weigh_the_same() -> None:
    gain, error = paired(np.array([1, 1, 1, 0], bool), np.array([0, 0, 0, 0], bool), np.array([5, 5, 5, 8]))
    assert (gain, error) == (0.5, pytest.approx(0.5))


def test_a_single_unit_proves_nothing() -> None:
    assert paired(np.array([True, True]), np.array([False, False]), np.array([0, 0])) == (1.0, float("inf"))


def laddered(*said: Index, y: Index) -> list[tuple[float, float, bool]]:
    rungs = tuple(rung(saying(labels), y, str(i)) for i, labels in enumerate(said))
    found = Probe(rungs, np.arange(len(y)), head=None, solver="")  # type: ignore[arg-type]
    return [(r.gain, r.error, r.better) for r in ladder(found, y, crossed(y), SCORING, 0)]


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
    found = probe(x, y, 3, splits, lambda: 0.0)
    for told, made in zip(ladder(found, y, splits, SCORING, 0), found.rungs, strict=True):
        right = made.chosen_RK.argmax(1) == y[found.row_R]
        assert (told.name, told.setting, told.seconds) == (made.name, made.settings[made.best], made.seconds)
        assert told.headline.value == pytest.approx(right.mean())
        assert told.headline.low <= told.headline.value <= told.headline.high
