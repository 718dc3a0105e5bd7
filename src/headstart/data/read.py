"""read: from wherever the user's data are to examples, the format found by looking."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import NamedTuple

from headstart.data.boxes import holds_boxes, read_boxes
from headstart.data.examples import Examples, Goal, Kind
from headstart.data.folder import read_folder
from headstart.data.hub import MARKERS, read_dataset
from headstart.data.pairs import holds_pairs, read_pairs
from headstart.data.parts import safe_name
from headstart.data.pictures import sniff
from headstart.data.rows import FORMATS, LINE_FORMATS, is_labelled_text
from headstart.data.table import read_table, read_tables, split_tables
from headstart.errors import DataError, UsageError

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_LONGEST_NAME = 255  # of a file, on all usual file systems
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


class Asked(NamedTuple):
    """What the user said of data: the columns of the content and of the labels, what the content is and what is to be
    said of it. None stands for what is found by looking."""

    content: str | None
    label: str | None
    kind: Kind | None
    goal: Goal | None


def read(
    source: str | Path,
    content_column: str | None = None,
    label_column: str | None = None,
    kind: Kind | None = None,
    goal: Goal | None = None,
    languages: tuple[str, str] = ("", ""),
) -> Examples:
    """Read labelled data, pictures or texts.

    Args:
        source: a folder of class folders, a folder of `train`, `val`, `test` tables, one with a single table
            beside its pictures, one that the datasets library saved; a table file, or a text file of one
            `LABEL text` a line; or the name of a data set on the hub.
        content_column: of a table, the column of paths, pictures or texts; of pairs of texts both, as in
            `premise,hypothesis`.
        label_column: of a table, the column of labels.
        kind: what the content is; None finds out by looking.
        goal: what is to be said of an example; None finds out by looking at the labels.
        languages: of texts with translations, from which to which; found by names where they are empty.

    Raises:
        UsageError: there is nothing at that path, or a column is not there.
        DataError: what is there cannot be read as labelled data.
    """
    path, asked = place(source).expanduser(), Asked(content_column, label_column, kind, goal)
    if goal == "text" or (goal is None and asked.kind != "picture" and (any(languages) or _translated(path, asked))):
        sides = (content_column, label_column)
        return read_pairs(source, languages[0] or None, languages[1] or None, *sides).examples
    if asked.goal in (None, "boxes") and asked.kind != "text" and path.exists() and holds_boxes(path):
        return read_boxes(path)
    if path.is_dir():
        return _read_folder(path, asked)
    if path.is_file():
        return _read_file(path, asked)
    if isinstance(source, str) and _HUB_NAME.match(source) and not path.parent.exists():
        return read_dataset(source, *asked)
    raise _not_there(path)


def _translated(path: Path, asked: Asked) -> bool:
    """Whether data are texts with translations and no columns were named, which would be those of labels."""
    return asked.content is None and asked.label is None and path.exists() and holds_pairs(path)


def place(source: str | Path) -> Path:
    """Return where data are, as a path.

    Raises:
        UsageError: it is no place but the data themselves, or something else.
    """
    if not isinstance(source, str | Path):
        raise UsageError(
            "Data are given by their place: a folder, a table's file, a name on the hub.",
            found=type(source).__name__,
            hint="Write a table that is in memory to a file first: frame.to_parquet('data.parquet').",
        )
    path = Path(source)
    if len(path.name) > _LONGEST_NAME:
        raise UsageError("This is no place of data: a name is not so long.", found=f"{path.name[:40]!r} …")
    return path


def _read_folder(folder: Path, asked: Asked) -> Examples:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read.", found=str(error)) from error
    if any(path.name in MARKERS for path in inside):
        return read_dataset(str(folder), *asked)
    if split_tables(folder):
        return read_tables(folder, *asked)
    tables = [p for p in inside if p.suffix.lower() in FORMATS and p.is_file() and not p.name.startswith(".")]
    folders = [p for p in inside if p.is_dir() and not p.name.startswith(".")]
    if len(tables) == 1 and len(folders) < 2:
        return read_table(tables[0], *asked)
    if (asked.kind == "text" or not folders) and _labelled_texts(folder):
        return read_tables(folder, *asked, LINE_FORMATS)
    return read_folder(folder, asked.kind)


def _labelled_texts(folder: Path) -> bool:
    """Whether there is a `train.txt` of one example a line; beside pictures, such a file is a list of something."""
    try:
        return any(is_labelled_text(path) for path, _ in split_tables(folder, LINE_FORMATS)[:1])
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read.", found=str(error)) from error


def _read_file(path: Path, asked: Asked) -> Examples:
    if path.suffix.lower() in FORMATS:
        return read_table(path, *asked)
    try:
        with path.open("rb") as handle:
            format_ = sniff(handle.read(64))
        if path.suffix.lower() in LINE_FORMATS and is_labelled_text(path):
            return read_table(path, *asked)
    except OSError as error:
        raise DataError(f"{safe_name(str(path))} cannot be read.", found=str(error)) from error
    if format_:
        raise DataError(
            f"{safe_name(path.name)} is a single picture; learning takes many, in at least two classes.",
            found=format_,
            hint="Give the folder that holds the class folders. To label a picture, use `headstart predict`.",
        )
    hint = f"Read are folders, and tables: {', '.join(FORMATS)}."
    if path.suffix.lower() in LINE_FORMATS:
        hint = "Read are text files whose lines begin with a label, or with `__label__` and one; and tables."
    if path.suffix.lower() in _ARCHIVES:
        hint = "Unpack it and give the folder."
    raise DataError(f"{safe_name(path.name)} is no labelled data.", found=path.suffix or "no suffix", hint=hint)


def _not_there(path: Path) -> UsageError:
    """Say what lies nearest to a path that is not there."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        siblings = {p.name.lower(): p.name for p in sorted(parent.iterdir()) if not p.name.startswith(".")}
    except OSError:
        siblings = {}
    near = [siblings[n] for n in difflib.get_close_matches(path.name.lower(), siblings, 3)]
    where = safe_name(str(parent))
    return UsageError(
        f"There is no file or folder {safe_name(str(path))}.",
        found=f"in {where}: {', '.join(map(safe_name, list(siblings.values())[:5])) or 'nothing'}",
        hint=f"Did you mean {' or '.join(safe_name(str(parent / n)) for n in near)}?" if near else "",
    )
