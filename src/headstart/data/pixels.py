"""Pixels: from the bytes of a picture to what a network was trained to see.

JPEG, nearly everything there is, goes through torchvision's decoder and antialiased resize (2.3 times as fast as
Pillow); everything else, and what that decoder refuses, through Pillow.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
DECODER_VERSION = 1
"""Raised when a change here changes a pixel: it is part of the cache's key."""

CAMERA_FACTOR = 4
"""A JPEG whose short side is so many times the target is decoded at half size or less (`draft`)."""


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes the input of a network.

    Attributes:
        size: (height, width) given to the network: the centre crop.
        resize: `shortest` keeps the aspect, the shorter side becoming resize_to[0]; `squash` does not.
        resize_to: (height, width) before the crop.
        interpolation: the filter, always with antialiasing.
        mean, std: of each RGB channel, for pixels in [0, 1].
    """

    size: tuple[int, int]
    resize: Literal["shortest", "squash"]
    resize_to: tuple[int, int]
    interpolation: Literal["bicubic", "bilinear", "nearest", "lanczos"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def record(self) -> dict[str, Any]:
        """Return the settings for `headstart.json`."""
        return asdict(self)

    def key(self) -> str:
        """Return everything that decides a pixel, decoder included, as a string for the cache's key."""
        import PIL
        import torchvision

        decoder = f"decoder {DECODER_VERSION}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}"
        return f"{decoder}; {sorted(self.record().items())}"

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that a picture is resized to: torchvision's and timm's rounding."""
        if self.resize == "squash":
            return self.resize_to
        edge = self.resize_to[0]
        if width <= height:
            return int(edge * height / width), edge
        return edge, int(edge * width / height)


def decoding_thread() -> None:
    """Keep a decoding thread to one core: the threads beside it use the others."""
    import torch

    torch.set_num_threads(1)


def load_pixels(data: bytes, preprocess: Preprocess) -> Pixels:
    """Decode, resize and crop a picture.

    Args:
        data: the file's bytes.
        preprocess: the network's own.

    Returns:
        pixels_3HW, RGB, uint8, not normalised; `preprocess.size` high and wide.

    Raises:
        DataError: the bytes cannot be decoded; `found` says why.
    """
    picture_3HW = _decode(data, preprocess)
    return _crop(_resize(picture_3HW, preprocess), preprocess.size).numpy()


def _decode(data: bytes, preprocess: Preprocess) -> torch.Tensor:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    if data[:2] == b"\xff\xd8" and _jpeg_is_plain(data, preprocess):
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        try:
            return decode_jpeg(raw, mode=ImageReadMode.RGB, apply_exif_orientation=True)
        except RuntimeError:
            pass  # what libjpeg refuses, Pillow explains, or reads
    return torch.from_numpy(np.array(_pillow(data, preprocess))).permute(2, 0, 1)


def _jpeg_is_plain(data: bytes, preprocess: Preprocess) -> bool:
    """Whether torchvision's decoder serves: grey or RGB, and not camera-size."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            small = min(width, height) < CAMERA_FACTOR * max(preprocess.resize_to)
            return picture.format == "JPEG" and picture.mode in ("RGB", "L") and small
    except Exception:  # _pillow meets the same error and names it
        return False


def _pillow(data: bytes, preprocess: Preprocess) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.format == "JPEG":
                edge = 2 * max(preprocess.resize_to)
                opened.draft(None, (edge, edge))
            return _to_rgb(ImageOps.exif_transpose(opened))
    except Exception as error:  # Pillow's plugins raise many kinds on torn files
        raise DataError("A picture cannot be decoded.", found=str(error) or type(error).__name__) from error


def _to_rgb(picture: Any) -> Any:
    """Return RGB: transparency on white, 16 bits scaled (not clipped) to 8."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        picture = Image.fromarray((values.clip(0, top) * (255.0 / top)).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        picture = Image.alpha_composite(white, over)
    return picture.convert("RGB")


def _resize(picture_3HW: torch.Tensor, preprocess: Preprocess) -> torch.Tensor:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    height, width = picture_3HW.shape[1:]
    target = preprocess.target(height, width)
    if target == (height, width):
        return picture_3HW
    if preprocess.interpolation == "lanczos":
        return _resize_by_pillow(picture_3HW, target)
    mode = InterpolationMode(preprocess.interpolation)
    return functional.resize(picture_3HW, list(target), interpolation=mode, antialias=True)


def _resize_by_pillow(picture_3HW: torch.Tensor, target: tuple[int, int]) -> torch.Tensor:
    import torch
    from PIL import Image

    picture = Image.fromarray(picture_3HW.permute(1, 2, 0).numpy())
    resized = picture.resize((target[1], target[0]), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _crop(picture_3HW: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the centre, padded with black where the picture is smaller (torchvision's rounding)."""
    from torchvision.transforms.v2 import functional

    return functional.center_crop(picture_3HW, list(size)).contiguous()
