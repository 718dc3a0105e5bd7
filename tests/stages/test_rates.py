"""Which rate a rung is trained with: by a short training with each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from climb_samples import YES, Around, assert_same_climb, climbed, places, rung
from headstart.pipeline import Base
from headstart.stages import rates
from headstart.stages.pace import AGAIN
from headstart.stages.plan import RungPlan
from headstart.stages.trial import Glimpse

pytestmark = pytest.mark.usefixtures("calm")
RATES = (1e-6, 3e-3, 1e-5)
"""Of which the middle one learns something in an epoch."""


def rated(base: Base, **changes: object) -> RungPlan:
    short = {"rates": RATES, "starts": ("fresh",), "folds": 1, "trial": 16, "epochs": 5, "again": False}
    return rung(places(base.encoder.backbone)[0], **{**short, **changes})


def trainings(around: Around) -> dict[str, int]:
    return {name.partition("/")[2]: len(rows) for name, rows in around.rows.items()}


def test_each_rate_is_tried_for_a_few_steps_and_the_best_alone_is_trained_with(base: Base, tmp_path: Path) -> None:
    around = Around()
    found = climbed(base, tmp_path, [rated(base)], [YES], around)
    [step] = found.steps
    made = trainings(around)
    assert 4 <= made.pop("fold0-fresh-0.003") <= 20, "four steps an epoch"
    assert made == {f"trial-fresh-{rate:g}": 16 for rate in RATES}
    assert all("0.003" in name for name in step.tried.rung.settings)
    assert step.plan.rates == RATES, "what was planned is what is told"


@pytest.mark.parametrize("changes", [{"trial": 0}, {"rates": (3e-3,)}], ids=["no trial", "one rate"])
def test_where_there_is_nothing_to_try_all_rates_are_trained_with(
    base: Base, tmp_path: Path, changes: dict[str, object]
) -> None:
    around = Around()
    plan = rated(base, **changes)
    climbed(base, tmp_path, [plan], [YES], around)
    assert set(trainings(around)) == {f"fold0-fresh-{rate:g}" for rate in plan.rates}


def test_of_one_example_the_first_rate_is_taken(base: Base, tmp_path: Path) -> None:
    folds = base.divided.splits.folds
    few = replace(base.divided.splits, folds=((folds[0][0][:1], folds[0][1]), *folds[1:]))
    around = Around()
    climbed(replace(base, divided=replace(base.divided, splits=few)), tmp_path, [rated(base)], [YES], around)
    assert set(trainings(around)) == {f"fold0-fresh-{RATES[0]:g}"}


def timed(monkeypatch: pytest.MonkeyPatch, step: float, look: float = 0.0) -> None:
    """Short trainings take so many seconds a step, whatever the clock says."""
    real = rates.glimpse

    def told(*given: Any) -> Glimpse:
        return replace(real(*given), step=step, look=look)

    monkeypatch.setattr(rates, "glimpse", told)


@pytest.mark.parametrize(("step", "epochs"), [(1.0, 5.0), (2.0, 2.04 * AGAIN), (0.1, 6.0), (40.0, 0.25 * AGAIN)])
def test_the_best_rate_is_trained_with_for_as_many_epochs_as_fit_in(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float, epochs: float
) -> None:
    timed(monkeypatch, step)
    around = Around(48 + 18)  # a second a step: 18 are left after three trials of 16
    [done] = climbed(base, tmp_path, [rated(base, most=6)], [YES], around).steps
    assert done.plan.epochs == pytest.approx(epochs, abs=0.01), "of four steps; five were planned"
    assert (done.plan.most, done.plan.rates) == (0, RATES)
    assert f"{1000 * step:.0f} ms a step" in done.plan.reasons["epochs"]
    assert trainings(around)["fold0-fresh-0.003"] <= max(1, round(4 * epochs))


def test_the_time_to_judge_what_comes_of_it_is_left_when_the_training_ends(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.0)
    around = Around(48 + 18)
    [done] = climbed(base, tmp_path / "a", [rated(base, most=6, judging=7.0)], [YES], around).steps
    assert done.plan.epochs == pytest.approx(AGAIN * 11 / 4.4, abs=0.01)
    timed(monkeypatch, 0.1)
    around = Around(48 + 18)
    climbed(base, tmp_path / "b", [rated(base, most=6, judging=7.0)], [YES], around)
    assert trainings(around)["fold0-fresh-0.003"] == 11, "slower than was thought, it ends in time all the same"
    around = Around(48 + 5)
    found = climbed(base, tmp_path / "c", [rated(base, most=6, judging=7.0)], [YES], around)
    assert (found.steps, around.count) == ((), 46), "its trials left no time to judge"


def test_of_one_example_epochs_are_not_counted_anew(base: Base, tmp_path: Path) -> None:
    folds = base.divided.splits.folds
    few = replace(base.divided.splits, folds=((folds[0][0][:1], folds[0][1]), *folds[1:]))
    other = replace(base, divided=replace(base.divided, splits=few))
    [step] = climbed(other, tmp_path, [rated(base, most=6)], [YES]).steps
    assert (step.plan.most, step.plan.epochs) == (0, 5)


def test_a_plan_as_it_was_carried_out_is_carried_out_the_same(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.3)
    first = climbed(base, tmp_path / "a", [rated(base, most=6)], [YES], Around(48 + 30))
    again = climbed(base, tmp_path / "b", [first.steps[0].plan], [YES])
    assert_same_climb(again, first)
    kept = climbed(base, tmp_path / "a", [first.steps[0].plan], [YES], around := Around())
    assert_same_climb(kept, first)
    assert not around.rows


def test_one_rate_is_tried_as_well_where_epochs_are_counted_by_it(base: Base, tmp_path: Path) -> None:
    around = Around(16 + 9)
    climbed(base, tmp_path, [rated(base, rates=(3e-3,), most=6)], [YES], around)
    assert trainings(around)["trial-fresh-0.003"] == 16


def test_a_run_that_goes_on_keeps_to_the_epochs_that_were_counted_whatever_time_is_left(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.3)
    plan = rated(base, most=6)
    whole = climbed(base, tmp_path / "whole", [plan], [YES], Around(48 + 30))
    with pytest.raises(KeyboardInterrupt):
        climbed(base, tmp_path / "killed", [plan], [YES], Around(48 + 30, kill=51))
    timed(monkeypatch, 9.0)
    again = climbed(base, tmp_path / "killed", [plan], [YES], Around(1e6))
    assert_same_climb(again, whole)
    assert again.steps[0].plan == whole.steps[0].plan


@pytest.mark.parametrize("kill", [3, 25, 47, 55])
def test_a_run_that_was_killed_while_rates_were_tried_ends_with_the_same_bits(
    base: Base, tmp_path: Path, kill: int
) -> None:
    whole = climbed(base, tmp_path / "whole", [rated(base)], [YES])
    with pytest.raises(KeyboardInterrupt):
        climbed(base, tmp_path / "killed", [rated(base)], [YES], Around(kill=kill))
    assert_same_climb(climbed(base, tmp_path / "killed", [rated(base)], [YES]), whole)


@given(st.integers(2, 3000), st.integers(0, 9))
def test_short_trainings_leave_out_some_examples_of_all_kinds_that_are_learned_from(count: int, seed: int) -> None:
    fit = 3 * np.arange(count)
    inner, left_out = rates._apart(fit, seed)
    assert sorted([*inner, *left_out]) == fit.tolist()
    assert len(left_out) == max(1, min(rates.MOST, count // rates.SHARE))
    again, _ = rates._apart(fit, seed)
    np.testing.assert_array_equal(inner, again)


def test_what_choices_are_made_by_is_not_looked_at_for_the_rate(base: Base, tmp_path: Path) -> None:
    _, held = base.divided.splits.folds[0]
    unlike = np.array(base.divided.target_N)
    unlike[held] = 0  # else labels would say another rate
    other = replace(base, divided=replace(base.divided, target_N=unlike))
    for i, each in enumerate((base, other)):
        climbed(each, tmp_path / str(i), [rated(base)], [YES])
    for rate in RATES:
        one, two = (
            load_file(next(tmp_path.glob(f"{i}/*/trial-fresh-{rate:g}/held.safetensors")))["loss"] for i in (0, 1)
        )
        np.testing.assert_array_equal(one, two)


def test_where_the_time_ends_while_rates_are_tried_the_rung_is_given_up(base: Base, tmp_path: Path) -> None:
    found = climbed(base, tmp_path, [rated(base)], [YES], Around(seconds=30))
    assert (found.steps, found.best) == ((), None)
    [(_, why)] = found.untried
    assert "in the middle" in why
