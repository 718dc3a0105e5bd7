"""What a JPEG file says about itself, read from its markers without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

START = b"\xff\xd8\xff"
"""How every JPEG file begins."""

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_SCAN, _END = 0xDA, 0xD9
_BETWEEN_SCANS = {0xC4, 0xCC, _SCAN, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}
# Inside a scan 0xFF stands before 00 (a stuffed byte), a restart marker or another 0xFF; anything else ends
# the scan.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Frame:
    """The frame header: pixels as stored, before any turn that EXIF asks for."""

    width: int
    height: int
    components: int


def frame(data: bytes) -> Frame | None:
    """Return the frame header of a JPEG file, or None when it has none."""
    for marker, start, end in _segments(data, 2):
        if marker in _FRAMES and end - start >= 6:
            height, width = (int.from_bytes(data[i : i + 2], "big") for i in (start + 1, start + 3))
            return Frame(width, height, data[start + 5])
        if marker == _SCAN:
            break
    return None


def damage(data: bytes) -> str:
    """Return why the data of a JPEG file are not whole, or an empty string.

    Sees a file that ends early, also one whose missing end was filled with zeros, and a scan that is broken
    off by a marker which cannot stand there. Damage that leaves the markers intact is only seen by decoding.
    """
    start = 2
    while True:
        scan = _next_scan(data, start)
        if isinstance(scan, str):
            return scan
        if scan == len(data):
            return ""
        found = _MARKER.search(data, scan)
        if found is None:
            return "the file ends before the picture does"
        marker = data[found.start() + 1]
        if marker == _END:
            return ""
        if marker not in _BETWEEN_SCANS:
            return f"the picture data break off at byte {found.start():,}"
        start = found.start()


def _next_scan(data: bytes, start: int) -> int | str:
    """Return where the next scan's data begin, the file's length after its end marker, or what is wrong."""
    for marker, _, end in _segments(data, start):
        if marker == _SCAN:
            return end
        if marker == _END:
            return len(data)
    return "the file ends inside its header"


def _segments(data: bytes, position: int) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the marker segments from `position` on; stops where there is none."""
    while position + 2 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == _END:
            yield marker, position, position + 2
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if end > len(data) or end < position + 4:
            return
        yield marker, position + 4, end
        position = end
