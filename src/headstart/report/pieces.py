"""A text in pieces: its words, and the text without each of them, to see which of them moved a decision."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from headstart.data.texts import TextContent, split_pair

MOST = 40
"""Pieces of an example, at most: each is a pass through the network, and more could hardly be looked at."""
READ = 512
"""Words that are cut into pieces: no word is less than a token, and no network reads more tokens (`tokens.LONGEST`)."""

_CHARACTERS = 50_000  # of a text are looked at: more than `READ` words have
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # of scripts without spaces: each is a word
_WORD = re.compile(rf"(?:[{_ALONE}]|[^\s{_ALONE}]{{1,30}})\s*")  # a run of more letters is no word


class Cut(NamedTuple):
    """Some neighbouring words of an example, which of its texts they stand in, and the example without them."""

    words: str
    text: int
    without: bytes


def cuts(data: bytes) -> tuple[Cut, ...]:
    """Return the pieces of a text, or of a pair, in their order: a word each; of a long text, a few neighbouring ones.

    What no network would read is in no piece, but stays where the others are left out: it may move up.
    """
    texts = [_WORD.findall(text[:_CHARACTERS]) for text in split_pair(data)]
    pieces = [_grouped(words[:READ], room) for words, room in zip(texts, _rooms(texts), strict=True)]
    rests = ["".join(words[READ : 2 * READ]) for words in texts]
    out = []
    for at, mine in enumerate(pieces):
        for place, words in enumerate(mine):
            kept = ["".join(each) + rest for each, rest in zip(pieces, rests, strict=True)]
            kept[at] = "".join(mine[:place] + mine[place + 1 :]) + rests[at]
            cut_off = bool(rests[at]) and place == len(mine) - 1
            out.append(Cut(words + "…" * cut_off, at, TextContent.of(*kept).data))
    return tuple(out)


def _rooms(texts: list[list[str]]) -> list[int]:
    """Return how many pieces each text gets: as many as it has words, or its share of those that there may be."""
    words = [min(len(text), READ) for text in texts]
    return words if sum(words) <= MOST else [min(n, max(1, MOST * n // sum(words))) for n in words]


def _grouped(words: list[str], groups: int) -> list[str]:
    ends = [len(words) * i // groups for i in range(groups + 1)] if groups else []
    return ["".join(words[a:b]) for a, b in pairwise(ends)]
