"""Texts and their translations, whatever their format: which columns or files are which language, found by looking."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.columns import LABEL_NAMES, Columns, part_column, rank, some
from headstart.data.encodings import decoded
from headstart.data.examples import Example, Finding, Part
from headstart.data.hub import MARKERS, open_splits
from headstart.data.pair_columns import CALLED, PARQUET, TEXTS, Two, columns_of, inside, sides_of, spoken
from headstart.data.pair_files import (
    Pairs,
    aligned_files,
    gathered_pairs,
    language_of,
    pair,
    part_of,
    read_aligned,
    unpacked,
)
from headstart.data.parts import part_named, safe_name
from headstart.data.rows import FORMATS, LINE_FORMATS, Rows, as_text, read_rows
from headstart.data.table import split_tables
from headstart.data.text_columns import is_prose
from headstart.data.tmx import is_memory, read_memory
from headstart.errors import DataError, HeadstartError, UsageError

__all__ = ["Pairs", "holds_pairs", "read_pairs"]

_JSON = (".json", ".jsonl", ".ndjson")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_KEY = re.compile(r'"([^"\\]+)"\s*:')
_QUOTED = re.compile(r'"([^"\\]+)"')
_FIELD = re.compile(r"([\w.-]+): ")
_HEAD = 65_536
_COLUMNS = "The columns are called after languages (en, fr), or source and target, or are in one called translation."
_READ = "Read are tables, TMX, XLIFF, data sets of the datasets library, and aligned files such as train.en, train.fr."


def read_pairs(
    source: str | Path,
    source_language: str | None = None,
    target_language: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
) -> Pairs:
    """Read texts with their translations.

    Args:
        source: a table; aligned text files, by their folder, one of them or what their names have in common; a TMX or
            XLIFF file; a folder of tables or memories called after parts; a data set that the datasets library saved,
            or one of the hub.
        source_language: from which is translated; found by names where it is left out.
        target_language: into which.
        source_column: of a table, the column of the texts; found by its name where it is left out.
        target_column: of a table, that of the translations.

    Raises:
        UsageError: there is nothing at that path, or a language or a column is not there.
        DataError: what is there cannot be read, or not be told apart.
    """
    path, asked = Path(source).expanduser(), (source_language, target_language)
    columns = (source_column, target_column)
    try:
        if path.is_file() and is_memory(path):
            return read_memory(path, *asked)
        if path.suffix.lower() in FORMATS and path.is_file():
            return _read_tables([(path, "")], asked, columns)
        if any(path.is_dir() and (path / name).is_file() for name in MARKERS):
            return _read_dataset(str(path), asked, columns)
        if path.parent.is_dir() and aligned_files(path, asked):
            return read_aligned(path, *asked)
        if path.is_dir():
            return _read_folder(path, asked, columns)
        if path.suffix.lower() in LINE_FORMATS and path.is_file():
            return _read_tables([(path, "")], asked, columns)
    except OSError as error:
        raise DataError(f"{safe_name(str(path))} cannot be read.", found=str(error)) from error
    if isinstance(source, str) and _HUB_NAME.fullmatch(source) and not path.parent.exists():
        return _read_dataset(source, asked, columns)
    if not path.exists():
        raise UsageError(f"There is no file or folder {safe_name(str(path))}.", hint=_READ)
    raise DataError(f"{safe_name(path.name)} holds no translations.", found=path.suffix or "no suffix", hint=_READ)


def _read_folder(folder: Path, asked: Two, columns: Two) -> Pairs:
    if tables := _tables(folder):
        return _read_tables(tables, asked, columns)
    memories = _memories(folder)
    if not memories:
        raise DataError(f"{safe_name(folder.name)} holds no translations.", hint=_READ)
    parts = [part_of(path.name) if len(memories) > 1 else "" for path in memories]
    default: Part = "train" if any(parts) else ""
    read = [read_memory(path, *asked, part=part or default) for path, part in zip(memories, parts, strict=True)]
    items = [item for each in read for item in each.examples.items]
    findings = [finding for each in read for finding in each.examples.findings]
    how = "; ".join(each.examples.how for each in read)
    return gathered_pairs(items, how, findings, read[0].source, read[0].target)


def _tables(folder: Path) -> list[tuple[Path, Part]]:
    """Return the tables called after parts, or the only one."""
    if tables := split_tables(folder):
        return tables
    single = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in FORMATS and not p.name.startswith(".")]
    return [(single[0], "")] if len(single) == 1 else []


def _memories(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if is_memory(path) and not path.name.startswith(".")]


def _read_tables(tables: Sequence[tuple[Path, Part]], asked: Two, columns: Two) -> Pairs:
    items: list[Example] = []
    findings: list[Finding] = []
    said: list[str] = []
    before: Rows | None = None
    for path, part in tables:
        rows, sides = _opened(path, before, asked, columns)
        before = before or rows
        found = list(_paired(safe_name(path.name), columns_of(rows), sides, part, rows.ragged))
        items += [each for each in found if isinstance(each, Example)]
        findings += [f for f in rows.findings if f.kind != "header-assumed"]
        findings += [each for each in found if isinstance(each, Finding)]
        said.append(f"{rows.how} {safe_name(path.name)}: {sides[0]!r} to {sides[1]!r}")
    return gathered_pairs(items, "; ".join(said), findings, *_codes(sides, asked))


def _opened(path: Path, before: Rows | None, asked: Two, columns: Two) -> tuple[Rows, tuple[str, str]]:
    """Return a table and its two columns: the first two of one without names, if both languages were asked for."""
    rows = read_rows(path, before)
    sides = sides_of(columns_of(rows), asked, columns, safe_name(path.name))
    if sides is None and all(asked):
        if any(finding.kind == "header-assumed" for finding in rows.findings):
            rows = read_rows(path, Rows(path, {}, "", header=False))
        worded = [name for name, values in rows.columns.items() if is_prose(some(values)) or len(rows.columns) == 2]
        sides = (worded[0], worded[1]) if not rows.header and len(worded) > 1 else None
    return rows, _found(sides, columns_of(rows), safe_name(path.name))


def _found(sides: tuple[str, str] | None, columns: Columns, where: str) -> tuple[str, str]:
    if sides is None:
        hint = f"{_COLUMNS} Of a table without names say both languages: `--from en --to fr`."
        found = f"columns {', '.join(columns)}"[:300]
        raise DataError(f"No two columns of {where} are known to be texts and translations.", found=found, hint=hint)
    return sides


def _codes(sides: tuple[str, str], asked: Two) -> tuple[str, str]:
    return asked[0] or language_of(sides[0]), asked[1] or language_of(sides[1])


def _paired(
    table: str, columns: Columns, sides: tuple[str, str], part: Part, ragged: Mapping[int, int]
) -> Iterator[Example | Finding]:
    """Yield the pair of every row, or why it has none."""
    sources, targets = (columns[side] for side in sides)
    word = part_column({name: values for name, values in columns.items() if name not in sides})
    width = len(str(len(sources)))
    for i, (source, target) in enumerate(zip(sources, targets, strict=True)):
        name = f"{table}#{i + 1:0{width}d}"
        if i in ragged:
            reason = f"{ragged[i]} cells for {len(columns)} columns: is a delimiter in the text not quoted?"
            yield Finding(name, "ragged-row", "left out", reason, bad=True)
        else:
            yield pair(name, source, target, part or (part_named(columns[word][i]) if word else None) or "")


def _read_dataset(name: str, asked: Two, columns: Two) -> Pairs:
    splits = open_splits(name)
    items: list[Example] = []
    findings: list[Finding] = []
    sides = ("", "")
    for split, data in splits.items():
        part = part_named(split) or ("" if len(splits) == 1 else None)
        if part is None:
            findings.append(Finding(split, "split-ignored", "note", "it is not called train, validation or test"))
            continue
        cells = _cells(data)
        sides = _found(sides_of(cells, asked, columns, name), cells, name)
        items += [each for each in _paired(split, cells, sides, part, {}) if isinstance(each, Example)]
    how = f"data set of the datasets library: {sides[0]!r} to {sides[1]!r}, splits {', '.join(splits)}"
    return gathered_pairs(items, how, findings, *_codes(sides, asked))


def _cells(split: Any) -> dict[str, Sequence[str]]:
    out: dict[str, Sequence[str]] = {}
    for name, feature in split.features.items():
        values = split.with_format(None)
        if isinstance(feature, dict) or getattr(feature, "dtype", "") == "dict":
            out |= inside(name, [value or {} for value in values[name]])
        elif getattr(feature, "dtype", "") in TEXTS:
            out[name] = [as_text(value) for value in values[name]]
    return out


def holds_pairs(path: str | Path) -> bool:
    """Whether data are texts with translations rather than with labels. Looks at names, and then at what is in a table
    whose names say so; never raises, and never asks the hub."""
    place = Path(path).expanduser()
    try:
        if is_memory(place) and place.is_file():
            return True
        if place.suffix.lower() in FORMATS and place.is_file():
            return _table_holds(place)
        if any(place.is_dir() and (place / name).is_file() for name in MARKERS):
            return _saved_holds(place)
        if place.parent.is_dir() and (files := aligned_files(place)):
            return all(b"\0" not in unpacked(p)[:_HEAD] for p in next(iter(files.values())).values())
        tables = _tables(place) if place.is_dir() else []
        return _table_holds(tables[0][0]) if tables else place.is_dir() and bool(_memories(place))
    except (OSError, ValueError, LookupError, HeadstartError):
        return False


def _table_holds(path: Path) -> bool:
    if not _may_hold(_names(path)):
        return False
    columns = columns_of(read_rows(path))
    if not _may_hold(columns):
        return False
    known = spoken(columns)
    sides = known if len(known) > 1 else sides_of(columns, (None, None), (None, None), "") or ()
    return len(sides) > 1 and all(is_prose(some(columns[side])) for side in sides)


def _may_hold(names: Iterable[str]) -> bool:
    """Whether columns are called as those of translations are, and none as labels are."""
    plain = [name.strip().lower() for name in names]
    if any(rank(name, LABEL_NAMES) < len(LABEL_NAMES) and name != "target" for name in plain):
        return False
    sides = any(a in plain and b in plain for a, b in CALLED)
    return len(spoken(plain)) > 1 or "translation" in plain or sides


def _names(path: Path) -> list[str]:
    """Return what may be the names of a table's columns, from its beginning or its schema."""
    if path.suffix.lower() in PARQUET:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return _FIELD.findall(str(pq.read_schema(path).remove_metadata()))
        except pa.ArrowException:
            return []
    with path.open("rb") as handle:
        head = decoded(handle.read(_HEAD))[0]
    if path.suffix.lower() in _JSON:
        return list(dict.fromkeys(_KEY.findall(head)))
    return [name.strip(" \"'") for name in re.split(r"[,;\t|]", head.lstrip().partition("\n")[0].strip())]


def _saved_holds(folder: Path) -> bool:
    """Look at the columns that a saved data set declares."""
    infos = [folder / "dataset_info.json", *sorted(folder.glob("*/dataset_info.json"))]
    info = next((path for path in infos if path.is_file()), None)
    features = json.loads(info.read_text("utf-8"))["features"] if info else {}
    return _may_hold(_QUOTED.findall(json.dumps(features)))
