"""What caching an encoder's states saves a translator: seconds an epoch from them, and with the encoder in the loop.

In one run, for both rungs that leave the encoder frozen (the decoder's cross-attention and output; the decoder), and
for two networks: the small Marian of 3 + 3 layers, and one of the same width with 12 layers below and 2 above, random
weights. The epoch is the same in both: the same batches of multi30k's pairs, the same steps.

    python -m benchmarks.cached_states              8 min on two cores
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cached_top import Frozen
from benchmarks.common import SHARED, cores, keep
from headstart.aims import aim_for
from headstart.backbones.backbone import Backbone, freeze
from headstart.backbones.depths import Depth
from headstart.backbones.from_seq2seq import between, sentences, translator
from headstart.backbones.translators import open_translation_backbone
from headstart.data.check import check
from headstart.data.examples import Examples
from headstart.data.read import read
from headstart.encoder import Encoder, encoder
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages.batches import Batches, Source
from headstart.stages.sources import inputs, open_at, source_at
from headstart.stages.trial import begun, model_at
from headstart.stages.tune import Recipe, tune
from headstart.tasks.translation import TRANSLATION

MARIAN = SHARED.parent / "backbones" / "marian-small-en-fr"
BATCH = 32


def deep(small: Backbone) -> Backbone:
    """Return a network of the same width with twelve layers below and two above."""
    from transformers import MarianMTModel

    config: Any = deepcopy(small.trunk.network.config)  # type: ignore[union-attr]
    config.encoder_layers, config.decoder_layers = 12, 2
    fed = sentences(small)
    return between(translator(freeze(MarianMTModel(config)), fed.source, "12 + 2 layers", "random"), fed.languages)


def seconds_an_epoch(model: Any, source: Source, truth: Any, sizes: Any, aim: Any) -> float:
    """Return the seconds of the second of two epochs."""
    batches = Batches(source, np.arange(len(truth)), truth, BATCH, 0, cores(), size_N=sizes)
    _, training = begun(model, Recipe(2 * batches.in_epoch, 1e-4), batches, aim)
    start = 0.0
    for row in tune(training, batches):
        if row.step == batches.in_epoch:
            start = time.perf_counter()
    return time.perf_counter() - start


def one(backbone: Backbone, depth: Depth, examples: Examples, items: Any, cache: Path) -> dict[str, Any]:
    """Measure a rung of a network."""
    aim = aim_for("text", [e.target for e in examples.items], examples.languages)
    truth = aim.encode([e.target for e in examples.items])
    sizes = np.maximum([item.size for item in items], (truth != 0).sum(1))
    encode: Encoder = encoder(TRANSLATION, backbone, root=cache)
    opened = open_at(depth, deepcopy(backbone), encode)
    rows = np.arange(len(items))
    start = time.perf_counter()
    source = source_at(opened, encode, items, rows, 1, 0, quiet, time.perf_counter)
    making = time.perf_counter() - start
    opened.free()
    head = aim.plain(backbone, 0)
    cached = seconds_an_epoch(model_at(opened.body, head, False, "cpu"), source, truth, sizes, aim)
    model = model_at(opened.body, head, False, "cpu")
    assert opened.trunk is not None
    below = Frozen(opened.trunk)
    whole = model.loss
    model.loss = lambda x_B, codes_BT: whole(below(x_B), codes_BT)
    tokens = inputs(encode, items, rows, 0, quiet, time.perf_counter)
    looped = seconds_an_epoch(model, tokens, truth, sizes, aim)
    return {
        "network": Path(backbone.name).name,
        "rung": depth.name,
        "pairs": len(items),
        "making the cache, seconds": making,
        "from the cache, seconds an epoch": cached,
        "encoder in the loop, seconds an epoch": looped,
        "times fewer": looped / cached,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1600)
    given = parser.parse_args(arguments)
    found = read(SHARED / "multi30k", None, None, "text", "text", ("en", "fr"))
    train = [i for i, e in enumerate(found.items) if e.part == "train"][: given.pairs]
    checked = check(found.only(train), TRANSLATION.inspect, quiet)
    items = items_of(checked, TRANSLATION.size)
    small = between(open_translation_backbone(str(MARIAN)), ("en", "fr"))
    for backbone in (small, deep(small)):
        for depth in TRANSLATION.depths(backbone)[:2]:
            with tempfile.TemporaryDirectory() as cache:
                keep("cached_states", one(backbone, depth, checked.examples, items, Path(cache)))


if __name__ == "__main__":
    main()
