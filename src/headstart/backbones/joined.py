"""Two networks of pictures as one backbone, `FIRST+SECOND`: their features side by side.

Both see what the first one's preprocessing makes of a picture; inside, the second is given its own normalisation and
size. A linear head on both is the sum of a classifier on each: so each is saved as a classifier of its own library, and
the folder says in a few lines how they are added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from headstart.backbones.backbone import (
    Backbone,
    Readout,
    Saved,
    count_parameters,
    freeze,
    itself,
    pixels,
    weights_digest,
)
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError
from headstart.store import load_json, save_json

PLUS = "+"
LIBRARY = "joined"
PARTS = ("first", "second")
"""Folders of the two classifiers inside the model's."""
LIBRARIES = ("timm", "torchvision", "transformers")
_CODE = """import torch
from contextlib import chdir

with chdir("second"):
{second}
    second = model

with chdir("first"):
{first}
    first = model


class Sum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        y = x * torch.tensor({scale}).view(1, 3, 1, 1) + torch.tensor({shift}).view(1, 3, 1, 1)
        y = torch.nn.functional.interpolate(y, size={size}, mode="bilinear")
        return self.first(x){first_logits} + self.second(y){second_logits}


model = Sum().eval()"""


class Renormalised(nn.Module):
    """x_N3HW as the first network is given it -> as the second wants it."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, first: Preprocess, second: Preprocess) -> None:
        super().__init__()
        scale, shift = between(first, second)
        self.size = second.size
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1), persistent=False)

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x_N3HW * self.scale + self.shift, size=self.size, mode="bilinear")


def between(first: Preprocess, second: Preprocess) -> tuple[list[float], list[float]]:
    """Return (scale, shift), three numbers each, from one normalisation to another."""
    pairs = list(zip(first.mean, first.std, second.mean, second.std, strict=True))
    return [s / t for _, s, _, t in pairs], [(m - n) / t for m, _, n, t in pairs]


class Joined(nn.Module):
    """x_N3HW -> features_ND of the first network, then those of the second."""

    def __init__(self, first: nn.Module, second: nn.Module, renormalised: Renormalised) -> None:
        super().__init__()
        self.first, self.second, self.renormalised = first, second, renormalised

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.first(x_N3HW), self.second(self.renormalised(x_N3HW))], 1)


class Sum(nn.Module):
    """x_N3HW -> logits_NK: the sum of two classifiers; transformers' give a record with the logits first."""

    def __init__(self, first: nn.Module, second: nn.Module, renormalised: Renormalised) -> None:
        super().__init__()
        self.first, self.second, self.renormalised = first, second, renormalised

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return _tensor(self.first(x_N3HW)) + _tensor(self.second(self.renormalised(x_N3HW)))


def _tensor(out: Any) -> torch.Tensor:
    first: torch.Tensor = out if isinstance(out, torch.Tensor) else out[0]
    return first


def join(name: str, first: Backbone, second: Backbone) -> Backbone:
    """Return two networks as one, of which evidence may choose either alone.

    Args:
        name: of both.
        first: decides how pictures are prepared.
        second: is not offered alone where it crops or resizes pictures otherwise.

    Raises:
        BackboneError: one is of a library whose networks cannot be joined.
    """
    for each in (first, second):
        if each.library not in LIBRARIES:
            hint = f"Networks of {', '.join(LIBRARIES)} can be joined, two of them."
            raise BackboneError(f"{each.name} cannot be joined.", found=f"a network of {each.library}", hint=hint)
    both = _both(name, first, second)
    ways = [Readout("both joined", slice(0, both.dim), partial(itself, both))]
    ways.append(Readout(f"{first.name} alone", slice(0, first.dim), partial(itself, first)))
    a, b = pixels(first), pixels(second)
    if replace(a, mean=b.mean, std=b.std) == b:
        ways.append(Readout(f"{second.name} alone", slice(first.dim, both.dim), partial(itself, second)))
    return replace(both, readouts=tuple(ways))


def open_joined(folder: Path, name: str, open_part: Callable[[Path, str], Backbone]) -> Backbone:
    """Open the folder of a finished model of two networks, or raise BackboneError."""
    first, second = (open_part(folder / part, f"{name}/{part}") for part in PARTS)
    told = load_json(folder / "config.json")
    return replace(_both(name, first, second), architecture=str(told["architecture"]))


def _both(name: str, first: Backbone, second: Backbone) -> Backbone:
    renormalised = Renormalised(pixels(first), pixels(second))
    trunk = freeze(Joined(first.trunk, second.trunk, renormalised))
    licences = dict.fromkeys((first.licence, second.licence))
    return Backbone(
        name=name,
        library=LIBRARY,
        architecture=f"{first.architecture} {PLUS} {second.architecture}",
        trunk=trunk,
        preprocess=first.preprocess,
        dim=first.dim + second.dim,
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=f"{first.source}; {second.source}",
        licence="; ".join(licences),
        cut=f"{first.cut}; {second.cut}",
        missing=(),
        save=partial(_save, first, second),
        fresh=partial(_fresh, first, second),
    )


def _fresh(first: Backbone, second: Backbone) -> nn.Module:
    return freeze(Joined(first.fresh(), second.fresh(), Renormalised(pixels(first), pixels(second))))


def _save(
    first: Backbone,
    second: Backbone,
    folder: Path,
    labels: tuple[str, ...],
    weight_DK: NDArray[np.float64],
    bias_K: NDArray[np.float64],
) -> Saved:
    """Write a classifier of each network, the bias in the first, and say how they are added."""
    for part in PARTS:
        (folder / part).mkdir()
    one = first.save(folder / PARTS[0], labels, weight_DK[: first.dim], bias_K)
    two = second.save(folder / PARTS[1], labels, weight_DK[first.dim :], np.zeros_like(bias_K))
    architecture = f"{first.architecture} {PLUS} {second.architecture}"
    save_json(folder / "config.json", {"library": LIBRARY, "architecture": architecture, "labels": list(labels)})
    scale, shift = between(pixels(first), pixels(second))
    code = _CODE.format(
        first=indent(one.code, "    "),
        second=indent(two.code, "    "),
        scale=scale,
        shift=shift,
        size=pixels(second).size,
        first_logits=_logits(one),
        second_logits=_logits(two),
    )
    model = Sum(one.model, two.model, Renormalised(pixels(first), pixels(second)))
    return Saved(f"{one.library} and {two.library}" if one.library != two.library else one.library, code, model.eval())


def _logits(saved: Saved) -> str:
    return ".logits" if saved.library == "transformers" else ""
