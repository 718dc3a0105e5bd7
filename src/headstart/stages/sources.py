"""sources: what a top is trained from, computed once and cached: views below a cut, or decoded inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from headstart.backbones.backbone import Backbone, weights_digest
from headstart.backbones.depths import Depth
from headstart.backbones.engine import Array, Chosen, Narrow, Plain, Recalled
from headstart.cache import Rows
from headstart.data.augment import View
from headstart.encoder import Encoder
from headstart.errors import DataError
from headstart.progress import Track
from headstart.stages.batches import Fly, Source, Views
from headstart.stages.encode import Item
from headstart.stages.split import Index


@dataclass(frozen=True)
class Opened:
    """A network opened at a depth.

    Attributes:
        depth: where.
        body: what lies above, trained: activation_N... (at the input: uint8 pixels_N3HW) -> features_ND.
        trunk: what lies below, frozen; None at the input.
        below: encodes examples with the trunk; None at the input.
        shared: names of parameters that stay frozen: both halves read them, or the depth keeps them.
    """

    depth: Depth
    body: nn.Module
    trunk: nn.Module | None
    below: Encoder | None
    shared: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return a SHA-256 over the frozen trunk's parameters and buffers; empty where nothing is frozen."""
        return weights_digest(self.trunk) if self.trunk is not None else ""

    def free(self) -> None:
        """Let what is above be trained."""
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name not in self.shared)


def open_at(depth: Depth, backbone: Backbone, encoder: Encoder) -> Opened:
    """Open a network at a depth. The halves share its modules: training the body trains the network.

    Args:
        depth: a place in `backbone.trunk`.
        backbone: the network that is trained.
        encoder: encodes with the pretrained network; gives task, precision, cache.
    """
    if depth.at_input:
        return Opened(depth, encoder.task.network(backbone.trunk, backbone.preprocess), None, None, depth.kept)
    halves = depth.halves()
    half = replace(backbone, trunk=halves.trunk, cut=depth.name, whole=None)
    return Opened(depth, halves.top, halves.trunk, replace(encoder, backbone=half), halves.shared)


def source_at(
    opened: Opened,
    encoder: Encoder,
    items: Sequence[Item],
    rows: Index,
    views: int,
    seed: int,
    track: Track,
    clock: Callable[[], float],
) -> Source:
    """Return what the body is trained from; whatever the cache lacks is computed.

    Args:
        opened: the network at a depth.
        encoder: encodes with the pretrained network.
        items: all examples.
        rows: those that are needed; the source knows them by their places in `items`.
        views: how many cached views, at a cut.
        seed: fixes augmentation.
        track: shows progress.
        clock: seconds.
    """
    if opened.below is None:
        return inputs(encoder, items, rows, seed, track, clock)
    at, backbone = opened.below, opened.below.backbone
    chosen: list[Chosen] = []

    def choose(sample: Sequence[Array]) -> Chosen:
        if not chosen:  # one engine for all views
            engine = at.choose(sample)
            chosen.append(engine if at.precision == "fp32" else replace(engine, engine=Narrow(engine.engine)))
        return chosen[0]

    width = "" if at.precision == "fp32" else ", float16"
    found = []
    for view in (View(number, seed) for number in range(views)):
        look = at.task.augment.view(backbone, view) if view.number else at.task.load(backbone)
        viewed = replace(at, take=choose, taken=at.known, look=look, seen=view.name + width)
        found.append(_rows(viewed, items, rows, track, clock))
    return Views(found, seed, [item.digest for item in items])


def inputs(
    encoder: Encoder,
    items: Sequence[Item],
    rows: Index,
    seed: int,
    track: Track,
    clock: Callable[[], float],
) -> Source:
    """Return decoded inputs, cached once, that are augmented anew for each epoch. Arguments as of `source_at`."""
    backbone, augment = encoder.backbone, encoder.task.augment
    backbone = replace(backbone, cut="input", weights="")  # the inputs of one preprocessing serve all networks
    engine = Chosen(Plain(), 1.0)
    taken = Recalled(engine.engine.name, engine.cosine, engine.note)
    plain = replace(encoder, backbone=backbone, take=lambda _: engine, taken=taken, look=encoder.load)
    wide = replace(plain, look=augment.wide(backbone), seen="wide")
    further, clean = (_rows(each, items, rows, track, clock) for each in (wide, plain))
    return Fly(further, clean, augment.change(backbone), seed)


def _rows(encoder: Encoder, items: Sequence[Item], rows: Index, track: Track, clock: Callable[[], float]) -> Rows:
    features = encoder.encode([items[i] for i in rows], track, clock)
    for i, why in features.failures.items():
        raise DataError("An example cannot be read any more.", found=f"{items[rows[i]].name}: {why}")
    few = features.space.rows_of([items[i].digest for i in rows])
    place_N2 = np.full((len(items), 2), len(few.blocks), np.intp)  # of the others, a place that is not there
    place_N2[rows] = few.place_N2
    return Rows(few.blocks, place_N2)
