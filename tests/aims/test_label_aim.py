"""One label an example: what is encoded, guessed and said, and how rare classes are weighed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headstart.aims import aim_for, aim_of, goal_asked
from headstart.aims.label import class_weights, known, one_label
from headstart.errors import UsageError
from headstart.heads.linear import LinearHead, fit_temperature, softmax
from headstart.heads.logistic import fit_logistic
from headstart.heads.neighbours import vote
from headstart.stages.split import Index

AIM = one_label(("bee", "fly", "moth"))


def test_labels_are_encoded_by_their_place_among_the_classes() -> None:
    target_N = AIM.encode(["moth", "bee", "bee", "fly"])
    assert (target_N.tolist(), target_N.dtype) == ([2, 0, 0, 1], np.intp)


def test_a_class_that_was_not_learned_is_not_known_nor_is_what_is_no_label() -> None:
    assert [AIM.knows(target) for target in ("bee", "wasp", "", 1.0, ("bee",))] == [True, False, False, False, False]


def test_the_strata_are_the_classes() -> None:
    target_N = np.array([2, 0, 0, 1])
    np.testing.assert_array_equal(AIM.strata(target_N), target_N)


def test_who_has_not_looked_says_the_shares_one_more_example_of_each_class_counted_in() -> None:
    np.testing.assert_allclose(np.exp(AIM.guess(np.array([0, 0, 0, 1]))), [4 / 7, 2 / 7, 1 / 7])


def test_columns_for_a_ridge_regression_are_one_hot() -> None:
    assert AIM.spread(np.array([1, 0])).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_neighbours_and_heads_are_those_of_the_classes() -> None:
    rng = np.random.default_rng(0)
    x_ND, target_N = rng.normal(size=(30, 4)), np.arange(30) % 3
    np.testing.assert_array_equal(AIM.near(x_ND[:5], x_ND, target_N)[1], vote(x_ND[:5], x_ND, target_N, 3)[1])
    assert AIM.fit is not None
    [head], [expected] = AIM.fit(x_ND, target_N, [0.1], 1e-5), fit_logistic(x_ND, target_N, 3, [0.1], 1e-5)
    np.testing.assert_array_equal(head.weight_DK, expected.weight_DK)
    logits_NK = head.logits(x_ND)
    assert AIM.temperature(logits_NK, target_N) == fit_temperature(logits_NK, target_N)
    assert head.weight_DK.shape == (4, len(AIM.outputs))


def test_a_class_without_examples_has_an_output_of_its_own() -> None:
    x_ND, target_N = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2
    assert AIM.fit is not None
    assert AIM.fit(x_ND, target_N, [0.1], 1e-5)[0].logits(x_ND).shape == (30, 3)
    assert AIM.near(x_ND, x_ND, target_N)[0].shape == (30, 3)
    assert AIM.guess(target_N).shape == (3,)


def test_the_head_of_training_is_that_of_the_user() -> None:
    head = LinearHead(np.zeros(2), np.ones(2), np.eye(2, 3), np.zeros(3), 2.0)
    assert AIM.outward(head) is head


def test_the_likeliest_label_is_said_with_the_probabilities_of_all() -> None:
    p_NK = AIM.probabilities(np.log([[0.2, 0.7, 0.1]]))
    said = AIM.said(p_NK[0])
    assert (said.label, said.labels, said.value) == ("fly", None, None)
    assert said.probability == pytest.approx(0.7)
    assert [name for name, _ in said.probabilities] == ["bee", "fly", "moth"]
    assert [p for _, p in said.probabilities] == pytest.approx([0.2, 0.7, 0.1])


def test_probabilities_are_the_softmax_and_losses_their_surprise() -> None:
    logits_NK, target_N = np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 3
    np.testing.assert_array_equal(AIM.probabilities(logits_NK), softmax(logits_NK))
    np.testing.assert_allclose(AIM.loss_N(logits_NK, target_N), -np.log(softmax(logits_NK)[range(9), target_N]))


def test_the_headline_is_a_percentage_and_the_mean_of_the_merits() -> None:
    logits_NK, target_N = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 3
    data, scoring = AIM.scoring.read(logits_NK, target_N), AIM.scoring
    [name, *_] = scores = scoring.score(data, np.ones(60))
    assert list(scores) == list(scoring.explained)
    assert scores[name] == pytest.approx(data.merit_N.mean())
    assert name in scoring.percent
    assert set(scoring.shares) <= set(scoring.percent) <= set(scoring.explained)
    assert set(scoring.lower) <= set(scoring.explained)


# -- the table of aims


def test_an_aim_is_made_of_what_is_learned_from_and_opened_again_by_its_outputs() -> None:
    made = aim_for("label", ["moth", "bee", "bee"])
    assert (made.goal, made.outputs) == ("label", ("bee", "moth"))
    opened = aim_of(made.goal, made.outputs)
    np.testing.assert_array_equal(opened.encode(["moth", "bee"]), made.encode(["moth", "bee"]))
    assert known(["b", "a", "b"]) == ("a", "b")


@pytest.mark.parametrize(("name", "expected"), [("auto", None), ("label", "label"), ("labels", "labels")])
def test_a_goal_is_asked_for_by_its_name(name: str, expected: str | None) -> None:
    assert goal_asked(name) == expected


def test_a_goal_of_another_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="no goal called 'fame'") as error:
        goal_asked("fame")
    assert "auto, label, labels, number" in error.value.hint


# -- class weights


def classes_of(*counts: int) -> Index:
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize("counts", [(10, 10), (29, 10), (10, 29, 15), (1, 1), (2, 1)])
def test_classes_that_differ_by_less_than_three_times_weigh_the_same(counts: tuple[int, ...]) -> None:
    assert class_weights(classes_of(*counts), len(counts)) is None


@pytest.mark.parametrize("counts", [(30, 10), (100, 1), (5, 40, 200)])
def test_from_three_times_on_the_rarer_weigh_more_by_the_root_of_their_share(counts: tuple[int, ...]) -> None:
    weight_K = class_weights(classes_of(*counts), len(counts))
    assert weight_K is not None
    count_K = np.array(counts)
    np.testing.assert_allclose(weight_K / weight_K[0], np.sqrt(count_K[0] / count_K), rtol=1e-6)
    assert float((weight_K * count_K).sum()) == pytest.approx(sum(counts)), "an example weighs 1"


def test_a_class_without_examples_has_a_finite_weight() -> None:
    weight_K = class_weights(classes_of(8, 8), 3)
    assert weight_K is not None
    assert np.isfinite(weight_K).all()


@pytest.mark.parametrize("counts", [(9, 9, 9), (30, 9, 3)])
def test_the_loss_of_a_training_is_the_log_loss_with_these_weights_in_single_precision(counts: tuple[int, ...]) -> None:
    target_N = classes_of(*counts)
    logits_BK, target_B = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    weight_K = class_weights(target_N, 3)
    expected = None if weight_K is None else torch.tensor(weight_K, dtype=torch.float32)
    found = AIM.training(target_N)(lambda _: logits_BK, torch.empty(0), target_B)
    assert torch.equal(found, F.cross_entropy(logits_BK, target_B, expected))
    assert found.dtype == torch.float32
