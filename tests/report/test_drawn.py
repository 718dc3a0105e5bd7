"""Boxes drawn on pictures: where they are said to lie, in their colour, on a picture of a size that a page can hold."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

import tiny
from headstart.report.drawn import COLOURS, WRONG, Drawing, drawn

GREY = 128
BOX = (0.25, 0.5, 0.75, 0.875)


def plain(height: int = 80, width: int = 160, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (GREY,) * 3).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def pixels(data: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture).astype(np.int64)


def changed(data: bytes) -> NDArray[np.bool_]:
    """Where a picture is not grey any more; a JPEG rings a little."""
    return np.asarray(np.abs(pixels(data) - GREY).max(2) > 30)


def near(found_3: NDArray[np.int64], colour: str) -> bool:
    return bool(np.abs(found_3 - np.array(ImageColor.getrgb(colour))).max() < 70)


@pytest.mark.parametrize("colour", [*COLOURS.values(), WRONG])
def test_a_box_is_a_rectangle_in_its_colour_where_its_shares_say(colour: str) -> None:
    given = drawn(plain(), [Drawing(BOX, colour)])
    rows, columns = np.nonzero(changed(given))
    assert (columns.min(), columns.max()) == pytest.approx((40, 120), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((40, 70), abs=2)
    assert not changed(given)[46:64, 48:112].any(), "it is not filled"
    for row, column in ((40, 80), (70, 80), (55, 40), (55, 120)):
        around_D3 = pixels(given)[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3)
        assert any(near(each_3, colour) for each_3 in around_D3)


def test_a_word_stands_beside_its_box_and_in_the_picture() -> None:
    without, word = drawn(plain(), [Drawing(BOX, WRONG)]), drawn(plain(), [Drawing(BOX, WRONG, "ant 97%")])
    rows, columns = np.nonzero(np.abs(pixels(word) - pixels(without)).max(2) > 30)
    assert rows.max() <= 42
    assert rows.min() >= 26
    assert columns.min() >= 40
    at_the_top = drawn(plain(), [Drawing((0.1, 0.0, 0.9, 0.9), WRONG, "ant")])
    assert (np.abs(pixels(at_the_top) - pixels(drawn(plain(), [Drawing((0.1, 0.0, 0.9, 0.9), WRONG)]))) > 30).any()


def test_a_large_picture_is_made_smaller_and_its_boxes_with_it() -> None:
    given = drawn(plain(800, 1600), [Drawing(BOX, WRONG)], side=160)
    assert pixels(given).shape == (80, 160, 3)
    rows, columns = np.nonzero(changed(given))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx((40, 120, 40, 70), abs=2)


def test_a_small_picture_stays_as_small_as_it_is() -> None:
    assert pixels(drawn(plain(30, 20), [])).shape == (30, 20, 3)


def test_a_picture_that_is_turned_by_exif_is_drawn_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    given = drawn(plain(80, 160, exif=exif), [Drawing((0.0, 0.75, 0.5, 1.0), WRONG)])
    assert pixels(given).shape == (160, 80, 3)
    rows, columns = np.nonzero(changed(given))
    assert (columns.min(), columns.max()) == pytest.approx((0, 40), abs=2)
    assert (rows.min(), rows.max()) == pytest.approx((120, 159), abs=2)


def test_boxes_at_the_rim_outside_or_turned_inside_out_do_no_harm() -> None:
    boxes = [(0, 0, 1, 1), (-0.5, -0.5, 0.2, 0.2), (0.9, 0.9, 1.7, 1.7), (0.6, 0.6, 0.4, 0.4), (0.5, 0.5, 0.5, 0.5)]
    given = drawn(plain(), [Drawing(corners, WRONG, "it") for corners in boxes])
    assert pixels(given).shape == (80, 160, 3)


def test_pictures_of_other_modes_are_drawn_on_in_colour() -> None:
    for mode in ("L", "P", "RGBA", "LA", "1"):
        file = io.BytesIO()
        Image.new("RGB", (60, 60), (GREY,) * 3).convert(mode).save(file, "PNG")
        assert changed(drawn(file.getvalue(), [Drawing((0.2, 0.2, 0.8, 0.8), WRONG)])).any()


def test_without_boxes_the_picture_is_as_it_was() -> None:
    assert not changed(drawn(plain(), [])).any()


def test_what_is_no_picture_is_an_error_of_reading() -> None:
    for data in (b"no picture", tiny.png(tiny.texture(0, 0))[:300]):
        with pytest.raises(OSError, match=r"."):
            drawn(data, [])
