"""Which columns of a table are a text and its translation, and the columns that lie inside of others."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from headstart.data.columns import Columns, named
from headstart.data.pair_files import SIDES, choose, language_of
from headstart.data.parts import safe_name
from headstart.data.rows import Rows, as_text
from headstart.data.text_columns import ID_NAMES
from headstart.errors import DataError, UsageError

Two = tuple[str | None, str | None]
PARQUET = (".parquet", ".pq")

CALLED = (*SIDES, ("source_text", "target_text"), ("source_sentence", "target_sentence"), ("text", "translation"))
TEXTS = ("string", "large_string")


def sides_of(columns: Columns, asked: Two, given: Two, where: str) -> tuple[str, str] | None:
    """Return the columns of the two sides: named in the call, called after languages, or as sides are called."""
    if any(given):
        first, second = (named(columns, name) for name in given if name) if all(given) else ("", "")
        if first == second:
            raise UsageError("The texts and the translations are two columns: name both.", found=", ".join(columns))
        return first, second
    known = spoken(columns, asked)
    if len(known) > 1:
        return choose(known, *asked, where)
    plain = {name.strip().lower(): name for name in columns}
    return next(((plain[a], plain[b]) for a, b in CALLED if a in plain and b in plain), None)


def spoken(names: Iterable[str], asked: Two = (None, None)) -> list[str]:
    """Return the names of languages; `id` is that of a column of numbers rather than Indonesian."""
    exact = [language.strip().lower() for language in asked if language]
    plain = {name: name.strip().lower() for name in names}
    return [n for n, low in plain.items() if low in exact or (language_of(n) and low not in ID_NAMES)]


def columns_of(rows: Rows) -> dict[str, Sequence[str]]:
    """Return the columns of a table; of one that holds dictionaries what is in them: `translation.en`."""
    out: dict[str, Sequence[str]] = {}
    for name, values in rows.columns.items():
        if next((value for value in values if value), "").startswith(("{'", '{"')):
            out |= inside(name, [_dictionary(value) for value in values]) or {name: values}
        else:
            out[name] = values
    return out | (_structs(rows.path) if rows.path.suffix.lower() in PARQUET else {})


def inside(name: str, cells: Sequence[Mapping[str, object]]) -> dict[str, Sequence[str]]:
    """Return the columns that lie inside of one of dictionaries, called `NAME.KEY`."""
    keys = dict.fromkeys(key for cell in cells for key in cell)
    return {f"{name}.{key}": [as_text(cell.get(key)) for cell in cells] for key in keys}


def _dictionary(text: str) -> dict[str, object]:
    """Return the dictionary that was written into a cell as text; an empty one for anything else."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _structs(path: Path) -> dict[str, Sequence[str]]:
    """Return the texts inside of nested columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, memory_map=True)
        nested = [column.name for column in file.schema_arrow if pa.types.is_struct(column.type)]
        table = file.read(columns=nested).flatten() if nested else pa.table({})
    except pa.ArrowException as error:
        raise DataError(f"The table {safe_name(path.name)} is damaged.", found=str(error)) from error
    return {n: list(map(as_text, table[n].to_pylist())) for n in table.column_names if str(table[n].type) in TEXTS}
