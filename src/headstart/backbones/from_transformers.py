"""transformers: image classifiers from its hub or from a local folder in its layout. Its one door for pictures."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import (
    Backbone,
    Saved,
    count_parameters,
    freeze,
    pooled_dim,
    weights_digest,
)
from headstart.backbones.layout import linear
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn

_FILTERS: dict[int, Literal["nearest", "lanczos", "bilinear", "bicubic"]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}


def open_model(place: str, name: str, source: str) -> Backbone:
    """Open an image model by hub name or folder.

    Whatever its own task was, it is loaded as an image classifier: the input of that classifier's last linear layer is
    what the library itself takes for the pooled feature (class token, mean, or both), and what is shipped later is again
    a plain `AutoModelForImageClassification`.

    Raises:
        BackboneError: it cannot be loaded, or lacks weights below its last layer.
    """
    import transformers
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(place)
        processor = AutoImageProcessor.from_pretrained(place)
        network, report = AutoModelForImageClassification.from_pretrained(
            place, dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # foreign files and a hub: anything can be wrong
        raise BackboneError(
            f"transformers cannot load {name} as an image model.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="The folder needs config.json, model.safetensors and preprocessor_config.json.",
        ) from error
    head = last_linear(network)
    below = sorted(k for k in report["missing_keys"] if not k.startswith(head + "."))
    if below:
        raise BackboneError(
            f"The weights of {name} lack layers below the last one.", found=", ".join(below[:5])
        )
    network.set_submodule(head, _identity())
    trunk = freeze(_Logits(network))
    preprocess = preprocessing(processor)
    return Backbone(
        name=name,
        library="transformers",
        architecture=str(config.model_type),
        trunk=trunk,
        preprocess=preprocess,
        dim=pooled_dim(trunk, preprocess),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut="pooled output",
        missing=tuple(k for k in sorted(report["missing_keys"]) if k.startswith(head + ".")),
        save=partial(save, network, head, processor),
    )


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _Logits(network: Any) -> nn.Module:  # noqa: N802 - makes an instance of a class that needs torch
    from torch import nn

    class Logits(nn.Module):
        """An image classifier that gives its logits alone, without the library's output record."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(pixel_values=x_N3HW, return_dict=False)[0]
            return logits

    return Logits()


def last_linear(network: nn.Module) -> str:
    """Return the path of the classifier's last linear layer.

    Raises:
        BackboneError: there is none.
    """
    from torch import nn

    paths = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    paths = [p for p in paths if p.split(".")[0] in ("classifier", "head", "fc")] or paths[-1:]
    if not paths:
        raise BackboneError("This model has no linear layer to replace.", found=type(network).__name__)
    return paths[-1]


def preprocessing(processor: Any) -> Preprocess:
    """Translate an image processor's settings.

    Raises:
        BackboneError: it does something that is not supported.
    """
    config: dict[str, Any] = json.loads(processor.to_json_string())
    size = config.get("size") or {}
    crop = config.get("crop_size") if config.get("do_center_crop") else None
    mean, std = config.get("image_mean"), config.get("image_std")
    unusual = [
        bool(config.get("do_pad")),
        not config.get("do_resize", True),
        not np.isclose(config.get("rescale_factor", 1 / 255), 1 / 255),
    ]
    if any(unusual) or not size:
        raise BackboneError("This image processor is not supported.", found=str(config)[:300])
    if not config.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    if "shortest_edge" in size:
        edge = int(size["shortest_edge"])
        final = (int(crop["height"]), int(crop["width"])) if crop else (edge, edge)
        share = config.get("crop_pct")
        # ConvNeXt's processor, also ResNet's: below 384 it resizes to edge / crop_pct and crops; else it squashes.
        way: Literal["shortest", "squash"] = "squash" if share and edge >= 384 else "shortest"
        to = (floor(edge / share),) * 2 if share and edge < 384 else (edge, edge)
    else:
        to = (int(size["height"]), int(size["width"]))
        final = (int(crop["height"]), int(crop["width"])) if crop else to
        way = "squash"
    return Preprocess(
        size=final,
        resize=way,
        resize_to=(to[0], to[1]),
        interpolation=_FILTERS[int(config.get("resample", 2))],
        mean=(float(mean[0]), float(mean[1]), float(mean[2])),
        std=(float(std[0]), float(std[1]), float(std[2])),
    )


def save(
    network: Any,
    head: str,
    processor: Any,
    folder: Path,
    labels: tuple[str, ...],
    weight_DK: NDArray[np.float64],
    bias_K: NDArray[np.float64],
) -> Saved:
    """Write trunk and head as a transformers image classifier, with its processor and labels."""
    model = deepcopy(network)
    model.set_submodule(head, linear(weight_DK, bias_K))
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    code = (
        "from transformers import AutoImageProcessor, AutoModelForImageClassification\n\n"
        'model = AutoModelForImageClassification.from_pretrained(".").eval()\n'
        'processor = AutoImageProcessor.from_pretrained(".")\n'
        "labels = [model.config.id2label[i] for i in range(model.config.num_labels)]"
    )
    return Saved("transformers", code, model)
