"""The detection head on cached maps: learned from the fit part of one fold, judged on the rest, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import tiny_boxes
from headstart.aims.aim import Aim
from headstart.aims.boxes import some_boxes
from headstart.backbones.backbone import Backbone, from_pixels, pixels
from headstart.data.pixels import load_pixels
from headstart.heads.boxes import BoxHead
from headstart.stages import box_probe as stage
from headstart.stages.box_probe import Kept, box_probe
from headstart.stages.probe import Probe
from headstart.stages.split import Splits, split
from headstart.stages.trial import begun
from tiny import png

PICTURES, STEPS, ENOUGH = 30, 12, 120


@dataclass(frozen=True)
class Case:
    """Scenes and their maps."""

    backbone: Backbone
    features_ND: NDArray[np.float32]
    target_N: NDArray[Any]
    aim: Aim
    splits: Splits

    def probed(self, seed: int = 0, **changed: Any) -> Probe:
        case = replace(self, **changed)
        return box_probe(
            case.backbone,
            case.features_ND,
            case.target_N,
            case.aim,
            case.splits,
            lambda: 0.0,
            lambda _: None,
            seed=seed,
        )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, calm: None) -> Case:
    backbone = tiny_boxes.mapped(tmp_path_factory.mktemp("network"))
    scenes = [tiny_boxes.scene(i) for i in range(PICTURES)]
    network = from_pixels(backbone.trunk, pixels(backbone))
    given = np.stack([load_pixels(png(picture), pixels(backbone)) for picture, _ in scenes])
    with torch.inference_mode():
        features_ND = network(torch.from_numpy(given)).numpy()
    aim = some_boxes(tuple(sorted(tiny_boxes.COLOURS)))
    target_N = aim.encode([boxes for _, boxes in scenes])
    splits = split([""] * PICTURES, aim.strata(target_N), np.arange(PICTURES), 0, aim.costly)
    return Case(backbone, features_ND, target_N, aim, splits)


@pytest.fixture(autouse=True)
def short(calm: None) -> Iterator[None]:
    with tiny_boxes.small(STEPS):
        yield


@pytest.fixture(scope="module")
def learned(case: Case) -> Probe:
    with tiny_boxes.small(ENOUGH):
        return case.probed()


def headline(case: Case, found_HF: NDArray[Any], rows: NDArray[Any]) -> float:
    read = case.aim.scoring.read(found_HF, case.target_N[rows])
    return case.aim.scoring.score(read, np.ones(len(rows)))["AP50"]


def assert_same(one: Probe, other: Probe) -> None:
    for mine, theirs in zip(one.rungs, other.rungs, strict=True):
        np.testing.assert_array_equal(mine.chosen_RK, theirs.chosen_RK)
        np.testing.assert_array_equal(mine.loss_SR, theirs.loss_SR)
    assert isinstance(one.head, BoxHead)
    assert isinstance(other.head, BoxHead)
    assert one.head.threshold == other.head.threshold
    for name, value in one.head.state.items():
        np.testing.assert_array_equal(other.head.state[name], value)


def test_a_fifth_is_held_out_for_the_end_and_one_fold_chooses(case: Case) -> None:
    [(fit, held)] = case.splits.folds
    assert len(case.splits.judged) == PICTURES // 5
    assert sorted([*fit, *held, *case.splits.judged]) == list(range(PICTURES))
    assert len(held) == pytest.approx(len(case.splits.train) / 5, abs=1)


def test_there_are_two_rungs_of_one_setting_each_on_what_was_held(case: Case) -> None:
    probe = case.probed()
    assert [rung.name for rung in probe.rungs] == ["usual boxes", "detection head"]
    np.testing.assert_array_equal(probe.row_R, case.splits.folds[0][1])
    for rung in probe.rungs:
        assert rung.chosen_RK.shape == (len(probe.row_R), 600)
        assert len(rung.settings) == len(rung.loss_SR) == 1
        expected = case.aim.loss_N(rung.chosen_RK, case.target_N[probe.row_R])
        np.testing.assert_allclose(rung.loss_SR[0], expected, atol=1e-5)
    assert f"{STEPS} steps" in probe.rungs[1].settings[0]


def test_it_is_the_same_every_time_and_another_with_another_seed(case: Case) -> None:
    torch.manual_seed(1)
    first = case.probed()
    before = torch.get_rng_state()
    second = case.probed()
    assert torch.equal(torch.get_rng_state(), before), "global randomness is left as it was"
    assert_same(first, second)
    other = case.probed(seed=1)
    assert (other.rungs[1].chosen_RK != first.rungs[1].chosen_RK).any()
    np.testing.assert_array_equal(other.rungs[0].chosen_RK, first.rungs[0].chosen_RK)


def test_what_is_judged_at_the_end_is_not_looked_at(case: Case) -> None:
    blind, unlabelled = case.features_ND.copy(), case.target_N.copy()
    blind[case.splits.judged] = np.nan
    unlabelled[case.splits.judged, :, 1:5] = 0.5
    assert_same(case.probed(), case.probed(features_ND=blind, target_N=unlabelled))


def test_what_is_held_is_not_learned_from(case: Case) -> None:
    [(_, held)] = case.splits.folds
    unlabelled = case.target_N.copy()
    unlabelled[held, :, 0] = -1
    one, other = case.probed(), case.probed(target_N=unlabelled)
    np.testing.assert_array_equal(one.rungs[1].chosen_RK, other.rungs[1].chosen_RK)
    np.testing.assert_array_equal(one.rungs[0].chosen_RK, other.rungs[0].chosen_RK)


def test_the_head_that_was_judged_is_the_one_that_goes_on_with_its_threshold(case: Case, learned: Probe) -> None:
    head: Any = learned.head
    said_HF = head.logits(case.features_ND[learned.row_R])
    np.testing.assert_allclose(said_HF, learned.rungs[1].chosen_RK, atol=2e-5)
    settled = case.aim.settle(head, learned.rungs[1].chosen_RK, case.target_N[learned.row_R])
    assert head.threshold == pytest.approx(settled.threshold, abs=1e-5)
    assert learned.refit(case.splits.train) is learned.refit(np.arange(3)) is head, "nothing is trained twice"


def test_it_is_better_than_the_usual_boxes_also_on_pictures_that_chose_nothing(case: Case, learned: Probe) -> None:
    guess, head = learned.rungs
    assert headline(case, head.chosen_RK, learned.row_R) > headline(case, guess.chosen_RK, learned.row_R) + 0.4
    assert head.loss_SR.mean() < guess.loss_SR.mean() - 0.2
    judged = case.splits.judged
    assert headline(case, learned.head.logits(case.features_ND[judged]), judged) > 0.6


def test_the_loss_falls(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def watched(*given: Any) -> Any:
        start, training = begun(*given)
        learn = training.learn
        training.learn = lambda *batch: losses.append(learn(*batch)) or losses[-1]  # type: ignore[func-returns-value, method-assign]
        return start, training

    monkeypatch.setattr(stage, "begun", watched)
    monkeypatch.setattr(stage, "STEPS", 40)
    case.probed()
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_progress_is_told_in_three_parts(case: Case) -> None:
    told: list[int] = []
    box_probe(case.backbone, case.features_ND, case.target_N, case.aim, case.splits, lambda: 0.0, told.append, seed=0)
    assert sum(told) == 3


def test_pictures_without_boxes_may_be_among_them(case: Case) -> None:
    empty = case.target_N.copy()
    empty[case.splits.folds[0][0][:8], :, 0] = -1
    empty[case.splits.folds[0][1][:2], :, 0] = -1
    probe = case.probed(target_N=empty)
    assert all(np.isfinite(rung.loss_SR).all() for rung in probe.rungs)


def test_kept_features_are_given_as_they_are_in_every_epoch() -> None:
    features_ND = np.arange(12, dtype=np.float32).reshape(4, 3)
    kept, rows = Kept(features_ND), np.array([2, 0])
    for epoch in (0, 5):
        np.testing.assert_array_equal(kept.train(rows, epoch), features_ND[rows])
        assert kept.draws(rows, epoch) == [None, None]
    np.testing.assert_array_equal(kept.clean(rows), features_ND[rows])
