"""How the texts of mistakes are shown: shortened around the words that moved the decision, and those words marked."""

from __future__ import annotations

import math
from typing import NamedTuple

from headstart.report.page import Mistake, Piece, Words
from headstart.report.words import gain, known, short

ROOM = 420
"""Characters of a text that are shown, about: what one reads at a glance."""
SHADES = 4
WEAK = 0.05
"""The deepest shade stands for the strongest word of a mistake, and for this much at least: where nothing moved a
decision, nothing is to look as if it had."""
FAINT = 0.2
"""Of what the deepest shade stands for; words below it are not marked."""
GAP = Piece("… ")


class Marked(NamedTuple):
    """Words as shown: what follows them, the classes of their mark, and what it says when pointed at.

    Words without classes are not marked.
    """

    words: str
    gap: str
    shade: str = ""
    said: str = ""


def explained(mistake: Mistake) -> bool:
    """Tell whether it is known what moved the decision."""
    return any(known(piece.weight) for text in mistake.texts for piece in text)


def passages(mistake: Mistake) -> tuple[tuple[Marked, ...], ...]:
    """Return the texts of a mistake as they are shown."""
    deepest = max([WEAK, *(strength(piece) for text in mistake.texts for piece in text)])
    return tuple(
        tuple(marked(piece, deepest, mistake.predicted) for piece in excerpt(text, ROOM)) for text in mistake.texts
    )


def unmoved(mistake: Mistake) -> str:
    """Say that no word moved the decision, where that is so; nothing where one did, or it is not known."""
    strongest = max((strength(piece) for text in mistake.texts for piece in text), default=0.0)
    if not explained(mistake) or strongest >= FAINT * WEAK:
        return ""
    return f"no words moved this by more than {gain(FAINT * WEAK).lstrip('+')}"


def strength(piece: Piece) -> float:
    """Return how much leaving a piece out moves the probability, in either direction; 0 where that is not known."""
    return abs(piece.weight) if known(piece.weight) else 0.0


def marked(piece: Piece, deepest: float, said: str) -> Marked:
    """Mark a piece as deeply as it moved the decision.

    >>> marked(Piece("dull ", 0.4), 0.8, "negative")[2:]
    ('for miss2', 'without this, negative would lose 40.0 points')
    """
    words = piece.words.rstrip()
    gap = " " if words != piece.words else ""
    weight = piece.weight
    if not known(weight) or abs(weight) < FAINT * deepest:
        return Marked(words, gap)
    level = min(SHADES, math.ceil(SHADES * abs(weight) / deepest - 1e-9))
    shade, moves = ("for miss", "lose") if weight > 0 else ("against hit", "gain")
    told = f"without this, {short(said, 40)} would {moves} {gain(abs(weight)).lstrip('+')}"
    return Marked(words, gap, f"{shade}{level}", told)


def excerpt(text: Words, room: int) -> Words:
    """Shorten a text to about so many characters: the strongest words with their neighbours.

    >>> "".join(w for w, _ in excerpt((Piece("one "), Piece("two "), Piece("three "), Piece("four ", 0.5)), 11))
    '… three four '
    """
    if sum(len(piece.words) for piece in text) <= room:
        return text
    kept: set[int] = set()
    for strongest in sorted(range(len(text)), key=lambda at: -strength(text[at])):
        for at in (strongest, strongest - 1, strongest + 1):
            if not 0 <= at < len(text) or at in kept:
                continue
            if kept and len(text[at].words) > room:
                return _gaps(text, kept)
            kept.add(at)
            room -= len(text[at].words)
    return _gaps(text, kept)


def _gaps(text: Words, kept: set[int]) -> Words:
    """Return the pieces kept, with an ellipsis wherever some are left out between them."""
    out: list[Piece] = []
    for at, piece in enumerate(text):
        if at in kept:
            out.append(piece)
        elif not out or out[-1] is not GAP:
            out.append(GAP)
    return tuple(out)
