"""The whole command on pairs of sentences: a first model from nothing, a related language, a new domain.

Each line is a `fit` in a process of its own, judged once on its test part; the figures are those of scores.json.

    python -m benchmarks.translations first --budget 1h      multi30k en-fr from nothing
    python -m benchmarks.translations related --budget 5m    en-de, 1,000 pairs: from --backbone, and from nothing
    python -m benchmarks.translations domain --budget 5m     medical, --counts 500 2000 pairs: from --backbone, with
                                                             and without --keep, and from nothing
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SHARED, keep
from headstart.data.read import read
from headstart.metrics.interval import between, resamples
from headstart.metrics.translations import Translated, score

MULTI30K = SHARED / "multi30k"
MARIAN = SHARED.parent / "backbones" / "marian-small-en-fr"
NEW = "new:marian-small"
JUDGED = 200
"""Pairs of the medical data that are held out, and as many to choose by."""
CHOSEN = 300
"""Captions to choose by, where there are few to learn from: all 1,014 take a minute each time that they are written."""
Pairs = Sequence[tuple[str, str]]


def lines(part: str, language: str) -> list[str]:
    """Return the sentences of a part of multi30k."""
    return gzip.decompress((MULTI30K / f"{part}.{language}.gz").read_bytes()).decode().splitlines()


def multi30k(folder: Path, source: str, target: str, count: int | None = None) -> Path:
    """Write pairs of multi30k, the first so many of its training part; returns the folder."""
    folder.mkdir(parents=True)
    for part in ("train", "val", "test_2016_flickr"):
        for language in (source, target):
            some = lines(part, language)[: {"train": count, "val": count and CHOSEN}.get(part)]
            (folder / f"{part}.{language}").write_text("".join(f"{line}\n" for line in some), encoding="utf-8")
    return folder


def medical(folder: Path, count: int, seed: int) -> Path:
    """Write so many medical pairs to learn from, others to choose by and to be judged; returns the folder."""
    found = read(SHARED / "tico19_en_fr", None, None, "text", "text", ("en", "fr"))
    order = np.random.default_rng(20).permutation(len(found.items))  # what is judged is the same for all seeds
    rest = np.random.default_rng(seed).permutation(order[2 * JUDGED :])
    parts = {"test": order[:JUDGED], "valid": order[JUDGED : 2 * JUDGED], "train": rest[:count]}
    folder.mkdir(parents=True)
    for part, rows in parts.items():
        chosen = [found.items[int(i)] for i in rows]
        _write(folder / f"{part}.tsv", ((e.content.read().decode(), str(e.target)) for e in chosen))
    return folder


def general(file: Path, count: int = 4000) -> Path:
    """Write general pairs: captions that the shared network was trained on; returns the file."""
    _write(file, zip(lines("train", "en")[:count], lines("train", "fr")[:count], strict=True))
    return file


def _write(file: Path, pairs: Iterable[tuple[str, str]]) -> None:
    def plain(text: str) -> str:
        return " ".join(text.split()).replace('"', "''")

    file.write_text("en\tfr\n" + "".join(f"{plain(s)}\t{plain(t)}\n" for s, t in pairs), encoding="utf-8")


def fitted(words: Sequence[str], out: Path) -> dict[str, Any]:
    """Run `fit` in a process of its own; returns its scores and the process's seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "headstart", "fit", *words, "--out", str(out), "--no-scratch"]
    subprocess.run([*command, "--cache", str(out.parent / "cache")], check=True)
    return {**json.loads((out / "scores.json").read_text()), "took": time.perf_counter() - start}


def on_captions(model: Path, folder: Path) -> str:
    """Return a model's BLEU on the captions of multi30k's test, with its interval."""
    data = folder / "captions"
    if not data.exists():
        data.mkdir()
        pairs = zip(lines("test_2016_flickr", "en"), lines("test_2016_flickr", "fr"), strict=True)
        _write(data / "test.tsv", pairs)
    command = [sys.executable, "-m", "headstart", "evaluate", str(model), str(data), "--json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return measured(said["measures"])


def measured(measures: Sequence[dict[str, Any]]) -> str:
    """Return measures with their intervals, in one line."""
    return "; ".join(f"{m['name']} {m['value']:.1f} ({m['low']:.1f} to {m['high']:.1f})" for m in measures)


def figures(what: str, backbone: str, budget: str, scores: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a run."""
    before, kept = scores.get("before"), scores.get("general")
    return {
        "what": what,
        "backbone": backbone,
        "budget": budget,
        "pairs": scores["examples"]["train"],
        "shipped": scores["rung"],
        "test": measured(scores["measures"]),
        "as it was": json.dumps({k: round(v, 1) for k, v in before["measures"].items()}) if before else "",
        "change": f"{before['gain']['value']:+.1f} ({before['gain']['low']:+.1f} to {before['gain']['high']:+.1f})"
        if before
        else "",
        "general": kept["sentence"] if kept else "",
        "seconds": scores["took"],
    }


def first(given: argparse.Namespace, folder: Path) -> None:
    """A first model from nothing."""
    data = multi30k(folder / "data", "en", "fr")
    words = [str(data), "--backbone", NEW, "--budget", given.budget, "--seed", str(given.seed)]
    found = figures("en-fr", NEW, given.budget, fitted(words, folder / "model"))
    keep("translations", {**found, "seed": given.seed})


def related(given: argparse.Namespace, folder: Path) -> None:
    """Another language, with few pairs: from a model of the first, and from nothing with the same time."""
    data = multi30k(folder / "data", "en", "de", given.pairs)
    for run, name in (("moved", given.backbone), ("new", NEW)):
        if run in given.runs:
            words = [str(data), "--from", "en", "--to", "de", "--backbone", name, "--budget", given.budget]
            scores = fitted([*words, "--seed", str(given.seed)], folder / run)
            keep("translations", {**figures("en-de", Path(name).name, given.budget, scores), "seed": given.seed})
    if {"moved", "new"} <= set(given.runs):
        keep("translations", {"what": "en-de, worth", "seed": given.seed, **worth(folder, "de")})


def worth(folder: Path, language: str) -> dict[str, str]:
    """Return by how much the captions' translations of the model in `moved` are better than those of the one in `new`,
    by the paired bootstrap."""
    source, wanted = ("\n".join(lines("test_2016_flickr", which)) for which in ("en", language))
    said = []
    for run in ("moved", "new"):
        command = [sys.executable, "-m", "headstart", "predict", str(folder / run)]
        done = subprocess.run(command, input=source, check=True, capture_output=True, text=True)
        said.append(Translated.of(done.stdout.splitlines(), wanted.splitlines(), language))

    def better(weight_N: NDArray[np.float64]) -> dict[str, float]:
        one, other = (score(each, weight_N) for each in said)
        return {name: one[name] - other[name] for name in one}

    count = len(wanted.splitlines())
    drawn = [better(times_N.astype(np.float64)) for times_N in resamples(count, 0)]
    whole = better(np.ones(count))
    found = [between(name, value, [each[name] for each in drawn]) for name, value in whole.items()]
    return {f"{m.name}, better by": f"{m.value:+.1f} ({m.low:+.1f} to {m.high:+.1f})" for m in found}


def domain(given: argparse.Namespace, folder: Path) -> None:
    """Medical texts."""
    pairs = general(folder / "general.tsv")
    for count in given.counts:
        data = medical(folder / f"data-{count}", count, given.seed)
        runs = {"moved": [given.backbone], "kept": [given.backbone, "--keep", str(pairs)], "new": [NEW]}
        for name in given.runs:
            backbone = runs[name]
            out = folder / f"{name}-{count}"
            words = [str(data), "--from", "en", "--to", "fr", "--budget", given.budget, "--seed", str(given.seed)]
            scores = fitted([*words, "--backbone", *backbone], out)
            found = figures(f"medical, {name}", Path(backbone[0]).name, given.budget, scores)
            keep("translations", {**found, "seed": given.seed, "on captions": on_captions(out, folder)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("first", "related", "domain"))
    parser.add_argument("--backbone", default=str(MARIAN))
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 2000], help="pairs of the medical data")
    parser.add_argument("--runs", nargs="+", default=["moved", "kept", "new"], choices=["moved", "kept", "new"],
                        help="from --backbone, of the medical data with --keep, from nothing")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", default="", help="where models go; else they are removed")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(given.folder or made)
        folder.mkdir(parents=True, exist_ok=True)
        {"first": first, "related": related, "domain": domain}[given.what](given, folder)


if __name__ == "__main__":
    main()
