"""Whether the first row of a table gives the names of its columns, or is an example already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart.data.columns import CONTENT_NAMES, LABEL_NAMES, PART_NAMES, find_file
from headstart.data.text_columns import ID_NAMES, PAIRS, TEXT_NAMES, is_number

_KNOWN = frozenset((*CONTENT_NAMES, *LABEL_NAMES, *PART_NAMES, *TEXT_NAMES, *ID_NAMES, *(n for p in PAIRS for n in p)))
_WORDS = 4
_LOOKED_AT = 2000


def has_header(records: Sequence[Sequence[str]], folder: Path) -> bool:
    """Return whether the first of the rows names the columns; in doubt it does.

    Args:
        records: all rows.
        folder: what paths in them are relative to.
    """
    if len(records) < 2:
        return not (records and any(find_file(folder, cell) for cell in records[0]))
    first, rest = [c.strip() for c in records[0]], records[1 : _LOOKED_AT + 1]
    if any(find_file(folder, cell) for cell in first):
        return False
    columns = [[r[i].strip() for r in rest if i < len(r)] for i in range(len(first))]
    if first == [str(i) for i in range(len(first))] and len(first) > 1:  # pandas numbers columns without names
        return True
    again = [_comes_again(cell, column) for cell, column in zip(first, columns, strict=True)]
    if any(cell.lower() in _KNOWN and not a for cell, a in zip(first, again, strict=True)):
        return True
    if any(again):
        return False
    if any(_all_numbers(column) and not is_number(cell) for cell, column in zip(first, columns, strict=True)):
        return True
    return not any(_is_alike(cell, column) for cell, column in zip(first, columns, strict=True))


def is_known(first: Sequence[str]) -> bool:
    """Whether a cell of the first row is what columns are usually called."""
    return any(cell.strip().lower() in _KNOWN for cell in first)


def _comes_again(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell is one of the few values of its column, as a label is."""
    return bool(cell) and len(column) > 1 and cell in column and len(set(column)) <= max(2, len(column) / 2)


def _is_alike(cell: str, column: Sequence[str]) -> bool:
    """Whether a cell is a number among numbers, or a sentence among sentences."""
    if is_number(cell):
        return _all_numbers(column)
    sentences = sum(_is_sentence(value) for value in column)
    return _is_sentence(cell) and sentences > len(column) / 2


def _is_sentence(cell: str) -> bool:
    return len(cell.split()) >= _WORDS


def _all_numbers(column: Sequence[str]) -> bool:
    return any(column) and all(is_number(v) for v in column if v)
