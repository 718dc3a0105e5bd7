"""A translator made fit for pairs: another language is written by pieces of its own, another domain is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_pairs
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import between, sentences, translator
from headstart.backbones.translators import fitted, open_translation_backbone
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


def test_a_new_piece_starts_as_the_word_that_the_network_writes_where_it_stands(tmp_path: Path) -> None:
    taught = open_translation_backbone(str(tiny_pairs.taught_folder(tmp_path / "taught")))
    found = tiny_pairs.sentences(60, seed=5)
    items = tuple(
        Example(
            f"row {i}", CellContent(lambda source=source: source.encode()), target[::-1]
        )  # words and order reversed
        for i, (source, target) in enumerate(found)
    )
    taught = between(taught, ("en", "fr"))
    made = fitted(taught, Examples(items, "a table", kind="text", goal="text", languages=("en", "xx")))
    assert "as what it wrote where they stand" in made.why
    old, new = sentences(taught).source.get_vocab(), sentences(made).source.get_vocab()
    before, after = (b.trunk.network.get_input_embeddings().weight.detach() for b in (taught, made))
    both = [(f"▁{word[::-1]}", f"▁{word}") for word in tiny_pairs.FRENCH]
    near = [torch.cosine_similarity(after[new[n]], before[old[o]], 0) for n, o in both if n in new and o in old]
    assert len(near) > 5
    assert float(np.median(near)) > 0.9


def test_another_language_is_written_by_pieces_of_its_own(french: Backbone) -> None:
    made = fitted(french, pairs(FAR, ("en", "nl")))
    assert made.weights != french.weights
    assert sentences(made).source.get_vocab().keys() > sentences(french).source.get_vocab().keys()
    assert "pieces are new" in made.why
    assert sentences(made).languages == ("en", "nl")
