"""Detectors that are taken whole: networks whose features are the pictures themselves, and whose head runs them.

Which of their layers are new is found by comparing shapes, so that no table of layers is kept for each architecture:
those that change with the number of classes, and those that a weights file did not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.depths import EVERYTHING, Depth

if TYPE_CHECKING:
    from headstart.heads.decode_whole import Decoding
    from headstart.heads.finding import Objects

NEW = "the part that is new"
"""The depth at which the new layers alone are trained."""
CUT = "input: the network is taken whole"
THUMB = 16
"""Pictures are told to be alike by thumbnails with sides of so many pixels."""
_BLOCK = 64


@dataclass(frozen=True)
class Exported:
    """A detector as it is written for other runtimes.

    Attributes:
        network: pixels_13HW in 0..255 -> its raw outputs.
        outputs: their names.
        decoding: how detections are made of them, outside.
    """

    network: nn.Module
    outputs: tuple[str, ...]
    decoding: Decoding


class OfBytes(nn.Module):
    """A network that is given pixels_N3HW in 0..255 as they are, and normalises them itself."""


class Detecting(OfBytes):
    """pixels_N3HW -> pixels_N3HW: holds a detector whose features are its inputs. A subclass for each library runs it.

    Args:
        network: the library's detector, of a number of classes that is the user's once it was `refitted`.
        classes: how many; 0 where that was not settled yet.
        new: names of its tensors that the pretrained weights lack.
    """

    def __init__(self, network: nn.Module, classes: int = 0, new: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.network, self.classes, self.new = network, classes, new

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        return pixels_N3HW

    def found(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        """Return detections_NF, as `heads.boxes` has them; in eval mode."""
        raise NotImplementedError

    def loss(self, pixels_N3HW: torch.Tensor, objects: list[Objects]) -> torch.Tensor:
        """Return the library's own loss; in training mode."""
        raise NotImplementedError

    def refitted(self, backbone: Backbone, classes: int, side: int) -> Backbone:
        """Return the backbone with new layers for so many classes, of pictures with sides of about so many pixels."""
        raise NotImplementedError

    def exported(self) -> Exported:
        """Return the network without its decoding, and how that is done.

        Raises:
            UsageError: decoding cannot be taken out of it, or not as it is known here.
        """
        raise NotImplementedError


class Found(OfBytes):
    """pixels_N3HW -> detections_NF of a detector, picture by picture: what one gives does not depend on its neighbours.

    Args:
        trunk: in eval mode; shared, not copied.
    """

    def __init__(self, trunk: Detecting) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        out: list[torch.Tensor] = []
        for i, pixels_3HW in enumerate(pixels_N3HW):
            again = i > 0 and torch.equal(pixels_3HW, pixels_N3HW[i - 1])  # engines fill batches up with copies
            out.append(out[-1] if again else self.trunk.found(pixels_3HW[None]))
        return torch.cat(out)


def detecting(backbone: Backbone) -> Detecting:
    """Return the trunk of a detector that is taken whole."""
    assert isinstance(backbone.trunk, Detecting)
    return backbone.trunk


def depths(backbone: Backbone) -> tuple[Depth, ...]:
    """Return the places to train from: the new layers alone, where not all are; everything. Of both the whole network
    runs in each step, on pictures that are varied anew."""
    kept = kept_as_they_are(detecting(backbone))
    new = (Depth(NEW, 1.0, kept=kept),) if kept else ()
    return (*new, Depth(EVERYTHING, 1.0))


def kept_as_they_are(trunk: Detecting) -> tuple[str, ...]:
    """Return the names of the parameters that are not new."""
    new = {f"network.{name}" for name in trunk.new}
    return tuple(name for name, _ in trunk.named_parameters() if name not in new)


def new_tensors(trunk: Detecting) -> dict[str, torch.Tensor]:
    """Return the new parameters and buffers, each once whatever it is called beside, shared with the network."""
    wanted = set(trunk.new)
    return {name: tensor.detach() for name, tensor in _tensors(trunk.network) if name in wanted}


def _tensors(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    kept = network.state_dict()
    yield from network.named_parameters()
    yield from ((name, buffer) for name, buffer in network.named_buffers() if name in kept)


def class_layers(make: Callable[[int], nn.Module], classes: int) -> set[str]:
    """Return the names of the tensors whose shapes follow the number of classes.

    Args:
        make: builds the network for a number of classes.
        classes: one such number.
    """
    one, other = ({n: t.shape for n, t in make(k).state_dict().items()} for k in (classes, classes + 1))
    return {name for name, shape in one.items() if other.get(name) != shape}


def carried(old: Mapping[str, torch.Tensor], network: nn.Module, new: set[str]) -> tuple[str, ...]:
    """Put another network's weights into one where they fit and are not new; return the names of all that are new."""
    lacking = []
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name in new or name not in old or old[name].shape != tensor.shape:
                lacking.append(name)
            else:
                tensor.copy_(old[name])
    return tuple(name for name in lacking if not name.endswith("num_batches_tracked"))


def made(make: Callable[[], Any], seed: int = 0) -> Any:
    """Build a network with random weights that depend on the seed alone; global randomness is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def alike(pixels_N3HW: NDArray[Any]) -> NDArray[np.float32]:
    """Return thumbnails without their mean colour, by which pictures are told to be alike."""
    out = []
    for at in range(0, len(pixels_N3HW), _BLOCK):
        block = torch.from_numpy(np.ascontiguousarray(pixels_N3HW[at : at + _BLOCK])).float()
        thumbs = F.adaptive_avg_pool2d(block, THUMB).flatten(2)
        out.append((thumbs - thumbs.mean(2, keepdim=True)).flatten(1).numpy())
    return np.concatenate(out) if out else np.empty((0, 3 * THUMB * THUMB), np.float32)
