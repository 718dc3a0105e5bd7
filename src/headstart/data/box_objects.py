"""Tables with an `objects` column of boxes, as the `datasets` library has them: Parquet, JSON lines, saved folders."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.data import hub
from headstart.data.box_cells import BOXES, Objects, features_of, key_of, names_of, objects_of
from headstart.data.box_files import Finder, files_below, part_in
from headstart.data.box_pictures import Drawn, examples_of, measured, stated_size
from headstart.data.box_repair import (
    Order,
    RawBox,
    Size,
    as_corners,
    as_number,
    in_shares,
    order_of,
)
from headstart.data.cells import ParquetCells
from headstart.data.columns import CONTENT_NAMES, rank
from headstart.data.encodings import decoded
from headstart.data.examples import CellContent, Content, Examples, FileContent, Finding, Part
from headstart.data.parts import part_named, safe_name
from headstart.data.rows import read_rows
from headstart.errors import DataError

_OBJECTS = "objects"
_PARQUET = (".parquet", ".pq")
_LINES = (".jsonl", ".ndjson")
_WAYS: dict[Order, str] = {
    "xywh": "a corner and the sides, as COCO has it",
    "xyxy": "two corners",
}


_Record = Mapping[str, Any]


@dataclass(frozen=True)
class _Row:
    """One picture of a table."""

    name: str
    content: Content
    part: Part
    boxes: Objects
    size: Size | None


def holds_objects(source: Path) -> bool:
    """Whether a table has a column `objects` of boxes, or a folder has such tables; looks at their schema.

    Raises:
        OSError: it cannot be read.
    """
    if source.is_file():
        return _has_objects(source)
    if any((source / marker).is_file() for marker in hub.MARKERS):
        return any(_declares(path) for path in (source, *sorted(source.iterdir())))
    return bool(_tables(source))


def read_objects(source: str | Path) -> Examples:
    """Read tables with an `objects` column: for each picture its boxes, `{bbox, category}` in lists.

    Whether the four numbers of a box are two corners or a corner and the sides is told from all of them, and said.

    Args:
        source: a Parquet or JSON lines file, a folder of such (also in `data/`, or in folders of the parts), a
            folder that `save_to_disk` wrote, or a data set's name on the hub.

    Raises:
        DataError: it cannot be read, or no picture with a box is left.
    """
    findings: list[Finding] = []
    path = Path(source)
    if not path.exists() or any((path / marker).is_file() for marker in hub.MARKERS):
        rows = _saved(str(source), findings)
        return _examples(rows, "data set of the datasets library", findings)
    tables = [path] if path.is_file() else _tables(path)
    rows = []
    for table in tables:
        root = path.parent if path.is_file() else path
        part = part_in(table.stem) or (part_in(table.parent.name) if table.parent != root else "")
        reader = _parquet if table.suffix.lower() in _PARQUET else _lines
        rows += reader(table, root, part, findings)
    return _examples(rows, f"tables {', '.join(safe_name(t.name) for t in tables)}", findings)


def _tables(folder: Path) -> list[Path]:
    inside = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
    deeper = [p for p in inside if p.is_dir() and (p.name == "data" or part_named(p.name))]
    found = [*inside, *(q for p in deeper for end in (*_PARQUET, *_LINES) for q in sorted(p.glob("*" + end)))]
    return [p for p in found if p.is_file() and _has_objects(p)]


def _has_objects(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _PARQUET:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            schema = pq.read_schema(path)
        except pa.ArrowException:
            return False
        return _OBJECTS in schema.names and any(f"{word}:" in str(schema.field(_OBJECTS).type) for word in BOXES)
    if suffix not in _LINES:
        return False
    with path.open("rb") as handle:
        first = handle.readline(1 << 22)
    try:
        record = json.loads(first)
    except ValueError:
        return False
    return isinstance(record, dict) and key_of(record.get(_OBJECTS), BOXES) is not None


def _declares(path: Path) -> bool:
    """Whether the description that `save_to_disk` wrote tells of objects."""
    try:
        features = json.loads((path / "dataset_info.json").read_bytes())["features"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(features, dict) and any(f'"{word}"' in json.dumps(features.get(_OBJECTS)) for word in BOXES)


def _parquet(path: Path, root: Path, part: Part, findings: list[Finding]) -> list[_Row]:
    import pyarrow.parquet as pq

    rows = read_rows(path)
    table = pq.read_table(path, columns=[_OBJECTS], memory_map=True)
    names = names_of(features_of(table.schema.metadata).get(_OBJECTS))
    records = [{name: values[i] for name, values in rows.columns.items()} for i in range(rows.count)]
    boxes = [objects_of(objects, names) for objects in table.column(0).to_pylist()]
    picture = next(iter(rows.pictures), None)
    if picture is None:
        return _of_paths(path, root, part, records, boxes, findings)
    cells = ParquetCells(path, rows.pictures[picture])
    name, width = safe_name(path.relative_to(root).as_posix()), len(str(rows.count))
    return [
        _Row(
            f"{name}#{i + 1:0{width}d}", CellContent(partial(cells.read, i)), part or _part(record), mine, _size(record)
        )
        for i, (record, mine) in enumerate(zip(records, boxes, strict=True))
    ]


def _lines(path: Path, root: Path, part: Part, findings: list[Finding]) -> list[_Row]:
    records = []
    for number, line in enumerate(decoded(path.read_bytes())[0].split("\n"), 1):
        try:
            record = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise DataError(f"{safe_name(path.name)}, line {number}: this is not JSON.", found=str(error)) from error
        if isinstance(record, dict):
            records.append(record)
    return _of_paths(path, root, part, records, [objects_of(r.get(_OBJECTS), ()) for r in records], findings)


def _of_paths(
    table: Path, root: Path, part: Part, records: Sequence[_Record], boxes: Sequence[Objects], findings: list[Finding]
) -> list[_Row]:
    """Return the rows of a table that names the files of its pictures."""
    folder = table.parent.relative_to(root).as_posix()
    finder = Finder(files_below(root), ("" if folder == "." else folder, ""), part)
    names = sorted({key for record in records for key in record}, key=lambda key: (rank(key, CONTENT_NAMES), key))
    column = next((n for n in names if rank(n, CONTENT_NAMES) < len(CONTENT_NAMES)), None)
    if column is None:
        raise DataError(f"No column of {safe_name(table.name)} holds pictures, or names them.", found=", ".join(names))
    out = []
    for i, (record, mine) in enumerate(zip(records, boxes, strict=True)):
        written = str(record.get(column) or "")
        path = finder.find(written) if written else None
        if path is None:
            findings.append(finder.lost(written, written or f"{table.name} row {i + 1}"))
        else:
            content = FileContent(finder.files.by_path[path])
            out.append(_Row(safe_name(path), content, part or _part(record), mine, _size(record)))
    return out


def _part(record: _Record) -> Part:
    return part_named(str(record.get("split") or "")) or ""


def _size(record: _Record) -> Size | None:
    return stated_size(as_number(record.get("width")), as_number(record.get("height")))


def _saved(path_or_name: str, findings: list[Finding]) -> list[_Row]:
    """Return the rows of a data set that the datasets library opens."""
    import datasets

    splits = hub.open_splits(path_or_name)
    rows: list[_Row] = []
    for name, split in splits.items():
        part = hub.part_of_split(name, len(splits))
        column = next((n for n, f in split.features.items() if isinstance(f, datasets.Image)), None)
        if part is None:
            findings.append(Finding(name, "split-ignored", "note", "it is not called train, validation or test"))
        elif column is None or _OBJECTS not in split.features:
            found = ", ".join(split.features)
            raise DataError("The data set has no column of type Image, or no `objects`.", found=found)
        else:
            rows += _of_split(split, name, part, column)
    return rows


def _of_split(split: Any, name: str, part: Part, column: str) -> Iterator[_Row]:
    plain = split.with_format(None)
    names = names_of(split.features.to_dict()[_OBJECTS])
    sizes = [list(plain[c]) if c in split.features else [None] * len(split) for c in ("width", "height")]
    width = len(str(len(split)))
    rows = zip(hub.pictures_of(split, column), plain[_OBJECTS], *sizes, strict=True)
    for i, (content, objects, *size) in enumerate(rows):
        stated = stated_size(as_number(size[0]), as_number(size[1]))
        yield _Row(safe_name(f"{name}#{i + 1:0{width}d}"), content, part, objects_of(objects, names), stated)


def _examples(rows: Sequence[_Row], how: str, findings: list[Finding]) -> Examples:
    known = measured(row.content for row in rows)
    sizes = [found.shown if found else row.size for row, found in zip(rows, known, strict=True)]
    quads = [(as_corners(numbers), size) for row, size in zip(rows, sizes, strict=True) for numbers, _ in row.boxes]
    quads = [(quad, size) for quad, size in quads if all(map(math.isfinite, quad))]
    shares = in_shares(quad for quad, _ in quads)
    order, won = order_of([q for q, _ in quads], [(1.0, 1.0) if shares else size for _, size in quads])
    if not won:
        reason = f"nothing tells what four numbers of a box are; they are taken for {_WAYS[order]}"
        findings.append(Finding("all boxes", "box-order-guessed", "note", reason))
    drawn = [Drawn(r.name, r.content, r.part, tuple(_placed(b, order) for b in r.boxes), r.size) for r in rows]
    return examples_of(drawn, f"{how}: boxes in 'objects', of {_WAYS[order]}", findings, known=known)


def _placed(box: tuple[object, RawBox], order: Order) -> RawBox:
    return replace(box[1], corners=as_corners(box[0], order))
