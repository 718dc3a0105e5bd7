"""BLEU and chrF++ are sacrebleu's own, whole and resampled."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu

from headstart.metrics.translations import BLEU, CHRF, Translated, score, signatures

SAID = ["the dog sees a cat .", "a big house", "", "two men walk in the street tonight"]
TRUTH = ["the dog sees the cat .", "a big old house", "nothing here", "two men walk along the street tonight"]


def whole(said: list[str], truth: list[str]) -> dict[str, float]:
    return {
        BLEU: sacrebleu.corpus_bleu(said, [truth], force=True).score,
        CHRF: sacrebleu.corpus_chrf(said, [truth], word_order=2).score,
    }


def test_a_corpus_has_the_score_that_sacrebleu_gives_it() -> None:
    found = score(Translated.of(SAID, TRUTH), np.ones(4))
    assert found == pytest.approx(whole(SAID, TRUTH), abs=1e-9)
    assert found[BLEU] > 20


def test_a_text_drawn_twice_counts_as_two() -> None:
    rows = [0, 0, 3, 1]
    found = score(Translated.of(SAID, TRUTH), np.array([2.0, 1.0, 0.0, 1.0]))
    assert found == pytest.approx(whole([SAID[i] for i in rows], [TRUTH[i] for i in rows]), abs=1e-9)


def test_the_merit_of_a_text_is_its_own_chrf() -> None:
    merit_N = Translated.of(SAID, TRUTH).merit_N
    for said, truth, merit in zip(SAID, TRUTH, merit_N, strict=True):
        assert 100 * merit == pytest.approx(sacrebleu.sentence_chrf(said, [truth], word_order=2).score, abs=1e-9)
    assert merit_N[2] == 0


def test_signatures_say_how_it_was_computed() -> None:
    signed = signatures("fr")
    assert "tok:13a" in signed[BLEU]
    assert "nw:2" in signed[CHRF]


def test_chinese_is_cut_as_sacrebleu_cuts_chinese() -> None:
    said, truth = ["我喜欢猫和狗。"], ["我喜欢狗和猫。"]
    found = score(Translated.of(said, truth, "zh"), np.ones(1))
    assert found[BLEU] == pytest.approx(sacrebleu.corpus_bleu(said, [truth], tokenize="zh", force=True).score, abs=1e-9)
    assert "tok:zh" in signatures("zh")[BLEU]
