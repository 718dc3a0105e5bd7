"""Tiny trainings: networks of some two hundred parameters, sixty examples of three classes, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from headstart.aims.label import one_label
from headstart.cache import Rows
from headstart.heads.linear import LinearHead
from headstart.heads.top import Top, keep_statistics
from headstart.stages.batches import Batches, Source
from headstart.stages.split import Index
from headstart.stages.tune import Recipe, Row, Tensors, Training, tune

EXAMPLES, FEATURES, CLASSES, SIZE = 60, 6, 3, 10
IN_EPOCH = EXAMPLES // SIZE
TARGET_N: Index = np.arange(EXAMPLES) % CLASSES
AIM = one_label(("a", "b", "c"))
HELD: Index = np.arange(0, EXAMPLES, 4)
FIT: Index = np.setdiff1d(np.arange(EXAMPLES), HELD)


def examples(spread: float = 1.0, dtype: Any = np.float32) -> NDArray[Any]:
    """Return x_NF: three clusters."""
    rng = np.random.default_rng(0)
    centre_KF = 1.5 * rng.normal(size=(CLASSES, FEATURES))
    return (centre_KF[TARGET_N] + spread * rng.normal(size=(EXAMPLES, FEATURES))).astype(dtype)


def stored(x_N: NDArray[Any]) -> Rows:
    """Return rows as a cache has them."""
    return Rows((x_N,), np.stack([np.zeros(len(x_N), np.intp), np.arange(len(x_N))], 1))


@dataclass
class Given:
    """A source that adds noise drawn from (epoch, index), and a little of what cannot be learned from.

    Attributes:
        spoil: index -> what its first feature becomes in training.
        times: how often that is done; then the source is sound.
    """

    x_N: NDArray[Any]
    noise: float = 0.0
    spoil: dict[int, float] = field(default_factory=dict)
    times: float = float("inf")

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        drawn = [np.random.default_rng([epoch, int(i)]).normal(size=self.x_N.shape[1:]) for i in index_B]
        x_B = (self.x_N[index_B] + self.noise * np.stack(drawn)).astype(self.x_N.dtype)
        for place, i in enumerate(index_B):
            if int(i) in self.spoil and self.times > 0:
                self.times -= 1
                x_B[place, 0] = self.spoil[int(i)]
        return x_B

    def clean(self, index_B: Index) -> NDArray[Any]:
        return self.x_N[index_B]


def batches(source: Source | None = None, size: int = SIZE, workers: int = 0, rows: Index | None = None) -> Batches:
    rows = np.arange(EXAMPLES) if rows is None else rows
    return Batches(source or Given(examples()), rows, TARGET_N, size, 0, workers)


def filled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw a network's matrices from a generator that no release of PyTorch changes."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(torch.tensor(rng.normal(size=module.weight.shape) / module.in_features**0.5))
                module.bias.zero_()
    return network


def deep(width: int = 5, layers: int = 6) -> nn.Sequential:
    """A body of as many matrices as it takes to have a rate for each layer."""
    sizes = [FEATURES, *[width] * layers]
    return nn.Sequential(*[m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())])


def lively(width: int = 8) -> nn.Sequential:
    """A body with all that makes a resume hard: dropout, and statistics that move."""
    return nn.Sequential(
        nn.Linear(FEATURES, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, width)
    )


def head(features: int, scale: float = 0.5, seed: int = 1) -> LinearHead:
    rng = np.random.default_rng(seed)
    mean_D, std_D = 0.1 * rng.normal(size=features), rng.uniform(0.5, 1.5, features)
    return LinearHead(mean_D, std_D, scale * rng.normal(size=(features, CLASSES)), 0.1 * rng.normal(size=CLASSES))


def top(body: nn.Module | None = None, moving: bool = False) -> Top:
    """A body with a head on it; `moving` lets its statistics be learned."""
    body = filled(deep() if body is None else body)
    width = [m.out_features for m in body.modules() if isinstance(m, nn.Linear)][-1]
    model = Top(body, head(width))
    model.train() if moving else keep_statistics(model)
    return model


def training(recipe: Recipe, body: Callable[[], nn.Module] = deep, moving: bool = False, **more: Any) -> Training:
    return Training(top(body(), moving), recipe, **more)


def ran(made: Training, on: Batches | None = None, until: int | None = None) -> list[Row]:
    """Train, to a step or to the end; return the rows."""
    rows: list[Row] = []
    for row in tune(made, on or batches()):
        rows.append(row)
        if row.step == until:
            break
    return rows


def all_of(made: Training) -> dict[str, Any]:
    """Return all that a training knows, for a comparison bit by bit."""
    tensors, numbers = made.state()
    return {**{name: t.numpy() for name, t in tensors.items()}, **numbers}


def assert_same_bits(one: Training, other: Training) -> None:
    ours, theirs = all_of(one), all_of(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name, strict=isinstance(value, np.ndarray))


def fitted(source: Any = None) -> Batches:
    return batches(source or Given(examples(), noise=0.2), size=9, rows=FIT)


def logits_with(model: Top, weights: Tensors, rows: Index = HELD) -> np.ndarray[Any, Any]:
    """Logits with weights put in, by the shortest way."""
    model.load_state_dict(weights, strict=False)
    model.eval()
    return model(torch.from_numpy(examples()[rows])).detach().double().numpy()
