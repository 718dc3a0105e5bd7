"""The check of one picture by its header, so that a bad file is named before anything is computed from it."""

from __future__ import annotations

import functools
import hashlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from headstart.data import jpeg
from headstart.data.examples import Content, Finding, Severity

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 178_956_970
"""Larger pictures are left out: one takes over half a gigabyte. (Pillow's limit for an error.)"""
TINY = 8
"""Pictures with a side of fewer pixels are pointed out."""
READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
"""The formats that are read, by Pillow's names. What else it opens stays closed: scripts, drawings."""
HEADER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
)
"""What Pillow raises at files that are not what they begin as."""

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
}
IMAGE_SUFFIXES = frozenset(s for suffixes in _SUFFIXES.values() for s in suffixes) | {
    ".mpo",
    ".heic",
    ".heif",
}
_UPRIGHT = 1
_ORIENTATION = 0x0112  # the EXIF tag
_DEEP_MODES = ("I", "F")  # and I;16, I;16B …


@dataclass(frozen=True)
class Picture:
    """What the header of a picture says.

    Attributes:
        digest: SHA-256 of the bytes, in hexadecimal; empty when they could not be read.
        format: Pillow's name, empty when it is no picture.
        width, height: in pixels, as a viewer shows it (turned as EXIF says); 0 when unknown.
        mode: Pillow's name of the colours as stored (`RGB`, `L`, `P`, `CMYK` …).
        findings: what is worth saying, in a fixed order.
        readable: whether it can be used, as far as the header tells.
    """

    digest: str
    format: str
    width: int
    height: int
    mode: str
    findings: tuple[Finding, ...]
    readable: bool


def inspect_picture(name: str, content: Content) -> Picture:
    """Check one picture without decoding it. Its bytes are read once. Thread-safe; never raises for bad data.

    Args:
        name: how findings call it; its suffix is compared with the content.
        content: where its bytes are.
    """
    try:
        data = content.read()
    except OSError as error:
        return _left_out(name, "", "unreadable", f"cannot be read: {error.strerror or error}")
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return _left_out(name, digest, "empty", "the file is empty")
    format_ = sniff(data)
    if not format_:
        return _left_out(name, digest, "not-image", "the content is no picture")
    if format_ not in _readable_formats():
        return _left_out(name, digest, "unsupported-format", f"{format_} is not read here; save it as JPEG or PNG")
    return _inspect(name, digest, data, format_)


def _left_out(name: str, digest: str, kind: str, reason: str, format_: str = "") -> Picture:
    return Picture(digest, format_, 0, 0, "", (Finding(name, kind, "left out", reason, bad=True),), False)


_MAGIC: tuple[tuple[bytes, str], ...] = (
    (jpeg.START, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"8BPS", "PSD"),
    (b"\0\0\1\0", "ICO"),
    (b"icns", "ICNS"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"<svg", "SVG"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "HEIC")


def sniff(data: bytes) -> str:
    """Return the format that the first bytes (64 are enough) announce; empty if that is no picture's."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "")
    if data[40:44] == b" EMF" and data[:4] == b"\1\0\0\0":
        return "EMF"
    if data[:1] == b"P" and data[1:2] in b"1234567fFy" and data[2:3].isspace():
        return "PPM"
    if data[:2] == b"BM" and data[14:18] not in _BMP_HEADERS:
        return ""  # two letters alone also begin many a text
    return next((name for magic, name in _MAGIC if data.startswith(magic)), "")


_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}


@functools.cache
def _readable_formats() -> frozenset[str]:
    """What this Pillow was built with, of the formats that are read."""
    from PIL import Image

    Image.init()
    return frozenset(READ) & frozenset(Image.OPEN)


def open_picture(data: bytes) -> ImageFile:
    """Open a picture with Pillow, as the format that its first bytes announce; nothing is decoded yet.

    Raises:
        ValueError: it is no picture of a kind that is read here.
        HEADER_ERRORS: it is damaged.
        PIL.Image.DecompressionBombError: it has more than `MAX_PIXELS` pixels.
    """
    from PIL import Image

    quiet_pillow()
    format_ = sniff(data)
    if format_ not in _readable_formats():
        raise ValueError(f"{format_} is not read here" if format_ else "the content is no picture")
    return Image.open(io.BytesIO(data), formats=[format_])


@functools.cache
def quiet_pillow() -> None:
    """Keep Pillow from warning of what findings say, or what does not matter; the caller's filters come first."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.", append=True)  # damaged EXIF data


def _inspect(name: str, digest: str, data: bytes, format_: str) -> Picture:
    from PIL import Image

    try:
        with open_picture(data) as picture:
            return _describe(name, digest, data, picture)
    except Image.DecompressionBombError:
        return _left_out(name, digest, "oversized", f"it has more than {MAX_PIXELS:,} pixels", format_)
    except HEADER_ERRORS:
        reason = _cut_short(data, format_) or f"it begins as {format_}, but its header cannot be read"
        return _left_out(name, digest, "truncated", reason, format_)


def _describe(name: str, digest: str, data: bytes, picture: ImageFile) -> Picture:
    format_, (width, height) = picture.format or "", picture.size
    if width * height > MAX_PIXELS:
        return _left_out(name, digest, "oversized", f"{width} x {height} pixels, more than {MAX_PIXELS:,}", format_)
    reason = _cut_short(data, format_)
    if reason:
        return _left_out(name, digest, "truncated", reason, format_)
    findings = tuple(Finding(name, kind, severity, text) for kind, severity, text in _remarks(name, data, picture))
    if format_ != "TIFF" and orientation(picture) > 4:  # Pillow's size of a TIFF is that after turning
        width, height = height, width
    return Picture(digest, format_, width, height, picture.mode, findings, True)


def _cut_short(data: bytes, format_: str) -> str:
    """Return why the file is not whole, where that can be seen without decoding."""
    if format_ in ("JPEG", "MPO"):
        return jpeg.damage(data)
    if format_ == "PNG" and b"IEND" not in data[-4096:] and b"IEND\xaeB`\x82" not in data:
        return "the file ends before the picture does"
    if format_ == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        return "the file ends before the picture does"
    return ""


def _remarks(name: str, data: bytes, picture: ImageFile) -> Iterator[tuple[str, Severity, str]]:
    format_ = picture.format or ""
    suffix = PurePosixPath(name).suffix.lower()
    kind = "JPEG" if format_ == "MPO" else format_
    if suffix and suffix not in _SUFFIXES[kind] and not (suffix == ".mpo" and kind == "JPEG"):
        yield "wrong-extension", "note", f"the content is {kind}, read as that"
    if picture.mode == "CMYK":
        yield "cmyk", "repaired", "print colours (CMYK) are converted to RGB"
    if _bits(data, picture) > 8:
        yield "16-bit", "repaired", "more than 8 bits a channel are scaled to 8"
    if picture.has_transparency_data:
        kind = "palette-alpha" if picture.mode in ("P", "PA") else "alpha"
        yield kind, "repaired", "transparency is laid on white"
    if format_ != "MPO" and getattr(picture, "is_animated", False):
        several = "pages" if format_ == "TIFF" else "frames"
        yield "animated", "repaired", f"it has several {several}, the first is used"
    if orientation(picture) != _UPRIGHT:
        yield "exif-rotated", "repaired", "it is turned upright as its EXIF data say"
    if min(picture.size) < TINY:
        yield "tiny", "note", f"it has only {picture.width} x {picture.height} pixels"


def _bits(data: bytes, picture: Image) -> int:
    """Return the bits of a channel as stored; Pillow's mode hides them for colour pictures."""
    if picture.mode.startswith(_DEEP_MODES):
        return 16
    if data.startswith(b"\x89PNG"):
        return data[24]
    tags = getattr(picture, "tag_v2", None)
    if tags is not None:
        return max(tags.get(258, (8,)))  # BitsPerSample
    return 8


def orientation(picture: Image) -> int:
    """Return the EXIF orientation, 1..8; 1 is upright, as is every picture whose EXIF data cannot be read."""
    if getattr(picture, "format", None) == "PNG" and "exif" not in picture.info:
        return _UPRIGHT  # asking for it would decode the whole picture
    try:
        value = picture.getexif().get(_ORIENTATION, _UPRIGHT)
    except HEADER_ERRORS:
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT
