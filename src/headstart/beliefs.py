"""What is believed of networks before they run, and how that is blended with what a race measures.

All in log error, that is log(1 - score): by what is published, a network that makes half of another's mistakes on
ImageNet makes about half of its mistakes elsewhere. A belief has a spread: the more examples a race sees, the less
the belief counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from headstart.history import Past, known_as
from headstart.metrics.interval import Measure

PUBLISHED = 0.5
"""Spread of the log error that published accuracy leaves open."""
EARLIER = 0.35
"""The same of one earlier data set; of more it shrinks by the root of their number."""
NOTHING = 1.0
"""The same where nothing is known."""


@dataclass(frozen=True)
class Belief:
    """Log error against that of the other candidates, with its spread; on how many earlier data sets it rests."""

    value: float
    spread: float
    earlier: int = 0


def log_error(score: float, least: float = 1e-3) -> float:
    """Return the log of what is missing to a perfect score."""
    return math.log(max(1.0 - score, least))


def beliefs(published: Sequence[float | None], names: Sequence[str], rows: Sequence[Past]) -> list[Belief]:
    """Return what is believed of each of some networks.

    Args:
        published: accuracy in per cent, where it is known.
        names: of the networks.
        rows: of other data sets.
    """
    errors = [None if p is None else log_error(p / 100) for p in published]
    middle = mean([e for e in errors if e is not None] or [0.0])
    first = [Belief(0.0, NOTHING) if e is None else Belief(e - middle, PUBLISHED) for e in errors]
    seen = _deviations([known_as(name) for name in names], rows)
    return [_joined(one, off) for one, off in zip(first, seen, strict=True)]


def _deviations(names: Sequence[str], rows: Sequence[Past]) -> list[list[float]]:
    """Return for each network, on each earlier data set, its log error against the mean of these networks there."""
    out: list[list[float]] = [[] for _ in names]
    for place in dict.fromkeys((row.data, row.how) for row in rows):
        there = {row.name: log_error(row.score) for row in rows if (row.data, row.how) == place}
        both = [there[name] for name in names if name in there]
        for mine, name in zip(out, names, strict=True):
            if name in there and len(both) > 1:
                mine.append(there[name] - mean(both))
    return out


def _joined(one: Belief, off: Sequence[float]) -> Belief:
    if not off:
        return one
    value, spread = weighed((one.value, one.spread), (mean(off), EARLIER / math.sqrt(len(off))))
    return Belief(value, spread, len(off))


def weighed(*parts: tuple[float, float]) -> tuple[float, float]:
    """Return the mean of (value, spread), each weighing by its precision, and the spread of that mean."""
    precision = sum(spread**-2 for _, spread in parts)
    return sum(value * spread**-2 for value, spread in parts) / precision, precision**-0.5


def spread_of(score: Measure, examples: int) -> float:
    """Return the spread of a measured log error, from its interval; no less than that of half a mistake."""
    missing = max(1.0 - score.value, 0.5 / examples)
    return max((score.high - score.low) / 3.92, 0.5 / examples) / missing


def blended(scores: Sequence[Measure], examples: Sequence[int], believed: Sequence[Belief]) -> list[float]:
    """Return the scores to be expected: what was measured, drawn to what was believed as far as it is uncertain."""
    seen = [(log_error(s.value, 0.5 / n), spread_of(s, n)) for s, n in zip(scores, examples, strict=True)]
    offsets = [(m - b.value, math.hypot(s, b.spread)) for (m, s), b in zip(seen, believed, strict=True)]
    level, _ = weighed(*offsets)
    both = zip(seen, believed, strict=True)
    return [1.0 - math.exp(weighed(one, (b.value + level, b.spread))[0]) for one, b in both]
