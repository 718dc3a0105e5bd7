"""Boxes on bccd: the whole command, and beside it the same detector from random weights with the same time.

Both are trained in a process of their own and judged once on bccd's own test pictures. A `fit` is given the budget;
the other, see `benchmarks.from_random`, trains for as many seconds as that process took in all.

    python -m benchmarks.boxes default --budget 20m    the default network with a new pyramid and head
    python -m benchmarks.boxes vgg16 --budget 20m      the same on VGG-16's convolutional layers
    python -m benchmarks.boxes ssd300 --budget 40m     torchvision's SSD300 on the same weights
    python -m benchmarks.boxes --table                 what was measured so far
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, SHARED, keep
from benchmarks.translations import fitted

BCCD = SHARED / "bccd"
VGG = SHARED.parent / "backbones" / "vgg16_features.torchvision" / "model.safetensors"
BACKBONES = {"default": "default", "vgg16": f"vgg16@{VGG}", "ssd300": f"ssd300_vgg16:vgg16@{VGG}"}
SHOWN = ("AP50", "AP")
"""Measures that are kept and shown."""
COLUMNS = ("network", "start", "budget", "seed", *SHOWN, "seconds", "what was done")


def from_random(what: str, given: argparse.Namespace, folder: Path, seconds: float) -> dict[str, Any]:
    """Train the same detector from random weights, in a process of its own; returns what came of it."""
    out = folder / "random.json"
    command = [sys.executable, "-m", "benchmarks.from_random", str(BCCD), "--backbone", BACKBONES[what]]
    command += ["--model", str(folder / "model"), "--cache", str(folder / "cache"), "--out", str(out)]
    subprocess.run([*command, "--seconds", f"{seconds:.0f}", "--seed", str(given.seed)], check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def told(measure: dict[str, Any]) -> str:
    """Return a measure with its interval."""
    return f"{measure['value']:.3f} ({measure['low']:.3f} to {measure['high']:.3f})"


def measures(scores: dict[str, Any]) -> dict[str, str]:
    """Return the measures that are kept, by their names."""
    return {m["name"]: told(m) for m in scores["measures"] if m["name"] in SHOWN}


def transferred(scores: dict[str, Any]) -> str:
    """Say what a `fit` did."""
    rungs = "; ".join(f"{r['name']} {r['headline']['value']:.3f} on validation" for r in scores["rungs"])
    untried = "".join(f"; not {u['name']}: {u['reason']}" for u in scores["untried"])
    return f"shipped {scores['rung']}: {rungs}{untried}"


def began_anew(found: dict[str, Any]) -> str:
    """Say what training from random weights did."""
    return (
        f"everything, {found['steps']} of {found['planned']} steps of {found['batch']} pictures at {found['rate']:g}, "
        f"checkpoint {found['checkpoint']}, {found['valid']:.3f} on validation; pretraining was worth "
        f"{told(found['gain'])} of {found['gain']['name']}"
    )


def pair(what: str, given: argparse.Namespace, folder: Path) -> None:
    """Run both, one after the other, and keep a row of each."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already: what an earlier run cached would save time. Name another folder.")
    folder.mkdir(parents=True)
    about = {"network": what, "budget": given.budget, "seed": given.seed}
    words = [str(BCCD), "--backbone", BACKBONES[what], "--budget", given.budget, "--seed", str(given.seed)]
    scores = fitted(words, folder / "model")
    done = {"seconds": scores["took"], "what was done": transferred(scores)}
    keep("boxes", {**about, "start": "pretrained", **measures(scores), **done})
    found = from_random(what, given, folder, scores["took"])
    done = {"seconds": found["seconds"], "what was done": began_anew(found)}
    keep("boxes", {**about, "start": "random weights", **measures(found), **done})


def table() -> str:
    """Return the rows so far as a table in Markdown."""
    file = RESULTS / "boxes.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    cells = [[str(row.get(column, "")) for column in COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(each)} |" for each in (COLUMNS, ["---"] * len(COLUMNS), *cells))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=tuple(BACKBONES))
    parser.add_argument("--budget", default="20m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="", help="where models go; else they are removed")
    parser.add_argument("--table", action="store_true", help="print the rows so far; measure nothing")
    given = parser.parse_args(arguments)
    if given.table or not given.what:
        print(table())
        return
    with tempfile.TemporaryDirectory() as made:
        pair(given.what, given, Path(given.folder or made) / f"{given.what}-{given.seed}")
    print(table())


if __name__ == "__main__":
    main()
