"""How long a rung is trained, by steps that were timed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.stages.pace import AGAIN, SLACK, fitted, paced
from headstart.stages.plan_values import RungPlan
from headstart.stages.trial import Glimpse

PLAN = RungPlan(
    "everything", 1, 18, 15, 1, ("linear",), (5e-4,), 0.5, False, reasons={"views": "why"}, again=False, trial=32,
    most=40, judging=20.0,
)  # fmt: skip
SEEN = (Glimpse(3.0, step=0.3, look=0.01), Glimpse(2.0, step=0.5, look=0.03))


def test_epochs_fit_into_what_is_left_when_judging_and_looks_are_counted(tmp_path: Path) -> None:
    made = paced(PLAN, SEEN, 66, 300, 600.0, tmp_path / "pace.json")
    epoch = 66 * 0.3 + 300 * 0.01
    assert made.epochs == pytest.approx((600 - 20) / (SLACK * epoch), abs=0.01)
    assert made.most == 0
    assert made.seconds == pytest.approx(20 + made.epochs * SLACK * epoch, abs=0.1)
    assert made.reasons["epochs"] == "300 ms a step in short trainings, 600 s left; 40 at most"
    assert made.reasons["views"] == "why"
    assert "counted anew" in made.reasons["most"]


def test_the_quickest_of_the_short_trainings_tells_the_pace(tmp_path: Path) -> None:
    alone = paced(PLAN, SEEN[:1], 66, 300, 600.0, tmp_path / "alone.json")
    slow = Glimpse(1.0, step=2.0, look=0.5)  # other work went on beside it
    assert paced(PLAN, (slow, *SEEN), 66, 300, 600.0, tmp_path / "beside.json") == alone


@pytest.mark.parametrize(("left", "epochs"), [(400.0, 18.0), (20 + SLACK * 22.8 * 4, 4 * AGAIN)])
def test_a_machine_that_is_slow_just_then_costs_few_of_the_planned_epochs(
    tmp_path: Path, left: float, epochs: float
) -> None:
    made = paced(PLAN, SEEN, 66, 300, left, tmp_path / "pace.json")
    assert made.epochs == pytest.approx(epochs, abs=0.01)
    assert made.seconds == pytest.approx(left, abs=0.05), "what takes longer ends in time"
    assert made.reasons["epochs"].endswith("40 at most; by the plan's timing more fit in")


def test_what_was_decided_once_is_not_decided_anew(tmp_path: Path) -> None:
    first = paced(PLAN, SEEN, 66, 300, 600.0, tmp_path / "pace.json")
    assert paced(PLAN, (Glimpse(1.0, 9.0, 9.0),), 66, 300, 5.0, tmp_path / "pace.json") == first
    assert paced(PLAN, SEEN, 66, 300, 300.0, tmp_path / "other.json").epochs < first.epochs


def test_short_trainings_of_a_step_tell_nothing(tmp_path: Path) -> None:
    seen = (Glimpse(3.0, math.nan, 0.01), *SEEN[:1])
    whole = paced(PLAN, SEEN[:1], 66, 300, 600.0, tmp_path / "one.json")
    assert paced(PLAN, seen, 66, 300, 600.0, tmp_path / "some.json") == whole
    none = paced(PLAN, seen[:1], 66, 300, 600.0, tmp_path / "none.json")
    assert (none.epochs, none.most) == (PLAN.epochs, 0)


def test_a_plan_that_is_to_be_kept_to_is_kept_to(tmp_path: Path) -> None:
    kept = RungPlan("everything", 1, 18, 15, 1, ("linear",), (5e-4,), 0.5, False, trial=32)
    assert paced(kept, SEEN, 66, 300, 600.0, tmp_path / "pace.json") is kept
    assert not (tmp_path / "pace.json").exists()


@given(st.floats(-100, 1e6), st.floats(0, 1e3), st.integers(1, 1000), st.integers(1, 100))
def test_epochs_are_within_what_is_left_and_what_is_worth_while_and_a_step_at_least(
    left: float, epoch: float, in_epoch: int, most: int
) -> None:
    found = fitted(left, epoch, in_epoch, most)
    assert 1 / in_epoch <= found <= max(most, 1 / in_epoch)
    if 1 / in_epoch < found:
        assert SLACK * epoch * found <= left * (1 + 1e-9) + 1e-6
    if found < most and found > 1 / in_epoch:
        assert SLACK * epoch * (found + 0.011) > left
