"""A translator made fit for pairs: another language is written by pieces of its own, another domain is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import tiny_pairs
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import between, sentences, translator
from headstart.backbones.translators import fitted
from headstart.backbones.vocabulary import OWN, SPELLED, spells_out, trained
from headstart.data.examples import CellContent, Example, Examples

FAR = ["zeer grote huizen", "kleine katten zijn vrolijk", "wij gaan naar huis"] * 20
"""Words that the tiny network's vocabulary spells out."""


def pairs(targets: Sequence[str], languages: tuple[str, str]) -> Examples:
    items = tuple(Example(f"row {i}", CellContent(lambda: b"dog"), target) for i, target in enumerate(targets))
    return Examples(items, "a table", kind="text", goal="text", languages=languages)


@pytest.fixture
def french() -> Backbone:
    network, tokenizer = tiny_pairs.marian()
    return between(translator(network, tokenizer, "tiny", "made here"), ("en", "fr"))


def test_of_the_language_that_it_writes_already_a_vocabulary_stays(french: Backbone) -> None:
    fed = sentences(french)
    times = spells_out(fed.source, FAR, trained(FAR))
    assert SPELLED < times < OWN  # it would be renewed for another language
    made = fitted(french, pairs(FAR, ("en", "fr")))
    assert made.weights == french.weights
    assert sentences(made).source.get_vocab() == fed.source.get_vocab()
    assert not made.why


def test_another_language_is_written_by_pieces_of_its_own(french: Backbone) -> None:
    made = fitted(french, pairs(FAR, ("en", "nl")))
    assert made.weights != french.weights
    assert sentences(made).source.get_vocab().keys() > sentences(french).source.get_vocab().keys()
    assert "pieces are new" in made.why
    assert sentences(made).languages == ("en", "nl")
