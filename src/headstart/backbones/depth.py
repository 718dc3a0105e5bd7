"""How deep to train an image network: its places that rungs start from, by the share of its work that lies above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.cut import Cut, cuts, split, trace
from headstart.backbones.depths import EVERYTHING, SHARES, Depth
from headstart.errors import BackboneError


def image_depths(backbone: Backbone) -> tuple[Depth, ...]:
    """As `depths`, of a backbone."""
    return depths(backbone.trunk, example(backbone))


def example(backbone: Backbone) -> torch.Tensor:
    """Return a black picture_13HW of a network's size, where the network is: an engine may have moved it."""
    device = next((p.device for p in backbone.trunk.parameters()), None)
    return torch.zeros(1, 3, *pixels(backbone).size, device=device)


def depths(network: nn.Module, example_N3HW: torch.Tensor, shares: Sequence[float] = SHARES) -> tuple[Depth, ...]:
    """Return the places to train from, shallowest first, the input last. Leaves the network in eval mode.

    A network that cannot be traced can only be trained whole.
    """
    whole = Depth(EVERYTHING, 1.0)
    try:
        graph = trace(network)
        places = cuts(graph, example_N3HW)
    except BackboneError:
        return (whole,)
    above = work_above(graph, places, example_N3HW)
    found: dict[str, Depth] = {}
    for least in shares:
        if (place := highest(graph, places, above, least)) is not None:
            share = above[places.index(place)]
            found.setdefault(place.name, Depth(f"after {place.name}", share, partial(split, graph, place)))
    return (*found.values(), whole)


def highest(graph: fx.GraphModule, places: Sequence[Cut], above: Sequence[float], least: float) -> Cut | None:
    """Return the highest place with at least such a share of the work above it, where nothing is read on both sides."""
    fit = (p for p, share in zip(places, above, strict=True) if share >= least and not split(graph, p).shared)
    return max(fit, key=lambda place: place.index, default=None)


def work_above(graph: fx.GraphModule, places: Sequence[Cut], example_N3HW: torch.Tensor) -> list[float]:
    """Return the share of the multiply-adds above each place, counted by PyTorch's own counter in one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode

    nodes, done = list(graph.graph.nodes), dict[fx.Node, int]()

    class Counting(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            done[n] = counter.get_total_flops()
            return result

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Counting(graph).run(example_N3HW)
    total = max(1, counter.get_total_flops())
    return [1 - done[nodes[place.index]] / total for place in places]


def map_depths(backbone: Backbone) -> tuple[Depth, ...]:
    """Return the places to train a detector from: its maps, from where on the network stays as it is; then as `depths`
    where the finest map is what crosses; the input last."""
    inside = depths(backbone.trunk, example(backbone), (0.08,))
    return (Depth("above the maps", 0.0, partial(_whole, backbone.trunk)), *inside)


@dataclass(frozen=True)
class _Whole:
    """A network with nothing above it."""

    trunk: nn.Module
    top: nn.Module
    shared: tuple[str, ...] = ()


def _whole(network: nn.Module) -> _Whole:
    return _Whole(network, nn.Identity())
