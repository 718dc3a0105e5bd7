"""Repairs of boxes, whatever their format: what has one reading only is put right and said; the rest is left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from headstart.data.examples import Box, Severity

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Size = tuple[float, float]
"""Width, height."""
Remark = tuple[str, Severity, str]
"""The kind, the severity and the reason of a finding."""
Order = Literal["xywh", "xyxy"]
"""What four numbers of a box are: a corner and the sides, or two corners."""

NO_NUMBERS: Corners = (math.nan,) * 4
_ROUNDING = 0.02  # of a pixel: what files written with few digits are off
_SHARE_LIMIT = 1.5
"""No coordinate of a data set above this: they are shares of the sides, some of them out of the picture."""


@dataclass(frozen=True)
class RawBox:
    """A box as its file has it.

    Attributes:
        label: its class, empty where it has none that is known.
        corners: in the file's own units; a number that is none is NaN.
        crowd: whether it holds many objects that are not told apart.
        fault: why it cannot be used, as far as its reader knows.
        remarks: what its reader has to say of it.
    """

    label: str
    corners: Corners
    crowd: bool = False
    fault: Remark | None = None
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Frame:
    """How coordinates as written become pixels of the picture as it is shown.

    Attributes:
        shown: the picture's size as a viewer shows it.
        stated: the size that the coordinates refer to, before any turning; (1, 1) for shares of the sides.
        orientation: the EXIF orientation by which the coordinates have to be turned; 1 for none.
        origin: the number of the first pixel; where that is 1, the last pixel belongs to the box.
    """

    shown: Size
    stated: Size
    orientation: int = 1
    origin: int = 0

    def place(self, corners: Corners) -> Corners:
        """Return where a box lies in the picture as it is shown."""
        stored = self.shown[::-1] if self.orientation > 4 else self.shown
        x, y = (real / said for real, said in zip(stored, self.stated, strict=True))
        left, top, right, bottom = corners
        scaled = ((left - self.origin) * x, (top - self.origin) * y, right * x, bottom * y)
        return turned(scaled, self.orientation, stored)


def no_class(why: str) -> Remark:
    """Return why a box is left out whose class is not known."""
    return "box-no-class", "left out", why


def is_set(value: object) -> bool:
    """Whether a flag such as `iscrowd` is set: true, or 1, also as text."""
    return value is True or as_number(value) == 1


def as_number(value: object) -> float:
    """Return a number, also one written as text; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def as_corners(values: object, order: Order = "xyxy") -> Corners:
    """Return the corners that four numbers give; `NO_NUMBERS` where they are not four."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 4:
        return NO_NUMBERS
    a, b, c, d = (as_number(v) for v in values)
    return (a, b, a + c, b + d) if order == "xywh" else (a, b, c, d)


def around(points: Sequence[tuple[float, float]]) -> Corners:
    """Return the box around the points of an outline."""
    if not points:
        return NO_NUMBERS
    xs, ys = zip(*points, strict=True)
    if any(math.isnan(v) for v in (*xs, *ys)):
        return NO_NUMBERS
    return min(xs), min(ys), max(xs), max(ys)


def turned(corners: Corners, orientation: int, stored: Size) -> Corners:
    """Turn a box of a picture as it is stored into one of the picture as EXIF says that it be shown."""
    (x0, y0), (x1, y1) = (_turned(p, orientation, stored) for p in (corners[:2], corners[2:]))
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _turned(point: tuple[float, float], orientation: int, stored: Size) -> tuple[float, float]:
    x, y = point
    if orientation in (2, 3, 7, 8):  # the left of these is on the other side
        x = stored[0] - x
    if orientation in (3, 4, 6, 7):
        y = stored[1] - y
    return (y, x) if orientation > 4 else (x, y)


def in_shares(boxes: Iterable[Corners]) -> bool:
    """Whether the coordinates of a whole data set are shares of the sides, though pixels were to be expected.

    They are where none is clearly above 1, and there are fractions among them.
    """
    numbers = [v for corners in boxes for v in corners if math.isfinite(v)]
    return bool(numbers) and max(numbers) <= _SHARE_LIMIT and any(v != round(v) for v in numbers)


def first_pixel(boxes: Iterable[Corners]) -> int:
    """Return the number of the first pixel in a data set of the VOC kind: 1 as VOC itself counts, or 0.

    It is 1 where the coordinates are whole, none is 0, and some is 1.
    """
    corners = [c for box in boxes for c in box[:2] if math.isfinite(c)]
    return int(bool(corners) and min(corners) == 1 and all(c == round(c) for c in corners))


def order_of(quads: Sequence[Sequence[float]], sizes: Sequence[Size | None]) -> tuple[Order, int]:
    """Tell from the boxes of a whole data set what their four numbers are.

    A corner and sides cannot reach beyond the picture, a second corner cannot be left of or above the first. The
    order with fewer boxes that cannot be wins; `xywh`, which is the custom, where they are equal.

    Returns:
        The order, and by how many boxes it won: 0 says that nothing in the data told.
    """
    beyond = sum(size is not None and _beyond(quad, size) for quad, size in zip(quads, sizes, strict=True))
    backward = sum(quad[2] < quad[0] or quad[3] < quad[1] for quad in quads)
    return ("xyxy" if backward < beyond else "xywh"), abs(beyond - backward)


def _beyond(quad: Sequence[float], size: Size) -> bool:
    return any(quad[i] + quad[i + 2] > 1.01 * size[i] + 1 * (size[i] > 1) for i in (0, 1))


def repaired(raw: RawBox, frame: Frame) -> tuple[Box | None, list[Remark]]:
    """Return a box that can be learned from, or None, and what was found and done."""
    remarks = list(raw.remarks)
    reason = _unusable(raw)
    if reason:
        return None, [*remarks, reason]
    left, top, right, bottom = raw.corners
    if right < left or bottom < top:
        remarks.append(("box-swapped", "repaired", "its corners are given the wrong way round; they are exchanged"))
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
    corners, reason = _cut(frame.place((left, top, right, bottom)), frame.shown)
    if reason:
        remarks.append(reason)
    return (None if corners is None else Box(raw.label, *corners, raw.crowd)), remarks


def _unusable(raw: RawBox) -> Remark | None:
    if raw.fault or not raw.label:
        return raw.fault or no_class("it has no class")
    if not all(map(math.isfinite, raw.corners)):
        return "box-not-numbers", "left out", "its corners are not four numbers"
    left, top, right, bottom = raw.corners
    if left == right or top == bottom:
        return "box-empty", "left out", f"it has no area: {_said(raw.corners)}"
    return None


def _cut(corners: Corners, size: Size) -> tuple[Corners | None, Remark | None]:
    """Cut a box at the edges of its picture; None where less than a pixel of it would stay."""
    width, height = size
    left, top, right, bottom = corners
    cut = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
    rounded = max(abs(a - b) for a, b in zip(cut, corners, strict=True)) <= _ROUNDING
    if rounded and cut[0] < cut[2] and cut[1] < cut[3]:
        return cut, None
    where = f"{_said(corners)} in a picture of {width:g} x {height:g}"
    if cut[2] - cut[0] < 1 or cut[3] - cut[1] < 1:
        return None, ("box-outside", "left out", f"it lies outside the picture: {where}")
    share = _area(cut) / _area(corners)
    return cut, ("box-clipped", "repaired", f"it is cut at the picture's edge, {share:.1%} of it stay: {where}")


def _area(corners: Corners) -> float:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])


def _said(corners: Corners) -> str:
    return "(" + ", ".join(f"{round(v, 2):g}" for v in corners) + ")"


def without_copies(boxes: Sequence[Box | None]) -> tuple[list[Box | None], dict[int, Remark]]:
    """Return the boxes with None for what says the same again, and remarks by position.

    The same place under another label stays, and is named: both may be meant.
    """
    first: dict[tuple[float, ...], dict[str, int]] = {}
    kept: list[Box | None] = []
    remarks: dict[int, Remark] = {}
    for i, box in enumerate(boxes):
        here = first.setdefault(_place(box), {}) if box else {}
        again = box is not None and box.label in here
        if box and again:
            remarks[i] = ("box-duplicate", "left out", f"box {here[box.label] + 1} says the same")
        elif box and here:
            label, at = next(iter(here.items()))
            remarks[i] = ("box-two-labels", "note", f"{box.label!r} here, {label!r} in box {at + 1} at the same place")
        if box and not again:
            here[box.label] = i
        kept.append(None if again else box)
    return kept, remarks


def _place(box: Box) -> tuple[float, ...]:
    return tuple(round(v, 2) for v in (box.left, box.top, box.right, box.bottom))
