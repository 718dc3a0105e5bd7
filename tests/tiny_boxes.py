"""Tiny pictures with boxes that tests make, coloured rectangles on noise in COCO's layout, and networks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import tiny
from headstart.backbones import detectors
from headstart.backbones.backbone import Backbone
from headstart.backbones.maps import with_maps
from headstart.data.examples import Box
from headstart.stages import box_probe

COLOURS = {"brick": (225, 35, 30), "leaf": (40, 215, 50)}
SIZES = (96, 128)
"""Sides of the squares that pictures are given as in tests, as `detectors.SIZES`: a tenth of the work."""
SIDE = SIZES[0]
BATCH = 8


def scene(seed: int, shape: tuple[int, int] = (84, 110)) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Return pixels_HW3 of one to three coloured rectangles on grey noise, none over another, and where they are."""
    rng = np.random.default_rng([seed, 0xB0])
    height, width = shape
    coarse = Image.fromarray(rng.integers(20, 190, (3, 4), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels_HW3 = np.asarray(coarse).astype(int)[..., None] + rng.integers(-20, 20, (height, width, 3))
    boxes: list[Box] = []
    for _ in range(int(rng.integers(1, 4))):
        label = sorted(COLOURS)[int(rng.integers(2))]
        wide, tall = int(rng.integers(width // 4, width // 2)), int(rng.integers(height // 4, height // 2))
        left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - tall + 1))
        box = Box(label, left, top, left + wide, top + tall, of=(width, height))
        if any(_meet(box, other) for other in boxes):
            continue
        pixels_HW3[top : top + tall, left : left + wide] = COLOURS[label] + rng.integers(-15, 15, (tall, wide, 3))
        boxes.append(box)
    return pixels_HW3.clip(0, 255).astype(np.uint8), tuple(boxes)


def _meet(one: Box, other: Box) -> bool:
    across = min(one.right, other.right) - max(one.left, other.left)
    return across > 0 and min(one.bottom, other.bottom) > max(one.top, other.top)


def scenes(root: Path, each: int = 12, seed: int = 0) -> Path:
    """Write pictures in COCO's layout, so many for each of two classes; return the root."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for i in range(len(COLOURS) * each):
        pixels_HW3, boxes = scene(1000 * seed + i, (80 + i % 3 * 8, 112 - i % 4 * 8))
        (root / "images" / f"{i:03}.png").write_bytes(tiny.png(pixels_HW3))
        images.append({"id": i, "file_name": f"{i:03}.png", "width": pixels_HW3.shape[1], "height": len(pixels_HW3)})
        for box in boxes:
            corner = [box.left, box.top, box.right - box.left, box.bottom - box.top]
            kind = sorted(COLOURS).index(box.label)
            about = {"id": len(annotations) + 1, "image_id": i, "category_id": kind, "bbox": corner, "iscrowd": 0}
            annotations.append(about)
    categories = [{"id": k, "name": name} for k, name in enumerate(sorted(COLOURS))]
    said = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances.json").write_text(json.dumps(said))
    return root


def network_folder(folder: Path) -> Path:
    """Save a network whose maps at strides 8, 16 and 32 have few channels; return the folder."""
    return tiny.timm_folder(folder)


def mapped(folder: Path, size: int = SIDE) -> Backbone:
    """Return a tiny network that gives its maps; `folder` is where it is saved in between."""
    return with_maps(detectors.open_detector_backbone(str(network_folder(folder))), size)


@contextmanager
def small(steps: int = box_probe.STEPS) -> Iterator[None]:
    """Let pictures be given small, and detection heads be trained for so many steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detectors, "SIZES", SIZES)
        patch.setattr(box_probe, "STEPS", steps)
        patch.setattr(box_probe, "BATCH", BATCH)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)
