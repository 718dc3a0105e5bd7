"""An aim is a record: what is to be said of an example, whatever the example is.

One label, any number of labels, a number: what differs between them is here, and stages take it as a value. Tasks are
kinds of examples (pictures, texts); aims and tasks go together freely, so that no list has them multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.data.examples import Goal, Target
from headstart.heads.linear import LinearHead

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.floating]
Index = NDArray[np.intp]
Truth = NDArray[Any]
"""Targets of N examples: class indices_N, 0 and 1 for each label in an array_NK, or standardised numbers_N."""
Loss = Callable[[Any, "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(model, x_B..., target_B) -> what is made less."""


class Judged(Protocol):
    """Predictions beside the truth, reduced once to what every resample needs."""

    @property
    def merit_N(self) -> Floats:
        """How well each example came out; the headline measure is the mean of it. Higher is better."""
        ...


@dataclass(frozen=True)
class Scoring:
    """How predictions are scored.

    Attributes:
        read: (logits_NK, truth_N) -> predictions beside the truth.
        score: (predictions, weight_N) -> measures, the headline first.
        explained: each measure in one plain line.
        shares: measures that are a plain share of the examples.
        percent: measures that lie between 0 and 1 and read as percentages.
        lower: measures of which less is better.
        guess: what is guessed by who has not looked, in words; `naive` is what that rung is called.
    """

    read: Callable[[Floats, Truth], Any]
    score: Callable[[Any, Floats], dict[str, float]]
    explained: Mapping[str, str]
    shares: tuple[str, ...]
    percent: tuple[str, ...]
    lower: tuple[str, ...]
    guess: str
    naive: str


@dataclass(frozen=True)
class Said:
    """What a model says of one example, as people and programs read it.

    Attributes:
        label: in one word or line.
        probability: of that; nan where there is none.
        probabilities: (output, its probability) of all outputs.
        labels: where there may be any number of them, those that are more likely than not.
        value: the number, where one is told.
    """

    label: str
    probability: float = float("nan")
    probabilities: tuple[tuple[str, float], ...] = ()
    labels: tuple[str, ...] | None = None
    value: float | None = None


@dataclass(frozen=True)
class Aim:
    """What is to be said of an example.

    Attributes:
        goal: as readers tell it.
        outputs: what each logit stands for.
        encode: targets -> truth_N. Only of targets that `knows` accepts.
        knows: whether a target can be encoded.
        strata: truth_N -> class indices_N, alike in every part of a split.
        guess: truth_N that was learned from -> logits_K of who has not looked at the example.
        near: (features_MD, features_ND, truth_N) -> log probabilities or numbers_MK by neighbours, one array for each
            number of them in `heads.neighbours.GRID`.
        spread: truth_N -> columns_NK that a ridge regression is fitted to.
        fit: (features_ND, truth_N, grid of C, tolerance) -> heads; None where the ridge regression is the exact
            solution.
        solver: what `fit` is called.
        loss_N: (logits_NK, truth_N) -> loss_N by which choices are made.
        temperature: (logits_NK, truth_N) -> what logits are divided by so that they mean what they say.
        training: truth_N that is trained on -> the loss of a training.
        probabilities: logits_NK -> what they mean: probabilities, or the numbers themselves.
        outward: a head in the units of training -> one in the user's.
        said: (outputs, a row of `probabilities`) -> what is said of an example, in the user's units.
        scoring: how predictions are scored.
        problem: what transformers calls it.
        pairs: whether two examples are either of one class or not, so that pairs of them can teach.
    """

    goal: Goal
    outputs: tuple[str, ...]
    encode: Callable[[Sequence[Target]], Truth]
    knows: Callable[[Target], bool]
    strata: Callable[[Truth], Index]
    guess: Callable[[Truth], NDArray[np.float64]]
    near: Callable[[Floats, Floats, Truth], tuple[NDArray[np.float64], ...]]
    spread: Callable[[Truth], NDArray[np.float64]]
    fit: Callable[[Floats, Truth, Sequence[float], float], tuple[LinearHead, ...]] | None
    solver: str
    loss_N: Callable[[Floats, Truth], NDArray[np.float64]]
    temperature: Callable[[Floats, Truth], float]
    training: Callable[[Truth], Loss]
    probabilities: Callable[[Floats], NDArray[np.float64]]
    outward: Callable[[LinearHead], LinearHead]
    said: Callable[[NDArray[np.float64]], Said]
    scoring: Scoring
    problem: str
    pairs: bool = False
