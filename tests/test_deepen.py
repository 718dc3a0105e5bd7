"""deepen: the plan leaves room for training from scratch, and what is left out is said to be, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from climb_samples import Around, ground
from headstart import deepen as module
from headstart.deepen import (
    FULLY,
    SAMPLE,
    SCRATCH_AGAIN,
    SLOWER,
    Deepened,
    carried_out,
    deepen,
    folds_once,
    lines,
    make_plan,
    value_text,
)
from headstart.errors import BackboneError
from headstart.options import Stopwatch
from headstart.pipeline import Base
from headstart.prepare import items_of
from headstart.runs import Budget, Run, open_run
from headstart.stages.climb import Climbed, Step
from headstart.stages.ground import Ground
from headstart.stages.judge import Tried
from headstart.stages.plan import Plan, RungPlan, ScratchPlan, Speed, plan
from headstart.stages.scratch import RATES, halves
from headstart.stages.split import Splits, cross_validation

SPEEDS = (
    Speed("after layer3", 0.2, 0.004, 0.002, True),
    Speed("after layer2", 0.4, 0.003, 0.004, True),
    Speed("everything", 1.0, 0.001, 0.02, False, guessed=True),
)


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stage(base: Base, tmp_path: Path, clock: Clock) -> Ground:
    """A ground on which no time passes but what the clock is set to."""
    return replace(ground(base, tmp_path, Around()), items=items_of(base.data), clock=clock)


# -- folds


def splits(*held: list[int]) -> Splits:
    everyone = np.arange(6)
    folds = tuple((np.setdiff1d(everyone, h), np.array(h)) for h in held)
    return Splits(everyone, np.empty(0, np.intp), folds, everyone, 0, "made up")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (([0, 1], [2, 3], [4, 5]), 3),
        (([0, 1], [2, 3], [4, 5], [0, 2], [1, 4], [3, 5]), 3),
        (([0, 1], [2, 1], [4, 5]), 1),
        (([0, 1, 2],), 1),
        (([0], [3], [5]), 3),
    ],
)
def test_folds_are_counted_until_one_holds_an_example_again(
    held: tuple[list[int], ...], expected: int, stage: Ground
) -> None:
    assert folds_once(replace(stage, splits=splits(*held))) == expected


def test_of_repeated_cross_validation_the_first_repeat_is_taken(stage: Ground) -> None:
    target_N = np.arange(40) % 2
    folds = cross_validation(np.arange(40), target_N, np.arange(40), 0)
    made = Splits(np.arange(40), np.empty(0, np.intp), folds, np.arange(40), 0, "made up")
    once = folds_once(replace(stage, splits=made))
    assert len(folds) == 3 * once
    assert sorted(int(i) for _, held in folds[:once] for i in held) == list(range(40))


# -- the plan


class Measuring:
    """Stands in for `speeds`: takes so many seconds for each depth, and notes what it was given."""

    def __init__(self, clock: Clock, seconds: float = 0.0) -> None:
        self.clock, self.seconds = clock, seconds
        self.given: tuple[Any, ...] = ()

    def __call__(self, *given: Any) -> Iterator[Speed]:
        self.given = given
        for speed in SPEEDS:
            self.clock.now += self.seconds
            yield speed


def planned(
    stage: Ground, budget: float, spent: float, scratch: bool, measuring: Measuring, reserve: float = 6.0
) -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "speeds", measuring)
        return make_plan(stage, Budget(budget, 0.0, stage.clock), reserve, spent, scratch, lambda _: None)


@pytest.mark.parametrize("measuring", [0.0, 2.0])
@pytest.mark.parametrize("budget", [12.0, 30.0, 90.0, 400.0])
@pytest.mark.parametrize("spent", [0.0, 3.0])
def test_what_is_planned_leaves_time_for_training_from_scratch_as_long_as_all_of_it(
    measuring: float, budget: float, spent: float, stage: Ground, clock: Clock
) -> None:
    """By the end of the rungs transfer has taken its first seconds, the measuring and the rungs; that once more, and
    a little over, must fit."""
    clock.now = spent
    made = planned(stage, budget, spent, True, Measuring(clock, measuring))
    took = spent + 3 * measuring + sum(rung.seconds for rung in made.rungs)
    if made.rungs and not made.without:
        assert took + SCRATCH_AGAIN * took + 6 <= budget + 1e-6
    alone = planned(stage, budget + clock.now - spent, spent, False, Measuring(clock))
    assert sum(rung.seconds for rung in alone.rungs) >= sum(rung.seconds for rung in made.rungs)
    assert made.budget == budget


def test_without_training_from_scratch_the_rungs_may_have_all_that_is_left(stage: Ground, clock: Clock) -> None:
    clock.now = 4.0
    examples, folds = len(stage.splits.train), folds_once(stage)
    assert planned(stage, 90.0, 4.0, False, Measuring(clock)) == plan(SPEEDS, examples, folds, 80.0, 90.0)
    halved = planned(stage, 90.0, 4.0, True, Measuring(clock))
    room = (80 - SCRATCH_AGAIN * 4) / (1 + SCRATCH_AGAIN)
    assert halved == plan(SPEEDS, examples, folds, room, 90.0, ", half of what is left: the other half is for "
                          "training from scratch")  # fmt: skip


def test_a_budget_that_is_spent_already_plans_nothing_and_says_why_of_each(stage: Ground, clock: Clock) -> None:
    clock.now = 100.0
    made = planned(stage, 60.0, 90.0, True, Measuring(clock))
    assert made.rungs == ()
    assert [name for name, _ in made.untried] == [speed.name for speed in SPEEDS]
    assert all("half of what is left" in why for _, why in made.untried)


def test_speed_is_measured_on_a_few_pictures_to_train_on_for_all_of_them(stage: Ground, clock: Clock) -> None:
    measuring = Measuring(clock)
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "speeds", measuring)
        make_plan(stage, Budget(60.0, 0.0, clock), 6.0, 0.0, False, told.append)
    encoder, contents, learned, examples, size, left, device, _ = measuring.given
    train = {stage.items[i].digest for i in stage.splits.train}
    assert len(contents) == SAMPLE
    raw = {item.content.read() for item in stage.items if item.digest in train}
    assert {read() for read in contents} <= raw
    assert (encoder, examples, left, device) == (stage.encoder, len(stage.splits.train), 54.0, "cpu")
    assert size == 32
    assert (learned.aim, learned.head) == (stage.aim, stage.probe.head)
    assert set(learned.target_N.tolist()) <= set(stage.target_N[stage.splits.train].tolist())
    assert told == ["Measuring how fast this machine trains …"]


# -- after the rungs

RUNG = RungPlan("after layer3", 2, 4, 8, 2, ("linear",), (1e-3,), 0.5, False, 0, 10.0, {"views": "because"})
CHOSEN = Plan(600.0, (RUNG,))


def deepened(
    stage: Ground,
    clock: Clock,
    chosen: Plan = CHOSEN,
    budget: float = 600.0,
    climbing: float = 20.0,
    step: float = 0.5,
    spent: float = 5.0,
    scratch: bool = True,
) -> tuple[Deepened, Run, list[Any], list[float]]:
    """Where climbing takes so many seconds, and a step of the whole network too; training is noted, not done.

    Returns what came of it, the run, what was asked to be trained from scratch, and how long climbing might take.
    """
    trained: list[Any] = []
    allowed: list[float] = []

    def climb(ground: Ground, plan: Plan, left: Any) -> Climbed:
        allowed.append(left())
        clock.now += climbing
        return Climbed((), (), ground.encoder.backbone, ground.probe.head)

    def from_scratch(*given: Any) -> None:
        trained.append(given)

    run = open_run(stage.folder, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "climb", climb)
        patch.setattr(module, "from_scratch", from_scratch)
        patch.setattr(module, "step_seconds", lambda *_: step)
        limits = Budget(budget, 0.0, clock)
        watch = Stopwatch(clock, 0.0)
        features = np.zeros((len(stage.items), 1), np.float32)
        made = deepen(stage, run, run.keep(chosen), limits, 6.0, spent, (), features, scratch, watch)
    return made, run, trained, allowed


def test_training_from_scratch_is_planned_for_as_long_as_transfer_took_and_kept_before_it_begins(
    stage: Ground, clock: Clock
) -> None:
    clock.now = 5.0
    made, run, trained, _ = deepened(stage, clock)
    planned = made.plan.scratch
    assert planned is not None
    assert planned.transfer == 25.0
    assert planned.rates == RATES
    assert (planned.steps + len(RATES) * planned.trial) * 0.5 >= 25
    assert run.plan() == made.plan
    [(_, _, asked, fit, judged, folder, left)] = trained
    assert asked == planned
    for rows, expected in zip((fit, judged), halves(stage.splits), strict=True):
        np.testing.assert_array_equal(rows, expected)
    assert folder == stage.folder / "scratch"
    assert left() == 600 - 6 - 25


def test_where_it_would_take_more_than_is_left_it_is_left_out_with_the_reason(stage: Ground, clock: Clock) -> None:
    clock.now = 5.0
    made, run, trained, _ = deepened(stage, clock, budget=50.0)
    assert (made.scratch, made.plan.scratch, trained) == (None, None, [])
    for fact in ("as long as the transfer run (25 s)", "19 s were left"):
        assert fact in made.plan.without
    assert run.plan() == made.plan


def test_what_was_left_out_once_is_left_out_when_the_run_goes_on(stage: Ground, clock: Clock) -> None:
    """Its decision is in the plan: a run that goes on, and is quicker, does not decide anew."""
    clock.now = 5.0
    first, run, _, _ = deepened(stage, clock, budget=50.0)
    kept = run.plan()
    assert kept is not None
    clock.now = 5.0
    again, _, trained, _ = deepened(stage, clock, chosen=kept, budget=50.0, climbing=0.0)
    assert again.plan.without == first.plan.without
    assert trained == []


def test_what_was_planned_once_is_not_planned_anew(stage: Ground, clock: Clock) -> None:
    planned = ScratchPlan(77, 7, 4, (1e-3,), False, 30.0, 40.0)
    clock.now = 5.0
    made, _, trained, _ = deepened(stage, clock, chosen=replace(CHOSEN, scratch=planned), climbing=0.0)
    assert made.plan.scratch == planned
    assert trained[0][2] == planned


def test_where_it_is_not_wanted_the_plan_says_that_it_was_turned_off(stage: Ground, clock: Clock) -> None:
    made, _, trained, _ = deepened(stage, clock, scratch=False)
    assert made.plan.without == "it was turned off"
    assert (made.scratch, trained) == (None, [])


def test_an_architecture_that_cannot_be_made_anew_is_the_reason(
    stage: Ground, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise BackboneError("The architecture cannot be built anew with random weights.", found="3 of 5 tensors differ")

    monkeypatch.setattr(module, "random_model", refuse)
    made, run, trained, _ = deepened(stage, clock)
    expected = "The architecture cannot be built anew with random weights. 3 of 5 tensors differ"
    assert (made.plan.without, trained) == (expected, [])
    assert run.plan() == made.plan


@pytest.mark.parametrize("scratch", [True, False])
@pytest.mark.parametrize("budget", [8.0, 40.0, 600.0])
def test_climbing_may_take_its_share_or_what_it_was_planned_for_but_never_more_than_is_left(
    budget: float, scratch: bool, stage: Ground, clock: Clock
) -> None:
    clock.now = 4.0
    left = max(0.0, budget - 6 - 4)
    share = (left - SCRATCH_AGAIN * 5) / (1 + SCRATCH_AGAIN) if scratch else left
    assert deepened(stage, clock, budget=budget, scratch=scratch)[3] == [pytest.approx(min(left, max(share, 13.0)))]


def test_what_is_counted_anew_gets_no_more_than_leaves_room_for_training_from_scratch(
    stage: Ground, clock: Clock
) -> None:
    """It spends all that it is given; a fixed number of epochs may take longer than was thought."""
    clock.now = 4.0
    anew = Plan(60.0, (replace(RUNG, seconds=19.0, trial=32, most=40),))
    [allowed] = deepened(stage, clock, chosen=anew, budget=60.0)[3]
    assert allowed == pytest.approx((60 - 6 - 4 - FULLY * 5) / (1 + FULLY))
    clock.now = 4.0
    made, _, trained, _ = deepened(stage, clock, chosen=anew, budget=60.0, climbing=allowed, step=0.05)
    assert made.plan.scratch is not None
    assert len(trained) == 1
    clock.now = 4.0
    alone = replace(anew, without="the budget has room for tuning or for this, not for both")
    assert deepened(stage, clock, chosen=alone, budget=60.0)[3] == [50.0]
    clock.now = 4.0
    [allowed] = deepened(stage, clock, chosen=Plan(60.0, (replace(RUNG, seconds=19.0),)), budget=60.0)[3]
    assert allowed == pytest.approx(SLOWER * 19)


def test_a_plan_that_was_carried_out_has_the_epochs_that_there_were(stage: Ground) -> None:
    anew = replace(RUNG, epochs=5.25, most=0, reasons={"epochs": "timed"})
    tried = Tried(None, 0.1, 0.0, True, RUNG.name)  # type: ignore[arg-type]
    done = Climbed((Step(tried, anew, ("", "")),), (), stage.encoder.backbone, stage.probe.head)
    counted, unreached = replace(RUNG, most=40), replace(RUNG, name="everything", most=40)
    assert carried_out(Plan(60.0, (counted, unreached)), done).rungs == (anew, unreached)
    twice = Plan(60.0, (RUNG, replace(RUNG, rates=(1e-4,))))
    assert carried_out(twice, done) == twice, "a plan that is given is what is carried out"


# -- as people read it


def test_each_number_of_a_plan_is_told_with_its_reason() -> None:
    made = plan(SPEEDS, 400, 5, 60, 120)
    said = lines(made)
    assert len(made.rungs) > 1
    for rung in made.rungs:
        at = said.index(f"Plan for {rung.name}:")
        numbers = [name for name in rung.__dict__ if name not in ("name", "reasons")]
        block = said[at + 1 : at + 1 + len(numbers)]
        assert block == [f"  {n} {value_text(getattr(rung, n))}: {rung.reasons[n]}" for n in numbers]
    assert [line for line in said if line.startswith("Not tried: ")] == [
        f"Not tried: {name}: {why}" for name, why in made.untried
    ]
    assert len(said) == sum(len(rung.__dict__) - 1 for rung in made.rungs) + len(made.untried)
    assert made.untried


def test_a_number_without_a_reason_is_told_without_a_colon() -> None:
    said = lines(replace(CHOSEN, untried=(("everything", "no time"),)))
    assert "  views 2: because" in said
    assert "  epochs 4" in said
    assert said[-1] == "Not tried: everything: no time"


def test_an_empty_plan_says_nothing() -> None:
    assert lines(Plan(60.0, ())) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (True, "yes"), (False, "no"), (0.0003, "0.0003"), (12.0, "12"), ((1e-3, "fresh"), "0.001, fresh")],
)
def test_numbers_are_written_as_people_write_them(value: Any, text: str) -> None:
    assert value_text(value) == text
