"""Geometry of the ladder's chart: scores upwards; across, on a log scale, the seconds after which they were there.

As in `figures`, everything across is in percent of the chart's width and everything down is in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from headstart.report.figures import GUTTER, Scale, Tick, marks, span, upward
from headstart.report.page import Estimate, Ladder, Rung
from headstart.report.words import clock, known

LEFT, RIGHT = GUTTER + 4, 95.0
TOP = 44  # leaves room for a number and a score above the highest interval
GAP = 5.0  # percent between neighbours: on a phone as much as a number of two digits needs
ROOM = 13.0  # percent that a score needs on a phone
FLOOR = 0.1  # whatever was there after so many seconds stands at the left edge
REACH = 8.0  # percent from a score's middle to the middle of what it would cover, on a phone
MINUTE, HOUR, DAY = 60, 3600, 86400
COARSE = (0.1, 1, 10, MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR, 2 * DAY, 7 * DAY)
FINE: tuple[float, ...] = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, *(m * MINUTE for m in (1, 2, 5, 10, 20, 30)))
FINE += tuple(h * HOUR for h in (1, 2, 4, 8, 12, 24, 48, 96, 168))
FINEST: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 40)
FINEST += tuple(u * k for u in (MINUTE, HOUR) for k in (1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 40))


class Point(NamedTuple):
    """A score in the chart: `rung` is its place among the rungs, None for the network trained from scratch.

    Its number stands at `number_y`, its score, if it has room, at `score_y`; `tight` means that it has room only on
    a wide screen. `below` marks a score so far under the others that it lies below the scale.
    """

    rung: int | None
    x: float
    y: float
    y_low: float
    y_high: float
    number_y: float
    below: bool
    score_y: float | None = None
    tight: bool = False


class Climb(NamedTuple):
    """The ladder's chart. The first `gutter` percent hold the axis labels, its floor is at `foot`.

    `steps` join the rungs that were not beaten; `moved` tells that points were moved apart.
    """

    height: int
    gutter: float
    foot: int
    ticks: tuple[Tick, ...]
    times: tuple[Tick, ...]
    points: tuple[Point, ...]
    steps: tuple[tuple[Point, Point], ...]
    moved: bool


class _Score(NamedTuple):
    """A score that can be drawn, when it was there, and whether it is written at any rate."""

    rung: int | None
    estimate: Estimate
    value: float
    at: float
    written: bool


def climb(ladder: Ladder, height: int = 330) -> Climb:
    """Place the rungs and, when there is one, the network trained from scratch."""
    scores = _scores(ladder)
    own = [s.estimate for s in scores if s.rung is not None]
    at = marks(own, ladder.share, [s.estimate for s in scores if s.rung is None])
    below = any(s.value < at[0] for s in scores)
    foot = height - 52
    height += 42 if below else 0
    up, across = Scale(at[0], at[-1], foot - 6, TOP), span_of([s.at for s in scores])
    exact = [place(s.at, across) for s in scores]
    points = _written([_point(s, x, up) for s, x in zip(scores, spread(exact), strict=True)], scores, foot)
    joined = [p for p in points if p.rung is not None and not p.below and ladder.rungs[p.rung].status != "beaten"]
    moved = any(abs(p.x - x) > 1 for p, x in zip(points, exact, strict=True))
    axis, first = upward(at, up, ladder.share), min((s.at for s in scores), default=FLOOR)
    return Climb(height, GUTTER, foot, axis, times(across, first), points, tuple(pairwise(joined)), moved)


def done(rungs: Sequence[Rung]) -> tuple[float, ...]:
    """Return the seconds after which each rung was done: as measured, else what it cost is added to the one before."""
    now, ends = 0.0, []
    for rung in rungs:
        now = rung.at if known(rung.at) else now + (rung.seconds if known(rung.seconds) else 0.0)
        ends.append(now)
    return tuple(ends)


def _scores(ladder: Ladder) -> list[_Score]:
    ends, found = done(ladder.rungs), []
    for i, (rung, at) in enumerate(zip(ladder.rungs, ends, strict=True)):
        if known(rung.headline.value):
            found.append(_Score(i, rung.headline, rung.headline.value, at, rung.status == "shipped"))
    scratch = ladder.scratch
    if scratch is not None and known(scratch.estimate.value):
        given = scratch.at if known(scratch.at) else scratch.seconds
        at = given if given is not None and known(given) else max(ends, default=0.0)
        found.append(_Score(None, scratch.estimate, scratch.estimate.value, at, True))
    return found


def span_of(ends: Sequence[float]) -> tuple[float, float]:
    """Return where the axis of seconds begins and ends: never less than a factor of four apart."""
    late = [max(FLOOR, t) for t in ends] or [1.0]
    low, high = min(late), max(late)
    if high < 4 * low:
        low = max(FLOOR, math.sqrt(low * high) / 2)
        high = 4 * low
    return low, high


def place(at: float, across: tuple[float, float]) -> float:
    """Return the place of a moment between the ends of the axis."""
    low, high = (math.log(t) for t in across)
    return Scale(low, high, LEFT, RIGHT).at(math.log(max(FLOOR, at)))


def times(across: tuple[float, float], first: float = FLOOR) -> tuple[Tick, ...]:
    """Return round moments between the ends of the axis, far enough apart to be read on a phone.

    >>> [t.text for t in times((0.1, 700))] == [clock(t) for t in (0.1, 1, 10, 60, 300)]
    True
    """
    every = ([Tick(place(t, across), clock(t)) for t in row if _within(t, across)] for row in (COARSE, FINE, FINEST))
    rows = [_apart(row) for row in every]
    ticks = next((row for row in rows if len(row) > 2), rows[-1])
    early = (ticks[0]._replace(text=f"≤ {clock(FLOOR)}"),) if ticks and first < FLOOR else ticks[:1]
    return early + ticks[1:]


def _within(at: float, across: tuple[float, float]) -> bool:
    return across[0] * 0.999 <= at <= across[1] * 1.001


def _apart(row: Sequence[Tick]) -> tuple[Tick, ...]:
    kept: list[Tick] = []
    for tick in row:
        if not kept or tick.at - kept[-1].at >= ROOM:
            kept.append(tick)
    return tuple(kept)


def spread(places: Sequence[float], gap: float = GAP) -> tuple[float, ...]:
    """Push places to the right until none is nearer than `gap` to another, and back from the right edge.

    >>> spread([20.0, 13.0, 21.0]), spread([94.0, 95.0])
    ((20.0, 13.0, 25.0), (90.0, 95.0))
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    gap, out, edge = min(gap, (RIGHT - LEFT) / max(1, len(places) - 1)), list(places), LEFT
    for i in order:
        out[i] = max(out[i], edge)
        edge = out[i] + gap
    edge = RIGHT
    for i in reversed(order):
        out[i] = min(out[i], edge)
        edge = out[i] - gap
    return tuple(round(x, 2) for x in out)


def _point(score: _Score, x: float, up: Scale) -> Point:
    if score.value < up.low:
        y = up.start + 35
        return Point(score.rung, x, y, y, y, y - 9, True)
    low, high = span(score.estimate)
    y = up.at(score.value)
    return Point(score.rung, x, y, max(up.at(low), y), up.at(high), round(min(up.at(high), y - 6) - 7, 2), False)


def _written(points: Sequence[Point], scores: Sequence[_Score], foot: float) -> tuple[Point, ...]:
    """Give each point the place of its score: the best of those that must have one chooses first."""
    out = list(points)
    for i in sorted(range(len(out)), key=lambda i: (not scores[i].written, out[i].y)):
        near = [q for q in out if q is not out[i] and abs(q.x - out[i].x) < ROOM]
        out[i] = (_beside if scores[i].written else _above)(out[i], near, foot)
    return tuple(out)


def _above(p: Point, near: Sequence[Point], foot: float) -> Point:
    """Put the score above its number, on wide screens only when something is near, nowhere when it is very near."""
    if p.below:
        return p._replace(score_y=p.y + 20)
    crowded = any(abs(q.x - p.x) < GAP - 0.1 for q in near)
    return p if crowded else p._replace(score_y=round(p.number_y - 14, 2), tight=bool(near))


def _beside(p: Point, near: Sequence[Point], foot: float) -> Point:
    """Put the score where it hides nothing: above its point, below it, or beyond all that is near."""
    if p.below:
        return p._replace(score_y=p.y + 20)
    taken = [e for q in near if (e := _taken(q, abs(q.x - p.x) < REACH))]
    above, below = p.number_y - (14 if p.rung is not None else 0), p.y_low + 18
    highest, lowest = min([above, *(a - 4 for a, _ in taken)]), max([below, *(b + 14 for _, b in taken)])
    free = [y for y in (above, below, lowest) if y < foot and all(y + 3 < a or y - 11 > b for a, b in taken)]
    best: float = above if above in free else min([*free, highest], key=lambda y: abs(y - p.y))
    return p._replace(score_y=round(best, 2))


def _taken(q: Point, close: bool) -> tuple[float, float] | None:
    if close:
        return extent(q)
    return None if q.score_y is None else (q.score_y - 11, q.score_y + 3)


def extent(p: Point) -> tuple[float, float]:
    """Return from where to where, downwards, a point, its number and its score reach."""
    ends = (p.y + 7, p.y_low, p.number_y - 11, *(() if p.score_y is None else (p.score_y - 11, p.score_y + 3)))
    return min(ends), max(ends)
