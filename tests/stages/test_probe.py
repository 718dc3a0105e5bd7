"""The first rungs: chosen on what was not fitted, and never on what will be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.aims.label import one_label
from headstart.data.examples import Part
from headstart.heads import logistic, neighbours, ridge
from headstart.heads.linear import log_loss_N
from headstart.stages import probe as stage
from headstart.stages import solvers
from headstart.stages.probe import Probe, Rung, probe
from headstart.stages.split import Index, Splits, split

Features = NDArray[np.float32]
GUESS, NEAR, LINEAR = range(3)


def clusters(n: int, d: int, classes: int, spread: float = 1.0, seed: int = 0) -> tuple[Features, Index]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centre = 2 * rng.normal(size=(classes, d))
    return (centre[y] + spread * rng.normal(size=(n, d)) + 3).astype(np.float32), y


def ticks() -> Callable[[], float]:
    """A clock that is a second later each time it is looked at."""
    seconds: Iterator[int] = count()
    return lambda: float(next(seconds))


def probed(x: Features, y: Index, splits: Splits, classes: int = 3) -> Probe:
    return probe(x, y, one_label(tuple("abcdef"[:classes])), splits, ticks())


def crossed(y: Index, seed: int = 0) -> Splits:
    return split([""] * len(y), y, np.arange(len(y)), seed)


def given_parts(y: Index, train: int, valid: int) -> Splits:
    """The first examples train, the next ones choose, the others are judged; 0 of either leaves the part out."""
    parts: list[Part] = ["train"] * train + ["valid"] * valid + ["test"] * (len(y) - train - valid)
    return split(parts, y, np.arange(len(y)), 0)


def raw(found: Probe, rung: int) -> NDArray[np.float64]:
    """Held-out logits before their temperature."""
    return found.rungs[rung].logits_SRK * np.asarray(found.rungs[rung].temperatures)[:, None, None]


def assert_same_bits(a: Probe, b: Probe) -> None:
    for one, other in zip(a.rungs, b.rungs, strict=True):
        np.testing.assert_array_equal(one.logits_SRK, other.logits_SRK)
        np.testing.assert_array_equal(one.loss_SR, other.loss_SR)
        assert (one.temperatures, one.best, one.settings) == (other.temperatures, other.best, other.settings)
    np.testing.assert_array_equal(a.row_R, b.row_R)
    assert_same_head(a, b)


def assert_same_head(a: Probe, b: Probe) -> None:
    for name in ("mean_D", "std_D", "weight_DK", "bias_K", "temperature"):
        np.testing.assert_array_equal(getattr(a.head, name), getattr(b.head, name), err_msg=name)


@pytest.fixture(params=["logistic", "ridge"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to fit the linear head, on the same small data."""
    if request.param == "ridge":
        monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", 0)
    return str(request.param)


# -- what is looked at


def test_the_same_call_gives_the_same_bits(solver: str) -> None:
    x, y = clusters(60, 12, 3)
    assert_same_bits(probed(x, y, crossed(y)), probed(x, y, crossed(y)))


def test_judged_examples_are_never_looked_at(solver: str) -> None:
    x, y = clusters(80, 8, 3)
    splits = given_parts(y, 60, 0)
    spoiled_x, spoiled_y = x.copy(), y.copy()
    spoiled_x[splits.judged], spoiled_y[splits.judged] = np.nan, 0
    assert_same_bits(probed(x, y, splits), probed(spoiled_x, spoiled_y, splits))


def test_a_head_fitted_on_a_fold_never_sees_its_held_rows(solver: str) -> None:
    """Other labels on the held rows change what is chosen, and not one logit."""
    x, y = clusters(80, 8, 3, spread=3)
    splits = given_parts(y, 50, 20)
    [(_, held)] = splits.folds
    other = y.copy()
    other[held] = (y[held] + 1) % 3
    there, here = probed(x, y, splits), probed(x, other, splits)
    for rung in (GUESS, NEAR, LINEAR):
        np.testing.assert_allclose(raw(here, rung), raw(there, rung), rtol=1e-4, atol=1e-5)
    assert here.rungs[LINEAR].temperatures != there.rungs[LINEAR].temperatures


def test_other_features_of_one_held_example_change_only_its_own_logits_in_its_fold(solver: str) -> None:
    x, y = clusters(80, 8, 3)
    splits = given_parts(y, 50, 20)
    [(_, held)] = splits.folds
    other = x.copy()
    other[held[3]] += 1
    for rung in (NEAR, LINEAR):
        there, here = raw(probed(x, y, splits), rung), raw(probed(other, y, splits), rung)
        changed = np.abs(here - there).max((0, 2)) > 1e-3
        assert changed.tolist() == [i == 3 for i in range(20)]


def test_the_validation_examples_are_learned_from_in_the_end(solver: str) -> None:
    x, y = clusters(80, 8, 3)
    splits = given_parts(y, 50, 20)
    other = x.copy()
    other[55] += 100
    assert np.abs(probed(other, y, splits).head.weight_DK - probed(x, y, splits).head.weight_DK).max() > 1e-3


# -- held-out logits


def test_held_out_rows_are_the_folds_in_their_order() -> None:
    x, y = clusters(60, 8, 3)
    splits = crossed(y)
    found = probed(x, y, splits)
    assert found.row_R.tolist() == [int(i) for _, held in splits.folds for i in held]
    assert np.bincount(found.row_R).tolist() == [3] * 60
    for rung, settings in zip(found.rungs, (1, len(neighbours.GRID), len(logistic.GRID)), strict=True):
        assert rung.logits_SRK.shape == (settings, 180, 3)
        assert rung.loss_SR.shape == (settings, 180)


def test_the_linear_candidates_are_the_grid_in_its_order_each_fitted_on_its_fold() -> None:
    x, y = clusters(60, 8, 3, spread=4)
    splits = crossed(y)
    found = probed(x, y, splits)
    assert found.rungs[LINEAR].settings == tuple(f"C={c:g}" for c in logistic.GRID)
    for s, c in ((0, logistic.GRID[0]), (4, logistic.GRID[4]), (-1, logistic.GRID[-1])):
        slow = [logistic.fit_logistic(x[fit], y[fit], 3, [c], 1e-7)[0].logits(x[held]) for fit, held in splits.folds]
        np.testing.assert_allclose(raw(found, LINEAR)[s], np.concatenate(slow), atol=2e-2)


def test_the_ridge_candidates_are_the_grid_in_its_order_each_fitted_on_its_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", 0)
    monkeypatch.setattr(solvers, "_BLOCK", 7)
    x, y = clusters(60, 8, 3, spread=4)
    splits = crossed(y)
    found = probed(x, y, splits)
    assert found.rungs[LINEAR].settings == tuple(f"penalty={p:g}" for p in ridge.GRID)
    for s, penalty in enumerate(ridge.GRID):
        heads = [
            ridge.fit_ridge(ridge.accumulate([(x[f], np.eye(3)[y[f]])], 8, 3), [penalty])[0] for f, _ in splits.folds
        ]
        slow = [head.logits(x[held]) for head, (_, held) in zip(heads, splits.folds, strict=True)]
        np.testing.assert_allclose(raw(found, LINEAR)[s], np.concatenate(slow), atol=1e-5)


def test_ridge_folds_leave_out_no_more_than_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of one example is in every fitted part, and in no held one."""
    monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", 0)
    x, y = clusters(40, 4, 2)
    y[7] = 2
    splits = crossed(y)
    found = probed(x, y, splits)
    fit, held = splits.folds[0]
    slow = ridge.fit_ridge(ridge.accumulate([(x[fit], np.eye(3)[y[fit]])], 4, 3), ridge.GRID)[0].logits(x[held])
    np.testing.assert_allclose(raw(found, LINEAR)[0, : len(held)], slow, atol=1e-5)
    assert slow[:, 2].any(), "the class is known"


def test_the_neighbours_candidates_are_the_grid_in_its_order() -> None:
    x, y = clusters(60, 8, 3)
    splits = crossed(y)
    found = probed(x, y, splits)
    assert found.rungs[NEAR].settings == tuple(f"k={k}" for k in neighbours.GRID)
    for s, k in enumerate(neighbours.GRID):
        slow = [neighbours.vote(x[held], x[fit], y[fit], 3, [k])[0] for fit, held in splits.folds]
        np.testing.assert_allclose(raw(found, NEAR)[s], np.concatenate(slow), rtol=1e-4, atol=1e-5)


def test_neighbours_of_a_large_set_are_looked_for_among_some_of_it_all_classes_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "NEIGHBOURS_KNOWN", 12)
    x, y = clusters(90, 8, 3, spread=0.3)
    order = np.argsort(y, kind="stable")
    found = probed(x[order], y[order], crossed(y[order]))
    assert (found.rungs[NEAR].chosen_RK.argmax(1) == y[order][found.row_R]).mean() > 0.95


def test_the_guess_says_the_shares_of_the_fitted_examples() -> None:
    x, y = clusters(60, 4, 2)
    y = (np.arange(60) < 15).astype(np.intp)
    splits = given_parts(y, 20, 20)
    found = probed(x, y, splits, classes=3)
    np.testing.assert_allclose(np.exp(raw(found, GUESS)[0]), np.tile([6 / 23, 16 / 23, 1 / 23], (20, 1)), rtol=1e-5)


# -- choices


@pytest.mark.parametrize("rung", [GUESS, NEAR, LINEAR])
def test_the_candidate_with_the_least_held_out_loss_is_chosen(rung: int, solver: str) -> None:
    x, y = clusters(60, 8, 3, spread=4)
    found = probed(x, y, crossed(y)).rungs[rung]
    losses = found.loss_SR.mean(1)
    assert losses[found.best] == losses.min()
    np.testing.assert_array_equal(found.chosen_RK, found.logits_SRK[found.best])
    assert found.chosen_RK.dtype == np.float64


def test_logits_are_compared_as_they_are_and_scores_that_are_no_logits_after_their_temperature(solver: str) -> None:
    x, y = clusters(60, 8, 3, spread=4)
    found = probed(x, y, crossed(y))
    linear = found.rungs[LINEAR]
    compared = raw(found, LINEAR) if solver == "logistic" else linear.logits_SRK.astype(np.float64)
    for loss_R, l_RK in zip(linear.loss_SR, compared, strict=True):
        np.testing.assert_allclose(loss_R, log_loss_N(l_RK, y[found.row_R]), rtol=1e-4, atol=1e-5)


def test_noise_is_met_with_more_regularisation_than_clear_classes() -> None:
    rng = np.random.default_rng(0)
    noise, y = rng.normal(size=(60, 40)).astype(np.float32), np.arange(60) % 3
    x, _ = clusters(60, 40, 3, spread=0.5)
    assert probed(noise, y, crossed(y)).rungs[LINEAR].best < probed(x, y, crossed(y)).rungs[LINEAR].best


def test_the_temperature_makes_the_held_out_loss_smaller(solver: str) -> None:
    x, y = clusters(90, 8, 3, spread=3)
    found = probed(x, y, crossed(y))
    target_R = y[found.row_R]
    before = log_loss_N(raw(found, LINEAR)[found.rungs[LINEAR].best], target_R).mean()
    assert log_loss_N(found.rungs[LINEAR].chosen_RK, target_R).mean() < before


# -- the head that is shipped


def test_the_head_is_a_refit_of_the_chosen_setting_on_all_training_examples() -> None:
    x, y = clusters(80, 8, 3, spread=4)
    splits = given_parts(y, 60, 0)
    found = probed(x, y, splits)
    chosen = logistic.GRID[found.rungs[LINEAR].best]
    [manual] = logistic.fit_logistic(x[:60], y[:60], 3, [chosen])
    np.testing.assert_allclose(found.head.weight_DK, manual.weight_DK, atol=1e-9)
    np.testing.assert_allclose(found.head.mean_D, x[:60].mean(0, dtype=np.float64))
    assert found.head.temperature == found.rungs[LINEAR].temperatures[found.rungs[LINEAR].best]
    assert found.solver.startswith("L2 logistic regression")


def test_the_closed_form_head_is_a_refit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", 0)
    x, y = clusters(80, 8, 3, spread=4)
    splits = given_parts(y, 40, 20)
    found = probed(x, y, splits)
    chosen = ridge.GRID[found.rungs[LINEAR].best]
    [manual] = ridge.fit_ridge(ridge.accumulate([(x[:60], np.eye(3)[y[:60]])], 8, 3), [chosen])
    np.testing.assert_allclose(found.head.weight_DK, manual.weight_DK, atol=1e-9)
    assert found.head.temperature == found.rungs[LINEAR].temperatures[found.rungs[LINEAR].best]
    assert found.solver.startswith("closed-form ridge")


def test_each_rung_beats_the_guess_where_there_is_something_to_learn(solver: str) -> None:
    x, y = clusters(60, 8, 3)
    guess, near, linear = (rung.loss_SR.mean(1).min() for rung in probed(x, y, crossed(y)).rungs)
    assert near < 0.5 * guess
    assert linear < 0.5 * guess


def test_the_head_gives_new_examples_their_class(solver: str) -> None:
    x, y = clusters(120, 8, 3)
    found = probed(x, y, given_parts(y, 80, 0))
    assert (found.head.logits(x[80:]).argmax(1) == y[80:]).mean() > 0.95


def test_the_shipped_head_is_its_own_refit(solver: str) -> None:
    x, y = clusters(80, 8, 3, spread=4)
    splits = given_parts(y, 50, 20)
    found = probed(x, y, splits)
    again = found.refit(splits.train)
    for name in ("mean_D", "std_D", "weight_DK", "bias_K"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found.head, name), err_msg=name)
    assert again.temperature == found.head.temperature
    assert found.head.temperature == found.rungs[LINEAR].temperatures[found.rungs[LINEAR].best]


def test_refitted_on_a_fold_it_gives_the_held_out_logits_of_the_chosen_setting(solver: str) -> None:
    """Training from the linear head starts where that head was when it was judged."""
    x, y = clusters(60, 8, 3, spread=4)
    splits = crossed(y)
    found = probed(x, y, splits)
    best, at, close = found.rungs[LINEAR].best, 0, {"logistic": 2e-2, "ridge": 1e-5}[solver]
    for fit, held in splits.folds[:4]:
        expected = raw(found, LINEAR)[best, at : at + len(held)]
        np.testing.assert_allclose(found.refit(fit).with_temperature(1).logits(x[held]), expected, atol=close)
        at += len(held)


def test_a_refit_sees_only_the_rows_that_it_is_given(solver: str) -> None:
    x, y = clusters(60, 8, 3)
    found = probed(x, y, crossed(y))
    fit = np.arange(0, 60, 2)
    expected = found.refit(fit)
    x[1::2], y[1::2] = np.nan, 0
    for name in ("mean_D", "std_D", "weight_DK", "bias_K"):
        np.testing.assert_array_equal(getattr(found.refit(fit), name), getattr(expected, name), err_msg=name)


# -- a choice that is not made on what it is compared on


def candidates(loss_SR: NDArray[np.float64]) -> Rung:
    """A rung whose logits say which candidate and which row they are of."""
    settings, rows = loss_SR.shape
    logits_SRK = np.stack(np.broadcast_arrays(np.arange(settings)[:, None], np.arange(rows)[None]), -1)
    names = tuple(f"s={s}" for s in range(settings))
    return Rung("a rung", names, logits_SRK.astype(np.float32), loss_SR, (1.0,) * settings, 0.0)


def test_each_row_is_from_the_candidate_that_was_best_on_the_other_folds() -> None:
    fold_R = np.array([0, 0, 1, 1, 2, 2])
    loss_SR = np.array([[0, 0, 5, 5, 1, 1], [3, 3, 3, 3, 3, 3], [9, 9, 0, 0, 2, 2]], float)
    # Without fold 0 the third is best, without fold 1 the first; without fold 2 the first (2.5), then 3 and 4.5.
    found = candidates(loss_SR).crossed_RK(fold_R)
    assert found[:, 0].tolist() == [2, 2, 0, 0, 0, 0]
    assert found[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.dtype == np.float64


@pytest.mark.parametrize("seed", range(10))
def test_no_row_s_own_fold_has_a_say_in_who_speaks_for_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fold_R, loss_SR = rng.integers(0, 4, 30), rng.random((6, 30))
    before, elsewhere = candidates(loss_SR).crossed_RK(fold_R), 0
    for fold in range(4):
        here, other = fold_R == fold, loss_SR.copy()
        other[:, here] = 100 * rng.random((6, here.sum()))
        after = candidates(other).crossed_RK(fold_R)
        np.testing.assert_array_equal(after[here], before[here])
        elsewhere += (after[~here] != before[~here]).any()
    assert elsewhere, "it has a say in who speaks for others"


def test_among_many_candidates_that_know_nothing_the_crossed_choice_shows_no_luck() -> None:
    lucky, fair = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 50)
        logits_SRK = rng.normal(size=(40, 50, 2)).astype(np.float32)
        loss_SR = np.stack([log_loss_N(l_RK, y) for l_RK in logits_SRK])
        rung = Rung("a rung", ("",) * 40, logits_SRK, loss_SR, (1.0,) * 40, 0.0)
        lucky.append((rung.chosen_RK.argmax(1) == y).mean())
        fair.append((rung.crossed_RK(np.arange(50) % 5).argmax(1) == y).mean())
    assert np.mean(lucky) > 0.57
    assert abs(np.mean(fair) - 0.5) < 0.03


def test_with_one_fold_there_is_no_other_to_choose_by() -> None:
    loss_SR = np.random.default_rng(0).random((4, 10))
    rung = candidates(loss_SR)
    np.testing.assert_array_equal(rung.crossed_RK(np.zeros(10, np.intp)), rung.chosen_RK)
    assert rung.crossed_RK(np.zeros(6, np.intp)).tolist() == rung.chosen_RK[:6].tolist()


def test_rows_behind_those_that_are_compared_have_no_say() -> None:
    """A deeper rung is compared on fewer folds than the linear head was chosen on."""
    loss_SR = np.array([[0.0, 0.0, 0.0, 0.0, 9.0, 9.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]])
    rung = candidates(loss_SR)
    assert rung.best == 1
    assert rung.crossed_RK(np.array([0, 0, 1, 1])).tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]


# -- which solver


@pytest.mark.parametrize(("more", "name"), [(0, "L2 logistic"), (1, "closed-form ridge")])
def test_many_rows_take_the_closed_form(more: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", 4000)
    n = 4000 + more
    x, y = clusters(n + 300, 4, 2, spread=1.5)
    found = probed(x, y, given_parts(y, n, 0), classes=2)
    assert found.solver.startswith(name)
    assert (found.head.logits(x[n:]).argmax(1) == y[n:]).mean() > 0.8


def test_on_many_rows_fewer_values_of_c_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = clusters(60, 4, 3)
    assert probed(x, y, crossed(y)).rungs[-1].settings == tuple(f"C={c:g}" for c in logistic.GRID)
    monkeypatch.setattr(solvers, "MANY_ROWS", 59)
    assert probed(x, y, crossed(y)).rungs[-1].settings == tuple(f"C={c:g}" for c in logistic.FEW)


def test_much_work_takes_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvers, "CLOSED_FORM_WORK", 0)
    x, y = clusters(60, 4, 3)
    assert probed(x, y, crossed(y)).solver.startswith("closed-form ridge")


def test_on_clear_classes_the_closed_form_is_as_accurate_as_logistic_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = clusters(600, 8, 3, spread=1.5)
    splits = given_parts(y, 300, 0)
    accuracy = []
    for rows in (10_000, 0):
        monkeypatch.setattr(solvers, "CLOSED_FORM_ROWS", rows)
        found = probed(x, y, splits)
        accuracy.append((found.head.logits(x[300:]).argmax(1) == y[300:]).mean())
    assert min(accuracy) > 0.9
    assert abs(accuracy[0] - accuracy[1]) < 0.02


# -- what is told


def test_rungs_come_cheapest_first_each_with_its_seconds_and_its_step_of_progress() -> None:
    x, y = clusters(30, 4, 3)
    steps: list[int] = []
    found = probe(x, y, one_label(("a", "b", "c")), crossed(y), ticks(), steps.append)
    assert [rung.name for rung in found.rungs] == ["majority guess", "nearest neighbours", "linear head"]
    assert [rung.seconds for rung in found.rungs] == [1.0, 1.0, 1.0]
    assert steps == [1, 1, 1]
