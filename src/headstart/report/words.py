"""How numbers and names are written in a report: one way each, everywhere."""

from __future__ import annotations

import math
import re
from typing import TypeGuard

from headstart.report.page import Estimate

DASH = "–"
THIN = "\u202f"  # narrow space that does not break: between thousands, before units


def known(value: float | None) -> TypeGuard[float]:
    """Tell whether there is a number to show."""
    return value is not None and math.isfinite(value)


def percent(value: float | None) -> str:
    """Write a share of one as a percentage that is 100% or 0% only when it is exactly that.

    >>> percent(0.9412), percent(0.99993), percent(1.0), percent(None)
    ('94.1%', '>99.9%', '100%', '–')
    """
    if not known(value):
        return DASH
    if value in (0.0, 1.0):
        return f"{value:.0%}"
    text = f"{value:.1%}"
    return {"100.0%": ">99.9%", "0.0%": "<0.1%"}.get(text, text) if 0 < value < 1 else text


def number(value: float | None) -> str:
    """Write a number that is not a share, to about three significant digits."""
    if not known(value):
        return DASH
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def amount(value: float | None, share: bool = True) -> str:
    """Write the value of a measure: a percentage when it is a share."""
    return percent(value) if share else number(value)


def gain(value: float | None, share: bool = True) -> str:
    """Write a difference with its sign; that of two shares in percentage points.

    >>> gain(0.229), gain(-0.004), gain(0.0), gain(12.3, share=False)
    ('+22.9 points', '−0.4 points', '0.0 points', '+12.30')
    """
    return f"{_signed(value, share)}{' points' if share else ''}" if known(value) else DASH


def gained(estimate: Estimate, share: bool = True) -> str:
    """Write the interval of a difference, or nothing when it has none.

    >>> gained(Estimate(0.2, -0.003, 0.31)), gained(Estimate(0.2))
    ('−0.3 to +31.0 points', '')
    """
    if not (known(estimate.low) and known(estimate.high)):
        return ""
    return f"{_signed(estimate.low, share)} to {gain(estimate.high, share)}"


def _signed(value: float, share: bool) -> str:
    text = f"{abs(value):.1%}".removesuffix("%") if share else number(abs(value))
    return f"{'' if float(text) == 0 else '−' if value < 0 else '+'}{text}"


def interval(estimate: Estimate, share: bool = True, joint: str = DASH) -> str:
    """Write the interval of an estimate, or nothing when it has none.

    >>> interval(Estimate(0.9, 0.85, 0.94)), interval(Estimate(0.9))
    ('85.0–94.0%', '')
    """
    if not (known(estimate.low) and known(estimate.high)):
        return ""
    low, high = (_end(e, share) for e in (estimate.low, estimate.high))
    if low == high:
        return ""
    return f"{low if joint != DASH else low.removesuffix('%')}{joint}{high}"


def _end(value: float, share: bool) -> str:
    """Write an end of an interval; being an estimate itself, it is simply rounded."""
    return f"{value:.1%}".replace("100.0%", "100%") if share else number(value)


def count(value: int | None) -> str:
    """Write a whole number with its thousands apart."""
    return DASH if value is None else f"{value:,}".replace(",", THIN) if abs(value) >= 10_000 else str(value)


def large(value: int | None) -> str:
    """Write a number of parameters the way people say it.

    >>> large(4_652_008).replace(THIN, " "), large(138_357_544).replace(THIN, " ")
    ('4.65 million', '138 million')
    """
    if value is None or value < 1_000_000:
        return count(value)
    size, word = (value / 1e9, "billion") if value >= 1e9 else (value / 1e6, "million")
    return f"{size:.{max(0, 2 - int(math.log10(size)))}f}{THIN}{word}"


def seconds(value: float | None) -> str:
    """Write a duration in the unit that people would use.

    >>> [seconds(s).replace(THIN, " ") for s in (0.0042, 0.31, 4.25, 42.0, 75.0, 7260.0)]
    ['4 ms', '0.31 s', '4.2 s', '42 s', '1 min 15 s', '2 h 1 min']
    """
    if not known(value):
        return DASH
    if 0 < value < 0.0995:
        return f"{value * 1000:.0f}{THIN}ms"
    if value < 59.5:
        return f"{value:.{2 if 0 < value < 0.995 else 1 if 0 < value < 9.95 else 0}f}{THIN}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return _joined((minutes, "min"), (rest, "s"))
    return _joined((minutes // 60, "h"), (minutes % 60, "min"))


def clock(value: float) -> str:
    """Write a round duration, such as a mark of an axis, without digits that it does not need.

    >>> [clock(s).replace(THIN, " ") for s in (0.1, 1, 30, 300)]
    ['0.1 s', '1 s', '30 s', '5 min']
    """
    return f"{value:g}{THIN}s" if value < 60 else seconds(value)


def _joined(*parts: tuple[int, str]) -> str:
    return " ".join(f"{value}{THIN}{unit}" for value, unit in parts if value)


def plural(value: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{count(value)}\u00a0{one if value == 1 else many or one + 's'}"


def short(name: str, most: int = 24) -> str:
    """Shorten a long name in its middle, so that names that differ at their ends still differ.

    >>> short("abcdefghijklmnop", 9)
    'abcd…mnop'
    """
    if len(name) <= most:
        return name
    tail = (most - 1) // 2
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"


def pieces(name: str) -> list[str]:
    """Split a name after the characters where a line may break.

    >>> pieces("train/ants_and-bees")
    ['train/', 'ants_', 'and-', 'bees']
    """
    return [piece for piece in _BREAKS.split(name) if piece]


_BREAKS = re.compile(r"(?<=[_/.\\-])(?=\w)")
