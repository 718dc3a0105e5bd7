"""How long texts are beside what a network wrote before it was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.codes import codes_of
from headstart.stages.probe import Probe, Rung
from headstart.stages.text_probe import AS_IT_IS, brevity

WIDTH = 40


def probed(texts: list[str]) -> Probe:
    said_1RK = codes_of(texts, WIDTH)[None].astype(np.float32)
    rung = Rung(AS_IT_IS, ("zero-shot",), said_1RK, np.zeros((1, len(texts))), (1.0,), 1.0)
    return Probe((rung,), np.array([2, 0]), None, "", lambda rows: None)


def test_what_was_not_written_by_a_network_as_it_was_says_nothing_of_lengths() -> None:
    """A detector's numbers are no texts."""
    found = probed(["a" * 20, "b" * 20])
    other = replace(found, rungs=(replace(found.rungs[0], name="linear head"),))
    assert brevity(other, codes_of(["x" * 12, "", "x" * 8], WIDTH)) == 1.0


@pytest.mark.parametrize(
    ("wrote", "share"),
    [(["a" * 20, "b" * 20], 0.5), (["aa", "bb"], 1.0), (["a" * 40, "b" * 40], 0.25), (["", ""], 1.0)],
    ids=["twice as long", "shorter", "endless", "nothing"],
)
def test_a_network_that_writes_on_and_on_will_be_shorter_once_it_is_trained(wrote: list[str], share: float) -> None:
    target_N = codes_of(["x" * 12, "not held out, not looked at", "x" * 8], WIDTH)
    assert brevity(probed(wrote), target_N) == share
