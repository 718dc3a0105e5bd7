"""The detection head as a value: what it is made like, its weights, and the score from which a box counts as found.

Detections of a picture are a row of `SLOTS` times `FIELDS` numbers: score, class, left, top, right, bottom, best first,
coordinates as shares of the sides; an empty slot has score 0 and class -1. So they go wherever logits go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

    from headstart.heads.detector import BoxTop

SLOTS = 100
"""Detections a picture, as COCO counts them."""
FIELDS = 6
CHANNELS = 64
CONVOLUTIONS = 2
THRESHOLD = 0.3
_BATCH = 8


@dataclass(frozen=True)
class BoxPlan:
    """What a detection head is made like.

    Attributes:
        maps: channels, height and width of the maps that it is given, the finest first.
        size: side of the pictures that they are of, in pixels.
        classes: K.
        channels: of the pyramid and of the head.
        convolutions: in each of its two towers.
    """

    maps: tuple[tuple[int, int, int], ...]
    size: int
    classes: int
    channels: int = CHANNELS
    convolutions: int = CONVOLUTIONS

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    @staticmethod
    def of(record: Mapping[str, Any]) -> BoxPlan:
        """Read it back."""
        maps = tuple((int(c), int(h), int(w)) for c, h, w in record["maps"])
        return BoxPlan(maps, *(int(record[name]) for name in ("size", "classes", "channels", "convolutions")))


@dataclass(frozen=True)
class BoxHead:
    """A detection head. `threshold` is the score from which on a box is reported, chosen on validation pictures."""

    plan: BoxPlan
    state: Mapping[str, NDArray[Any]]
    threshold: float = THRESHOLD

    temperature = 1.0

    def logits(self, features_ND: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return detections_NF of maps that were laid one after another."""
        import torch

        out = []
        with torch.inference_mode():
            for at in range(0, len(features_ND), _BATCH):
                block = np.ascontiguousarray(features_ND[at : at + _BATCH], np.float32)
                out.append(self._network(torch.from_numpy(block)).numpy())
        return np.concatenate(out).astype(np.float64) if out else np.empty((0, SLOTS * FIELDS))

    @cached_property
    def _network(self) -> BoxTop:
        """The head in PyTorch, built once: a model is asked for one picture after another."""
        from torch import nn

        return self.on(nn.Identity(), False).eval()

    def on(self, body: nn.Module, low: bool) -> BoxTop:
        """Return a network with this head, to be trained."""
        from headstart.heads.detector import BoxTop

        return BoxTop(body, self, low)

    def folded(self) -> tuple[Any, Any]:
        """Return (weights by name, this head for all else), as a backbone saves them."""
        return self.state, self

    def with_temperature(self, temperature: float) -> BoxHead:
        """Return this head: detections have none."""
        return self

    def with_threshold(self, threshold: float) -> BoxHead:
        """Return this head with another threshold."""
        return replace(self, threshold=float(threshold))

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return it as arrays, and what must be written beside them."""
        about = {"kind": "boxes", "plan": json.dumps(self.plan.record()), "threshold": repr(self.threshold)}
        return dict(self.state), about

    @staticmethod
    def read(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, str]) -> BoxHead:
        """Read it back."""
        return BoxHead(BoxPlan.of(json.loads(about["plan"])), dict(arrays), float(about["threshold"]))


def fresh_box_head(plan: BoxPlan, seed: int) -> BoxHead:
    """Return a head with random weights, as torchvision initialises it, that depend on the seed alone."""
    import torch

    from headstart.heads.detector import Pyramid, detector

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1009 + 7)
        made = detector(plan, Pyramid(plan))
    return BoxHead(plan, {name: t.numpy().copy() for name, t in made.state_dict().items()})
