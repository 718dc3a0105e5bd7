"""Examples that a report shows: mistakes, and translations that changed. See `page`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Literal, NamedTuple

_PICTURES = tuple(f"data:image/{kind};base64," for kind in ("jpeg", "webp", "png"))


class Piece(NamedTuple):
    """Words of a text; by how much leaving them out lowers the probability of what was wrongly said, in -1..1.

    Above zero they spoke for the wrong class, below zero against it. NaN or None stands for "not known".
    """

    words: str
    weight: float | None = None


Words = tuple[Piece, ...]
"""A text, in pieces."""


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction; `probability` is nan where none belongs to it.

    `picture` is a data URI of a small JPEG, WebP or PNG (see `data_uri`), or empty.

    `texts` holds what it is made of instead where it is a text, or a pair of them. `told` says what is wrong where that
    is not one thing said for another.
    """

    name: str
    true: str
    predicted: str
    probability: float
    picture: str = ""
    texts: tuple[Words, ...] = ()
    told: str = ""

    def __post_init__(self) -> None:
        if self.picture and not self.picture.startswith(_PICTURES):
            raise ValueError(f"a picture in a report must be a data URI, not {self.picture[:40]!r}")


@dataclass(frozen=True)
class Translation:
    """A translation by the network as it was and as it is now; words that the reference has not in their place have
    weight 1. chrF++ of both, from 0 to 100. `was` is empty where nothing was known before."""

    name: str
    source: str
    reference: str
    was: Words
    now: Words
    before: float
    after: float


def data_uri(picture: bytes, kind: Literal["jpeg", "webp", "png"] = "jpeg") -> str:
    """Return the bytes of a small picture as a data URI, the only form in which a report takes pictures."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"
