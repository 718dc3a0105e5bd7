"""A backbone: a pretrained network without its last layer, with the preprocessing it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.data.pixels import Preprocess
from headstart.errors import FrozenError

if TYPE_CHECKING:
    from torch import nn


POOLED = "pooled output"
"""The cut of a network that lacks its last layer alone."""


@dataclass(frozen=True)
class Saved:
    """How a saved model is loaded without headstart.

    Attributes:
        library: the package that loads it.
        code: Python that, run inside the model folder, defines `model` in eval mode: normalised x_N3HW ->
            logits_NK (transformers: a record that has them as `logits`).
        model: the network that was written.
    """

    library: str
    code: str
    model: nn.Module = field(repr=False)


class Preparing(Protocol):
    """How an example becomes a network's input. `key` names all that decides about it, `record` gives it for JSON,
    `said` says it to people."""

    def key(self) -> str: ...
    def record(self) -> dict[str, Any]: ...
    def said(self) -> str: ...


@dataclass(frozen=True)
class Readout:
    """One way of making a vector of what a network gives: where several are known, evidence chooses.

    Attributes:
        name: as people read it: the mean over the tokens after layer 6.
        columns: of the trunk's features, those that this way gives.
        open: the backbone that gives these alone, without the layers that they do not need.
    """

    name: str
    columns: slice
    open: Callable[[], Backbone] = field(repr=False)


Save = Callable[[Path, tuple[str, ...], NDArray[np.float64], NDArray[np.float64]], Saved]
"""(folder, labels, weight_DK, bias_K) -> how to load it. Writes the whole classifier in its library's
layout."""


@dataclass(frozen=True)
class Backbone:
    """A frozen trunk and what must be known of it.

    Attributes:
        name: as it was asked for.
        library: `timm`, `torchvision`, `transformers` or `keras`.
        architecture: the library's name of the architecture.
        trunk: normalised pixels_N3HW, or tokens_NL2, -> features_ND; in eval mode, no parameter wants a gradient.
        preprocess: how an example becomes its input.
        dim: D.
        parameters: number of parameters of the trunk.
        weights: SHA-256 over the trunk's parameters and buffers.
        source: where the weights come from.
        licence: their licence, as far as it is stated there.
        cut: the place below which the trunk ends.
        missing: parameters of the architecture that the weights file lacks, all above the cut.
        save: writes a whole classifier.
        fresh: builds the trunk's architecture anew, with random weights by its library's own initialisation: the
            same cut, names and shapes; in eval mode, no parameter wants a gradient. Raises BackboneError where it
            does not come out so. It draws from torch's global generator: see `scratch.random_trunk`.
        maps: (channels, height, width) of the maps that the features are, laid one after another; empty where they are
            a vector.
        why: why pictures are given to it as they are, where that was chosen by the data; else empty.
        maps_of: side of the pictures that they are of, in pixels.
        whole: of a network that is taken as it is, last layers and all, as a translator is: (inputs_N...) ->
            features_ND by which examples are told to be alike. Its features are its inputs, and its head runs it.
            None where the last layers are left away.
        untrained: whether it is new, so that there is nothing to transfer yet.
        readouts: the ways that the features are made of, where one is still to be chosen; the first is the usual one.
    """

    name: str
    library: str
    architecture: str
    trunk: nn.Module = field(repr=False)
    preprocess: Preparing
    dim: int
    parameters: int
    weights: str
    source: str
    licence: str
    cut: str
    missing: tuple[str, ...]
    save: Save = field(repr=False)
    fresh: Callable[[], nn.Module] = field(repr=False)
    maps: tuple[tuple[int, int, int], ...] = ()
    maps_of: int = 0
    why: str = ""
    whole: Callable[[NDArray[Any]], NDArray[np.float32]] | None = field(default=None, repr=False)
    untrained: bool = False
    readouts: tuple[Readout, ...] = field(default=(), repr=False)


def itself(backbone: Backbone) -> Backbone:
    """Return the backbone."""
    return backbone


def pixels(backbone: Backbone) -> Preprocess:
    """Return the preprocessing of an image network."""
    assert isinstance(backbone.preprocess, Preprocess)
    return backbone.preprocess


def freeze(network: nn.Module) -> nn.Module:
    """Put a network in eval mode (BatchNorm statistics and Dropout too) and take its gradients away."""
    return network.eval().requires_grad_(False)


def weights_digest(network: nn.Module) -> str:
    """Return a SHA-256 over the names, shapes, types and bytes of all parameters and buffers."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().view(-1).numpy()).cast("B"))
    return digest.hexdigest()


def unchanged(before: str, after: str) -> str:
    """Return the digest of frozen weights after training, which is the one before.

    Raises:
        FrozenError: it is another.
    """
    if before != after:
        raise FrozenError(
            "Frozen weights have changed: what was computed of them before does not fit any more.",
            found=f"SHA-256 {before} became {after}",
            hint="Something trained what it must not: this is a bug, please report it.",
        )
    return after


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def from_pixels(network: nn.Module, preprocess: Preprocess) -> nn.Module:
    """Return a network with its normalisation in front: pixels_N3HW in uint8 -> what the network gives.

    Inside the network the normalisation costs nothing (engines fold it into the first convolution), pixels
    travel as bytes, and it cannot be forgotten. Of an output record (transformers) the first entry is given.
    """
    import torch
    from torch import nn

    class FromPixels(nn.Module):
        mean: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1) * 255)
            self.register_buffer("scale", 1 / (torch.tensor(preprocess.std).view(1, 3, 1, 1) * 255))

        def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
            out = self.network((pixels_N3HW.float() - self.mean) * self.scale)
            first: torch.Tensor = out if isinstance(out, torch.Tensor) else out[0]
            return first

    return freeze(FromPixels())


def pooled_dim(trunk: nn.Module, preprocess: Preprocess) -> int:
    """Return D, by a forward pass of a black picture."""
    import torch

    with torch.inference_mode():
        return int(trunk(torch.zeros(1, 3, *preprocess.size)).shape[1])
