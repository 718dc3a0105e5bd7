"""Maps: any image network of timm or torchvision as what a detector is put on, its maps at strides 8, 16 and 32.

The places are found by looking: the last end of a block at which a map is so fine. They lie in one row, so that engine
and cache need not know that there are three.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from headstart.backbones.backbone import Backbone, Saved, count_parameters, freeze, pixels, weights_digest
from headstart.backbones.cut import activation_at, cuts, trace, upto
from headstart.backbones.scratch import rebuilt
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError
from headstart.heads.boxes import BoxHead, BoxPlan

STRIDES = (8, 16, 32)
ROUGH = 0.1
"""Some networks lose a row at the rim: SqueezeNet makes 39 of 320 pixels, not 40."""
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
BODY = "backbone.body."


class Maps(nn.Module):
    """normalised pixels_N3HW -> the maps of some places, flat and one after another, features_ND."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels_N3HW: Tensor) -> Tensor:
        return torch.cat([each.flatten(1) for each in self.network(pixels_N3HW)], 1)


def with_maps(backbone: Backbone, size: int, names: Sequence[str] = ()) -> Backbone:
    """Return a network that gives its maps, of pictures squashed to a square.

    Args:
        backbone: an image network of timm or torchvision.
        size: side of the square in pixels, a multiple of 32.
        names: the places, as `create_feature_extractor` has them; found by looking where they are left out.

    Raises:
        BackboneError: it has no maps, cannot be traced, or is of another library.
    """
    if backbone.library not in ("timm", "torchvision"):
        raise BackboneError(
            f"{backbone.name} cannot carry a detector.",
            found=f"a network of {backbone.library}",
            hint="Take one of timm's or torchvision's (efficientnet_lite0, resnet18, vgg16@FILE), or one that was "
            "trained to detect (ssd300_vgg16@FILE, a folder of RT-DETR).",
        )
    prepared = squashed(pixels(backbone), size)
    trunk, places, shapes = _mapped(backbone.trunk, size, names)
    return replace(
        backbone,
        trunk=trunk,
        preprocess=prepared,
        dim=sum(channels * height * width for channels, height, width in shapes),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        cut=f"maps after {', '.join(places)}",
        save=partial(_save, backbone.library, backbone.architecture, prepared, trunk, places),
        fresh=lambda: rebuilt(lambda: _mapped(backbone.fresh(), size, places)[0], trunk),
        maps=shapes,
        maps_of=size,
    )


def squashed(preprocess: Preprocess, size: int) -> Preprocess:
    """Return the preprocessing that gives the whole picture as a square, so that shares of its sides stay shares."""
    return replace(preprocess, size=(size, size), resize="squash", resize_to=(size, size))


def _mapped(
    trunk: nn.Module, size: int, names: Sequence[str] = ()
) -> tuple[Maps, tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    graph, example = trace(trunk), torch.zeros(1, 3, size, size)
    nodes = list(graph.graph.nodes)
    found: dict[int, tuple[str, int, Any]] = {}
    wanted = {_plain(name) for name in names}
    for place in cuts(graph, example):
        node = activation_at(nodes, place.index)
        shape: tuple[int, ...] = node.meta["shape"] if node is not None else ()
        stride = _stride(size, shape)
        if stride and (not wanted or _plain(place.name) in wanted):
            found[stride] = (place.name, place.index, node)
    if not found:
        raise BackboneError("The network has no maps at strides 8, 16 or 32: it cannot carry a detector.")
    kept = [found[stride] for stride in sorted(found)]
    shapes = tuple(tuple(node.meta["shape"][1:]) for _, _, node in kept)
    network = upto(graph, kept[-1][1], [node for _, _, node in kept])
    maps = freeze(Maps(network))
    return maps, tuple(name for name, _, _ in kept), shapes  # type: ignore[return-value]


def _plain(name: str) -> str:
    """Return a name as the library has it: networks that lack their top are kept as the body of another."""
    return name.removeprefix("body.")


def _stride(size: int, shape: tuple[int, ...]) -> int:
    """Return the stride of maps_NCHW, where it is one of `STRIDES` but for what is lost at the rim; else 0."""
    if len(shape) != 4:
        return 0
    return next((stride for stride in STRIDES if abs(size / shape[2] - stride) < ROUGH * stride), 0)


LOADING = """import json
from collections import OrderedDict
import torch, {library}
from safetensors.torch import load_file
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

class Below(torch.nn.Module):
    def __init__(self, network, places, maps, channels):
        super().__init__()
        self.body, self.maps = network, OrderedDict()
        self.fpn = FeaturePyramidNetwork([c for c, _, _ in maps], channels)
        self.out_channels = channels
        for place in places:
            network.get_submodule(place).register_forward_hook(
                lambda module, given, out, place=place: self.maps.__setitem__(place, out))

    def forward(self, pixels):
        self.body(pixels)
        return self.fpn(OrderedDict(self.maps))

config = json.load(open("config.json"))
d, labels = config["detector"], config["labels"]
network = {network}
strides = tuple((d["size"] // h,) for _, h, _ in d["maps"])
model = FCOS(
    Below(network, d["places"], d["maps"], d["channels"]), len(labels),
    anchor_generator=AnchorGenerator(strides, ((1.0,),) * len(strides)),
    head=FCOSHead(d["channels"], 1, len(labels), d["convolutions"]),
    image_mean=config["mean"], image_std=config["std"], fixed_size=(d["size"], d["size"]),
    score_thresh=d["threshold"], nms_thresh={overlap}, detections_per_img={slots}, topk_candidates={candidates},
)
model.load_state_dict(load_file("model.safetensors"), strict=False)  # what lies above the maps is not used
model.eval()  # [pixels_3HW in 0..1] -> [dict(boxes=…, labels=…, scores=…)], boxes in pixels of the picture"""
_NETWORKS = {
    "timm": "timm.create_model(config['architecture'], num_classes=0)",
    "torchvision": "torchvision.models.get_model(config['architecture'])",
}


def _save(
    library: str,
    architecture: str,
    preprocess: Preprocess,
    trunk: Maps,
    places: tuple[str, ...],
    folder: Path,
    labels: tuple[str, ...],
    state: Mapping[str, Any],
    head: BoxHead,
) -> Saved:
    """Write trunk and head as one torchvision FCOS, which a page of torchvision's own calls loads."""
    from safetensors.torch import save

    from headstart.heads.boxes import SLOTS
    from headstart.heads.decode import CANDIDATES, OVERLAP
    from headstart.store import save_bytes, save_json

    tensors = {f"{BODY}{_plain(name)}": t.detach().contiguous() for name, t in trunk.network.state_dict().items()}
    tensors |= {name: torch.from_numpy(value) for name, value in state.items()}
    save_bytes(folder / WEIGHTS, save(tensors))
    record = {**head.plan.record(), "places": [_plain(place) for place in places], "threshold": head.threshold}
    save_json(
        folder / CONFIG,
        {
            "library": library,
            "architecture": architecture,
            "num_classes": len(labels),
            "labels": list(labels),
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "preprocessing": preprocess.record(),
            "detector": record,
        },
    )
    code = LOADING.format(
        library=library, network=_NETWORKS[library], overlap=OVERLAP, slots=SLOTS, candidates=CANDIDATES
    )
    return Saved("torchvision", code, _alone(trunk, state, head.plan))


def _alone(trunk: Maps, state: Mapping[str, Any], plan: BoxPlan) -> nn.Module:
    """Return the whole detector, as `headstart.heads.detector.Alone` has it, built as the folder is loaded."""
    from collections import OrderedDict

    from headstart.heads.detector import Alone, Pyramid, detector

    class Below(Pyramid):
        def __init__(self) -> None:
            super().__init__(plan)
            self.body = trunk.network

        def forward(self, pixels_N3HW: Any) -> Any:
            maps = self.body(pixels_N3HW)
            return self.fpn(OrderedDict((str(i), each) for i, each in enumerate(maps)))

    fcos = detector(plan, Below())
    fcos.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
    return Alone(fcos, plan.size)


def detector_config(folder: Path) -> dict[str, Any] | None:
    """Return the configuration of a detector that was saved here; None where the folder has none."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) and "detector" in config else None


def open_maps(folder: Path, config: Mapping[str, Any], make: Any) -> Backbone:
    """Open the network of a saved detector.

    Args:
        folder: where it lies.
        config: its configuration.
        make: (library, architecture) -> the image network, with any weights.

    Raises:
        BackboneError: the weights do not fit.
    """
    from safetensors.torch import load_file

    wanted = config["detector"]
    made = with_maps(make(config["library"], config["architecture"]), int(wanted["size"]), wanted["places"])
    state = load_file(folder / WEIGHTS)
    body = {name.removeprefix(BODY): t for name, t in state.items() if name.startswith(BODY)}
    trunk = made.trunk
    assert isinstance(trunk, Maps)
    own = {_plain(name): name for name in trunk.network.state_dict()}
    try:
        trunk.network.load_state_dict({own.get(name, name): tensor for name, tensor in body.items()})
    except RuntimeError as error:
        raise BackboneError(f"The weights of {folder} do not fit its architecture.", found=str(error)[:300]) from error
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config["preprocessing"].items()}
    told = Preprocess(**given)
    made = replace(made, name=str(folder), weights=weights_digest(trunk), preprocess=told)
    return replace(made, save=partial(_save, made.library, made.architecture, told, trunk, tuple(wanted["places"])))
