"""The trainings that a rung compares."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.heads.linear import LinearHead
from headstart.stages.levels import PAIRS
from headstart.stages.plan_values import RungPlan
from headstart.stages.settings import candidates, recipe_of, settings, start_head, title


def planned(**changes: object) -> RungPlan:
    usual: dict[str, object] = {
        "name": "after layer3", "views": 1, "epochs": 3, "batch": 4, "folds": 1, "starts": ("linear", "fresh"),
        "rates": (0.1, 0.2), "bottom": 0.5, "low": False,
    }  # fmt: skip
    return RungPlan(**{**usual, **changes})  # type: ignore[arg-type]


def test_each_start_is_tried_at_each_rate_and_only_the_linear_head_has_places_on_the_way() -> None:
    assert settings(planned(), (0.5, 1.0)) == [
        ("linear", 0.1, (0.5, 1.0)),
        ("linear", 0.2, (0.5, 1.0)),
        ("fresh", 0.1, (1.0,)),
        ("fresh", 0.2, (1.0,)),
    ]


@pytest.mark.parametrize(("rows", "steps"), [(8, 6), (11, 6), (3, 3), (1, 3)])
def test_a_training_has_the_steps_of_its_full_batches(rows: int, steps: int) -> None:
    recipe = recipe_of(planned(), 0.1, np.arange(rows), 7)
    assert (recipe.steps, recipe.rate, recipe.bottom, recipe.seed) == (steps, 0.1, 0.5, 7)


@pytest.mark.parametrize(("epochs", "steps"), [(2.4, 10), (2.38, 10), (0.25, 1), (0.01, 1)])
def test_part_of_an_epoch_is_so_many_of_its_steps_and_one_at_least(epochs: float, steps: int) -> None:
    assert recipe_of(planned(epochs=epochs), 0.1, np.arange(16), 7).steps == steps


def test_a_fresh_head_has_other_weights_of_the_same_shape_and_the_linear_one_is_itself() -> None:
    head = LinearHead(np.zeros(3), np.ones(3), np.ones((3, 2)), np.zeros(2))
    assert start_head("linear", head, 0) is head
    fresh = start_head("fresh", head, 0)
    assert isinstance(fresh, LinearHead)
    assert fresh.weight_DK.shape == (3, 2)
    assert not np.array_equal(fresh.weight_DK, head.weight_DK)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "layers after layer3"),
        ({"name": "everything"}, "everything"),
        ({"name": "the decoder"}, "the decoder"),
        ({"lora": 8}, "layers after layer3 by LoRA, rank 8"),
        ({"name": "everything", "starts": (PAIRS,)}, "everything by pairs"),
    ],
)
def test_a_rung_is_called_by_what_is_trained_and_how(changes: dict[str, object], said: str) -> None:
    assert title(planned(**changes)) == said


def test_candidates_say_where_they_started_how_far_they_went_and_whether_they_ended_early() -> None:
    trainings = settings(planned(rates=(0.1,)), (0.5, 1.0))
    shares = {"linear-0.1": 1.0, "fresh-0.1": 0.88}
    assert candidates(trainings, False, shares) == [
        "from the linear head, rate 0.1, 50% of the way",
        "from the linear head, rate 0.1",
        "from a fresh head, rate 0.1, ended after 88% of its steps",
    ]
    assert candidates(trainings, True, shares) == [
        "from the network as it was, rate 0.1, 50% of the way",
        "from the network as it was, rate 0.1",
        "from random weights, rate 0.1, ended after 88% of its steps",
    ]
