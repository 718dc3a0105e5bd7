"""From scratch: a backbone's architecture with random weights, what training without pretraining starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headstart.backbones.backbone import Backbone, freeze
from headstart.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn


def random_trunk(backbone: Backbone, seed: int) -> nn.Module:
    """Return the trunk's architecture with random weights that depend on the seed alone: x_N3HW -> features_ND.

    Its library initialises it; global randomness is left as it was. Eval mode, no parameter wants a gradient.

    Raises:
        BackboneError: the architecture does not come out as the trunk's.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the accelerators' generators too, and leave them so.
        torch.default_generator.manual_seed(seed)
        return backbone.fresh()


def rebuilt(make: Callable[[], nn.Module], trunk: nn.Module) -> nn.Module:
    """Build a network that must come out as `trunk` in all but its numbers: x_N3HW -> features_ND, frozen.

    Args:
        make: builds it, with random weights, cut where the trunk is.
        trunk: only the names and shapes of its parameters and buffers are looked at.

    Raises:
        BackboneError: a name or a shape differs, as where an argument that the network was made with is lost.
    """
    network = freeze(make())
    wanted, made = _shapes(trunk), _shapes(network)
    if wanted != made:
        differing = sorted(k for k in wanted.keys() | made.keys() if wanted.get(k) != made.get(k))
        some = (f"{k} {made.get(k, 'missing')} instead of {wanted.get(k, 'nothing')}" for k in differing[:3])
        raise BackboneError(
            "The architecture cannot be built anew with random weights.",
            found=f"{len(differing)} of {len(wanted)} tensors differ: {', '.join(some)}",
        )
    return network


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
