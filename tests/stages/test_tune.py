"""tune: the loop gives the losses of a plain one, survives what is not finite, and can be stopped anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from headstart import checkpoints
from headstart.aims.losses import log_loss
from headstart.stages.batches import Fly
from headstart.stages.tune import RETRIES, Recipe, Row, Training, tune
from training_samples import (
    CLASSES,
    EXAMPLES,
    FEATURES,
    IN_EPOCH,
    SIZE,
    TARGET_N,
    Given,
    all_of,
    assert_same_bits,
    batches,
    deep,
    examples,
    lively,
    ran,
    stored,
    top,
    training,
)

RECIPE = Recipe(steps=20, rate=0.03, bottom=0.1, average=0.8)
WEIGHT_K = torch.tensor([0.5, 1.0, 2.0])


# -- the losses


class Reference:
    """The same training as anyone would write it: one group a tensor, no fused kernels, a scheduler, an EMA by hand.

    Attributes:
        losses: of each step.
        norms: of each step's gradient, before it was clipped.
        average: the averaged weights, in the order of the network.
    """

    # Fourteen tensors, the two of the head last: how far each one's rate is on the way down, of eleven.
    DEPTHS = (11, 10, 9, 8, 7, 6, 6, 5, 4, 3, 2, 1, 0, 0)

    def __init__(self, recipe: Recipe, weight_K: torch.Tensor | None = None) -> None:
        model = top()
        network = nn.Sequential(model.body, model.linear)
        parameters = list(network.parameters())
        groups = [
            {"params": [p], "lr": recipe.rate * recipe.bottom ** (depth / 11), "weight_decay": 0.01 * (p.ndim == 2)}
            for p, depth in zip(parameters, self.DEPTHS, strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, foreach=False, fused=False)
        warm = recipe.steps // 10

        def shape(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (recipe.steps - warm))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        x_N = torch.tensor(examples())
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.average = [p.detach().double().clone() for p in parameters]
        for step in range(recipe.steps):
            epoch, place = divmod(step, IN_EPOCH)
            order = np.random.default_rng([0, 0x0DE4, epoch]).permutation(EXAMPLES)
            picked = torch.tensor(order[place * SIZE : (place + 1) * SIZE])
            features = (network[0](x_N[picked]) - model.mean_D) / model.std_D
            loss = F.cross_entropy(network[1](features), torch.tensor(TARGET_N)[picked], weight_K)
            optimizer.zero_grad()
            loss.backward()
            self.norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=False).item())
            optimizer.step()
            scheduler.step()
            self.losses.append(loss.item())
            keep = min(recipe.average, (2 + step) / (11 + step))
            self.average = [keep * a + (1 - keep) * p.detach() for a, p in zip(self.average, parameters, strict=True)]


# The first six and the last three, of plain and of weighted classes. A change here is another training: all that was
# measured with the old one must be measured again.
GOLDEN = {
    False: (
        [0.97893846, 1.00134349, 0.75993788, 0.88044852, 0.71700996, 0.68311894],
        [0.29825443, 0.42488950, 0.58358324],
    ),
    True: (
        [0.81744522, 0.78314883, 0.66385454, 0.72217840, 0.52605504, 0.41503191],
        [0.16598283, 0.21896236, 0.60679537],
    ),
}
GOLDEN_AVERAGE = 0.45494071


@pytest.mark.parametrize("weighted", [False, True])
def test_the_losses_are_those_of_a_plain_loop_and_as_they_always_were(weighted: bool) -> None:
    weight_K = WEIGHT_K if weighted else None
    loss = log_loss(np.asarray(WEIGHT_K) if weighted else None)
    losses = [row.loss for row in ran(training(RECIPE, loss=loss))]
    assert losses == pytest.approx(Reference(RECIPE, weight_K).losses, rel=1e-5)
    first, last = GOLDEN[weighted]
    assert (losses[:6], losses[-3:]) == (pytest.approx(first, rel=1e-5), pytest.approx(last, rel=1e-5))
    assert np.mean(losses[-6:]) < 0.6 * np.mean(losses[:6]), "or nothing was learned"


def test_the_averaged_weights_are_those_of_a_plain_loop_and_as_they_always_were() -> None:
    made = training(RECIPE)
    ran(made)
    for name, expected in zip(made.trained, Reference(RECIPE).average, strict=True):
        np.testing.assert_allclose(made.average[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
    made.use(made.average)
    made.model.eval()
    loss = F.cross_entropy(made.model(torch.tensor(examples())), torch.tensor(TARGET_N)).item()
    assert loss == pytest.approx(GOLDEN_AVERAGE, rel=1e-5)


def test_the_plain_loop_clips_some_gradients_and_leaves_others() -> None:
    """Or that clipping is alike would not be seen."""
    norms = np.array(Reference(RECIPE).norms)
    assert (norms > 1).any()
    assert (norms < 1).any()


# -- rates


def first_moves(recipe: Recipe, body: Callable[[], nn.Module] = deep) -> dict[str, float]:
    """How far each tensor goes in a first step: Adam's is as long as the rate, whatever the loss."""
    made = training(recipe, body)
    before = {n: p.detach().clone() for n, p in made.trained.items()}
    ran(made, until=1)
    return {n: float((p.detach() - before[n]).abs().max()) for n, p in made.trained.items()}


def test_the_rate_falls_geometrically_from_the_head_to_the_lowest_layer() -> None:
    moves = first_moves(Recipe(steps=10, rate=1e-3, bottom=0.1, decay=0))
    expected = [1e-3 * 0.1 ** (depth / 11) for depth in Reference.DEPTHS]
    assert list(moves.values()) == pytest.approx(expected, rel=2e-3)
    assert list(moves)[-2:] == ["linear.weight", "linear.bias"]


def test_with_a_bottom_of_one_all_layers_have_one_rate() -> None:
    assert list(first_moves(Recipe(steps=10, rate=1e-3, decay=0)).values()) == pytest.approx([1e-3] * 14, rel=2e-3)


def test_what_is_frozen_is_neither_trained_nor_kept() -> None:
    model = top()
    model.body[0].requires_grad_(False)
    before = model.body[0].weight.clone()
    made = Training(model, RECIPE)
    ran(made)
    assert torch.equal(model.body[0].weight, before)
    assert not [name for name in made.state()[0] if "body.0." in name]
    assert "model.body.2.weight" in made.state()[0]


def test_matrices_decay_and_vectors_do_not() -> None:
    """With a head of zeros no gradient reaches the body, so that only decay moves it."""
    model = top()
    with torch.no_grad():
        model.linear.weight.zero_()
        model.body[0].bias.fill_(1.0)
    before = model.body[0].weight.detach().clone()
    ran(Training(model, Recipe(steps=10, rate=0.1, decay=0.5)), until=1)
    np.testing.assert_allclose(model.body[0].weight.detach(), before * (1 - 0.1 * 0.5), rtol=1e-6)
    assert torch.equal(model.body[0].bias, torch.ones(5))


@given(st.integers(1, 300), st.floats(0, 0.5))
def test_the_rate_rises_in_a_straight_line_and_falls_by_half_a_cosine(steps: int, warmup: float) -> None:
    made = training(Recipe(steps=steps, rate=1e-3, warmup=warmup))
    shape = np.array([made.rate_at(step) for step in range(steps)])
    warm = max(1, round(warmup * steps))
    np.testing.assert_allclose(shape[:warm], np.arange(1, warm + 1) / warm)
    fall = np.arange(steps - warm)
    np.testing.assert_allclose(shape[warm:], 0.5 + 0.5 * np.cos(np.pi * fall / max(1, steps - warm)))
    assert (shape > 0).all(), "no step is for nothing"


def test_the_schedule_of_ten_steps_written_out() -> None:
    made = training(Recipe(steps=10, rate=1e-3, warmup=0.3))
    expected = [1 / 3, 2 / 3, 1, 1, 0.950484, 0.811745, 0.611260, 0.388740, 0.188255, 0.049516]
    assert [made.rate_at(step) for step in range(10)] == pytest.approx(expected, abs=1e-6)


# -- the average


@pytest.mark.parametrize("average", [0.0, 0.8, 0.99, 1.0])
def test_the_average_keeps_of_itself_what_it_is_told_and_less_at_the_start(average: float) -> None:
    made = training(Recipe(steps=30, rate=0.03, average=average))
    name, expected = "linear.weight", made.average["linear.weight"].clone()
    for row in tune(made, batches()):
        keep = min(average, (1 + row.step) / (10 + row.step))
        expected = keep * expected + (1 - keep) * made.followed[name]
        np.testing.assert_allclose(made.average[name], expected, rtol=1e-5, atol=1e-6)
    if average == 0:
        assert torch.equal(made.average[name], made.followed[name])


def test_the_average_is_not_what_is_trained() -> None:
    plain, other = training(RECIPE), training(Recipe(steps=20, rate=0.03, bottom=0.1, average=0.0))
    ran(plain), ran(other)
    assert torch.equal(plain.followed["linear.weight"], other.followed["linear.weight"])
    assert not torch.equal(plain.average["linear.weight"], other.average["linear.weight"])


# -- rows


def test_a_row_is_a_step() -> None:
    made = training(RECIPE)
    rows = ran(made)
    assert [row.step for row in rows] == list(range(1, 21))
    assert [row.epoch for row in rows] == [step // IN_EPOCH for step in range(20)]
    assert [row.rate for row in rows] == pytest.approx([0.03 * made.rate_at(step) for step in range(20)])
    assert {row.retries for row in rows} == {0}
    assert ran(made) == [], "it is at its end"


def test_the_loss_of_a_row_is_that_before_its_step() -> None:
    made = training(RECIPE)
    x_B, target_B = batches().batch(0)
    expected = F.cross_entropy(made.model(x_B), target_B, WEIGHT_K).item()
    made.loss = log_loss(np.asarray(WEIGHT_K))
    assert next(tune(made, batches())).loss == pytest.approx(expected)


# -- what is not finite

INDEX_OF_STEP_13 = int(batches().rows_of(12)[0][3])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_batch_costs_a_return_to_the_last_good_weights_with_a_tenth_of_the_rate(value: float) -> None:
    spoil = {INDEX_OF_STEP_13: value}
    # The example comes once in each of the first two epochs, which are sound, and then spoilt once.
    source = Given(examples(), spoil=spoil, times=0)
    made = training(RECIPE)
    rows = []
    for row in tune(made, batches(source)):
        if row.step == 12 and row.retries == 0:
            good = {n: t.clone() for n, t in made.kept[0].items()}
            source.times = 1
        rows.append(row)
        if len(rows) == 13:
            assert made.kept[1]["step"] == 10
            assert all(torch.equal(good[n], t) for n, t in made.kept[0].items())
    assert [(row.step, row.retries) for row in rows] == [(s, 0) for s in range(1, 13)] + [(s, 1) for s in range(11, 21)]
    assert [row.rate for row in rows[12:]] == pytest.approx([0.003 * made.rate_at(s) / 0.1 for s in range(10, 20)])
    assert rows[12].loss == rows[10].loss, "the same batch, on the same weights"
    assert all(math.isfinite(row.loss) for row in rows)
    assert all(bool(t.isfinite().all()) for t in (*made.followed.values(), *made.average.values()))


def test_a_batch_that_is_always_bad_is_met_three_times_more_and_then_the_last_good_model_is_kept() -> None:
    made = training(RECIPE)
    rows = ran(made, batches(Given(examples(), spoil={int(batches().rows_of(1)[0][0]): math.nan})))
    assert [(row.step, row.retries) for row in rows] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert [row.rate for row in rows] == pytest.approx([0.015, 0.0015, 0.00015, 0.000015])
    assert RETRIES == 3
    fresh = training(RECIPE)
    assert made.step == 0
    for name, tensor in fresh.followed.items():
        assert torch.equal(made.followed[name], tensor)
        assert torch.equal(made.average[name], tensor)


def test_the_last_good_model_is_the_last_one_that_gave_a_finite_loss_at_a_kept_step() -> None:
    """What was kept at step 20 is not good before a step from there has succeeded."""
    recipe = Recipe(steps=40, rate=0.03)
    whole, made = training(recipe), training(recipe)
    ran(whole, until=10)
    source = Given(examples())
    rows = []
    for row in tune(made, batches(source)):
        rows.append(row.step)
        if row.step == 20:
            source.spoil = dict.fromkeys(range(EXAMPLES), math.nan)
    assert rows == list(range(1, 21)), "not one step more"
    assert made.step == 10
    for name, tensor in whole.followed.items():
        assert torch.equal(made.followed[name], tensor)


def test_retries_are_counted_over_the_whole_training() -> None:
    source = Given(examples(), spoil=dict.fromkeys(range(EXAMPLES), math.nan), times=0)
    made = training(Recipe(steps=60, rate=0.03))
    rows = []
    for row in tune(made, batches(source)):
        if row.step == 15 + 10 * row.retries:  # once in every stretch between two kept states
            source.times = 1
        rows.append(row)
    assert [row.retries for row in rows if row.step in (15, 25, 35, 45)][-1] == 3
    assert rows[-1].step == 45
    assert made.step == 40


class Exponential(nn.Module):
    """Weights above 88 give infinity."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.exp()


def test_a_rate_that_is_much_too_high_is_brought_down_until_it_is_not() -> None:
    body = lambda: nn.Sequential(nn.Linear(FEATURES, 4), Exponential())  # noqa: E731
    made = training(Recipe(steps=30, rate=300.0), body)
    rows = ran(made)
    assert rows[-1].step == 30
    assert 1 <= rows[-1].retries <= RETRIES
    assert all(bool(t.isfinite().all()) for t in made.followed.values())


@pytest.mark.parametrize("rate", [1e30, 1e37])
def test_a_rate_beyond_all_reason_leaves_the_model_at_its_start(rate: float) -> None:
    made, fresh = training(Recipe(steps=20, rate=rate)), training(Recipe(steps=20, rate=rate))
    ran(made)
    for name, tensor in fresh.followed.items():
        assert torch.equal(made.followed[name], tensor)


class Root(nn.Module):
    """A finite output whose gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(FEATURES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + self.weight.abs().sqrt())


def test_nothing_is_learned_from_a_gradient_that_is_not_finite() -> None:
    made = training(RECIPE, lambda: nn.Sequential(nn.Linear(FEATURES, FEATURES), Root()))
    x_B, target_B = batches().batch(0)
    assert math.isfinite(F.cross_entropy(made.model(x_B), target_B).item())
    before = all_of(made)
    assert math.isnan(made.learn(x_B, target_B))
    after = all_of(made)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert ran(made) == []


# -- statistics


def test_statistics_of_pretraining_stay() -> None:
    made = training(RECIPE, lively)
    norm = made.model.body[1]
    before = {n: b.clone() for n, b in norm.named_buffers()}
    ran(made)
    assert all(torch.equal(b, before[n]) for n, b in norm.named_buffers())
    assert not [name for name in made.state()[0] if "running" in name]
    assert not torch.equal(norm.weight, torch.ones(8)), "its weights are trained"


def test_statistics_that_are_learned_are_part_of_the_state_and_of_the_average() -> None:
    made = training(RECIPE, lively, moving=True)
    norm, name = made.model.body[1], "body.1.running_mean"
    expected = made.average[name].clone()
    for row in tune(made, batches()):
        keep = min(0.8, (1 + row.step) / (10 + row.step))
        expected = keep * expected + (1 - keep) * norm.running_mean
        np.testing.assert_allclose(made.average[name], expected, rtol=1e-5, atol=1e-7)
    assert norm.running_mean.abs().max() > 0.1
    tensors, _ = made.state()
    assert torch.equal(tensors[f"model.{name}"], norm.running_mean)
    assert torch.equal(tensors[f"average.{name}"], made.average[name])
    made.use(made.average)
    assert torch.equal(norm.running_mean, made.average[name])


def test_a_bad_batch_leaves_no_trace_in_the_statistics() -> None:
    made = training(RECIPE, lively, moving=True)
    rows = ran(made, batches(Given(examples(), spoil={INDEX_OF_STEP_13: math.inf}, times=1)))
    assert rows[-1].retries == 1
    assert all(bool(b.isfinite().all()) for b in made.model.body[1].buffers())
    assert all(bool(t.isfinite().all()) for t in made.average.values())


# -- dropout


def test_dropout_depends_on_the_seed_and_the_step_and_on_nothing_that_was_drawn_before() -> None:
    x_B, target_B = batches().batch(0)

    def losses(seed: int, drawn: int) -> list[float]:
        """Of three steps on one batch, with weights that stay."""
        torch.manual_seed(drawn)
        made = training(Recipe(steps=3, rate=0.0, seed=seed), lively)
        return [made.learn(x_B, target_B) for _ in range(3)]

    first = losses(0, 1)
    assert losses(0, 2) == first
    assert len({*first, *losses(1, 1)}) == 6


def test_whatever_else_draws_numbers_is_not_disturbed() -> None:
    made = training(RECIPE, lively)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ran(made)
    assert torch.equal(torch.rand(3), expected)


# -- resume


def flipped(x_F: Any, rng: np.random.Generator) -> Any:
    return (x_F + 0.3 * rng.normal(size=x_F.shape)).astype(np.float32)


def restless(workers: int = 0) -> Any:
    """Batches that are augmented anew in each epoch."""
    rows = stored(examples())
    return batches(Fly(rows, rows, flipped, 0), workers=workers)


LONG = Recipe(steps=40, rate=0.02, bottom=0.3, average=0.9)


def through_disk(folder: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
    checkpoints.write(folder, state[1]["step"], *state)
    found = checkpoints.newest(folder)
    assert found is not None
    return found[1:]


def resumed(state: tuple[Any, Any]) -> Training:
    """A training made anew, as another process would, and brought to a state."""
    made = training(LONG, lively, moving=True)
    ran(made, restless(), until=3)  # whatever it was, it is that no more
    made.watched = [1.0, 2.0]
    made.restore(*state)
    assert made.watched == state[1]["watched"]
    return made


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[Training, list[Row]]:
    made = training(LONG, lively, moving=True)
    return made, ran(made, restless())


@pytest.mark.parametrize("workers", [(0, 0), (0, 2), (2, 0), (2, 2)])
@pytest.mark.parametrize("stop", [IN_EPOCH, 3 * IN_EPOCH, 10, 15, 29, 39])
def test_stopped_and_resumed_ends_with_the_same_bits(
    stop: int, workers: tuple[int, int], uninterrupted: tuple[Training, list[Row]], tmp_path: Any
) -> None:
    whole, rows = uninterrupted
    before = training(LONG, lively, moving=True)
    first = ran(before, restless(workers[0]), until=stop)
    for state in (before.state(), before.kept):
        after = resumed(through_disk(tmp_path / str(state[1]["step"]), state))
        assert after.step == state[1]["step"]
        later = ran(after, restless(workers[1]))
        assert (first, later) == (rows[:stop], rows[state[1]["step"] :])
        assert_same_bits(after, whole)


def test_the_bits_differ_with_the_batches_or_nothing_above_is_shown(
    uninterrupted: tuple[Training, list[Row]],
) -> None:
    made = training(LONG, lively, moving=True)
    ran(made, batches(Fly(stored(examples()), stored(examples()), flipped, 1)))
    assert not torch.equal(made.followed["linear.weight"], uninterrupted[0].followed["linear.weight"])


def test_a_state_is_a_copy() -> None:
    made = training(LONG, lively, moving=True)
    ran(made, restless(), until=12)
    tensors, numbers = made.state()
    made.watched.append(1.0)
    copies = {n: t.clone() for n, t in tensors.items()}
    ran(made, restless())
    assert numbers == {"step": 12, "retries": 0, "scale": 1.0, "watched": []}
    assert all(torch.equal(t, copies[n]) for n, t in tensors.items())
    made.restore(tensors, numbers)
    ran(made, restless())
    assert all(torch.equal(t, copies[n]) for n, t in tensors.items()), "nor is it trained after it was restored"


def test_a_training_that_had_to_go_back_is_resumed_to_the_same_bits() -> None:
    """Retries and the lower rate are part of the state."""
    bad = int(batches().rows_of(24)[0][0])  # of the fifth epoch: four times sound, later always spoilt

    class Later(Given):
        def train(self, index_B: Any, epoch: int) -> Any:
            self.spoil = {bad: math.nan} if epoch == 4 else {}
            return super().train(index_B, epoch)

    def made() -> tuple[Training, list[Any], list[Row]]:
        one = training(LONG)
        kept, rows = [], []
        for row in tune(one, batches(Later(examples()))):
            rows.append(row)
            if not kept or kept[-1] is not one.kept:
                kept.append(one.kept)
        return one, kept, rows

    whole, kept, rows = made()
    assert rows[-1].retries == 3
    assert whole.step == 20
    assert [numbers["retries"] for _, numbers in kept] == [0, 0, 0, 1, 2, 3]
    for tensors, numbers in kept:
        after = training(LONG)
        after.restore(tensors, json.loads(json.dumps(numbers)))
        ran(after, batches(Later(examples())))
        assert_same_bits(after, whole)


def test_a_state_holds_tensors_and_numbers_that_json_knows() -> None:
    made = training(RECIPE, lively)
    ran(made, until=7)
    tensors, numbers = made.state()
    assert json.loads(json.dumps(numbers)) == numbers
    assert {name.split(".")[0] for name in tensors} == {"model", "average", "step", "exp_avg", "exp_avg_sq"}
    assert all(t.is_floating_point() for t in tensors.values())


def test_what_is_kept_is_never_more_than_a_few_steps_behind() -> None:
    made = training(Recipe(steps=35, rate=0.01, keep=4))
    behind = [row.step - made.kept[1]["step"] for row in tune(made, batches())]
    assert max(behind) == 4
    assert min(behind) == 1
    assert all(b - a in (1, -3) for a, b in pairwise(behind))


def test_there_are_as_many_classes_as_the_head_knows() -> None:
    assert training(RECIPE).model(torch.tensor(examples())).shape == (EXAMPLES, CLASSES)
