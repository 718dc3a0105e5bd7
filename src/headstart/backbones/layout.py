"""A model folder for libraries that have no layout of their own: `config.json` and `model.safetensors`.

And the one kind of network that none of them builds by name: an architecture cut below top layers that have
no weights, its maps averaged, a new linear layer on that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Saved
from headstart.data.pixels import Preprocess
from headstart.store import save_bytes, save_json

if TYPE_CHECKING:
    import torch
    from torch import nn

BODY = "body."
"""Prefix of the trunk's tensors where the folder holds a cut network."""

_BUILD = {
    "torchvision": (
        "import torchvision\nfrom torchvision.models.feature_extraction import create_feature_extractor",
        'torchvision.models.get_model("{architecture}", weights=None{options})',
    ),
    "timm": (
        "import timm\nfrom timm.models._features_fx import create_feature_extractor",
        'timm.create_model("{architecture}"{options})',
    ),
}
_CODE = """import torch
{imports}
from safetensors.torch import load_file


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = create_feature_extractor({build}, {{"{node}": "maps"}})
        self.head = torch.nn.Linear({dim}, {classes})

    def forward(self, x):
        return self.head(self.body(x)["maps"]{pool})


model = Model()
model.load_state_dict(load_file("model.safetensors"))
model = model.eval()"""


def linear(weight_DK: NDArray[np.float64], bias_K: NDArray[np.float64]) -> nn.Linear:
    """Return a PyTorch linear layer with these weights."""
    import torch

    layer = torch.nn.Linear(*weight_DK.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight_DK.T))
        layer.bias.copy_(torch.tensor(bias_K))
    return layer


def write(
    state: Mapping[str, torch.Tensor], folder: Path, library: str, architecture: str, labels: tuple[str, ...]
) -> None:
    """Write weights and config."""
    from safetensors.torch import save

    save_bytes(folder / "model.safetensors", save({k: v.contiguous() for k, v in state.items()}))
    config = {
        "library": library,
        "architecture": architecture,
        "num_classes": len(labels),
        "labels": list(labels),
    }
    save_json(folder / "config.json", config)


@dataclass(frozen=True)
class BelowTop:
    """A network cut below its missing top.

    Attributes:
        trunk: x_N3HW -> features_ND: the maps there, averaged.
        cut: the place, in words.
        node: the place as `create_feature_extractor` names it.
        pool: Python that averages the maps, behind an expression.
    """

    trunk: nn.Module
    cut: str
    node: str
    pool: str

    def save(
        self,
        library: str,
        architecture: str,
        options: str,
        folder: Path,
        labels: tuple[str, ...],
        weight_DK: NDArray[np.float64],
        bias_K: NDArray[np.float64],
    ) -> Saved:
        """Write trunk and head, and say how they are put together again."""
        from torch import nn

        head = linear(weight_DK, bias_K)
        body: Any = self.trunk.body
        state = {BODY + k: v for k, v in body.state_dict().items()}
        write(
            state | {f"head.{k}": v for k, v in head.state_dict().items()},
            folder,
            library,
            architecture,
            labels,
        )
        imports, build = _BUILD[library]
        code = _CODE.format(
            imports=imports,
            build=build.format(architecture=architecture, options=options),
            node=self.node,
            dim=len(weight_DK),
            classes=len(labels),
            pool=self.pool,
        )
        return Saved(library, code, nn.Sequential(self.trunk, head))


def below_top(network: nn.Module, missing: Collection[str], preprocess: Preprocess) -> BelowTop:
    """Cut a network below the layers that have no weights and average its maps there.

    Raises:
        BackboneError: the missing layers are not the top, or the network cannot be traced.
    """
    import torch

    from headstart.backbones.cut import below_missing, trace

    example = torch.zeros(1, 3, *preprocess.size)
    below = below_missing(trace(network), missing, example)
    with torch.no_grad():
        shape = tuple(below.network.eval()(example).shape)
    pool, axes = pooling(shape)
    return BelowTop(
        averaged(below.network, axes), f"below the missing top, at {below.name}, averaged", below.name, pool
    )


def averaged(body: nn.Module, axes: tuple[int, ...]) -> nn.Module:
    """Return x_N3HW -> features_ND: a network of maps or tokens, averaged."""
    from torch import nn

    class Averaged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
            maps: torch.Tensor = self.body(x_N3HW)
            return maps.mean(axes) if axes else maps

    return Averaged()


def pooling(shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return how to average: tokens_NLC, maps_NHWC (told by two equal sides in front), maps_NCHW."""
    if len(shape) == 2:
        return "", ()
    if len(shape) == 3:
        return ".mean(1)", (1,)
    axes = (1, 2) if shape[1] == shape[2] != shape[3] else (2, 3)
    return f".mean({axes})", axes
