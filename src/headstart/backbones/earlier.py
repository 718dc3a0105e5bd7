"""Several places to read a network of pictures at: after its last layer, and where rungs start, maps averaged there.

How deep is best depends on the data: what a network learned last is what is particular to its own pictures (Yosinski
et al. 2014, 1411.1792). One pass gives all of them, and a linear head on each says which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import fx, nn

from headstart.backbones import from_timm, from_torchvision
from headstart.backbones.backbone import (
    POOLED,
    Backbone,
    Readout,
    Save,
    count_parameters,
    freeze,
    itself,
    pixels,
    pooled_dim,
    weights_digest,
)
from headstart.backbones.cut import Cut, activation_at, cuts, node_name, trace, upto
from headstart.backbones.depth import example, highest, work_above
from headstart.backbones.depths import SHARES
from headstart.backbones.layout import BelowTop, averaged, pooling
from headstart.backbones.scratch import rebuilt
from headstart.errors import BackboneError

LIBRARIES = ("timm", "torchvision")
"""Whose networks can be written down cut anywhere: see `layout`."""


class Several(nn.Module):
    """x_N3HW -> features_ND: what a network gives, and the means of its maps at some places, side by side."""

    def __init__(self, body: nn.Module, axes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.body, self.axes = body, axes

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        last_ND, *inner = self.body(x_N3HW)
        means = [maps.mean(axes) if axes else maps for maps, axes in zip(inner, self.axes, strict=True)]
        return torch.cat([last_ND, *means], 1)


@dataclass(frozen=True)
class _Place:
    """A place in a graph, the node whose value crosses there, and the value's shape for one picture."""

    cut: Cut
    node: fx.Node
    shape: tuple[int, ...]


def at_several(backbone: Backbone) -> Backbone:
    """Return a backbone that is read at several places, of which evidence chooses one.

    As it is where it is no network of timm's or torchvision's, is cut already, was made with arguments that the folder
    of a cut network would not tell (see `layout`), or cannot be traced.
    """
    if backbone.library not in LIBRARIES or backbone.cut != POOLED or backbone.readouts:
        return backbone
    if backbone.library == "timm" and from_timm.own_arguments(backbone.trunk):
        return backbone
    try:
        graph, places = _places(backbone)
    except BackboneError:
        return backbone
    if not places:
        return backbone
    end = graph.graph.find_nodes(op="output")[0]
    body = upto(graph, len(graph.graph.nodes) - 2, [end.args[0], *(place.node for place in places)])
    ways, start, axes = [Readout(backbone.cut, slice(0, backbone.dim), partial(itself, backbone))], backbone.dim, []
    for place in places:
        axes.append(pooling(place.shape)[1])
        dim = math.prod(side for axis, side in enumerate(place.shape) if axis and axis not in axes[-1])
        columns = slice(start, start := start + dim)
        ways.append(Readout(_said(place.cut), columns, partial(cut_early, backbone, place.cut.name)))
    trunk = freeze(Several(body, axes))
    return replace(backbone, trunk=trunk, dim=start, cut="; ".join(way.name for way in ways), readouts=tuple(ways))


def cut_early(backbone: Backbone, name: str) -> Backbone:
    """Return a network without what comes after one of its places, its maps averaged there.

    Raises:
        BackboneError: it has no such place.
    """
    trunk, below = _cut(backbone.trunk, backbone, name)
    options = from_torchvision.built_with(backbone.architecture) if backbone.library == "torchvision" else ""
    save: Save = partial(below.save, backbone.library, backbone.architecture, options)
    return replace(
        backbone,
        trunk=trunk,
        dim=pooled_dim(trunk, pixels(backbone)),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        cut=below.cut,
        save=save,
        fresh=partial(rebuilt, partial(_anew, backbone, name), trunk),
    )


def _anew(backbone: Backbone, name: str) -> nn.Module:
    return _cut(backbone.fresh(), backbone, name)[0]


def _cut(network: nn.Module, backbone: Backbone, name: str) -> tuple[nn.Module, BelowTop]:
    graph = trace(network)
    place = next((p for p in cuts(graph, example(backbone)) if p.name == name), None)
    node = activation_at(list(graph.graph.nodes), place.index) if place else None
    if place is None or node is None:
        raise BackboneError(f"{backbone.name} has no place called {name}.")
    pool, axes = pooling(_shape(node))
    trunk = freeze(averaged(upto(graph, place.index, node), axes))
    return trunk, BelowTop(trunk, _said(place), node_name(list(graph.graph.nodes), node), pool)


def _places(backbone: Backbone) -> tuple[fx.GraphModule, list[_Place]]:
    """Return the graph, and the places that rungs start from."""
    graph, black = trace(backbone.trunk), example(backbone)
    found, nodes = cuts(graph, black), list(graph.graph.nodes)
    above = work_above(graph, found, black)
    chosen = dict.fromkeys(c for share in SHARES if (c := highest(graph, found, above, share)) is not None)
    pairs = [(cut, activation_at(nodes, cut.index)) for cut in chosen]
    return graph, [_Place(cut, node, _shape(node)) for cut, node in pairs if node is not None]


def _shape(node: fx.Node) -> tuple[int, ...]:
    shape: tuple[int, ...] = node.meta["shape"]
    return shape


def _said(cut: Cut) -> str:
    return f"after {cut.name}, averaged"
