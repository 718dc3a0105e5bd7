"""Pictures with boxes that the tests of these readers make for themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_samples import encoded, picture, put
from PIL import Image

from headstart.data.examples import Box, Examples

WIDTH, HEIGHT = 64, 48
Corners = tuple[float, float, float, float]
CAT = Box("cat", 10, 10, 30, 40)
DOG = Box("dog", 32, 8, 60, 20)


def photo(path: Path, width: int = WIDTH, height: int = HEIGHT, orientation: int = 1) -> Path:
    """Write a JPEG, turned as EXIF has it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return put(path, encoded(picture(height, width), exif=exif))


def boxes(examples: Examples) -> dict[str, tuple[Box, ...]]:
    return {e.name: e.target for e in examples.items}


def said(examples: Examples, kind: str) -> list[str]:
    """The lines of the findings of a kind."""
    return [f.line() for f in examples.findings if f.kind == kind]


def image(number: int, name: str, width: float = WIDTH, height: float = HEIGHT) -> dict[str, object]:
    return {"id": number, "file_name": name, "width": width, "height": height}


def annotation(of: int, category: object, box: object, **more: object) -> dict[str, object]:
    return {"id": 1, "image_id": of, "category_id": category, "bbox": box, "iscrowd": 0, **more}


def xywh(box: Box) -> list[float]:
    return [box.left, box.top, box.right - box.left, box.bottom - box.top]


CATEGORIES: tuple[Mapping[str, object], ...] = ({"id": 1, "name": "cat"}, {"id": 2, "name": "dog"})


def write_coco(
    path: Path,
    images: Sequence[object],
    annotations: Sequence[object],
    categories: Sequence[object] = CATEGORIES,
) -> Path:
    data = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    return put(path, json.dumps(data))


def one_picture(folder: Path, *annotations: object, categories: Sequence[object] = CATEGORIES) -> Path:
    """A folder with one picture, a JSON beside it, and a second picture so that something is always left."""
    photo(folder / "a.jpg")
    photo(folder / "z.jpg")
    images = [image(1, "a.jpg"), image(2, "z.jpg")]
    write_coco(folder / "boxes.json", images, [*annotations, annotation(2, 1, xywh(CAT))], categories)
    return folder


def voc_object(label: str, corners: Sequence[object], more: str = "") -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    inside = "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, corners, strict=True))
    return f"<object><name>{label}</name>{more}<bndbox>{inside}</bndbox></object>"


def voc(*objects: str, name: str = "a.jpg", size: tuple[object, object] = (WIDTH, HEIGHT)) -> str:
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{sides}{''.join(objects)}</annotation>"


def yolo(index: object, box: Box, width: int = WIDTH, height: int = HEIGHT) -> str:
    x, y = (box.left + box.right) / 2 / width, (box.top + box.bottom) / 2 / height
    return f"{index} {x:.6f} {y:.6f} {(box.right - box.left) / width:.6f} {(box.bottom - box.top) / height:.6f}\n"


def rounded(examples: Examples) -> dict[str, list[tuple[object, ...]]]:
    """Boxes by picture, to a tenth of a pixel."""
    return {
        name: [(b.label, *(round(v, 1) for v in (b.left, b.top, b.right, b.bottom))) for b in found]
        for name, found in boxes(examples).items()
    }
