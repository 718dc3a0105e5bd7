from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from headstart.data.box_repair import (
    NO_NUMBERS,
    Corners,
    Frame,
    RawBox,
    around,
    as_corners,
    as_number,
    first_pixel,
    in_shares,
    is_set,
    no_class,
    order_of,
    repaired,
    turned,
    without_copies,
)
from headstart.data.examples import Box

SIZE = (64.0, 48.0)
PLAIN = Frame(SIZE, SIZE)


def outcome(corners: Corners, label: str = "cat", frame: Frame = PLAIN) -> tuple[Box | None, list[tuple[str, str]]]:
    box, remarks = repaired(RawBox(label, corners), frame)
    return box, [(kind, severity) for kind, severity, _ in remarks]


def test_a_sound_box_stays_as_it_is() -> None:
    assert outcome((1, 2, 30, 40)) == (Box("cat", 1, 2, 30, 40), [])
    assert outcome((0, 0, *SIZE)) == (Box("cat", 0, 0, *SIZE), [])


@pytest.mark.parametrize("corners", [(30, 2, 1, 40), (1, 40, 30, 2), (30, 40, 1, 2)])
def test_swapped_corners_are_exchanged(corners: Corners) -> None:
    assert outcome(corners) == (Box("cat", 1, 2, 30, 40), [("box-swapped", "repaired")])


def test_a_box_beyond_the_edge_is_cut_there_and_the_share_that_stays_is_said() -> None:
    box, remarks = repaired(RawBox("cat", (-10, 10, 10, 58)), PLAIN)
    assert box == Box("cat", 0, 10, 10, 48)
    [(kind, severity, reason)] = remarks
    assert (kind, severity) == ("box-clipped", "repaired")
    assert "39.6% of it stay" in reason
    assert "64 x 48" in reason


def test_what_rounding_puts_beyond_the_edge_is_cut_silently() -> None:
    assert outcome((-0.01, 0, 64.01, 48)) == (Box("cat", 0, 0, *SIZE), [])


@pytest.mark.parametrize("corners", [(70, 2, 90, 40), (2, -30, 20, -5), (63.5, 2, 90, 40)])
def test_a_box_outside_is_left_out(corners: Corners) -> None:
    assert outcome(corners) == (None, [("box-outside", "left out")])


@pytest.mark.parametrize("corners", [(5, 2, 5, 40), (5, 2, 9, 2), (5, 5, 5, 5)])
def test_a_box_without_area_is_left_out(corners: Corners) -> None:
    assert outcome(corners) == (None, [("box-empty", "left out")])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_box_of_no_numbers_is_left_out(bad: float) -> None:
    assert outcome((1, bad, 30, 40)) == (None, [("box-not-numbers", "left out")])


def test_a_box_without_class_is_left_out_and_says_why() -> None:
    assert outcome((1, 2, 30, 40), "") == (None, [("box-no-class", "left out")])
    _, remarks = repaired(RawBox("", (1, 2, 30, 40), fault=no_class("class 9 is unknown")), PLAIN)
    assert remarks == [("box-no-class", "left out", "class 9 is unknown")]


def test_a_crowd_stays_one() -> None:
    box, _ = repaired(RawBox("cat", (1, 2, 30, 40), crowd=True), PLAIN)
    assert box is not None
    assert box.crowd


def test_shares_become_pixels_and_those_beyond_the_edge_are_cut() -> None:
    shares = Frame(SIZE, (1.0, 1.0))
    assert outcome((0.25, 0.5, 0.5, 1.0), frame=shares) == (Box("cat", 16, 24, 32, 48), [])
    assert outcome((0.5, 0.5, 1.25, 1.0), frame=shares) == (Box("cat", 32, 24, 64, 48), [("box-clipped", "repaired")])


def test_boxes_of_a_picture_of_another_size_are_scaled() -> None:
    assert outcome((2, 4, 20, 20), frame=Frame(SIZE, (32.0, 24.0))) == (Box("cat", 4, 8, 40, 40), [])


def test_where_pixels_count_from_one_the_first_begins_at_zero() -> None:
    assert outcome((1, 1, 64, 48), frame=Frame(SIZE, SIZE, origin=1)) == (Box("cat", 0, 0, *SIZE), [])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pictures_do(orientation: int) -> None:
    pixels = np.zeros((48, 64), np.uint8)
    pixels[10:20, 5:35] = 255
    image, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    left, top, right, bottom = ImageOps.exif_transpose(image).getbbox() or (0, 0, 0, 0)
    assert turned((5, 10, 35, 20), orientation, SIZE) == (left, top, right, bottom)


def test_the_same_box_twice_is_one_and_another_label_at_its_place_is_named() -> None:
    one = Box("cat", 1, 2, 30, 40)
    kept, remarks = without_copies([one, None, Box("cat", 1.001, 2, 30, 40), Box("dog", 1, 2, 30, 40)])
    assert kept == [one, None, None, Box("dog", 1, 2, 30, 40)]
    assert {i: r[:2] for i, r in remarks.items()} == {
        2: ("box-duplicate", "left out"),
        3: ("box-two-labels", "note"),
    }
    assert remarks[2][2] == "box 1 says the same"


def test_numbers_may_be_written_as_text() -> None:
    assert as_number(" 7.5 ") == 7.5
    assert all(math.isnan(as_number(v)) for v in ("seven", None, True, [1], "", 10**400))
    assert as_corners(["1", 2, 3.5, "4"], "xywh") == (1, 2, 4.5, 6)


@pytest.mark.parametrize("values", [None, [], [1, 2, 3], [1, 2, 3, 4, 5], "1234", 7])
def test_four_numbers_it_must_be(values: object) -> None:
    assert all(map(math.isnan, as_corners(values)))


def test_flags_are_true_or_one() -> None:
    assert all(map(is_set, (True, 1, "1", 1.0)))
    assert not any(map(is_set, (False, 0, "0", None, "no")))


def test_an_outline_has_a_box_around_it() -> None:
    assert around([(3, 9), (1, 4), (7, 5)]) == (1, 4, 7, 9)
    assert all(map(math.isnan, around([])))
    assert all(map(math.isnan, around([(3, 9), (math.nan, 4)])))


def test_shares_are_told_from_pixels_by_the_whole_data_set() -> None:
    assert in_shares([(0.1, 0.2, 0.5, 1.02), (0.0, 0.0, 1.0, 1.0)])
    assert not in_shares([(0.1, 0.2, 0.5, 0.9), (0.0, 0.0, 5.0, 1.0)])
    assert not in_shares([(0, 0, 1, 1)])
    assert not in_shares([NO_NUMBERS])


def test_pixels_count_from_one_where_no_corner_says_otherwise() -> None:
    assert first_pixel([(1, 5, 9, 9), (3, 1, 4, 9)]) == 1
    assert first_pixel([(0, 5, 9, 9), (3, 1, 4, 9)]) == 0
    assert first_pixel([(2, 5, 9, 9)]) == 0
    assert first_pixel([(1, 5.5, 9, 9)]) == 0
    assert first_pixel([]) == 0


def test_four_numbers_are_told_by_what_cannot_be() -> None:
    assert order_of([(10, 10, 60, 40)], [SIZE]) == ("xyxy", 1)
    assert order_of([(30, 30, 10, 10)], [SIZE]) == ("xywh", 1)
    assert order_of([(1, 1, 5, 5)], [SIZE]) == ("xywh", 0)
    assert order_of([(30, 30, 10, 10)], [None]) == ("xywh", 1)
    assert order_of([(0.5, 0.5, 0.9, 0.9)], [(1.0, 1.0)]) == ("xyxy", 1)


_ANY = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.tuples(_ANY, _ANY, _ANY, _ANY), st.integers(1, 8), st.sampled_from([0, 1]))
def test_what_is_kept_lies_within_the_picture_whatever_was_written(
    corners: Corners, orientation: int, origin: int
) -> None:
    box, remarks = repaired(RawBox("cat", corners), Frame(SIZE, (32.0, 24.0), orientation, origin))
    assert (box is None) == any(severity == "left out" for _, severity, _ in remarks)
    if box:
        assert 0 <= box.left < box.right <= SIZE[0]
        assert 0 <= box.top < box.bottom <= SIZE[1]
