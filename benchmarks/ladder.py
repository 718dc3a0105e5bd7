"""The whole command on real data, seed by seed: the linear head against what the ladder ships, and the budget kept.

Each seed is two processes on one cache: `fit --budget 0`, which is the linear head, and `fit --budget TIME`. Both are
judged once on the same test examples. Also kept: the process's wall-clock seconds against the budget, what training
from scratch came to, and for each tuned rung the best held-out log loss from the linear head and from a fresh one.

    python -m benchmarks.ladder hymenoptera --budget 5m --seeds 5     30 min on two cores
    python -m benchmarks.ladder amazon-webcam --budget 5m             30 min
    python -m benchmarks.ladder platelets --budget 5m                 30 min
    python -m benchmarks.ladder sst2 --budget 15m --seeds 1           17 min; trec, banking77: --budget 10m
    python -m benchmarks.ladder bccd --budget 20m --seeds 1           25 min; objects in pictures
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import patches
from benchmarks.common import SHARED, keep, spread
from headstart.runs import seconds as length


def data_words(name: str, folder: Path) -> list[str]:
    """Return the words of the command line that give a data set: one of the names above, or a path."""
    office = SHARED / "office_caltech10"
    known = {
        "hymenoptera": lambda: [str(SHARED / "hymenoptera")],
        "amazon-webcam": lambda: [str(office / "amazon"), "--test", str(office / "webcam")],
        "webcam": lambda: [str(office / "webcam")],
        "platelets": lambda: [str(patches.write(folder / "platelets"))],
    }
    if name in ("sst2", "trec", "banking77", "bccd"):
        return [str(SHARED / name)]
    return known[name]() if name in known else [name]


def fitted(words: Sequence[str], folder: Path) -> tuple[dict[str, Any], float]:
    """Run `fit` in a process of its own; returns its scores and the process's seconds."""
    out = folder / "model"
    start = time.perf_counter()
    command = [sys.executable, "-m", "headstart", "fit", *words, "--out", str(out), "--cache", str(folder / "cache")]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads((out / "scores.json").read_text()), time.perf_counter() - start


def starts(scores: dict[str, Any]) -> dict[str, list[list[float]]]:
    """Return, a pair for each tuned rung that tried both, [log loss, headline] of the best from either start."""
    name = scores["headline"]["name"]
    found: dict[str, list[list[float]]] = {"linear": [], "fresh": []}
    for rung in scores["rungs"][3:]:
        both = {
            start: [c for c in rung["compared"] if c["setting"].startswith(f"from {said} head")]
            for start, said in (("linear", "the linear"), ("fresh", "a fresh"))
        }
        if all(both.values()):
            for start, settings in both.items():
                best = min(settings, key=lambda c: c["log_loss"])
                found[start].append([best["log_loss"], best[name]])
    return found


def one(data: Sequence[str], given: argparse.Namespace, seed: int, folder: Path) -> dict[str, Any]:
    """Measure one seed."""
    words = [*data, "--backbone", given.backbone, "--seed", str(seed)]
    linear, _ = fitted([*words, "--budget", "0"], folder)
    ladder, took = fitted([*words, "--budget", given.budget, *given.more], folder)
    scratch, rungs = ladder["scratch"], ladder["rungs"][2:]
    return {
        "data": Path(given.data).name,
        "backbone": Path(given.backbone).name,
        "seed": seed,
        "budget, seconds": length(given.budget),
        "process, seconds": took,
        "judged by": ladder["judged"]["by"],
        "linear head": linear["headline"]["value"],
        "ladder": ladder["headline"]["value"],
        "interval": [ladder["headline"]["low"], ladder["headline"]["high"]],
        "shipped": ladder["rung"],
        "gains": [[r["name"], r["gain"]["value"], r["gain"]["standard_error"], r["status"]] for r in rungs],
        "not tried": [u["name"] for u in ladder["untried"]],
        "starts": starts(ladder),
        "scratch": scratch and scratch["headline"]["value"],
        "scratch and transfer, seconds": scratch and [scratch["seconds"], scratch["transfer_seconds"]],
        "worth": scratch and scratch["worth"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="hymenoptera", help="a name as above, or a path")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further words for the ladder's `fit`")
    given = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = data_words(given.data, Path(folder))
        for seed in range(given.first, given.first + given.seeds):
            rows.append(one(data, given, seed, Path(folder)))
            keep("ladder", rows[-1])
    for name in ("linear head", "ladder"):
        print(f"{name:>44}: {spread([r[name] for r in rows])}")
    print(f"{'ladder less linear head':>44}: {spread([r['ladder'] - r['linear head'] for r in rows])}")


if __name__ == "__main__":
    main()
