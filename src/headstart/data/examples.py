"""Examples: what a reader makes of the user's data, whatever its format. No task is known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

Part = Literal["", "train", "valid", "test", "general"]
"""Which part of the data an example was given in; empty when the data have no parts of their own. General ones are not
the user's own: they are learned from beside these, and never chosen or judged by."""


Kind = Literal["picture", "text"]
"""What the content of the examples is."""


Goal = Literal["label", "labels", "number", "boxes", "text"]
"""What is to be said of an example: one label, any number of labels, a number, boxes with a label each, a text."""


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle with a label, in pixels of the picture as it is shown, which is `of` this width and height. `crowd`
    marks one that holds many objects of its label, which are not told apart."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    crowd: bool = False
    of: tuple[float, float] = field(default=(1.0, 1.0), compare=False, repr=False)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom as shares of the picture's sides."""
        width, height = self.of
        return self.left / width, self.top / height, self.right / width, self.bottom / height


Target = str | float | tuple[str, ...] | tuple[Box, ...]


class Content(Protocol):
    """Where the bytes of one example come from; they are read when needed, never kept."""

    def read(self) -> bytes:
        """Return the example's bytes. Raises OSError when they cannot be had."""
        ...


@dataclass(frozen=True)
class FileContent:
    """An example that is a file of its own."""

    path: Path

    def read(self) -> bytes:
        return self.path.read_bytes()


@dataclass(frozen=True)
class CellContent:
    """An example that lives in a cell of a table (Parquet, Arrow): `load` fetches it."""

    load: Callable[[], bytes] = field(compare=False)

    def read(self) -> bytes:
        return self.load()


@dataclass(frozen=True)
class Example:
    """One labelled example. `name` is unique in its data set and is how reports speak of it."""

    name: str
    content: Content
    target: Target
    part: Part = ""


Severity = Literal["left out", "repaired", "note"]


@dataclass(frozen=True)
class Finding:
    """Something the checks saw: one line, with its reason.

    `left out`: cannot be used; `repaired`: read with a stated change; `note`: worth knowing.
    `kind` is a stable word for programs (`empty`, `truncated`, `cmyk`, `duplicate` …).
    `bad` marks what counts against the share of bad files above which a run stops.
    """

    name: str
    kind: str
    severity: Severity
    reason: str
    bad: bool = False

    def line(self) -> str:
        """Return the finding as one line of text."""
        return f"{self.severity}: {self.name}: {self.reason}"


def labels_of(target: Target) -> tuple[str, ...]:
    """Return the labels in a target: none of a number."""
    if isinstance(target, tuple):
        return tuple(each.label if isinstance(each, Box) else each for each in target)
    return (target,) if isinstance(target, str) else ()


def plain(target: Target) -> object:
    """Return a target as JSON can have it."""
    if isinstance(target, tuple):
        return [[each.label, *each.shares, each.crowd] if isinstance(each, Box) else each for each in target]
    return target


@dataclass(frozen=True)
class Examples:
    """A data set as read: its examples, what the reader left out, and how it read them.

    Attributes:
        items: the examples, in a fixed order (by part, then by name) that does not depend on the machine.
        how: one sentence for the report: which layout or which columns were recognised.
        findings: what the reader could not use or thinks worth knowing.
        kind: what the examples are, which says how they are inspected and encoded.
        goal: what their targets are.
        languages: of texts with translations, the codes of both; empty where nobody says them.
    """

    items: tuple[Example, ...]
    how: str
    findings: tuple[Finding, ...] = ()
    kind: Kind = "picture"
    goal: Goal = "label"
    languages: tuple[str, str] = ("", "")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({label for e in self.items for label in labels_of(e.target)}))

    def counted(self) -> Counter[tuple[str, Part]]:
        """Count the examples of each label in each part; translations, none of which is like another, as one."""
        if self.goal == "text":
            return Counter(("translated", e.part) for e in self.items)
        return Counter((label, e.part) for e in self.items for label in labels_of(e.target))

    def parts(self) -> dict[Part, int]:
        """Count the examples of each part."""
        return dict(Counter(e.part for e in self.items))

    def only(self, keep: Iterable[int], findings: Iterable[Finding] = ()) -> Examples:
        """Return the examples at these positions, with further findings added."""
        items = tuple(self.items[i] for i in keep)
        return replace(self, items=items, findings=(*self.findings, *findings))
