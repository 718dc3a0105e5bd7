"""Bootstrap intervals: how far a score could have come out otherwise on as small a set of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

LEVEL = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Measure:
    """A score with its 95% interval."""

    name: str
    value: float
    low: float
    high: float

    def record(self) -> dict[str, float | str]:
        """Return what goes into `scores.json`."""
        return {"name": self.name, "value": self.value, "low": self.low, "high": self.high}


def resamples(units: int, seed: int, times: int = RESAMPLES) -> Iterator[Counts]:
    """Yield how often each unit is drawn, `times` times: the bootstrap (Efron 1979) as counts."""
    rng = np.random.default_rng([seed, 0x0B007])
    for _ in range(times):
        yield np.bincount(rng.integers(0, units, units), minlength=units)


def measured(
    score: Callable[[NDArray[np.floating]], Mapping[str, float]],
    unit_N: NDArray[np.integer],
    seed: int,
    bounded: Mapping[str, int],
) -> tuple[Measure, ...]:
    """Score a set and put a percentile interval on each of its measures.

    Args:
        score: weights_N -> measures; a weight says how often an example counts.
        unit_N: which unit each row belongs to; duplicates of one picture are one unit and are drawn together.
        seed: fixes the resamples.
        bounded: for measures that are a share, over how many units; see `widened`.
    """
    units = int(unit_N.max()) + 1
    point = score(np.ones(len(unit_N)))
    drawn = [score(counts[unit_N].astype(np.float64)) for counts in resamples(units, seed)]
    return tuple(between(name, value, [d[name] for d in drawn], bounded.get(name)) for name, value in point.items())


def between(name: str, value: float, drawn: list[float], units: int | None = None) -> Measure:
    """Return a measure with the percentile interval of its resampled values."""
    values = np.asarray(drawn, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Measure(name, float(value), float(value), float(value))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    measure = Measure(name, float(value), float(min(low, value)), float(max(high, value)))
    return measure if units is None else widened(measure, units)


def widened(measure: Measure, units: int) -> Measure:
    """Widen the interval of a share to Wilson's where the bootstrap is blind.

    Twenty right of twenty resample to twenty right every time; Wilson's score interval (1927) says 0.84 to 1.
    """
    if 0.0 < measure.value < 1.0:
        return measure
    far = 1.0 / (1.0 + max(units, 1) / 1.959964**2)  # Wilson's bound at a share of 0; 1 - it at a share of 1
    return replace(measure, low=min(measure.low, 1.0 - far), high=1.0) if measure.value else replace(measure, high=far)
