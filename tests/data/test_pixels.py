from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_samples import encoded, jpeg, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps
from timm.data import create_transform
from torchvision.transforms import functional as F

from headstart.data import pixels
from headstart.data.pixels import Preprocess, decoding_thread, load_pixels
from headstart.errors import DataError

USUAL = Preprocess((224, 224), "shortest", (256, 256), "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SMALL = replace(USUAL, size=(32, 32), resize_to=(36, 36))
SHAPES = [(320, 214), (213, 320), (256, 256), (500, 375), (100, 80), (37, 211), (256, 300), (1, 3)]


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    assert a.shape == b.shape
    return np.abs(a.astype(np.int64) - b.astype(np.int64))


def by_pillow(data: bytes, how: Preprocess) -> NDArray[np.uint8]:
    """The same with Pillow and torchvision's own functions for Pillow images."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    size = [how.resize_to[0]] if how.resize == "shortest" else list(how.resize_to)
    image = F.resize(image, size, F.InterpolationMode(how.interpolation))
    return np.asarray(F.center_crop(image, list(how.size))).transpose(2, 0, 1)


def by_timm(data: bytes, how: Preprocess) -> NDArray[np.uint8]:
    transform = create_transform(
        (3, *how.size),
        interpolation=how.interpolation,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        crop_pct=how.size[0] / how.resize_to[0],
        crop_mode="squash" if how.resize == "squash" else "center",
    )
    tensor = transform(Image.open(io.BytesIO(data)).convert("RGB"))
    return (tensor * 255).round().to(torch.uint8).numpy()


def close(found: NDArray[np.uint8], expected: NDArray[np.uint8], other_by_1: float = 0.1) -> None:
    """The same values, but for a share that differs by 1, and a few in a hundred thousand by 2."""
    off = difference(found, expected)
    assert off.max() <= 2
    assert (off > 1).mean() < 5e-5
    assert (off > 0).mean() < other_by_1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
def test_pixels_are_those_of_timm_and_pillow(shape: tuple[int, int], interpolation: str, resize: str) -> None:
    how = replace(USUAL, interpolation=interpolation, resize=resize)
    data = encoded(picture(*shape, seed=shape[0]), quality=95)
    found = load_pixels(data, how)
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((3, 224, 224), np.uint8, True)
    share = 0.3 if resize == "squash" else 0.01 if interpolation == "bicubic" else 0.1
    close(found, by_pillow(data, how), share)  # see `load_pixels` on the order of Pillow's passes
    close(found, by_timm(data, how), share)


@pytest.mark.parametrize("interpolation", ["nearest", "lanczos"])
def test_nearest_and_lanczos_are_pillows_exactly(interpolation: str) -> None:
    how = replace(USUAL, interpolation=interpolation)
    data = jpeg(height=213, width=320)
    assert difference(load_pixels(data, how), by_pillow(data, how)).max() == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(0, 9))
def test_any_size_gives_what_torchvision_gives(height: int, width: int, size: int, more: int) -> None:
    if max(height, width) > 20 * min(height, width):
        return
    how = replace(USUAL, size=(size, size), resize_to=(size + more, size + more))
    data = encoded(picture(height, width), "PNG")
    assert difference(load_pixels(data, how), by_pillow(data, how)).max() <= 2


@pytest.mark.parametrize("size", [(48, 32), (33, 47)])
def test_an_oblong_network_gets_what_timm_gives_it(size: tuple[int, int]) -> None:
    data = jpeg(height=213, width=320)
    how = replace(USUAL, size=size, resize_to=tuple(int(s // 0.875) for s in size))
    close(load_pixels(data, how), by_timm(data, replace(how, resize_to=(size[0] / 0.875, 0))))


def test_what_the_crop_exceeds_is_black_as_torchvision_has_it() -> None:
    how = replace(USUAL, size=(40, 61), resize="squash", resize_to=(33, 30))
    data = encoded(picture(50, 70), "PNG")
    found = load_pixels(data, how)
    assert difference(found, by_pillow(data, how)).max() <= 2
    assert found[:, :3].max() == 0


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF"])
def test_photos_are_turned_upright(value: int, format_: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(picture(50, 70), format_, exif=exif)
    assert difference(load_pixels(data, SMALL), by_pillow(data, SMALL)).max() <= 2


def test_transparency_is_laid_on_white() -> None:
    clear = picture(40, 40, mode="RGBA")
    clear.putalpha(0)
    assert load_pixels(encoded(clear, "PNG"), SMALL).min() == 255
    half = Image.new("RGBA", (40, 40), (0, 0, 0, 128))
    assert set(np.unique(load_pixels(encoded(half, "PNG"), SMALL))) == {127}


def test_a_transparent_palette_is_laid_on_white() -> None:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([9, 9, 9, 200, 0, 0])
    assert load_pixels(encoded(image, "PNG"), SMALL)[:, 5, 5].tolist() == [200, 0, 0]
    assert load_pixels(encoded(image, "PNG", transparency=1), SMALL).min() == 255


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_clipped(format_: str) -> None:
    values = np.linspace(0, 65535, 36).round().astype(np.uint16)[None].repeat(36, 0)
    found = load_pixels(encoded(Image.fromarray(values), format_), replace(SMALL, size=(36, 36)))
    expected = (values / 257.0).round().astype(np.uint8)
    assert difference(found, np.stack([expected] * 3)).max() <= 1


def test_fractions_are_scaled_from_least_to_largest() -> None:
    values = np.linspace(-2.0, 3.0, 36, dtype=np.float32)[None].repeat(36, 0)
    values[0, 0] = np.nan
    found = load_pixels(encoded(Image.fromarray(values), "TIFF"), replace(SMALL, size=(36, 36)))
    assert (found.min(), found.max()) == (0, 255)
    assert np.all(np.diff(found[0, 1].astype(int)) > 0)


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(format_: str) -> None:
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
    data = encoded(red, format_, save_all=True, append_images=[blue])
    assert np.abs(load_pixels(data, SMALL)[:, 9, 9].astype(int) - [255, 0, 0]).max() < 4


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
def test_jpegs_of_all_colours_come_as_pillow_has_them(mode: str) -> None:
    data = encoded(picture(60, 80, mode=mode), quality=95)
    assert difference(load_pixels(data, SMALL), by_pillow(data, SMALL)).max() <= 2


@pytest.mark.parametrize(("mode", "format_"), [("1", "PNG"), ("L", "PNG"), ("P", "GIF"), ("YCbCr", "TIFF")])
def test_other_colours_come_as_pillow_has_them(mode: str, format_: str) -> None:
    data = encoded(picture(60, 80, mode=mode), format_)
    assert difference(load_pixels(data, SMALL), by_pillow(data, SMALL)).max() <= 2


@pytest.mark.parametrize("turn", [1, 6])
def test_camera_size_photos_are_decoded_at_no_less_than_twice_the_size(
    turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(picture(1400, 2101), quality=92, exif=exif)
    decoded = []
    resize = pixels._resize
    monkeypatch.setattr(pixels, "_resize", lambda p, *rest: [decoded.append(p.shape), resize(p, *rest)][1])
    found = load_pixels(data, USUAL)
    assert sorted(decoded[0][:2]) == [700, 1051]
    off = difference(found, by_pillow(data, USUAL))
    assert off.mean() < 1
    assert off.max() < 40
    photo = encoded(picture(1000, 1500), quality=92)  # below the limit: every pixel is decoded
    close(load_pixels(photo, USUAL), by_pillow(photo, USUAL))


def test_without_torchvisions_decoder_pillow_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(height=213, width=320)
    expected = load_pixels(data, USUAL)
    monkeypatch.setattr(pixels, "_torchvision_decodes", lambda: False)
    assert np.array_equal(load_pixels(data, USUAL), expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture"),
        (b"hello", "no picture"),
        (jpeg()[:-40], "truncated"),
        (jpeg()[:200], ""),
        (encoded(picture(), "PNG")[:-200], "truncated"),
        (encoded(picture(), "GIF")[:100], ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "EPS is not read"),
    ],
)
def test_what_cannot_be_decoded_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        load_pixels(data, USUAL)
    assert error.value.found
    assert reason in error.value.found


def test_a_bomb_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_PIXELS", 24 * 32 - 1)
    for format_ in ("JPEG", "PNG"):
        with pytest.raises(DataError, match="32 x 24 pixels"):
            load_pixels(encoded(picture(), format_), SMALL)


def test_a_line_that_would_grow_beyond_the_limit_is_refused() -> None:
    with pytest.raises(DataError, match="pixels"):
        load_pixels(encoded(Image.new("RGB", (4000, 1)), "PNG"), USUAL)


def test_the_key_holds_everything_that_moves_a_pixel() -> None:
    changes = [
        replace(USUAL, size=(225, 224)),
        replace(USUAL, resize="squash"),
        replace(USUAL, resize_to=(256, 257)),
        replace(USUAL, interpolation="bilinear"),
        replace(USUAL, mean=(0.5, 0.5, 0.4)),
        replace(USUAL, std=(0.5, 0.5, 0.4)),
        replace(USUAL, crop="floor"),
    ]
    assert len({how.key() for how in (USUAL, *changes)}) == 8
    assert replace(USUAL).key() == USUAL.key()
    for word in ("torchvision 0.", "pillow ", f"version={pixels.DECODER_VERSION}"):
        assert word in USUAL.key()


def test_threads_give_what_one_gives(tmp_path: Path) -> None:
    datas = [jpeg(seed, 200 + seed, 150) for seed in range(12)] + [encoded(picture(90, 80), "PNG")] * 4
    alone = [load_pixels(d, USUAL) for d in datas]
    with ThreadPoolExecutor(4, initializer=decoding_thread) as pool:
        together = list(pool.map(lambda d: load_pixels(d, USUAL), datas * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


def test_a_decoding_thread_uses_one_core_and_leaves_the_others_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    inside = []
    thread = threading.Thread(target=lambda: (decoding_thread(), inside.append(torch.get_num_threads())))
    thread.start()
    thread.join()
    assert (inside, torch.get_num_threads()) == ([1], 2)
    torch.set_num_threads(before)
