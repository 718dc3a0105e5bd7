"""Microscope patches, far from the photographs of ImageNet: is there a platelet in this quarter of a blood smear?

Made of BCCD's pictures and boxes, its own train, val and test files kept apart: `train/` and `test/` with a folder for
each of two classes. Of a picture all quarters with a platelet are taken, and one without. Quarters on whose border a
platelet lies are left out, as what they show depends on taste.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from benchmarks.common import SHARED

PARTS = {"train": ("train", "val"), "test": ("test",)}
KIND = "Platelets"


def write(root: Path, bccd: Path = SHARED / "bccd") -> Path:
    """Write the patches as PNG files into `root`; returns it."""
    for part, lists in PARTS.items():
        for label in ("platelet", "none"):
            (root / part / label).mkdir(parents=True, exist_ok=True)
        for name in (n for each in lists for n in (bccd / "ImageSets" / "Main" / f"{each}.txt").read_text().split()):
            picture = Image.open(bccd / "JPEGImages" / f"{name}.jpg").convert("RGB")
            found = dict(quarters(picture.size, boxes(bccd / "Annotations" / f"{name}.xml")))
            without = [area for area, label in found.items() if label == "none"]
            for number, (area, label) in enumerate(found.items()):
                if label != "none" or area == without[-1]:
                    picture.crop(area).save(root / part / label / f"{name}-{number}.png")
    return root


def boxes(path: Path) -> list[tuple[float, float, float, float]]:
    """Return (left, top, right, bottom) of the platelets of a picture, in pixels."""
    found = []
    for each in ElementTree.parse(path).getroot().iter("object"):
        if each.findtext("name") == KIND and (box := each.find("bndbox")) is not None:
            left, top, right, bottom = (float(box.findtext(k) or "nan") for k in ("xmin", "ymin", "xmax", "ymax"))
            found.append((left, top, right, bottom))
    return found


def quarters(
    size: tuple[int, int], found: list[tuple[float, float, float, float]]
) -> Iterator[tuple[tuple[int, int, int, int], str]]:
    """Yield (left, top, right, bottom) and the label of the quarters of a picture on whose border no platelet lies."""
    wide, high = size[0] // 2, size[1] // 2
    for left, top in ((0, 0), (wide, 0), (0, high), (wide, high)):
        right, bottom = left + wide, top + high
        inside = [x0 >= left and y0 >= top and x1 <= right and y1 <= bottom for x0, y0, x1, y1 in found]
        across = [x1 > left and y1 > top and x0 < right and y0 < bottom for x0, y0, x1, y1 in found]
        if inside == across:
            yield (left, top, right, bottom), "platelet" if any(inside) else "none"
