"""What a page shows of its values: how much of a long list, in which order, and the sentence that says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

from headstart.report.figures import Trace, trace
from headstart.report.page import (
    ClassCount,
    ClassScore,
    Confusion,
    FindingLine,
    Ladder,
    Mistake,
    Page,
    RungStatus,
    Severity,
    TrainingCurve,
)
from headstart.report.words import count, known, plural

T = TypeVar("T")

OPEN_ROWS = 20  # of a long table these are shown, the rest is folded away
ALL_CLASSES = 200  # up to so many classes every one has its row
WORST_CLASSES = 50  # beyond that only these
MATRIX_CLASSES = 30  # a confusion matrix larger than this is a list of pairs
FINDING_LINES = 500
OPEN_FINDINGS = 10
PICTURE_BYTES = 600_000  # of all pictures together, which keeps a page under a megabyte
TRAINING_CURVES = 6
OUTCOMES: dict[RungStatus, str] = {
    "shipped": "shipped",
    "passed": "passed: taken when it was climbed, then beaten by a later rung",
    "yardstick": "yardstick: only to compare with",
    "beaten": "beaten: not better by more than noise",
}
SEVERITIES: tuple[Severity, ...] = ("left out", "repaired", "note")


class Rows(NamedTuple, Generic[T]):
    """A long list as shown: its first rows, those folded away, and a sentence on those left out."""

    first: tuple[T, ...]
    folded: tuple[T, ...]
    note: str


def _rows(items: Sequence[T], key: Callable[[T], float], order: str) -> Rows[T]:
    ranked = tuple(sorted(items, key=key)) if len(items) > 2 else tuple(items)
    kept = ranked if len(ranked) <= ALL_CLASSES else ranked[:WORST_CLASSES]
    cut = len(kept) < len(ranked)
    shown = f"Only the {len(kept)} {order} of {count(len(ranked))} classes are listed." if cut else ""
    return Rows(kept[:OPEN_ROWS], kept[OPEN_ROWS:], shown)


def class_scores(scores: Sequence[ClassScore]) -> Rows[ClassScore]:
    """Order classes by F1, the worst first; those without one (never seen, never predicted) lead."""
    return _rows(scores, lambda c: c.f1.value if known(c.f1.value) else -1.0, "worst")


def class_counts(classes: Sequence[ClassCount]) -> Rows[ClassCount]:
    """Order classes by their number of examples, the smallest first."""
    return _rows(classes, lambda c: sum(c.counts), "smallest")


class Pair(NamedTuple):
    """Examples of `true` that were called `predicted`: how many, of how many of `true`."""

    true: str
    predicted: str
    times: int
    of: int


def pairs(confusion: Confusion) -> tuple[Pair, ...]:
    """Return the confusions, most frequent first, then by share of the class."""
    found = [
        Pair(confusion.labels[i], confusion.labels[j], n, sum(row))
        for i, row in enumerate(confusion.counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return tuple(sorted(found, key=lambda p: (-p.times, -p.times / p.of, p.true, p.predicted)))


class Cell(NamedTuple):
    """A cell of the confusion matrix and how strongly it is coloured."""

    number: int
    shade: str
    predicted: str


class MatrixRow(NamedTuple):
    """A row of the confusion matrix: what became of the examples of one class."""

    true: str
    cells: tuple[Cell, ...]


def matrix(confusion: Confusion) -> tuple[MatrixRow, ...]:
    """Return the rows of the heat map, each cell shaded by its share of the row."""
    rows = []
    for i, row in enumerate(confusion.counts):
        of = sum(row)
        cells = (Cell(n, shade(n, of, i == j), confusion.labels[j]) for j, n in enumerate(row))
        rows.append(MatrixRow(confusion.labels[i], tuple(cells)))
    return tuple(rows)


def shade(number: int, of: int, right: bool, levels: int = 5) -> str:
    """Name the colour class of a cell. Errors are shaded by the root of their share: a few must already show.

    >>> shade(95, 100, True), shade(2, 100, False), shade(0, 100, False)
    ('hit5', 'miss1', 'none')
    """
    if number == 0 or of == 0:
        return "none"
    share = number / of
    level = math.ceil(levels * (share if right else math.sqrt(share)) - 1e-9)
    return f"{'hit' if right else 'miss'}{max(1, min(levels, level))}"


class FindingGroup(NamedTuple):
    """Findings of one kind: `total` were made, `lines` are shown."""

    kind: str
    severity: Severity
    total: int
    lines: tuple[FindingLine, ...]

    @property
    def open(self) -> bool:
        """Whether the group is short enough to be shown unfolded."""
        return self.total <= OPEN_FINDINGS


def findings(lines: Sequence[FindingLine]) -> tuple[FindingGroup, ...]:
    """Group findings by severity and kind; all groups together show at most `FINDING_LINES` lines."""
    kinds: dict[tuple[Severity, str], list[FindingLine]] = {}
    for line in lines:
        kinds.setdefault((line.severity, line.kind), []).append(line)
    groups = sorted(kinds.items(), key=lambda g: (SEVERITIES.index(g[0][0]), -len(g[1]), g[0][1]))
    before = accumulate((len(g) for _, g in groups), initial=0)
    return tuple(
        FindingGroup(kind, severity, len(group), tuple(group[: max(0, FINDING_LINES - seen)]))
        for ((severity, kind), group), seen in zip(groups, before, strict=False)
    )


def pictures(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Return the first mistakes, as many as the page has room for."""
    kept, room = [], PICTURE_BYTES
    for mistake in mistakes:
        room -= len(mistake.picture)
        if room < 0:
            break
        kept.append(mistake)
    return tuple(kept)


def temperature(value: float | None) -> str:
    """Say in words what the temperature did to the probabilities."""
    if not known(value):
        return ""
    if abs(value - 1) < 0.02:
        return f"Temperature {value:.2f}: the head's probabilities were used nearly as they came."
    was, became = ("over-confident", "softened") if value > 1 else ("over-cautious", "sharpened")
    return f"Temperature {value:.2f}: the head alone was {was}, so its probabilities were {became}."


def counted(classes: Sequence[ClassCount]) -> str:
    """Sum the data up: classes, examples, and how unequal the classes are."""
    sizes = [sum(c.counts) for c in classes]
    if not sizes:
        return ""
    if len(sizes) == 1:
        return f"{plural(sizes[0], 'example')}."
    spread = f"{count(min(sizes))} in the smallest, {count(max(sizes))} in the largest"
    even = f"{count(sizes[0])} in each" if min(sizes) == max(sizes) else spread
    return f"{plural(sum(sizes), 'example')} in {plural(len(sizes), 'class', 'classes')}: {even}."


def outcomes(ladder: Ladder) -> tuple[tuple[RungStatus, str], ...]:
    """Return what can become of a rung and did become of one, with its explanation."""
    seen = {rung.status for rung in ladder.rungs}
    return tuple((status, said) for status, said in OUTCOMES.items() if status in seen)


def across(ladder: Ladder) -> str:
    """Say what the seconds in the ladder's chart count from."""
    timed = all(known(rung.at) for rung in ladder.rungs)
    return f"time {'since the run began' if timed else 'spent on the rungs'}, log scale"


def untried(ladder: Ladder) -> tuple[tuple[str, str], ...]:
    """Return what was not tried and why, the network from random weights among it."""
    left_out = ladder.scratch is None and ladder.scratch_note
    return (*ladder.untried, *((("from scratch", ladder.scratch_note),) if left_out else ()))


class Traces(NamedTuple):
    """Training losses as shown: the first ones, each with its drawing, and how many there are."""

    shown: tuple[tuple[TrainingCurve, Trace], ...]
    total: int


def traces(curves: Sequence[TrainingCurve]) -> Traces:
    """Draw the first training losses of those that have two values to join."""
    drawn = [(curve, found) for curve in curves if (found := trace(curve)) is not None]
    return Traces(tuple(drawn[:TRAINING_CURVES]), len(drawn))


def _changed(page: Page) -> bool:
    return any(each.was for each in page.translations)


def sections(page: Page) -> dict[str, str]:
    """Return the sections that have something to show, as anchor and title, in order."""
    reliable = page.reliability is not None and any(b.count for b in page.reliability.bins)
    every = (
        ("measures", "All measures", bool(page.measures)),
        ("ladder", "The ladder", page.ladder is not None and bool(page.ladder.rungs)),
        ("curve", "How many labels it takes", bool(page.curve)),
        ("classes", "Class by class" if page.confusion else "Label by label", bool(page.classes)),
        ("confusion", "What is taken for what", page.confusion is not None and bool(page.confusion.labels)),
        ("calibration", "Can the probabilities be trusted?", reliable),
        ("scatter", "What it says and what is true", page.scatter is not None and bool(page.scatter.dots)),
        ("mistakes", "Most confident mistakes" if page.confusion else "Largest mistakes", bool(page.mistakes)),
        (
            "translations",
            "Translations, worse and better than before" if _changed(page) else "The worst translations",
            bool(page.translations),
        ),
        ("data", "The data", page.data is not None),
        ("made", "How it was made", page.made is not None),
        ("use", "Using the model", page.use is not None and bool(page.use.snippets or page.use.files)),
    )
    return {anchor: title for anchor, title, shown in every if shown}
