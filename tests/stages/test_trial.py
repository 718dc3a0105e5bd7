"""One training: its candidates are judged as they would ship, and what is on disk is not done twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import nn

from headstart import checkpoints
from headstart.aims.label import class_weights
from headstart.heads.linear import log_loss_N
from headstart.heads.top import Top
from headstart.stages import held
from headstart.stages import trial as stage
from headstart.stages.held import logits_of
from headstart.stages.loops import OutOfTime
from headstart.stages.trial import (
    ALPHAS,
    Glimpse,
    Tried,
    Watch,
    attempt,
    begun,
    between,
    glimpse,
    model_at,
    ran,
)
from headstart.stages.tune import Recipe, Row, Tensors, tune
from training_samples import (
    AIM,
    CLASSES,
    EXAMPLES,
    FIT,
    HELD,
    TARGET_N,
    Given,
    deep,
    examples,
    filled,
    fitted,
    head,
    lively,
    logits_with,
    top,
)

RECIPE = Recipe(steps=24, rate=0.03, average=0.8, keep=4)


class Around:
    """What goes on around a training: a clock that goes on by a second with every row, and what was told."""

    def __init__(self, seconds: float = math.inf) -> None:
        self.now, self.end = 0.0, seconds
        self.rows: list[tuple[str, Row]] = []
        self.moved = 0

    def log(self, name: str, row: Row) -> None:
        self.now += 1
        self.rows.append((name, row))

    def advance(self, count: int) -> None:
        self.moved += count

    @property
    def watch(self) -> Watch:
        return Watch(lambda: self.now, lambda: self.end - self.now, self.log, self.advance, 0, "cpu")


def tried(
    folder: Path,
    around: Around | None = None,
    recipe: Recipe = RECIPE,
    source: Any = None,
    model: Top | None = None,
    alphas: tuple[float, ...] = ALPHAS,
) -> Tried:
    around, model = around or Around(), model or top(lively())
    return attempt(model, recipe, fitted(source), HELD, alphas, AIM, folder, around.watch)


def trained(model: Top, recipe: Recipe = RECIPE) -> tuple[Tensors, Tensors]:
    """Where a training starts, and where its average ends, by the loop alone."""
    start, training = begun(model, recipe, fitted(), AIM)
    for _ in tune(training, fitted()):
        pass
    return start, training.average


# -- attempt


def test_candidates_are_places_on_the_way_from_the_start_to_the_averaged_end(tmp_path: Path) -> None:
    found = tried(tmp_path / "a", alphas=(0.0, 0.25, 0.5, 1.0))
    start, end = trained(model := top(lively()))
    for logits_HK, alpha in zip(found.logits_AHK, (0.0, 0.25, 0.5, 1.0), strict=True):
        weights = {n: (1 - alpha) * start[n] + alpha * end[n] for n in end}
        np.testing.assert_allclose(logits_HK, logits_with(model, weights), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.logits_AHK[0], logits_of(top(lively()), fitted().source, HELD, "cpu"))
    assert np.abs(found.logits_AHK[0] - found.logits_AHK[-1]).max() > 0.1
    assert (found.logits_AHK.shape, found.logits_AHK.dtype, found.share) == ((4, len(HELD), CLASSES), np.float64, 1.0)


def test_the_candidates_that_are_usual_end_at_the_end() -> None:
    assert ALPHAS == (0.25, 0.5, 0.75, 1.0)


def test_held_examples_are_judged_as_they_are_and_trained_on_never(tmp_path: Path) -> None:
    spoil = dict.fromkeys((int(i) for i in HELD), math.nan)
    np.testing.assert_array_equal(
        tried(tmp_path / "a", source=Given(examples(), noise=0.2, spoil=spoil)).logits_AHK,
        tried(tmp_path / "b").logits_AHK,
    )


def test_training_makes_held_examples_likelier(tmp_path: Path) -> None:
    found = tried(tmp_path / "a", model=top(), alphas=(0.0, 1.0))
    before, after = (log_loss_N(l_HK, TARGET_N[HELD]).mean() for l_HK in found.logits_AHK)
    assert after < 0.8 * before


def test_an_earlier_result_is_read_and_nothing_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tried(tmp_path / "a")

    def never(*_: Any) -> None:
        raise AssertionError("it is there")

    monkeypatch.setattr(stage, "begun", never)
    around = Around()
    again = tried(tmp_path / "a", around, source=never)
    np.testing.assert_array_equal(again.logits_AHK, first.logits_AHK, strict=True)
    assert (again.share, around.rows, around.moved) == (first.share, [], RECIPE.steps)


@pytest.mark.parametrize("damage", ["torn", "empty", "another"])
def test_a_result_that_cannot_be_read_is_made_again(damage: str, tmp_path: Path) -> None:
    first = tried(tmp_path / "a")
    path = tmp_path / "a" / "held.safetensors"
    if damage == "another":
        checkpoints.write(tmp_path / "b", 1, {"logits": torch.zeros(2)}, {}).replace(path)
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:-3])
    np.testing.assert_array_equal(tried(tmp_path / "a").logits_AHK, first.logits_AHK)
    assert set(load_file(path)) == {"logits", "share"}


def test_once_it_is_done_its_checkpoints_are_gone(tmp_path: Path) -> None:
    tried(tmp_path / "a")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["held.safetensors"]


@pytest.mark.parametrize("seconds", [3, 8, 17, 23])
def test_a_training_that_ran_out_of_time_goes_on_where_it_was_and_finds_the_same(
    seconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.stages.loops.CHECKPOINT_SECONDS", 2.0)
    whole = tried(tmp_path / "whole")
    first, again = Around(seconds), Around()
    with pytest.raises(OutOfTime):
        tried(tmp_path / "a", first)
    assert len(first.rows) == seconds
    assert not (tmp_path / "a" / "held.safetensors").exists()
    found = tried(tmp_path / "a", again)
    np.testing.assert_array_equal(found.logits_AHK, whole.logits_AHK)
    kept = 4 * ((seconds - 1) // 4)  # the last state that a step was made from
    assert again.rows[0][1].step == kept + 1
    assert again.moved == RECIPE.steps, "the bar ends at its end"


def test_a_damaged_newest_checkpoint_makes_no_difference_to_what_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.stages.loops.CHECKPOINT_SECONDS", 2.0)
    whole = tried(tmp_path / "whole")
    with pytest.raises(OutOfTime):
        tried(tmp_path / "a", Around(15))
    newest = tmp_path / "a" / "step-00000012.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    with pytest.warns(UserWarning, match=r"step-00000012.* going on from step-00000008"):
        found = tried(tmp_path / "a")
    np.testing.assert_array_equal(found.logits_AHK, whole.logits_AHK)


def test_training_that_makes_held_examples_no_likelier_is_stopped_early(tmp_path: Path) -> None:
    """Labels that are noise: what is learned of some says nothing of the others."""
    around, recipe = Around(), Recipe(steps=200, rate=0.1, average=0.5)
    noise = replace(fitted(), target_N=np.random.default_rng(0).integers(0, CLASSES, EXAMPLES))
    model = top(filled(deep(16, 1)))
    found = attempt(model, recipe, noise, HELD, (1.0,), AIM, tmp_path / "a", around.watch)
    assert len(around.rows) % noise.in_epoch == 0
    assert found.share == len(around.rows) / 200 < 0.6
    assert around.moved == 200, "the bar ends at its end"
    assert load_file(tmp_path / "a" / "held.safetensors")["share"].tolist() == [found.share]


def test_early_stopping_looks_at_the_average_and_leaves_the_weights_that_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise training would go on from another place after each epoch."""
    looked_at: list[torch.Tensor] = []

    def noted(model: Top, *given: Any) -> Any:
        looked_at.append(model.linear.weight.detach().clone())
        return logits_of(model, *given)

    monkeypatch.setattr(stage, "logits_of", noted)
    monkeypatch.setattr(held, "logits_of", noted)
    tried(tmp_path / "a", alphas=(1.0,))
    _, alone = begun(top(lively()), RECIPE, fitted(), AIM)
    averages = [alone.average["linear.weight"].clone() for row in tune(alone, fitted()) if row.step % 5 == 0]
    averages.append(alone.average["linear.weight"])  # the candidate
    assert fitted().in_epoch == 5
    assert len(looked_at) == len(averages) == 5
    assert all(torch.equal(a, b) for a, b in zip(looked_at, averages, strict=True))


def test_a_training_that_came_to_nothing_gives_the_logits_of_its_start(tmp_path: Path) -> None:
    source = Given(examples(), spoil=dict.fromkeys(range(EXAMPLES), math.nan))
    found = tried(tmp_path / "a", source=source)
    start = logits_of(top(lively()), source, HELD, "cpu")
    for logits_HK in found.logits_AHK:
        np.testing.assert_allclose(logits_HK, start, atol=1e-6)
    assert found.share == 0


def test_a_log_is_told_the_folder_s_name_with_each_row(tmp_path: Path) -> None:
    around = Around()
    tried(tmp_path / "fold0-linear-0.03", around)
    assert {name for name, _ in around.rows} == {"fold0-linear-0.03"}
    assert [row.step for _, row in around.rows] == list(range(1, 25))


def test_rare_classes_weigh_more_in_the_loss(tmp_path: Path) -> None:
    rows = np.r_[FIT[TARGET_N[FIT] == 0], FIT[TARGET_N[FIT] == 1], FIT[TARGET_N[FIT] == 2][:3]]
    _, training = begun(top(), RECIPE, replace(fitted(), rows=rows), AIM)
    weight_K = class_weights(TARGET_N[rows], CLASSES)
    assert weight_K is not None
    expected = torch.tensor(weight_K, dtype=torch.float32)
    logits_BK, target_B = torch.randn(9, CLASSES, generator=torch.Generator().manual_seed(0)), torch.arange(9) % CLASSES

    def given(_: object) -> torch.Tensor:
        return logits_BK

    weighted, plain = (F.cross_entropy(logits_BK, target_B, each) for each in (expected, None))
    assert torch.equal(training.loss(given, torch.empty(0), target_B), weighted)
    assert not torch.equal(weighted, plain)
    balanced = begun(top(), RECIPE, fitted(), AIM)[1]
    assert torch.equal(balanced.loss(given, torch.empty(0), target_B), plain)


# -- glimpse


def glimpsed(folder: Path, around: Around, rate: float = 0.03, steps: int = 10) -> Glimpse:
    return glimpse(top(lively()), Recipe(steps, rate, average=0.8), fitted(), HELD, AIM, folder, around.watch)


def test_a_short_training_gives_the_held_out_loss_of_its_average(tmp_path: Path) -> None:
    around = Around()
    found = glimpsed(tmp_path / "a", around)
    _, end = trained(model := top(lively()), Recipe(10, 0.03, average=0.8))
    loss_H = AIM.loss_N(logits_with(model, end).astype(np.float64), TARGET_N[HELD])
    assert found.loss == pytest.approx(float(loss_H.mean()), rel=1e-5)
    assert (len(around.rows), around.moved) == (10, 10)
    assert not list((tmp_path / "a").glob("step-*")), "checkpoints are not kept"


def test_a_short_training_is_not_done_twice(tmp_path: Path) -> None:
    first, again = Around(), Around()
    assert glimpsed(tmp_path / "a", first) == glimpsed(tmp_path / "a", again)
    assert (again.rows, again.moved) == ([], 10)


def test_a_short_training_that_came_to_nothing_has_the_loss_of_its_start(tmp_path: Path) -> None:
    spoiled = Given(examples(), spoil=dict.fromkeys(range(EXAMPLES), math.nan))
    found = glimpse(top(lively()), Recipe(10, 0.03), fitted(spoiled), HELD, AIM, tmp_path / "a", Around().watch)
    logits_HK = logits_with(top(lively()), {}).astype(np.float64)
    assert found.loss == pytest.approx(float(AIM.loss_N(logits_HK, TARGET_N[HELD]).mean()), rel=1e-5)


def test_a_short_training_is_timed_a_step_and_a_look_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = Around()

    def look(*_: Any) -> float:
        around.now += 3.0 * len(HELD)
        return 0.5

    monkeypatch.setattr("headstart.stages.trial.held_loss", look)
    assert glimpsed(tmp_path / "a", around) == Glimpse(0.5, step=1.0, look=3.0), "a row takes a second"


def test_a_short_training_beside_other_work_is_timed_by_its_quicker_steps(tmp_path: Path) -> None:
    around = Around()

    def beside(name: str, row: Row) -> None:
        around.now += 9 if row.step > 3 else 1  # most steps, not all

    watch = replace(around.watch, log=beside)
    found = glimpse(top(lively()), Recipe(10, 0.03), fitted(), HELD, AIM, tmp_path / "a", watch)
    assert found.step == 1.0


def test_a_short_training_that_goes_on_is_timed_by_the_steps_it_still_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.stages.loops.CHECKPOINT_SECONDS", 1.0)
    with pytest.raises(OutOfTime):
        glimpsed(tmp_path / "a", Around(45), steps=60)
    rest = Around()
    real = checkpoints.read

    def slowly(path: Path) -> Any:
        rest.now += 100
        return real(path)

    monkeypatch.setattr(checkpoints, "read", slowly)
    assert glimpsed(tmp_path / "a", rest, steps=60).step == 1.0, "reading what was kept is no step"
    assert rest.now > 100
    assert 0 < len(rest.rows) < 60


def test_of_one_step_it_is_not_known_how_long_it_takes(tmp_path: Path) -> None:
    assert math.isnan(glimpsed(tmp_path / "a", Around(), steps=1).step)


def test_a_short_training_that_runs_out_of_time_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        glimpsed(tmp_path / "a", Around(3))


# -- ran


def test_a_training_can_be_stopped_at_a_step_and_is_stopped_there_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.stages.loops.CHECKPOINT_SECONDS", 2.0)

    def stopped(folder: Path, around: Around) -> dict[str, Any]:
        _, training = begun(top(lively()), RECIPE, fitted(), AIM)
        ran(training, fitted(), folder, around.watch, stop=14)
        assert training.step == 14
        return training.average

    whole = stopped(tmp_path / "whole", Around())
    with pytest.raises(OutOfTime):
        stopped(tmp_path / "a", Around(9))
    again = Around()
    found = stopped(tmp_path / "a", again)
    assert [row.step for _, row in again.rows] == list(range(9, 15))
    assert all(torch.equal(found[n], t) for n, t in whole.items())
    assert again.moved == 14


# -- between


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_between_is_the_straight_way(alpha: float) -> None:
    start, end = {"a": torch.tensor([1.0, -2.0])}, {"a": torch.tensor([3.0, 1e30])}
    expected = torch.tensor([1 + 2 * alpha, -2 + alpha * 1e30])
    torch.testing.assert_close(between(start, end, alpha)["a"], expected)


def test_the_end_is_the_end_bit_by_bit_and_a_copy() -> None:
    start, end = {"a": torch.tensor([1e8])}, {"a": torch.tensor([0.1])}
    found = between(start, end, 1.0)
    assert torch.equal(found["a"], end["a"])
    found["a"].zero_()
    assert end["a"].item() == pytest.approx(0.1)


# -- model_at


@pytest.mark.parametrize("make", [deep, lively])
def test_a_model_is_ready_to_be_trained_its_statistics_kept(make: Callable[[], nn.Sequential]) -> None:
    width = {deep: 5, lively: 8}[make]
    model = model_at(make(), head(width), False, "cpu")
    modes = {type(module): module.training for module in model.modules()}
    assert not modes.pop(nn.BatchNorm1d, False)
    assert all(modes.values())
    assert not model.low


def test_a_model_in_low_precision_keeps_its_weights_and_its_logits_in_full() -> None:
    full, low = (model_at(filled(deep()), head(5), each, "cpu") for each in (False, True))
    assert {p.dtype for p in low.parameters()} == {torch.float32}
    x_B = torch.from_numpy(examples())
    assert low(x_B).dtype == torch.float32
    difference = (full(x_B) - low(x_B)).abs().max().item()
    assert 0 < difference < 0.1
    rows = list(tune(begun(low, RECIPE, fitted(), AIM)[1], fitted()))
    assert np.mean([row.loss for row in rows[-5:]]) < np.mean([row.loss for row in rows[:5]])
