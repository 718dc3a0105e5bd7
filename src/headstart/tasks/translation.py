"""Translation: a text in another language, learned from pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone
from headstart.backbones.depths import Depth
from headstart.backbones.from_seq2seq import sentences
from headstart.backbones.translators import fitted, open_translation_backbone
from headstart.data.augment import View
from headstart.data.texts import inspect_text
from headstart.tasks.task import Augment, Load, Prober, Task
from headstart.tasks.text_classification import TEXT_CLASSIFICATION

RATES, WIDTH = (5e-4, 1.5e-4, 1.5e-3), 256
"""Of a translator so wide. Small ones want more than encoders do: 1e-4 leaves most of a new domain unlearned, and of
one far off 2e-3 was the best of four (see dev/LOG.md)."""


def _rates(backbone: Backbone) -> tuple[float, ...]:
    """Return learning rates: one over the width, as Adam's steps add up over it (Yang et al. 2022, 2203.03466)."""
    return tuple(rate * WIDTH / max(WIDTH, backbone.dim) for rate in RATES)


def _load(backbone: Backbone) -> Load:
    return sentences(backbone).load


def _view(backbone: Backbone, view: View) -> Load:
    return _load(backbone)


def _change(backbone: Backbone) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    return lambda tokens, rng: tokens


def _depths(backbone: Backbone) -> tuple[Depth, ...]:
    from headstart.backbones.seq2seq import depths

    return depths(backbone)


def _probe(backbone: Backbone, seed: int) -> Prober:
    from functools import partial

    from headstart.stages.text_probe import text_probe

    return partial(text_probe, backbone)


def _remarks(backbone: Backbone, data: bytes) -> Iterator[tuple[str, str]]:
    fed = sentences(backbone)
    if len(data) > fed.length // 2 and (parts := fed.parts(data)) > 1:
        yield "cut-off", f"longer than the network reads: of {parts} parts of it the first is learned from"


TRANSLATION = Task(
    name="translation",
    noun="text",
    kind="text",
    goals=("text",),
    inspect=inspect_text,
    backbone=open_translation_backbone,
    fitted=fitted,
    probe=_probe,
    load=_load,
    size=TEXT_CLASSIFICATION.size,
    batch=8,
    depths=_depths,
    given=TEXT_CLASSIFICATION.given,
    inputs=TEXT_CLASSIFICATION.inputs,
    augment=Augment(_view, _load, _change, views=1),
    network=lambda network, _: network,
    draw=lambda _: "",
    pieces=None,
    sample='"A new text."',
    endings=(".txt",),
    remark=_remarks,
    rates=_rates,
)
