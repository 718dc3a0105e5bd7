"""Does the race pick the right network? Regret against the best in hindsight, its time, and what ranks networks well.

For each data set every reachable network is scored in hindsight: a linear head on all training examples, judged on the
others. Then a race is run in an empty cache, as a new user would, within its time limit, and the seconds of one
extraction of all training examples with the network that it picked are measured, in another empty cache. Libraries are
imported before. What is in results/choosing.jsonl already is not measured again.

    python -m benchmarks.choosing hymenoptera dslr      some data sets
    python -m benchmarks.choosing                       all of them, about half an hour on two cores
    python -m benchmarks.choosing --table               only what was measured so far
    python -m benchmarks.choosing --skip vgg16_features.torchvision     the slowest another time
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, SHARED, keep
from headstart.backbones.catalog import Entry, usable
from headstart.beliefs import beliefs, blended
from headstart.data.check import Checked
from headstart.encoder import Encoder, encoder
from headstart.history import Past, known_as
from headstart.metrics.interval import Measure
from headstart.options import Options
from headstart.prepare import gather, items_of
from headstart.progress import quiet
from headstart.race import ROUNDS, compete
from headstart.race_course import course_of, drawn
from headstart.race_course import run as lap
from headstart.race_field import opened
from headstart.stages.probe import probe
from headstart.stages.readout import best_readout
from headstart.stages.split import Splits, copies, cross_validation
from headstart.tasks.task import Task

NAME = "choosing"
DATA = {
    "dslr": "office_caltech10/dslr",
    "webcam": "office_caltech10/webcam",
    "hymenoptera": "hymenoptera",
    "amazon": "office_caltech10/amazon",
    "caltech10": "office_caltech10/caltech10",
    "trec": "trec",
    "sst2": "sst2",
    "banking77": "banking77",
}
"""From the smallest on; of texts at most so many are learned from:"""
MOST = 2000
CLOCK = time.perf_counter
WAYS = ("race", "LogME", "neighbours", "published", "blended", "other data")
"""Of ranking networks: a linear head, LogME and neighbours on 200 examples, accuracy on ImageNet, the first with
that blended in, accuracy on the other data sets here."""


def divided(task: Task, checked: Checked, seed: int = 0) -> tuple[Checked, Checked]:
    """Return what is learned from and what is judged: as the data say, or half of each class."""
    items = checked.examples.items
    parts = {e.part for e in items}
    train = [i for i, e in enumerate(items) if e.part in ("", "train")]
    rest = [i for i, e in enumerate(items) if e.part == ("test" if "test" in parts else "valid")]
    stratum_N = np.unique([str(items[i].target) for i in train], return_inverse=True)[1]
    if not rest:
        half = set(np.asarray(train)[drawn(stratum_N, len(train) // 2, seed)].tolist())
        return _learned(checked, sorted(half)), checked.only([i for i in train if i not in half])
    some = [train[i] for i in drawn(stratum_N, MOST, seed)]
    return _learned(checked, some), checked.only(rest)


def _learned(checked: Checked, rows: Sequence[int]) -> Checked:
    some = checked.only(rows)
    items = tuple(replace(e, part="") for e in some.examples.items)
    return replace(some, examples=replace(some.examples, items=items))


def features(encode: Encoder, checked: Checked) -> tuple[Any, list[int]]:
    """Return features of those examples that can be decoded, and which those are."""
    items = items_of(checked, encode.task.size)
    found = encode.encode(items, quiet, CLOCK)
    return found.space.take([items[i].digest for i in found.kept]), list(found.kept)


def hindsight(task: Task, entry: Entry, learned: Checked, judged: Checked, options: Options) -> dict[str, Any] | None:
    """Return how well a network does with all training examples, and what a race sees of it."""
    course = course_of(task, learned, options, quiet, CLOCK)
    contents = [e.content for e in learned.examples.items][:24]
    candidate = opened(entry, task, contents, options, CLOCK, [])
    if candidate is None:
        return None
    (x_ND, train), (test_MD, test) = (features(candidate.encode, part) for part in (learned, judged))
    target_N, aim = course.target_N[train], course.aim
    every = np.arange(len(train))
    unit_N = copies([learned.digests[i] for i in train], [])
    folds = cross_validation(every, aim.strata(target_N), unit_N, 0)[:5]
    splits = Splits(every, every[:0], folds, unit_N, 0, "")
    readouts = candidate.encode.backbone.readouts
    found, _, way = best_readout(x_ND, readouts, lambda x: probe(x, target_N, aim, splits, CLOCK))
    said_MK = found.head.logits(np.ascontiguousarray(test_MD[:, way.columns]) if way else test_MD)
    true_M = aim.encode([judged.examples.items[i].target for i in test])
    seen = lap(course, candidate, course.rows(ROUNDS[0])).runner
    return {
        "what": "hindsight", "backbone": known(entry), "accuracy": float((said_MK.argmax(1) == true_M).mean()),
        "learned": len(train), "judged": len(test), "race": seen.score.value,
        "interval": [seen.score.low, seen.score.high], "seen": seen.examples, "LogME": seen.logme,
        "neighbours": seen.neighbours, "published": candidate.prior, "milliseconds": candidate.milliseconds,
        "opening": candidate.opening,
    }  # fmt: skip


def known(entry: Entry) -> str:
    """Return a name without the folders of this machine."""
    if "+" in entry.name:
        return "+".join(known(replace(entry, name=part)) for part in entry.name.split("+"))
    place = Path(entry.name.split("@")[-1])
    named = place.parent if place.is_file() else place
    return entry.name if named == Path() or not place.exists() else named.name


def extraction(task: Task, name: str, learned: Checked) -> float:
    """Return the seconds of opening a network and extracting all training examples, from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        start = CLOCK()
        features(encoder(task, task.several(task.backbone(name)), "auto", Path(folder)), learned)
        return CLOCK() - start


def raced(task: Task, learned: Checked, options: Options) -> dict[str, Any]:
    """Return what a race in an empty cache picks, and how long it and one extraction take."""
    with tempfile.TemporaryDirectory() as folder:
        start = CLOCK()
        entries = usable([SHARED.parent / "backbones"])
        found = compete(task, learned, replace(options, cache=folder), entries, quiet, CLOCK)
        seconds = CLOCK() - start
    of = {e.name: known(e) for e in entries}

    def told(text: str) -> str:
        for name in sorted(of, key=len, reverse=True):
            text = text.replace(name, of[name])
        return text

    whole = extraction(task, found.pick, learned)
    ran = {told(r.name): [r.examples, round(r.expected, 4), r.cut] for r in found.runners}
    return {
        "what": "race", "pick": told(found.pick), "why": told(found.why), "seconds": seconds, "extraction": whole,
        "times": seconds / whole, "joint": told(found.joint), "ran": ran,
        "left out": {told(name): told(why) for name, why in found.failed},
    }  # fmt: skip


def so_far() -> list[dict[str, Any]]:
    """Return the rows that are there."""
    path = RESULTS / f"{NAME}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(data: str, cache: str, skip: Sequence[str]) -> None:
    """Measure what is missing of a data set, but for some networks' score in hindsight."""
    done = {(r["what"], r.get("backbone", "")) for r in so_far() if r["data"] == data}
    entries = usable([SHARED.parent / "backbones"])
    options = Options(str(SHARED / DATA[data]), cache=cache)
    task, checked = gather(options, quiet)
    mine = [e for e in entries if e.kind == task.kind]
    learned, judged = divided(task, checked)
    if ("race", "") not in done:
        extraction(task, mine[0].name, learned.only(range(16)))  # libraries are loaded
        keep(NAME, {"data": data, **raced(task, learned, options)})
    full = {known(e): e.name for e in mine}
    for race in (r for r in so_far() if r["data"] == data and r["what"] == "race" and "+" in r["pick"]):
        both = "+".join(full[part] for part in race["pick"].split("+"))
        mine = [*mine, replace(mine[0], name=both, architecture="joined")]
    for entry in mine:
        wanted = known(entry) not in skip and ("hindsight", known(entry)) not in done
        if wanted and (row := hindsight(task, entry, learned, judged, options)):
            keep(NAME, {"data": data, **row})


def tau(values: Sequence[float | None], truth: Sequence[float]) -> float:
    """Return the weighted Kendall tau; networks of which nothing is known stand in the middle."""
    from scipy.stats import weightedtau  # type: ignore[import-untyped]

    middle = mean([v for v in values if v is not None] or [0.0])
    if len({middle if v is None else v for v in values}) == 1:
        return 0.0  # nothing is known, so nothing is ranked
    return float(weightedtau([middle if v is None else v for v in values], truth).statistic)


def ranks(rows: Sequence[dict[str, Any]], mine: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return how well each way ranks the networks of one data set."""
    truth, data = [r["accuracy"] for r in mine], mine[0]["data"]
    out = {way: tau([r[way] for r in mine], truth) for way in WAYS[:4]}
    others = [Past(r["data"], "", known_as(r["backbone"]), "", r["accuracy"]) for r in rows if r["data"] != data]
    believed = beliefs([None] * len(mine), [r["backbone"] for r in mine], others)
    scores = [Measure("", r["race"], *r["interval"]) for r in mine]
    prior = beliefs([r["published"] for r in mine], [r["backbone"] for r in mine], [])
    both = blended(scores, [r["seen"] for r in mine], prior)
    return out | {"blended": tau(both, truth), "other data": tau([-b.value for b in believed], truth)}


def table() -> None:
    """Print regret, times and rank correlations of what was measured."""
    rows = [r for r in so_far() if r["what"] == "hindsight"]
    regrets, correlations = [], []
    print("| data | networks | pick | best in hindsight | regret, points | race, s | one extraction, s | times |")
    for race in (r for r in so_far() if r["what"] == "race"):
        mine = [r for r in rows if r["data"] == race["data"]]
        score = {r["backbone"]: r["accuracy"] for r in mine}
        if race["pick"] in score:
            best = max(score, key=score.__getitem__)
            regrets.append(100 * (score[best] - score[race["pick"]]))
            correlations.append((len(mine), ranks(rows, mine)))
            figures = (regrets[-1], race["seconds"], race["extraction"], race["times"])
            print(
                "|", " | ".join([race["data"], str(len(mine)), race["pick"], best, *(f"{v:.2f}" for v in figures)]), "|"
            )
    print(f"mean regret: {mean(regrets or [np.nan]):.2f} points over {len(regrets)} data sets")
    for what, some in (("all", correlations), ("of more than two networks", [c for c in correlations if c[0] > 2])):
        means = {way: mean(c[way] for _, c in some) for way in WAYS} if some else {}
        print(f"weighted Kendall tau, {what} ({len(some)}): " + ", ".join(f"{w} {v:.2f}" for w, v in means.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="DATA", help=", ".join(DATA))
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="leave a network out in hindsight")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as cache:
        for data in [] if given.table else given.data or DATA:
            measure(data, cache, given.skip)
    table()


if __name__ == "__main__":
    main()
