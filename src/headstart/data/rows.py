"""The rows of a table file, whatever its format: CSV, TSV, JSON lines, JSON, Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.columns import LABEL_NAMES, rank
from headstart.data.delimited import read_sheet
from headstart.data.encodings import decoded
from headstart.data.examples import Finding
from headstart.data.lines import has_labels, read_lines
from headstart.data.parts import safe_name
from headstart.errors import DataError

_NUL = "\0"
_PICTURE_FIRST = ("image", "img", "picture", "photo")


@dataclass(frozen=True)
class Rows:
    """A table.

    Attributes:
        path: the file.
        columns: name -> its values as text, empty where there is none; all of one length.
        how: format, delimiter and encoding, for people.
        pictures: columns whose cells hold the bytes of pictures -> the dotted path of these, likeliest first.
        labelled: columns that the file itself declares to be labels.
        count: how many rows it has.
        header: whether the file gives the names of the columns.
        ragged: row -> its number of cells, where it has more than there are columns.
        unlabelled: row -> why it has no label, where there is more to say than that the cell is empty.
        findings: what was repaired in reading.
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    how: str
    pictures: Mapping[str, str] = field(default_factory=dict)
    labelled: tuple[str, ...] = ()
    count: int = 0
    header: bool = True
    ragged: Mapping[int, int] = field(default_factory=dict)
    unlabelled: Mapping[int, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def read_rows(path: Path, like: Rows | None = None) -> Rows:
    """Read a table, all but pictures in its cells.

    Args:
        path: the file.
        like: a table beside it, of the same columns: it then has a header if that one has.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    reader = (FORMATS | LINE_FORMATS).get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is no table.", found=path.suffix or "no suffix", hint=f"Read are {_KNOWN}.")
    try:
        rows = reader(path, (tuple(like.columns) if like.header else ()) if like else None)
    except OSError as error:
        raise DataError(f"The table {path.name} cannot be read.", found=str(error)) from error
    if not rows.count:
        raise DataError(f"The table {path.name} has no rows.", hint="A header row and one row for each example.")
    return rows


def _read_csv(path: Path, like: Sequence[str] | None = None) -> Rows:
    sheet = read_sheet(path, like)
    columns = {name: [r[i].strip() if i < len(r) else "" for r in sheet.body] for i, name in enumerate(sheet.names)}
    return Rows(
        path,
        columns,
        sheet.how,
        count=len(sheet.body),
        header=sheet.header,
        ragged=sheet.ragged,
        findings=sheet.findings,
    )


def _read_txt(path: Path, like: Sequence[str] | None = None) -> Rows:
    """Read `LABEL text` lines, or what is a TSV by another name."""
    text, encoding = decoded(path.read_bytes())
    lines = [line for line in text.split("\n") if line.strip()]
    if lines and all("\t" in line for line in lines) and not lines[0].startswith("__label__"):
        return _read_csv(path, like)
    read = read_lines(text.replace(_NUL, ""))
    nuls = Finding(safe_name(path.name), "nul", "repaired", f"{text.count(_NUL)} NUL characters are dropped")
    reason = "it has several labels; learned is one for each text"
    several = dict.fromkeys(read.several, reason)
    how = read.how + f" ({encoding})" * bool(encoding)
    return Rows(
        path,
        read.columns,
        how,
        labelled=read.labels,
        count=len(read.columns["text"]),
        unlabelled=several,
        findings=(nuls,) * (_NUL in text),
    )


def is_labelled_text(path: Path) -> bool:
    """Whether a text file holds examples, one a line.

    Raises:
        OSError: it cannot be read.
    """
    text, _ = decoded(path.read_bytes())
    lines = [line for line in text.split("\n") if line.strip()]
    return bool(lines) and (all("\t" in line for line in lines) or has_labels(text))


def _read_json_lines(path: Path, _: object = None) -> Rows:
    text, encoding = decoded(path.read_bytes())
    records = []
    for number, line in enumerate(io.StringIO(text), 1):  # not splitlines: that also cuts at U+2028 inside strings
        if line.strip():
            records.append(_parsed(line, f"{path.name}, line {number}"))
    return _from_records(path, records, "JSON lines" + f" ({encoding})" * bool(encoding))


def _read_json(path: Path, _: object = None) -> Rows:
    records = _parsed(decoded(path.read_bytes())[0], path.name)
    return _from_records(path, records if isinstance(records, list) else [records], "JSON table")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: this is not JSON.", found=f"{text.strip()[:60]!r} ({error})") from error


def _from_records(path: Path, records: Sequence[Any], how: str) -> Rows:
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise DataError(f"{path.name}: row {number} is no JSON object.", found=repr(record)[:60])
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [as_text(record.get(name)) for record in records] for name in names}
    return Rows(path, columns, how, count=len(records))


def as_text(value: object) -> str:
    """Return a cell as text; nothing, and what is no number, as an empty string; a list as JSON has it."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if value is None or value != value:
        return ""
    return str(value).strip()


def _read_parquet(path: Path, _: object = None) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        features = _features(file.schema_arrow.metadata)
        pictures = _pictures(file, features)
        columns = {name: _values(file, leaf) for name, leaf in _readable(file, pictures).items()}
    except pa.ArrowException as error:
        raise DataError(f"The table {path.name} is damaged, or no Parquet file.", found=str(error)) from error
    names = {name: class_names(_inner(features.get(name))) for name in columns}
    columns |= {name: _labels(columns[name], said) for name, said in names.items() if said}
    labelled = tuple(name for name, said in names.items() if said)
    return Rows(path, columns, "Parquet table", pictures, labelled, file.metadata.num_rows)


def _features(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return the column types that the datasets library noted in a schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def class_names(feature: object) -> list[str]:
    """Return the names of a ClassLabel in its JSON form, or an empty list for anything else."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return []
    names = feature.get("names") or []
    return [names[key] for key in sorted(names, key=int)] if isinstance(names, dict) else list(names)


def _labels(values: Sequence[str], names: Sequence[str]) -> list[str]:
    """Replace class numbers by names, in lists too; a number without a name, as -1, is no label."""
    known = {str(i): name for i, name in enumerate(names)}
    return [_named(value, known) for value in values]


def _named(value: str, known: Mapping[str, str]) -> str:
    if not value.startswith("["):
        return known.get(value, "")
    return as_text([known[str(i)] for i in json.loads(value) if str(i) in known])


def _inner(feature: object) -> object:
    """Return the type of what a column holds, of a list that of its members."""
    return feature["feature"] if isinstance(feature, dict) and isinstance(feature.get("feature"), dict) else feature


def _pictures(file: Any, features: Mapping[str, Any]) -> dict[str, str]:
    import pyarrow as pa

    found = {}
    for column in file.schema_arrow:
        inner = column.type
        if pa.types.is_binary(inner) or pa.types.is_large_binary(inner):
            found[column.name] = column.name
        elif pa.types.is_struct(inner) and inner.get_field_index("bytes") >= 0:
            leaf = f"{column.name}.bytes"
            if not _is_empty(file, leaf):
                found[column.name] = leaf
    declared = {name for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "Image"}
    return dict(sorted(found.items(), key=lambda kv: (kv[0] not in declared, kv[0].lower() not in _PICTURE_FIRST)))


def _is_empty(file: Any, leaf: str) -> bool:
    """Whether the file's statistics say that a column holds nothing: its structs then give paths only."""
    index = next(i for i in range(len(file.schema)) if file.schema.column(i).path == leaf)
    groups = [file.metadata.row_group(g) for g in range(file.num_row_groups)]
    known = [(g.column(index).statistics, g.num_rows) for g in groups]
    return all(s is not None and s.has_null_count and s.null_count == rows for s, rows in known)


def _readable(file: Any, pictures: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of text and numbers, and the paths inside picture structs: name -> dotted path."""
    import pyarrow as pa

    out = {}
    for column in file.schema_arrow:
        if pa.types.is_struct(column.type):
            if column.type.get_field_index("path") >= 0:
                out[f"{column.name}.path" if column.name in pictures else column.name] = f"{column.name}.path"
        elif _is_label_list(column) or (column.name not in pictures and not pa.types.is_nested(column.type)):
            out[column.name] = column.name
    return out


def _is_label_list(column: Any) -> bool:
    """Whether a column is called as labels are and holds lists of words or numbers."""
    import pyarrow as pa

    lists = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    known = rank(column.name, LABEL_NAMES) < len(LABEL_NAMES)
    return lists and known and not pa.types.is_nested(column.type.value_type)


def _values(file: Any, leaf: str) -> list[str]:
    column = file.read(columns=[leaf]).column(0)
    values: Iterable[Any] = column.to_pylist()
    return [as_text(next(iter(v.values()), None) if isinstance(v, dict) else v) for v in values]


_Reader = Callable[[Path, Sequence[str] | None], Rows]
FORMATS: dict[str, _Reader] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".tab": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
LINE_FORMATS: dict[str, _Reader] = {".txt": _read_txt}
"""What may hold examples, one a line, and mostly does not: read when asked for by name."""
_KNOWN = ", ".join(FORMATS)
