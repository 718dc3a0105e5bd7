"""What detectors of DETR's family give before it is decoded: for export. Decoding is in `heads.decode_whole`."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING

import torch
from torch import nn

from headstart.backbones.whole import Exported
from headstart.heads.decode import LEAST_SCORE
from headstart.heads.decode_whole import Queried

if TYPE_CHECKING:
    from headstart.backbones.from_detr import OfTransformers

OUTPUTS = ("logits", "pred_boxes")


class Raw(nn.Module):
    """pixels_13HW in 0..255 -> logits_1QK and pred_boxes_1Q4 of a detector; shared, not copied."""

    def __init__(self, trunk: OfTransformers) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels_N3HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        said = self.trunk.network(pixel_values=self.trunk.normalised(pixels_N3HW))
        return said.logits, said.pred_boxes


def exported(trunk: OfTransformers) -> Exported:
    """Return a detector without its decoding, and how its processor does that."""
    raw = Raw(trunk).eval()
    with torch.no_grad():
        logits_1QK, _ = raw(torch.zeros(1, 3, *trunk.preprocess.size, dtype=torch.uint8))
    asked = signature(trunk.processor.post_process_object_detection).parameters
    top = int(asked["top_k"].default) if "top_k" in asked else logits_1QK.shape[1]
    nothing = logits_1QK.shape[2] > trunk.classes  # those with a class for it say one class a query
    return Exported(raw, OUTPUTS, Queried(nothing, top, LEAST_SCORE))
