"""Tables: one row an example, with a path, a picture or a text, and a label."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from headstart.data import columns as looking
from headstart.data.cells import ParquetCells
from headstart.data.examples import CellContent, Content, Example, Examples, FileContent, Finding, Goal, Kind, Part
from headstart.data.parts import gathered, part_named, safe_name
from headstart.data.roles import Roles, asked_for, names_files, roles_of
from headstart.data.rows import FORMATS, Rows, read_rows
from headstart.data.targets import joined
from headstart.data.text_columns import text_columns
from headstart.data.texts import TextContent, TextFile
from headstart.errors import DataError

_SHARD = re.compile(r"^(?P<word>[a-z]+)(-\d+(-of-\d+)?)?$", re.IGNORECASE)


def read_table(
    path: Path,
    content_column: str | None = None,
    label_column: str | None = None,
    kind: Kind | None = None,
    goal: Goal | None = None,
) -> Examples:
    """Read a table: CSV, TSV, JSON lines, JSON, Parquet; or a text file of one `LABEL text` a line.

    Args:
        path: the file. Paths in it are relative to its folder, or absolute.
        content_column: the column of paths, pictures or texts, found by looking where it is left out; of pairs of
            texts both, with a comma between.
        label_column: the column of labels; found by name, or by looking. Several with commas between: columns of 0 and
            1, each of which says whether a label is given.
        kind: pictures or texts; found by looking where it is left out.
        goal: what is to be said of an example; found by looking at the labels where it is left out.

    Raises:
        DataError: the table cannot be read, or its columns cannot be told apart.
        UsageError: a column that was named is not there.
    """
    return _read_all([(path, "")], content_column, label_column, kind, goal)


def split_tables(folder: Path, suffixes: Container[str] = FORMATS) -> list[tuple[Path, Part]]:
    """Return the tables in a folder that are called after parts: `train.csv`, `test-0-of-2.parquet`."""
    found = []
    for path in sorted(folder.iterdir()):
        word = _SHARD.match(path.stem)
        part = part_named(word["word"]) if word and path.suffix.lower() in suffixes else None
        if part and path.is_file():
            found.append((path, part))
    return sorted(found, key=lambda pair: ("train", "valid", "test").index(pair[1]))


def read_tables(
    folder: Path,
    content_column: str | None = None,
    label_column: str | None = None,
    kind: Kind | None = None,
    goal: Goal | None = None,
    suffixes: Container[str] = FORMATS,
) -> Examples:
    """Read `train`, `val` and `test` tables that lie side by side, in any of the formats.

    What the first is found to be, the others are too, as far as they have the same columns.

    Raises:
        DataError, UsageError: as `read_table`; or there is no such table.
    """
    tables = split_tables(folder, suffixes)
    if not tables:
        raise DataError(f"There is no train, val or test table in {safe_name(folder.name)}.")
    return _read_all(tables, content_column, label_column, kind, goal)


def read_texts(path: Path, column: str | None = None) -> list[tuple[str, Content]]:
    """Read the texts of a table by name; labels, where it has some, are not looked at.

    A row that is no text is an error of its own when it is read.

    Args:
        path: the file.
        column: that of the texts, two with a comma between for pairs; found by looking where it is left out.

    Raises:
        DataError: the table cannot be read, or no column holds texts.
        UsageError: the column that was named is not there.
    """
    rows = read_rows(path)
    content = asked_for(rows.columns, column)
    content = content or (text_columns(rows.columns) if len(rows.columns) > 1 else tuple(rows.columns))
    each = _texts(rows, content)
    return [(name, _unusable(found) if isinstance(found, Finding) else found) for name, found in each]


def _unusable(finding: Finding) -> Content:
    def read() -> bytes:
        raise OSError(finding.reason)

    return CellContent(read)


def _read_all(
    tables: Sequence[tuple[Path, Part]], content: str | None, label: str | None, kind: Kind | None, goal: Goal | None
) -> Examples:
    items: list[Example] = []
    findings: list[Finding] = []
    said: list[str] = []
    before: tuple[Rows, Roles] | None = None
    for path, part in tables:
        rows = _with_label(read_rows(path, before[0] if before else None), label)
        roles = _same_roles(rows, before) if before else None
        roles = roles or roles_of(rows, content, label, kind)
        before = before or (rows, roles)
        more, found = _read(rows, roles, part)
        items, findings, kind = items + more, [*findings, *rows.findings, *found], roles.kind
        said.append(_said(rows, roles))
    return gathered(items, findings, "; ".join(said), kind or "picture", goal)


def _with_label(rows: Rows, label: str | None) -> Rows:
    """Return the table with one column for several of 0 and 1 that were named as its labels."""
    names = [name.strip() for name in label.split(",")] if label and label not in rows.columns else []
    if len(names) < 2:
        return rows
    for name in names:
        looking.named(rows.columns, name)
    kept = {name: values for name, values in rows.columns.items() if name not in names}
    return replace(rows, columns={**kept, str(label): joined(rows.columns, names)})


def _same_roles(rows: Rows, before: tuple[Rows, Roles]) -> Roles | None:
    """Return the roles of the table before, where this one has the same columns and texts."""
    names, roles = tuple(rows.columns), before[1]
    return roles if roles.kind == "text" and names == tuple(before[0].columns) else None


def _said(rows: Rows, roles: Roles) -> str:
    where = " and ".join(map(repr, roles.content))
    what = "pictures" if roles.content[0] in rows.pictures else "paths" if roles.kind == "picture" else "texts"
    parts = f", parts in {roles.part!r}" if roles.part else ""
    return f"{rows.how} {rows.path.name}: {what} in {where}, labels in {roles.label!r}{parts}"


def _read(rows: Rows, roles: Roles, part: Part) -> tuple[list[Example], list[Finding]]:
    """Return the examples of a table, and what had to be left out."""
    items: list[Example] = []
    findings: list[Finding] = []
    seen: set[tuple[str, str, str]] = set()
    labels = rows.columns[roles.label]
    words = rows.columns[roles.part] if roles.part else [""] * rows.count
    for i, (name, content) in enumerate(_contents(rows, roles)):
        mine = part or part_named(words[i]) or ""
        if isinstance(content, Finding):
            findings.append(content)
        elif not labels[i]:
            reason = rows.unlabelled.get(i) or f"it has no label in column {roles.label!r}"
            findings.append(Finding(name, "no-label", "left out", reason, bad=True))
        elif isinstance(content, FileContent) and (name, labels[i], mine) in seen:
            findings.append(Finding(name, "duplicate-row", "left out", f"row {i + 1} says the same again"))
        else:
            seen.add((name, labels[i], mine))
            items.append(Example(name, content, safe_name(labels[i]), mine))
    return items, findings


def _contents(rows: Rows, roles: Roles) -> Iterator[tuple[str, Content | Finding]]:
    """Yield the name and the content of every row, or why it has none."""
    if roles.content[0] in rows.pictures:
        return _cells(rows, roles.content[0])
    single = rows.columns[roles.content[0]] if len(roles.content) == 1 else ()
    if roles.kind == "text" and not names_files(single, rows.path.parent):
        return _texts(rows, roles.content)
    return _files(rows, roles.content[0], FileContent if roles.kind == "picture" else TextFile)


def _texts(rows: Rows, content: tuple[str, ...]) -> Iterator[tuple[str, Content | Finding]]:
    width = len(str(rows.count))
    columns = [rows.columns[name] for name in content]
    for i, texts in enumerate(zip(*columns, strict=True)):
        name = safe_name(f"{rows.path.name}#{i + 1:0{width}d}")
        if i in rows.ragged:
            reason = f"{rows.ragged[i]} cells for {len(rows.columns)} columns: is a delimiter in the text not quoted?"
            yield name, Finding(name, "ragged-row", "left out", reason, bad=True)
        else:
            yield name, TextContent.of(*texts)


def _files(rows: Rows, column: str, kind: type[FileContent]) -> Iterator[tuple[str, Content | Finding]]:
    folder = rows.path.parent
    for i, value in enumerate(rows.columns[column]):
        name = safe_name(value) or f"{safe_name(rows.path.name)} row {i + 1}"
        path = looking.find_file(folder, value)
        if path is None:
            reason = f"no such file beside {safe_name(rows.path.name)}" if value else "the row names no file"
            yield name, Finding(name, "missing", "left out", reason, bad=True)
        else:
            yield name, kind(path)


def _cells(rows: Rows, column: str) -> Iterator[tuple[str, Content | Finding]]:
    cells = ParquetCells(rows.path, rows.pictures[column])
    paths = rows.columns.get(f"{column}.path", [""] * rows.count)
    width = len(str(rows.count))
    for i in range(rows.count):
        inner = f" ({paths[i]})" if paths[i] else ""
        yield safe_name(f"{rows.path.name}#{i + 1:0{width}d}{inner}"), CellContent(partial(cells.read, i))
