"""The head of a detector that is taken whole: its new layers, trained first, and the score from which a box counts.

It is given the network's inputs, pixels_N3HW, runs the whole of it, and gives rows of detections as `heads.boxes` has
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone
from headstart.backbones.scratch import random_trunk
from headstart.errors import DataError
from headstart.heads.boxes import FIELDS, SLOTS, THRESHOLD

if TYPE_CHECKING:
    import torch
    from torch import nn

    from headstart.heads.finder import Finder


@dataclass(frozen=True)
class Objects:
    """What is on a picture: left, top, right, bottom of each object as shares of the sides, and its class."""

    corners_T4: torch.Tensor
    label_T: torch.Tensor


@dataclass(frozen=True)
class FindingHead:
    """A head that runs its whole network.

    Attributes:
        trunk: the detector; its new layers may be other than the head's, and stay so.
        state: the new layers' weights, by their names in the network.
        threshold: the score from which on a box is reported, chosen on validation pictures.
    """

    trunk: Any = field(repr=False)
    state: Mapping[str, NDArray[Any]] = field(repr=False)
    threshold: float = THRESHOLD

    temperature = 1.0

    @staticmethod
    def fresh(backbone: Backbone, classes: int, seed: int) -> FindingHead:
        """Return the head with new layers as the library initialises them, that depend on the seed alone.

        Raises:
            DataError: the network was fitted to another number of classes.
        """
        from headstart.backbones.whole import detecting, new_tensors

        if detecting(backbone).classes != classes:
            raise DataError(
                "Some classes are only on pictures that cannot be decoded.",
                found=f"{detecting(backbone).classes} classes in the data, {classes} on pictures that can be used",
                hint="`headstart check` names these pictures; leave them out.",
            )
        made: Any = random_trunk(backbone, seed)
        return FindingHead(backbone.trunk, {n: t.numpy().copy() for n, t in new_tensors(made).items()})

    def logits(self, pixels_N3HW: NDArray[Any]) -> NDArray[np.float64]:
        """Return detections_NF of pictures; the network's own weights are left as they are."""
        import torch
        from torch.func import functional_call

        from headstart.backbones.whole import Found

        if not len(pixels_N3HW):
            return np.empty((0, SLOTS * FIELDS))
        weights = {f"trunk.network.{name}": torch.from_numpy(value.copy()) for name, value in self.state.items()}
        with torch.inference_mode():
            given = torch.from_numpy(np.ascontiguousarray(pixels_N3HW))
            found_NF: torch.Tensor = functional_call(Found(self.trunk.eval()), weights, (given,))
        return found_NF.numpy().astype(np.float64)

    def on(self, body: nn.Module, low: bool) -> Finder:
        """Return a network with this head, to be trained. It computes in float32: the losses take no halves."""
        from headstart.heads.finder import Finder

        return Finder(body, self)

    def folded(self) -> tuple[Any, Any]:
        """Return (a copy of the trunk with this head's layers, this head), as a backbone saves them."""
        from copy import deepcopy

        from headstart.heads.finder import put

        trunk = deepcopy(self.trunk)
        put(trunk, self.state)
        return trunk, self

    def with_temperature(self, temperature: float) -> FindingHead:
        """Return this head: detections have none."""
        return self

    def with_threshold(self, threshold: float) -> FindingHead:
        """Return this head with another threshold."""
        return replace(self, threshold=float(threshold))

    def written(self) -> float:
        """Return the threshold with few digits, not above itself: libraries leave out what is no higher."""
        return math.floor(self.threshold * 1e4) / 1e4

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return it as arrays, and what must be written beside them: its layers lie in the network."""
        return {"threshold": np.array([self.threshold])}, {"kind": "whole boxes"}

    @staticmethod
    def read(arrays: Mapping[str, NDArray[Any]], backbone: Backbone) -> FindingHead:
        """Read it back."""
        return FindingHead(backbone.trunk, {}, float(arrays["threshold"][0]))
