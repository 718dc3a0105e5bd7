"""A detector from random weights, trained for as many seconds as another run took: the yardstick of `benchmarks.boxes`.

The same network, head and split, all of it trained, with no straw man's settings: views drawn anew in each epoch,
averaged weights, statistics computed from these, a rate chosen by short trials where there is time for them, and the
checkpoint that did best on validation pictures. The seconds are of training, trials and validation; reading the data
and the test come on top, so that it has rather more time than the other run.

    python -m benchmarks.from_random DATA --backbone NAME --model FOLDER --seconds 1200 --out scores.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import seconds as seconds_of
from headstart import predictor
from headstart.backbones.engine import device
from headstart.encoder import encoder
from headstart.metrics.interval import Measure, measured
from headstart.options import Options
from headstart.prepare import decodable, divide, gather, items_of
from headstart.progress import bars
from headstart.ragged import pile
from headstart.stages.batches import Batches, Source
from headstart.stages.ground import Ground
from headstart.stages.held import logits_of
from headstart.stages.levels import BATCH
from headstart.stages.loops import counted, within
from headstart.stages.probe import Probe
from headstart.stages.readout import alike
from headstart.stages.scratch import DECAY, RATES, random_model, settle, worth
from headstart.stages.sources import inputs
from headstart.stages.speed import Learned, step_seconds
from headstart.stages.split import Index
from headstart.stages.trial import begun
from headstart.stages.tune import Recipe, Tensors, Training, tune

WANTED = 300
"""Steps: where a step of a usual batch takes too long for so many, batches are smaller."""
LEAST_BATCH = 4
TRIAL = 20
"""Steps in which a rate can be told from another; where a tenth of the time has no room for so many, none is tried."""
LOOKS = (2, 8)
LOOKING = 0.15
"""Share of the time that validation may take, between so few and so many looks."""
LATE = 1.15
"""It is stopped after so many times its seconds: the schedule was made for these, by a measured step."""
Left = Callable[[], float]


@dataclass(frozen=True)
class Run:
    """How it is trained: a batch, seconds of a step, seconds of a look at the validation pictures."""

    batch: int
    step: float
    look: float


@dataclass(frozen=True)
class Best:
    """The checkpoint that did best on validation pictures: their headline measure, the step, the weights."""

    value: float
    step: int
    weights: Tensors


def ground_of(options: Options, folder: Path) -> Ground:
    """Read the data and split them as `fit` does; its cache has all features already."""
    task, checked = gather(options, bars)
    backbone = task.fitted(task.backbone(options.backbone), checked.examples)
    encode = replace(encoder(task, backbone, options.precision, Path(options.cache)), backbone=backbone)
    features = encode.encode(items_of(checked, task.size), bars, time.perf_counter)
    data, x_ND = decodable(checked, features, None)
    d = divide(data, alike(x_ND, backbone), options.seed)
    head = d.aim.plain(backbone, options.seed)
    probe = Probe((), d.splits.folds[0][1], head, "", lambda _: head)
    return Ground(
        encode, items_of(data, task.size), d.target_N, d.splits, probe, d.aim,
        options.seed, folder, options.workers, device(), bars, time.perf_counter, lambda name, row: None,
    )  # fmt: skip


def speed_of(ground: Ground, source: Source, size: int) -> float:
    """Return the seconds of a step on so many examples, drawing their views included."""
    body = random_model(ground, False).body
    rows = np.resize(ground.splits.folds[0][0], size)
    drawing = seconds_of(lambda: source.train(rows, 0)) / max(1, ground.workers)
    x_B, learned = source.train(rows, 0), Learned(ground.target_N[rows], ground.aim, ground.probe.head)
    return drawing + step_seconds(body, x_B, learned, False, ground.device, ground.clock)


def chosen(ground: Ground, source: Source, seconds: float) -> Run:
    """Measure steps, and choose a batch."""
    fit, held = ground.splits.folds[0]
    each = speed_of(ground, source, LEAST_BATCH) / LEAST_BATCH
    size = int(np.clip(seconds / (WANTED * each), LEAST_BATCH, min(BATCH, max(LEAST_BATCH, len(fit) // 8))))
    step = speed_of(ground, source, size) if size > LEAST_BATCH else each * LEAST_BATCH
    return Run(size, step, len(held) * step / size / 3)  # a forward pass is a third of a step


def headline(ground: Ground, model: Any, source: Source, rows: Index) -> float:
    """Return the first measure on some examples."""
    said_NK = logits_of(model, source, rows, ground.device)
    read = ground.aim.scoring.read(said_NK, ground.target_N[rows])
    return next(iter(ground.aim.scoring.score(read, np.ones(len(rows))).values()))


def look(ground: Ground, training: Training, batches: Batches, best: Best | None) -> Best:
    """Judge the averaged weights on validation pictures; return the better one. Training goes on as if none had."""
    now = {name: tensor.clone() for name, tensor in training.followed.items()}
    training.use(training.average)
    settle(training.model, batches)
    training.model.train()
    value = headline(ground, training.model, batches.source, ground.splits.folds[0][1])
    mine = {name: tensor.clone() for name, tensor in training.followed.items()}
    training.use(now)
    return best if best and best.value > value else Best(value, training.step, mine)


def trained(
    ground: Ground, source: Source, run: Run, rate: float, steps: int, looks: int, left: Left
) -> tuple[Any, Training, Best]:
    """Train for so many steps, or until no seconds are left, looking at the validation pictures on the way."""
    model = random_model(ground, False)
    fit = ground.splits.folds[0][0]
    batches = Batches(
        source, fit, ground.target_N, run.batch, ground.seed, ground.workers, ground.device, None, ground.aim.move
    )
    _, training = begun(model, Recipe(steps, rate, seed=ground.seed, decay=DECAY), batches, ground.aim)
    best: Best | None = None
    due = {round(steps * (i + 1) / looks) for i in range(looks)}
    with ground.track(f"from random weights, rate {rate:g}", steps) as advance:
        for row in counted(within(tune(training, batches), left, True), advance):
            best = look(ground, training, batches, best) if row.step in due else best
    if not best or (training.step < steps and best.step < training.step):  # it ran out of time: as it is then
        best = look(ground, training, batches, best)
    return model, training, best


def rate_of(ground: Ground, source: Source, run: Run, seconds: float, left: Left) -> float:
    """Return the rate that does best on the validation pictures after a tenth of the time."""
    steps = int((seconds / 10 - run.look) / run.step)
    if steps < TRIAL:
        return RATES[1]
    tried = {rate: trained(ground, source, run, rate, steps, 1, left)[2].value for rate in RATES}
    return max(tried, key=tried.__getitem__)


def from_random(ground: Ground, source: Source, seconds: float) -> tuple[Any, dict[str, Any]]:
    """Train from random weights for so many seconds; return the network, and what was done."""
    start = ground.clock()
    run = chosen(ground, source, seconds)
    rate = rate_of(ground, source, run, seconds, lambda: math.inf)
    left = start + seconds - ground.clock()
    looks = int(np.clip(LOOKING * left / run.look, *LOOKS))
    steps = max(1, int((left - looks * run.look) / run.step))
    end = start + LATE * seconds - run.look
    model, training, best = trained(ground, source, run, rate, steps, looks, lambda: end - ground.clock())
    training.use(best.weights)
    about = {"rate": rate, "steps": training.step, "planned": steps, "batch": run.batch, "checkpoint": best.step}
    return model, {**about, "valid": best.value, "seconds": ground.clock() - start, "given": seconds}


def scored(ground: Ground, said_NK: Any) -> tuple[Measure, ...]:
    """Return the measures of what is said of the test, as `fit` has them."""
    rows, scoring = ground.splits.judged, ground.aim.scoring
    read = scoring.read(said_NK, ground.target_N[rows])
    unit_N = np.unique(ground.splits.unit[rows], return_inverse=True)[1].astype(np.intp)
    bounded = dict.fromkeys(scoring.shares, int(unit_N.max()) + 1)
    return measured(lambda weight_N: scoring.score(read, weight_N), unit_N, ground.seed, bounded)


def said_by(model: predictor.Predictor, ground: Ground) -> Any:
    """Return what a saved model says of the test."""
    streamed = model.encoder.stream([ground.items[i].content for i in ground.splits.judged])
    return np.concatenate([model.head.logits(pile([x])) for x in streamed if not isinstance(x, str)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge once, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    for name in ("backbone", "model", "cache", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    options = Options(given.data, backbone=given.backbone, cache=given.cache, seed=given.seed)
    ground = ground_of(options, Path(given.out).parent)
    judged = ground.splits.judged
    rows = np.union1d(ground.splits.train, judged)
    source = inputs(ground.encoder, ground.items, rows, given.seed, bars, ground.clock)
    model, about = from_random(ground, source, given.seconds)
    mine_NK = logits_of(model, source, judged, ground.device)
    other_NK = said_by(predictor.load(given.model, cache=Path(given.cache)), ground)
    gain = worth(other_NK, mine_NK, ground.target_N[judged], ground.splits.unit[judged], ground.aim.scoring, given.seed)
    found = {"measures": [asdict(m) for m in scored(ground, mine_NK)], "gain": asdict(gain), **about}
    Path(given.out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
