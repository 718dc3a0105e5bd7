"""Texts as rows of code points."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headstart.codes import codes_of, texts_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_any_texts_come_back(texts: list[str]) -> None:
    assert texts_of(codes_of(texts)) == texts


def test_they_come_back_from_float32_too() -> None:
    texts = ["\U0010ffff é", "日本語", ""]
    assert texts_of(codes_of(texts).astype(np.float32)) == texts


def test_a_text_is_cut_off_at_the_width_and_filled_up_to_it() -> None:
    codes_NK = codes_of(["abcdef", "a"], 4)
    assert codes_NK.shape == (2, 4)
    assert texts_of(codes_NK) == ["abcd", "a"]


def test_a_nul_character_is_dropped_as_it_would_end_the_text() -> None:
    assert texts_of(codes_of(["a\0b"])) == ["ab"]


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    assert texts_of(codes_of(["a\ud800b"])) == ["a?b"]
