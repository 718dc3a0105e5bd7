"""torchvision: its detectors, taken whole. Its one door for what was pretrained as a detector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from headstart.backbones.backbone import Backbone, Saved, count_parameters, freeze, weights_digest
from headstart.backbones.scratch import rebuilt
from headstart.backbones.whole import CUT, Detecting, Exported, Found, alike, carried, class_layers, detecting, made
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError
from headstart.heads.boxes import SLOTS
from headstart.heads.decode import LEAST_SCORE
from headstart.heads.detector import flat
from headstart.heads.finding import Objects
from headstart.store import load_json, save_bytes, save_json

CONFIG, WEIGHTS, KEY = "config.json", "model.safetensors", "whole detector"
_FIXED = {"ssd300": 300, "ssdlite320": 320}
"""Sides that architectures are made for; the others take any."""
_MORE = {"maskrcnn": "masks", "keypointrcnn": "keypoints"}
_SIDE = 320
_STEP = 32
Colours = tuple[float, float, float]


@dataclass(frozen=True)
class Built:
    """What a detector is built like.

    Attributes:
        architecture: as torchvision calls it.
        outputs: classes, the background among them, as number 0.
        side: of the squares that pictures are given as, in pixels.
        mean, std: of red, green and blue in 0..1; the network normalises them itself.
    """

    architecture: str
    outputs: int
    side: int
    mean: Colours
    std: Colours

    def options(self) -> dict[str, Any]:
        """Return the arguments of torchvision's function for it, but for the score from which on a box counts."""
        fixed = {} if _fixed(self.architecture) else {"fixed_size": [self.side, self.side]}
        colours = {"image_mean": list(self.mean), "image_std": list(self.std)}
        return {"num_classes": self.outputs, **colours, **fixed, f"{self._boxes}detections_per_img": SLOTS}

    @property
    def least(self) -> str:
        """The argument for the score from which on a box counts."""
        return f"{self._boxes}score_thresh"

    @property
    def _boxes(self) -> str:
        return "box_" if self.architecture.startswith("fasterrcnn") else ""

    def network(self, outputs: int = 0) -> nn.Module:
        """Build it with random weights, of another number of classes where one is given."""
        import torchvision

        options = {**self.options(), self.least: LEAST_SCORE, **({"num_classes": outputs} if outputs else {})}
        network: nn.Module = torchvision.models.get_model(
            self.architecture, weights=None, weights_backbone=None, **options
        )
        return network

    def shapes(self, outputs: int) -> nn.Module:
        """Build it without numbers: names and shapes alone."""
        with torch.device("meta"):
            return self.network(outputs)

    def preprocess(self) -> Preprocess:
        """Return how pictures become its input."""
        size = (self.side, self.side)
        return Preprocess(size, "squash", size, "bilinear", self.mean, self.std)


class OfTorchvision(Detecting):
    """A detector of torchvision; see `Detecting`. Class k is its class k + 1, as 0 is the background."""

    def __init__(self, built: Built, network: nn.Module, new: tuple[str, ...] = ()) -> None:
        super().__init__(network, built.outputs - 1, new)
        self.built = built

    def found(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        return torch.stack([self._row(each) for each in self.network(list(pixels_N3HW.float() / 255))])

    def _row(self, said: Mapping[str, torch.Tensor]) -> torch.Tensor:
        kept = said["labels"] > 0  # those without a background among their classes may say it
        return flat(said["scores"][kept], said["labels"][kept] - 1, said["boxes"][kept] / self.built.side)

    def loss(self, pixels_N3HW: torch.Tensor, objects: list[Objects]) -> torch.Tensor:
        device = pixels_N3HW.device
        targets = [
            {"boxes": each.corners_T4.to(device) * self.built.side, "labels": each.label_T.to(device) + 1}
            for each in objects
        ]
        losses = self.network(list(pixels_N3HW.float() / 255), targets)
        return torch.stack(list(losses.values())).sum()

    def refitted(self, backbone: Backbone, classes: int, side: int) -> Backbone:
        built = replace(self.built, outputs=classes + 1, side=_fixed(self.built.architecture) or side)
        network = made(built.network)
        of_classes = class_layers(built.shapes, built.outputs)
        new = carried(self.network.state_dict(), network, of_classes | set(self.new))
        return wrapped(built, network, new, backbone.name, backbone.source)

    def exported(self) -> Exported:
        from headstart.backbones.raw_torchvision import exported

        return exported(self.network, self.built)


def is_name(name: str) -> bool:
    """Whether torchvision has a detector of this name."""
    return name in names()


def names() -> list[str]:
    """Return torchvision's detectors."""
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models.detection))


def blank(architecture: str, outputs: int = 2) -> Built:
    """Return what an architecture is built like, with the colours that torchvision states.

    Raises:
        BackboneError: it learns from more than boxes.
    """
    for start, more in _MORE.items():
        if architecture.startswith(start):
            raise BackboneError(
                f"{architecture} learns from {more} as well, and boxes have none.",
                hint=f"Take one of {', '.join(n for n in names() if not n.startswith(tuple(_MORE)))}.",
            )
    built = Built(architecture, outputs, _fixed(architecture) or _SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    stated = _stated(architecture)
    return replace(built, mean=stated[0], std=stated[1])


def _stated(architecture: str) -> tuple[Colours, Colours]:
    """Return the mean and deviation of colours that a detector normalises with by itself."""
    import torchvision

    with torch.device("meta"):
        own = torchvision.models.get_model(architecture, weights=None, weights_backbone=None).transform
    mean, std = ((float(r), float(g), float(b)) for r, g, b in (own.image_mean, own.image_std))
    return mean, std


def _fixed(architecture: str) -> int:
    return next((side for start, side in _FIXED.items() if architecture.startswith(start)), 0)


def published(architecture: str) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights that torchvision publishes, from its cache or the network, and what they are called.

    Raises:
        BackboneError: they cannot be had.
    """
    import torchvision

    try:
        weights: Any = torchvision.models.get_model_weights(architecture).DEFAULT
        state = weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # a network, a file on disk, a hash: anything can be wrong
        raise BackboneError(
            f"The weights of {architecture} cannot be fetched.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint=f"Without a network connection, give a file: {architecture}@weights.safetensors; or start from "
            f"weights of its classification network: {architecture}:vgg16@weights.safetensors.",
        ) from error
    return dict(state), f"torchvision: {weights}"


def wrapped(built: Built, network: nn.Module, new: tuple[str, ...], name: str, source: str) -> Backbone:
    """Return a detector as a backbone."""
    trunk = freeze(OfTorchvision(built, network, new))
    return Backbone(
        name=name,
        library="torchvision",
        architecture=built.architecture,
        trunk=trunk,
        preprocess=built.preprocess(),
        dim=3 * built.side * built.side,
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut=CUT,
        missing=(),
        save=_save,
        fresh=partial(rebuilt, lambda: OfTorchvision(built, built.network(), new), trunk),
        whole=alike,
    )


_CODE = """import json
import torchvision
from safetensors.torch import load_file

config = json.load(open("config.json"))
model = torchvision.models.get_model(
    config["architecture"], weights=None, weights_backbone=None, **config["options"], {least}={threshold}
)
model.load_state_dict(load_file("model.safetensors"))
model.eval()  # [pixels_3HW in 0..1] -> [dict(boxes=…, labels=…, scores=…)]; label k is config["labels"][k - 1]"""


def _save(folder: Path, labels: tuple[str, ...], trunk: Any, head: Any) -> Saved:
    """Write the network, and read it back, so that what is checked is what lies there."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in trunk.network.state_dict().items()}
    save_bytes(folder / WEIGHTS, save(tensors))
    built: Built = trunk.built
    save_json(
        folder / CONFIG,
        {
            "library": "torchvision",
            "architecture": built.architecture,
            "labels": list(labels),
            "options": built.options(),
            KEY: {"side": built.side, "threshold": head.threshold},
        },
    )
    again = open_folder(folder, load_json(folder / CONFIG))
    return Saved("torchvision", _CODE.format(least=built.least, threshold=head.written()), _found(again))


def _found(backbone: Backbone) -> nn.Module:
    return freeze(Found(detecting(backbone)))


def config_of(folder: Path) -> dict[str, Any] | None:
    """Return the configuration of a detector of torchvision that was saved here; None where the folder has none."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) and KEY in config else None


def open_folder(folder: Path, config: Mapping[str, Any]) -> Backbone:
    """Open a detector that was saved here.

    Raises:
        BackboneError: the weights do not fit.
    """
    options = config["options"]
    mean, std = (tuple(float(v) for v in options[key]) for key in ("image_mean", "image_std"))
    built = Built(config["architecture"], int(options["num_classes"]), int(config[KEY]["side"]), mean, std)  # type: ignore[arg-type]
    network = made(built.network)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"The weights of {folder} do not fit its architecture.", found=str(error)[:300]) from error
    return wrapped(built, network, (), str(folder), f"local folder {folder.name}")
