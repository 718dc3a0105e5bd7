"""Geometry of the charts: numbers in, SVG attribute values out. Nothing here knows colours or HTML.

Across, everything is in percent of the chart's width, so that a chart fills a phone or a desk without its
text being scaled; down, everything is in pixels. Only the reliability diagram, a square, is all in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from headstart.report.page import Estimate, ReliabilityBin, Rung
from headstart.report.words import amount, known


class Scale(NamedTuple):
    """A straight map from the numbers `low`..`high` to the places `start`..`end`; outside is on the edge."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, to a hundredth."""
        part = (value - self.low) / (self.high - self.low) if self.high != self.low else 0.5
        return round(self.start + min(1.0, max(0.0, part)) * (self.end - self.start), 2)


def ticks(low: float, high: float, about: int = 4) -> tuple[float, ...]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that enclose `low`..`high`.

    >>> ticks(0.43, 0.97)
    (0.4, 0.6, 0.8, 1.0)
    """
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(i * step, 10) for i in range(first, last + 1))


class Strip(NamedTuple):
    """A value and its interval along a line, in percent of its width."""

    x: float
    low: float | None
    high: float | None


def strip(estimate: Estimate, low: float = 0.0, high: float = 1.0) -> Strip | None:
    """Place an estimate on a line from `low` to `high`; None when there is nothing to draw."""
    if not known(estimate.value):
        return None
    scale = Scale(low, high, 0, 100)
    if known(estimate.low) and known(estimate.high):
        return Strip(scale.at(estimate.value), scale.at(estimate.low), scale.at(estimate.high))
    return Strip(scale.at(estimate.value), None, None)


class Tick(NamedTuple):
    """A place on an axis and what is written there."""

    at: float
    text: str


class Point(NamedTuple):
    """A rung in the ladder's chart: `x` in percent, the rest in pixels; `rung` is its place among them.

    `below` marks a rung whose score is so far under the others that it lies below the scale.
    """

    rung: int
    x: float
    y: float
    y_low: float
    y_high: float
    label_y: float
    below: bool


class Stairs(NamedTuple):
    """The ladder's chart. The first `gutter` percent hold the axis labels; `climbs` join the points."""

    height: int
    gutter: float
    ticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    climbs: tuple[tuple[Point, Point], ...]


GUTTER = 9.0


def ladder(rungs: Sequence[Rung], share: bool = True, height: int = 260) -> Stairs:
    """Place the rungs side by side in the order they were climbed, their scores upwards."""
    drawn = [(i, r.headline, r.headline.value) for i, r in enumerate(rungs) if known(r.headline.value)]
    marks = _marks([e for _, e, _ in drawn], share)
    scale = Scale(marks[0], marks[-1], height - 40, 24)
    column = (100 - GUTTER) / max(1, len(rungs))
    points = tuple(_point(i, GUTTER + column * (i + 0.5), e, value, scale) for i, e, value in drawn)
    axis = tuple(Tick(scale.at(t), amount(t, share).replace(".0%", "%")) for t in marks)
    seen = [p for p in points if not p.below]
    return Stairs(height, GUTTER, axis, points, tuple(pairwise(seen)))


def _marks(scores: Sequence[Estimate], share: bool) -> tuple[float, ...]:
    """Return the axis: it leaves out the lowest score when that one would crush the others together."""
    spans = [_span(e) for e in sorted(scores, key=lambda e: e.value or 0.0)] or [(0.0, 1.0)]
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    if len(spans) > 2:
        rest = min(a for a, _ in spans[1:])
        if spans[0][1] < rest and high - low > 4 * (high - rest):
            low = rest
    return tuple(t for t in ticks(low, high) if 0 <= t <= 1 or not share)


def _span(e: Estimate) -> tuple[float, float]:
    ends = [v for v in (e.value, e.low, e.high) if known(v)]
    return min(ends), max(ends)


def _point(rung: int, x: float, estimate: Estimate, value: float, scale: Scale) -> Point:
    if value < scale.low:
        y = scale.start + 28
        return Point(rung, round(x, 2), y, y, y, y - 10, True)
    low, high = _span(estimate)
    top = min(scale.at(high), scale.at(value) - 6)
    return Point(rung, round(x, 2), scale.at(value), scale.at(low), scale.at(high), round(top - 7, 2), False)


class Segment(NamedTuple):
    """A piece of a bar, in percent of the bar's width; `shade` counts from 1."""

    x: float
    width: float
    shade: int


def stacked(values: Sequence[float], whole: float | None = None, shades: int = 4) -> tuple[Segment, ...]:
    """Lay values end to end along a bar that is `whole` long (their sum, if not given)."""
    total = whole if whole is not None else math.fsum(values)
    scale, begin, segments = Scale(0, total or 1, 0, 100), 0.0, []
    for i, value in enumerate(values):
        x, end = scale.at(begin), scale.at(begin + value)
        segments.append(Segment(x, round(end - x, 2), i % shades + 1))
        begin += value
    return tuple(segments)


class Ball(NamedTuple):
    """A bin of the reliability diagram, in pixels."""

    x: float
    y: float
    y_low: float
    y_high: float
    radius: float


class Square(NamedTuple):
    """The reliability diagram: both axes run from 0 to 1, between `start` and `end` pixels."""

    size: int
    start: int
    end: int
    ticks: tuple[Tick, ...]
    balls: tuple[Ball, ...]


def reliability(bins: Sequence[ReliabilityBin], size: int = 320) -> Square:
    """Place the bins by confidence (across) and by accuracy (up); a ball's area follows its count."""
    start, end = 40, size - 12
    full = [b for b in bins if b.count > 0]
    most = max((b.count for b in full), default=1)
    across, up = Scale(0, 1, start, end), Scale(0, 1, size - start, size - end)
    marks = tuple(Tick(across.at(i / 4), f"{i * 25}%") for i in range(5))
    return Square(size, start, end, marks, tuple(_ball(b, most, across, up) for b in full))


def _ball(one: ReliabilityBin, most: int, across: Scale, up: Scale) -> Ball:
    low, high = wilson(one.accuracy, one.count)
    radius = round(max(2.5, 10 * math.sqrt(one.count / most)), 2)
    return Ball(across.at(one.confidence), up.at(one.accuracy), up.at(low), up.at(high), radius)


def wilson(share: float, examples: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share seen in `examples` independent cases."""
    if examples <= 0:
        return 0.0, 1.0
    share = min(1.0, max(0.0, share))
    weight = 1 + z * z / examples
    middle = (share + z * z / (2 * examples)) / weight
    half = z * math.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2) / weight
    return max(0.0, middle - half), min(1.0, middle + half)
