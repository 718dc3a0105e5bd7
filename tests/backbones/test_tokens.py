"""Tokens: what the library's own tokenizer gives, cut off and filled up; a place of zeros is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_text
from headstart.backbones.tokens import LONGEST, STEP, Tokens, filled, tokens
from headstart.data.texts import TextContent
from headstart.errors import BackboneError, DataError

WORDS = [word for words in tiny_text.TOPICS.values() for word in words]


@pytest.fixture(scope="module")
def fed() -> Tokens:
    return tokens(tiny_text.tokenizer(), tiny_text.LONGEST, "tiny")


def ids(tokens_L2: Any) -> list[int]:
    return tokens_L2[tokens_L2[:, 1] > 0, 0].tolist()


def written(*texts: str) -> bytes:
    return TextContent.of(*texts).read()


# -- what comes out


@given(st.lists(st.sampled_from([*WORDS, "unheard"]), min_size=2, max_size=20), st.data())
def test_a_text_is_what_the_library_s_own_tokenizer_makes_of_it(words: list[str], data: st.DataObject) -> None:
    own = tiny_text.tokenizer()
    first = data.draw(st.integers(1, len(words) - 1))
    for texts in ([" ".join(words)], [" ".join(words[:first]), " ".join(words[first:])]):
        made = tokens(own, tiny_text.LONGEST, "tiny").load(written(*texts))
        expected = own(*texts)
        assert ids(made) == expected["input_ids"]
        assert (made[: len(ids(made)), 1] - 1).tolist() == expected["token_type_ids"]


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30), st.data())
def test_lengths_are_filled_up_to_few_and_what_is_filled_up_is_zero(numbers: list[int], data: st.DataObject) -> None:
    segments = data.draw(st.lists(st.integers(0, 1), min_size=len(numbers), max_size=len(numbers)))
    made = filled(numbers, segments)
    assert made.dtype == np.int32
    assert len(made) % STEP == 0
    assert len(numbers) <= len(made) < len(numbers) + STEP
    assert made[: len(numbers)].tolist() == [[n, s + 1] for n, s in zip(numbers, segments, strict=True)]
    assert not made[len(numbers) :].any()


def test_a_token_of_number_zero_is_a_token(fed: Tokens) -> None:
    made = fed.load(b"[PAD] wave")
    assert ids(made)[0] == tiny_text.WORDS.index("[CLS]")
    assert 0 in ids(made)
    assert (made[:, 1] > 0).sum() == len(ids(made)) == 4


def test_a_pair_is_one_text_after_the_other_in_segments(fed: Tokens) -> None:
    made = fed.load(written("wave ship", "pan"))
    assert [tiny_text.WORDS[i] for i in ids(made)] == ["[CLS]", "wave", "ship", "[SEP]", "pan", "[SEP]"]
    assert made[:, 1].tolist() == [1, 1, 1, 1, 2, 2, 0, 0]


@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\0", b" \0\n", bytes(8)])
def test_where_there_is_nothing_there_are_no_tokens_but_an_error(fed: Tokens, data: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read") as caught:
        fed.load(data)
    assert caught.value.found == "it is empty"


def test_of_a_pair_one_text_may_be_empty(fed: Tokens) -> None:
    assert [tiny_text.WORDS[i] for i in ids(fed.load(written("", "pan")))] == ["[CLS]", "[SEP]", "pan", "[SEP]"]


def test_threads_share_a_tokenizer(fed: Tokens) -> None:
    texts = [tiny_text.sentence("sea", seed).encode() for seed in range(200)]
    alone = [fed.load(text).tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert [each.tolist() for each in pool.map(fed.load, texts)] == alone


# -- what is cut off


def test_texts_end_after_so_many_tokens_the_closing_one_included(fed: Tokens) -> None:
    made = fed.load(" ".join(["wave"] * 100).encode())
    assert len(ids(made)) == fed.length == tiny_text.LONGEST
    assert tiny_text.WORDS[ids(made)[-1]] == "[SEP]"


@pytest.mark.parametrize("words", [1, 29, 30, 31, 32, 45, 61, 100, 200])
@pytest.mark.parametrize("word", ["wave", "!"])
def test_what_is_lost_of_a_text_is_counted(fed: Tokens, word: str, words: int) -> None:
    assert fed.lost(" ".join([word] * words).encode()) == max(0, words + 2 - fed.length)


@pytest.mark.parametrize(("first", "second"), [(3, 4), (20, 20), (60, 2), (2, 60), (50, 70), (0, 40)])
def test_what_is_lost_of_a_pair_is_counted(fed: Tokens, first: int, second: int) -> None:
    texts = " ".join(["wave"] * first), " ".join(["pan"] * second)
    kept = fed.load(written(*texts))
    assert fed.lost(written(*texts)) == first + second + 3 - len(ids(kept))


def test_a_text_of_tokens_that_are_a_byte_each_is_not_cut_unnoticed() -> None:
    """Those around a text count as well: 31 bytes can be 33 tokens."""
    from tokenizers.pre_tokenizers import Split

    own = tiny_text.tokenizer()
    own.backend_tokenizer.pre_tokenizer = Split("", "isolated")
    bytewise = tokens(own, 32, "tiny")
    assert [bytewise.lost(b"x" * count) for count in (29, 30, 31, 32, 40)] == [0, 0, 1, 2, 10]


@pytest.mark.parametrize(
    ("network", "own", "length"), [(64, 10**30, 64), (10**9, 10**30, LONGEST), (64, 48, 48), (30, 32, 28)]
)
def test_texts_are_as_long_as_network_and_tokenizer_allow(network: int, own: int, length: int) -> None:
    tokenizer = tiny_text.tokenizer()
    tokenizer.model_max_length = own
    fed = tokens(tokenizer, network, "tiny")
    assert fed.length == length
    assert len(fed.load(b"wave " * 999)) <= network, "what is filled up must fit into the network too"


# -- which tokenizer it is


def test_how_a_tokenizer_pads_and_cuts_by_itself_changes_nothing() -> None:
    own = tiny_text.tokenizer()
    own.backend_tokenizer.enable_padding(length=20)
    own.backend_tokenizer.enable_truncation(5)
    made = tokens(own, tiny_text.LONGEST, "tiny").load(b"wave ship pan oven star moon")
    assert len(ids(made)) == 8


def test_the_key_says_all_that_decides_about_tokens(fed: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.backbones import tokens as module

    lower = tiny_text.tokenizer()
    from tokenizers.normalizers import Lowercase

    lower.backend_tokenizer.normalizer = Lowercase()
    keys = [
        fed.key(),
        tokens(lower, tiny_text.LONGEST, "tiny").key(),
        replace(fed, length=16).key(),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(module, "STEP", 8)
        keys.append(fed.key())
    with monkeypatch.context() as patch:
        patch.setattr("tokenizers.__version__", "0.0.1")
        keys.append(fed.key())
    assert len(set(keys)) == len(keys)
    assert tokens(tiny_text.tokenizer(), tiny_text.LONGEST, "another name").key() == keys[0]


def test_a_tokenizer_that_was_saved_and_opened_again_is_the_same(fed: Tokens, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    fed.tokenizer(["wave", "ship pan"], padding=True, truncation=True, max_length=4)  # the library remembers how
    fed.tokenizer.save_pretrained(tmp_path)
    again = tokens(AutoTokenizer.from_pretrained(tmp_path), tiny_text.LONGEST, "again")
    assert again.key() == fed.key()
    assert again.record() == fed.record()


def test_it_is_told_in_words_and_for_json(fed: Tokens) -> None:
    assert fed.said().endswith(f"{len(tiny_text.WORDS)} tokens known, texts of 32 at most")
    assert fed.record() == {"tokenizer": type(fed.tokenizer).__name__, "length": 32, "sha256": fed.digest}
    assert deepcopy(fed) is fed


@pytest.mark.parametrize("lacking", ["backend", "padding"])
def test_a_tokenizer_that_cannot_be_used_is_refused(lacking: str) -> None:
    own: Any = tiny_text.tokenizer()
    if lacking == "padding":
        own.pad_token = None
    else:
        own = type("Slow", (), {"pad_token_id": 0})()
    with pytest.raises(BackboneError, match="tokenizer of tiny is not supported") as caught:
        tokens(own, 32, "tiny")
    assert "tokenizer.json" in caught.value.hint
