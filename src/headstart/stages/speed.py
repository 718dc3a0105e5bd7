"""speed: measured seconds of each depth on this machine with these examples, for the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from headstart.aims.aim import Aim, Truth
from headstart.backbones import lora
from headstart.backbones.depths import Depth
from headstart.backbones.engine import Array
from headstart.encoder import Encoder
from headstart.errors import BackboneError
from headstart.heads.head import Head
from headstart.ragged import pile
from headstart.stages.batches import target_tensor
from headstart.stages.plan import Speed
from headstart.stages.sources import Opened, open_at
from headstart.stages.trial import begun, model_at
from headstart.stages.tune import Recipe

HOPELESS = 3.0
"""A depth of which one epoch must take so many times what is left is not measured but estimated."""
STEPS, ENOUGH = 5, 1.0
"""Steps that are timed at most, and seconds after which no more are."""
LORA_RANK = 8
LORA_FROM = 60e6
"""Parameters from which a transformer's deeper rungs are trained by LoRA: below, a laptop has the memory for AdamW's
moments, and training the weights themselves takes as long."""
Clock = Callable[[], float]


@dataclass(frozen=True)
class Learned:
    """What a step teaches: what is true of some examples, what is to be said of them, and a head that says it."""

    target_N: Truth
    aim: Aim
    head: Head


def speeds(
    encoder: Encoder,
    contents: Sequence[Callable[[], bytes]],
    learned: Learned,
    examples: int,
    size: int,
    left: float,
    device: str,
    clock: Clock,
) -> Iterator[Speed]:
    """Yield the speed of each depth, shallowest first; of transformers the deeper ones by LoRA.

    Args:
        encoder: the pretrained network.
        contents: a few examples.
        learned: what is learned of them, for the loss of a step.
        examples: how many there are to train on, for an estimate of whether a depth is worth measuring.
        size: of a batch.
        left: seconds that the rungs may take.
        device: where tops are trained.
        clock: seconds.
    """
    backbone = deepcopy(encoder.backbone)
    inputs = [encoder.load(read()) for read in contents]
    decoding = _timed(lambda: [encoder.load(read()) for read in contents], clock) / len(inputs) / encoder.threads
    attention = lora.has_attention(backbone.trunk)
    adapting = attention and lora.available() and backbone.parameters >= LORA_FROM
    before: Speed | None = None
    for number, depth in enumerate(encoder.task.depths(backbone)):
        rank = LORA_RANK if adapting and number else 0  # the last blocks are cheap enough to be trained whole
        guess = before.step * depth.share / before.share if before and before.share else 0.0
        if before and guess * examples * 4 > HOPELESS * left:
            before = Speed(depth.name, depth.share, decoding, guess, before.low, rank, True, attention)
        else:
            opened = open_at(depth, backbone, encoder)
            measured = _speed(depth, opened, inputs, learned, decoding, rank, size, device, clock)
            before = replace(measured, attention=attention)
        yield before


def _speed(
    depth: Depth,
    opened: Opened,
    inputs: Sequence[Array],
    learned: Learned,
    decoding: float,
    rank: int,
    size: int,
    device: str,
    clock: Clock,
) -> Speed:
    below, activations = decoding, list(inputs)
    if opened.below is not None:
        engine = opened.below.choose(inputs).engine
        list(engine.run(inputs))  # the first run warms up
        start = clock()
        activations = list(engine.run(inputs))
        below += (clock() - start) / len(inputs)
    opened.free()
    adapted = None
    if rank:
        try:
            adapted = lora.adapt(opened.body, rank, 0, opened.shared)
        except BackboneError:  # attention made of convolutions
            rank = 0
    x_B = pile([activations[i % len(activations)] for i in range(size)])
    steps = {low: step_seconds(opened.body, x_B, learned, low, device, clock) for low in precisions(device)}
    if adapted:
        adapted.merge()
    low = min(steps, key=steps.__getitem__)
    return Speed(depth.name, depth.share, below, steps[low] / size, low, rank)


def precisions(device: str) -> tuple[bool, ...]:
    """Return whether to try float32 alone, or bfloat16 as well: where the hardware computes in it."""
    if device == "cuda":
        return (False, True) if torch.cuda.is_bf16_supported() else (False,)
    return (False, True) if torch.ops.mkldnn._is_mkldnn_bf16_supported() and device == "cpu" else (False,)


def step_seconds(
    body: nn.Module,
    x_B: Array,
    learned: Learned,
    low: bool,
    device: str,
    clock: Clock = time.perf_counter,
    rate: float = 0.0,
) -> float:
    """Return the seconds of one training step on a batch. The first warms up; where steps are quick, the fastest of a
    few is taken: one that met a busy moment made a plan of half as many epochs (see dev/LOG.md).
    """
    model = model_at(body, learned.head, low, device)
    batches = _OneBatch(x_B, learned.target_N, device)
    _, training = begun(model, Recipe(1 + STEPS, rate), batches, learned.aim)  # type: ignore[arg-type]
    training.learn(*batches.batch(0))
    took: list[float] = []
    while len(took) < STEPS and sum(took) < ENOUGH:
        took.append(_timed(lambda: training.learn(*batches.batch(1)), clock))
    return min(took)


class _OneBatch:
    """A batch again and again, for timing."""

    def __init__(self, x_B: Array, target_N: Truth, device: str) -> None:
        x = torch.from_numpy(np.ascontiguousarray(x_B)).to(device)
        self.x_B = x.float() if x.is_floating_point() else x
        self.target_N = target_N[np.arange(len(x_B)) % len(target_N)]
        self.rows = np.arange(len(x_B))
        self.device = device

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x_B, target_tensor(self.target_N, self.device)


def _timed(work: Callable[[], object], clock: Clock) -> float:
    start = clock()
    work()
    return clock() - start
