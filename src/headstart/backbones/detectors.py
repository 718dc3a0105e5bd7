"""Finding the network that a detector is put on, by what the user wrote: any image backbone, or a detector itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.images import open_image_backbone
from headstart.backbones.maps import detector_config, open_maps, with_maps
from headstart.data.examples import Box, Target, labels_of

SIZES = (320, 384, 448, 512, 640)
"""Sides of the squares that pictures are given as, in pixels."""
SMALL = 16.0
"""A box with sides of fewer pixels is two cells of the finest map: too few to be told from what is beside it."""
_FEW = 10  # per cent of the boxes may be smaller


def open_detector_backbone(name: str) -> Backbone:
    """Open a pretrained image network, or a detector.

    Args:
        name: as `open_image_backbone` takes it; the folder of a saved detector; a detector of torchvision, such as
            `ssd300_vgg16`, `ssd300_vgg16@FILE` or, with weights of its classification network,
            `ssd300_vgg16:vgg16@FILE`; or one of transformers, as a folder or a hub address.

    Raises:
        BackboneError: there is no such network, or it cannot carry a detector.
        UsageError: a file that was named is not there.
    """
    folder = Path(name).expanduser()
    if config := detector_config(folder):
        return open_maps(folder, config, _made)
    return _open_whole(folder, name) or open_image_backbone(name)


def _open_whole(folder: Path, name: str) -> Backbone | None:
    """Open what was pretrained as a detector; None for anything else."""
    from headstart.backbones import detector_weights, from_detr, from_torchvision_detectors

    if config := from_torchvision_detectors.config_of(folder):
        return from_torchvision_detectors.open_folder(folder, config)
    if folder.is_dir():
        here = str(folder)
        return (
            from_detr.open_detector(here, name, f"local folder {folder.name}") if from_detr.is_detector(here) else None
        )
    if detector_weights.named(name):
        return detector_weights.open_named(name)
    plain = (
        name.count("/") == 1 and not name.startswith((".", "/", "~", "hf-hub:", "hf_hub:", "timm/")) and "@" not in name
    )
    if plain and from_detr.is_detector(name):
        return from_detr.open_detector(name, name, f"Hugging Face hub: {name}")
    return None


def _made(library: str, architecture: str) -> Backbone:
    """Return an image network of a library, with random weights."""
    from headstart.backbones import from_timm, from_torchvision

    if library == "timm":
        return from_timm.wrap(architecture, from_timm.build(architecture, num_classes=0), source="")
    return from_torchvision.with_weights(
        architecture, from_torchvision.build(architecture).state_dict(), (), architecture, ""
    )


def fitted(backbone: Backbone, targets: Sequence[Target], learned: Sequence[Target] = ()) -> Backbone:
    """Return a network that gives its maps, of pictures so large that the boxes can be seen; of a detector, one with
    new layers for the classes.

    Args:
        backbone: an image network; one that gives maps already is left as it is. Or a detector.
        targets: the boxes of all pictures.
        learned: those of the pictures that are learned from, which say what classes there are.

    Raises:
        BackboneError: it cannot carry a detector.
    """
    if backbone.maps:
        return backbone
    size = size_for(targets)
    seen = f"nine boxes of ten have sides of {SMALL:g} pixels or more"
    if backbone.whole:
        return _refitted(backbone, len({label for t in learned for label in labels_of(t)}), size, seen)
    why = f"pictures are squashed to {size} x {size}: the smallest size at which {seen}, or the largest there is"
    return replace(with_maps(backbone, size), why=why)


def _refitted(backbone: Backbone, classes: int, size: int, seen: str) -> Backbone:
    """Return a detector with new layers for so many classes, of pictures of this size where it takes it."""
    from headstart.backbones.whole import detecting

    made = detecting(backbone).refitted(backbone, classes, size)
    height, width = pixels(made).size
    what = f"the smallest at which {seen}, or the largest there is" if height == size else "as its network was made for"
    return replace(made, why=f"pictures are squashed to {width} x {height}: {what}")


def size_for(targets: Sequence[Target]) -> int:
    """Return the least of `SIZES` at which nine boxes of ten have sides of `SMALL` pixels or more; else the largest."""
    boxes = [box for t in targets if isinstance(t, tuple) for box in t if isinstance(box, Box)]
    sides = [((s[2] - s[0]) * (s[3] - s[1])) ** 0.5 for s in (box.shares for box in boxes)]
    small = float(np.percentile(sides, _FEW)) if sides else 1.0
    return next((size for size in SIZES if size * small >= SMALL), SIZES[-1])
