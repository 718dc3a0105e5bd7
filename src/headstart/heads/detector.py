"""The detection head in PyTorch: a narrow feature pyramid and FCOS (Tian et al. 2019, 1904.01355) on a network's maps.

Pyramid, head, loss and decoding are torchvision's; narrow, as 256 channels and four convolutions in each of two towers
take longer on a CPU than the network below them. One-stage and without anchors: there is nothing to be fitted to the
data but the strides.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork

from headstart.heads.boxes import FIELDS, SLOTS, BoxHead, BoxPlan
from headstart.heads.decode import CANDIDATES, LEAST_SCORE, OVERLAP


class Pyramid(nn.Module):
    """A feature pyramid in the place where torchvision's detectors have their backbone."""

    def __init__(self, plan: BoxPlan) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork([channels for channels, _, _ in plan.maps], plan.channels)
        self.out_channels = plan.channels

    def forward(self, maps: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        out: dict[str, torch.Tensor] = self.fpn(maps)
        return out


def detector(plan: BoxPlan, below: nn.Module) -> Any:
    """Return torchvision's FCOS of a plan, with `below` where its backbone is."""
    strides = tuple((plan.size // height,) for _, height, _ in plan.maps)
    return FCOS(
        below,
        plan.classes,
        anchor_generator=AnchorGenerator(strides, ((1.0,),) * len(strides)),
        head=FCOSHead(plan.channels, 1, plan.classes, plan.convolutions),
        score_thresh=LEAST_SCORE,
        nms_thresh=OVERLAP,
        detections_per_img=SLOTS,
        topk_candidates=CANDIDATES,
        fixed_size=(plan.size, plan.size),
    )


@dataclass(frozen=True)
class Outputs:
    """What the head gives for a batch, before it is decoded."""

    raw: dict[str, torch.Tensor]
    anchors: list[torch.Tensor]
    per_level: list[int]


class BoxTop(nn.Module):
    """activation_N... -> detections: the layers above a cut, and pyramid and head on their maps.

    In training mode it gives what `loss` is computed from, else detections_NF: of each picture `SLOTS` times a score, a
    class, and left, top, right, bottom as shares of the sides, best first; see `heads.boxes`.

    Args:
        body: activation_N... -> maps of a picture one after another, flat, features_ND; shared, not copied.
        head: where training starts.
        low: whether the body computes in bfloat16.
    """

    def __init__(self, body: nn.Module, head: BoxHead, low: bool = False) -> None:
        super().__init__()
        self.body = body.to(memory_format=torch.channels_last)
        self.plan, self.threshold, self.low = head.plan, head.threshold, low
        with torch.random.fork_rng(devices=[]):  # it draws weights, which are replaced
            self.fcos = detector(head.plan, Pyramid(head.plan))
        state = {name: torch.from_numpy(value.copy()) for name, value in head.state.items()}
        self.fcos.load_state_dict(state)

    def forward(self, activation_N: torch.Tensor) -> Any:
        if activation_N.ndim == 4:
            activation_N = activation_N.contiguous(memory_format=torch.channels_last)
        with torch.autocast(activation_N.device.type, dtype=torch.bfloat16, enabled=self.low):
            features_ND = self.body(activation_N)
        levels = pyramid(self.fcos.backbone, features_ND.float(), self.plan)
        outputs = outputs_of(self.fcos, levels, self.plan.size)
        return outputs if self.training else detections(self.fcos, outputs, self.plan.size)

    def loss(self, activation_N: torch.Tensor, truth_NT6: torch.Tensor) -> torch.Tensor:
        """Return focal loss of the classes, generalised IoU of the boxes and loss of the centredness, added up."""
        outputs: Outputs = self(activation_N)
        targets = [self._target(truth_T6) for truth_T6 in truth_NT6]
        losses = self.fcos.compute_loss(targets, outputs.raw, outputs.anchors, outputs.per_level)
        return torch.stack(list(losses.values())).sum()

    def head(self, temperature: float = 1.0) -> BoxHead:
        """Return the head as it is now."""
        state = {name: t.detach().cpu().numpy().copy() for name, t in self.fcos.state_dict().items()}
        return BoxHead(self.plan, state, self.threshold)

    def _target(self, truth_T6: torch.Tensor) -> dict[str, torch.Tensor]:
        kept = truth_T6[(truth_T6[:, 0] >= 0) & (truth_T6[:, 5] < 0.5)]  # a crowd is neither object nor background
        return {"boxes": kept[:, 1:5] * self.plan.size, "labels": kept[:, 0].long()}


def outputs_of(fcos: Any, levels: Sequence[torch.Tensor], size: int) -> Outputs:
    """Return what a detector's head gives for the levels of its pyramid, of square pictures of this size."""
    count = len(levels[0])
    pictures = ImageList(torch.empty(count, 3, size, size, device="meta"), [(size, size)] * count)
    anchors = fcos.anchor_generator(pictures, levels)
    return Outputs(fcos.head(levels), anchors, [level.shape[2] * level.shape[3] for level in levels])


def detections(fcos: Any, outputs: Outputs, size: int) -> torch.Tensor:
    """Return detections_NF of what a detector's head gave."""
    raw = {name: list(torch.split(t, outputs.per_level, dim=1)) for name, t in outputs.raw.items()}
    anchors = [list(torch.split(each, outputs.per_level)) for each in outputs.anchors]
    found = fcos.postprocess_detections(raw, anchors, [(size, size)] * len(anchors))
    return torch.stack([flat(each["scores"], each["labels"], each["boxes"] / size) for each in found])


def pyramid(below: nn.Module, features_ND: torch.Tensor, plan: BoxPlan) -> list[torch.Tensor]:
    """Return the levels that a feature pyramid makes of maps that lie flat in a row."""
    maps = OrderedDict((str(i), each) for i, each in enumerate(unrolled(features_ND, plan.maps)))
    return list(below(maps).values())


def unrolled(features_ND: torch.Tensor, maps: Sequence[tuple[int, int, int]]) -> list[torch.Tensor]:
    """Return the maps_NCHW that were laid one after another."""
    sizes = [channels * height * width for channels, height, width in maps]
    parts = torch.split(features_ND, sizes, dim=1)
    return [part.reshape(len(part), *shape) for part, shape in zip(parts, maps, strict=True)]


def flat(score_M: torch.Tensor, label_M: torch.Tensor, box_M4: torch.Tensor) -> torch.Tensor:
    """Return a picture's detections_F, best first, empty slots with score 0 and label -1."""
    order = score_M.argsort(descending=True, stable=True)[:SLOTS]
    out = torch.zeros(SLOTS, FIELDS)
    out[:, 1] = -1
    rows = [score_M[order, None], label_M[order, None].float(), box_M4[order]]
    out[: len(order)] = torch.cat([row.float().cpu() for row in rows], 1)
    return out.flatten()


class Raw(nn.Module):
    """maps, flat, features_ND -> the head's outputs as they are, class_logits_NAK, distances_NA4, centredness_NA1: what
    is exported. `heads.decode` makes detections of them."""

    def __init__(self, head: BoxHead) -> None:
        super().__init__()
        top = BoxTop(nn.Identity(), head)
        self.below, self.tower, self.plan = top.fcos.backbone, top.fcos.head, head.plan

    def forward(self, features_ND: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raw = self.tower(pyramid(self.below, features_ND, self.plan))
        return raw["cls_logits"], raw["bbox_regression"], raw["bbox_ctrness"]


class Alone(nn.Module):
    """A whole detector as torchvision has it, `FCOS` with its network in front, giving detections_NF of normalised
    pixels_N3HW as `BoxTop` does: for checking what was saved."""

    def __init__(self, fcos: Any, size: int) -> None:
        super().__init__()
        self.fcos, self.size = fcos.eval(), size

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        levels = list(self.fcos.backbone(pixels_N3HW).values())
        return detections(self.fcos, outputs_of(self.fcos, levels, self.size), self.size)
