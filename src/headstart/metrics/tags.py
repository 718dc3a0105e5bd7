"""Scores of any number of labels an example: F1 in its three means, exact matches, average precision, log loss.

A label counts as given where its probability is above one half. Every function takes a weight for each example, as
`metrics.labels`; scikit-learn is the reference in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.linear import log_loss_each_NK, sigmoid

EXPLAINED = {
    "F1 per example": "mean over examples of how well the labels given and the true ones agree; 1 where both are none",
    "micro F1": "agreement over all labels of all examples together",
    "macro F1": "mean over labels of the harmonic mean of precision and recall; rare labels count as common ones",
    "mean average precision": "mean over labels of how well examples with it are ranked above those without",
    "exact match": "share of examples given just their true labels, none more and none less",
    "log loss": "surprise at what is true of a label, in nats, mean over labels",
}
SHARES = ("exact match",)


@dataclass(frozen=True)
class Ranking:
    """The examples by falling probability of each label, and where in that those are that have it.

    Attributes:
        order_KN: the examples of each label's ranking.
        hit_H: the places, in all rankings after one another, of examples that have the label.
        end_H: the places of the last examples that are as likely as these.
    """

    order_KN: NDArray[np.intp]
    hit_H: NDArray[np.intp]
    end_H: NDArray[np.intp]

    @staticmethod
    def of(p_NK: NDArray[np.float64], has_NK: NDArray[np.bool_]) -> Ranking:
        """Rank examples by the probabilities of their labels."""
        order_KN = np.argsort(-p_NK.T, axis=1, kind="stable")
        p_KN = np.take_along_axis(p_NK.T, order_KN, 1)
        last_KN = np.hstack([p_KN[:, 1:] != p_KN[:, :-1], np.ones((len(p_KN), 1), bool)])
        last_E, hit_H = np.flatnonzero(last_KN), np.flatnonzero(np.take_along_axis(has_NK.T, order_KN, 1))
        return Ranking(order_KN, hit_H, last_E[np.searchsorted(last_E, hit_H)])


@dataclass(frozen=True)
class Tagged:
    """Predictions beside the truth, reduced once to what every resample needs.

    Attributes:
        has_NK: which labels are true.
        given_NK: which were given.
        p_NK: their probabilities.
        loss_N: mean log loss of each example.
        ranking: the examples by falling probability of each label.
    """

    has_NK: NDArray[np.bool_]
    given_NK: NDArray[np.bool_]
    p_NK: NDArray[np.float64]
    loss_N: NDArray[np.float64]
    ranking: Ranking

    @staticmethod
    def of(logits_NK: NDArray[np.floating], has_NK: NDArray[np.floating]) -> Tagged:
        """Take logits_NK (temperature applied) and has_NK."""
        p_NK = sigmoid(logits_NK)
        loss_N = log_loss_each_NK(logits_NK, has_NK).mean(1)
        return Tagged(has_NK > 0.5, p_NK > 0.5, p_NK, loss_N, Ranking.of(p_NK, has_NK > 0.5))

    @property
    def merit_N(self) -> NDArray[np.float64]:
        """F1 of each example; 1 where it has no label and was given none."""
        both_N = (self.has_NK & self.given_NK).sum(1)
        size_N = self.has_NK.sum(1) + self.given_NK.sum(1)
        return np.where(size_N > 0, 2 * both_N / np.maximum(size_N, 1), 1.0)


def scores(data: Tagged, weight_N: NDArray[np.floating]) -> dict[str, float]:
    """Return every measure of `EXPLAINED`, in that order; nan where no weight is left."""
    total = weight_N.sum()
    if total <= 0:
        return dict.fromkeys(EXPLAINED, float("nan"))
    both_K, true_K, said_K = sums(data, weight_N)
    occurs_K, named_K = true_K > 0, true_K + said_K > 0
    f1_K = f1(both_K, true_K, said_K)
    precision_K = average_precision_K(data, weight_N)
    exact_N = (data.has_NK == data.given_NK).all(1)
    return {
        "F1 per example": float(weight_N @ data.merit_N / total),
        "micro F1": float(f1(both_K.sum(), true_K.sum(), said_K.sum())),
        "macro F1": float(f1_K[named_K].mean()) if named_K.any() else float("nan"),
        "mean average precision": float(precision_K[occurs_K].mean()) if occurs_K.any() else float("nan"),
        "exact match": float(weight_N @ exact_N / total),
        "log loss": float(weight_N @ data.loss_N / total),
    }


def sums(
    data: Tagged, weight_N: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of the examples that were rightly given each label, that have it, and that were given it."""
    both_K, true_K, said_K = (weight_N @ each for each in (data.has_NK & data.given_NK, data.has_NK, data.given_NK))
    return both_K.astype(np.float64), true_K.astype(np.float64), said_K.astype(np.float64)


def f1(both: NDArray[np.float64], true: NDArray[np.float64], said: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonic mean of precision and recall; 0 where there is nothing to find and nothing was said."""
    return np.asarray(2 * both / np.maximum(true + said, 1e-12))


def average_precision_K(data: Tagged, weight_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the average precision of each label: the mean precision at the examples that have it.

    Examples of equal probability count as one step, as in scikit-learn's `average_precision_score`.
    """
    (labels, count), hit_H, end_H = data.ranking.order_KN.shape, data.ranking.hit_H, data.ranking.end_H
    weight_KN = weight_N[data.ranking.order_KN]
    right_KN = np.zeros_like(weight_KN)
    right_KN.ravel()[hit_H] = weight_H = weight_KN.ravel()[hit_H]
    found_H, seen_H = (each_KN.cumsum(1).ravel()[end_H] for each_KN in (right_KN, weight_KN))
    sum_K = np.bincount(hit_H // count, weight_H * found_H / np.maximum(seen_H, 1e-12), labels)
    return np.asarray(sum_K / np.maximum(right_KN.sum(1), 1e-12))
