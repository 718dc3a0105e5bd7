"""What the cells of an `objects` column hold: boxes with their classes, in either way to write them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.data.box_repair import NO_NUMBERS, RawBox, as_number, is_set, no_class
from headstart.data.parts import safe_name
from headstart.data.rows import class_names

BOXES = ("bbox", "bboxes", "boxes")
_CLASSES = ("category", "categories", "category_id", "label", "labels", "class", "name")
_CROWDS = ("iscrowd", "is_crowd")
Objects = tuple[tuple[object, RawBox], ...]
"""Of each box its four numbers, which are corners or a corner and sides, and all else."""


def key_of(objects: object, words: Sequence[str]) -> str | None:
    """Return the word of these that objects have, in either way to write them: lists in one, or a list of each."""
    first = objects[0] if isinstance(objects, list) and objects else objects
    return next((w for w in words if w in first), None) if isinstance(first, Mapping) else None


def objects_of(objects: object, names: Sequence[str]) -> Objects:
    """Return the four numbers of each box, and all else of it."""
    keys = [key_of(objects, words) for words in (BOXES, _CLASSES, _CROWDS)]
    if keys[0] is None:
        return ()
    if isinstance(objects, list):
        rows = [[o.get(key) for key in keys] for o in objects if isinstance(o, Mapping)]
    else:
        columns = [list(objects.get(key) or []) if key else [] for key in keys]  # type: ignore[attr-defined]
        filled = [column + [None] * (len(columns[0]) - len(column)) for column in columns]
        rows = list(map(list, zip(*filled, strict=False)))
    return tuple((box, _raw(label, crowd, names)) for box, label, crowd in rows)


def _raw(label: object, crowd: object, names: Sequence[str]) -> RawBox:
    """Return a box that has no corners yet."""
    index, text, fault = as_number(label), "" if label is None or label != label else str(label), None
    if names and math.isfinite(index):
        text = names[int(index)] if index == int(index) and 0 <= index < len(names) else ""
        fault = None if text else no_class(f"class {index:g} is not among the {len(names)} names")
    return RawBox(safe_name(text.strip()), NO_NUMBERS, is_set(crowd), fault)


def features_of(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """Return the column types that the datasets library noted in a schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def names_of(feature: object) -> list[str]:
    """Return the names of the classes that the type of the objects declares, wherever in it; empty for none."""
    found = class_names(feature)
    inner: Iterator[object] = iter(())
    if isinstance(feature, Mapping):
        inner = (feature[k] for k in sorted(feature, key=lambda k: (k not in _CLASSES, str(k))))
    elif isinstance(feature, list):
        inner = iter(feature)
    return found or next((names for each in inner if (names := names_of(each))), [])
