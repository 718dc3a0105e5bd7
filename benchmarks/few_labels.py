"""Few labels: eight texts a class, seed by seed. The ladder against its linear head and against plain full fine-tuning.

Each seed draws its own eight texts of each class from the training part and is judged on the same test part. Plain full
fine-tuning is what a tutorial shows: `AutoModelForSequenceClassification` with a fresh head on the same encoder, all
layers, AdamW at 5e-5 with warm-up and linear decay, dropout, batches of 8, 20 epochs, in plain PyTorch.

    python -m benchmarks.few_labels sst2            about 5 min a seed on two cores; also trec
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.common import SHARED, keep, spread
from benchmarks.ladder import fitted
from headstart.backbones.texts import default_folder
from headstart.data.examples import Example
from headstart.data.read import read

RATE, EPOCHS, BATCH = 5e-5, 20, 8


def text_of(example: Example) -> str:
    """Return an example's text."""
    return example.content.read().decode()


def drawn(train: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Return so many examples of each class."""
    rng = np.random.default_rng([seed, 0xF3])
    classes = sorted({e.target for e in train})
    of = {c: [e for e in train if e.target == c] for c in classes}
    return [of[c][i] for c in classes for i in rng.choice(len(of[c]), min(shots, len(of[c])), replace=False)]


def write(path: Path, examples: Sequence[Example]) -> str:
    """Write a table of texts and labels."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text_of(e), e.target) for e in examples)
    return str(path)


def plain(few: Sequence[Example], test: Sequence[Example], seed: int) -> float:
    """Return the test accuracy of plain full fine-tuning."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup

    torch.manual_seed(seed)
    labels = sorted({e.target for e in few})
    tokenizer: Any = AutoTokenizer.from_pretrained(default_folder())
    model = AutoModelForSequenceClassification.from_pretrained(default_folder(), num_labels=len(labels))
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    steps = EPOCHS * -(-len(few) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    rng = np.random.default_rng(seed)

    def logits(examples: Sequence[Example]) -> torch.Tensor:
        batch = tokenizer([text_of(e) for e in examples], padding=True, truncation=True, return_tensors="pt")
        return model(**batch).logits

    model.train()
    for _ in range(EPOCHS):
        order = rng.permutation(len(few))
        for at in range(0, len(few), BATCH):
            some = [few[i] for i in order[at : at + BATCH]]
            target = torch.tensor([labels.index(e.target) for e in some])
            optimizer.zero_grad()
            F.cross_entropy(logits(some), target).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    model.eval()
    ordered = sorted(test, key=lambda e: len(text_of(e)))
    right = 0
    with torch.inference_mode():
        for at in range(0, len(ordered), 64):
            some = ordered[at : at + 64]
            said = logits(some).argmax(1).tolist()
            right += sum(labels[k] == e.target for k, e in zip(said, some, strict=True))
    return right / len(ordered)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="sst2")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further words for the ladder's `fit`")
    given = parser.parse_args(arguments)
    items = read(SHARED / given.data).items
    test = [e for e in items if e.part == "test"]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        held = write(folder / "held.csv", test)
        for seed in range(given.first, given.first + given.seeds):
            few = drawn([e for e in items if e.part == "train"], given.shots, seed)
            words = [write(folder / "few.csv", few), "--test", held, "--seed", str(seed)]
            linear, _ = fitted([*words, "--budget", "0"], folder)
            ladder, took = fitted([*words, "--budget", given.budget, *given.more], folder)
            rows.append({
                "data": given.data, "shots": given.shots, "seed": seed,
                "linear head": linear["headline"]["value"], "ladder": ladder["headline"]["value"],
                "plain fine-tuning": plain(few, test, seed), "shipped": ladder["rung"], "seconds": took,
                "gains": [[r["name"], r["gain"]["value"], r["gain"]["standard_error"], r["status"]]
                          for r in ladder["rungs"][2:]],
            })  # fmt: skip
            keep("few_labels", rows[-1])
    for each in ("linear head", "ladder", "plain fine-tuning"):
        print(f"{each:>44}: {spread([r[each] for r in rows])}")


if __name__ == "__main__":
    main()
