"""Which column of a table is what, and whether its content is pictures or texts. Decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.data import columns as looking
from headstart.data.columns import Columns
from headstart.data.examples import Kind
from headstart.data.rows import Rows
from headstart.data.text_columns import TEXT_NAMES, holds_texts, is_index, text_columns
from headstart.errors import DataError, UsageError

TEXT_SUFFIXES = (".txt", ".text")
_MANY = 0.1
_MOST = 0.5


@dataclass(frozen=True)
class Roles:
    """Which column is what.

    Attributes:
        kind: what the content is.
        content: its column, or the two of a pair of texts.
        label: the column of the labels.
        part: that of the parts, empty when no column says them.
    """

    kind: Kind
    content: tuple[str, ...]
    label: str
    part: str


def roles_of(rows: Rows, content: str | None, label: str | None, kind: Kind | None) -> Roles:
    """Tell the columns of a table apart.

    Args:
        rows: the table.
        content: the column of the content where the user named it; two with a comma between for pairs of texts.
        label: the column of the labels where the user named it.
        kind: what the content is, where the user said it.

    Raises:
        DataError: the columns cannot be told apart.
        UsageError: a column that was named is not there.
    """
    everything = {**rows.columns, **dict.fromkeys(rows.pictures, ())}
    asked = asked_for(everything, content)
    if label is not None and label in asked:
        raise UsageError(f"The column {label!r} cannot be both content and label.", found=", ".join(everything))
    if label is not None:
        looking.named(everything, label)
    part = looking.part_column({k: v for k, v in rows.columns.items() if k not in (*asked, label)})
    free = {k: v for k, v in rows.columns.items() if k not in (label, part)}
    kind = kind or kind_of(rows.pictures, {k: rows.columns.get(k, ()) for k in asked} or free, asked, rows.path.parent)
    if kind == "text":
        found = text_roles(free, asked or _of_text_files(free, rows.path.parent), label, rows.labelled)
    else:
        found = _picture_roles(rows, free, asked, label)
    if found[1] not in rows.columns:
        raise DataError(f"The column {found[1]!r} holds no labels.", found="pictures, or nested values")
    return Roles(kind, *found, part)


def asked_for(columns: Columns, content: str | None) -> tuple[str, ...]:
    """Return the columns that the user named for the content: none, one, or two with a comma between.

    Raises:
        UsageError: the table has none of that name.
    """
    if content is None:
        return ()
    names = [name.strip() for name in content.split(",")]
    if content in columns or len(names) != 2:
        return (looking.named(columns, content),)
    return looking.named(columns, names[0]), looking.named(columns, names[1])


def kind_of(pictures: Mapping[str, str], columns: Columns, asked: Sequence[str], folder: Path) -> Kind:
    """Return whether the content is pictures or texts.

    Pictures are cells that hold some, and paths of files that are there or are called as pictures are. Else it is
    texts, unless nothing looks like any: then the complaint is about paths.

    Args:
        pictures: columns whose cells hold pictures.
        columns: those that may be the content.
        asked: those that the user named.
        folder: what paths are relative to.
    """
    if len(asked) == 2:
        return "text"
    if any(name in pictures for name in asked or pictures):
        return "picture"
    for values in map(looking.some, columns.values()):
        files = [v for v in values if looking.find_file(folder, v)]
        if len(files) > _MANY * len(values):
            texts = sum(v.lower().endswith(TEXT_SUFFIXES) for v in files)
            return "text" if texts > _MOST * len(files) else "picture"
        if looking.share(values, looking.like_a_path) > _MOST:
            return "picture"
    called = any(looking.rank(name, looking.CONTENT_NAMES) < len(looking.CONTENT_NAMES) for name in columns)
    return "picture" if called and not asked and not holds_texts(columns) else "text"


def _of_text_files(columns: Columns, folder: Path) -> tuple[str, ...]:
    """Return the column whose values are text files, where none is called as texts are."""
    if any(looking.rank(name, TEXT_NAMES) < len(TEXT_NAMES) for name in columns):
        return ()
    return next(((name,) for name, values in columns.items() if names_files(values, folder)), ())


def names_files(values: Sequence[str], folder: Path) -> bool:
    """Whether most of the values name files that are there."""
    return looking.share(looking.some(values), lambda v: looking.find_file(folder, v) is not None) > _MOST


def text_roles(
    free: Columns, asked: tuple[str, ...], label: str | None, labelled: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    """Return the columns of the texts and that of the labels.

    Args:
        free: the columns, without that of the parts.
        asked: those of the content that the user named.
        label: that of the labels, where the user named it.
        labelled: columns that are declared to be labels.

    Raises:
        DataError: they cannot be told apart.
    """
    by_name = sorted((n for n in free if n not in asked), key=lambda n: looking.rank(n, looking.LABEL_NAMES))
    known = [n for n in by_name if looking.rank(n, looking.LABEL_NAMES) < len(looking.LABEL_NAMES)]
    label = label or next(iter([n for n in labelled if n not in asked] + known), None)
    taken = {label, *labelled}
    content = asked or text_columns({k: v for k, v in free.items() if k not in taken})
    rest = {k: v for k, v in free.items() if k not in content and not is_index(k, v)}
    filled = {k: v for k, v in rest.items() if sum(map(bool, v)) > _MOST * len(v)}
    return content, label or looking.label_column(filled or rest, "")


def _picture_roles(rows: Rows, free: Columns, asked: tuple[str, ...], label: str | None) -> tuple[tuple[str, ...], str]:
    if len(asked) > 1:
        raise UsageError("Pictures are in one column.", found=", ".join(asked))
    content = next(iter(asked), "") or next(iter(rows.pictures), "") or looking.content_column(free, rows.path.parent)
    if label is None:
        label = next((name for name in rows.labelled if name != content), "")
        inside = {f"{name}.path" for name in rows.pictures}
        label = label or looking.label_column({k: v for k, v in free.items() if k not in inside}, content)
    return (content,), label
