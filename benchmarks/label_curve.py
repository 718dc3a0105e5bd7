"""What pretraining is worth by number of labels: the accuracy of one linear head on three kinds of features.

    python benchmarks/label_curve.py DATA [--labels 5,10,25,all] [--seeds 5] [--backbone auto]

The features are those of the pretrained network, those of the same architecture with random weights (drawn anew for
each seed), and the pixels themselves (the network's input shrunk to 16 x 16). DATA is anything `headstart fit` reads; of
parts, train is learned from and test, else valid, is judged; without parts a fifth is held out, another for each seed.
Each seed also draws which labels are used. Prints the mean over seeds and its 95% t-interval.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart import cache, encoder, pipeline
from headstart.backbones import from_timm
from headstart.backbones.backbone import Backbone
from headstart.data.check import Checked
from headstart.progress import bars
from headstart.stages import split
from headstart.stages.encode import Item
from headstart.stages.probe import probe
from headstart.tasks import task_named

Floats = NDArray[np.float32]
Index = NDArray[np.intp]
T_95 = {
    2: 12.71,
    3: 4.30,
    4: 3.18,
    5: 2.78,
    6: 2.57,
    7: 2.45,
    8: 2.36,
    9: 2.31,
    10: 2.26,
}  # by number of seeds
TASK = task_named("auto")


def features(checked: Checked, backbone: Backbone) -> Floats:
    """Return features_ND in fp32, from the cache where it has them."""
    items = [Item(e.name, d, e.content) for e, d in zip(checked.examples.items, checked.digests, strict=True)]
    with_it = encoder.encoder(TASK, backbone, "fp32", cache.default_root())
    return with_it.encode(items, bars, time.perf_counter).space.take(checked.digests)


def random_weights(architecture: str, seed: int) -> Backbone:
    """Return a timm architecture as it is before any training."""
    import torch

    torch.manual_seed(seed)
    return from_timm.wrap("random", from_timm.build(architecture, num_classes=0), source="random weights")


def pixels(checked: Checked, backbone: Backbone) -> Floats:
    """Return the network's own inputs, shrunk to 16 x 16, as features_ND."""
    load = TASK.load(backbone)
    inputs = (load(e.content.read()) for e in checked.examples.items)
    return np.stack([_shrunk(each) for each in inputs])


def _shrunk(pixels_3HW: NDArray[np.generic]) -> Floats:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels_3HW.transpose(1, 2, 0)))
    return np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float32).ravel()


def drawn(rows: Index, target_N: Index, labels: str, seed: int) -> Index:
    """Draw so many rows of each class; all of them where the class has fewer, or `labels` is `all`."""
    rng = np.random.default_rng([seed, 0x1ABE1])
    mixed = rng.permutation(rows)
    most = len(rows) if labels == "all" else int(labels)
    return np.sort(np.concatenate([mixed[target_N[mixed] == k][:most] for k in np.unique(target_N[rows])]))


def accuracy(x_ND: Floats, target_N: Index, train: Index, judged: Index, unit: Index, seed: int) -> float:
    """Fit headstart's linear head on `train`, its settings chosen inside it, and score it on `judged`."""
    folds = split.cross_validation(train, target_N, unit, seed)
    splits = split.Splits(train, judged, folds, unit, 0, "")
    head = probe(x_ND, target_N, int(target_N.max()) + 1, splits, time.perf_counter).head
    return float((head.logits(x_ND[judged]).argmax(1) == target_N[judged]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--labels", default="5,10,25,all")
    parser.add_argument("--seeds", type=int, default=5, choices=sorted(T_95))
    parser.add_argument("--backbone", default="auto")
    given = parser.parse_args()
    checked = pipeline.gather(pipeline.Options(given.data), TASK, bars)
    backbone = TASK.backbone(given.backbone)
    pretrained = features(checked, backbone)
    splits, target_N, _ = pipeline.divide(checked, pretrained, 0)
    columns = given.labels.split(",")
    seen: dict[str, list[list[float]]] = {"pretrained": [], "random weights": [], "pixels": []}
    raw = pixels(checked, backbone)
    for seed in range(given.seeds):
        judged, rest = splits.judged, splits.train
        if not len(judged):
            fold = split.deal(rest, target_N, splits.unit, 5, np.random.default_rng(seed))
            judged, rest = rest[fold == 0], rest[fold != 0]
        kinds = (pretrained, features(checked, random_weights(backbone.architecture, seed)), raw)
        for name, x_ND in zip(seen, kinds, strict=True):
            trains = [drawn(rest, target_N, each, seed) for each in columns]
            seen[name].append([accuracy(x_ND, target_N, t, judged, splits.unit, seed) for t in trains])
    print(
        f"{Path(given.data).name}, {backbone.architecture}, {given.seeds} seeds: accuracy on {len(judged)} examples"
    )
    print("| features |" + "".join(f" {c} a class |" if c != "all" else " all |" for c in columns))
    print("|---|" + "---|" * len(columns))
    for name, rows in seen.items():
        cells = [f"{statistics.mean(c):.3f} ± {_half(c):.3f}" for c in zip(*rows, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


def _half(values: tuple[float, ...]) -> float:
    return T_95[len(values)] * statistics.stdev(values) / len(values) ** 0.5


if __name__ == "__main__":
    main()
