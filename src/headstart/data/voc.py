"""Pascal VOC: an XML file for each picture, and lists of the pictures of each part."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.box_files import Files, Finder, files_below, part_in, part_of_path, unlisted
from headstart.data.box_pictures import Drawn, examples_of, stated_size
from headstart.data.box_repair import NO_NUMBERS, Corners, RawBox, Remark, around, as_number, first_pixel
from headstart.data.encodings import decoded
from headstart.data.examples import Examples, FileContent, Finding, Part
from headstart.data.parts import safe_name
from headstart.data.pictures import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LISTS = "imagesets/main/"
_XML_FOLDER = "annotations"
_PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "imgs")
_HEAD = 4096
_LOOKED_AT = 5  # files in a folder
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def holds_voc(folder: Path) -> bool:
    """Whether a folder has XML files of VOC's kind where VOC has them, or beside pictures; looks at a few of them.

    Raises:
        OSError: it cannot be read.
    """
    if not folder.is_dir():
        return False
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    likely = [p for p in inside if p.name.lower() == _XML_FOLDER or part_in(p.name)]
    deeper = [q for p in inside for q in (p / "Annotations",) if q.is_dir()]  # VOCdevkit/VOC2007/Annotations
    return any(_has_voc(each) for each in (folder, *likely, *deeper))


def _has_voc(folder: Path) -> bool:
    looked = 0
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.name.lower().endswith(".xml") and not entry.name.startswith(".") and entry.is_file():
                looked += 1
                with Path(entry.path).open("rb") as handle:
                    if "<annotation" in decoded(handle.read(_HEAD))[0]:
                        return True
                if looked == _LOOKED_AT:
                    return False
    return False


def read_voc(folder: Path) -> Examples:
    """Read Pascal VOC annotations: `Annotations/*.xml`, or XML files beside their pictures.

    The parts are those of `ImageSets/Main/{train,val,test}.txt`, or the folders that the files lie in. Where there
    are lists, a picture on none of them is left out. Objects marked difficult are objects.

    Args:
        folder: the folder; also one of several such folders, as `VOCdevkit`.

    Raises:
        DataError: no picture with a box is left.
    """
    files = files_below(folder)
    read = _Read(files, list(files.findings))
    xmls = [path for path in files.by_path if path.lower().endswith(".xml")]
    read.lists()
    drawn = [each for path in xmls for each in read.pictures(path)]
    read.rest(xmls, drawn)
    origin = first_pixel(box.corners for each in drawn for box in each.boxes)
    how = f"Pascal VOC annotations, {len(xmls)} XML files" + ", parts by ImageSets/Main" * bool(read.parts)
    how += "; corners count pixels from 1, as VOC does" * bool(origin)
    return examples_of(drawn, how, read.findings, origin=origin)


@dataclass
class _Read:
    """What was read so far. `parts` says of each picture, by its base folder and stem, in which lists it is."""

    files: Files
    findings: list[Finding]
    parts: dict[str, set[Part]] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    annotated: set[str] = field(default_factory=set)

    def lists(self) -> None:
        """Read the lists of the parts; `trainval` only tells which are of no other list."""
        both: list[str] = []
        for path in self.files.by_path:
            base, found, name = path.lower().rpartition(_LISTS)
            if not found or not name.endswith(".txt") or "/" in name:
                continue
            part = part_in(name.removesuffix(".txt")) if "_" not in name else ""
            ids = _ids(self.files.by_path[path]) if part or name == "trainval.txt" else []
            keys = [path[: len(base)] + each for each in ids]
            both += [] if part else keys
            for key in keys if part else ():
                self.parts.setdefault(key, set()).add(part)
        for key in both:
            self.parts.setdefault(key, {"train"})

    def pictures(self, path: str) -> Iterator[Drawn]:
        """Yield the picture of an XML file, once for each part that lists it."""
        base = _base(path)
        stem = posixpath.splitext(posixpath.basename(path))[0]
        key = base + stem
        self.annotated.add(key)
        listed: set[Part] = {part_of_path(path)}
        if self.parts:
            listed = self.parts.get(key, set())
        root = None if not listed else self._parsed(path)
        if not listed:
            self.unlisted.append(path)
        if root is None:
            return
        found = self._picture(root, path, base, stem)
        if found:
            size = stated_size(_number(root.find("size"), "width"), _number(root.find("size"), "height"))
            boxes = tuple(_box(each) for each in root.findall("object"))
            content = FileContent(self.files.by_path[found])
            for part in sorted(listed):
                yield Drawn(safe_name(found), content, part, boxes, size)

    def _parsed(self, path: str) -> Element | None:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, parse

        kind, bad = "xml-damaged", True
        try:
            root: Element | None = parse(self.files.by_path[path]).getroot()
        except DefusedXmlException as error:
            kind, reason = "xml-refused", f"it declares entities, which can be a trap: {error}"
        except (ParseError, OSError, ValueError, LookupError, RecursionError) as error:
            reason = f"the XML cannot be read: {error}"
        else:
            if root is not None and root.tag == "annotation":
                return root
            kind, bad, reason = "xml-other", False, f"it is no annotation of VOC's kind but {str(root and root.tag)!r}"
        self.findings.append(Finding(safe_name(path), kind, "left out" if bad else "note", reason, bad=bad))
        return None

    def _picture(self, root: Element, path: str, base: str, stem: str) -> str | None:
        """Return the picture called as the XML file is, or else the one that it names."""
        folder = posixpath.dirname(path)
        near = [folder, *(base + name for name in _PICTURE_FOLDERS), base.rstrip("/")]
        for place in dict.fromkeys(near):
            for suffix in _suffixes():
                found = posixpath.join(place, stem + suffix)
                if found in self.files.by_path:
                    return found
        finder = Finder(self.files, tuple(near), part_of_path(path))
        written = _text(root, "filename")
        found_else = finder.find(written) if written else None
        if found_else is None:
            self.findings.append(finder.lost(written or stem, path))
        return found_else

    def rest(self, xmls: Sequence[str], drawn: Sequence[Drawn]) -> None:
        """Name what is on no list, what is listed without an annotation, and pictures without one."""
        self.findings += unlisted(self.unlisted, "picture-unlisted", "no list of ImageSets/Main has them")
        bare = sorted(key for key in self.parts if key not in self.annotated)
        self.findings += unlisted(bare, "picture-unlabelled", "they are listed, and have no XML file")
        gone = {posixpath.splitext(posixpath.basename(path))[0] for path in xmls}
        gone |= {posixpath.basename(key) for key in bare}
        known = {d.name for d in drawn}
        left = [p for p in self.files.pictures() if safe_name(p) not in known and _stem(p) not in gone]
        left = [p for p in left if "segmentation" not in p.lower()]  # VOC's masks of outlines
        self.findings += unlisted(left, "picture-unlabelled", "they have no XML file; they are not labelled")


def _suffixes() -> Sequence[str]:
    return (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", *sorted(IMAGE_SUFFIXES - {".jpg", ".jpeg", ".png"}))


def _base(path: str) -> str:
    """Return the folder above `Annotations`, or that of the file, with a slash at its end; empty for the root."""
    folders = path.split("/")[:-1]
    names = [name.lower() for name in folders]
    keep = folders[: names.index(_XML_FOLDER)] if _XML_FOLDER in names else folders
    return "".join(f"{name}/" for name in keep)


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _ids(path: Path) -> list[str]:
    """Return the pictures of a list; a second column says of VOC's lists of one class whether it is there."""
    try:
        text, _ = decoded(path.read_bytes())
    except OSError:
        return []
    words = [line.split() for line in text.splitlines()]
    return [_stem(w[0]) if w[0].lower().endswith(tuple(IMAGE_SUFFIXES)) else w[0] for w in words if w]


def _text(element: Element | None, name: str) -> str:
    found = None if element is None else element.find(name)
    return "" if found is None else (found.text or "").strip()


def _number(element: Element | None, name: str) -> float:
    return as_number(_text(element, name))


def _box(element: Element) -> RawBox:
    label = safe_name(_text(element, "name"))
    corners = _corners(element.find("bndbox"))
    remarks: tuple[Remark, ...] = ()
    if element.find("bndbox") is None and element.find("polygon") is not None:
        corners = _outline(element.find("polygon"))
        remarks = (("box-from-outline", "repaired", "it has no corners; they are those of its outline"),)
    if _number(element, "difficult") == 1:
        remarks += (("box-difficult", "note", "it is marked difficult; it is an object as others are"),)
    return RawBox(label, corners, remarks=remarks)


def _corners(element: Element | None) -> Corners:
    if element is None:
        return NO_NUMBERS
    left, top, right, bottom = (_number(element, name) for name in _CORNERS)
    return left, top, right, bottom


def _outline(polygon: Element | None) -> Corners:
    """Return the box around a polygon of `x1 y1 x2 y2 …`, or of points with an `x` and a `y`."""
    if polygon is None:
        return NO_NUMBERS
    points = [(_number(p, "x"), _number(p, "y")) for p in polygon if len(p)]
    numbered = {child.tag: as_number((child.text or "").strip()) for child in polygon}
    pairs = [(numbered[tag], numbered.get(f"y{tag[1:]}", NO_NUMBERS[0])) for tag in numbered if tag.startswith("x")]
    return around(points or pairs)
