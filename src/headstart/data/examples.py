"""Examples: what a reader makes of the user's data, whatever its format. No task is known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Part = Literal["", "train", "valid", "test"]
"""Which part of the data an example was given in; empty when the data have no parts of their own."""


Kind = Literal["picture", "text"]
"""What the content of the examples is."""


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
    target: str
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


@dataclass(frozen=True)
class Examples:
    """A data set as read: its examples, what the reader left out, and how it read them.

    Attributes:
        items: the examples, in a fixed order (by part, then by name) that does not depend on the machine.
        how: one sentence for the report: which layout or which columns were recognised.
        findings: what the reader could not use or thinks worth knowing.
        kind: what the examples are, which says how they are inspected and encoded.
    """

    items: tuple[Example, ...]
    how: str
    findings: tuple[Finding, ...] = ()
    kind: Kind = "picture"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct targets, sorted."""
        return tuple(sorted({e.target for e in self.items}))

    def parts(self) -> dict[Part, int]:
        """Count the examples of each part."""
        return dict(Counter(e.part for e in self.items))

    def only(self, keep: Iterable[int], findings: Iterable[Finding] = ()) -> Examples:
        """Return the examples at these positions, with further findings added."""
        return Examples(tuple(self.items[i] for i in keep), self.how, (*self.findings, *findings), self.kind)
