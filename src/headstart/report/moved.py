"""What moved a decision, by occlusion: each piece of an example is left out, and the probability is looked at again.

A few lines of our own, and not Captum: what is to be explained is what the engine gives for a text, whole words taken
out of it, whereas Captum replaces numbers in a tensor, runs them through PyTorch, and brings matplotlib along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim
from headstart.data.examples import CellContent
from headstart.heads.head import Head

if TYPE_CHECKING:
    from headstart.encoder import Encoder

Probabilities = Callable[[Sequence[bytes]], NDArray[np.float64]]
"""bytes of N examples -> p_NK; a row of nan for what cannot be read."""


class Asked(NamedTuple):
    """An example as bytes, the same without each of its pieces, and the class in question."""

    whole: bytes
    without: Sequence[bytes]
    said: int


def moved(asked: Sequence[Asked], probabilities: Probabilities) -> list[tuple[float, ...]]:
    """Return for each piece of each example how much leaving it out lowers the probability of its class.

    Above zero a piece spoke for the class, below zero against it; nan where nothing is left without it. All examples
    are asked about at once, so that their inputs share batches.
    """
    inputs = [each for one in asked for each in (one.whole, *one.without)]
    p_NK = probabilities(inputs) if inputs else np.empty((0, 0))
    out, at = [], 0
    for one in asked:
        p_M = p_NK[at : at + 1 + len(one.without), one.said]
        out.append(tuple(float(p_M[0] - p) for p in p_M[1:]))
        at += len(p_M)
    return out


def by_model(encoder: Encoder, head: Head, aim: Aim) -> Probabilities:
    """Return the probabilities of a trunk and a head, as a `Predictor` makes them."""

    def probabilities(inputs: Sequence[bytes]) -> NDArray[np.float64]:
        p_NK = np.full((len(inputs), len(aim.outputs)), np.nan)
        contents = [CellContent(partial(bytes, data)) for data in inputs]
        for p_K, features in zip(p_NK, encoder.stream(contents), strict=True):
            if not isinstance(features, str):
                p_K[:] = aim.probabilities(head.logits(features[None]))[0]
        return p_NK

    return probabilities
