"""YOLO: a text file for each picture, a line for each box, in shares of the picture's sides."""

from __future__ import annotations

import math
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data.box_files import Files, Finder, files_below, is_picture_name, part_in, part_of_path, unlisted
from headstart.data.box_pictures import Drawn, examples_of
from headstart.data.box_repair import NO_NUMBERS, RawBox, Remark, around, as_number, no_class
from headstart.data.encodings import decoded
from headstart.data.examples import Examples, FileContent, Finding, Part
from headstart.data.parts import part_named, safe_name
from headstart.errors import DataError

_CONFIGS = (".yaml", ".yml")
_NAMES = ("classes.txt", "obj.names", "_darknet.labels", "labels.txt", "predefined_classes.txt")
_PARTS: dict[str, Part] = {"train": "train", "val": "valid", "valid": "valid", "test": "test"}
_NAMES_KEY = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)
_LOOKED_AT = 5  # files in a folder
_HEAD = 4096
_FAR = 2.0
"""A number of this many sides is none of a share: the file has pixels."""


def holds_yolo(source: Path) -> bool:
    """Whether a folder, or a YAML file, is data of YOLO's kind: by `names` in the YAML, or by a look at labels.

    Raises:
        OSError: it cannot be read.
    """
    if source.is_file():
        return _is_config(source)
    inside = [p for p in sorted(source.iterdir()) if not p.name.startswith(".")]
    if any(_is_config(p) for p in inside if p.is_file()):
        return True
    folders = [p for p in inside if p.is_dir()]
    parted = [p for p in folders if part_named(p.name)]
    return any(_has_labels(p) for p in (source, *parted)) or any(_is_mixed(p) for p in (source, *parted))


def _is_config(path: Path) -> bool:
    if path.suffix.lower() not in _CONFIGS:
        return False
    text = decoded(path.read_bytes()[: 1 << 20])[0]
    return bool(_NAMES_KEY.search(text)) and any(re.search(rf"^{key}\s*:", text, re.M) for key in (*_PARTS, "nc"))


def _has_labels(folder: Path) -> bool:
    """Whether `labels/` and `images/` lie in a folder, with boxes in the first and pictures in the second."""
    labels, images = ([p, *_parted(p)] if (p := folder / name).is_dir() else [] for name in ("labels", "images"))
    return any(map(_has_pictures, images)) and any(map(_has_boxes, labels))


def _parted(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if part_in(p.name) and p.is_dir()]


def _has_pictures(folder: Path) -> bool:
    with os.scandir(folder) as scan:
        return any(is_picture_name(e.name) for e in scan)


def _is_mixed(folder: Path) -> bool:
    """Whether text files of boxes lie beside their pictures, with a file of the names of the classes."""
    return any((folder / name).is_file() for name in _NAMES) and _has_boxes(folder, beside=True)


def _has_boxes(folder: Path, beside: bool = False) -> bool:
    with os.scandir(folder) as scan:
        found = sorted(e.name for e in scan if not e.name.startswith("."))
    stems = {posixpath.splitext(name)[0] for name in found if is_picture_name(name)} if beside else set()
    texts = [n for n in found if n.lower().endswith(".txt") and n.lower() not in _NAMES]
    texts = [n for n in texts if not beside or posixpath.splitext(n)[0] in stems]
    filled = (n for n in texts if (folder / n).stat().st_size)
    looked = [n for n, _ in zip(filled, range(_LOOKED_AT), strict=False)]
    return any(_is_boxes(folder / name) for name in looked)


def _is_boxes(path: Path) -> bool:
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    lines = [line.split() for line in decoded(head)[0].splitlines() if line.strip()]
    lines = lines[:-1] if len(head) == _HEAD else lines
    numbers = [[as_number(word) for word in line] for line in lines]
    return bool(lines) and all(len(n) >= 5 and not any(map(math.isnan, n)) and n[0] == int(n[0]) for n in numbers)


def read_yolo(source: Path) -> Examples:
    """Read boxes of YOLO's kind.

    The parts are those of the YAML file, or else those that folders are called after. The text of `images/a/1.jpg`
    is `labels/a/1.txt`, or lies beside it. A picture without text has no boxes. An outline becomes the box around it.

    Args:
        source: the folder, or its YAML file.

    Raises:
        DataError: the YAML file is damaged, or no picture with a box is left.
    """
    root = source if source.is_dir() else source.absolute().parent
    files = files_below(root)
    read = _Read(files, list(files.findings))
    config = source if source.is_file() else next((p for p in sorted(root.iterdir()) if _is_config(p)), None)
    said = _loaded(config) if config else {}
    names = read.names(said)
    chosen = list(read.chosen(said))
    drawn = [read.picture(path, part, names) for path, part in chosen]
    read.alone()
    if config:
        left = sorted(set(files.pictures()) - {path for path, _ in chosen})
        read.findings += unlisted(left, "picture-unlisted", f"no part in {safe_name(config.name)} has them")
    how = f"YOLO labels, classes and parts in {safe_name(config.name)}" if config else "YOLO labels"
    how += f"; {read.outlines} outlines are read as the boxes around them" * bool(read.outlines)
    return examples_of(drawn, how, read.findings, unit="shares")


def _loaded(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(decoded(path.read_bytes())[0])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{safe_name(path.name)} is no YAML, or damaged.", found=str(error)[:300]) from error
    if not isinstance(found, dict):
        raise DataError(f"{safe_name(path.name)} is no YOLO configuration.", found=type(found).__name__)
    return found


@dataclass
class _Read:
    """What was read so far."""

    files: Files
    findings: list[Finding]
    outlines: int = 0
    used: set[str] = field(default_factory=set)

    def names(self, said: Mapping[str, Any]) -> Mapping[int, str] | None:
        """Return the names of the classes by number; None where there are none, and numbers have to do."""
        names = said.get("names")
        if isinstance(names, list):
            return {i: safe_name(str(name).strip()) for i, name in enumerate(names)}
        if isinstance(names, dict):
            return {int(as_number(k)): safe_name(str(v).strip()) for k, v in names.items() if as_number(k) >= 0}
        for path in sorted(self.files.by_path, key=lambda p: (p.count("/"), p)):
            if posixpath.basename(path).lower() in _NAMES:
                lines = decoded(self.files.by_path[path].read_bytes())[0].splitlines()
                return {i: safe_name(line.strip()) for i, line in enumerate(lines)}
        reason = "nothing says how the classes are called; their numbers are their names"
        self.findings.append(Finding("classes", "names-missing", "note", reason))
        return None

    def chosen(self, said: Mapping[str, Any]) -> Iterator[tuple[str, Part]]:
        """Yield the pictures with their parts: as the configuration says, or by folders where it says nothing."""
        places = [(part, place) for key, part in _PARTS.items() for place in _places(said.get(key))]
        if not places:
            yield from ((path, part_of_path(path)) for path in self.files.pictures())
            return
        for part, place in places:
            found = self._place(place, str(said.get("path") or ""))
            if not found:
                reason = f"the configuration names it for {part}; no picture is there, below the data's folder"
                self.findings.append(Finding(safe_name(place), "part-missing", "left out", reason))
            yield from ((path, part) for path in found)

    def _place(self, place: str, above: str) -> list[str]:
        """Return the pictures of a folder or a list. A leading `../` is none, as exports of Roboflow have it."""
        place, above = (text.replace("\\", "/") for text in (place, above))
        bare = re.sub(r"^(\.\./)+", "", place)
        pictures = self.files.pictures()
        for text in dict.fromkeys((posixpath.join(above, place), place, bare)):
            text = text.removeprefix(self.files.root.absolute().as_posix() + "/")
            path = posixpath.normpath(text)
            if path in self.files.by_path:
                return [path] if is_picture_name(path) else self._listed(path)
            found = [p for p in pictures if path == "." or p.startswith(path + "/")]
            if found:
                return found
        return []

    def _listed(self, path: str) -> list[str]:
        finder = Finder(self.files, ("", posixpath.dirname(path)))
        lines = [line.strip() for line in decoded(self.files.by_path[path].read_bytes())[0].splitlines()]
        out = []
        for line in filter(None, lines):
            found = finder.find(line)
            if found is None:
                self.findings.append(finder.lost(line))
            else:
                out.append(found)
        return out

    def picture(self, path: str, part: Part, names: Mapping[int, str] | None) -> Drawn:
        label = next((p for p in _label_paths(path) if p in self.files.by_path), None)
        boxes = tuple(self._boxes(label, names)) if label else ()
        self.used |= {label} if label else set()
        return Drawn(safe_name(path), FileContent(self.files.by_path[path]), part, boxes)

    def _boxes(self, path: str, names: Mapping[int, str] | None) -> Iterator[RawBox]:
        try:
            text = decoded(self.files.by_path[path].read_bytes())[0]
        except OSError as error:
            self.findings.append(Finding(safe_name(path), "unreadable", "left out", str(error.strerror or error)))
            return
        for line in text.splitlines():
            words = line.split()
            if words:
                box = _box(words, names)
                self.outlines += len(words) >= 7 and not math.isnan(box.corners[0])
                yield box

    def alone(self) -> None:
        """Name text files in folders of labels that have no picture."""
        folders = {posixpath.dirname(p) for p in self.used}
        known = {posixpath.splitext(p)[0] for p in self.used}
        texts = [p for p in self.files.by_path if p.endswith(".txt") and posixpath.basename(p).lower() not in _NAMES]
        stems = {posixpath.splitext(posixpath.basename(p))[0] for p in self.files.pictures()}
        for path in texts:
            stem = posixpath.splitext(path)[0]
            if posixpath.dirname(path) not in folders or stem in known or posixpath.basename(stem) in stems:
                continue
            if _is_boxes(self.files.by_path[path]):
                finding = Finding(safe_name(path), "missing", "left out", "there is no such picture", bad=True)
                self.findings.append(finding)


def _places(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, str) and v]


def _label_paths(picture: str) -> Iterator[str]:
    """Yield where the text of a picture may be."""
    stem = posixpath.splitext(picture)[0]
    folders = stem.split("/")
    for i in reversed([i for i, name in enumerate(folders[:-1]) if name.lower() == "images"]):
        yield "/".join([*folders[:i], "labels", *folders[i + 1 :]]) + ".txt"
    yield stem + ".txt"
    yield f"labels/{stem}.txt"


def _box(words: Sequence[str], names: Mapping[int, str] | None) -> RawBox:
    """Return the box of a line: class and centre and sides; or class and the points of an outline."""
    values = [as_number(word) for word in words[1:]]
    label, fault = _class(words[0], names)
    remarks: tuple[Remark, ...] = ()
    if len(values) == 5:
        remarks = (("box-extra-number", "repaired", "a sixth number, as of how sure a model is, is passed over"),)
    if len(values) in (4, 5):
        x, y, width, height = values[:4]
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        whole = len(values) >= 6 and len(values) % 2 == 0
        corners = around(list(zip(values[::2], values[1::2], strict=True))) if whole else NO_NUMBERS
    if any(abs(v) > _FAR for v in values):
        fault = "box-not-shares", "left out", "its numbers are no shares of the picture's sides: are they pixels?"
    return RawBox(label, corners, fault=fault, remarks=remarks)


def _class(word: str, names: Mapping[int, str] | None) -> tuple[str, Remark | None]:
    """Return the name of a class by its number, or why there is none."""
    index = as_number(word)
    if not (math.isfinite(index) and index >= 0 and index == int(index)):
        return "", no_class(f"its class {safe_name(word[:20])!r} is no number of a class")
    label = f"{index:g}" if names is None else names.get(int(index), "")
    return label, None if label else no_class(f"class {index:g} is not among the {len(names or ())} names")
