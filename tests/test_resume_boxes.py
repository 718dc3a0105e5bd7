"""Killed at any moment and started again, a detector's run ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_boxes
from headstart.metrics import interval
from headstart.stages.plan import Plan
from headstart.store import save_json
from test_resume import SCRATCH, Start, done, fork, often, timeless

__all__ = ["fork"]

KILLS = 4
RUNGS = ("above the maps", "everything")


def fit(root: Path, name: str) -> None:
    """Fit in a folder; its talk goes to a file."""
    from headstart import cli

    often()
    interval.resamples.__defaults__ = (100,)  # a thousand take longer than all that is trained here
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment] - it takes seconds to be imported
    os.chdir(root)
    with Path(f"{name}.txt").open("a") as talk:
        os.dup2(talk.fileno(), 1)
        os.dup2(talk.fileno(), 2)
    words = "fit scenes --backbone network --budget 1h --plan plan.json --workers 2"
    sys.argv = ["headstart", *words.split(), "--out", name, "--cache", f"{name}-cache", "--log", f"{name}-log"]
    with tiny_boxes.small(9):
        cli.main()


def lines(root: Path, name: str) -> int:
    """How many steps were trained so far."""
    log = root / f"{name}-log" / "training.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def finish(process: Any, root: Path, name: str) -> None:
    assert done(process) == 0, (root / f"{name}.txt").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from climb_samples import rung

    root = tmp_path_factory.mktemp("resume")
    tiny_boxes.scenes(root / "scenes", each=12)
    tiny_boxes.network_folder(root / "network")
    short = {"epochs": 8, "folds": 1, "starts": ("linear",), "batch": 4, "rates": (3e-3,), "again": False}
    plan = Plan(600.0, tuple(rung(name, **short) for name in RUNGS)).record()
    save_json(root / "plan.json", {**plan, "scratch": {**SCRATCH, "batch": 4}})
    return root


def killed_and_finished(fork: Start, work: Callable[[Path, str], None], place: Path) -> None:
    """Let a run be, kill another some times, and see that both wrote the same.

    Args:
        fork: starts processes.
        work: (folder, name) -> fits there.
        place: the folder.
    """
    finish(fork(work, place, "whole"), place, "whole")
    assert lines(place, "whole") > 20
    draw = random.Random(3)
    for _ in range(KILLS):
        before, process = lines(place, "torn"), fork(work, place, "torn")
        more = draw.randint(2, 12)
        while process.is_alive() and lines(place, "torn") < before + more:
            time.sleep(0.005)
        process.kill()
        assert done(process) == -signal.SIGKILL, "it was too quick"
    finish(fork(work, place, "torn"), place, "torn")
    for file in ("model.safetensors", "head.safetensors", "golden.safetensors"):
        assert (place / "torn" / file).read_bytes() == (place / "whole" / file).read_bytes(), file
    for file in ("scores.json", "plan.json", "config.json"):
        one, other = (timeless(json.loads((place / name / file).read_text())) for name in ("torn", "whole"))
        assert one == other, file


@pytest.mark.slow
def test_a_detector_s_run_that_was_killed_gives_the_same_model_and_scores(place: Path, fork: Start) -> None:
    killed_and_finished(fork, fit, place)
