"""Texts become a translator's tokens in parts that it can read, and nothing is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiny_pairs
from headstart.backbones.from_seq2seq import between, open_translator, sentences
from headstart.backbones.sentences import Sentences
from headstart.errors import DataError


@pytest.fixture(scope="module", params=tiny_pairs.FAMILIES)
def fed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sentences:
    folder = tiny_pairs.translator_folder(tmp_path_factory.mktemp(request.param), request.param)
    return sentences(between(open_translator(str(folder), "it", "here"), ("en", "fr")))


def test_a_text_is_the_tokens_that_its_tokenizer_gives(fed: Sentences) -> None:
    tokens_L2 = fed.load(b"dog sees cat")
    assert tokens_L2.dtype == np.int32
    assert tokens_L2[tokens_L2[:, 1] > 0, 0].tolist() == fed.source(fed.prefix + "dog sees cat").input_ids
    assert set(tokens_L2[:, 1]) <= {0, 1}


def test_tokens_read_back_as_the_text(fed: Sentences) -> None:
    assert fed.read_back(fed.load(b"dog  sees\ncat ")) == "dog sees cat"


def test_labels_are_the_target_s_tokens_and_read_as_the_text(fed: Sentences) -> None:
    labels_BT = fed.labels(["chien voit chat", "chat"]).numpy()
    assert labels_BT[1, -1] == -100
    assert fed.texts(np.where(labels_BT < 0, fed.target.pad_token_id, labels_BT)) == ["chien voit chat", "chat"]


@pytest.mark.parametrize("blank", [b"", b"  \n\t", "\u00a0".encode()])
def test_a_text_without_a_visible_character_has_no_token(fed: Sentences, blank: bytes) -> None:
    assert fed.load(blank)[:, 1].max() == 0


def test_a_nul_character_is_refused_by_name(fed: Sentences) -> None:
    with pytest.raises(DataError, match="cannot be read") as caught:
        fed.load(b"dog\0cat")
    assert "NUL" in caught.value.found


def test_long_texts_are_cut_at_the_ends_of_sentences(fed: Sentences) -> None:
    short = replace(fed, length=len(fed.ids("dog sees cat")) + 1, known={})
    tokens_L2 = short.load(b"dog sees cat dog sees cat dog sees cat")
    parts = [short.read_back(tokens_L2[tokens_L2[:, 1] == n]) for n in range(1, int(tokens_L2[:, 1].max()) + 1)]
    assert len(parts) > 2
    assert " ".join(parts) == "dog sees cat dog sees cat dog sees cat"
    assert max(len(short.ids(part)) for part in parts) <= short.length


def test_the_key_knows_the_languages_and_the_length(fed: Sentences) -> None:
    assert fed.key() != replace(fed, languages=("en", "de")).key()
    assert fed.key() != replace(fed, length=fed.length - 1).key()


def test_a_saved_tokenizer_has_the_same_key(tmp_path: Path) -> None:
    folder = tiny_pairs.translator_folder(tmp_path / "one")
    one = sentences(open_translator(str(folder), "it", "here"))
    again = sentences(open_translator(str(folder), "again", "there"))
    assert one.key() == again.key()
