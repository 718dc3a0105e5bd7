"""One label an example: softmax, log loss, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Floats, Index, Loss, Said, Scoring, Truth
from headstart.data.examples import Target
from headstart.heads import logistic, neighbours
from headstart.heads.linear import LinearHead, fit_temperature, log_loss_N, plain_head, softmax
from headstart.metrics import labels

UNBALANCED = 3.0
"""From this ratio of the largest class to the smallest on, the loss of a training is weighted."""

SCORING = Scoring(
    read=labels.Labelled.of,
    score=labels.scores,
    explained=labels.EXPLAINED,
    shares=labels.SHARES,
    percent=tuple(name for name in labels.EXPLAINED if name != "log loss"),
    lower=("log loss", "calibration error"),
    guess="guessing the commonest class",
    naive="majority guess",
)


def one_label(classes: tuple[str, ...]) -> Aim:
    """Return the aim of naming one of these classes."""
    place = {name: k for k, name in enumerate(classes)}
    return Aim(
        goal="label",
        outputs=classes,
        encode=lambda targets: np.asarray([place[str(t)] for t in targets], np.intp),
        knows=lambda target: target in place,
        strata=lambda target_N: target_N,
        guess=partial(_guess, len(classes)),
        near=partial(_near, len(classes)),
        spread=lambda target_N: np.eye(len(classes))[target_N],
        fit=partial(_fit, len(classes)),
        solver="L2 logistic regression (L-BFGS)",
        loss_N=log_loss_N,
        temperature=fit_temperature,
        training=partial(_training, len(classes)),
        probabilities=softmax,
        outward=lambda head: head,
        said=partial(_said, classes),
        scoring=SCORING,
        problem="single_label_classification",
        plain=lambda backbone, seed: plain_head(backbone.dim, len(classes), seed),
        pairs=True,
    )


def _guess(classes: int, target_N: Truth) -> NDArray[np.float64]:
    share_K = np.bincount(target_N, minlength=classes) + 1.0
    return np.asarray(np.log(share_K / share_K.sum()))


def _near(classes: int, query_MD: Floats, known_ND: Floats, target_N: Truth) -> tuple[NDArray[np.float64], ...]:
    return neighbours.vote(query_MD, known_ND, target_N, classes)


def _fit(
    classes: int, x_ND: Floats, target_N: Truth, grid: Sequence[float], tolerance: float
) -> tuple[LinearHead, ...]:
    return logistic.fit_logistic(x_ND, target_N, classes, grid, tolerance)


def class_weights(target_N: Index, classes: int) -> NDArray[np.float64] | None:
    """Return weight_K, the inverse root of the classes' shares (mean 1 over the examples), or None.

    None where the largest class has less than three times the examples of the smallest. The root, as full weights
    trade the accuracy that is reported for that of rare classes.
    """
    count_K = np.maximum(1, np.bincount(target_N, minlength=classes))
    if count_K.max() < UNBALANCED * count_K.min():
        return None
    weight_K = 1 / np.sqrt(count_K)
    return np.asarray(weight_K * count_K.sum() / (weight_K * count_K).sum())


def _training(classes: int, target_N: Truth) -> Loss:
    from headstart.aims.losses import log_loss

    return log_loss(class_weights(target_N, classes))


def _said(classes: tuple[str, ...], p_K: NDArray[np.float64]) -> Said:
    best = int(p_K.argmax())
    each = tuple((label, float(p)) for label, p in zip(classes, p_K, strict=True))
    return Said(classes[best], float(p_K[best]), each)


def known(targets: Sequence[Target]) -> tuple[str, ...]:
    """Return the classes of targets, sorted."""
    return tuple(sorted({str(t) for t in targets}))
