"""COCO: one JSON file of pictures, categories and boxes for each part."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.data.box_files import Files, Finder, files_below, part_in, unlisted
from headstart.data.box_pictures import Drawn, examples_of, stated_size
from headstart.data.box_repair import RawBox, Remark, around, as_corners, as_number, is_set, no_class
from headstart.data.examples import Examples, FileContent, Finding
from headstart.data.parts import safe_name
from headstart.errors import DataError

_LOOKED_AT = 1 << 18  # bytes at either end of a file: the keys on top are there
_FOLDERS = ("annotations", "labels")
_KEY = rb'"%s"\s*:\s*\['
_IMAGES, _ANNOTATIONS, _CATEGORIES = (re.compile(_KEY % k) for k in (b"images", b"annotations", b"categories"))
_NO_BOXES_YET = re.compile(rb'"annotations"\s*:\s*\[\s*\]')
_Key = int | str


def holds_coco(source: Path) -> bool:
    """Whether a file is COCO's JSON, or a folder has some where COCO has it, by a look at the ends of files.

    Raises:
        OSError: it cannot be read.
    """
    return _is_coco(source) if source.is_file() else bool(_jsons(source))


def read_coco(source: Path) -> Examples:
    """Read COCO annotations: `annotations/*.json` with folders of pictures, or a JSON file beside pictures.

    The parts are those that the names of the JSON files or of their folders speak of. Of several kinds of
    annotations in one folder, those called `instances_…` are read.

    Args:
        source: the folder, or one JSON file.

    Raises:
        DataError: a file is damaged or no COCO file, or no picture with a box is left.
    """
    root, paths = _root(source), [source]
    if not source.is_file():
        paths = _jsons(source)
    paths, findings = _instances(paths)
    files = files_below(root)
    findings += files.findings
    drawn: list[Drawn] = []
    for path in paths:
        drawn += _read(path, files, findings)
    listed = {d.name for d in drawn}
    beside = [p for p in files.pictures() if safe_name(p) not in listed]
    if not source.is_file():
        findings += unlisted(beside, "picture-unlisted", "no annotation file speaks of them; they are not labelled")
    how = f"COCO annotations in {', '.join(safe_name(p.relative_to(root).as_posix()) for p in paths)}"
    return examples_of(drawn, how, findings)


def _root(source: Path) -> Path:
    """Return the folder below which the pictures are; that above `annotations/` where one file of it is given."""
    if source.is_dir():
        return source
    folder = source.absolute().parent
    return folder.parent if folder.name.lower() in _FOLDERS else folder


def _jsons(folder: Path) -> list[Path]:
    """Return the annotation files of a folder: in it, in `annotations/`, or in the folders of the parts."""
    inside = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
    likely = [p for p in inside if (p.name.lower() in _FOLDERS or part_in(p.name)) and p.is_dir()]
    deeper = [q for p in likely for q in sorted(p.glob("*.json")) if not q.name.startswith(".")]
    return [p for p in (*inside, *deeper) if p.suffix.lower() == ".json" and p.is_file() and _is_coco(p)]


def _is_coco(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as handle:
        seen = handle.read(_LOOKED_AT)
        size = handle.seek(0, 2)
        handle.seek(max(size - _LOOKED_AT, len(seen)))
        seen += handle.read()
    if not seen.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") or b'"segments_info"' in seen:
        return False
    keys = [bool(key.search(seen)) for key in (_IMAGES, _ANNOTATIONS, _CATEGORIES)]
    boxes = b'"bbox"' in seen or b'"segmentation"' in seen or bool(_NO_BOXES_YET.search(seen))
    return boxes and (keys[0] and keys[1] if size <= 2 * _LOOKED_AT else sum(keys) >= 1)


def _instances(paths: Sequence[Path]) -> tuple[list[Path], list[Finding]]:
    """Return the files to read: the `instances_…` where there are such, of people with keypoints otherwise."""
    chosen = [p for p in paths if p.name.lower().startswith("instances")] or list(paths)
    reason = "the boxes of the instances_… files beside it are read"
    return chosen, [Finding(p.name, "annotations-ignored", "note", reason) for p in paths if p not in chosen]


def _read(path: Path, files: Files, findings: list[Finding]) -> list[Drawn]:
    data = _loaded(path)
    folder = path.absolute().parent.relative_to(files.root.absolute()).as_posix()
    part = part_in(path.stem) or part_in(folder.rpartition("/")[2])
    categories = _Categories.of(data.get("categories"), safe_name(path.name), findings)
    boxes, used = _boxes(data["annotations"], categories)
    findings += categories.unused(used)
    finder = Finder(files, ("" if folder == "." else folder, ""), part)
    drawn = list(_pictures(data["images"], boxes, finder, findings))
    known = {_key(image.get("id")) for image in _dicts(data["images"])}
    for key in boxes.keys() - known:
        reason = f"{len(boxes[key])} boxes are of picture {key!r}, which {safe_name(path.name)} does not have"
        findings.append(Finding(f"picture {key}", "box-no-picture", "left out", reason))
    return drawn


def _loaded(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds, without the outlines, which are most of it, where boxes are given too."""
    try:
        data = json.loads(path.read_bytes(), object_hook=_without_outline)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{safe_name(path.name)} is no JSON, or damaged.", found=str(error)[:200]) from error
    except OSError as error:
        raise DataError(f"{safe_name(path.name)} cannot be read.", found=str(error)) from error
    if isinstance(data, dict) and all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        return data
    found = ", ".join(map(str, data))[:200] if isinstance(data, dict) else type(data).__name__
    hint = "COCO's JSON has lists of `images`, `annotations` and `categories`."
    raise DataError(f"{safe_name(path.name)} is no COCO file.", found=found, hint=hint)


def _without_outline(found: dict[str, Any]) -> dict[str, Any]:
    if found.get("bbox") and "segmentation" in found:
        del found["segmentation"]
    return found


def _dicts(values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    return (v for v in values if isinstance(v, dict))


def _key(value: object) -> _Key:
    """Return an id so that 7, 7.0 and "7" are the same."""
    number = as_number(value)
    return int(number) if math.isfinite(number) and number == int(number) else str(value)


@dataclass(frozen=True)
class _Categories:
    """The classes of a file: id -> name, empty where two claim the id."""

    names: Mapping[_Key, str]
    file: str

    @classmethod
    def of(cls, categories: object, file: str, findings: list[Finding]) -> _Categories:
        names: dict[_Key, str] = {}
        for each in _dicts(categories if isinstance(categories, list) else []):
            key, name = _key(each.get("id")), safe_name(str(each.get("name") or "").strip())
            names[key] = name if names.get(key, name) == name else ""
        ids = sorted(key for key in names if isinstance(key, int))
        if ids and ids[-1] - ids[0] + 1 > len(ids):
            reason = f"{len(ids)} categories have ids from {ids[0]} to {ids[-1]}; the gaps mean nothing"
            findings.append(Finding(file, "category-gap", "note", reason))
        for name, count in Counter(n for n in names.values() if n).items():
            if count > 1:
                reason = f"{count} categories are called {name!r}; they are one class"
                findings.append(Finding(file, "category-twice", "repaired", reason))
        return cls(names, file)

    def box(self, annotation: Mapping[str, Any]) -> RawBox:
        key = _key(annotation.get("category_id"))
        why = f"category {key!r} is not among the categories of {self.file}"
        if key in self.names:
            why = f"category {key!r} has no name, or two, in {self.file}"
        label, crowd = self.names.get(key, ""), is_set(annotation.get("iscrowd"))
        fault = None if label else no_class(why)
        box = RawBox(label, as_corners(annotation.get("bbox"), "xywh"), crowd, fault)
        return box if annotation.get("bbox") else _from_outline(box, annotation.get("segmentation"))

    def unused(self, used: set[str]) -> list[Finding]:
        idle = sorted({name for name in self.names.values() if name} - used)
        reason = f"{len(idle)} categories have no box here: {', '.join(idle[:5])}" + " …" * (len(idle) > 5)
        return [Finding(self.file, "category-unused", "note", reason)] if idle else []


def _from_outline(box: RawBox, polygons: object) -> RawBox:
    """Give a box without corners those of its outline, where that is of points."""
    points: list[tuple[float, float]] = []
    for polygon in polygons if isinstance(polygons, list) else []:
        numbers = [as_number(v) for v in polygon] if isinstance(polygon, list) else []
        points += list(zip(numbers[::2], numbers[1::2], strict=False))
    if not points:
        return box
    remark: Remark = ("box-from-outline", "repaired", "it has no corners; they are those of its outline")
    return replace(box, corners=around(points), remarks=(remark,))


def _boxes(annotations: Sequence[Any], categories: _Categories) -> tuple[dict[_Key, list[RawBox]], set[str]]:
    """Return the boxes by the id of their picture, and the classes that have some."""
    out: dict[_Key, list[RawBox]] = {}
    used = set()
    for each in _dicts(annotations):
        box = categories.box(each)
        used.add(box.label)
        out.setdefault(_key(each.get("image_id")), []).append(box)
    return out, used


def _pictures(
    images: Sequence[Any], boxes: Mapping[_Key, Sequence[RawBox]], finder: Finder, findings: list[Finding]
) -> Iterator[Drawn]:
    claims: dict[_Key, set[str]] = {}
    for image in _dicts(images):
        claims.setdefault(_key(image.get("id")), set()).add(str(image.get("file_name")))
    for image in _dicts(images):
        key, written = _key(image.get("id")), image.get("file_name")
        name = safe_name(str(written or f"picture {key}"))
        if not isinstance(written, str) or not written.strip():
            findings.append(Finding(name, "missing", "left out", "the annotation names no file", bad=True))
        elif len(claims[key]) > 1:
            reason = f"{len(claims[key])} pictures have the id {key!r}: whose boxes these are is not known"
            findings.append(Finding(name, "id-twice", "left out", reason, bad=True))
        elif (found := finder.find(written)) is None:
            findings.append(finder.lost(written))
        else:
            content = FileContent(finder.files.by_path[found])
            size = stated_size(as_number(image.get("width")), as_number(image.get("height")))
            yield Drawn(safe_name(found), content, finder.part, tuple(boxes.get(key, ())), size)
