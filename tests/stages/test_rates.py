"""Which rate a rung is trained with: by a short training with each."""

from __future__ import annotations

from pathlib import Path

import pytest

from climb_samples import YES, Around, assert_same_climb, climbed, places, rung
from headstart.pipeline import Base
from headstart.stages.plan import RungPlan

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


@pytest.mark.parametrize("kill", [3, 25, 47, 55])
def test_a_run_that_was_killed_while_rates_were_tried_ends_with_the_same_bits(
    base: Base, tmp_path: Path, kill: int
) -> None:
    whole = climbed(base, tmp_path / "whole", [rated(base)], [YES])
    with pytest.raises(KeyboardInterrupt):
        climbed(base, tmp_path / "killed", [rated(base)], [YES], Around(kill=kill))
    assert_same_climb(climbed(base, tmp_path / "killed", [rated(base)], [YES]), whole)


def test_where_the_time_ends_while_rates_are_tried_the_rung_is_given_up(base: Base, tmp_path: Path) -> None:
    found = climbed(base, tmp_path, [rated(base)], [YES], Around(seconds=30))
    assert (found.steps, found.best) == ((), None)
    [(_, why)] = found.untried
    assert "in the middle" in why
