"""transformers: image classifiers from its hub or from a folder in its layout. Its one door for pictures."""

from __future__ import annotations

import io
import json
from copy import deepcopy
from functools import partial
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, Saved, count_parameters, freeze, pooled_dim, weights_digest
from headstart.backbones.layout import linear
from headstart.backbones.scratch import rebuilt
from headstart.data.pixels import Preprocess, load_pixels
from headstart.errors import BackboneError, DataError

if TYPE_CHECKING:
    import torch
    from torch import nn

_FILTERS: dict[int, Literal["nearest", "lanczos", "bilinear", "bicubic"]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
}
_TRIED = ((203, 320), (301, 187))
_TOLERANCE = 1.0  # of 255; processors that resize after scaling differ by 0.3, by rounding


def open_model(place: str, name: str, source: str) -> Backbone:
    """Open an image model by hub name or folder.

    Whatever its own task was, it is loaded as an image classifier: the input of that classifier's last linear
    layer is what the library itself takes for the pooled feature (class token, mean, or both), and what is
    shipped later is again a plain `AutoModelForImageClassification`.

    Raises:
        BackboneError: it cannot be loaded, or lacks weights below its last layer.
    """
    import transformers
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        # trust_remote_code is off by default only after a question on the terminal.
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        processor = AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
        network, report = AutoModelForImageClassification.from_pretrained(
            place, dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
        )
    except Exception as error:  # foreign files and a hub: anything can be wrong
        raise BackboneError(
            f"transformers cannot load {name} as an image model.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="The folder needs config.json, model.safetensors and preprocessor_config.json.",
        ) from error
    head = last_linear(network)
    lost = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    below = sorted(k for k in lost if not k.startswith(head + "."))
    if below:
        raise BackboneError(f"The weights of {name} lack layers below the last one.", found=", ".join(below[:5]))
    wanted = network.get_submodule(head).in_features
    network.set_submodule(head, _identity())
    trunk = freeze(_Logits(network))
    preprocess = preprocessing(processor)
    dim = _dim(trunk, preprocess, wanted, name)
    return Backbone(
        name=name,
        library="transformers",
        architecture=str(config.model_type),
        trunk=trunk,
        preprocess=preprocess,
        dim=dim,
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut="pooled output",
        missing=tuple(sorted(lost)),
        save=partial(save, network, head, processor),
        fresh=partial(rebuilt, partial(_from_config, network.config, head), trunk),
    )


def _from_config(config: Any, head: str) -> nn.Module:
    """Build the classifier that a configuration describes, with random weights and without its last layer."""
    from transformers import AutoModelForImageClassification

    # A copy: the library writes the number format into the configuration that it is given.
    network = AutoModelForImageClassification.from_config(deepcopy(config), dtype="float32", trust_remote_code=False)
    network.set_submodule(head, _identity())
    return _Logits(network)


def _dim(trunk: nn.Module, preprocess: Preprocess, wanted: int, name: str) -> int:
    try:
        dim = pooled_dim(trunk, preprocess)
    except (RuntimeError, ValueError) as error:  # two heads that are averaged; a picture of another size
        raise BackboneError(f"{name} gives no features without its last layer.", found=str(error)[:300]) from error
    if dim != wanted:
        raise BackboneError(
            f"{name} does more than a linear layer after its features.",
            found=f"{dim} outputs without its last layer, which takes {wanted}",
        )
    return dim


def _identity() -> nn.Module:
    from torch import nn

    return nn.Identity()


def _Logits(network: Any) -> nn.Module:
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
    """Translate an image processor's settings, and see that it gives the same pixels.

    Raises:
        BackboneError: it does something that is not supported.
    """
    try:
        preprocess = _translated(processor)
        worst = max(_difference(processor, preprocess, *shape) for shape in _TRIED)
    except (ArithmeticError, AttributeError, DataError, LookupError, TypeError, ValueError) as error:
        raise _unsupported(processor, f"{type(error).__name__}: {error}"[:200]) from error
    if worst > _TOLERANCE:
        raise _unsupported(processor, f"its pixels differ from what its settings say, by {worst:.0f} of 255 on average")
    return preprocess


def _unsupported(processor: Any, found: str) -> BackboneError:
    return BackboneError(f"The image processor {type(processor).__name__} is not supported.", found=found)


def _difference(processor: Any, preprocess: Preprocess, height: int, width: int) -> float:
    """Return how far the processor's pixels are from ours on average, of 255, for noise of this height and width.

    Some processors turn channels round, scale twice or resize to a share that no setting states: silently wrong.
    """
    from PIL import Image

    coarse_HW3 = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = Image.fromarray(coarse_HW3).resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    mean_311, std_311 = (np.reshape(values, (3, 1, 1)) for values in (preprocess.mean, preprocess.std))
    ours_3HW = load_pixels(file.getvalue(), preprocess)
    theirs_3HW = np.asarray(processor(images=picture, return_tensors="np")["pixel_values"][0])
    if theirs_3HW.shape != ours_3HW.shape:
        raise ValueError(f"it makes inputs of {theirs_3HW.shape}, not {ours_3HW.shape}")
    return float(np.abs((theirs_3HW * std_311 + mean_311) * 255 - ours_3HW).mean())


def _translated(processor: Any) -> Preprocess:
    config: dict[str, Any] = json.loads(processor.to_json_string())
    size = config.get("size") or {}
    crop = config.get("crop_size") if config.get("do_center_crop") else None
    mean: Any = config.get("image_mean")
    std: Any = config.get("image_std")
    unusual = [
        bool(config.get("do_pad")),
        not config.get("do_resize", True),
        not config.get("do_rescale", True),
        not np.isclose(config.get("rescale_factor", 1 / 255), 1 / 255),
    ]
    if any(unusual) or not size:
        raise ValueError("it pads, or does not resize or rescale")
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
        crop="floor",
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
