"""Data sets of the Hugging Face `datasets` library: saved folders and hub names. Only imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from headstart.data.columns import LABEL_NAMES, label_column, named, rank
from headstart.data.examples import CellContent, Content, Example, Examples, Finding, Goal, Kind, Part
from headstart.data.parts import gathered, part_named, safe_name
from headstart.data.roles import Roles, asked_for, kind_of, text_roles
from headstart.data.rows import as_text
from headstart.data.texts import TextContent
from headstart.errors import DataError, UsageError

MARKERS = ("dataset_dict.json", "dataset_info.json", "state.json")
"""Files by which a folder that `save_to_disk` wrote is known."""


def read_dataset(
    path_or_name: str,
    content_column: str | None = None,
    label_column: str | None = None,
    kind: Kind | None = None,
    goal: Goal | None = None,
) -> Examples:
    """Read a folder that `save_to_disk` of a Dataset or DatasetDict wrote, or a data set of the hub.

    The pictures stay where they are and are read when asked for. Splits called train, validation or test
    become parts; a single split of any name has none.

    Args:
        path_or_name: a folder, or `owner/name`.
        content_column: the column of pictures or texts, or two of texts with a comma between; the one of type
            Image where it is left out, or else found as in tables.
        label_column: the column of labels; the one of type ClassLabel, or one so named, where it is left out.
        goal: what is to be said of an example; found by looking at the labels where it is left out.
        kind: what the content is; pictures where it is left out and a column is of type Image, or else texts.

    Raises:
        DataError: the library is not installed, the data set cannot be had, or has no such content or labels.
        UsageError: a column that was named is not there.
    """
    splits = open_splits(path_or_name)
    items: list[Example] = []
    findings: list[Finding] = []
    kept = {name: part for name in splits if (part := part_of_split(name, len(splits))) is not None}
    for name in splits.keys() - kept.keys():
        findings.append(Finding(name, "split-ignored", "note", "it is not called train, validation or test"))
    if not kept:
        raise DataError("None of the splits is called train.", found=", ".join(splits))
    for name, part in kept.items():
        roles = _roles(splits[name], content_column, label_column, kind)
        kind = roles.kind
        for found in _rows(splits[name], name, part, roles):
            if isinstance(found, Example):
                items.append(found)
            else:
                findings.append(found)
    columns = f"{roles.kind}s in {' and '.join(map(repr, roles.content))}, labels in {roles.label!r}"
    how = f"data set of the datasets library: {columns}, splits {', '.join(kept)}"
    return gathered(items, findings, how, roles.kind, goal)


def open_splits(path_or_name: str) -> Mapping[str, Any]:
    """Return the splits by name."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "Reading this needs the datasets library, which is not installed.",
            found=path_or_name,
            hint='pip install "headstart[datasets]"',
        ) from error
    is_folder = Path(path_or_name).is_dir()
    try:
        opened = datasets.load_from_disk(path_or_name) if is_folder else datasets.load_dataset(path_or_name)
    except Exception as error:  # the library has no common base for what can go wrong in it
        raise _unavailable(path_or_name, is_folder, error) from error
    if isinstance(opened, datasets.DatasetDict):
        return dict(opened)
    return {str(opened.split or "all"): opened}


def _unavailable(name: str, is_folder: bool, error: Exception) -> DataError:
    found = f"{type(error).__name__}: {str(error)[:300]}"
    if is_folder:
        return DataError(f"The data set in {name} cannot be read.", found=found, hint="Save it again.")
    return DataError(
        f"There is no file or folder {name}, and no such data set could be had from the hub.",
        found=found,
        hint="Check the spelling and the network; a folder that save_to_disk wrote needs no network.",
    )


def part_of_split(split: str, count: int) -> Part | None:
    return part_named(split) or ("" if count == 1 else None)


def _roles(split: Any, content: str | None, label: str | None, kind: Kind | None) -> Roles:
    import datasets

    features: Mapping[str, Any] = split.features
    asked = asked_for(dict.fromkeys(features, ()), content)
    if label is not None:
        named(dict.fromkeys(features, ()), label)
    images = [name for name, f in features.items() if isinstance(f, datasets.Image)]
    classes = [name for name, f in features.items() if isinstance(f, datasets.ClassLabel)]
    lists = [name for name, f in features.items() if _is_list(f) and rank(name, LABEL_NAMES) < len(LABEL_NAMES)]
    classes = classes or lists
    if (kind or kind_of(dict.fromkeys(images, ""), {}, asked, Path())) == "text":
        if wrong := [name for name in asked if name in images]:
            raise UsageError("A column of type Image holds no texts.", found=", ".join(wrong))
        return Roles("text", *text_roles(_plain(split, [*asked, *classes]), asked, label, classes), "")
    column = next(iter(asked or images), None)
    if column not in images or len(asked) > 1:
        said = ", ".join(f"{name}: {type(f).__name__}" for name, f in features.items())
        raise DataError("The data set has no column of type Image.", found=said)
    label = label or next(iter(classes), None) or label_column(_plain(split), column)
    return Roles("picture", (column,), label, "")


def _is_list(feature: Any) -> bool:
    """Whether a column holds lists of words or class labels."""
    import datasets

    inner = getattr(feature, "feature", None)
    return isinstance(inner, datasets.ClassLabel) or (isinstance(inner, datasets.Value) and inner.dtype == "string")


def _plain(split: Any, more: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the columns of words and numbers, as text."""
    import datasets

    plain = [n for n, f in split.features.items() if isinstance(f, datasets.Value) and f.dtype != "binary"]
    return {name: [as_text(v) for v in split.with_format(None)[name]] for name in dict.fromkeys([*plain, *more])}


def _rows(split: Any, name: str, part: Part, roles: Roles) -> Iterator[Example | Finding]:
    contents = _texts(split, roles.content) if roles.kind == "text" else pictures_of(split, roles.content[0])
    width = len(str(len(split)))
    for i, (content, target) in enumerate(zip(contents, _targets(split, roles.label), strict=True)):
        row = safe_name(f"{name}#{i + 1:0{width}d}")
        if target:
            yield Example(row, content, safe_name(target), part)
        else:
            yield Finding(row, "no-label", "left out", f"it has no label in column {roles.label!r}", bad=True)


def pictures_of(split: Any, column: str) -> Iterator[Content]:
    import datasets

    raw = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    return (CellContent(partial(_bytes, raw, i, column)) for i in range(len(split)))


def _texts(split: Any, columns: Sequence[str]) -> Iterator[Content]:
    values = [split.with_format(None)[column] for column in columns]
    return (TextContent.of(*map(as_text, texts)) for texts in zip(*values, strict=True))


def _targets(split: Any, label: str) -> list[str]:
    values = list(split.with_format(None)[label])
    feature = split.features[label]
    inner = getattr(getattr(feature, "feature", None), "names", None)
    if inner:
        return [as_text(None if each is None else [inner[v] for v in each if v >= 0]) for each in values]
    names = getattr(feature, "names", None)
    if names is None:
        return [as_text(v) for v in values]
    return [names[v] if v is not None and 0 <= v < len(names) else "" for v in values]


def _bytes(raw: Any, row: int, column: str) -> bytes:
    """Return a picture's bytes from the Arrow file, or from the file that it names."""
    cell = raw[row][column] or {}
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    if cell.get("path"):
        return Path(cell["path"]).read_bytes()
    raise OSError("the cell is empty")
