"""The last stage trained from cached activations, against the same layers with the trunk in the loop and against all.

Same pictures, start, recipe, batches and threads in the three ways; the cached one's seconds include making the cache
(decoding, the trunk in its engine, converting it) for all of its views. The other two decode and augment in each
epoch, two threads reading ahead, in eager PyTorch in the same precision, as people write it.

    python -m benchmarks.cached_top                     20 min on two cores
    python -m benchmarks.cached_top --backbone resnet18@weights.safetensors --data photos/

Expected of a network of a ResNet-18's size: 2 times fewer seconds than with the trunk in the loop, 4 than all layers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.common import SHARED, keep, spread
from headstart.backbones.backbone import pixels
from headstart.backbones.depth import depths, example
from headstart.data.augment import augment, wide
from headstart.data.pixels import load_pixels
from headstart.encoder import cores
from headstart.options import Options, Stopwatch
from headstart.pipeline import Base, begin
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages.batches import Batches, Source
from headstart.stages.held import logits_of
from headstart.stages.sources import open_at, source_at
from headstart.stages.split import Index
from headstart.stages.trial import begun, model_at
from headstart.stages.tune import Recipe, tune

LAST_STAGE = 0.2
"""A ResNet's last stage has 0.23 of its work."""


@dataclass(frozen=True)
class Decoded:
    """Pictures decoded and augmented anew whenever they are asked for."""

    base: Base
    seed: int

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        pre = pixels(self.base.encoder.backbone)
        items = items_of(self.base.data)
        drawn = [np.random.default_rng([self.seed, epoch, int(i)]) for i in index_B]
        whole = (load_pixels(items[i].content.read(), wide(pre)) for i in index_B)
        return np.stack([augment(x, pre.size, rng) for x, rng in zip(whole, drawn, strict=True)])

    def clean(self, index_B: Index) -> NDArray[Any]:
        items = items_of(self.base.data)
        return np.stack([self.base.encoder.load(items[i].content.read()) for i in index_B])

    def draws(self, index_B: Index, epoch: int) -> list[None]:
        return [None] * len(index_B)


class Frozen(nn.Module):
    """A trunk that is run and not trained."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(False)

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out: torch.Tensor = self.trunk(x_N3HW)
        return out


def trained(
    base: Base, body: nn.Module, source: Callable[[], Source], share: float, epochs: int, rate: float, seed: int
) -> tuple[nn.Module, float]:
    """Train a body with the linear head on it; returns the model, and the seconds with those of its source."""
    rows, target_N = base.divided.splits.train, base.divided.target_N
    model = model_at(body, base.probe.refit(rows), False, "cpu")
    start = time.perf_counter()
    batches = Batches(source(), rows, target_N, 32, seed, workers=cores())
    recipe = Recipe(epochs * batches.in_epoch, rate, round(0.1**share, 2), seed)
    _, training = begun(model, recipe, batches, base.divided.aim)
    for _ in tune(training, batches):
        pass
    took = time.perf_counter() - start
    training.use(training.average)
    return model.eval(), took


def accuracy(model: nn.Module, base: Base) -> float:
    """Return the accuracy on the judged examples."""
    rows = base.divided.splits.judged
    logits_NK = logits_of(model, Decoded(base, 0), rows, "cpu")
    return float((logits_NK.argmax(1) == base.divided.target_N[rows]).mean())


def one(base: Base, given: argparse.Namespace, seed: int) -> dict[str, list[float]]:
    """Return [accuracy, seconds] of each way for a seed."""
    items, rows = items_of(base.data), base.divided.splits.train

    def opened(*shares: float) -> tuple[nn.Module, float, Any]:
        backbone = deepcopy(base.encoder.backbone)
        made = open_at(depths(backbone.trunk, example(backbone), shares)[0], backbone, base.encoder)
        made.free()
        return made.body, made.depth.share, made

    def run(body: nn.Module, source: Callable[[], Source], share: float) -> tuple[nn.Module, float]:
        return trained(base, body, source, share, given.epochs, given.rate, seed)

    found = {}
    body, share, made = opened(LAST_STAGE)
    trunk = made.below.network
    model, took = run(
        body, lambda: source_at(made, base.encoder, items, rows, given.views, seed, quiet, time.perf_counter), share
    )
    found["cached"] = [accuracy(nn.Sequential(trunk, model), base), took]
    body, share, made = opened(LAST_STAGE)
    model, took = run(nn.Sequential(Frozen(made.below.network), body), lambda: Decoded(base, seed), share)
    found["in the loop"] = [accuracy(model, base), took]
    if seed < given.full:
        body, share, _ = opened()
        model, took = run(body, lambda: Decoded(base, seed), share)
        found["all layers"] = [accuracy(model, base), took]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(SHARED / "hymenoptera"))
    parser.add_argument("--backbone", default=str(SHARED.parent / "backbones" / "resnet50_thin.transformers"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--full", type=int, default=1, help="seeds on which all layers are trained as well")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rate", type=float, default=1e-3)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(given.data, str(Path(folder) / "model"), backbone=given.backbone, cache=folder)
        base = begin(options, quiet, Stopwatch(time.perf_counter, time.perf_counter()))
        found = [one(base, given, seed) for seed in range(given.seeds)]
    figures: dict[str, Any] = {"data": Path(given.data).name, "backbone": Path(base.encoder.backbone.name).name}
    figures |= {"views": given.views, "epochs": given.epochs, "seeds": given.seeds, "rate": given.rate}
    for way in ("cached", "in the loop", "all layers"):
        figures[f"{way}, accuracy by seed"] = [round(f[way][0], 4) for f in found if way in f]
        figures[f"{way}, seconds by seed"] = [round(f[way][1], 2) for f in found if way in f]
    cached = figures["cached, seconds by seed"]
    figures["in the loop to cached, seconds"] = sum(figures["in the loop, seconds by seed"]) / sum(cached)
    if whole := figures["all layers, seconds by seed"]:
        figures["all layers to cached, seconds"] = mean(whole) / mean(cached[: len(whole)])
    differences = [f["cached"][0] - f["in the loop"][0] for f in found]
    figures["cached less in the loop, accuracy"] = spread(differences)
    keep("cached_top", figures)


if __name__ == "__main__":
    main()
