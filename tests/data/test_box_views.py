"""Views of pictures with boxes: boxes move with the pixels, and what is hardly seen any more is dropped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import tiny
from headstart.data import box_views
from headstart.data.augment import View, drawn_from, wide
from headstart.data.box_views import LEAST_AREA, LEAST_SEEN, WHOLE, Window, load_box_view, moved, seen, window
from headstart.data.pixels import Preprocess, load_pixels
from headstart.stages.batches import Batches, Fly, Views
from training_samples import stored

HALF = (0.5, 0.5, 0.5)
SIDE = 96
HOW = Preprocess((SIDE, SIDE), "squash", (SIDE, SIDE), "bilinear", HALF, HALF)
BOX = (0.35, 0.2, 0.65, 0.55)
"""Left, top, right, bottom: no mirror image of itself, nor turned."""
SHAPES = [(120, 160), (160, 120), (96, 96), (200, 90)]


def lit(shape: tuple[int, int], corners: tuple[float, ...] = BOX) -> tuple[bytes, tuple[float, ...]]:
    """A black picture with a bright rectangle, and where that is in shares, to the pixel."""
    height, width = shape
    left, right = round(corners[0] * width), round(corners[2] * width)
    top, bottom = round(corners[1] * height), round(corners[3] * height)
    pixels_HW3 = np.zeros((height, width, 3), np.uint8)
    pixels_HW3[top:bottom, left:right] = 220
    return tiny.png(pixels_HW3), (left / width, top / height, right / width, bottom / height)


def extent(pixels_3HW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Left, top, right, bottom of what is bright, as shares; a pixel that is half bright counts as half."""
    bright_HW = pixels_3HW.mean(0).astype(float)
    bright_HW /= max(bright_HW.max(), 1)
    rows, columns = np.flatnonzero(bright_HW.max(1) > 0.5), np.flatnonzero(bright_HW.max(0) > 0.5)
    height, width = bright_HW.shape
    return np.array([columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height])


def truth(*boxes: tuple[float, ...], rows: int = 3) -> NDArray[np.float32]:
    """truth_T6: the corners of boxes of class 0, 1, …"""
    out = np.zeros((rows, 6), np.float32)
    out[:, 0] = -1
    for k, corners in enumerate(boxes):
        out[k] = (k, *corners, 0)
    return out


def draw(data: bytes, number: int, seed: int) -> np.random.Generator:
    return drawn_from(hashlib.sha256(data).hexdigest(), View(number, seed))


class Shown:
    """A generator that draws a window that is asked for."""

    def __init__(self, shown: Window) -> None:
        self.shown = shown


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Move boxes into a window."""
    monkeypatch.setattr(box_views, "window", lambda rng: rng.shown)
    return lambda truth_T6, shown: moved(truth_T6[None], [Shown(shown)])[0]  # type: ignore[list-item]


# -- boxes and pixels


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_lie_in_views_where_the_pixels_do(shape: tuple[int, int]) -> None:
    """In all that is left of them: of the rectangle, and of the mirrored one, to a pixel and a half."""
    data, corners = lit(shape)
    mirrored = set()
    for number in range(1, 40):
        pixels_3HW = load_box_view(data, HOW, View(number, 3))
        assert pixels_3HW.shape == (3, SIDE, SIDE)
        [out_T6] = moved(truth(corners)[None], [draw(data, number, 3)])
        assert out_T6[0, 0] == 0, "a crop of half of the area shows this box in the middle"
        np.testing.assert_allclose(out_T6[0, 1:5] * SIDE, extent(pixels_3HW) * SIDE, atol=1.5)
        mirrored.add(window(draw(data, number, 3)).mirrored)
    assert mirrored == {False, True}


def test_boxes_that_a_view_cuts_end_at_its_rim_as_the_pixels_do() -> None:
    data, corners = lit((140, 140), (0.0, 0.05, 0.3, 0.95))
    clipped = 0
    for number in range(1, 60):
        [out_T6] = moved(truth(corners)[None], [draw(data, number, 0)])
        if out_T6[0, 0] < 0:
            continue
        assert (out_T6[0, 1:5] >= 0).all()
        assert (out_T6[0, 1:5] <= 1).all()
        clipped += bool(out_T6[0, 2] == 0)
        found = extent(load_box_view(data, HOW, View(number, 0)))
        np.testing.assert_allclose(out_T6[0, 1:5] * SIDE, found * SIDE, atol=1.5)
    assert clipped > 5


def test_view_0_is_the_picture_itself_and_moves_nothing() -> None:
    data, corners = lit((120, 160))
    given = load_box_view(data, HOW, View(0, 7))
    np.testing.assert_array_equal(given, load_pixels(data, HOW), strict=True)
    np.testing.assert_allclose(np.array(corners) * SIDE, extent(given) * SIDE, atol=1)
    truth_NT6 = truth(corners)[None]
    np.testing.assert_array_equal(moved(truth_NT6, [None]), truth_NT6, strict=True)


def test_the_same_draw_gives_the_same_view_and_the_same_boxes() -> None:
    data, corners = lit((120, 160))
    for number in (1, 2):
        first, second = (load_box_view(data, HOW, View(number, 5)) for _ in range(2))
        np.testing.assert_array_equal(first, second, strict=True)
        first, second = (moved(truth(corners)[None], [draw(data, number, 5)]) for _ in range(2))
        np.testing.assert_array_equal(first, second, strict=True)
    views = [load_box_view(data, HOW, View(number, seed)) for number, seed in ((1, 5), (2, 5), (1, 6))]
    assert all((a != b).any() for a, b in ((views[0], views[1]), (views[0], views[2]), (views[1], views[2])))


def test_other_bytes_are_seen_by_other_draws() -> None:
    (one, _), (other, _) = lit((120, 160)), lit((120, 160), (0.3, 0.2, 0.65, 0.55))
    assert window(draw(one, 1, 0)) != window(draw(other, 1, 0))


def test_what_was_given_is_left_as_it_was() -> None:
    truth_NT6 = np.stack([truth(BOX), truth(BOX)])
    before = truth_NT6.copy()
    out = moved(truth_NT6, [np.random.default_rng(1), None])
    np.testing.assert_array_equal(truth_NT6, before)
    assert (out[0] != before[0]).any()
    np.testing.assert_array_equal(out[1], before[1])
    assert out.dtype == np.float32


# -- windows


@given(st.integers(0, 2**32))
def test_a_window_lies_in_the_picture_and_shows_half_of_it_at_least(seed: int) -> None:
    shown = window(np.random.default_rng(seed))
    assert shown.left >= 0
    assert shown.top >= 0
    assert shown.left + shown.width <= 1 + 1e-12
    assert shown.top + shown.height <= 1 + 1e-12
    assert shown.width * shown.height >= 0.85 * LEAST_AREA, "what is stretched is cut off at the rim"


def test_a_quarter_of_the_windows_show_the_whole_picture_and_half_are_mirrored() -> None:
    windows = [window(np.random.default_rng(i)) for i in range(2000)]
    whole = [w for w in windows if (w.left, w.top, w.width, w.height) == (0, 0, 1, 1)]
    assert abs(len(whole) / 2000 - WHOLE) < 0.04
    assert abs(sum(w.mirrored for w in windows) / 2000 - 0.5) < 0.04
    assert {w.mirrored for w in whole} == {False, True}


def test_a_whole_window_that_is_not_mirrored_moves_nothing(through: Any) -> None:
    truth_T6 = truth(BOX, (0, 0, 1, 1))
    np.testing.assert_array_equal(through(truth_T6, Window(0, 0, 1, 1, False, 1.0)), truth_T6)


def test_a_mirrored_box_has_its_left_still_on_the_left(through: Any) -> None:
    out_T6 = through(truth(BOX), Window(0, 0, 1, 1, True, 1.0))
    np.testing.assert_allclose(out_T6[0], [0, 0.35, 0.2, 0.65, 0.55, 0], atol=1e-6)
    out_T6 = through(truth((0.1, 0.2, 0.3, 0.4)), Window(0, 0, 1, 1, True, 1.0))
    np.testing.assert_allclose(out_T6[0], [0, 0.7, 0.2, 0.9, 0.4, 0], atol=1e-6)


def test_a_box_is_clipped_at_the_rim_and_dropped_where_too_little_is_left(through: Any) -> None:
    right = Window(0.5, 0.0, 0.5, 1.0, False, 1.0)
    half, sliver, gone, inside = (0.3, 0, 0.7, 1), (0.1, 0, 0.55, 1), (0, 0, 0.4, 1), (0.6, 0.2, 0.8, 0.4)
    out_T6 = through(truth(half, sliver, gone, inside, rows=5), right)
    assert out_T6[:, 0].tolist() == [0, -1, -1, 3, -1]
    np.testing.assert_allclose(out_T6[0, 1:5], [0, 0, 0.4, 1], atol=1e-6)
    np.testing.assert_allclose(out_T6[3, 1:5], [0.2, 0.2, 0.6, 0.4], atol=1e-6)


@pytest.mark.parametrize(("share", "kept"), [(LEAST_SEEN + 0.01, True), (LEAST_SEEN - 0.01, False)])
def test_a_box_counts_while_three_tenths_of_it_are_seen(share: float, kept: bool, through: Any) -> None:
    width = 0.4
    box = (0.5 - width * (1 - share), 0.3, 0.5 + width * share, 0.6)
    for mirrored in (False, True):
        assert through(truth(box), Window(0.5, 0, 0.5, 1, mirrored, 1.0))[0, 0] == (0 if kept else -1)


def test_empty_rows_stay_empty_and_crowds_stay_crowds(through: Any) -> None:
    truth_T6 = truth((0.2, 0.2, 0.8, 0.8))
    truth_T6[0, 5] = 1
    out_T6 = through(truth_T6, Window(0.1, 0.1, 0.8, 0.8, True, 1.0))
    assert out_T6[:, 0].tolist() == [0, -1, -1]
    assert out_T6[0, 5] == 1


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 99))
def test_what_is_left_of_a_box_has_an_area_and_lies_in_the_view(seed: int, place: int) -> None:
    rng = np.random.default_rng(place)
    start = rng.uniform(0, 0.9, (6, 2))
    ends = np.minimum(1, start + rng.uniform(0.01, 0.6, (6, 2)))
    out_T6 = moved(truth(*np.concatenate([start, ends], 1).tolist(), rows=8)[None], [np.random.default_rng(seed)])[0]
    kept_T6 = out_T6[out_T6[:, 0] >= 0]
    assert ((kept_T6[:, 1:5] >= 0) & (kept_T6[:, 1:5] <= 1)).all()
    assert (kept_T6[:, 3:5] > kept_T6[:, 1:3]).all()


def test_light_changes_and_nothing_is_brighter_than_white() -> None:
    pixels_3HW = np.full((3, 110, 110), 240, np.uint8)
    given = {int(seen(pixels_3HW, (SIDE, SIDE), np.random.default_rng(i)).mean()) for i in range(30)}
    assert len(given) > 5
    assert max(given) == 255
    assert min(given) > 240 * 0.75


# -- as batches


def pictures(count: int) -> tuple[list[bytes], NDArray[np.float32]]:
    """Black pictures with a bright rectangle each, and truth_NT6."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        left, top = rng.uniform(0.2, 0.4, 2)
        made.append(lit((120, 150), (left, top, left + 0.25, top + 0.3)))
    return [data for data, _ in made], np.stack([truth(corners) for _, corners in made])


def fit(batches: Batches, steps: int) -> set[bool]:
    """Whether boxes fit the pictures that they come with; which of them were moved."""
    changed = set()
    for step in range(steps):
        x_B, target_BT6 = batches.batch(step)
        index_B, _ = batches.rows_of(step)
        for pixels, target_T6, i in zip(x_B.numpy(), target_BT6.numpy(), index_B, strict=True):
            assert target_T6[0, 0] == 0
            np.testing.assert_allclose(target_T6[0, 1:5] * SIDE, extent(pixels) * SIDE, atol=1.5)
            changed.add(bool((target_T6 != batches.target_N[i]).any()))
    return changed


def cached(datas: list[bytes], numbers: int, seed: int) -> Views:
    views = [stored(np.stack([load_box_view(d, HOW, View(number, seed)) for d in datas])) for number in range(numbers)]
    return Views(views, seed, [hashlib.sha256(d).hexdigest() for d in datas])


def flying(datas: list[bytes], seed: int) -> Fly:
    further = stored(np.stack([load_pixels(d, wide(HOW)) for d in datas]))
    plain = stored(np.stack([load_pixels(d, HOW) for d in datas]))
    return Fly(further, plain, lambda x, rng: seen(x, (SIDE, SIDE), rng), seed)


@pytest.mark.parametrize("seed", [0, 4])
def test_batches_of_cached_views_have_the_boxes_of_the_views_that_were_drawn(seed: int) -> None:
    datas, truth_NT6 = pictures(8)
    batches = Batches(cached(datas, 4, seed), np.arange(8), truth_NT6, 4, seed, move=moved)
    assert fit(batches, 12) == {False, True}, "the clean view is one of them"


@pytest.mark.parametrize("seed", [0, 4])
def test_batches_that_are_augmented_anew_have_the_boxes_of_what_was_drawn(seed: int) -> None:
    datas, truth_NT6 = pictures(8)
    batches = Batches(flying(datas, seed), np.arange(8), truth_NT6, 4, seed, move=moved)
    assert True in fit(batches, 12)


def test_batches_are_the_same_whoever_reads_them_ahead() -> None:
    datas, truth_NT6 = pictures(6)
    for source in (cached(datas, 3, 1), flying(datas, 1)):
        plain = Batches(source, np.arange(6), truth_NT6, 3, 1, move=moved)
        ahead = replace(plain, workers=2)
        for (x_B, target_B), (y_B, other_B) in zip(plain.run(0, 6), ahead.run(0, 6), strict=True):
            np.testing.assert_array_equal(x_B, y_B)
            np.testing.assert_array_equal(target_B, other_B)


def test_what_is_judged_is_not_moved() -> None:
    datas, truth_NT6 = pictures(4)
    for source in (cached(datas, 3, 0), flying(datas, 0)):
        for pixels, truth_T6 in zip(source.clean(np.arange(4)), truth_NT6, strict=True):
            np.testing.assert_allclose(truth_T6[0, 1:5] * SIDE, extent(pixels) * SIDE, atol=1)
