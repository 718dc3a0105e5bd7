"""plan: what is tried fits into the budget, richest first; every number has its reason, and none is taken on trust."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import UsageError
from headstart.stages.levels import TRIAL, new_plan, rung_plan
from headstart.stages.levels import levels as ways_of
from headstart.stages.plan import (
    ATTENTION_RATES,
    BATCH,
    CAPS,
    DEEP_RATES,
    EPOCHS,
    MANY,
    MARGIN,
    RATES,
    STARTS,
    STEPS,
    VIEWS,
    Plan,
    RungPlan,
    ScratchPlan,
    Speed,
    plan,
    scratch_plan,
)
from headstart.stages.plan_record import from_record

LAST = Speed("after layer3", 0.2, 0.004, 0.002, True)
DEEPER = Speed("after layer2", 0.4, 0.003, 0.004, True)
WHOLE = Speed("everything", 1.0, 0.001, 0.02, False, guessed=True)
SPEEDS = (LAST, DEEPER, WHOLE)
FOLDS = 5


def planned(left: float, speeds: tuple[Speed, ...] = SPEEDS, examples: int = 400, folds: int = FOLDS) -> Plan:
    return plan(speeds, examples, folds, left, 1.1 * left)


def work(rung: RungPlan, speed: Speed, examples: int, folds: int) -> float:
    """Seconds of a rung, counted from what it does: views, short trainings with what they hold out, the last one."""
    held = examples // folds
    passes = rung.views if speed.share < 1 else 2
    trainings = rung.folds * len(rung.starts) * len(rung.rates)
    steps = rung.epochs * (examples - held)
    judged = held * (rung.epochs + 4)  # after each epoch, and the candidates at the end
    last = rung.again * rung.epochs * examples
    return passes * examples * speed.below + speed.step * (trainings * (steps + judged / 3) + last)


# -- what fits


def test_with_all_the_time_in_the_world_everything_is_tried_as_richly_as_is_usual() -> None:
    made = planned(1e9)
    assert [rung.name for rung in made.rungs] == ["after layer3", "after layer2", "everything"]
    for rung in made.rungs:
        assert (rung.folds, rung.starts) == (FOLDS, STARTS)
    assert [rung.rates for rung in made.rungs] == [RATES, RATES, DEEP_RATES]
    assert [rung.views for rung in made.rungs] == [VIEWS, VIEWS, 1]
    assert made.untried == ()
    assert made.budget == pytest.approx(1.1e9)


@given(st.floats(0, 5000), st.integers(10, 5000), st.sampled_from([1, 2, 3, 5]))
def test_all_rungs_together_are_predicted_to_take_no_more_than_is_left(left: float, examples: int, folds: int) -> None:
    made = planned(left, examples=examples, folds=folds)
    assert sum(rung.seconds for rung in made.rungs) <= left
    names = [*(rung.name for rung in made.rungs), *(name for name, _ in made.untried)]
    assert sorted(names) == sorted(speed.name for speed in SPEEDS)


@given(st.floats(0, 5000))
def test_a_deeper_rung_is_tried_where_the_first_one_s_share_leaves_room_for_it(left: float) -> None:
    """The first is made richer only by what the deeper one does not take."""
    room = CAPS[1] * (1 - CAPS[0]) * left
    tried = [rung.name for rung in planned(left, (LAST, DEEPER)).rungs]
    assert DEEPER.name in tried or not planned(room / CAPS[0], (DEEPER,)).rungs


def test_adapters_are_trained_at_the_rates_of_few_weights_however_deep_they_are() -> None:
    [rung] = planned(1e9, (replace(WHOLE, lora=8),)).rungs
    assert rung.rates == RATES


def test_what_the_deeper_rungs_leave_makes_the_shallow_ones_richer() -> None:
    alone, beside = planned(200, (LAST,)).rungs[0], planned(200, (LAST, replace(WHOLE, step=1e3))).rungs[0]
    assert alone == beside
    assert beside.seconds > CAPS[0] * 200


@given(st.floats(0, 2000), st.floats(1, 10))
def test_more_time_is_never_spent_on_less(left: float, more: float) -> None:
    """On one rung: of several, the first may take what the next would have had."""
    poor, rich = (planned(seconds, (LAST,)) for seconds in (left, left * more))
    for a, b in zip(poor.rungs, rich.rungs, strict=False):
        for name in ("views", "epochs", "folds", "seconds"):
            assert getattr(a, name) <= getattr(b, name)
        assert set(a.rates) <= set(b.rates)
        assert set(a.starts) <= set(b.starts)
    assert len(poor.rungs) <= len(rich.rungs)


def test_the_less_time_there_is_the_less_is_tried_step_by_step() -> None:
    levels: list[RungPlan] = []
    for left in [1e6 * 0.95**i for i in range(300)]:
        for rung in planned(left, (LAST,)).rungs:
            if not levels or levels[-1] != rung:
                levels.append(rung)
    assert len(levels) >= 6
    assert all(a.seconds > b.seconds for a, b in pairwise(levels))
    least = levels[-1]
    assert (least.views, least.epochs, least.folds) == (2, EPOCHS[0], 1)
    assert (least.rates, least.starts) == (RATES[1:2], STARTS[:1])
    assert planned(least.seconds / 2, (LAST,)).rungs == (), "what does not fit is not begun"


@pytest.mark.parametrize("examples", [40, 400, 4000])
@pytest.mark.parametrize("left", [1e9, 3000, 400, 100, 30, 10])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_the_prediction_is_the_work_that_the_rung_does_and_a_margin(left: float, examples: int, folds: int) -> None:
    """However few of the folds are used, each trains on all examples but those that one of the splits' folds holds."""
    by_name = {speed.name: speed for speed in SPEEDS}
    for rung in planned(left, examples=examples, folds=folds).rungs:
        expected = MARGIN * work(rung, by_name[rung.name], examples, folds)
        assert rung.seconds == pytest.approx(expected, rel=0.02, abs=0.1)


def test_with_a_validation_set_the_prediction_is_no_less_than_the_work() -> None:
    """How large that set is, is not known here: each training may be on nearly all."""
    for rung in planned(1e9, (LAST,), folds=1).rungs:
        trainings = len(rung.starts) * len(rung.rates) + 1
        assert rung.seconds >= 400 * (trainings * rung.epochs * LAST.step + rung.views * LAST.below)


def test_a_rung_that_does_not_fit_is_named_with_the_reason_and_leaves_its_time_to_others() -> None:
    made = plan(SPEEDS, 400, FOLDS, 60, 120, ", half of what is left")
    assert [rung.name for rung in made.rungs] == ["after layer3", "after layer2"]
    [(name, why)] = made.untried
    assert name == "everything"
    least, room = (int(number) for number in re.findall(r"(\d+) s (?:at least|are for it)", why))
    assert least > room > 0
    assert "are for it, half of what is left" in why
    assert ", by its share of the work" in why, "it was not measured"
    slow = replace(LAST, step=10.0)
    made = planned(60, (slow, DEEPER))
    assert [rung.name for rung in made.rungs] == ["after layer2"]
    assert "by its share" not in made.untried[0][1]


@pytest.mark.parametrize("left", [0.0, -5.0])
def test_without_time_nothing_is_tried_and_no_negative_seconds_are_told(left: float) -> None:
    made = planned(left)
    assert made.rungs == ()
    assert [name for name, _ in made.untried] == ["after layer3", "after layer2", "everything"]
    assert all("; 0 s are for it" in why for _, why in made.untried)


def test_the_same_speeds_give_the_same_plan() -> None:
    assert planned(300) == planned(300)
    assert planned(300) != planned(30)


# -- the numbers


@pytest.mark.parametrize(("examples", "epochs"), [(40, 20), (320, 20), (400, 16), (1000, 7), (1600, 4), (50_000, 4)])
def test_epochs_are_as_many_as_make_about_two_hundred_steps_within_bounds(examples: int, epochs: int) -> None:
    [rung] = planned(1e12, (LAST,), examples).rungs
    assert rung.epochs == epochs
    assert EPOCHS[0] <= epochs <= EPOCHS[1]
    if EPOCHS[0] < epochs < EPOCHS[1]:
        assert epochs * examples / BATCH == pytest.approx(STEPS, rel=0.1)


@pytest.mark.parametrize(("examples", "batch"), [(6, 4), (40, 5), (100, 12), (256, 32), (9999, 32)])
def test_a_batch_is_thirty_two_or_an_eighth_of_the_examples(examples: int, batch: int) -> None:
    assert planned(1e12, (LAST,), examples).rungs[0].batch == batch


def test_the_lowest_layer_s_share_falls_with_the_depth() -> None:
    assert [rung.bottom for rung in planned(1e9).rungs] == [0.63, 0.4, 0.1]


def test_what_was_measured_is_what_is_done() -> None:
    speeds = (replace(LAST, low=False, lora=0), replace(DEEPER, low=True, lora=8))
    assert [(rung.low, rung.lora) for rung in planned(1e9, speeds).rungs] == [(False, 0), (True, 8)]


@pytest.mark.parametrize("left", [1e9, 100, 10])
def test_every_number_has_its_reason(left: float) -> None:
    for rung in planned(left).rungs:
        fields = set(rung.__dict__) - {"name", "reasons"}
        assert set(rung.reasons) == fields
        assert all(rung.reasons.values())


def test_the_reasons_say_what_the_budget_cut() -> None:
    assert "all that is usual" in planned(1e9).rungs[0].reasons["views"]
    poor = planned(30, (LAST,)).rungs[0]
    assert "the budget allows no more" in poor.reasons["views"]
    assert "no time for a rival" in poor.reasons["starts"]


# -- from scratch


@pytest.mark.parametrize("step", [0.003, 0.2, 5.0, 400.0])
@pytest.mark.parametrize("rates", [(1e-3,), (3e-4, 1e-3, 3e-3)])
def test_training_from_scratch_is_given_no_fewer_seconds_than_the_transfer_run_took(
    step: float, rates: tuple[float, ...]
) -> None:
    made = scratch_plan(step, True, 90.0, 500.0, 32, rates)
    trials = len(rates) * made.trial if len(rates) > 1 else 0
    assert (made.steps + trials) * step >= 90
    assert made.seconds >= round((made.steps + trials) * step, 1)
    assert min(made.steps, made.trial) >= 1
    assert (made.batch, made.low, made.rates) == (32, True, rates)
    assert (made.transfer, set(made.reasons)) == (90.0, {"steps", "trial", "judging"})


def test_what_a_whole_network_is_asked_in_between_is_counted() -> None:
    quick = replace(WHOLE, guessed=False)
    slow = replace(quick, judging=10.0, looking=2.0)
    one, other = (rung_plan(speed, 200, ways_of(speed, 200, 1)[-1], 1, 8, False) for speed in (quick, slow))
    assert other.seconds - one.seconds == pytest.approx(MARGIN * (10.0 + 2.0 * one.epochs), abs=0.2)


def test_a_task_whose_trainings_are_long_may_do_with_an_eighth_where_time_is_short() -> None:
    usual, long = (min(level.epochs for level in ways_of(WHOLE, 200, 1, longer)) for longer in (1, 4))
    assert usual == 2
    assert long == 2, "sixteen epochs are the fewest usual ones there"


def test_time_to_predict_is_set_aside_beside_that_to_train() -> None:
    without, made = (scratch_plan(0.6, True, 90.0, 500.0, 32, RATES, judged) for judged in (0, 3200))
    assert made.judging == pytest.approx(MARGIN * 100 * 0.6 / 3, abs=0.1), "a forward pass is a third of a step"
    assert made.seconds - without.seconds == pytest.approx(made.judging, abs=0.2)
    assert (made.steps, made.trial) == (without.steps, without.trial)


def test_each_rate_is_tried_for_a_tenth() -> None:
    made = scratch_plan(0.1, False, 100.0, 500.0, 32, RATES)
    assert made.trial == pytest.approx((made.steps + 3 * made.trial) / 10, rel=0.01)


# -- written and read back

SCRATCH = ScratchPlan(70, 10, 32, (1e-3, 3e-3), False, 11.0, 12.5, {"steps": "because"})
FULL = replace(planned(60), scratch=SCRATCH, without="")


@pytest.mark.parametrize("made", [FULL, planned(1e9), planned(0), replace(planned(60), without="it was turned off")])
def test_a_plan_comes_back_as_it_was_written(made: Plan) -> None:
    assert from_record(json.loads(json.dumps(made.record(), allow_nan=False))) == made


def edited(**changes: Any) -> dict[str, Any]:
    """The record of a plan with changes to its first rung."""
    record: dict[str, Any] = json.loads(json.dumps(FULL.record()))
    record["rungs"][0].update(changes)
    return record


def test_an_edited_number_is_taken() -> None:
    rung = from_record(edited(views=3, epochs=2, rates=[0.002], starts=["fresh"], bottom=1, low=False)).rungs[0]
    assert (rung.views, rung.epochs, rung.rates, rung.starts) == (3, 2, (0.002,), ("fresh",))
    assert (rung.bottom, rung.low) == (1, False)


def test_reasons_and_predictions_need_not_be_written() -> None:
    record = edited()
    for name in ("reasons", "seconds", "lora", "trial"):
        del record["rungs"][0][name]
    del record["untried"], record["scratch"], record["without"]
    made = from_record(record)
    assert (made.rungs[0].lora, made.rungs[0].seconds, made.untried, made.scratch) == (0, 0.0, (), None)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: bad} for name in ("views", "batch", "folds") for bad in (0, -1, 2.5, "8", None, True)),
        *({"epochs": bad} for bad in (0, -0.5, float("nan"), float("inf"), "8", None, True)),
        *({"rates": bad} for bad in ([], [0], [-1e-3], [10], ["fast"], [None], [float("nan")], 1e-3, None)),
        *({"starts": bad} for bad in ([], ["warm"], "linear", None)),
        *({"bottom": bad} for bad in (0, -0.1, 1.5, "0.1", None, float("nan"))),
        *({name: bad} for name in ("lora", "trial", "most") for bad in (-1, 1.5, "8", None)),
        *({"low": bad} for bad in ("no", None, 2)),
        *({name: bad} for name in ("seconds", "judging") for bad in (-1, "60", None, float("nan"), float("inf"))),
        {"layers": 3},
    ],
    ids=str,
)
def test_a_number_that_makes_no_sense_is_the_user_s_to_mend(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="This is not a plan") as told:
        from_record(edited(**changes))
    assert told.value.found
    assert "--plan-only" in told.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"trial": 1.5},
        {"batch": "32"},
        {"rates": []},
        {"rates": [99]},
        {"low": "yes"},
        {"seconds": None},
        {"transfer": -1},
        {"more": 1},
    ],
    ids=str,
)
def test_so_is_one_of_training_from_scratch(changes: dict[str, Any]) -> None:
    record = edited()
    record["scratch"].update(changes)
    with pytest.raises(UsageError, match="This is not a plan"):
        from_record(record)


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        "plan",
        None,
        {"rungs": []},
        {"rungs": None, "budget": 60},
        {"rungs": [3], "budget": 60},
        {"rungs": [], "budget": "long"},
        {"rungs": [], "budget": -1},
        {"rungs": [], "budget": float("nan")},
        {"rungs": [], "budget": 60, "untried": [3]},
        {"rungs": [], "budget": 60, "scratch": 7},
    ],
    ids=str,
)
def test_what_is_no_plan_is_said_to_be_none(record: Any) -> None:
    with pytest.raises(UsageError, match="This is not a plan"):
        from_record(record)


def test_what_is_missing_is_named() -> None:
    record = edited()
    del record["rungs"][0]["epochs"]
    with pytest.raises(UsageError) as told:
        from_record(record)
    assert "epochs" in str(told.value.found)


def test_the_rung_and_the_number_that_are_wrong_are_named() -> None:
    with pytest.raises(UsageError) as told:
        from_record(edited(views=0, rates=[0.001, 50.0]))
    assert "after layer3: views 0, rate 50.0" in str(told.value.found)


# -- many examples


def test_of_many_examples_all_the_time_goes_to_the_deepest_rung_that_fits() -> None:
    made = planned(1e9, examples=MANY)
    assert [rung.name for rung in made.rungs] == ["everything"]
    assert [name for name, _ in made.untried] == ["after layer3", "after layer2"]
    assert all("everything" in why for _, why in made.untried)
    cheap = planned(made.rungs[0].seconds / 120, examples=MANY)
    assert [rung.name for rung in cheap.rungs] == ["after layer2"]
    assert planned(0.5, examples=MANY).rungs == ()


def test_a_task_with_rates_of_its_own_goes_straight_to_the_deepest_rung_of_few_examples_too() -> None:
    def straight(left: float) -> Plan:
        return plan(SPEEDS, 400, 1, left, left, rates=(5e-4, 2e-4, 1e-3))

    made = straight(1e9)
    assert [(rung.name, rung.rates) for rung in made.rungs] == [("everything", (5e-4, 2e-4, 1e-3))]
    assert [name for name, _ in made.untried] == ["after layer3", "after layer2"]
    assert all("see its examples often" in why for _, why in made.untried)
    once = MARGIN * 400 * (2 * WHOLE.below + WHOLE.step)
    assert [rung.name for rung in straight(1.1 * once).rungs] == ["everything"]
    assert [rung.name for rung in straight(0.9 * once).rungs] == ["after layer2"], "an epoch of everything does not fit"
    assert straight(0.5).rungs == ()


@given(st.floats(0, 1e5))
def test_a_long_training_has_its_rate_by_short_ones_where_three_epochs_fit_in_after_them(left: float) -> None:
    for rung in plan(SPEEDS, 400, 1, left, left, rates=(5e-4, 2e-4, 1e-3)).rungs:
        assert rung.rates in [(5e-4, 2e-4, 1e-3), (5e-4,)]
        assert rung.epochs >= 3 if len(rung.rates) > 1 else rung.epochs <= 3
        assert rung.trial == (TRIAL if rung.epochs > 1 else 0), "steps are timed where more than an epoch follows"
        assert rung.seconds <= left
        [speed] = [each for each in SPEEDS if each.name == rung.name]
        seen = 400 * rung.epochs + len(rung.rates) * rung.trial * rung.batch
        passes = 1 + (speed.share == 1)
        assert rung.seconds == pytest.approx(MARGIN * (400 * passes * speed.below + seen * speed.step), abs=0.1)


@pytest.mark.parametrize(
    ("examples", "batch"), [(5, 5), (60, 8), (495, 8), (1000, 15), (2000, 31), (2100, 32), (29000, 32)]
)
def test_a_long_training_has_64_steps_an_epoch_where_examples_are_few(examples: int, batch: int) -> None:
    [rung] = plan(SPEEDS, examples, 1, 1e9, 1e9, rates=(5e-4, 2e-4, 1e-3)).rungs
    assert rung.batch == batch
    assert new_plan(WHOLE, examples, 1e9).batch == (64 if examples > 4096 else batch)


def test_how_many_epochs_a_long_training_has_is_counted_anew_where_its_steps_are_timed() -> None:
    for left, most in ((1e9, 40), (8 * 400 * WHOLE.step, 40), (3.8 * 400 * WHOLE.step, 40), (2 * 400 * WHOLE.step, 0)):
        [rung] = plan((WHOLE,), 400, 1, left, left, rates=(5e-4, 2e-4, 1e-3)).rungs
        assert (rung.most, bool(rung.trial)) == (most, bool(most))
    [rung] = plan((replace(WHOLE, judging=7.0),), 400, 1, 1e9, 1e9, rates=(5e-4, 2e-4, 1e-3)).rungs
    assert rung.judging == pytest.approx(7 * MARGIN, abs=0.05)
    assert all((rung.most, rung.judging) == (0, 0) for rung in planned(1e9).rungs), "others keep to their plans"


def test_a_first_model_loses_no_epochs_to_a_trial_that_there_is_no_time_for() -> None:
    epoch = 1.3 * 100 * WHOLE.step
    assert [new_plan(WHOLE, 100, count * epoch).epochs for count in (0.5, 1.2, 3.1, 4.1)] == [1, 1, 3, 4]


@given(st.floats(0, 3e4), st.sampled_from([5, 300, 20_000]))
def test_a_first_model_is_timed_before_it_is_trained_where_that_leaves_time_for_two_epochs(
    left: float, examples: int
) -> None:
    rung = new_plan(WHOLE, examples, left)
    fits = left - 1.3 * TRIAL * rung.batch * WHOLE.step >= 2 * 1.3 * examples * WHOLE.step
    assert (rung.trial, rung.most) == ((TRIAL, 40) if fits else (0, 0))
    seen = rung.epochs * examples + rung.trial * rung.batch
    assert rung.seconds == pytest.approx(1.3 * seen * WHOLE.step, abs=0.1)
    assert rung.seconds <= max(left, 1.3 * examples * WHOLE.step) + 0.1


def test_what_ships_as_it_was_compared_is_not_counted_twice() -> None:
    once, twice = (plan((LAST,), MANY, 1, 1e9, 1e9, again=again).rungs[0] for again in (False, True))
    assert (once.again, twice.again) == (False, True)
    assert once == replace(twice, again=False, seconds=once.seconds, reasons=once.reasons)
    assert twice.seconds - once.seconds == pytest.approx(MARGIN * twice.epochs * MANY * LAST.step, abs=0.1)


def test_transformers_have_rates_of_their_own() -> None:
    [rung] = planned(1e9, (replace(LAST, attention=True),)).rungs
    assert rung.rates == ATTENTION_RATES


def test_no_more_views_are_planned_than_are_worth_caching() -> None:
    assert [rung.views for rung in plan(SPEEDS, 400, FOLDS, 1e9, 1e9, views=1).rungs] == [1, 1, 1]


def test_where_time_is_short_for_many_examples_what_was_compared_ships() -> None:
    rich = planned(1e9, (LAST,), MANY).rungs[0]
    assert rich.again
    assert rich.folds > 1
    found = {}
    for left in [1e5 * 0.95**i for i in range(300)]:
        for each in planned(left, (LAST,), MANY).rungs:
            found[each.folds, each.epochs, each.again] = each.seconds
    leanest = min(found, key=found.__getitem__)
    assert leanest == (1, EPOCHS[0] // 2, False)
    assert all(again == (folds > 1) for folds, _, again in found)
