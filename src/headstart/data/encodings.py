"""Encodings: the text of bytes of which nobody said how they are encoded."""

from __future__ import annotations

_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")
_LOST = "\N{REPLACEMENT CHARACTER}"
_TOLERATED = 0.1
"""A file with fewer broken sequences for each whole one is damaged UTF-8 rather than another encoding."""


def decoded(data: bytes) -> tuple[str, str]:
    """Return the text and the name of its encoding, empty for UTF-8. Never raises.

    UTF-16 is known by its byte order mark. What is not UTF-8 is taken for cp1252, which also reads latin-1; but a
    file in which nearly all sequences are UTF-8 is that, and its broken bytes become U+FFFD.
    """
    if data[:2] in _MARKS_16:
        return data.decode("utf-16", "replace"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
    broken = text.count(_LOST) - data.count(_LOST.encode())
    whole = sum(c > "\x7f" and c != _LOST for c in text)
    if broken <= _TOLERATED * whole:
        return text, "damaged UTF-8"
    return data.decode("cp1252", "replace"), "cp1252"
