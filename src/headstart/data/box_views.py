"""Views of pictures with boxes: crops, mirrored or not, a little lighter or darker, and the boxes that go with them.

Where a crop lies is drawn before anything else, from a generator that names the draw; so the boxes can be moved by
another that is seeded alike, without the picture. Crops are from half of the area on: smaller ones cut more objects
than they show. A change here that moves a pixel raises `augment.VERSION`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.augment import ASPECT, LIGHT, View, drawn_from, wide
from headstart.data.pixels import Pixels, Preprocess, load_pixels

LEAST_AREA = 0.5
LEAST_SEEN = 0.3
"""Of a box's area, a view must show so much for it to be still there."""
WHOLE = 0.25
"""Of the views, so many show the whole picture."""


@dataclass(frozen=True)
class Window:
    """What a view shows of a picture, in shares of its sides; whether mirrored; how much lighter."""

    left: float
    top: float
    width: float
    height: float
    mirrored: bool
    light: float


def window(rng: np.random.Generator) -> Window:
    """Draw a window."""
    area, aspect, down, right, mirror, light, whole = rng.random(7)
    share = 1.0 if whole < WHOLE else LEAST_AREA + (1 - LEAST_AREA) * area
    stretch = 1.0 if whole < WHOLE else math.exp((2 * aspect - 1) * math.log(ASPECT) / 2)
    height, width = min(1.0, math.sqrt(share) * stretch), min(1.0, math.sqrt(share) / stretch)
    return Window(right * (1 - width), down * (1 - height), width, height, mirror < 0.5, 1 + LIGHT * (2 * light - 1))


def load_box_view(data: bytes, preprocess: Preprocess, view: View) -> Pixels:
    """Return pixels_3HW of a view of a picture; depends on nothing but the arguments.

    Raises:
        DataError: it cannot be decoded.
    """
    if not view.number:
        return load_pixels(data, preprocess)
    rng = drawn_from(hashlib.sha256(data).hexdigest(), view)
    return seen(load_pixels(data, wide(preprocess)), preprocess.size, rng)


def seen(pixels_3HW: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return what a window that is drawn shows of a picture, at `size`."""
    import torch
    from torchvision.transforms.v2 import functional as F

    shown = window(rng)
    height, width = pixels_3HW.shape[1:]
    top, bottom = round(shown.top * height), round((shown.top + shown.height) * height)
    left, right = round(shown.left * width), round((shown.left + shown.width) * width)
    part = F.resize(torch.from_numpy(pixels_3HW[:, top:bottom, left:right].copy()), list(size), antialias=True)
    if shown.mirrored:
        part = part.flip(-1)
    return (part.float() * shown.light).round_().clamp_(0, 255).to(torch.uint8).numpy()


def moved(truth_BT6: NDArray[np.float32], draws: Sequence[np.random.Generator | None]) -> NDArray[np.float32]:
    """Return boxes where they lie in views: class, left, top, right, bottom, crowd; class -1 where too little is seen.

    Args:
        truth_BT6: in shares of the whole picture.
        draws: the generators that the views were drawn from; None for the picture as it is.
    """
    out_BT6 = truth_BT6.copy()
    for truth_T6, rng in zip(out_BT6, draws, strict=True):
        if rng is not None:
            _move(truth_T6, window(rng))
    return out_BT6


def _move(truth_T6: NDArray[np.float32], shown: Window) -> None:
    across = (truth_T6[:, [1, 3]] - shown.left) / shown.width
    down = (truth_T6[:, [2, 4]] - shown.top) / shown.height
    if shown.mirrored:
        across = 1 - across[:, ::-1]
    area = (across[:, 1] - across[:, 0]) * (down[:, 1] - down[:, 0])
    across, down = across.clip(0, 1), down.clip(0, 1)
    left = (across[:, 1] - across[:, 0]) * (down[:, 1] - down[:, 0])
    truth_T6[:, [1, 3]], truth_T6[:, [2, 4]] = across, down
    truth_T6[left < np.maximum(LEAST_SEEN * area, 1e-9), 0] = -1
