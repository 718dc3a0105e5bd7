"""Image classification: one label a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, from_pixels, pixels
from headstart.backbones.depths import Depth
from headstart.backbones.images import open_image_backbone
from headstart.data.augment import View, augment, load_view, wide
from headstart.data.examples import FileContent
from headstart.data.pictures import inspect_picture
from headstart.data.pixels import load_pixels
from headstart.errors import DataError
from headstart.tasks.task import Augment, Load, Task

_THUMBNAIL = 192


def _load(backbone: Backbone) -> Load:
    return partial(load_pixels, preprocess=pixels(backbone))


def _view(backbone: Backbone, view: View) -> Load:
    return partial(load_view, preprocess=pixels(backbone), view=view)


def _wide(backbone: Backbone) -> Load:
    return partial(load_pixels, preprocess=wide(pixels(backbone)))


def _change(backbone: Backbone) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    return lambda pixels_3HW, rng: augment(pixels_3HW, pixels(backbone).size, rng)


def _given(path: str | Path | tuple[str, ...]) -> FileContent:
    if isinstance(path, tuple):
        raise DataError("A picture is given by its path or its bytes.", found="a tuple")
    return FileContent(Path(path))


def _depths(backbone: Backbone) -> tuple[Depth, ...]:
    from headstart.backbones.depth import image_depths

    return image_depths(backbone)


def thumbnail(data: bytes) -> str:
    """Return a small JPEG of a picture as a data URI, its longer side 192 px at most."""
    from PIL import Image, ImageOps

    from headstart.report import data_uri

    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (2 * _THUMBNAIL, 2 * _THUMBNAIL))
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=78)
    return data_uri(out.getvalue())


def _several(backbone: Backbone) -> Backbone:
    from headstart.backbones.earlier import at_several

    return at_several(backbone)


def _joins(backbone: Backbone) -> bool:
    from headstart.backbones.joined import LIBRARIES

    return backbone.library in LIBRARIES


IMAGE_CLASSIFICATION = Task(
    name="image-classification",
    noun="picture",
    kind="picture",
    inspect=inspect_picture,
    backbone=open_image_backbone,
    load=_load,
    size=lambda _: 0,
    batch=1,
    depths=_depths,
    several=_several,
    joins=_joins,
    given=_given,
    inputs=lambda path, _: [(path, FileContent(Path(path)))],
    augment=Augment(_view, _wide, _change, views=8),
    network=from_pixels,
    draw=thumbnail,
    pieces=None,
    sample='"new.jpg"',
    endings=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jfif", ".mpo"),
)
