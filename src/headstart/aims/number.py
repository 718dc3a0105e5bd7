"""A number an example: squared error on standardised numbers, R², mean absolute error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Floats, Index, Loss, Said, Scoring, Truth
from headstart.data.examples import Target
from headstart.heads import neighbours
from headstart.heads.linear import LinearHead, plain_head
from headstart.metrics import numbers

_BINS = 5


def a_number(mean: float = 0.0, scale: float = 1.0) -> Aim:
    """Return the aim of telling a number.

    Args:
        mean, scale: numbers are trained on less the mean and in units of the scale, so that learning rates fit whatever
            the user's units are.
    """
    scoring = Scoring(
        read=lambda said_N1, true_N: numbers.Numbered.of(said_N1[:, 0] * scale + mean, true_N * scale + mean),
        score=numbers.scores,
        explained=numbers.EXPLAINED,
        shares=(),
        percent=(),
        lower=("mean absolute error", "root mean squared error"),
        guess="always saying the mean",
        naive="mean",
    )
    return Aim(
        goal="number",
        outputs=("value",),
        encode=lambda targets: (np.asarray(targets, np.float64) - mean) / scale,
        knows=lambda target: isinstance(target, float),
        strata=_strata,
        guess=lambda true_N: np.array([true_N.mean()]),
        near=_near,
        spread=lambda true_N: true_N[:, None],
        fit=None,
        solver="closed-form ridge regression",
        loss_N=lambda said_N1, true_N: np.asarray((said_N1[:, 0] - true_N) ** 2, np.float64),
        temperature=lambda said_N1, true_N: 1.0,
        training=_training,
        probabilities=lambda said_N1: np.asarray(said_N1, np.float64),
        outward=partial(_outward, mean, scale),
        said=lambda value_1: Said(f"{value_1[0]:.10g}", value=float(value_1[0])),
        scoring=scoring,
        problem="regression",
        plain=lambda backbone, seed: plain_head(backbone.dim, 1, seed),
    )


def standardising(targets: Sequence[Target]) -> Aim:
    """Return the aim of telling numbers such as these."""
    values_N = np.asarray(targets, np.float64)
    return a_number(float(values_N.mean()), float(values_N.std()) or 1.0)


def _strata(true_N: Truth) -> Index:
    """Return in which fifth of the numbers each lies."""
    edges = np.unique(np.quantile(true_N, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, true_N, side="right").astype(np.intp)


def _near(query_MD: Floats, known_ND: Floats, true_N: Truth) -> tuple[NDArray[np.float64], ...]:
    found = neighbours.sums(query_MD, known_ND, true_N[:, None])
    return tuple(sum_M1 / weight_M1 for sum_M1, weight_M1 in found)


def _training(true_N: Truth) -> Loss:
    from headstart.aims.losses import squared_error

    return squared_error


def _outward(mean: float, scale: float, head: LinearHead) -> LinearHead:
    return replace(head, weight_DK=head.weight_DK * scale, bias_K=head.bias_K * scale + mean)
