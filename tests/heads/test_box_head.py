"""The detection head: numbers that may not drift, a round trip, torchvision's own loss, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead

from headstart.errors import ModelError
from headstart.heads.boxes import FIELDS, SLOTS, THRESHOLD, BoxHead, BoxPlan, fresh_box_head
from headstart.heads.detector import LEAST_SCORE, BoxTop, Outputs, flat, unrolled
from headstart.heads.head import read_head
from headstart.stages.ship import load_head
from headstart.store import save_arrays

PLAN = BoxPlan(((3, 8, 8), (5, 4, 4)), 64, 3, channels=32, convolutions=1)
WIDTH = 3 * 64 + 5 * 16


@pytest.fixture(scope="module", autouse=True)
def calmly(calm: None) -> None:
    """On one thread."""


def drawn(plan: BoxPlan = PLAN, seed: int = 0, shy: float = 2.0) -> BoxHead:
    """A head whose numbers come from a generator that no release of PyTorch changes."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in sorted(fresh_box_head(plan, 0).state.items()):
        size = 0.5 if value.ndim == 1 else 2 / np.prod(value.shape[1:]) ** 0.5
        state[name] = (size * rng.normal(size=value.shape)).astype(np.float32)
    state["head.classification_head.cls_logits.bias"] -= shy
    state["head.regression_head.bbox_reg.bias"] += 2
    return BoxHead(plan, state)


def maps(count: int, width: int = WIDTH, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def slots(found_NF: NDArray[Any]) -> NDArray[Any]:
    return found_NF.reshape(len(found_NF), SLOTS, FIELDS)


def truth(*boxes: tuple[float, ...], rows: int = 4) -> Tensor:
    """truth_T6 of one picture: label, corners, crowd."""
    out = torch.zeros(rows, 6)
    out[:, 0] = -1
    for i, box in enumerate(boxes):
        out[i] = torch.tensor(box)
    return out


GOLDEN = [  # score, label, corners: the three best of two pictures
    [
        [0.57141, 2, 0.23585, 0.61186, 0.35969, 1.0],
        [0.56338, 2, 0.0, 0.48821, 1.0, 1.0],
        [0.55521, 2, 0.2326, 0.0, 1.0, 0.65562],
    ],
    [
        [0.67128, 2, 0.57914, 0.51478, 1.0, 1.0],
        [0.65645, 2, 0.4595, 0.72722, 0.64908, 1.0],
        [0.62026, 2, 0.42087, 0.35724, 1.0, 1.0],
    ],
]
ONE = (1, 0.1, 0.2, 0.6, 0.7, 0)
TWO = (2, 0.5, 0.4, 0.95, 0.9, 0)
CROWD = (0, 0.0, 0.0, 1.0, 1.0, 1)


# -- what it says


def test_a_seeded_head_says_the_golden_numbers() -> None:
    found_NM6 = slots(drawn().logits(maps(2)))
    assert found_NM6.shape == (2, SLOTS, FIELDS)
    np.testing.assert_allclose(found_NM6[:, :3], GOLDEN, atol=2e-5)


def test_a_row_is_detections_by_falling_score_and_then_empty_slots() -> None:
    found_NM6 = slots(drawn(shy=9.0).logits(maps(6)))
    for found_M6 in found_NM6:
        there_M = found_M6[:, 1] >= 0
        count = int(there_M.sum())
        assert 0 < count < SLOTS
        assert there_M[:count].all()
        assert (np.diff(found_M6[:count, 0]) <= 0).all()
        assert (found_M6[:count, 0] > LEAST_SCORE).all()
        assert ((found_M6[:count, 2:] >= 0) & (found_M6[:count, 2:] <= 1)).all()
        assert (found_M6[:count, 4:] >= found_M6[:count, 2:4]).all()
        assert set(found_M6[:count, 1]) <= {0, 1, 2}
        np.testing.assert_array_equal(found_M6[count:], np.tile([0, -1, 0, 0, 0, 0], (SLOTS - count, 1)))


def test_a_fresh_head_is_unsure_of_everything() -> None:
    found_NM6 = slots(fresh_box_head(PLAN, 0).logits(maps(3)))
    assert found_NM6[:, :, 0].max() < 0.2


def test_what_is_said_of_a_picture_does_not_depend_on_how_many_there_are() -> None:
    head, features_ND = drawn(), maps(19)
    whole = head.logits(features_ND)
    for rows in (slice(0, 1), slice(3, 11), slice(17, 19)):
        np.testing.assert_allclose(head.logits(features_ND[rows]), whole[rows], atol=1e-5)
    np.testing.assert_array_equal(head.logits(features_ND), whole, "nor on what was said before")


def test_of_no_pictures_nothing_is_said() -> None:
    assert drawn().logits(maps(0)).shape == (0, SLOTS * FIELDS)


def test_features_in_half_precision_or_read_only_are_taken() -> None:
    features_ND = maps(2).astype(np.float16)
    features_ND.flags.writeable = False
    np.testing.assert_array_equal(drawn().logits(features_ND), drawn().logits(features_ND.astype(np.float32)))


def test_more_detections_than_slots_are_cut_off_at_the_least_sure() -> None:
    score_M, label_M = torch.linspace(0, 1, SLOTS + 30), torch.arange(SLOTS + 30)
    found_M6 = flat(score_M, label_M, torch.rand(SLOTS + 30, 4)).reshape(SLOTS, FIELDS)
    assert found_M6[:, 1].tolist() == list(range(SLOTS + 29, 29, -1))


def test_of_equal_scores_the_first_comes_first() -> None:
    found_M6 = flat(torch.tensor([0.5, 0.9, 0.5]), torch.tensor([7, 8, 9]), torch.rand(3, 4)).reshape(SLOTS, FIELDS)
    assert found_M6[:4, 1].tolist() == [8, 7, 9, -1]


def test_maps_are_laid_one_after_another_as_they_were() -> None:
    one, two = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 4, 4)
    back = unrolled(torch.cat([one.flatten(1), two.flatten(1)], 1), PLAN.maps)
    assert torch.equal(back[0], one)
    assert torch.equal(back[1], two)


# -- as it is kept


def test_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    head = drawn().with_threshold(1 / 3)
    arrays, about = head.arrays()
    save_arrays(tmp_path / "head.safetensors", arrays, about)
    for again in (BoxHead.read(arrays, about), read_head(arrays, about), load_head(tmp_path / "head.safetensors")):
        assert isinstance(again, BoxHead)
        assert (again.plan, again.threshold) == (head.plan, head.threshold)
        assert again.state.keys() == head.state.keys()
        for name, value in head.state.items():
            np.testing.assert_array_equal(again.state[name], value, strict=True)
        np.testing.assert_array_equal(again.logits(maps(2)), head.logits(maps(2)))


def test_a_head_that_is_torn_or_lacks_its_plan_is_an_error_of_ours(tmp_path: Path) -> None:
    arrays, about = drawn().arrays()
    save_arrays(tmp_path / "head.safetensors", arrays, {"kind": "boxes"})
    with pytest.raises(ModelError, match=r"head\.safetensors cannot be read"):
        load_head(tmp_path / "head.safetensors")
    save_arrays(tmp_path / "head.safetensors", arrays, about)
    whole = (tmp_path / "head.safetensors").read_bytes()
    (tmp_path / "head.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"head\.safetensors cannot be read"):
        load_head(tmp_path / "head.safetensors")


def test_a_plan_is_the_same_after_json() -> None:
    import json

    assert BoxPlan.of(json.loads(json.dumps(PLAN.record()))) == PLAN


def test_the_threshold_is_kept_with_the_head_and_changes_nothing_that_is_said() -> None:
    head = drawn()
    assert head.threshold == THRESHOLD
    other = head.with_threshold(0.9)
    assert (other.threshold, other.plan) == (0.9, head.plan)
    np.testing.assert_array_equal(other.logits(maps(2)), head.logits(maps(2)))
    assert other.on(nn.Identity(), False).head().threshold == 0.9
    assert head.with_temperature(3.0) is head
    assert head.temperature == 1.0


def test_a_fresh_head_depends_on_its_seed_alone_and_leaves_randomness_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fresh_box_head(PLAN, 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second, other = fresh_box_head(PLAN, 1), fresh_box_head(PLAN, 2)
    for name, value in first.state.items():
        np.testing.assert_array_equal(second.state[name], value)
    assert any((other.state[name] != value).any() for name, value in first.state.items())


# -- as it is trained


def theirs(plan: BoxPlan) -> FCOS:
    """torchvision's own FCOS, made by its own calls."""
    strides = tuple((plan.size // height,) for _, height, _ in plan.maps)
    below = nn.Module()
    below.out_channels = plan.channels
    head = FCOSHead(plan.channels, 1, plan.classes, plan.convolutions)
    return FCOS(below, plan.classes, anchor_generator=AnchorGenerator(strides, ((1.0,),) * len(strides)), head=head)


def test_the_loss_is_torchvision_s_on_the_same_outputs() -> None:
    top = BoxTop(nn.Identity(), drawn()).train()
    features_ND = torch.from_numpy(maps(3))
    truth_NT6 = torch.stack([truth(ONE, TWO), truth(TWO), truth()])
    outputs: Outputs = top(features_ND)
    targets = [
        {"boxes": torch.tensor([ONE[1:5], TWO[1:5]]) * 64, "labels": torch.tensor([1, 2])},
        {"boxes": torch.tensor([TWO[1:5]]) * 64, "labels": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    ]
    losses = theirs(PLAN).compute_loss(targets, outputs.raw, outputs.anchors, outputs.per_level)
    assert len(losses) == 3
    assert all(value > 0 for value in losses.values())
    torch.testing.assert_close(top.loss(features_ND, truth_NT6), sum(losses.values()))


def test_in_training_mode_a_whole_detector_of_torchvision_gives_the_same_outputs() -> None:
    """Its pyramid's levels go into torchvision's head, each of its own size, with anchors at its own stride."""
    head = drawn()
    outputs: Outputs = BoxTop(nn.Identity(), head).train()(torch.from_numpy(maps(2)))
    whole = theirs(PLAN)
    inside = {n.removeprefix("head."): torch.from_numpy(v) for n, v in head.state.items() if n.startswith("head.")}
    whole.head.load_state_dict(inside)
    top = BoxTop(nn.Identity(), head)
    named = {str(i): each for i, each in enumerate(unrolled(torch.from_numpy(maps(2)), PLAN.maps))}
    levels = list(top.fcos.backbone.fpn(named).values())
    assert [tuple(level.shape[1:]) for level in levels] == [(32, 8, 8), (32, 4, 4)]
    assert outputs.per_level == [64, 16]
    for name, value in whole.head(levels).items():
        torch.testing.assert_close(outputs.raw[name], value)
    anchors_A4 = outputs.anchors[0]
    sides_A = anchors_A4[:, 2] - anchors_A4[:, 0]
    assert sides_A.tolist() == [8.0] * 64 + [16.0] * 16


def test_a_crowd_is_neither_an_object_nor_anything_else() -> None:
    top, features_ND = BoxTop(nn.Identity(), drawn()).train(), torch.from_numpy(maps(1))
    without, alone = top.loss(features_ND, truth(ONE)[None]), top.loss(features_ND, truth(ONE, CROWD)[None])
    assert torch.equal(without, alone)
    assert torch.equal(top.loss(features_ND, truth(CROWD)[None]), top.loss(features_ND, truth()[None]))
    object_ = (*CROWD[:5], 0)
    assert not torch.equal(top.loss(features_ND, truth(ONE, object_)[None]), without)


def test_pictures_without_boxes_teach_that_there_is_nothing() -> None:
    top, features_ND = BoxTop(nn.Identity(), drawn()).train(), torch.from_numpy(maps(4))
    empty = torch.stack([truth()] * 4)
    said = [slots(top.head().logits(maps(4)))[:, :, 0].max()]
    optimizer = torch.optim.Adam(top.parameters(), 0.02)
    for _ in range(20):
        loss = top.loss(features_ND, empty)
        assert torch.isfinite(loss)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in top.parameters())
        optimizer.step()
    said.append(slots(top.head().logits(maps(4)))[:, :, 0].max())
    assert said[1] < said[0] / 2


def test_what_was_trained_is_the_head_that_comes_out_of_it() -> None:
    top = drawn().on(nn.Identity(), False)
    for name, value in drawn().state.items():
        np.testing.assert_array_equal(top.head().state[name], value)
    with torch.no_grad():
        next(top.fcos.head.parameters()).add_(1.0)
    head = top.head()
    assert any((head.state[name] != value).any() for name, value in drawn().state.items())
    with torch.no_grad():
        said = top.eval()(torch.from_numpy(maps(2))).numpy()
    np.testing.assert_allclose(head.logits(maps(2)), said, atol=1e-6)


def test_on_a_body_it_is_given_the_body_s_maps() -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 5, 3, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.one(x).flatten(1), self.two(x).flatten(1)], 1)

    torch.manual_seed(0)
    body, x_N = Body(), torch.rand(3, 8, 8, 8)
    top = drawn().on(body, False).eval()
    with torch.no_grad():
        np.testing.assert_allclose(top(x_N).numpy(), drawn().logits(body(x_N).numpy()), atol=1e-5)
    top.train()
    top.loss(x_N, torch.stack([truth(ONE)] * 3)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in body.parameters())


def test_in_bfloat16_the_body_alone_computes_low() -> None:
    body = nn.Linear(WIDTH, WIDTH)
    top = drawn().on(body, True).train()
    seen: list[torch.dtype] = []
    body.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    outputs: Outputs = top(torch.from_numpy(maps(1)))
    assert seen == [torch.bfloat16]
    assert {t.dtype for t in outputs.raw.values()} == {torch.float32}


def test_a_head_for_other_classes_has_other_weights_only_where_classes_are_told() -> None:
    one, other = (fresh_box_head(replace(PLAN, classes=k), 0).state for k in (3, 5))
    differing = {name for name in one if one[name].shape != other[name].shape}
    assert differing == {f"head.classification_head.cls_logits.{p}" for p in ("weight", "bias")}
    assert {one[name].shape[0] for name in differing} == {3}
