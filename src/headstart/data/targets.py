"""What is to be said of the examples: one label, several, a number. Found by looking at the labels, or as asked for."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headstart.data.examples import Examples, Finding, Goal, Target
from headstart.errors import DataError, UsageError

SEPARATORS = ("|", ";", ",")
_SOME = 0.2  # of the cells hold a separator, where they are lists
_AGAIN = 3  # times a label comes again in them, on average
_NAMES = 20  # of so many different numbers, at most, it may be that they are names
_NEARLY_ALL = 0.95
_YES = {"1", "1.0", "true", "yes", "y", "t"}
_NO = {"0", "0.0", "false", "no", "n", "f"}


def aimed(examples: Examples, goal: Goal | None = None) -> Examples:
    """Return the examples with their targets read as what they are.

    Args:
        examples: with the text of each label.
        goal: what is to be said; None finds out by looking.

    Raises:
        DataError: the labels cannot be read so.
    """
    words = [str(e.target) for e in examples.items]
    found = goal or goal_of(words)
    if found not in _READ:
        return replace(examples, findings=(*examples.findings, *_as_names(words)))
    read, what = _READ[found](words), _WHAT[found]
    bad = [
        Finding(e.name, "no-target", "left out", f"its label is no {what}: {str(e.target)[:60]!r}", bad=True)
        for e, target in zip(examples.items, read, strict=True)
        if target is None
    ]
    items = tuple(replace(e, target=t) for e, t in zip(examples.items, read, strict=True) if t is not None)
    if not items:
        raise DataError(f"No label is a {what}.", found=", ".join(map(repr, words[:3])), hint="Try --goal label.")
    said = f"{examples.how}; each label is read as a {what}" + " (--goal label: as a name)" * (goal is None)
    return replace(examples, items=items, how=said, findings=(*examples.findings, *bad), goal=found)


def goal_of(words: Sequence[str]) -> Goal:
    """Return what labels are, by looking at them.

    Lists are written as JSON or Python has them, or with one sign between labels that come again in other company.
    Numbers are a measure where more than twenty different ones are not all whole; whole ones may be names of classes.
    """
    filled = [w for w in words if w]
    if filled and sum(_listed(w) is not None for w in filled) >= _NEARLY_ALL * len(filled):
        return "labels"
    if separator(filled):
        return "labels"
    values = {_number(w) for w in filled}
    if len(values) > _NAMES and None not in values and any(v is not None and v % 1 for v in values):
        return "number"
    return "label"


def separator(words: Sequence[str]) -> str:
    """Return the sign between the labels of a cell; empty where cells are single labels."""
    for sign in SEPARATORS:
        pieces = [p for w in words for p in _parted(w, sign)]
        held = sum(sign in w for w in words)
        if held > _SOME * len(words) and len(set(pieces)) < min(len(set(words)), len(pieces) / _AGAIN):
            return sign
    return ""


def joined(columns: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    """Return of each row the columns that say yes, as a JSON list; empty where one says neither yes nor no.

    Raises:
        UsageError: one of the columns holds something else altogether.
    """
    for name in names:
        filled = [v for v in columns[name] if v]
        odd = [v for v in filled if v.lower() not in _YES | _NO]
        if len(odd) > len(filled) / 2:
            raise UsageError(
                f"Of several label columns each says whether a label is given; {name!r} does not.",
                found=", ".join(sorted(set(odd))[:3]),
                hint="They hold 0 and 1, or yes and no. A single column of labels is named alone.",
            )
    rows = zip(*(columns[name] for name in names), strict=True)
    return [_joined(names, [value.lower() for value in row]) for row in rows]


def _joined(names: Sequence[str], row: Sequence[str]) -> str:
    if not all(value in _YES | _NO for value in row):
        return ""
    return json.dumps([name for name, value in zip(names, row, strict=True) if value in _YES], ensure_ascii=False)


def _as_names(words: Sequence[str]) -> list[Finding]:
    """Remark on labels that are many numbers, and may have been meant as such."""
    different = set(words)
    if len(different) <= _NAMES or any(_number(w) is None for w in different):
        return []
    count = len(different)
    reason = f"they are {count} different numbers, taken for names of classes; --goal number takes them as numbers"
    return [Finding("labels", "numbers-as-names", "note", reason)]


def _labels(words: Sequence[str]) -> list[Target | None]:
    plain = [w for w in words if _listed(w) is None]
    sign = separator(plain) or next((s for s in SEPARATORS if any(s in w for w in plain)), "")
    return [_list_of(w, sign) for w in words]


def _list_of(word: str, sign: str) -> tuple[str, ...]:
    read = _listed(word)
    pieces = _parted(word, sign) if read is None else [str(p).strip() for p in read]
    return tuple(sorted({p for p in pieces if p}))


def _parted(word: str, sign: str) -> list[str]:
    return [p.strip() for p in word.split(sign)] if sign else [word.strip()]


def _listed(word: str) -> list[object] | None:
    """Return a list that is written as JSON or Python has it; None for anything else."""
    if not (word.startswith("[") and word.endswith("]")):
        return None
    try:
        read = json.loads(word)
    except ValueError:
        try:
            read = ast.literal_eval(word)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return read if isinstance(read, list) else None


def _numbers(words: Sequence[str]) -> list[Target | None]:
    return [_number(w) for w in words]


def _number(word: str) -> float | None:
    try:
        value = float(word.replace("\u2212", "-"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


_READ: dict[Goal, Callable[[Sequence[str]], list[Target | None]]] = {"labels": _labels, "number": _numbers}
_WHAT: dict[Goal, str] = {"labels": "list of labels", "number": "number"}
