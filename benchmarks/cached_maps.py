"""What caching a detector's maps saves: pyramid and head trained from cached maps, and with the trunk in the loop.

For EfficientNet-lite0 and for VGG-16 (its convolutional layers), on the pictures of bccd, in one run: seconds an epoch
of the same training, once from cached views of the maps, once from pictures that are decoded, cropped and run through
the frozen trunk each time, as the usual loop does. Making the cache is measured by itself.

    python -m benchmarks.cached_maps              10 min on two cores
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.cached_top import Frozen
from benchmarks.common import SHARED, cores, keep
from headstart.aims import aim_for
from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.depth import map_depths
from headstart.backbones.detectors import fitted, open_detector_backbone
from headstart.data.augment import wide
from headstart.data.box_views import seen
from headstart.data.check import check
from headstart.data.pixels import load_pixels
from headstart.data.read import read
from headstart.encoder import Encoder, encoder
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages.batches import Batches, Source
from headstart.stages.encode import Item
from headstart.stages.sources import open_at, source_at
from headstart.stages.split import Index
from headstart.stages.trial import begun, model_at
from headstart.stages.tune import Recipe, tune
from headstart.tasks.object_detection import OBJECT_DETECTION

VGG = SHARED.parent / "backbones" / "vgg16_features.torchvision" / "model.safetensors"
VIEWS = 2
BATCH = 16


@dataclass(frozen=True)
class Decoded:
    """Pictures decoded and cropped anew whenever they are asked for."""

    backbone: Backbone
    items: Sequence[Item]
    seed: int

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        prepared = pixels(self.backbone)
        drawn = self.draws(index_B, epoch)
        whole = (load_pixels(self.items[i].content.read(), wide(prepared)) for i in index_B)
        return np.stack([seen(x, prepared.size, rng) for x, rng in zip(whole, drawn, strict=True)])

    def clean(self, index_B: Index) -> NDArray[Any]:
        return np.stack([load_pixels(self.items[i].content.read(), pixels(self.backbone)) for i in index_B])

    def draws(self, index_B: Index, epoch: int) -> list[np.random.Generator]:
        return [np.random.default_rng([self.seed, epoch, int(i)]) for i in index_B]


def seconds_an_epoch(body: nn.Module, source: Source, backbone: Backbone, rows: Index, truth: Any, aim: Any) -> float:
    """Return the seconds of the second of two epochs."""
    model = model_at(body, aim.plain(backbone, 0), False, "cpu")
    batches = Batches(source, rows, truth, BATCH, 0, cores(), move=aim.move)
    _, training = begun(model, Recipe(2 * batches.in_epoch, 1e-3), batches, aim)
    start = 0.0
    for row in tune(training, batches):
        if row.step == batches.in_epoch:
            start = time.perf_counter()
    return time.perf_counter() - start


def one(name: str, count: int, cache: Path) -> dict[str, Any]:
    """Measure a network."""
    checked = check(read(SHARED / "bccd"), OBJECT_DETECTION.inspect, quiet)
    examples = checked.examples
    aim = aim_for("boxes", [e.target for e in examples.items])
    truth = aim.encode([e.target for e in examples.items])
    items = items_of(checked)
    rows = np.asarray([i for i, e in enumerate(examples.items) if e.part == "train"][:count], np.intp)
    backbone = fitted(open_detector_backbone(name), [e.target for e in examples.items])
    encode: Encoder = encoder(OBJECT_DETECTION, backbone, root=cache)
    opened = open_at(map_depths(backbone)[0], backbone, encode)
    start = time.perf_counter()
    source = source_at(opened, encode, items, rows, VIEWS, 0, quiet, time.perf_counter)
    making = time.perf_counter() - start
    cached = seconds_an_epoch(opened.body, source, backbone, rows, truth, aim)
    assert opened.below
    whole = nn.Sequential(Frozen(opened.below.network), nn.Identity())
    looped = seconds_an_epoch(whole, Decoded(backbone, items, 0), backbone, rows, truth, aim)
    return {
        "backbone": Path(name).parent.name if "@" in name else name,
        "pictures": len(rows),
        "making the cache, seconds a view": making / VIEWS,
        "from the cache, seconds an epoch": cached,
        "trunk in the loop, seconds an epoch": looped,
        "times fewer": looped / cached,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=96)
    given = parser.parse_args(arguments)
    for name in ("default", f"vgg16@{VGG}"):
        with tempfile.TemporaryDirectory() as cache:
            keep("cached_maps", one(name, given.pictures, Path(cache)))


if __name__ == "__main__":
    main()
