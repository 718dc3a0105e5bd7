"""What became of what a network could do before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from headstart.aims.text import some_text
from headstart.codes import codes_of
from headstart.metrics.translations import BLEU
from headstart.stages.general import KeptUp, general

TRUTH = [f"the {word} dog sees a small cat in the {word} house" for word in ("red", "old", "big", "new", "far")] * 4


@dataclass
class Says:
    """A head that says always the same."""

    texts: list[str]

    def logits(self, x_N: Any) -> Any:
        return codes_of(self.texts).astype(np.float64)


def judged(was: list[str], now: list[str]) -> KeptUp:
    inputs = [np.zeros((8, 2), np.int32)] * len(TRUTH)
    return general((Says(was), Says(now)), inputs, TRUTH, some_text(("en", "fr")), 0)  # type: ignore[arg-type]


def test_what_was_forgotten_is_said_with_its_interval() -> None:
    found = judged(TRUTH, [text.replace("dog sees", "x y") for text in TRUTH])
    assert found.before[BLEU] == pytest.approx(100)
    assert found.after[BLEU] < 70
    assert found.change.high < 0
    assert found.sentence().endswith("lost.")
    assert found.record()["examples"] == len(TRUTH)


def test_what_is_as_good_as_it_was_is_kept() -> None:
    found = judged(TRUTH, TRUTH)
    assert found.change.value == 0
    assert found.sentence().endswith("kept.")


def test_what_is_better_is_gained() -> None:
    assert judged([text.replace("small", "") for text in TRUTH], TRUTH).sentence().endswith("gained.")
