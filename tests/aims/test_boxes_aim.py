"""Boxes as an aim: what is true as rows of numbers, who has not looked, what is said, and from which score on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.aims import aim_for, aim_of
from headstart.aims.aim import Spot
from headstart.aims.boxes import apart, some_boxes
from headstart.data.examples import Box
from headstart.heads.boxes import FIELDS, SLOTS, THRESHOLD, BoxPlan, fresh_box_head
from headstart.metrics.boxes import EXPLAINED

AIM = some_boxes(("ant", "bee", "cat"))
PLAN = BoxPlan(((3, 8, 8), (5, 4, 4)), 64, 3, channels=32, convolutions=1)


def box(label: str, *corners: float, crowd: bool = False) -> Box:
    """A box in a picture of 200 x 100 pixels."""
    return Box(label, *corners, crowd, of=(200, 100))


def row(*detections: tuple[float, ...]) -> NDArray[np.float64]:
    """found_F: score, label, corners of some detections."""
    found_M6 = np.zeros((SLOTS, FIELDS))
    found_M6[:, 1] = -1
    for i, detection in enumerate(detections):
        found_M6[i] = detection
    return found_M6.ravel()


FIRST = (box("bee", 20, 10, 120, 60), box("ant", 0, 0, 200, 100, crowd=True))
TARGETS: list[Any] = [FIRST, (), (box("ant", 100, 50, 150, 75),)]
HIT = (0.1, 0.1, 0.6, 0.6)
OFF = (0.7, 0.7, 0.9, 0.9)


# -- what is true


def test_boxes_become_rows_of_class_shares_and_crowd_and_no_box_a_class_of_minus_one() -> None:
    truth_NT6 = AIM.encode(TARGETS)
    assert truth_NT6.dtype == np.float32
    expected = [
        [[1, 0.1, 0.1, 0.6, 0.6, 0], [0, 0, 0, 1, 1, 1]],
        [[-1, 0, 0, 0, 0, 0], [-1, 0, 0, 0, 0, 0]],
        [[0, 0.5, 0.5, 0.75, 0.75, 0], [-1, 0, 0, 0, 0, 0]],
    ]
    np.testing.assert_allclose(truth_NT6, expected, atol=1e-6)


def test_shares_are_of_the_picture_that_each_box_is_in() -> None:
    small = Box("ant", 10, 10, 20, 20, of=(20, 40))
    np.testing.assert_allclose(AIM.encode([(small,)])[0, 0], [0, 0.5, 0.25, 1, 0.5, 0])


def test_pictures_without_any_box_have_an_empty_row_each() -> None:
    truth_NT6 = AIM.encode([(), ()])
    assert truth_NT6.shape == (2, 1, 6)
    assert (truth_NT6[:, :, 0] == -1).all()
    assert AIM.encode([]).shape == (0, 1, 6)


@pytest.mark.parametrize(
    ("target", "known"),
    [
        ((), True),
        (FIRST, True),
        ((box("ant", 0, 0, 1, 1), box("dog", 0, 0, 1, 1)), False),
        ("ant", False),
        (3.0, False),
    ],
)
def test_boxes_of_known_classes_are_known_and_a_picture_without_any(target: Any, known: bool) -> None:
    assert AIM.knows(target) is known


def test_the_aim_of_data_with_boxes_has_their_classes_in_order() -> None:
    made = aim_for("boxes", TARGETS)
    assert (made.goal, made.outputs) == ("boxes", ("ant", "bee"))
    again = aim_of("boxes", ("ant", "bee"))
    assert (again.goal, again.outputs) == ("boxes", ("ant", "bee"))
    np.testing.assert_array_equal(made.encode(TARGETS), again.encode(TARGETS))


def test_a_picture_is_dealt_by_the_rarest_class_in_it() -> None:
    targets: list[Any] = [
        (box("ant", 0, 0, 9, 9),),
        (box("ant", 0, 0, 9, 9), box("bee", 0, 0, 9, 9)),
        (box("ant", 0, 0, 9, 9), box("ant", 9, 9, 20, 20)),
        (),
    ]
    stratum_N = AIM.strata(AIM.encode(targets))
    assert stratum_N[0] == stratum_N[2]
    assert stratum_N[1] != stratum_N[0]
    assert stratum_N[3] not in stratum_N[:3], "where there is nothing is a stratum of its own"
    assert stratum_N.min() >= 0


# -- who has not looked


def test_the_guess_is_the_usual_box_of_each_class_by_how_common_it_is() -> None:
    targets: list[Any] = [
        (box("bee", 0, 0, 40, 20), box("bee", 20, 10, 60, 30), box("bee", 40, 20, 200, 100)),
        (box("ant", 0, 0, 200, 100),),
    ]
    found_M6 = AIM.guess(AIM.encode(targets)).reshape(SLOTS, FIELDS)
    np.testing.assert_allclose(found_M6[0], [0.75, 1, 0.1, 0.1, 0.3, 0.3], atol=1e-6)
    np.testing.assert_allclose(found_M6[1], [0.25, 0, 0, 0, 1, 1], atol=1e-6)
    assert (found_M6[2:, 1] == -1).all(), "of a class that is not there nothing is known"


def test_the_guess_where_all_boxes_are_alike_is_right() -> None:
    truth_NT6 = AIM.encode([(box("ant", 20, 10, 80, 60),)] * 4)
    found_NF = np.tile(AIM.guess(truth_NT6), (4, 1))
    scored = AIM.scoring.score(AIM.scoring.read(found_NF, truth_NT6), np.ones(4))
    assert scored["AP"] == pytest.approx(1)
    np.testing.assert_allclose(AIM.loss_N(found_NF, truth_NT6), 0, atol=1e-9)


def test_where_nothing_is_true_nothing_is_guessed() -> None:
    assert AIM.said(AIM.guess(AIM.encode([(), ()]))).spots == ()


def test_of_more_classes_than_there_is_room_for_the_commonest_are_guessed() -> None:
    names = tuple(f"c{i:03}" for i in range(SLOTS + 7))
    many = some_boxes(names)
    targets: list[Any] = [(box(name, 0, 0, 9, 9),) * (1 + (i % 3 == 0)) for i, name in enumerate(names)]
    found_M6 = many.guess(many.encode(targets)).reshape(SLOTS, FIELDS)
    assert (found_M6[:, 1] >= 0).all()
    twice = sum(i % 3 == 0 for i in range(len(names)))
    assert {int(k) % 3 for k in found_M6[:twice, 1]} == {0}
    assert (np.diff(found_M6[:, 0]) <= 0).all()


# -- what is said


def test_what_is_said_is_a_spot_for_each_detection_the_surest_first() -> None:
    said = AIM.said(AIM.probabilities(row((0.9, 1, *HIT), (0.2, 0, *OFF))))
    assert said.spots == (Spot("bee", 0.9, HIT), Spot("ant", 0.2, OFF))
    assert (said.label, said.labels, said.value, said.probabilities) == ("", None, None, ())
    assert np.isnan(said.probability)
    assert AIM.said(row()).spots == ()


@given(st.integers(0, 2**32))
def test_what_is_said_has_all_that_was_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, SLOTS + 1))
    found = [(s, rng.integers(0, 3), *rng.random(4)) for s in -np.sort(-rng.random(count))]
    spots = AIM.said(row(*found)).spots or ()
    assert [(s.score, s.label, s.corners) for s in spots] == [(f[0], AIM.outputs[int(f[1])], f[2:]) for f in found]


def test_the_scores_are_those_of_detections_and_the_headline_is_ap50() -> None:
    truth_NT6 = AIM.encode([(box("ant", 20, 10, 120, 60),), (box("ant", 20, 10, 120, 60),)])
    found_NF = np.stack([row((0.9, 0, *HIT)), row((0.8, 0, *OFF))])
    scored = AIM.scoring.score(AIM.scoring.read(found_NF, truth_NT6), np.ones(2))
    assert list(scored) == list(EXPLAINED) == list(AIM.scoring.explained)
    assert next(iter(scored)) == "AP50"
    assert 0 < scored["AP50"] < 1
    np.testing.assert_allclose(AIM.loss_N(found_NF, truth_NT6), [0, 1], atol=1e-12)
    np.testing.assert_allclose(AIM.scoring.read(found_NF, truth_NT6).merit_N, [1, 0])
    assert set(AIM.scoring.percent) == set(EXPLAINED)


def test_detections_in_float32_as_rungs_keep_them_are_taken() -> None:
    truth_NT6 = AIM.encode(TARGETS)
    found_NF = np.stack([row((0.9, 1, *HIT))] * 3)
    np.testing.assert_allclose(AIM.loss_N(found_NF.astype(np.float32), truth_NT6), AIM.loss_N(found_NF, truth_NT6))


# -- the head


def test_settling_takes_the_score_from_which_on_f1_is_best() -> None:
    head = fresh_box_head(PLAN, 0)
    truth_NT6 = AIM.encode([(box("ant", 20, 10, 120, 60),)] * 2)
    found_NF = np.stack([row((0.9, 0, *HIT), (0.3, 0, *OFF)), row((0.7, 0, *HIT), (0.5, 0, *OFF))])
    settled = AIM.settle(head, found_NF, truth_NT6)
    assert settled.threshold == pytest.approx(0.6)
    assert head.threshold == THRESHOLD
    assert settled.state is head.state


def test_without_any_right_detection_the_threshold_is_a_half() -> None:
    settled = AIM.settle(fresh_box_head(PLAN, 0), row((0.9, 0, *OFF))[None], AIM.encode([(box("ant", 0, 0, 9, 9),)]))
    assert settled.threshold == 0.5


def test_a_plain_head_is_made_for_the_maps_of_a_network() -> None:
    from types import SimpleNamespace

    backbone: Any = SimpleNamespace(maps=PLAN.maps, maps_of=64, whole=None)
    head: Any = AIM.plain(backbone, 3)
    assert (head.plan.maps, head.plan.size, head.plan.classes) == (PLAN.maps, 64, 3)
    for name, value in AIM.plain(backbone, 3).arrays()[0].items():
        np.testing.assert_array_equal(head.state[name], value)


def test_a_training_is_of_the_head_s_own_loss() -> None:
    truth_NT6 = AIM.encode([FIRST, ()])
    model = fresh_box_head(PLAN, 0).on(torch.nn.Identity(), False).train()
    x_N = torch.randn(2, 3 * 64 + 5 * 16, generator=torch.Generator().manual_seed(0))
    loss = AIM.training(truth_NT6)(model, x_N, torch.from_numpy(truth_NT6))
    assert torch.equal(loss, model.loss(x_N, torch.from_numpy(truth_NT6)))
    assert torch.isfinite(loss)


def test_neither_neighbours_nor_a_regression_tell_boxes() -> None:
    assert AIM.fit is None
    assert AIM.costly
    for never in (AIM.near, AIM.spread):
        with pytest.raises(NotImplementedError, match="a head of their own"):
            never(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2))  # type: ignore[operator]


def test_a_head_needs_neither_a_temperature_nor_other_units() -> None:
    head = fresh_box_head(PLAN, 0)
    assert AIM.outward(head) is head
    assert AIM.temperature(np.zeros((1, 600)), AIM.encode([()])) == 1


def test_models_whose_detections_only_change_places_say_the_same() -> None:
    one = np.zeros((1, SLOTS, FIELDS))
    one[0, :, 1] = -1
    one[0, :3] = [[0.9, 0, 0.1, 0.1, 0.4, 0.4], [0.9, 1, 0.5, 0.5, 0.8, 0.9], [0.6, 0, 0.2, 0.6, 0.3, 0.9]]
    other = one.copy()
    other[0, [0, 1]] = one[0, [1, 0]]
    other[0, 5] = [0.01, 1, 0.0, 0.0, 0.9, 0.9]  # of hardly any score
    assert apart(one.reshape(1, -1), other.reshape(1, -1)) == 0.0
    other[0, 2, 2] += 0.05
    assert apart(one.reshape(1, -1), other.reshape(1, -1)) == pytest.approx(0.05)
    other[0, 2] = [0, -1, 0, 0, 0, 0]
    assert apart(one.reshape(1, -1), other.reshape(1, -1)) > 0.2
