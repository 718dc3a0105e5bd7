"""lexicon: which words of one language stand for which of another, counted in pairs of sentences and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
Numbers = NDArray[np.int64]
ROUNDS = 10
NOTHING = ""
"""What words are put down to that stand for none of the other language, as articles do."""
LEAST = 0.3
"""Of a word, so much must have been put down to others (in occurrences) for them to stand for it."""


def lexicon(sentences: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Return for words of `other` those of `sentences` that stand for them, with shares that add up to 1.

    IBM Model 1 (Brown et al. 1993, The Mathematics of Statistical Machine Translation), counted both ways, and what
    both ways agree on kept, their geometric mean (as Liang et al. 2006, Alignment by Agreement): one way alone puts
    words down to rare ones, which have nothing else to stand for.

    Args:
        sentences: N of them, in words.
        other: the same N in the other language.
    """
    both = [(a, b) for a, b in zip(sentences, other, strict=True) if a and b]
    there = _expected([([NOTHING, *a], b) for a, b in both])
    back = _expected([([NOTHING, *b], a) for a, b in both])
    agreed: dict[str, dict[str, float]] = defaultdict(dict)
    for (word, mine), count in there.items():
        if word != NOTHING and (weight := float(np.sqrt(count * back.get((mine, word), 0.0)))) > 0:
            agreed[mine][word] = weight
    return {
        mine: {word: weight / total for word, weight in words.items()}
        for mine, words in agreed.items()
        if (total := sum(words.values())) > LEAST
    }


def _expected(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[tuple[str, str], float]:
    """Return how often a word of the second sentences is put down to one of the first, in expectation."""
    if not pairs:
        return {}
    first, second = (sorted({word for pair in pairs for word in pair[side]}) for side in (0, 1))
    at_first, at_second = ({word: i for i, word in enumerate(words)} for words in (first, second))
    links, place = [], 0  # a link for each word of the one with each of the other, the word's place in all with it
    for a, b in pairs:
        one, two = np.array([at_first[w] for w in a]), np.array([at_second[w] for w in b])
        links.append([np.repeat(one, len(two)), np.tile(two, len(one)), np.tile(place + np.arange(len(two)), len(one))])
        place += len(two)
    a_P, b_P, place_P = np.concatenate(links, 1).astype(np.int64)
    kind_K, kind_P = np.unique(a_P * len(second) + b_P, return_inverse=True)
    count_K = _maximised(kind_K // len(second), kind_P, place_P)
    names = ((first[k // len(second)], second[k % len(second)]) for k in kind_K)
    return dict(zip(names, count_K.tolist(), strict=True))


def _maximised(a_K: Numbers, kind_P: Numbers, place_P: Numbers) -> Counts:
    """Return the expected count of each kind of link after some rounds of EM, from where all are as likely."""
    likely_K = count_K = np.ones(len(a_K))
    for _ in range(ROUNDS):
        weight_P = likely_K[kind_P]
        count_K = np.bincount(kind_P, weight_P / np.bincount(place_P, weight_P)[place_P]).astype(np.float64)
        likely_K = count_K / np.bincount(a_K, count_K)[a_K]
    return count_K
