"""race: which pretrained network suits these data, measured on a few hundred of them, in rounds that drop the worse.

What decides is the held-out score of the linear head on cached features, as in `fit`. Published evidence says that
scores of transferability do not beat a good prior, so the prior breaks ties; LogME and nearest neighbours are shown
beside it. The features go to the cache that `fit` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.aims import aim_for
from headstart.aims.aim import Aim, Index, Truth
from headstart.backbones.catalog import Entry
from headstart.backbones.priors import published
from headstart.data.check import Checked
from headstart.data.examples import Content
from headstart.encoder import Encoder, encoder
from headstart.errors import BackboneError, DataError
from headstart.metrics.interval import Measure, measured
from headstart.metrics.logme import logme
from headstart.options import Options
from headstart.prepare import gather, items_of
from headstart.progress import Track
from headstart.race_values import Candidate, Ranking, Run, Runner
from headstart.runs import Tell
from headstart.stages.encode import features_of, sample
from headstart.stages.judge import paired
from headstart.stages.probe import Probe, probe
from headstart.stages.readout import best_readout
from headstart.stages.split import Splits, copies, cross_validation
from headstart.tasks.task import Task

ROUNDS = (200, 500)
"""Examples of each round."""
KEPT = 0.5
TIMED = 24
"""Examples that the speed of a network is measured on."""


def race(
    options: Options, entries: Sequence[Entry], track: Track, clock: Callable[[], float], tell: Tell = lambda _: None
) -> Ranking:
    """Let networks run against each other on a part of the training examples.

    Args:
        options: says the data, seed, precision and cache.
        entries: the candidates; those of another kind than the data are passed over.
        track: shows progress.
        clock: seconds.
        tell: told in a line what is going on.

    Raises:
        DataError: the data cannot be read, or no candidate can be used on them.
    """
    began = clock()
    task, checked = gather(options, track)
    examples = checked.examples
    learned = [i for i, e in enumerate(examples.items) if e.part in ("", "train")]
    aim = aim_for(examples.goal, [examples.items[i].target for i in learned])
    if aim.costly:
        raise DataError("Networks are ranked for labels and numbers, not for boxes yet.", found=examples.how)
    kept = checked.only(learned)
    target_N = aim.encode([e.target for e in kept.examples.items])
    failed: list[tuple[str, str]] = []
    contents = [e.content for e in kept.examples.items[:: max(1, len(kept.examples) // TIMED)]][:TIMED]
    tell("Measuring how fast each network is here …")
    opened = [
        c
        for entry in entries
        if entry.kind == task.kind and (c := _opened(entry, task, contents, options, clock, failed))
    ]
    candidates = front(_different(opened), failed)
    runs: dict[str, Run] = {}
    for number, most in enumerate(ROUNDS, 1):
        rows = drawn(aim.strata(target_N), most, options.seed)
        tell(f"Round {number}: {len(candidates)} networks on {len(rows)} examples.")
        for entry in candidates:
            runs[entry.entry.name] = _run(entry, kept, rows, target_N, aim, options.seed, track, clock)
        if number < len(ROUNDS) and len(rows) < len(kept.digests):
            candidates = _better_half(candidates, runs, number)
        else:
            break
    if not runs:
        raise DataError("No network here can be used on these data.", found="; ".join(f"{n}: {w}" for n, w in failed))
    ranked = sorted(runs.values(), key=lambda run: (run.runner.dropped or 99, _worth(run.runner)), reverse=True)
    pick, why = chosen([run for run in ranked if not run.runner.dropped])
    return Ranking(
        tuple(run.runner for run in ranked), tuple(failed), pick, why, clock() - began, ranked[0].runner.score.name
    )


def _opened(
    entry: Entry,
    task: Task,
    contents: Sequence[Content],
    options: Options,
    clock: Callable[[], float],
    failed: list[tuple[str, str]],
) -> Candidate | None:
    """Open a network and measure it; None, and the reason noted, where it cannot be used."""
    try:
        backbone = task.backbone(entry.name)
        encode = encoder(task, backbone, options.precision, Path(options.cache) if options.cache else None)
        return Candidate(entry, encode, published(entry.architecture), _milliseconds(encode, contents, clock))
    except BackboneError as error:
        failed.append((entry.name, error.what))
        return None


def _different(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates without those whose weights another has."""
    first = {c.encode.backbone.weights: c for c in reversed(candidates)}
    return [c for c in candidates if first[c.encode.backbone.weights] is c]


def front(candidates: Sequence[Candidate], failed: list[tuple[str, str]]) -> list[Candidate]:
    """Return the candidates that no other beats in both, published accuracy and measured speed.

    Those of which nothing is published stay. Why the others do not run is noted.
    """
    out = []
    for c in candidates:
        better = [
            o
            for o in candidates
            if c.prior is not None and o.prior is not None and o.prior > c.prior and o.milliseconds < c.milliseconds
        ]
        if better:
            o = max(better, key=lambda o: o.prior or 0.0)
            faster = f"is faster ({o.milliseconds:.0f} ms against {c.milliseconds:.0f})"
            said = f"{o.entry.name} {faster} and published as better ({o.prior:.1f} against {c.prior:.1f} on ImageNet)"
            failed.append((c.entry.name, said))
        else:
            out.append(c)
    return out


def drawn(stratum_N: Index, most: int, seed: int) -> Index:
    """Return so many examples, of each stratum its share but no fewer than ten where it has them; all where there are
    no more."""
    if len(stratum_N) <= most:
        return np.arange(len(stratum_N))
    rng = np.random.default_rng([seed, 0x4ACE])
    picked = []
    for k in np.unique(stratum_N):
        mine = rng.permutation(np.flatnonzero(stratum_N == k))
        picked.append(mine[: max(min(10, len(mine)), round(most * len(mine) / len(stratum_N)))])
    return np.sort(np.concatenate(picked))


def _run(
    candidate: Candidate,
    checked: Checked,
    rows: Index,
    target_N: Truth,
    aim: Aim,
    seed: int,
    track: Track,
    clock: Callable[[], float],
) -> Run:
    """Score a candidate on some examples."""
    entry, encode = candidate.entry, candidate.encode
    backbone = encode.backbone
    items = items_of(checked.only([int(i) for i in rows]), encode.task.size)
    features = encode.encode(items, track, clock)
    digests = [items[i].digest for i in features.kept]
    x_ND, mine_N = features.space.take(digests), target_N[rows][list(features.kept)]
    unit_N = copies(digests, [])
    every = np.arange(len(digests))
    folds = cross_validation(every, aim.strata(mine_N), unit_N, seed)[:5]
    splits = Splits(every, every[:0], folds, unit_N, 0, "")
    found, x_ND, way = best_readout(x_ND, backbone.readouts, lambda x: probe(x, mine_N, aim, splits, clock))
    score, merit_R = _scored(found, mine_N, unit_N, aim, seed)
    near = aim.scoring.read(found.rungs[1].chosen_RK, mine_N[found.row_R]).merit_N
    runner = Runner(
        entry.name,
        entry.licence,
        entry.parameters,
        candidate.prior,
        score,
        float(near.mean()),
        logme(x_ND, aim.spread(mine_N)),
        len(digests),
        candidate.milliseconds,
        way.name if way else backbone.cut,
    )
    return Run(runner, merit_R, np.asarray(found.row_R))


def _milliseconds(encode: Encoder, contents: Sequence[Content], clock: Callable[[], float]) -> float:
    """Return what an example takes through the network in its engine, decoding included; past the cache."""
    inputs = sample(contents, encode.load)
    engine = encode.choose(inputs).engine
    list(engine.run(inputs))  # the first run warms up
    start = clock()
    count = sum(1 for _ in features_of(contents, encode.load, engine, encode.threads))
    return 1000 * (clock() - start) / max(1, count)


def _scored(found: Probe, target_N: Truth, unit_N: Index, aim: Aim, seed: int) -> tuple[Measure, Any]:
    rung, row_R = found.rungs[-1], found.row_R
    data = aim.scoring.read(rung.chosen_RK, target_N[row_R])
    place_R = np.unique(unit_N[row_R], return_inverse=True)[1]
    bounded = dict.fromkeys(aim.scoring.shares, int(place_R.max()) + 1)
    return measured(lambda weight: aim.scoring.score(data, weight), place_R, seed, bounded)[0], data.merit_N


def _worth(runner: Runner) -> tuple[float, float]:
    """Return what runners are compared by: the held-out score; the prior breaks ties."""
    return round(runner.score.value, 4), runner.prior or 0.0


def _better_half(candidates: Sequence[Candidate], runs: dict[str, Run], number: int) -> list[Candidate]:
    """Return the better half of the candidates, two at least, and note in the others when they were dropped."""
    ranked = sorted(candidates, key=lambda c: _worth(runs[c.entry.name].runner), reverse=True)
    stay = ranked[: max(2, round(len(ranked) * KEPT))]
    for each in ranked[len(stay) :]:
        run = runs[each.entry.name]
        runs[each.entry.name] = replace(run, runner=replace(run.runner, dropped=number))
    return stay


def chosen(runs: Sequence[Run]) -> tuple[str, str]:
    """Return which network to take, and why: the best, or a faster one that is no worse beyond noise."""
    best = runs[0]
    faster = [run for run in runs[1:] if run.runner.milliseconds < 0.8 * best.runner.milliseconds]
    for run in sorted(faster, key=lambda run: run.runner.milliseconds):
        if len(run.merit_R) != len(best.merit_R) or not np.array_equal(run.row_R, best.row_R):
            continue
        value, error = paired(best.merit_R, run.merit_R, run.row_R)
        if value <= error:
            times = best.runner.milliseconds / run.runner.milliseconds
            noise = f"no difference to {best.runner.name} beyond noise ({value:+.3f} ± {error:.3f})"
            return run.runner.name, f"{noise}, and {times:.1f} times as fast"
    if len(runs) == 1:
        return best.runner.name, "the only one that could be used"
    second = runs[1]
    gap = best.runner.score.value - second.runner.score.value
    return best.runner.name, f"the best score, {gap:+.3f} before {second.runner.name}"
