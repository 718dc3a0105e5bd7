"""Heads: what is put on a network's features. Stages know no more of one than this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone
from headstart.heads.boxes import BoxHead
from headstart.heads.finding import FindingHead
from headstart.heads.linear import LinearHead
from headstart.heads.texts import TextHead

if TYPE_CHECKING:
    import torch
    from torch import nn


class Trained(Protocol):
    """A network with a head on it, as it is trained: activation_N... -> logits_NK."""

    def head(self, temperature: float = 1.0) -> Head: ...
    def __call__(self, activation_N: torch.Tensor, /) -> Any: ...


class Head(Protocol):
    """A head.

    `temperature` is what its logits are divided by; `logits` features_ND -> logits_NK; `on` a body, it is a network to
    be trained; `folded` gives its weights as backbones save them; `arrays` as it is kept itself.
    """

    @property
    def temperature(self) -> float: ...
    def logits(self, features_ND: NDArray[np.floating], /) -> NDArray[np.float64]: ...
    def on(self, body: nn.Module, low: bool) -> nn.Module: ...
    def folded(self) -> tuple[Any, Any]: ...
    def with_temperature(self, temperature: float, /) -> Head: ...
    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]: ...


def read_head(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, str], backbone: Backbone | None = None) -> Head:
    """Read a head back from what `arrays` gave; one that runs a whole network is given the backbone's.

    Raises:
        KeyError: something is missing.
    """
    kind = about.get("kind", "")
    if kind == "texts" and backbone is not None:
        return TextHead.read(about, backbone)
    if kind == "whole boxes" and backbone is not None:
        return FindingHead.read(arrays, backbone)
    return BoxHead.read(arrays, about) if kind == "boxes" else LinearHead.read(arrays)
