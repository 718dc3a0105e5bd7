"""Pictures with boxes on them, in the formats that are in use, each found by looking.

Of the readers that there are none serves: pycocotools prints, checks nothing and fails at a missing key; supervision
decodes pictures, stops at the first fault and needs PyAV, SciPy and matplotlib. Neither names and repairs bad boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from headstart.data.box_objects import holds_objects, read_objects
from headstart.data.coco import holds_coco, read_coco
from headstart.data.examples import Examples, Finding
from headstart.data.parts import safe_name
from headstart.data.voc import holds_voc, read_voc
from headstart.data.yolo import holds_yolo, read_yolo
from headstart.errors import DataError

FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Examples]]] = {
    "COCO": (holds_coco, read_coco),
    "Pascal VOC": (holds_voc, read_voc),
    "YOLO": (holds_yolo, read_yolo),
    "objects": (holds_objects, read_objects),
}
"""The formats, in the order in which they are looked for."""
LAYOUTS = (
    "COCO's annotations/*.json or one JSON beside the pictures; Pascal VOC's Annotations/*.xml; YOLO's data.yaml, or "
    "images/ and labels/; a table with a column `objects`"
)


def format_of(source: Path) -> str:
    """Return the format of the boxes in a folder or file, empty where it has none, by a look at a few files.

    Raises:
        DataError: it cannot be read.
    """
    return next(_formats(source), "")


def _formats(source: Path) -> Iterator[str]:
    try:
        yield from (name for name, (holds, _) in FORMATS.items() if holds(source))
    except OSError as error:
        raise DataError(f"{safe_name(str(source))} cannot be read.", found=str(error)) from error


def holds_boxes(source: Path) -> bool:
    """Whether a folder or file is of pictures with boxes. Class folders and tables of labels are not.

    Raises:
        DataError: it cannot be read.
    """
    return bool(format_of(source))


def read_boxes(source: Path) -> Examples:
    """Read pictures with boxes on them.

    Boxes are in pixels of the picture as it is shown. What was repaired or left out is in the findings, named by
    picture and box, counted from 1 in the order of the file.

    Args:
        source: a folder, or a file of COCO (JSON), of YOLO (YAML) or of a table with a column `objects`.

    Raises:
        DataError: there are no boxes of a known format, their files are damaged, or no picture with a box is left.
    """
    name, *others = [*_formats(source)] or [""]
    if not name:
        raise DataError(f"There are no boxes in {safe_name(source.name)}.", hint=f"Read are {LAYOUTS}.")
    _, reader = FORMATS[name]
    read = reader(source)
    reason = f"there are annotations of {', '.join(others)} too; those of {name} are read"
    notes = [Finding(safe_name(source.name), "format-ignored", "note", reason)] if others else []
    return read.only(range(len(read)), notes)
