"""torchvision: its classification architectures with a weights file. Its one door for networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import (
    POOLED,
    Backbone,
    Save,
    Saved,
    count_parameters,
    freeze,
    pooled_dim,
    weights_digest,
)
from headstart.backbones.layout import below_top, linear, write
from headstart.backbones.scratch import rebuilt
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn


# Their auxiliary classifiers only help training, and torchvision's own weights expect `transform_input`.
_INCEPTION = {"aux_logits": False, "init_weights": False, "transform_input": True}
_OPTIONS = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}
SPARE = ("aux1.", "aux2.", "AuxLogits.")
"""Prefixes of tensors that a file may hold and no network here takes."""


def is_name(name: str) -> bool:
    """Say whether torchvision has a classification architecture of this name."""
    return name in names()


def names() -> list[str]:
    """Return torchvision's classification architectures."""
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def build(architecture: str, *, meta: bool = False, initialise: bool = False) -> nn.Module:
    """Build an architecture with random weights; on the meta device it is only names and shapes.

    With `initialise` they are those to train from: for two architectures torchvision leaves that step out on request.
    """
    import torch
    import torchvision

    options = dict(_OPTIONS.get(architecture, {}))
    options |= {"init_weights": True} if initialise and "init_weights" in options else {}
    make = partial(torchvision.models.get_model, architecture, weights=None, **options)
    if meta:
        with suppress(NotImplementedError), torch.device("meta"):  # RegNet computes its widths with tensors
            return make()
    return make()


def with_weights(
    architecture: str, state: Mapping[str, torch.Tensor], missing: tuple[str, ...], name: str, source: str
) -> Backbone:
    """Open an architecture with weights that may lack its top layers.

    Raises:
        BackboneError: what is missing is not the top.
    """
    from torch import nn

    network = build(architecture)
    try:
        network.load_state_dict({k: v for k, v in state.items() if k not in missing}, strict=False)
    except (RuntimeError, ValueError) as error:  # MNASNet asks for a version that no weights file has
        raise BackboneError(f"torchvision cannot load {name}.", found=str(error)[:300]) from error
    preprocess = preprocessing(architecture)
    head = last_layer(network)
    plain = head is not None and all(key.startswith(f"{head}.") for key in missing)
    save: Save
    make: Callable[[], nn.Module]
    if plain and head is not None:
        biased = network.get_submodule(head).bias is not None
        network.set_submodule(head, nn.Identity())
        trunk, cut = network, POOLED
        save = partial(_save, architecture, network, head, biased)
        make = partial(_bare, architecture, head)
    else:
        lost = missing or tuple(f"{_last_weighted(network)}.{p}" for p in ("weight", "bias"))
        below = below_top(network, lost, preprocess)
        trunk, cut = below.trunk, below.cut
        save = partial(below.save, "torchvision", architecture, built_with(architecture))
        make = partial(_below, architecture, lost, preprocess)
    trunk = freeze(trunk)
    return Backbone(
        name=name,
        library="torchvision",
        architecture=architecture,
        trunk=trunk,
        preprocess=preprocess,
        dim=pooled_dim(trunk, preprocess),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut=cut,
        missing=missing,
        save=save,
        fresh=partial(rebuilt, make, trunk),
    )


def _bare(architecture: str, head: str) -> nn.Module:
    from torch import nn

    network = build(architecture, initialise=True)
    network.set_submodule(head, nn.Identity())
    return network


def _below(architecture: str, lost: tuple[str, ...], preprocess: Preprocess) -> nn.Module:
    return below_top(build(architecture, initialise=True), lost, preprocess).trunk


def last_layer(network: nn.Module) -> str | None:
    """Return the path of the last layer with weights where it is a linear one."""
    from torch import nn

    path = _last_weighted(network)
    layer = network.get_submodule(path)
    return path if isinstance(layer, nn.Linear) else None


def _last_weighted(network: nn.Module) -> str:
    paths = [path for path, module in network.named_modules() if list(module.parameters(recurse=False))]
    return paths[-1]


def built_with(architecture: str) -> str:
    """Return the arguments that an architecture is built with, as Python has them behind others."""
    return "".join(f", {name}={value}" for name, value in _OPTIONS.get(architecture, {}).items())


def preprocessing(architecture: str) -> Preprocess:
    """Return the preprocessing of torchvision's own first ImageNet weights of this architecture.

    Raises:
        BackboneError: torchvision states none for it.
    """
    import torchvision

    try:
        weights: Any = torchvision.models.get_model_weights(architecture)
        preset = next(iter(weights)).transforms()
        return Preprocess(
            size=(preset.crop_size[0],) * 2,
            resize="shortest",
            resize_to=(preset.resize_size[0],) * 2,
            interpolation=preset.interpolation.value,
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        )
    except (ValueError, AttributeError, StopIteration) as error:
        raise BackboneError(f"torchvision states no preprocessing for {architecture}.", found=str(error)) from error


def _save(
    architecture: str,
    network: nn.Module,
    head: str,
    biased: bool,
    folder: Path,
    labels: tuple[str, ...],
    weight_DK: NDArray[np.float64],
    bias_K: NDArray[np.float64],
) -> Saved:
    """Write a network of which only the last linear layer is new."""
    model = deepcopy(network)
    model.set_submodule(head, linear(weight_DK, bias_K))
    write(model.state_dict(), folder, "torchvision", architecture, labels)
    options = f"num_classes={len(labels)}{built_with(architecture)}"
    bias = f'model.set_submodule("{head}", torch.nn.Linear({len(weight_DK)}, {len(labels)}))\n'  # it had none
    code = (
        "import torch\nimport torchvision\n"
        "from safetensors.torch import load_file\n\n"
        f'model = torchvision.models.get_model("{architecture}", weights=None, {options})\n'
        f"{'' if biased else bias}"
        'model.load_state_dict(load_file("model.safetensors"))\n'
        "model = model.eval()"
    )
    return Saved("torchvision", code, model)
