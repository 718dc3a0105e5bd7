"""Pictures with boxes drawn on them: what is there, and what was said, by the kind of mistake."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

COLOURS = {"right": "#2e7d32", "missed": "#1565c0"}
WRONG = "#e65100"
_SIDE = 360
_LINE = 2


class Drawing(NamedTuple):
    """A rectangle on a picture: left, top, right, bottom as shares of its sides, a colour, a word beside it."""

    corners: Sequence[float]
    colour: str
    word: str = ""


def drawn(data: bytes, boxes: Sequence[Drawing], side: int = _SIDE) -> bytes:
    """Return a picture as a JPEG with boxes drawn on it, its longer side so many pixels at most.

    Raises:
        OSError: it cannot be decoded.
    """
    from PIL import Image, ImageDraw, ImageOps

    with Image.open(io.BytesIO(data)) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((side, side))
    canvas = ImageDraw.Draw(picture)
    for corners, colour, word in boxes:
        place = [share * end for share, end in zip(corners, (*picture.size, *picture.size), strict=True)]
        left, top, right, bottom = place[0], place[1], max(place[0], place[2]), max(place[1], place[3])
        canvas.rectangle((left, top, right, bottom), outline=colour, width=_LINE)
        if word:
            canvas.text((left + 3, max(0.0, top - 11)), word, fill=colour)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()
