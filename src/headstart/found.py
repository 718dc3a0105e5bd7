"""Found objects, written down: as rows, as COCO has them, and drawn on their pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from headstart.aims.aim import Spot
from headstart.data.examples import Content
from headstart.predictor import Prediction
from headstart.report.drawn import WRONG, Drawing, drawn
from headstart.store import save_bytes

LARGE = 1600
"""The longer side of a drawn picture, in pixels, at most."""


def as_csv(said: Iterable[Prediction]) -> str:
    """Return a row for each box, in pixels; a picture without any has a row of its own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "label", "score", "left", "top", "right", "bottom", "error"])
    for p in said:
        for spot in p.spots or ():
            writer.writerow([p.name, spot.label, f"{spot.score:.4f}", *(f"{v:.1f}" for v in spot.corners), ""])
        if not p.spots:
            writer.writerow([p.name, "", "", "", "", "", "", p.error])
    return out.getvalue()


def as_coco(said: Sequence[Prediction], classes: Sequence[str]) -> str:
    """Return COCO's JSON: images, categories, and annotations with a score each. What cannot be read is not in it."""
    place = {name: k for k, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, p in enumerate((p for p in said if not p.error), 1):
        images.append({"id": number, "file_name": p.name, "width": p.size[0], "height": p.size[1]})
        for spot in p.spots or ():
            left, top, right, bottom = spot.corners
            box = [round(v, 2) for v in (left, top, right - left, bottom - top)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": place[spot.label],
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                    "score": round(spot.score, 5),
                }
            )
    categories = [{"id": k, "name": name} for name, k in place.items()]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}, ensure_ascii=False)


def draw(folder: Path, said: Sequence[Prediction], contents: Sequence[Content]) -> int:
    """Write each picture with its boxes on it into a folder; returns how many were written.

    Raises:
        StoreError: they cannot be written.
    """
    written = 0
    for number, (p, content) in enumerate(zip(said, contents, strict=True)):
        if p.error or p.spots is None:
            continue
        width, height = p.size
        boxes = [
            Drawing([v / side for v, side in zip(s.corners, (width, height) * 2, strict=True)], WRONG, _word(s))
            for s in p.spots
        ]
        name = f"{number:04}-{Path(p.name).stem}.jpg"
        save_bytes(folder / name, drawn(content.read(), boxes, LARGE))
        written += 1
    return written


def _word(spot: Spot) -> str:
    return f"{spot.label} {spot.score:.0%}"
