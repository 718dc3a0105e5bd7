"""Augmented views: drawn from what is written down, of the size that networks take, and never off the picture."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from data_samples import encoded, jpeg, picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from headstart.data.augment import ASPECT, LEAST_AREA, LIGHT, VERSION, View, augment, crop, load_view, wide
from headstart.data.pixels import Preprocess, load_pixels
from headstart.errors import DataError

Pixels = NDArray[np.uint8]
HALF = (0.5, 0.5, 0.5)
HOW = Preprocess((48, 48), "shortest", (56, 56), "bicubic", HALF, HALF)
KINDS = {
    "usual": HOW,
    "not square": replace(HOW, size=(32, 48), resize_to=(40, 60)),
    "squash": replace(HOW, resize="squash", resize_to=(48, 48)),
    "the whole picture": replace(HOW, resize_to=(48, 48)),
    "odd": replace(HOW, size=(31, 45), resize_to=(33, 33)),
}
SHAPES = [(64, 64), (40, 90), (90, 40), (7, 200), (1, 1)]
unit = st.floats(0, 1, exclude_max=True)


def png(height: int = 60, width: int = 80, seed: int = 0) -> bytes:
    return encoded(picture(height, width, seed), "PNG")


def noise(height: int = 40, width: int = 60, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width), np.uint8)


# -- views


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 7])
def test_view_0_is_the_picture_as_it_is(kind: str, seed: int) -> None:
    for data in (png(), jpeg()):
        np.testing.assert_array_equal(
            load_view(data, KINDS[kind], View(0, seed)), load_pixels(data, KINDS[kind]), strict=True
        )


def test_a_view_is_the_same_whenever_it_is_asked_for_and_by_whomever() -> None:
    pictures = [png(seed=i) for i in range(12)]
    see = partial(load_view, preprocess=HOW, view=View(3, 5))
    first = [see(data) for data in pictures]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    backwards = [see(data) for data in pictures[::-1]][::-1]
    with ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(see, pictures))
    for one, other, third in zip(first, backwards, threads, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def test_nothing_is_drawn_from_a_global_generator() -> None:
    np.random.seed(4), torch.manual_seed(4)
    expected = np.random.random(), torch.rand(1)
    np.random.seed(4), torch.manual_seed(4)
    load_view(png(), HOW, View(1))
    assert (np.random.random(), torch.rand(1)) == expected


def test_each_number_seed_and_picture_has_a_view_of_its_own() -> None:
    data = png()
    views = [load_view(data, HOW, View(number, seed)) for number in (0, 1, 2, 3) for seed in (0, 1)][1:]
    assert len({each.tobytes() for each in views}) == 7


def test_two_pictures_are_not_cropped_alike_by_one_view() -> None:
    """The same pixels in other bytes: were views drawn from their number alone, the two would be equal."""
    image = picture(60, 80)
    one, other = (encoded(image, "PNG", compress_level=level) for level in (1, 9))
    assert one != other
    np.testing.assert_array_equal(load_pixels(one, HOW), load_pixels(other, HOW))
    assert (load_view(one, HOW, View(1)) != load_view(other, HOW, View(1))).mean() > 0.1


def test_a_view_is_drawn_from_seed_number_and_the_bytes() -> None:
    """Written out: what is cached under a view's name must not become another picture."""
    data = png()
    words = np.frombuffer(hashlib.sha256(data).digest()[:8], "<u4").tolist()
    expected = augment(load_pixels(data, wide(HOW)), HOW.size, np.random.default_rng([5, 3, *words]))
    np.testing.assert_array_equal(load_view(data, HOW, View(3, 5)), expected)


def test_the_names_of_views_tell_them_apart() -> None:
    names = {View(number, seed).name for number in (1, 2, 11) for seed in (0, 1, 11)}
    assert len(names) == 9
    assert {View(0, seed).name for seed in (0, 1)} == {"clean"}
    assert View(2, 7).name == f"view 2 of seed 7, augmentation {VERSION}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_views_have_the_size_and_the_kind_that_the_network_takes(kind: str, shape: tuple[int, int]) -> None:
    how = KINDS[kind]
    seen = load_view(png(*shape), how, View(1))
    assert (seen.shape, seen.dtype, seen.flags.c_contiguous) == ((3, *how.size), np.uint8, True)


def test_what_cannot_be_decoded_has_no_views() -> None:
    with pytest.raises(DataError):
        load_view(b"no picture", HOW, View(1))


def test_a_view_is_of_the_picture() -> None:
    """A picture that is red on top and blue below stays so, whatever is cropped and mirrored."""
    pixels_HW3 = np.zeros((60, 60, 3), np.uint8)
    pixels_HW3[:30, :, 0], pixels_HW3[30:, :, 2] = 200, 200
    data = encoded(Image.fromarray(pixels_HW3), "PNG")
    for number in range(1, 12):
        seen = load_view(data, HOW, View(number))
        assert seen[0, 0].mean() > 150 > 50 > seen[0, -1].mean()
        assert seen[2, -1].mean() > 150 > 50 > seen[2, 0].mean()


# -- wide


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_cropped_from_is_no_smaller_than_what_the_network_takes(kind: str, shape: tuple[int, int]) -> None:
    how = KINDS[kind]
    whole = load_pixels(png(*shape), wide(how))
    assert whole.shape == (3, *wide(how).size)
    assert all(a >= 8 / 7 * b - 0.5 for a, b in zip(whole.shape[1:], how.size, strict=True))
    assert all(a >= b for a, b in zip(wide(how).size, how.resize_to, strict=True)), "nor than what it is resized to"


def test_what_is_cropped_from_has_no_black_border() -> None:
    white = encoded(Image.new("RGB", (90, 40), "white"), "PNG")
    for how in KINDS.values():
        assert load_pixels(white, wide(how)).min() == 255


def test_being_wide_keeps_all_that_is_not_about_size() -> None:
    how = wide(HOW)
    assert replace(how, size=HOW.size, resize_to=HOW.resize_to) == HOW
    assert wide(how).size == (64, 64), "8 / 7 of 56"


# -- augment


def by_pillow(pixels_3HW: Pixels, size: tuple[int, int], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with Pillow, from the six numbers."""
    area, aspect, down, right, mirror, light = draws
    top, left, height, width = crop(pixels_3HW.shape[1:], area, aspect, down, right)
    image = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    image = image.crop((left, top, left + width, top + height)).resize(size[::-1], Image.Resampling.BILINEAR)
    image = ImageOps.mirror(image) if mirror < 0.5 else image
    return (np.asarray(image, np.float64) * (0.8 + 0.4 * light)).clip(0, 255).transpose(2, 0, 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_change_is_what_pillow_makes_of_the_six_numbers(seed: int) -> None:
    pixels = noise(seed=seed)
    found = augment(pixels, (32, 32), np.random.default_rng(seed))
    expected = by_pillow(pixels, (32, 32), np.random.default_rng(seed).random(6))
    assert np.abs(found - expected).max() < 2.5
    assert np.abs(found - expected).mean() < 0.6


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
def test_six_numbers_are_drawn_whatever_the_picture(height: int, width: int, seed: int) -> None:
    drawn, counted = np.random.default_rng(seed), np.random.default_rng(seed)
    found = augment(noise(height, width), (9, 5), drawn)
    counted.random(6)
    assert drawn.random() == counted.random()
    assert (found.shape, found.dtype) == ((3, 9, 5), np.uint8)


def test_half_are_mirrored() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8), (3, 64, 64))
    turned = 0
    for seed in range(400):
        seen = augment(ramp, (8, 8), np.random.default_rng(seed)).astype(int)
        assert seen[0, 0, 0] != seen[0, 0, -1]
        turned += int(seen[0, 0, 0] > seen[0, 0, -1])
    assert 160 < turned < 240


def test_light_changes_by_a_fifth_at_most_in_both_ways_and_stops_at_white() -> None:
    grey, white = np.full((3, 20, 20), 100, np.uint8), np.full((3, 20, 20), 250, np.uint8)
    levels = [augment(grey, (4, 4), np.random.default_rng(seed)) for seed in range(200)]
    assert all(len(np.unique(each)) == 1 for each in levels), "the same light everywhere"
    values = np.array([each[0, 0, 0] for each in levels], int)
    assert 80 <= values.min() < 84
    assert 116 < values.max() <= 120
    assert abs(values.mean() - 100) < 3
    assert LIGHT == 0.2
    brightest = [augment(white, (4, 4), np.random.default_rng(seed)).max() for seed in range(50)]
    assert max(brightest) == 255


def test_the_picture_that_is_given_is_left_alone() -> None:
    pixels = noise()
    before = pixels.copy()
    pixels.setflags(write=False)
    for seed in range(5):
        augment(pixels, (20, 20), np.random.default_rng(seed))
    np.testing.assert_array_equal(pixels, before)


# -- crop


@given(st.integers(1, 300), st.integers(1, 300), unit, unit, unit, unit)
def test_a_crop_lies_on_the_picture(
    height: int, width: int, area: float, aspect: float, down: float, right: float
) -> None:
    top, left, tall, broad = crop((height, width), area, aspect, down, right)
    assert 0 <= top <= top + tall <= height
    assert 0 <= left <= left + broad <= width
    assert min(tall, broad) >= 1


@given(st.integers(40, 300), st.integers(40, 300), unit, unit)
def test_a_crop_has_two_fifths_of_the_area_or_more_and_nearly_its_proportions(
    height: int, width: int, area: float, aspect: float
) -> None:
    _, _, tall, broad = crop((height, width), area, aspect, 0.5, 0.5)
    assert (tall + 0.5) * (broad + 0.5) >= LEAST_AREA * height * width
    stretched = (tall / height) / (broad / width)
    assert 1 / ASPECT - 0.03 < stretched < ASPECT + 0.03
    assert (LEAST_AREA, ASPECT) == (0.4, 4 / 3)


def test_crops_written_out() -> None:
    assert crop((100, 200), 0.0, 0.5, 0.0, 0.0) == (0, 0, 63, 126)
    assert crop((100, 200), 1.0, 0.5, 0.5, 0.5) == (0, 0, 100, 200)
    assert crop((100, 200), 0.0, 0.0, 0.5, 0.999) == (23, 54, 55, 146)
    assert crop((100, 200), 0.0, 1.0, 0.999, 0.5) == (27, 45, 73, 110)


def test_a_crop_can_be_anywhere() -> None:
    tops = {crop((100, 100), 0.0, 0.5, down, 0.0)[0] for down in np.linspace(0, 0.9999, 500)}
    assert tops == set(range(100 - 63 + 1))
