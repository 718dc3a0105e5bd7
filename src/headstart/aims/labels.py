"""Any number of labels an example, none included: a sigmoid for each, mean log loss, F1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Floats, Index, Loss, Said, Scoring, Truth
from headstart.data.examples import Target, labels_of
from headstart.heads import neighbours
from headstart.heads.linear import LinearHead, fit_temperature_each, log_loss_each_NK, plain_head, sigmoid
from headstart.heads.logistic import fit_logistic_each
from headstart.metrics import tags

SCORING = Scoring(
    read=tags.Tagged.of,
    score=tags.scores,
    explained=tags.EXPLAINED,
    shares=tags.SHARES,
    percent=tuple(name for name in tags.EXPLAINED if name != "log loss"),
    lower=("log loss",),
    guess="always giving the labels that more than half have",
    naive="usual labels",
)


def many_labels(names: tuple[str, ...]) -> Aim:
    """Return the aim of giving each of these labels or not."""
    return Aim(
        goal="labels",
        outputs=names,
        encode=partial(_encode, names),
        knows=lambda target: isinstance(target, tuple),
        strata=rarest,
        guess=_guess,
        near=_near,
        spread=lambda has_NK: 2.0 * has_NK - 1.0,  # -1 and 1, so that a temperature makes logits of the scores
        fit=fit_logistic_each,
        solver="an L2 logistic regression for each label (L-BFGS)",
        loss_N=lambda logits_NK, has_NK: log_loss_each_NK(logits_NK, has_NK).mean(1),
        temperature=fit_temperature_each,
        training=_training,
        probabilities=sigmoid,
        outward=_unchanged,
        said=partial(_said, names),
        scoring=SCORING,
        problem="multi_label_classification",
        plain=lambda backbone, seed: plain_head(backbone.dim, len(names), seed),
    )


def _unchanged(head: LinearHead) -> LinearHead:
    return head


def _encode(names: tuple[str, ...], targets: Sequence[Target]) -> Truth:
    """Return has_NK; a label that is not among the outputs is passed over."""
    place = {name: k for k, name in enumerate(names)}
    has_NK = np.zeros((len(targets), len(names)))
    for i, target in enumerate(targets):
        has_NK[i, [place[label] for label in labels_of(target) if label in place]] = 1.0
    return has_NK


def rarest(has_NK: Truth) -> Index:
    """Return for each example its rarest label, the number of labels where it has none.

    The rarest first is what iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) deals out first.
    """
    order_K = np.argsort(has_NK.sum(0), kind="stable")
    sorted_NK = has_NK[:, order_K] > 0
    return np.where(sorted_NK.any(1), order_K[sorted_NK.argmax(1)], has_NK.shape[1]).astype(np.intp)


def _guess(has_NK: Truth) -> NDArray[np.float64]:
    share_K = (has_NK.sum(0) + 0.5) / (len(has_NK) + 1.0)
    return np.asarray(np.log(share_K / (1 - share_K)))


def _near(query_MD: Floats, known_ND: Floats, has_NK: Truth) -> tuple[NDArray[np.float64], ...]:
    """Return logits of weighted shares; one further neighbour has each label by half."""
    out = []
    for sum_MK, weight_M1 in neighbours.sums(query_MD, known_ND, has_NK):
        share_MK = (sum_MK + 0.5) / (weight_M1 + 1.0)
        out.append(np.log(share_MK / (1 - share_MK)))
    return tuple(out)


def _training(has_NK: Truth) -> Loss:
    from headstart.aims.losses import log_loss_each

    return log_loss_each


def _said(names: tuple[str, ...], p_K: NDArray[np.float64]) -> Said:
    given = tuple(name for name, p in zip(names, p_K, strict=True) if p > 0.5)
    each = tuple((label, float(p)) for label, p in zip(names, p_K, strict=True))
    return Said(" | ".join(given), probabilities=each, labels=given)
