"""Tables: one row an example, with a path (or the picture itself) and a label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headstart.data import columns as looking
from headstart.data.cells import ParquetCells
from headstart.data.examples import CellContent, Content, Example, Examples, FileContent, Finding, Part
from headstart.data.parts import gathered, part_named, safe_name
from headstart.data.rows import FORMATS, Rows, read_rows
from headstart.errors import DataError

_SHARD = re.compile(r"^(?P<word>[a-z]+)(-\d+(-of-\d+)?)?$", re.IGNORECASE)


@dataclass(frozen=True)
class _Roles:
    """Which column is what; `part` is empty when no column says it."""

    content: str
    label: str
    part: str


def read_table(path: Path, content_column: str | None = None, label_column: str | None = None) -> Examples:
    """Read a table: CSV, TSV, JSON lines, JSON or Parquet.

    Args:
        path: the file. Paths in it are relative to its folder, or absolute.
        content_column: the column of paths or pictures; found by looking where it is left out.
        label_column: the column of labels; found by name, or by looking.

    Raises:
        DataError: the table cannot be read, or its columns cannot be told apart.
        UsageError: a column that was named is not there.
    """
    rows = read_rows(path)
    roles = _roles(rows, content_column, label_column)
    items, findings = _read(rows, roles, "")
    return gathered(items, findings, _said(rows, roles))


def split_tables(folder: Path) -> list[tuple[Path, Part]]:
    """Return the tables in a folder that are called after parts: `train.csv`, `test-0-of-2.parquet`."""
    found = []
    for path in sorted(folder.iterdir()):
        word = _SHARD.match(path.stem)
        part = part_named(word["word"]) if word and path.suffix.lower() in FORMATS else None
        if part and path.is_file():
            found.append((path, part))
    return sorted(found, key=lambda pair: ("train", "valid", "test").index(pair[1]))


def read_tables(folder: Path, content_column: str | None = None, label_column: str | None = None) -> Examples:
    """Read `train`, `val` and `test` tables that lie side by side, in any of the formats.

    Raises:
        DataError, UsageError: as `read_table`; or there is no such table.
    """
    tables = split_tables(folder)
    if not tables:
        raise DataError(f"There is no train, val or test table in {safe_name(folder.name)}.")
    items: list[Example] = []
    findings: list[Finding] = []
    said: list[str] = []
    for path, part in tables:
        rows = read_rows(path)
        roles = _roles(rows, content_column, label_column)
        more, found = _read(rows, roles, part)
        items, findings = items + more, findings + found
        said.append(_said(rows, roles))
    return gathered(items, findings, "; ".join(said))


def _roles(rows: Rows, content: str | None, label: str | None) -> _Roles:
    everything = {**rows.columns, **dict.fromkeys(rows.pictures, ())}
    for wanted in (content, label):
        if wanted is not None:
            looking.named(everything, wanted)
    part = looking.part_column({k: v for k, v in rows.columns.items() if k not in (content, label)})
    free = {k: v for k, v in rows.columns.items() if k not in (label, part)}
    if content is None:
        content = next(iter(rows.pictures), "") or looking.content_column(free, rows.path.parent)
    if label is None:
        label = next((name for name in rows.labelled if name != content), "")
        inside = {f"{name}.path" for name in rows.pictures}
        rest = {k: v for k, v in rows.columns.items() if k != part and k not in inside}
        label = label or looking.label_column(rest, content)
    if label not in rows.columns:
        raise DataError(f"The column {label!r} holds no labels.", found="pictures, or nested values")
    return _Roles(content, label, part)


def _said(rows: Rows, roles: _Roles) -> str:
    what = "pictures" if roles.content in rows.pictures else "paths"
    parts = f", parts in {roles.part!r}" if roles.part else ""
    return f"{rows.how} {rows.path.name}: {what} in {roles.content!r}, labels in {roles.label!r}{parts}"


def _read(rows: Rows, roles: _Roles, part: Part) -> tuple[list[Example], list[Finding]]:
    """Return the examples of a table, and what had to be left out."""
    items: list[Example] = []
    findings: list[Finding] = []
    seen: set[tuple[str, str, str]] = set()
    labels = rows.columns[roles.label]
    words = rows.columns[roles.part] if roles.part else [""] * rows.count
    for i, (name, content) in enumerate(_contents(rows, roles.content)):
        mine = part or part_named(words[i]) or ""
        if isinstance(content, Finding):
            findings.append(content)
        elif not labels[i]:
            reason = f"it has no label in column {roles.label!r}"
            findings.append(Finding(name, "no-label", "left out", reason, bad=True))
        elif (name, labels[i], mine) in seen:
            findings.append(Finding(name, "duplicate-row", "left out", f"row {i + 1} says the same again"))
        else:
            seen.add((name, labels[i], mine))
            items.append(Example(name, content, safe_name(labels[i]), mine))
    return items, findings


def _contents(rows: Rows, column: str) -> Iterator[tuple[str, Content | Finding]]:
    """Yield the name and the content of every row, or why it has none."""
    if column in rows.pictures:
        yield from _cells(rows, column)
        return
    folder = rows.path.parent
    for i, value in enumerate(rows.columns[column]):
        name = safe_name(value) or f"{safe_name(rows.path.name)} row {i + 1}"
        path = looking.find_file(folder, value)
        if path is None:
            reason = f"no such file beside {safe_name(rows.path.name)}" if value else "the row names no file"
            yield name, Finding(name, "missing", "left out", reason, bad=True)
        else:
            yield name, FileContent(path)


def _cells(rows: Rows, column: str) -> Iterator[tuple[str, Content]]:
    cells = ParquetCells(rows.path, rows.pictures[column])
    paths = rows.columns.get(f"{column}.path", [""] * rows.count)
    width = len(str(rows.count))
    for i in range(rows.count):
        inner = f" ({paths[i]})" if paths[i] else ""
        yield safe_name(f"{rows.path.name}#{i + 1:0{width}d}{inner}"), CellContent(partial(cells.read, i))
