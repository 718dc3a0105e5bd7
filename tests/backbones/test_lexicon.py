"""Which words stand for which, counted in pairs of sentences."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.backbones.lexicon import lexicon

DICTIONARY = {"dog": "hund", "cat": "katze", "house": "haus", "river": "fluss", "man": "mann", "sees": "sieht"}


def _pairs(count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    rng = np.random.default_rng(seed)
    english = [list(rng.choice(list(DICTIONARY), 3, replace=False)) for _ in range(count)]
    return english, [[*(DICTIONARY[word] for word in reversed(words)), "."] for words in english]


def test_each_word_is_stood_for_by_its_translation_wherever_it_stands() -> None:
    found = lexicon(*_pairs(60))
    for english, german in DICTIONARY.items():
        assert max(found[german], key=found[german].__getitem__) == english
        assert found[german][english] > 0.9


def test_shares_add_up_to_one() -> None:
    for words in lexicon(*_pairs(20)).values():
        assert sum(words.values()) == pytest.approx(1)


def test_a_word_of_every_sentence_stands_for_nothing_in_particular() -> None:
    found = lexicon(*_pairs(200))
    assert max(found.get(".", {"": 0}).values()) < 0.5


def test_the_first_rounds_are_those_of_the_textbook() -> None:
    """Koehn 2009, figure 4.4: das Haus, das Buch, ein Buch; the probability of `book` for `Buch` nears 1."""
    german = [["das", "Haus"], ["das", "Buch"], ["ein", "Buch"]]
    found = lexicon(german, [["the", "house"], ["the", "book"], ["a", "book"]])
    assert found["book"]["Buch"] > 0.9
    assert found["the"]["das"] > 0.9
    assert max(found["house"], key=found["house"].__getitem__) == "Haus"


def test_empty_sentences_are_left_out_and_no_sentences_give_nothing() -> None:
    assert lexicon([[], ["dog"]], [["hund"], []]) == {}
    assert lexicon([], []) == {}
