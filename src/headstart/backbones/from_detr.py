"""transformers: the detectors of DETR's family (RT-DETR, D-FINE, YOLOS, DETR …), taken whole. Its one door for them."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.backbones.backbone import Backbone, Saved, count_parameters, freeze, weights_digest
from headstart.backbones.from_transformers import preprocessing
from headstart.backbones.scratch import rebuilt
from headstart.backbones.whole import CUT, Detecting, Exported, Found, alike, carried, class_layers, detecting, made
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError
from headstart.heads.decode import LEAST_SCORE
from headstart.heads.detector import flat
from headstart.heads.finding import Objects

SIDE = 512
"""Of the squares that pictures are given as until the data are known, where the processor keeps their proportions."""
_SIZES = ("anchor_image_size", "eval_size")
"""Settings of a configuration that hold the size of pictures, where it has them."""


class OfTransformers(Detecting):
    """A detector of transformers; see `Detecting`. Its processor makes boxes of what it gives.

    Args:
        network, classes, new: as `Detecting` has them.
        processor: of a fixed size.
        preprocess: the same, as it is done here.
    """

    def __init__(
        self, network: nn.Module, processor: Any, preprocess: Preprocess, classes: int, new: tuple[str, ...] = ()
    ) -> None:
        super().__init__(network, classes, new)
        self.processor, self.preprocess = processor, preprocess

    def found(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        said = self.network(pixel_values=self.normalised(pixels_N3HW))
        sizes = [(1, 1)] * len(pixels_N3HW)  # shares of the sides
        each = self.processor.post_process_object_detection(said, threshold=LEAST_SCORE, target_sizes=sizes)
        return torch.stack([flat(one["scores"], one["labels"], one["boxes"].clamp(0, 1)) for one in each])

    def loss(self, pixels_N3HW: torch.Tensor, objects: list[Objects]) -> torch.Tensor:
        device = pixels_N3HW.device
        labels = [
            {"class_labels": each.label_T.to(device), "boxes": _middles(each.corners_T4).to(device)} for each in objects
        ]
        loss: torch.Tensor = self.network(pixel_values=self.normalised(pixels_N3HW), labels=labels).loss
        return loss

    def normalised(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        """Return pixels as the network is given them."""
        mean, std = (
            pixels_N3HW.new_tensor(v, dtype=torch.float32) for v in (self.preprocess.mean, self.preprocess.std)
        )
        return (pixels_N3HW.float() / 255 - mean[:, None, None]) / std[:, None, None]

    def refitted(self, backbone: Backbone, classes: int, side: int) -> Backbone:
        _see_scipy(backbone.name)
        old: Any = self.network
        processor = squared(self.processor, min(side, _own_side(self.processor) or side))
        build = partial(_from_config, old.config, tuple(processor.size[k] for k in ("height", "width")))
        network = made(partial(build, classes))
        new = carried(old.state_dict(), network, made(lambda: class_layers(build, classes)) | set(self.new))
        made_new = wrapped(network, processor, new, backbone.name, backbone.source)
        _try(made_new)
        return made_new

    def exported(self) -> Exported:
        from headstart.backbones.raw_detr import exported

        return exported(self)


def _try(backbone: Backbone) -> None:
    """Run a detector and its loss once, in eval mode.

    Raises:
        BackboneError: it cannot be run or trained as others are, or not on pictures of this size.
    """
    trunk, side = detecting(backbone), backbone.preprocess.record()["size"]
    black_13HW = torch.zeros(1, 3, *side, dtype=torch.uint8)
    one = Objects(torch.tensor([[0.25, 0.25, 0.75, 0.75]]), torch.zeros(1, dtype=torch.long))
    try:
        with torch.no_grad():
            trunk.found(black_13HW)
            trunk.loss(black_13HW, [one])
    except Exception as error:  # foreign code, of any kind of network
        raise BackboneError(
            f"{backbone.name} cannot be trained here on pictures of {side[1]} x {side[0]}.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="RT-DETR, D-FINE, YOLOS, DETR and Conditional DETR can.",
        ) from error


def _middles(corners_T4: torch.Tensor) -> torch.Tensor:
    """Return middle and size of boxes, as transformers has them."""
    low_T2, high_T2 = corners_T4[:, :2], corners_T4[:, 2:]
    return torch.cat([(low_T2 + high_T2) / 2, high_T2 - low_T2], 1)


def is_detector(place: str) -> bool:
    """Whether a folder or a hub name has the configuration of a detector; what cannot be read has none."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as KNOWN

    folder = Path(place)
    try:
        if folder.is_dir():
            return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")) in KNOWN
        return str(AutoConfig.from_pretrained(place, trust_remote_code=False).model_type) in KNOWN
    except Exception:  # a file or a hub: whoever opens it next says what is wrong
        return False


def open_detector(place: str, name: str, source: str) -> Backbone:
    """Open a detector by hub name or folder.

    Raises:
        BackboneError: it cannot be loaded, or lacks weights or its processor.
    """
    import transformers
    from transformers import AutoModelForObjectDetection

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    processor = _processor(place, name)
    try:
        # trust_remote_code is off by default only after a question on the terminal.
        network, report = AutoModelForObjectDetection.from_pretrained(
            place, dtype="float32", output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # foreign files and a hub: anything can be wrong
        raise BackboneError(
            f"transformers cannot load {name} as a detector.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="The folder needs config.json, model.safetensors and preprocessor_config.json of a detector.",
        ) from error
    if lost := sorted(report["missing_keys"]):
        raise BackboneError(
            f"The weights of {name} lack layers: they are no whole detector's.",
            found=f"{len(lost)}, such as {', '.join(lost[:3])}",
            hint="Take a model that was trained to detect; a network that classifies cannot be one of DETR's family.",
        )
    return wrapped(network, processor, (), name, source)


def _processor(place: str, name: str) -> Any:
    from transformers import AutoImageProcessor

    try:
        found = AutoImageProcessor.from_pretrained(place, trust_remote_code=False)
    except Exception as error:  # as above
        raise BackboneError(
            f"{name} has no image processor: how pictures become its input is not known.",
            found=f"{type(error).__name__}: {error}"[:200],
            hint="The folder needs the preprocessor_config.json that the model was published with.",
        ) from error
    if not hasattr(found, "post_process_object_detection"):
        raise BackboneError(
            f"The image processor of {name} is not one of a detector.",
            found=type(found).__name__,
            hint="preprocessor_config.json is of another model: take the one that the detector was published with.",
        )
    return found if _own_side(found) else squared(found, SIDE)


def _own_side(processor: Any) -> int:
    """Return the side of the squares that a processor makes of pictures; 0 where it keeps their proportions."""
    size: Any = processor.size
    try:
        return int(max(size["height"], size["width"]))
    except (KeyError, TypeError):
        return 0


def squared(processor: Any, side: int) -> Any:
    """Return a processor that squashes pictures to squares, so that shares of their sides stay shares."""
    return type(processor).from_dict(
        {**processor.to_dict(), "size": {"height": side, "width": side}, "do_pad": False, "pad_size": None}
    )


def wrapped(network: Any, processor: Any, new: tuple[str, ...], name: str, source: str) -> Backbone:
    """Return a detector with its processor as a backbone.

    Raises:
        BackboneError: the processor does something that is not supported.
    """
    preprocess = preprocessing(processor)
    config, classes = network.config, int(network.config.num_labels)
    trunk = freeze(OfTransformers(network, processor, preprocess, classes, new))
    build = partial(_from_config, config, preprocess.size, classes)
    return Backbone(
        name=name,
        library="transformers",
        architecture=str(config.model_type),
        trunk=trunk,
        preprocess=preprocess,
        dim=3 * preprocess.size[0] * preprocess.size[1],
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut=CUT,
        missing=(),
        save=_save,
        fresh=partial(rebuilt, lambda: OfTransformers(build(), processor, preprocess, classes, new), trunk),
        whole=alike,
    )


def _see_scipy(name: str) -> None:
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        raise BackboneError(
            f"{name} is trained by matching boxes with objects, which takes scipy.",
            hint='pip install "headstart[detr]"',
        )


def _from_config(config: Any, size: tuple[int, ...], classes: int) -> nn.Module:
    """Build the detector that a configuration describes, for other classes and pictures, with random weights."""
    from transformers import AutoModelForObjectDetection

    config = deepcopy(config)
    config.id2label = {k: str(k) for k in range(classes)}
    config.label2id = {str(k): k for k in range(classes)}
    config.use_pretrained_backbone = False
    for setting in _SIZES:
        if getattr(config, setting, None):
            setattr(config, setting, list(size))
    network: nn.Module = AutoModelForObjectDetection.from_config(config, dtype="float32", trust_remote_code=False)
    return network


_CODE = """from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection

model = AutoModelForObjectDetection.from_pretrained(".").eval()
processor = AutoImageProcessor.from_pretrained(".")


def found(path):
    picture = Image.open(path).convert("RGB")
    said = model(**processor(images=picture, return_tensors="pt"))
    sizes = [(picture.height, picture.width)]  # names of labels are in model.config.id2label
    return processor.post_process_object_detection(said, threshold={threshold}, target_sizes=sizes)[0]"""


def _save(folder: Path, labels: tuple[str, ...], trunk: Any, head: Any) -> Saved:
    """Write network and processor, and read them back, so that what is checked is what lies there."""
    network: Any = trunk.network
    network.config.id2label = dict(enumerate(labels))
    network.config.label2id = {label: k for k, label in enumerate(labels)}
    network.config.architectures = [type(network).__name__]
    network.save_pretrained(folder)
    trunk.processor.save_pretrained(folder)
    again = open_detector(str(folder), str(folder), "")
    return Saved("transformers", _CODE.format(threshold=head.written()), freeze(Found(detecting(again))))
