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

from headstart.backbones.backbone import Backbone
from headstart.data.examples import Goal, Target
from headstart.heads.head import Head
from headstart.heads.linear import LinearHead

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.floating]
Index = NDArray[np.intp]
Truth = NDArray[Any]
"""Targets of N examples: class indices_N, 0 and 1 for each label in an array_NK, or standardised numbers_N."""
Loss = Callable[[Any, "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(model, x_B..., target_B) -> what is made less."""


Move = Callable[[NDArray[Any], Sequence["np.random.Generator | None"]], NDArray[Any]]


def unchanged(head: Any, logits_NK: Floats, truth_N: Truth) -> Any:
    """Return the head as it is."""
    return head


def differ(one_NK: Floats, other_NK: Floats) -> float:
    """Return by how much what two models say differs: probabilities by their difference, large numbers by its share."""
    return float((np.abs(one_NK - other_NK) / np.maximum(1.0, np.abs(other_NK))).max())


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
class Spot:
    """An object that was found: its label, how sure that is, and left, top, right, bottom as shares of the sides."""

    label: str
    score: float
    corners: tuple[float, ...]


@dataclass(frozen=True)
class Said:
    """What a model says of one example, as people and programs read it.

    Attributes:
        label: in one word or line.
        probability: of that; nan where there is none.
        probabilities: (output, its probability) of all outputs.
        labels: where there may be any number of them, those that are more likely than not.
        value: the number, where one is told.
        spots: the objects that were found, where such are looked for, the surest first.
    """

    label: str
    probability: float = float("nan")
    probabilities: tuple[tuple[str, float], ...] = ()
    labels: tuple[str, ...] | None = None
    value: float | None = None
    spots: tuple[Spot, ...] | None = None


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
        plain: (backbone, seed) -> a head of small random weights, for features of which nothing is known.
        settle: (head, logits_NK, truth_N of examples not learned from) -> the head with whatever is chosen on these
            beside the temperature.
        move: (truth_B, generators that views were drawn from, None for plain ones) -> what is true of the views; None
            where that is the same.
        apart: (what one model says, what another says, as `probabilities` gives it) -> by how much they differ at most.
        costly: whether heads take so long that choices are made on one part held out, and nothing is trained twice.
        watched: (model, x_B..., truth_B) -> the loss by which short trainings are compared, where `loss_N` of what a
            model gives would take long.
        ended: the same, but what ends a training once it no longer falls, where that is another.
        pairs: whether two examples are either of one class or not, so that pairs of them can teach.
        lengths: truth_N -> how long each is to a network, in the unit of the task's `size`; None where all are alike.
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
    outward: Callable[[Any], Any]
    said: Callable[[NDArray[np.float64]], Said]
    scoring: Scoring
    problem: str
    plain: Callable[[Backbone, int], Head]
    settle: Callable[[Any, Floats, Truth], Any] = unchanged
    move: Move | None = None
    apart: Callable[[Floats, Floats], float] = differ
    costly: bool = False
    pairs: bool = False
    watched: Loss | None = None
    ended: Loss | None = None
    lengths: Callable[[Truth], Index] | None = None
