"""How deep to train: the places of a network that rungs start from, by the share of its work that lies above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from headstart.backbones.cut import Cut, Halves, cuts, split, trace
from headstart.errors import BackboneError

SHARES = (0.08, 0.3)
"""Rungs start at the highest cuts with at least these shares of the multiply-adds above them, then at the input.

The last stage of a ResNet has 0.23 of its work, of an EfficientNet-lite0 0.13; a ViT's last two of twelve blocks 0.17.
"""
EVERYTHING = "everything"


@dataclass(frozen=True)
class Depth:
    """A place to train from.

    Attributes:
        name: as plans and reports have it; `EVERYTHING` for the input.
        share: of the network's multiply-adds for one picture, what lies above.
        cut: the place; None for the input.
        graph: the traced network that the cut is a place of.
    """

    name: str
    share: float
    cut: Cut | None = None
    graph: fx.GraphModule | None = field(default=None, repr=False)

    def halves(self) -> Halves:
        """Return the trunk below and the top above; they share the network's modules.

        Raises:
            BackboneError: there is nothing below the input.
        """
        if self.cut is None or self.graph is None:
            raise BackboneError("There is no trunk below the input.")
        return split(self.graph, self.cut)


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
    found: list[Depth] = []
    for least in shares:
        fit = [i for i, share in enumerate(above) if share >= least and not split(graph, places[i]).shared]
        if fit and all(each.cut != places[fit[-1]] for each in found):
            found.append(Depth(f"after {places[fit[-1]].name}", above[fit[-1]], places[fit[-1]], graph))
    return (*found, whole)


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
