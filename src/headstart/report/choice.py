"""Geometry of the chart of networks: scores upwards, across the seconds that extracting all features takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headstart.report.figures import GUTTER, Scale, Stand, Tick, marks, span, ticks, upward
from headstart.report.making import Contender
from headstart.report.page import Estimate
from headstart.report.words import seconds

LEFT, RIGHT = GUTTER + 3, 96.0


class Field(NamedTuple):
    """The chart: a stand for each network that ran, in their order; axes as in the other charts."""

    height: int
    gutter: float
    foot: int
    ticks: tuple[Tick, ...]
    times: tuple[Tick, ...]
    points: tuple[Stand, ...]


def networks(ran: Sequence[Contender], share: bool = True, height: int = 270) -> Field:
    """Place networks by their seconds and their scores."""
    scores = [Estimate(c.score, min(c.low, c.score), max(c.high, c.score)) for c in ran]
    at, foot = marks((), share, scores), height - 44
    long = ticks(0.0, max((c.seconds for c in ran), default=1.0))
    up, across = Scale(at[0], at[-1], foot, 30), Scale(0.0, long[-1], LEFT, RIGHT)
    placed = zip(ran, scores, strict=True)
    points = tuple(Stand(across.at(c.seconds), up.at(c.score), *map(up.at, span(e))) for c, e in placed)
    times = tuple(Tick(across.at(t), seconds(t) if t else "0") for t in long)
    return Field(height, GUTTER, foot, upward(at, up, share), times, points)
