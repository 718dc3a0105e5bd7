"""Joining two networks: it is taken where each knows what the other does not, and left where they know the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart import race_pair
from headstart.aims import aim_for
from headstart.backbones.catalog import Entry
from headstart.race_course import Course, Seen, scored
from headstart.race_pair import joined
from headstart.race_values import Candidate, Run, Runner

N, CLASSES = 120, 4
TARGET_N = np.arange(N) % CLASSES


def features(which: int, noise: float = 0.05) -> NDArray[np.float32]:
    """A network that sees one bit of the class."""
    rng = np.random.default_rng(which)
    bit_N = TARGET_N % 2 if which == 0 else TARGET_N // 2
    return np.stack([bit_N + noise * rng.normal(size=N), rng.normal(size=N)], 1).astype(np.float32)


def course() -> Course:
    labels = [str(label) for label in TARGET_N]
    aim: Any = aim_for("label", labels)
    options: Any = SimpleNamespace(seed=0)
    none: Any = None
    return Course(none, none, aim, aim.encode(labels), options, none, lambda: 0.0)


def candidate(name: str, x_ND: NDArray[np.float32], parameters: int | None = 10) -> Candidate:
    encode: Any = SimpleNamespace(backbone=SimpleNamespace(readouts=()), x_ND=x_ND)
    return Candidate(Entry(name, name, parameters, "MIT", ""), encode, None, 2.0, 1.0)


def seen(course: Course, candidate: Any, rows: Any) -> Seen:
    return Seen(candidate.encode.x_ND, [f"{i:064x}" for i in range(N)], course.target_N)


def race(one: NDArray[np.float32], two: NDArray[np.float32], patch: pytest.MonkeyPatch) -> tuple[Run, Run, str, bool]:
    patch.setattr(race_pair, "seen_by", seen)
    on, pair = course(), (candidate("one", one), candidate("two", two))
    blank: Any = Runner("one", "MIT", 10, None, None, 0, 0, N, 2.0, "pooled output")  # type: ignore[arg-type]
    best = scored(on, blank, seen(on, pair[0], None), ())
    return (best, *joined(on, pair, best, np.arange(N)))


def test_two_networks_that_know_different_things_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    best, run, told, pays = race(features(0), features(1), monkeypatch)
    assert pays
    assert run.runner.name == "one+two"
    assert run.runner.score.value > 0.95 > 0.7 > best.runner.score.value
    assert told.startswith("one+two, +0.")
    assert told.endswith("against one alone")
    assert (run.runner.milliseconds, run.runner.opening, run.runner.parameters) == (4.0, 2.0, 20)
    assert run.runner.licence == "MIT"


def test_the_same_features_twice_are_not_worth_the_time_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    best, run, _, pays = race(features(0), features(0), monkeypatch)
    assert not pays
    assert abs(run.runner.score.value - best.runner.score.value) < 0.1
