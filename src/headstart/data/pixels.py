"""Pixels: from a picture's bytes to what a network is given, fast and always the same way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.data import jpeg
from headstart.data.pictures import HEADER_ERRORS, MAX_PIXELS, open_picture, orientation
from headstart.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Pixels = NDArray[np.uint8]

DECODER_VERSION = 1
"""Goes up with every change here that moves a pixel."""
CAMERA_PIXELS = 2_000_000
"""From so many pixels on, a JPEG may be decoded at a half, a quarter or an eighth of its size."""

# At 12 megapixels the reduced decode takes 10 ms, the whole one 35 ms; the result differs by 0.1 of 255 on
# average.
_REDUCED_TO = 2  # times the size it is then resized to


@dataclass(frozen=True)
class Preprocess:
    """How pictures become a network's input.

    Attributes:
        size: height and width given to the network, in pixels.
        resize: `shortest` keeps the proportions, `squash` does not.
        resize_to: height and width before the centre crop. With `shortest` and two equal numbers the shorter
            edge gets that length (torchvision's rule: the longer one is rounded down); with two different
            numbers the picture just covers them (timm's rule for networks that are not square).
        interpolation: the filter.
        mean, std: for each of red, green and blue in 0..1; applied inside the network, not here.
        crop: what becomes of half a pixel in the crop's place: torchvision rounds it, transformers drops it.
    """

    size: tuple[int, int]
    resize: Literal["shortest", "squash"]
    resize_to: tuple[int, int]
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop: Literal["round", "floor"] = "round"

    def key(self) -> str:
        """Return all that decides the numbers a network sees, libraries included, for the cache's key."""
        settings = ";".join(f"{name}={value}" for name, value in asdict(self).items())
        return f"{settings};decoder={_decoder()};version={DECODER_VERSION}"

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)

    def said(self) -> str:
        """Return it as people read it."""
        mean, std = (", ".join(f"{v:.3g}" for v in values) for values in (self.mean, self.std))
        centre = f"{self.size[0]} × {self.size[1]}"
        colours = f"mean ({mean}), std ({std}), RGB"
        return f"{self.resize} to {self.resize_to[0]}, centre {centre}, {self.interpolation}, {colours}"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture of this height and width is resized to."""
        to_height, to_width = self.resize_to
        if self.resize == "squash":
            return self.resize_to
        if to_height != to_width:
            ratio = min(height / to_height, width / to_width)
            return round(height / ratio), round(width / ratio)
        if width <= height:
            return int(to_width * height / width), to_width
        return to_height, int(to_height * width / height)


@functools.cache
def _decoder() -> str:
    import PIL
    import torchvision

    name = "torchvision" if _torchvision_decodes() else "pillow"
    return f"{name} jpeg, torchvision {torchvision.__version__}, pillow {PIL.__version__}"


@functools.cache
def _torchvision_decodes() -> bool:
    """Whether torchvision still has its JPEG decoder; 0.29 announces that a later release will not."""
    import torch
    import torchvision.io  # noqa: F401 - registers the operator

    return hasattr(torch.ops.image, "decode_jpeg")


def decoding_thread() -> None:
    """Initialise a thread that calls `load_pixels`: PyTorch takes one core in it.

    Threads that already used PyTorch keep their number; one that first uses it later would start with one,
    too. Whoever makes such threads calls `torch.set_num_threads(torch.get_num_threads())` in its own once
    these run.
    """
    import torch

    _decoder()  # imports are not left to race
    torch.set_num_threads(1)


def load_pixels(data: bytes, preprocess: Preprocess) -> Pixels:
    """Decode, turn upright as EXIF says, resize and crop a picture.

    Transparency is laid on white, 16 bits are scaled to 8, of an animation the first frame is taken. What the
    crop exceeds is black, as torchvision has it. Thread-safe.

    The decoder's values are Pillow's exactly, but for camera-size JPEGs, decoded at no less than twice the size
    they are resized to. Nearest and Lanczos are Pillow's. Bicubic and bilinear are PyTorch's: weights of 15
    bits, Pillow's have 22, so that on photos 99.7% of the values are Pillow's, nearly all others differ by 1 of
    255, about three in a million by 2. (Float weights would be further off: Pillow rounds and clips between its
    two passes.) With `squash`, Pillow from 13 on does the vertical pass first for some shapes, where a quarter
    of the values differ by 1, as they do between its own versions.

    Args:
        data: the file's bytes.
        preprocess: what the network expects.

    Returns:
        pixels_3HW: uint8, red green blue, contiguous, not normalised.

    Raises:
        DataError: it cannot be decoded; `found` says why.
    """
    if data.startswith(jpeg.START):
        pixels_HW3, shape = _decode_jpeg(data, preprocess)
    else:
        pixels_HW3, shape = _decode(data)
    pixels_HW3 = _resize(pixels_HW3, preprocess.resized(*shape), preprocess.interpolation)
    return _crop(pixels_HW3, preprocess.size, round if preprocess.crop == "round" else int)


def _decode_jpeg(data: bytes, preprocess: Preprocess) -> tuple[Pixels, tuple[int, int]]:
    """Return pixels_HW3 and the height and width that the whole picture has."""
    header = jpeg.frame(data)
    if header is None or header.components == 4 or not _torchvision_decodes():
        return _decode(data)
    _check_size(header.width, header.height)
    if header.width * header.height >= CAMERA_PIXELS:
        return _decode(data, preprocess)
    import torch

    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        # The operator itself: its wrapper warns of its end (see `_torchvision_decodes`) to each user, who
        # cannot act.
        pixels_3HW = torch.ops.image.decode_jpeg(buffer, 3, True)  # RGB; turned as EXIF says
    except RuntimeError:
        return _decode(data)  # a rare kind of JPEG, or a damaged one: Pillow reads it or says why not
    pixels_HW3 = pixels_3HW.permute(1, 2, 0).numpy()
    return pixels_HW3, pixels_HW3.shape[:2]


def _decode(data: bytes, reduce: Preprocess | None = None) -> tuple[Pixels, tuple[int, int]]:
    """Decode with Pillow, a JPEG at reduced size if `reduce` allows it. Returns as `_decode_jpeg`."""
    from PIL import Image

    shape = None
    try:
        with open_picture(data) as picture:
            _check_size(*picture.size)
            if reduce is not None:
                shape = _reduce(picture, reduce)
            picture.load()
            pixels_HW3 = np.array(to_rgb(_turn_upright(picture)))  # a copy: PyTorch wants to be able to write
    except HEADER_ERRORS as error:
        raise _undecodable(str(error) or type(error).__name__) from error
    except (MemoryError, Image.DecompressionBombError) as error:
        raise _undecodable("it is too large to decode") from error
    return pixels_HW3, shape or pixels_HW3.shape[:2]


def _reduce(picture: Picture, preprocess: Preprocess) -> tuple[int, int]:
    """Let the JPEG decoder leave out detail that the resize removes; returns the whole picture's shape."""
    width, height = picture.size
    turned = orientation(picture) > 4
    shape = (width, height) if turned else (height, width)
    to_height, to_width = preprocess.resized(*shape)
    if turned:
        to_height, to_width = to_width, to_height
    picture.draft(None, (_REDUCED_TO * to_width, _REDUCED_TO * to_height))
    return shape


def _turn_upright(picture: Picture) -> Picture:
    from PIL.Image import Transpose

    turns = (
        Transpose.FLIP_LEFT_RIGHT,
        Transpose.ROTATE_180,
        Transpose.FLIP_TOP_BOTTOM,
        Transpose.TRANSPOSE,
        Transpose.ROTATE_270,
        Transpose.TRANSVERSE,
        Transpose.ROTATE_90,
    )
    value = orientation(picture)
    return picture if value == 1 else picture.transpose(turns[value - 2])


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _undecodable(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")


def _undecodable(reason: str) -> DataError:
    return DataError("A picture cannot be decoded.", found=reason, hint="Save it again, or leave it out.")


def to_rgb(picture: Picture) -> Picture:
    """Return a decoded picture as 8-bit RGB: transparency on white, deeper greys scaled.

    Raises:
        ValueError: its colours have no way to RGB.
    """
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(picture))).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB")


def _to_8_bits(values_HW: NDArray[Any]) -> Pixels:
    """Scale 0..65535 to 0..255; values outside that range, and fractions, from least to largest."""
    finite_HW = np.nan_to_num(values_HW.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(finite_HW.min()), float(finite_HW.max())
    if values_HW.dtype.kind in "iu" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled_HW = (finite_HW - low) * (255.0 / max(high - low, 1e-12))
    return scaled_HW.round().clip(0, 255).astype(np.uint8)


def _resize(pixels_HW3: Pixels, to: tuple[int, int], interpolation: str) -> Pixels:
    if pixels_HW3.shape[:2] == to:
        return pixels_HW3
    _check_size(*to)  # a picture one pixel high and thousands wide grows
    if interpolation in ("nearest", "lanczos"):
        from PIL import Image

        filter_ = Image.Resampling[interpolation.upper()]
        return np.asarray(Image.fromarray(pixels_HW3).resize(to[::-1], filter_))
    import torch
    from torchvision.transforms.v2 import functional as F

    mode = F.InterpolationMode(interpolation)
    pixels_3HW = torch.from_numpy(pixels_HW3).permute(2, 0, 1)
    resized_3HW: torch.Tensor = F.resize(pixels_3HW, list(to), interpolation=mode, antialias=True)
    return resized_3HW.permute(1, 2, 0).numpy()


def _crop(pixels_HW3: Pixels, size: tuple[int, int], whole: Callable[[float], int]) -> Pixels:
    """Cut the centre out, over black where it is larger; returns pixels_3HW, contiguous."""
    missing = [max(0, want - have) for want, have in zip(size, pixels_HW3.shape, strict=False)]
    if any(missing):
        pixels_HW3 = np.pad(pixels_HW3, [*((m // 2, m - m // 2) for m in missing), (0, 0)])
    top, left = (whole((have - want) / 2.0) for have, want in zip(pixels_HW3.shape, size, strict=False))
    return np.ascontiguousarray(pixels_HW3[top : top + size[0], left : left + size[1]].transpose(2, 0, 1))
