"""Killed at any moment and started again, a translator's run ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import tiny_pairs
from headstart.metrics import interval
from headstart.stages.plan import Plan
from headstart.store import save_json
from test_resume import Start, fork, often
from test_resume_boxes import killed_and_finished

__all__ = ["fork"]

RUNGS = ("the decoder", "everything")


def fit(root: Path, name: str) -> None:
    """Fit in a folder; its talk goes to a file."""
    from headstart import cli

    often()
    interval.resamples.__defaults__ = (100,)
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment] - it takes seconds to be imported
    os.chdir(root)
    with Path(f"{name}.txt").open("a") as talk:
        os.dup2(talk.fileno(), 1)
        os.dup2(talk.fileno(), 2)
    words = "fit pairs.tsv --backbone network --budget 1h --plan plan.json --workers 2 --no-scratch"
    sys.argv = ["headstart", *words.split(), "--out", name, "--cache", f"{name}-cache", "--log", f"{name}-log"]
    cli.main()


@pytest.mark.slow
def test_a_translator_s_run_that_was_killed_gives_the_same_model_and_scores(tmp_path: Path, fork: Start) -> None:
    from climb_samples import rung

    tiny_pairs.table(tmp_path, 80)
    tiny_pairs.translator_folder(tmp_path / "network")
    short = {"epochs": 10, "folds": 1, "starts": ("linear",), "batch": 8, "rates": (3e-3,), "again": False}
    save_json(tmp_path / "plan.json", Plan(600.0, tuple(rung(name, **short) for name in RUNGS)).record())
    killed_and_finished(fork, fit, tmp_path)
