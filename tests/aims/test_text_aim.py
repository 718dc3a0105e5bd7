"""Translations as an aim: what is guessed, how examples are spread, when two models say the same."""

from __future__ import annotations

import numpy as np

from headstart.aims.text import apart, some_text
from headstart.codes import codes_of, texts_of

TEXTS = ["the red dog sees a cat", "an old man", "two boys walk along the street", "an old man"]
AIM = some_text(("en", "fr"))


def codes(*texts: str) -> np.ndarray:
    return codes_of(texts).astype(np.float64)


def test_who_has_not_looked_says_the_commonest_translation() -> None:
    assert texts_of(AIM.guess(AIM.encode(TEXTS))[None]) == ["an old man"]


def test_strata_are_quarters_by_length() -> None:
    stratum_N = AIM.strata(AIM.encode([word * n for n, word in enumerate("abcdefgh", 1)]))
    assert stratum_N.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_loss_is_what_is_missing_to_the_best_chrf() -> None:
    loss_N = AIM.loss_N(codes("the red dog sees a cat", "xyz"), AIM.encode(TEXTS[:2]))
    assert loss_N[0] < 1e-9
    assert loss_N[1] > 0.9


def test_texts_that_differ_in_a_word_are_the_same_by_rounding_and_others_are_not() -> None:
    assert apart(codes(*TEXTS), codes(*TEXTS)) == 0
    assert apart(codes(*TEXTS), codes("the red dog sees one cat", *TEXTS[1:])) == 0
    assert apart(codes(*TEXTS), codes("un", "deux trois", "quatre", "cinq")) > 0.4


def test_lengths_are_those_of_the_translations() -> None:
    assert AIM.lengths is not None
    assert AIM.lengths(AIM.encode(["ab", "abcd"])).tolist() == [2, 4]
