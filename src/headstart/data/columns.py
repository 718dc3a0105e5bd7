"""Which column of a table is what: found by its name, or by looking at what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from headstart.data.parts import part_named
from headstart.data.pictures import IMAGE_SUFFIXES
from headstart.errors import DataError, UsageError

Columns = Mapping[str, Sequence[str]]
"""Column name -> its values as text, empty where there is none."""

CONTENT_NAMES = (
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image_path",
    "image",
    "img",
)
LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "target",
    "category",
    "class_name",
    "label_name",
    "species",
    "sentiment",
    "intent",
    "polarity",
    "topic",
    "emotion",
    "gold_label",
    "coarse_label",
    "label_coarse",
    "stars",
    "rating",
    "tags",
    "genres",
    "topics",
    "categories",
    "score",
)
PART_NAMES = ("split", "part", "set", "subset", "fold")
_LOOKED_AT = 200


def named(columns: Columns, column: str) -> str:
    """Return the column that was asked for.

    Raises:
        UsageError: the table has none of that name.
    """
    if column in columns:
        return column
    raise UsageError(f"The table has no column {column!r}.", found=f"columns {', '.join(columns)}")


def content_column(columns: Columns, folder: Path) -> str:
    """Return the column whose values are files; by suffix and name when none of the files is there.

    Args:
        columns: the table.
        folder: what its paths are relative to.

    Raises:
        DataError: no column holds paths.
    """
    looked = {name: some(values) for name, values in columns.items()}
    there = {name: share(values, lambda v: find_file(folder, v) is not None) for name, values in looked.items()}
    alike = {name: share(values, like_a_path) for name, values in looked.items()}
    best = max(looked, key=lambda name: (there[name], alike[name], -rank(name, CONTENT_NAMES)), default="")
    if best and (there[best] or alike[best] > 0.5):
        return best
    raise DataError(
        "No column of the table holds paths of files.",
        found=f"columns {', '.join(columns)}; first row {', '.join(v[0] for v in columns.values() if v)!r}"[:400],
        hint="Paths are relative to the table's folder, or absolute. Or name the column of the content.",
    )


def label_column(columns: Columns, taken: str) -> str:
    """Return the column of the labels: one so named, or else the one with the fewest distinct values.

    Args:
        columns: the table, without the column of the parts.
        taken: the column of the content.

    Raises:
        DataError: there is none.
    """
    others = [name for name in columns if name != taken]
    by_name = [name for name in others if rank(name, LABEL_NAMES) < len(LABEL_NAMES)]
    if by_name:
        return min(by_name, key=lambda name: rank(name, LABEL_NAMES))
    distinct = {name: len({v for v in columns[name] if v}) for name in others}
    several = [name for name in others if 1 < distinct[name] < max(3, len(columns[name]))]
    if several:
        return min(several, key=lambda name: distinct[name])
    raise DataError(
        "No column of the table holds labels.",
        found=", ".join(f"{name!r} with {count} distinct values" for name, count in distinct.items()) or "one column",
        hint="Call it `label`, let the same few values come again in it, or name it in the call.",
    )


def part_column(columns: Columns) -> str:
    """Return the column that says train, val or test, or an empty string."""
    for name in sorted(columns, key=lambda name: rank(name, PART_NAMES)):
        values = {v for v in columns[name] if v}
        if rank(name, PART_NAMES) < len(PART_NAMES) and values and all(part_named(v) for v in values):
            return name
    return ""


def find_file(folder: Path, value: str) -> Path | None:
    """Return the file that a cell names, relative to the folder or absolute; None when there is none."""
    for text in (value, value.replace("\\", "/")):  # tables written on Windows
        try:
            if text and os.path.isfile(folder / text):  # noqa: PTH113 - Path.is_file raises at names that are too long
                return folder / text
        except ValueError:
            return None
    return None


def some(values: Sequence[str]) -> list[str]:
    """Return some hundred values spread evenly over the column."""
    step = max(1, len(values) // _LOOKED_AT)
    return [v for v in values[::step] if v]


def share(values: Sequence[str], holds: Callable[[str], bool]) -> float:
    """Return the share of the values of which something holds."""
    return sum(map(holds, values)) / len(values) if values else 0.0


def like_a_path(value: str) -> bool:
    """Whether it is called as pictures are."""
    return os.path.splitext(value)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def rank(name: str, names: Sequence[str]) -> int:
    """Return the place of a name among known ones, in any case; their number when it is none of them."""
    plain = name.strip().lower()
    return names.index(plain) if plain in names else len(names)
