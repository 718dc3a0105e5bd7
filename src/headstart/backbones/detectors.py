"""Finding the network that a detector is put on, by what the user wrote: any image backbone, or a saved detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.images import open_image_backbone
from headstart.backbones.maps import detector_config, open_maps, with_maps
from headstart.data.examples import Box, Target

SIZES = (320, 384, 448, 512, 640)
"""Sides of the squares that pictures are given as, in pixels."""
SMALL = 16.0
"""A box with sides of fewer pixels is two cells of the finest map: too few to be told from what is beside it."""
_FEW = 10  # per cent of the boxes may be smaller


def open_detector_backbone(name: str) -> Backbone:
    """Open a pretrained image network, or that of a detector of headstart's.

    Args:
        name: as `open_image_backbone` takes it; or the folder of a saved detector.

    Raises:
        BackboneError: there is no such network, or it cannot carry a detector.
    """
    folder = Path(name).expanduser()
    if config := detector_config(folder):
        return open_maps(folder, config, _made)
    return open_image_backbone(name)


def _made(library: str, architecture: str) -> Backbone:
    """Return an image network of a library, with random weights."""
    from headstart.backbones import from_timm, from_torchvision

    if library == "timm":
        return from_timm.wrap(architecture, from_timm.build(architecture, num_classes=0), source="")
    return from_torchvision.with_weights(
        architecture, from_torchvision.build(architecture).state_dict(), (), architecture, ""
    )


def fitted(backbone: Backbone, targets: Sequence[Target]) -> Backbone:
    """Return a network that gives its maps, of pictures so large that the boxes can be seen.

    Args:
        backbone: an image network; one that gives maps already is left as it is.
        targets: the boxes of all pictures.

    Raises:
        BackboneError: it cannot carry a detector.
    """
    if backbone.maps:
        return backbone
    size = size_for(targets)
    seen = f"nine boxes of ten have sides of {SMALL:g} pixels or more"
    why = f"pictures are squashed to {size} x {size}: the smallest size at which {seen}, or the largest there is"
    return replace(with_maps(backbone, size), why=why)


def size_for(targets: Sequence[Target]) -> int:
    """Return the least of `SIZES` at which nine boxes of ten have sides of `SMALL` pixels or more; else the largest."""
    boxes = [box for t in targets if isinstance(t, tuple) for box in t if isinstance(box, Box)]
    sides = [((s[2] - s[0]) * (s[3] - s[1])) ** 0.5 for s in (box.shares for box in boxes)]
    small = float(np.percentile(sides, _FEW)) if sides else 1.0
    return next((size for size in SIZES if size * small >= SMALL), SIZES[-1])
