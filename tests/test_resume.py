"""Killed at any moment and started again, a run ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import training_samples as samples
from forks import Start, starter
from headstart import checkpoints
from headstart.heads.top import Top
from headstart.metrics import interval
from headstart.stages import loops
from headstart.stages.trial import Watch, ran
from headstart.stages.tune import Recipe, Training
from headstart.store import save_arrays
from tiny import photos, timm_folder

if not hasattr(signal, "SIGKILL"):
    pytest.skip("this system has no SIGKILL", allow_module_level=True)

KILLS = 10


@pytest.fixture(scope="module")
def fork() -> Start:
    """Starts processes that have the libraries already: forks of one that imported them and computed nothing."""
    return starter("forkserver")


def done(process: Any) -> int:
    process.join(600)
    return int(process.exitcode)


def often() -> None:
    """Write a checkpoint whenever there is something to write, not every few seconds."""
    loops.CHECKPOINT_SECONDS, loops.CHECKPOINT_SHARE = 0.0, math.inf


# -- one training

RECIPE = Recipe(steps=60, rate=0.02, bottom=0.3, average=0.9, keep=4)


def train(folder: Path, out: Path, workers: int, kill: int = 0, late: bool = False) -> None:
    """Train to the end and write down all that the training knows; killed at a step, before or after what was good
    by then is on disk."""
    often()
    seen = 0

    def die(step: int) -> None:
        if step == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    def advance(count: int) -> None:
        nonlocal seen
        seen += count
        if late:
            die(seen)

    made = samples.training(RECIPE, samples.lively, moving=True)
    source = samples.Given(samples.examples(), noise=0.3)
    watch = Watch(time.monotonic, lambda: 1.0, lambda _, row: None if late else die(row.step), advance, workers, "cpu")
    ran(made, samples.batches(source, workers=workers), folder, watch)
    save_arrays(out, {name: np.asarray(value) for name, value in samples.all_of(made).items()})


def moments(count: int) -> list[tuple[int, bool, int, int]]:
    """(step, whether after the checkpoint, workers before, workers after): every third at an epoch's boundary."""
    draw = random.Random(0)
    edges = range(samples.IN_EPOCH, RECIPE.steps, samples.IN_EPOCH)
    inside = [step for step in range(1, RECIPE.steps) if step not in edges]
    steps = [draw.choice(list(edges) if i % 3 == 0 else inside) for i in range(count)]
    return [(step, draw.random() < 0.5, draw.choice((0, 2)), draw.choice((0, 2))) for step in steps]


@pytest.fixture(scope="module")
def undisturbed(fork: Start, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert done(fork(train, folder / "a", folder / "end.safetensors", 0)) == 0
    return load_file(folder / "end.safetensors")


def assert_same(end: Path, expected: dict[str, Any]) -> None:
    found = load_file(end)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize(("step", "late", "before", "after"), moments(KILLS))
def test_a_training_that_was_killed_ends_with_the_same_bits(
    step: int, late: bool, before: int, after: int, fork: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder, end = tmp_path / "a", tmp_path / "end.safetensors"
    assert done(fork(train, folder, end, before, step, late)) == -signal.SIGKILL
    assert bool(list(folder.glob("step-*.safetensors"))) == (step > (RECIPE.keep if late else RECIPE.keep + 1))
    assert not end.exists()
    assert done(fork(train, folder, end, after)) == 0
    assert_same(end, undisturbed)


def test_a_training_that_was_killed_ten_times_ends_with_the_same_bits(
    fork: Start, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    folder, end = tmp_path / "a", tmp_path / "end.safetensors"
    kills = sorted(moments(KILLS))
    for step, late, workers, _ in kills:
        assert done(fork(train, folder, end, workers, step, late)) == -signal.SIGKILL
    assert len({step for step, *_ in kills}) >= KILLS - 2
    assert done(fork(train, folder, end, 2)) == 0
    assert_same(end, undisturbed)


def test_what_is_read_from_disk_is_laid_out_in_memory_as_the_weights_are(tmp_path: Path) -> None:
    """A file knows no channels last; AdamW's fused step takes numbers at the same place in memory for a pair."""
    body = nn.Sequential(nn.Unflatten(1, (6, 1, 1)), nn.ZeroPad2d(1), nn.Conv2d(6, 4, 3, bias=False), nn.Flatten())
    model = Top(body, samples.head(4)).to(memory_format=torch.channels_last)
    first, second = (Training(deepcopy(model), RECIPE) for _ in range(2))
    samples.ran(first, until=10)
    checkpoints.write(tmp_path, 10, *first.state())
    assert loops.resume(second, tmp_path) == 10
    samples.ran(first), samples.ran(second)
    samples.assert_same_bits(first, second)


# -- the whole command

SIDE, ROWS = 64, (6, 30)
SCRATCH = {"steps": 24, "trial": 8, "batch": 8, "rates": [1e-3, 3e-3], "low": False, "transfer": 1.0, "seconds": 1.0}


def fit(root: Path, name: str, words: list[str]) -> None:
    """What the command line does with these words, in a folder; its talk goes to a file."""
    from headstart import cli

    often()
    interval.resamples.__defaults__ = (100,)  # a thousand take longer than all that is trained here
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment] - it takes seconds to be imported
    os.chdir(root)
    with Path(f"{name}.txt").open("a") as talk:
        os.dup2(talk.fileno(), 1)
        os.dup2(talk.fileno(), 2)
    sys.argv = [
        "headstart",
        "fit",
        "photos",
        "--backbone",
        "network",
        "--out",
        name,
        "--cache",
        f"{name}-cache",
        *words,
    ]
    cli.main()


class Place:
    """Pictures, a network and plans in a folder; runs there, by name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        photos(root / "photos")  # of this network's features the linear head makes less than half of them right
        timm_folder(root / "network", pretrained_cfg_overlay={"input_size": (3, SIDE, SIDE)})

    def run(self, start: Start, name: str, *words: str) -> Any:
        return start(fit, self.root, name, ["--budget", "1h", "--precision", "fp32", *words])

    def tuned(self, start: Start, name: str, workers: int, plan: str = "plan.json") -> Any:
        further = ("--labels-per-class", "5") if plan == "plan.json" else ()
        return self.run(start, name, "--plan", plan, "--log", f"{name}-log", "--workers", str(workers), *further)

    def log(self, name: str) -> list[bytes]:
        """A line for each step that was trained so far."""
        log = self.root / f"{name}-log" / "training.jsonl"
        return log.read_bytes().splitlines() if log.exists() else []

    def trainings(self, name: str) -> list[str]:
        """What these steps were of."""
        return [json.loads(line)["training"] for line in self.log(name)]

    def kept(self, name: str, what: str = "step-*.safetensors") -> list[Path]:
        """What the run folder holds."""
        return sorted((self.root / f"{name}-cache" / "runs").rglob(what))

    def weights(self, name: str) -> bytes:
        return (self.root / name / "model.safetensors").read_bytes()

    def said(self, name: str, file: str) -> Any:
        return json.loads((self.root / name / file).read_text())

    def finish(self, process: Any, name: str) -> None:
        assert done(process) == 0, (self.root / f"{name}.txt").read_text()


def timeless(said: Any) -> Any:
    """What was said, but for how long it took and what was in the cache already."""
    if isinstance(said, dict):
        passing = ("seconds", "transfer_seconds", "computed", "cached")
        return {key: timeless(value) for key, value in said.items() if key not in passing}
    if isinstance(said, list):
        return [timeless(value) for value in said]
    return re.sub(r"\b\d+ s\b", "some s", said) if isinstance(said, str) else said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, fork: Start) -> Place:
    """With a plan that `--plan-only` wrote, edited: two of its rungs, made small, and training from scratch."""
    made = Place(tmp_path_factory.mktemp("resume"))
    made.finish(made.run(fork, "planned", "--plan-only", "plan.json"), "planned")
    plan = json.loads((made.root / "plan.json").read_text())
    small = {"epochs": 10, "batch": 8, "folds": 1, "starts": ["linear"], "rates": [3e-3], "low": False, "bottom": 0.5}
    for rung in plan["rungs"]:
        rung.update(small, views=min(2, rung["views"]))
    assert plan["rungs"][-1]["name"] == "everything"
    plan |= {"rungs": plan["rungs"][-2:], "untried": [], "scratch": SCRATCH}
    (made.root / "plan.json").write_text(json.dumps(plan))
    (made.root / "bare.json").write_text(json.dumps(plan | {"rungs": [], "scratch": None}))
    return made


@pytest.fixture(scope="module")
def whole(place: Place, fork: Start) -> Place:
    """With a run that nobody disturbed."""
    place.finish(place.tuned(fork, "whole", 0), "whole")
    return place


def test_the_run_that_is_compared_with_has_trained_all_that_there_is(whole: Place) -> None:
    """Or what is below would show little: a rung from cached views that ships, the deepest one, scratch, a curve."""
    scores = whole.said("whole", "scores.json")
    names = [rung["name"] for rung in scores["rungs"]]
    assert (len(names), names[-1]) == (5, "everything")
    assert scores["rung"] in names[3:]
    trained = {name.rpartition("/")[2] for name in whole.trainings("whole")}
    assert trained == {"fold0-linear-0.003", "final", "trial-0.001", "trial-0.003", "whole"}
    assert scores["scratch"]["steps"] == scores["scratch"]["planned"] == SCRATCH["steps"]
    assert all(point["scratch"] for point in scores["curve"])
    assert not whole.kept("whole", "*"), "what was needed to go on is removed"


def killed(place: Place, process: Any, name: str, rows: int, seconds: float) -> bool:
    """Kill a run so many rows after it began to train and so many seconds more; say whether it was running still."""
    already = len(place.log(name))
    while process.is_alive() and len(place.log(name)) < already + rows:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    return done(process) == -signal.SIGKILL


@pytest.mark.parametrize("way", ["forkserver", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_run_that_was_killed_ten_times_gives_the_same_model_and_scores(way: str, whole: Place, fork: Start) -> None:
    """Mostly while it trains, now and then before; each time other threads read ahead, or none."""
    draw, start, name = random.Random(7), starter(way), f"torn-{way}"
    while_training, during = 0, set()
    for kill in range(KILLS):
        rows = 0 if kill % 4 == 1 else draw.randint(*ROWS)
        pause = draw.uniform(0.0, 0.02 if rows else 2.0)
        assert killed(whole, whole.tuned(start, name, draw.choice((0, 2))), name, rows, pause), "it was too quick"
        if rows:
            while_training += bool(whole.kept(name))
            during.add(whole.trainings(name)[-1])
    assert while_training >= KILLS // 2
    assert len(during) >= 3
    whole.finish(whole.tuned(start, name, draw.choice((0, 2))), name)
    assert whole.weights(name) == whole.weights("whole")
    for file in ("scores.json", "plan.json", "config.json"):
        assert timeless(whole.said(name, file)) == timeless(whole.said("whole", file))
    assert not whole.kept(name, "*")
    assert not list(whole.root.glob(f".{name}*"))


def test_training_from_scratch_that_was_planned_before_the_kill_is_what_goes_on_after_it(
    place: Place, fork: Start
) -> None:
    """It lasts as long as the run took until then; what was done before the kill takes the second run no time."""
    process = place.tuned(fork, "bare", 2, "bare.json")
    assert killed(place, process, "bare", 3, 0.0)
    [saved] = place.kept("bare", "plan.json")
    planned = json.loads(saved.read_text())["scratch"]
    assert planned["steps"] > 0
    place.finish(place.tuned(fork, "bare", 0, "bare.json"), "bare")
    assert place.said("bare", "plan.json")["scratch"] == planned
    assert place.said("bare", "scores.json")["scratch"]["planned"] == planned["steps"]
