"""Geometry of the charts: numbers in, SVG attribute values out. Nothing here knows colours or HTML.

Across, everything is in percent of the chart's width, so that a chart fills a phone or a desk without its
text being scaled; down, everything is in pixels. Only the reliability diagram, a square, is all in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from headstart.report.page import CurvePoint, Estimate, ReliabilityBin, TrainingCurve
from headstart.report.words import amount, known, short


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


def marks(scores: Sequence[Estimate], share: bool, always: Sequence[Estimate] = ()) -> tuple[float, ...]:
    """Return the marks of an axis. It leaves out the lowest score when that one would crush the others together.

    What is in `always` stays on the axis.
    """
    spans, kept = [span(e) for e in sorted(scores, key=lambda e: e.value or 0.0)], [span(e) for e in always]
    every = spans + kept or [(0.0, 1.0)]
    low, high = min(a for a, _ in every), max(b for _, b in every)
    if spans and len(every) > 2:
        rest = min(a for a, _ in spans[1:] + kept)
        if spans[0][1] < rest and high - low > 4 * (high - rest):
            low = rest
    return tuple(t for t in ticks(low, high) if 0 <= t <= 1 or not share)


def span(e: Estimate) -> tuple[float, float]:
    """Return the least and the greatest of a value and the ends of its interval."""
    ends = [v for v in (e.value, e.low, e.high) if known(v)]
    return min(ends), max(ends)


def upward(at: Sequence[float], scale: Scale, share: bool) -> tuple[Tick, ...]:
    """Write marks along an axis of scores; they are round, so they need no digit after the point."""
    return tuple(Tick(scale.at(t), amount(t, share).replace(".0%", "%")) for t in at)


class Stand(NamedTuple):
    """A value and its interval that stand upright: `x` in percent, the rest in pixels."""

    x: float
    y: float
    y_low: float
    y_high: float


class Curves(NamedTuple):
    """The learning curve: one column for each number of labels, the series side by side in it."""

    height: int
    gutter: float
    foot: int
    ticks: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    transfer: tuple[Stand, ...]
    scratch: tuple[Stand, ...]


GUTTER = 9.0
BESIDE = 1.5  # percent that each of two series stands beside the middle of its column


def learning(points: Sequence[CurvePoint], share: bool = True, height: int = 270) -> Curves:
    """Place the scores upwards and the numbers of labels across, in the order given and equally far apart."""
    scores = [e for p in points for e in (p.transfer, p.scratch) if e is not None and known(e.value)]
    at, foot = marks((), share, scores), height - 44
    up = Scale(at[0], at[-1], foot, 16)
    width = (100 - GUTTER) / max(1, len(points))
    middles = [round(GUTTER + width * (i + 0.5), 2) for i in range(len(points))]
    columns = tuple(Tick(x, short(p.labels, 9)) for x, p in zip(middles, points, strict=True))
    scratch = _series([p.scratch for p in points], middles, BESIDE, up)
    transfer = _series([p.transfer for p in points], middles, -BESIDE if scratch else 0.0, up)
    return Curves(height, GUTTER, foot, upward(at, up, share), columns, transfer, scratch)


def _series(scores: Sequence[Estimate | None], middles: Sequence[float], aside: float, up: Scale) -> tuple[Stand, ...]:
    drawn = [(e, e.value, x) for e, x in zip(scores, middles, strict=True) if e is not None and known(e.value)]
    return tuple(Stand(round(x + aside, 2), up.at(value), *map(up.at, span(e))) for e, value, x in drawn)


class Trace(NamedTuple):
    """A training loss over its steps: `line` is for a box 100 wide and `foot` high that is stretched to the chart.

    `every` is over how many steps it was averaged, `lost` how many of its values are not numbers.
    """

    height: int
    foot: int
    gutter: float
    ticks: tuple[Tick, ...]
    line: str
    first: tuple[int, float]
    last: tuple[int, float]
    every: int
    lost: int


def trace(curve: TrainingCurve, height: int = 130, most: int = 150) -> Trace | None:
    """Draw a training loss with at most `most` corners; None when there are not two values to join."""
    seen = list(zip(curve.steps, curve.loss, strict=False))
    drawn = [(step, loss) for step, loss in seen if math.isfinite(loss)]
    if len(drawn) < 2:
        return None
    every = math.ceil(len(drawn) / most)
    thin = [_mean(drawn[i : i + every]) for i in range(0, len(drawn), every)]
    at, foot = ticks(min(y for _, y in thin), max(y for _, y in thin), 2), height - 20
    across, up = Scale(thin[0][0], thin[-1][0], 0, 100), Scale(at[0], at[-1], foot, 8)
    line = " ".join(f"{across.at(step):g},{up.at(loss):g}" for step, loss in thin)
    axis = tuple(Tick(up.at(t), f"{t:g}") for t in at)
    return Trace(height, foot, 2 * GUTTER, axis, line, drawn[0], drawn[-1], every, len(seen) - len(drawn))


def _mean(part: Sequence[tuple[int, float]]) -> tuple[float, float]:
    return math.fsum(step for step, _ in part) / len(part), math.fsum(loss for _, loss in part) / len(part)


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


class Plot(NamedTuple):
    """Predicted numbers over true ones, both axes alike: marks as in `Square`, dots in pixels."""

    size: int
    start: int
    end: int
    ticks: tuple[Tick, ...]
    dots: tuple[tuple[float, float], ...]


def scatter(dots: Sequence[tuple[float, float]], size: int = 380) -> Plot:
    """Place dots by what is true (across) and by what was said (up), on one scale."""
    start, end = 56, size - 12
    values = [v for dot in dots for v in dot if math.isfinite(v)] or [0.0, 1.0]
    marks = ticks(min(values), max(values))
    low, high = min(marks[0], *values), max(marks[-1], *values)
    across, up = Scale(low, high, start, end), Scale(low, high, size - start, size - end)
    shown = tuple((across.at(true), up.at(said)) for true, said in dots if math.isfinite(true + said))
    return Plot(size, start, end, tuple(Tick(across.at(m), f"{m:g}") for m in marks), shown)


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
