"""Seconds to the accuracy of the recipe that the field teaches, seed by seed, same photos, same network.

The recipe is fine-tuning as fastai's `fine_tune` has it (Howard and Gugger 2020, 2002.04688), in plain PyTorch: a new
head on EfficientNet-lite0, one frozen epoch in which only the head and BatchNorm learn, then all layers by the
one-cycle policy with discriminative rates (head 100 times the stem), Inception crops and mirror images, AdamW, batches
of 64 from a DataLoader with two workers. Its seconds are those of its epochs. headstart's are those of a whole `fit`
from an empty cache, report and all, as far as its first model, whose test accuracy is given beside the recipe's.

    python -m benchmarks.fine_tune            8 min on two cores

Expected: 15-30 times fewer seconds, at 0.93 against 0.89-0.94.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.common import SHARED, cores, keep
from headstart.options import Options
from headstart.pipeline import fit
from headstart.tasks import task_named

BATCH, WIDEST, DECAY, MULTIPLE = 64, 2e-3, 0.01, 100


def loaders(data: Path, pre: Any, seed: int) -> tuple[Any, Any]:
    """Return the loaders of train/ and val/."""
    from torch.utils.data import DataLoader
    from torchvision import datasets
    from torchvision import transforms as T

    size = pre.size[0]
    ends = [T.ToTensor(), T.Normalize(pre.mean, pre.std)]
    train = T.Compose([T.RandomResizedCrop(size, scale=(0.35, 1.0)), T.RandomHorizontalFlip(), *ends])
    valid = T.Compose([T.Resize(pre.resize_to[0]), T.CenterCrop(size), *ends])
    drawn = torch.Generator().manual_seed(seed)
    learn = datasets.ImageFolder(str(data / "train"), train)
    judge = datasets.ImageFolder(str(data / "val"), valid)
    more: dict[str, Any] = {"batch_size": BATCH, "num_workers": cores()}
    return DataLoader(learn, shuffle=True, generator=drawn, **more), DataLoader(judge, **more)


class Network(nn.Module):
    """A trunk with a linear head on it."""

    def __init__(self, trunk: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(features, classes)

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.trunk(x_N3HW))
        return out


def cycle(model: Network, loader: Any, epochs: int, groups: list[dict[str, Any]], top: float, start: float) -> None:
    """Train by the one-cycle policy."""
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY, betas=(0.9, 0.99))
    highest = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, epochs=epochs, steps_per_epoch=len(loader), pct_start=top, div_factor=start
    )
    model.train()
    for _ in range(epochs):
        for x_N3HW, target_N in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x_N3HW), target_N).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


def layered(model: Network, lowest: float, highest: float) -> Iterator[dict[str, Any]]:
    """Yield parameter groups whose rates rise geometrically from the stem to the head."""
    blocks = [*model.trunk.children(), model.head]
    for i, block in enumerate(b for b in blocks if any(True for _ in b.parameters())):
        share = i / max(1, len(blocks) - 1)
        yield {"params": list(block.parameters()), "lr": lowest * (highest / lowest) ** share}


def recipe(data: Path, backbone_name: str, epochs: int, seed: int) -> tuple[float, float]:
    """Return the recipe's accuracy on val/ and the seconds of its training."""
    backbone = task_named("image-classification").backbone(backbone_name)
    torch.manual_seed(seed)
    train, valid = loaders(data, backbone.preprocess, seed)
    model = Network(backbone.trunk.requires_grad_(True), backbone.dim, len(train.dataset.classes))
    start = time.perf_counter()
    norms = [m for m in model.trunk.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for parameter in model.trunk.parameters():
        parameter.requires_grad_(False)
    learned = [p.requires_grad_(True) for norm in norms for p in norm.parameters()]
    cycle(model, train, 1, [{"params": [*model.head.parameters(), *learned], "lr": WIDEST}], 0.99, 25)
    model.requires_grad_(True)
    cycle(model, train, epochs, list(layered(model, WIDEST / 2 / MULTIPLE, WIDEST / 2)), 0.3, 5)
    took = time.perf_counter() - start
    model.eval()
    with torch.inference_mode():
        right = [(model(x_N3HW).argmax(1) == target_N) for x_N3HW, target_N in valid]
    return float(torch.cat(right).float().mean()), took


def ours(data: Path, backbone: str, seed: int) -> tuple[float, float]:
    """Return the test accuracy of the first model, and the seconds to it from an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        options = Options(str(data), str(Path(folder) / "model"), backbone=backbone, cache=folder, seed=seed, budget=0)
        scores = fit(options).scores
        return float(scores["headline"]["value"]), time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(SHARED / "hymenoptera"), help="with train/ and val/ folders")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--epochs", type=int, default=3, help="of all layers, after the frozen one")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(arguments)
    data = Path(given.data)
    ours(data, given.backbone, 0)  # what is imported on the way is no part of either
    for seed in range(given.seeds):
        theirs, mine = recipe(data, given.backbone, given.epochs, seed), ours(data, given.backbone, seed)
        figures = {
            "data": data.name, "seed": seed, "epochs": given.epochs,
            "recipe, accuracy": theirs[0], "recipe, seconds": theirs[1],
            "headstart's first model, accuracy": mine[0], "headstart's first model, seconds": mine[1],
            "the recipe's accuracy was reached": mine[0] >= theirs[0], "ratio of seconds": theirs[1] / mine[1],
        }  # fmt: skip
        keep("fine_tune", figures)


if __name__ == "__main__":
    main()
