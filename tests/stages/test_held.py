"""What a model says of held-out examples, and its loss there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from headstart.stages.batches import Views
from headstart.stages.held import held_loss, logits_of
from headstart.stages.split import Index
from headstart.stages.trial import begun
from headstart.stages.tune import Recipe, tune
from training_samples import (
    AIM,
    CLASSES,
    EXAMPLES,
    HELD,
    TARGET_N,
    Given,
    examples,
    fitted,
    lively,
    logits_with,
    stored,
    top,
)

RECIPE = Recipe(steps=24, rate=0.03, average=0.8, keep=4)


def test_logits_are_made_in_eval_mode_and_the_modes_are_left_as_they_were() -> None:
    model = top(lively())
    before = {name: module.training for name, module in model.named_modules()}
    assert set(before.values()) == {True, False}, "dropout on, statistics off"
    first = logits_of(model, fitted().source, HELD, "cpu")
    np.testing.assert_array_equal(logits_of(model, fitted().source, HELD, "cpu"), first)
    assert {name: module.training for name, module in model.named_modules()} == before


def test_logits_leave_statistics_as_they_were() -> None:
    model = top(lively(), moving=True)
    before = {n: b.clone() for n, b in model.named_buffers()}
    logits_of(model, fitted().source, HELD, "cpu")
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())


def test_many_examples_are_taken_in_their_order() -> None:
    model, rows = top(), np.random.default_rng(0).integers(0, EXAMPLES, 150)
    source = Given(examples(), noise=9.0)
    found = logits_of(model, source, rows, "cpu")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, logits_with(model, {}, rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [np.arange(EXAMPLES), np.array([5]), np.array([9, 2, 2, 7])], ids=str)
def test_examples_of_like_sizes_are_judged_together_and_come_back_in_their_order(rows: Index) -> None:
    seen: list[int] = []
    source, size_N = Given(examples(), noise=9.0), np.random.default_rng(1).integers(1, 99, EXAMPLES)
    kept = source.clean

    def noted(index_B: Index) -> Any:
        seen.extend(int(i) for i in index_B)
        return kept(index_B)

    source.clean = noted  # type: ignore[method-assign]
    found = logits_of(top(), source, rows, "cpu", size_N)
    np.testing.assert_allclose(found, logits_with(top(), {}, rows), rtol=1e-5, atol=1e-6)
    assert [int(size_N[i]) for i in seen] == sorted(int(s) for s in size_N[rows])


def test_logits_that_are_not_finite_say_nothing() -> None:
    x_N = examples()
    x_N[3], x_N[7, 0] = np.inf, np.nan
    found = logits_of(top(), Given(x_N), np.arange(10), "cpu")
    assert np.isfinite(found).all()
    assert found[[3, 7]].tolist() == [[0.0] * CLASSES] * 2
    assert (np.abs(np.delete(found, [3, 7], 0)).max(1) > 0).all()


def test_training_goes_on_after_logits_were_made() -> None:
    model = top(lively())
    logits_of(model, fitted().source, HELD, "cpu")
    _, training = begun(model, RECIPE, fitted(), AIM)
    assert math.isfinite(next(tune(training, fitted())).loss)


def test_halves_from_the_cache_are_trained_on_as_floats() -> None:
    one = Views([stored(examples(dtype=np.float16))], 0)
    found = logits_of(top(), one, HELD, "cpu")
    np.testing.assert_allclose(found, logits_of(top(), fitted().source, HELD, "cpu"), atol=0.02)
    assert math.isfinite(next(tune(begun(top(), RECIPE, fitted(one), AIM)[1], fitted(one))).loss)


@pytest.mark.parametrize("size_N", [None, np.arange(EXAMPLES)[::-1].copy()], ids=["all alike", "by size"])
def test_the_held_out_loss_is_of_the_average_and_leaves_the_training_as_it_was(size_N: Index | None) -> None:
    on = replace(fitted(), size_N=size_N)
    model = top(lively())
    _, training = begun(model, RECIPE, on, AIM)
    for _ in tune(training, on):
        pass
    before = {n: t.clone() for n, t in training.followed.items()}
    found = held_loss(model, training, on, HELD, AIM)
    assert all(torch.equal(t, before[n]) for n, t in training.followed.items())
    assert any(not torch.equal(t, before[n]) for n, t in training.average.items())
    loss_H = AIM.loss_N(logits_with(model, training.average).astype(np.float64), TARGET_N[HELD])
    assert found == pytest.approx(float(loss_H.mean()), rel=1e-5)


def test_a_loss_that_is_no_number_is_infinite() -> None:
    model = top(lively())
    _, training = begun(model, RECIPE, fitted(), AIM)
    assert held_loss(model, training, fitted(), HELD, AIM, lambda *_: torch.tensor(math.nan)) == math.inf
