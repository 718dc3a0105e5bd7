"""The run folder knows which run it is of; a budget counts from when the run began; lengths of time are read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import UsageError
from headstart.runs import PLAN, Budget, open_run, read_plan, seconds
from headstart.stages.plan import Plan, RungPlan, ScratchPlan

# -- lengths of time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("10min", 600),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("1h30min", 5400),
        ("2h15m30s", 8130),
        ("0.5", 0.5),
        ("0s", 0),
        (" 10 m ", 600),
        ("1h 30m", 5400),
        ("10M", 600),
        ("1H30M", 5400),
    ],
)
def test_a_length_of_time_is_read(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "m", "h30m", "-5", "-5m", "+5m", "five", "5d", "5 minutes", "5mins", "1e3", "1.5.2", "1,5h", ".5h",
        "5.m", "inf", "nan", "10m,", "10m!", "1:30", "5m and more", "0x10", "1h30", "90 30", "1 0m",
    ],
)  # fmt: skip
def test_what_is_no_length_of_time_is_refused_with_an_example(text: str) -> None:
    """Among them what could be two things: 1h30 is minutes to most people, and seconds by the rule of the last unit."""
    with pytest.raises(UsageError, match="is no length of time") as told:
        seconds(text)
    assert repr(text) in str(told.value)
    assert "1h30m" in told.value.hint


@given(st.integers(0, 50), st.integers(0, 59), st.integers(0, 59))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == 3600 * hours + 60 * minutes + rest


# -- the budget


class Clock:
    """Shows what it is set to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_budget_counts_from_when_the_run_began_not_from_when_it_was_asked_for() -> None:
    clock = Clock(107.0)
    budget = Budget(60.0, 100.0, clock)
    assert budget.left() == 53
    clock.now = 150.0
    assert (budget.left(), budget.left(6.0)) == (10, 4)
    clock.now = 170.0
    assert (budget.left(), budget.left(6.0)) == (-10, -16)


def test_looking_spends_nothing() -> None:
    budget = Budget(60.0, 0.0, Clock(20.0))
    assert [budget.left(reserve) for reserve in (0.0, 50.0, 0.0)] == [40, -10, 40]


# -- the run folder

ABOUT: dict[str, Any] = {"data": "ab12", "asked": [0, 300.0, True, "", ""], "space": "xy"}
RUNG = RungPlan("everything", 1, 4, 8, 2, ("linear", "fresh"), (3e-4, 1e-3), 0.1, True, 8, 12.5, {"views": "because"})
MADE = Plan(300.0, (RUNG,), (("after layer1", "no time"),), ScratchPlan(70, 10, 32, (1e-3,), False, 11.0, 12.5), "")


def test_the_same_description_finds_the_same_folder(tmp_path: Path) -> None:
    first = open_run(tmp_path, ABOUT)
    (first.folder / "kept").write_text("x")
    again = open_run(tmp_path, dict(reversed(ABOUT.items())))
    assert again == first
    assert (again.folder / "kept").read_text() == "x"
    assert first.folder.parent == tmp_path / "runs"


@pytest.mark.parametrize(
    "change",
    [
        {"data": "ab13"},
        {"space": "xz"},
        {"asked": [1, 300.0, True, "", ""]},
        {"asked": [0, 301.0, True, "", ""]},
        {"asked": [0, 300.0, False, "", ""]},
        {"asked": [0, 300.0, True, "5", ""]},
        {"asked": [0, 300.0, True, "", "5"]},
        {"more": 1},
    ],
    ids=str,
)
def test_another_description_is_another_run(change: dict[str, Any], tmp_path: Path) -> None:
    assert open_run(tmp_path, {**ABOUT, **change}).folder != open_run(tmp_path, ABOUT).folder


def test_another_pytorch_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes other bits: half of a training by each would be neither's."""
    first = open_run(tmp_path, ABOUT)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    assert open_run(tmp_path, ABOUT).folder != first.folder


@pytest.mark.parametrize("made", [MADE, Plan(0.0, ()), replace(MADE, scratch=None, without="it was turned off")])
def test_a_plan_that_was_kept_is_found_by_the_next_run(made: Plan, tmp_path: Path) -> None:
    run = open_run(tmp_path, ABOUT)
    assert run.plan() is None
    assert run.keep(made) is made
    assert open_run(tmp_path, ABOUT).plan() == made
    assert open_run(tmp_path, {"data": "other"}).plan() is None


def test_the_last_plan_that_was_kept_counts(tmp_path: Path) -> None:
    run = open_run(tmp_path, ABOUT)
    run.keep(replace(MADE, scratch=None))
    run.keep(MADE)
    assert run.plan() == MADE


def test_what_is_finished_leaves_nothing_and_others_alone(tmp_path: Path) -> None:
    run, other = open_run(tmp_path, ABOUT), open_run(tmp_path, {"data": "other"})
    run.keep(MADE)
    (run.folder / "0-everything").mkdir()
    other.keep(MADE)
    run.finished()
    assert list((tmp_path / "runs").iterdir()) == [other.folder]
    run.finished()
    assert other.plan() == MADE


# -- a plan of the user's


def test_a_plan_file_of_a_run_is_read_back(tmp_path: Path) -> None:
    run = open_run(tmp_path, ABOUT)
    run.keep(MADE)
    assert read_plan(str(run.folder / PLAN)) == MADE


def test_the_epochs_of_a_plan_that_is_given_are_kept_to_whatever_the_clock_says(tmp_path: Path) -> None:
    counted = replace(MADE, rungs=(replace(RUNG, trial=32, most=40, epochs=7.5),))
    run = open_run(tmp_path, ABOUT)
    run.keep(counted)
    assert run.plan() == counted, "a run that goes on had not counted them yet"
    [kept] = read_plan(str(run.folder / PLAN)).rungs
    assert (kept.most, kept.epochs, kept.trial) == (0, 7.5, 32)
    assert kept.reasons == {**RUNG.reasons, "most": "the epochs above are kept to"}


@pytest.mark.parametrize("content", [None, b"", b"{", b"rungs: []", b"\xff\xfe"], ids=str)
def test_a_plan_that_cannot_be_read_is_named_with_the_reason(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read") as told:
        read_plan(str(path))
    assert str(path) in told.value.what
    assert told.value.found


def test_a_folder_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(str(tmp_path))


@pytest.mark.parametrize("record", [{}, [], {"budget": math.nan, "rungs": []}, {"budget": 60, "rungs": [{}]}], ids=str)
def test_json_that_is_no_plan_is_said_to_be_none(record: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="This is not a plan"):
        read_plan(str(path))
