"""Texts a second through a frozen encoder: headstart's way against loops over transformers' own model, in one run.

Three ways to the same vectors, the mean over the tokens after the last layer of the default encoder:

* eager PyTorch, float32, batches of 32 as they come, every text filled up to 128 tokens: what most examples show;
* the same, sorted by length and filled up to the longest of the batch;
* headstart's `encode`: batches of one length in an inference engine, tokenizing and the cache on disk in the time.

    python -m benchmarks.text_extraction            4 min on two cores

Expected: at least 8 times the first, at least twice the second.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import SHARED, keep, seconds
from headstart.backbones.texts import default_folder, open_text_backbone
from headstart.data.read import read
from headstart.encoder import encoder
from headstart.progress import quiet
from headstart.stages.encode import Item
from headstart.tasks import task_named

BATCH, FILLED = 32, 128


def texts(data: Path, most: int) -> list[str]:
    """Return the first training texts of a data set."""
    return [e.content.read().decode() for e in read(data).items if e.part == "train"][:most]


def eager(model: Any, tokenizer: Any, some: Sequence[str], length: int | None) -> np.ndarray[Any, Any]:
    """Return the mean over the tokens, in the order given; `length` None fills up to the longest of a batch."""
    out = []
    padding: Any = "longest" if length is None else "max_length"
    with torch.inference_mode():
        for at in range(0, len(some), BATCH):
            batch = tokenizer(
                some[at : at + BATCH], padding=padding, truncation=True, max_length=length or 512, return_tensors="pt"
            )
            hidden_NLD = model(**batch).last_hidden_state
            there_NL1 = batch["attention_mask"].unsqueeze(-1)
            out.append(((hidden_NLD * there_NL1).sum(1) / there_NL1.sum(1)).numpy())
    return np.concatenate(out)


def items(some: Sequence[str]) -> Iterator[Item]:
    """Yield texts as `encode` takes them."""
    task = task_named("text-classification")
    for i, text in enumerate(some):
        content = task.given(text)
        yield Item(str(i), sha256(content.read()).hexdigest(), content, task.size(content))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    from transformers import AutoModel, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(SHARED / "sst2"))
    parser.add_argument("--texts", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    some = texts(Path(given.data), given.texts)
    tokenizer = AutoTokenizer.from_pretrained(default_folder())
    model = AutoModel.from_pretrained(default_folder(), dtype="float32").eval()
    task = task_named("text-classification")
    narrow = open_text_backbone("default").readouts[0].open()
    by_length = sorted(some, key=len)
    eager(model, tokenizer, some[:BATCH], FILLED)
    with tempfile.TemporaryDirectory() as folder:
        warm = encoder(task, narrow, root=Path(folder) / "warm")
        warm.encode(list(items(some[:64])), quiet, lambda: 0.0)  # converts the network, once for all runs of a user's
        times: dict[str, list[float]] = {"filled up to 128": [], "sorted": [], "headstart": []}
        for repeat in range(given.repeats):
            times["filled up to 128"].append(seconds(lambda: eager(model, tokenizer, some, FILLED)))
            times["sorted"].append(seconds(lambda: eager(model, tokenizer, by_length, None)))
            into = encoder(task, narrow, root=Path(folder) / str(repeat))
            into.kept.parent.mkdir(parents=True)
            warm.kept.rename(into.kept)
            times["headstart"].append(seconds(partial(into.encode, list(items(some)), quiet, lambda: 0.0)))
            into.kept.rename(warm.kept)
        features = into.encode(list(items(some)), quiet, lambda: 0.0)
        ours = features.space.take([i.digest for i in items(some)])
    truth = eager(model, tokenizer, some, None)
    truth = (truth - truth.mean(1, keepdims=True)) / truth.std(1, keepdims=True)
    best = {name: min(each) for name, each in times.items()}
    keep(
        "text_extraction",
        {
            "data": Path(given.data).name, "texts": len(some), "engine": features.engine,
            **{f"{name}, texts a second": len(some) / took for name, took in best.items()},
            "ratio to filled up": best["filled up to 128"] / best["headstart"],
            "ratio to sorted": best["sorted"] / best["headstart"],
            "largest difference": float(np.abs(ours - truth).max()),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
