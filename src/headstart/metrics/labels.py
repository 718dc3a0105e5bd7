"""Scores of label predictions: accuracy, balanced accuracy, macro-F1, log loss, calibration error.

Every function takes a weight for each example, so that the bootstrap is a matter of other weights and no
prediction is copied. scikit-learn is the reference in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.heads.linear import log_loss_N, softmax

BINS = 10

EXPLAINED = {
    "accuracy": "share of examples given their true label",
    "balanced accuracy": "mean over classes of the share found; every class counts the same",
    "macro F1": "mean over classes of the harmonic mean of precision and recall",
    "log loss": "surprise at the true labels, in nats",
    "calibration error": "how far stated confidence is from the share that is right, in ten bins",
}
"""The measures in the order of reports, each in one line."""

SHARES = ("accuracy",)
"""Measures that are a plain share of the examples."""


@dataclass(frozen=True)
class Labelled:
    """Predictions beside the truth, reduced once to what every resample needs."""

    target_N: NDArray[np.intp]
    guess_N: NDArray[np.intp]
    confidence_N: NDArray[np.float64]
    loss_N: NDArray[np.float64]
    classes: int

    @staticmethod
    def of(logits_NK: NDArray[np.floating], target_N: NDArray[np.integer]) -> Labelled:
        """Take logits_NK (temperature applied) and true class indices."""
        p_NK = softmax(logits_NK)
        guess_N = p_NK.argmax(1)
        confidence_N = p_NK[np.arange(len(p_NK)), guess_N]
        loss_N = log_loss_N(logits_NK, target_N)
        return Labelled(np.asarray(target_N, np.intp), guess_N, confidence_N, loss_N, logits_NK.shape[1])

    @property
    def right_N(self) -> NDArray[np.bool_]:
        """Which examples were given their true label."""
        return self.target_N == self.guess_N

    @property
    def merit_N(self) -> NDArray[np.float64]:
        """1 for each example that was given its true label: accuracy is the mean of it."""
        return self.right_N.astype(np.float64)

    def take(self, rows: NDArray[np.integer]) -> Labelled:
        """Return these rows only."""
        return Labelled(
            self.target_N[rows], self.guess_N[rows], self.confidence_N[rows], self.loss_N[rows], self.classes
        )


def scores(data: Labelled, weight_N: NDArray[np.floating]) -> dict[str, float]:
    """Return every measure of `EXPLAINED`, in that order; nan where no weight is left."""
    total = weight_N.sum()
    if total <= 0:
        return dict.fromkeys(EXPLAINED, float("nan"))
    each = class_scores(data, weight_N)
    occurs_K, named_K = each.true_K > 0, each.true_K + each.said_K > 0
    return {
        "accuracy": float(weight_N @ data.right_N / total),
        "balanced accuracy": float(each.recall_K[occurs_K].mean()),
        "macro F1": float(each.f1_K[named_K].mean()),
        "log loss": float(weight_N @ data.loss_N / total),
        "calibration error": calibration_error(data, weight_N),
    }


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class; 0 where a quotient has no denominator.

    Attributes:
        precision_K, recall_K, f1_K: the scores.
        true_K, said_K: the weight of the examples that are, and that were called, each class.
    """

    precision_K: NDArray[np.float64]
    recall_K: NDArray[np.float64]
    f1_K: NDArray[np.float64]
    true_K: NDArray[np.float64]
    said_K: NDArray[np.float64]


def class_scores(data: Labelled, weight_N: NDArray[np.floating]) -> ClassScores:
    """Return precision, recall and F1 of each class."""
    k = data.classes
    true_K = _sums(data.target_N, weight_N, k)
    said_K = _sums(data.guess_N, weight_N, k)
    both_K = _sums(data.target_N, weight_N * data.right_N, k)
    precision_K = both_K / np.maximum(said_K, 1e-12)
    recall_K = both_K / np.maximum(true_K, 1e-12)
    f1_K = 2 * both_K / np.maximum(true_K + said_K, 1e-12)
    return ClassScores(precision_K, recall_K, f1_K, true_K, said_K)


def confusion(data: Labelled) -> NDArray[np.int64]:
    """Return counts_KK: rows are true classes, columns predicted ones."""
    flat = np.bincount(data.target_N * data.classes + data.guess_N, minlength=data.classes**2)
    return flat.reshape(data.classes, data.classes)


def calibration_bins(
    data: Labelled, weight_N: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (mean confidence, share right, weight) of ten bins of equal width."""
    bin_N = np.minimum((data.confidence_N * BINS).astype(np.intp), BINS - 1)
    weight_B = _sums(bin_N, weight_N, BINS)
    held = np.maximum(weight_B, 1e-12)
    confidence_B = _sums(bin_N, weight_N * data.confidence_N, BINS) / held
    right_B = _sums(bin_N, weight_N * data.right_N, BINS) / held
    return confidence_B, right_B, weight_B


def calibration_error(data: Labelled, weight_N: NDArray[np.floating]) -> float:
    """Return the expected calibration error of the top label (Naeini et al. 2015), ten equal bins."""
    confidence_B, right_B, weight_B = calibration_bins(data, weight_N)
    return float(weight_B @ np.abs(confidence_B - right_B) / weight_B.sum())


def _sums(of_N: NDArray[np.intp], weight_N: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    return np.bincount(of_N, weight_N, size).astype(np.float64, copy=False)
