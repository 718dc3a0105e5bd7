"""Detectors that are taken whole, in PyTorch: trained by their library's own loss, giving rows of detections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from headstart.backbones.whole import Found, new_tensors
from headstart.heads.finding import FindingHead, Objects

LEAST_SIDE = 1e-4
"""Boxes with a side of a smaller share are left out of a training: libraries refuse those without area."""


class Finder(nn.Module):
    """pixels_N3HW -> detections_NF; see `heads.boxes`.

    Args:
        body: holds the network, see `backbones.whole.Detecting`; shared, not copied. Its new layers become the head's.
        head: where training starts.
    """

    def __init__(self, body: nn.Module, head: FindingHead) -> None:
        super().__init__()
        self.body: Any = body
        self.threshold = head.threshold
        put(body, head.state)

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        if self.training:  # for the statistics of its normalisation
            nothing = Objects(torch.empty(0, 4), torch.empty(0, dtype=torch.long))
            alone: torch.Tensor = self.body.loss(pixels_N3HW, [nothing] * len(pixels_N3HW))
            return alone
        found_NF: torch.Tensor = Found(self.body)(pixels_N3HW)
        return found_NF

    def loss(self, pixels_N3HW: torch.Tensor, truth_NT6: torch.Tensor) -> torch.Tensor:
        """Return the library's own loss."""
        loss: torch.Tensor = self.body.loss(pixels_N3HW, [objects(truth_T6) for truth_T6 in truth_NT6])
        return loss

    def head(self, temperature: float = 1.0) -> FindingHead:
        """Return the head as it is now."""
        state = {name: t.cpu().numpy().copy() for name, t in new_tensors(self.body).items()}
        return FindingHead(self.body, state, self.threshold)


def objects(truth_T6: torch.Tensor) -> Objects:
    """Return what is on a picture, of rows of class, left, top, right, bottom, crowd; class -1 is nothing."""
    sides_T2 = truth_T6[:, 3:5] - truth_T6[:, 1:3]
    usable_T = (truth_T6[:, 0] >= 0) & (truth_T6[:, 5] < 0.5)  # a crowd is neither object nor background
    kept = truth_T6[usable_T & (sides_T2 > LEAST_SIDE).all(1)]
    return Objects(kept[:, 1:5], kept[:, 0].long())


def put(body: Any, state: Mapping[str, NDArray[Any]]) -> None:
    """Put the weights of new layers into a network."""
    own = dict(body.network.named_parameters()) | dict(body.network.named_buffers())
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(torch.from_numpy(value.copy()))
