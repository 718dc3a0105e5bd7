"""Detections decoded in numpy are those that torchvision decodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.heads.boxes import FIELDS, SLOTS, BoxPlan, fresh_box_head
from headstart.heads.decode import decoded, points_A3
from headstart.heads.detector import BoxTop, Raw, unrolled

PLANS = (
    BoxPlan(((8, 16, 16), (12, 8, 8), (16, 4, 4)), 128, 3, 32, 1),
    BoxPlan(((6, 39, 39), (6, 19, 19)), 320, 2, 32, 1),  # as SqueezeNet's, which lose a row at the rim
)


@pytest.mark.parametrize("plan", PLANS, ids=("three maps", "maps that lose a row"))
def test_numpy_decodes_as_torchvision_does(plan: BoxPlan) -> None:
    head = fresh_box_head(plan, 3)
    state = {name: value + 0 for name, value in head.state.items()}
    state["head.classification_head.cls_logits.bias"][:] = 0.0  # so that much is found
    head = type(head)(plan, state)
    size = sum(c * h * w for c, h, w in plan.maps)
    features_ND = torch.randn(2, size, generator=torch.Generator().manual_seed(0)) * 3
    with torch.no_grad():
        raw = [each.numpy() for each in Raw(head).eval()(features_ND)]
    ours, theirs = decoded(*raw, plan), head.logits(features_ND.numpy())
    found = theirs.reshape(2, SLOTS, FIELDS)
    assert (found[:, :, 0] > 0).sum() > 100
    assert len(np.unique(found[:, :, 1])) > 1
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS, ids=("three maps", "maps that lose a row"))
def test_places_are_the_centres_of_torchvisions_anchors(plan: BoxPlan) -> None:
    top = BoxTop(torch.nn.Identity(), fresh_box_head(plan, 0)).train()
    size = sum(c * h * w for c, h, w in plan.maps)
    [anchors_A4] = top(torch.zeros(1, size)).anchors
    centres = (anchors_A4[:, :2] + anchors_A4[:, 2:]) / 2
    np.testing.assert_allclose(points_A3(plan)[:, :2], centres.numpy())
    np.testing.assert_allclose(points_A3(plan)[:, 2], (anchors_A4[:, 2] - anchors_A4[:, 0]).numpy())


def test_maps_are_unrolled_in_their_order() -> None:
    maps = [torch.arange(8.0).reshape(1, 2, 2, 2), torch.full((1, 3, 1, 1), 9.0)]
    flat_ND = torch.cat([each.flatten(1) for each in maps], 1)
    for one, other in zip(unrolled(flat_ND, ((2, 2, 2), (3, 1, 1))), maps, strict=True):
        assert torch.equal(one, other)
