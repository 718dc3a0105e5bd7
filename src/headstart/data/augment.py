"""Augmented views of pictures: crops, mirrored or not, a little lighter or darker. Drawn from what is written down.

Every draw comes from a generator that the caller seeds with numbers that name the draw (seed, view, bytes; or seed,
epoch, index), never from a global one: the same picture in the same place of the same run is always seen the same way.
The recipe is the field's standard for small data (Inception crops, Szegedy et al. 2015, 1409.4842, from 40% of the
area on; mirror images; light), without what needs long training to pay (RandAugment, mixup).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headstart.data.pixels import Pixels, Preprocess, load_pixels

VERSION = 1
"""Goes up with every change here that moves a pixel of a view."""
LEAST_AREA = 0.4
ASPECT = 4 / 3
LIGHT = 0.2
_WIDER = 8 / 7  # of a network that takes the whole picture, this much more is kept to crop from


@dataclass(frozen=True)
class View:
    """One way of looking at every picture: number 0 is the picture as it is, the others are augmented."""

    number: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """What the cache calls it."""
        return f"view {self.number} of seed {self.seed}, augmentation {VERSION}" if self.number else "clean"


def wide(preprocess: Preprocess) -> Preprocess:
    """Return the preprocessing that keeps as much of a picture as crops are taken from: square-ish, resized once."""
    height, width = (max(a, round(b * _WIDER)) for a, b in zip(preprocess.resize_to, preprocess.size, strict=True))
    return replace(preprocess, size=(height, width), resize_to=(height, width))


def load_view(data: bytes, preprocess: Preprocess, view: View) -> Pixels:
    """Return pixels_3HW of a view of a picture; depends on nothing but the arguments.

    Raises:
        DataError: it cannot be decoded.
    """
    if not view.number:
        return load_pixels(data, preprocess)
    rng = drawn_from(hashlib.sha256(data).hexdigest(), view)
    return augment(load_pixels(data, wide(preprocess)), preprocess.size, rng)


def drawn_from(digest: str, view: View) -> np.random.Generator:
    """Return the generator that a view of a picture is drawn from; `digest` is the SHA-256 of its bytes, in hex."""
    words = np.frombuffer(bytes.fromhex(digest)[:8], np.uint32)
    return np.random.default_rng([view.seed, view.number, *(int(w) for w in words)])


def augment(pixels_3HW: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a random crop of a picture at `size`, mirrored half of the time, lighter or darker.

    Args:
        pixels_3HW: uint8.
        size: height and width of the result.
        rng: draws; six numbers whatever they are, so that later draws do not depend on earlier ones.
    """
    import torch
    from torchvision.transforms.v2 import functional as F

    area, aspect, down, right, mirror, light = rng.random(6)
    top, left, height, width = crop(pixels_3HW.shape[1:], area, aspect, down, right)
    part = torch.from_numpy(np.ascontiguousarray(pixels_3HW[:, top : top + height, left : left + width]))
    part = F.resize(part, list(size), antialias=True)
    if mirror < 0.5:
        part = part.flip(-1)
    scaled = part.float() * (1 + LIGHT * (2 * light - 1))
    return scaled.round_().clamp_(0, 255).to(torch.uint8).numpy()


def crop(shape: tuple[int, ...], area: float, aspect: float, down: float, right: float) -> tuple[int, int, int, int]:
    """Return top, left, height, width of a crop, from four numbers in 0..1."""
    height, width = shape
    share = LEAST_AREA + (1 - LEAST_AREA) * area
    stretch = math.exp((2 * aspect - 1) * math.log(ASPECT) / 2)
    tall = max(1, min(height, round(height * math.sqrt(share) * stretch)))
    broad = max(1, min(width, round(width * math.sqrt(share) / stretch)))
    return int(down * (height - tall + 1)), int(right * (width - broad + 1)), tall, broad
