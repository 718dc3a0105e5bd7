"""What pretraining is worth by number of labels: one linear head on three kinds of features.

    python benchmarks/label_curve.py DATA [--labels 5,10,25,all] [--seeds 5] [--backbone default]

Features of the pretrained network; of its architecture with random weights (others for each seed); the network's
input shrunk to 16 x 16 pixels. Judged is what `headstart fit` would judge; without parts a fifth (another for each
seed). Each seed draws which labels are used. Printed: mean over seeds with its 95% t-interval.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from PIL import Image

from headstart import encoder, prepare
from headstart.aims.label import one_label
from headstart.backbones import from_timm
from headstart.backbones.backbone import Backbone
from headstart.data.check import Checked
from headstart.options import Options
from headstart.prepare import Floats
from headstart.progress import bars
from headstart.stages import split
from headstart.stages.encode import Item
from headstart.stages.probe import probe
from headstart.stages.split import Index
from headstart.tasks import task_named

T_95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}  # by number of seeds
TASK = task_named("image-classification")


def features(checked: Checked, backbone: Backbone) -> Floats:
    """Return features_ND in fp32, from the cache where it has them."""
    items = [Item(e.name, d, e.content) for e, d in zip(checked.examples.items, checked.digests, strict=True)]
    return encoder.encoder(TASK, backbone, "fp32").encode(items, bars, time.perf_counter).space.take(checked.digests)


def random_weights(architecture: str, seed: int) -> Backbone:
    """Return a timm architecture as it is before any training."""
    torch.manual_seed(seed)
    return from_timm.wrap("random", from_timm.build(architecture, num_classes=0), source="random weights")


def pixels(checked: Checked, backbone: Backbone) -> Floats:
    """Return the network's inputs, shrunk to 16 x 16, as features_ND."""
    load = TASK.load(backbone)
    pictures = (Image.fromarray(load(e.content.read()).transpose(1, 2, 0)) for e in checked.examples.items)
    return np.stack([np.asarray(p.resize((16, 16), Image.Resampling.BOX), np.float32).ravel() for p in pictures])


def drawn(rows: Index, target_N: Index, labels: str, seed: int) -> Index:
    """Draw so many rows of each class; all of them where the class has fewer, or `labels` is `all`."""
    mixed = np.random.default_rng([seed, 0x1ABE1]).permutation(rows)
    most = len(rows) if labels == "all" else int(labels)
    return np.sort(np.concatenate([mixed[target_N[mixed] == k][:most] for k in np.unique(target_N[rows])]))


def accuracy(x_ND: Floats, target_N: Index, train: Index, judged: Index, unit: Index, seed: int) -> float:
    """Fit headstart's linear head on `train`, its settings chosen inside it, and score it on `judged`."""
    splits = split.Splits(train, judged, split.cross_validation(train, target_N, unit, seed), unit, 0, "")
    aim = one_label(tuple(map(str, range(int(target_N.max()) + 1))))
    head = probe(x_ND, target_N, aim, splits, time.perf_counter).head
    return float((head.logits(x_ND[judged]).argmax(1) == target_N[judged]).mean())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    for option, default in {"--labels": "5,10,25,all", "--seeds": 5, "--backbone": "default"}.items():
        parser.add_argument(option, default=default, type=type(default))
    given = parser.parse_args()
    columns, backbone = given.labels.split(","), TASK.backbone(given.backbone)
    checked = prepare.gather(Options(given.data, task=TASK.name), bars)[1]
    fixed = {"pretrained": features(checked, backbone), "pixels": pixels(checked, backbone)}
    divided = prepare.divide(checked, fixed["pretrained"], 0)
    splits, target_N = divided.splits, divided.target_N
    seen: dict[str, list[list[float]]] = {"pretrained": [], "random weights": [], "pixels": []}
    for seed in range(given.seeds):
        judged, rest = splits.judged, splits.train
        if not len(judged):
            fold = split.deal(rest, target_N, splits.unit, 5, np.random.default_rng(seed))
            judged, rest = rest[fold == 0], rest[fold != 0]
        kinds = fixed | {"random weights": features(checked, random_weights(backbone.architecture, seed))}
        trains = [drawn(rest, target_N, each, seed) for each in columns]
        for name, row in seen.items():
            row.append([accuracy(kinds[name], target_N, t, judged, splits.unit, seed) for t in trains])
    print(f"{given.data}, {backbone.architecture}, {given.seeds} seeds: accuracy on {len(judged)} examples")
    print(f"| features | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    each = T_95[given.seeds] / given.seeds**0.5  # from a standard deviation to half the interval
    for name, rows in seen.items():
        cells = [f"{statistics.mean(c):.3f} ± {each * statistics.stdev(c):.3f}" for c in zip(*rows, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
