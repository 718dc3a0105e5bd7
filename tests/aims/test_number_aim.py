"""A number an example: trained on less its mean and in units of its spread, told in the user's units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from headstart.aims import aim_for, aim_of
from headstart.aims.number import a_number, standardising
from headstart.heads import neighbours
from headstart.heads.linear import LinearHead
from headstart.heads.ridge import GRID, accumulate, fit_ridge
from headstart.stages.probe import Probe, probe
from headstart.stages.split import split

Floats = NDArray[np.float64]
PRICES = [120.0, 80.0, 100.0, 400.0]
AIM = standardising(PRICES)


def slope(n: int = 90, d: int = 6, noise: float = 0.5, seed: int = 0) -> tuple[Floats, Floats]:
    """Features of very different means and scales, and numbers in thousands that go with them."""
    rng = np.random.default_rng(seed)
    z_ND = rng.normal(size=(n, d))
    value_N = z_ND @ rng.normal(size=d) + noise * rng.normal(size=n)
    return z_ND * np.geomspace(0.1, 10, d) + 3 * rng.normal(size=d), 5000 + 1200 * value_N


def probed(x_ND: Floats, value_N: Floats) -> Probe:
    aim = standardising(value_N.tolist())
    true_N = aim.encode(value_N.tolist())
    splits = split([""] * len(true_N), aim.strata(true_N), np.arange(len(true_N)), 0)
    return probe(x_ND.astype(np.float32), true_N, aim, splits, lambda: 0.0)


# -- encoding


def test_numbers_are_encoded_less_their_mean_and_in_units_of_their_spread() -> None:
    true_N = AIM.encode(PRICES)
    assert true_N.mean() == pytest.approx(0, abs=1e-12)
    assert true_N.std() == pytest.approx(1)
    np.testing.assert_allclose(AIM.encode([175.0]), [0.0])
    assert true_N.dtype == np.float64


def test_the_mean_is_that_of_what_is_learned_from_and_other_numbers_are_encoded_by_it() -> None:
    made = aim_for("number", [10.0, 30.0])
    assert (made.goal, made.outputs) == ("number", ("value",))
    np.testing.assert_allclose(made.encode([20.0, 40.0, -20.0]), [0, 2, -4])


def test_numbers_that_are_all_the_same_are_not_divided_by_nothing() -> None:
    np.testing.assert_array_equal(standardising([7.0, 7.0]).encode([7.0, 8.0]), [0, 1])


def test_a_finished_model_takes_numbers_as_they_are() -> None:
    opened = aim_of("number", ("value",))
    np.testing.assert_array_equal(opened.encode(PRICES), PRICES)
    assert opened.goal == "number"


def test_numbers_are_known_and_nothing_else_is() -> None:
    assert [AIM.knows(target) for target in (1.0, -3.5, "1", ("1",))] == [True, True, False, False]


# -- strata


def test_the_strata_are_fifths() -> None:
    true_N = np.random.default_rng(0).permutation(np.arange(100.0))
    strata_N = AIM.strata(true_N)
    assert np.bincount(strata_N).tolist() == [20] * 5
    assert all(strata_N[true_N.argsort()][i] <= strata_N[true_N.argsort()][i + 1] for i in range(99))
    assert strata_N.dtype == np.intp


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0] * 9 + [1.0], [1.0, 2.0], [5.0]])
def test_few_or_equal_numbers_are_alike_in_a_stratum(values: list[float]) -> None:
    strata_N = AIM.strata(np.array(values))
    for value in set(values):
        assert len({int(s) for s, v in zip(strata_N, values, strict=True) if v == value}) == 1
    assert strata_N.min() >= 0
    assert strata_N.max() < 5


# -- guesses and neighbours


def test_who_has_not_looked_says_the_mean() -> None:
    assert AIM.guess(np.array([1.0, 2.0, 6.0])).tolist() == [3.0]


def test_neighbours_tell_the_weighted_mean_of_theirs() -> None:
    x_ND, value_N = slope()
    true_N, query_MD = (value_N - 5000) / 1200, x_ND[:5] + 0.1
    for k, said_M1 in zip(neighbours.GRID, AIM.near(query_MD, x_ND, true_N), strict=True):
        for q, said in zip(query_MD, said_M1, strict=True):
            similar_N = x_ND @ q / np.linalg.norm(x_ND, axis=1) / np.linalg.norm(q)
            nearest = np.argsort(-similar_N)[:k]
            expected = np.average(true_N[nearest], weights=np.exp(similar_N[nearest] / 0.07))
            np.testing.assert_allclose(said, [expected], rtol=1e-6)


# -- heads


@pytest.mark.parametrize("penalty", GRID)
@pytest.mark.parametrize(("n", "d"), [(90, 6), (25, 40)], ids=["n>d", "n<d"])
def test_the_head_is_scikit_learn_s_ridge_in_the_user_s_units(n: int, d: int, penalty: float) -> None:
    x_ND, value_N = slope(n, d)
    aim = standardising(value_N.tolist())
    blocks = [(x_ND, aim.spread(aim.encode(value_N.tolist())))]
    [head] = fit_ridge(accumulate(blocks, d, len(aim.outputs)), [penalty])
    z_ND = (x_ND - x_ND.mean(0)) / x_ND.std(0)
    theirs = Ridge(alpha=penalty * n).fit(z_ND, value_N)
    np.testing.assert_allclose(aim.outward(head).logits(x_ND)[:, 0], theirs.predict(z_ND), rtol=1e-7, atol=1e-5)


def test_there_is_a_closed_form_and_nothing_is_searched_for() -> None:
    assert AIM.fit is None
    x_ND, value_N = slope()
    found = probed(x_ND, value_N)
    assert [rung.name for rung in found.rungs] == ["mean", "nearest neighbours", "linear head"]
    assert found.solver == "closed-form ridge regression"
    assert found.head.temperature == 1.0
    assert {t for rung in found.rungs for t in rung.temperatures} == {1.0}


def test_a_probe_of_numbers_is_that_of_scikit_learn_at_the_penalty_that_held_out_examples_liked_best() -> None:
    x_ND, value_N = slope()
    found = probed(x_ND, value_N)
    [_, _, linear] = found.rungs
    aim = standardising(value_N.tolist())
    x32_ND = x_ND.astype(np.float32).astype(float)
    z_ND = (x32_ND - x32_ND.mean(0)) / x32_ND.std(0)
    theirs = Ridge(alpha=GRID[linear.best] * len(z_ND)).fit(z_ND, value_N)
    np.testing.assert_allclose(aim.outward(found.head).logits(x32_ND)[:, 0], theirs.predict(z_ND), rtol=1e-6)
    guess, near, least = (rung.loss_SR.mean(1).min() for rung in found.rungs)
    assert least < 0.3 < near < guess
    assert guess == pytest.approx(1, abs=0.1), "in units of the variance"


def test_outward_a_head_tells_the_user_s_units_and_is_otherwise_the_same() -> None:
    rng = np.random.default_rng(0)
    head = LinearHead(rng.normal(size=4), rng.uniform(1, 2, 4), rng.normal(size=(4, 1)), rng.normal(size=1))
    x_ND = rng.normal(size=(9, 4))
    outward = AIM.outward(head)
    spread = float(np.std(PRICES))
    np.testing.assert_allclose(outward.logits(x_ND), head.logits(x_ND) * spread + 175.0)
    np.testing.assert_array_equal(replace(outward, weight_DK=head.weight_DK, bias_K=head.bias_K).mean_D, head.mean_D)
    weight_DK, bias_K = outward.folded()
    np.testing.assert_allclose(x_ND @ weight_DK + bias_K, outward.logits(x_ND))


def test_a_finished_model_s_head_is_in_the_user_s_units_already() -> None:
    head = LinearHead(np.zeros(2), np.ones(2), np.ones((2, 1)), np.array([3.0]))
    found = a_number().outward(head)
    np.testing.assert_array_equal(found.weight_DK, head.weight_DK)
    np.testing.assert_array_equal(found.bias_K, head.bias_K)


def test_units_of_the_numbers_change_nothing_but_the_units() -> None:
    x_ND, value_N = slope()
    one, other = probed(x_ND, value_N), probed(x_ND, 1e-6 * value_N - 3)
    np.testing.assert_allclose(one.rungs[-1].loss_SR, other.rungs[-1].loss_SR, rtol=1e-3, atol=1e-6)
    aims = [standardising(value_N.tolist()), standardising((1e-6 * value_N - 3).tolist())]
    mine, theirs = (aim.outward(p.head).logits(x_ND)[:, 0] for aim, p in zip(aims, (one, other), strict=True))
    np.testing.assert_allclose(1e-6 * mine - 3, theirs, rtol=1e-6)


# -- losses, scores, what is said


def test_the_loss_is_the_squared_error_and_there_is_no_temperature() -> None:
    said_N1, true_N = np.array([[1.0], [2.0]]), np.array([0.0, 4.0])
    assert AIM.loss_N(said_N1, true_N).tolist() == [1.0, 4.0]
    assert AIM.temperature(100 * said_N1, true_N) == 1.0


def test_the_loss_of_a_training_is_the_mean_squared_error_an_example_at_a_time() -> None:
    """Of outputs_B1 and numbers_B a careless difference is B x B."""
    said_B1, true_B = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0.0, 4.0, 4.0])
    found = AIM.training(np.zeros(3))(lambda _: said_B1, torch.empty(0), true_B)
    assert found.item() == pytest.approx(5 / 3)


def test_scores_are_in_the_user_s_units() -> None:
    true_N = AIM.encode(PRICES)
    data = AIM.scoring.read(true_N[:, None] + AIM.encode([185.0])[0], true_N)
    np.testing.assert_allclose(data.true_N, PRICES)
    np.testing.assert_allclose(data.error_N, 10)
    scores = AIM.scoring.score(data, np.ones(4))
    assert scores["mean absolute error"] == pytest.approx(10)
    assert scores["root mean squared error"] == pytest.approx(10)
    [name, *_] = scores
    assert scores[name] == pytest.approx(1 - 100 / np.var(PRICES)) == pytest.approx(data.merit_N.mean())
    assert set(AIM.scoring.lower) == {"mean absolute error", "root mean squared error"}
    assert list(scores) == list(AIM.scoring.explained)
    assert AIM.scoring.percent == AIM.scoring.shares == ()


@pytest.mark.parametrize(
    ("value", "label"), [(3.0, "3"), (-0.25, "-0.25"), (1234567.0, "1234567"), (1 / 3, "0.3333333333")]
)
def test_a_number_is_said_whole_and_written_short(value: float, label: str) -> None:
    said = a_number().said(np.array([value]))
    assert (said.label, said.value, said.labels, said.probabilities) == (label, value, None, ())
    assert np.isnan(said.probability)
    assert said == a_number().said(np.array([value]))


def test_what_is_told_is_not_squeezed_into_a_probability() -> None:
    np.testing.assert_array_equal(AIM.probabilities(np.array([[-7.5], [12.0]])), [[-7.5], [12.0]])
