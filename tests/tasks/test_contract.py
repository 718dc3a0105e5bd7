"""Every task keeps the contract; and the checks notice where one does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from headstart.backbones import engine
from headstart.errors import EngineError, HeadstartError
from headstart.tasks import TASKS, contract, task_named
from headstart.tasks.contract import CHECKS, Trial, check_task
from headstart.tasks.task import Task

DATA = {"image-classification": tiny.photos}


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.timm_folder(tmp_path_factory.mktemp("network")))


@pytest.fixture(params=TASKS.values(), ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


@pytest.fixture
def trial(task: Task, network: str, tmp_path: Path) -> Trial:
    return Trial(task, DATA[task.name](tmp_path / "data", each=8), tmp_path / "work", network)


@pytest.fixture
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no network be converted for another engine, which takes longer than all the rest."""

    def refuse(*_: Any) -> None:
        raise EngineError("Not here.")

    monkeypatch.setattr(engine, "to_openvino", refuse)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_task_keeps_the_contract(check: Any, trial: Trial) -> None:
    check(trial)


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_is_not_in_the_table_is_checked_and_then_forgotten(trial: Trial, monkeypatch: Any) -> None:
    ran = []
    monkeypatch.setattr(contract, "CHECKS", (lambda each: ran.append(each.fit("model").scores["task"]),))
    mine = replace(trial.task, name="mine")
    with pytest.raises(HeadstartError, match="no task called 'mine'"):
        check_task(mine, trial.data, trial.folder, trial.backbone)
    with contract._in_the_table(mine):
        check_task(mine, trial.data, trial.folder, trial.backbone)
    assert ran == ["mine"]
    assert "mine" not in TASKS


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_draws_numbers_is_not_deterministic(trial: Trial) -> None:
    rng = np.random.default_rng()
    load = trial.task.load

    def restless(backbone: Any) -> Any:
        return lambda data: load(backbone)(data) // 2 + rng.integers(0, 100, (), np.uint8)

    with pytest.raises(AssertionError, match="two runs on the same data give different weights"):
        contract.is_deterministic(replace(trial, task=replace(trial.task, load=restless)))


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_is_blind_does_not_beat_its_guess(trial: Trial) -> None:
    def blind(backbone: Any) -> Any:
        return lambda data: np.random.default_rng(len(data)).integers(0, 256, (3, 160, 160), np.uint8)

    with pytest.raises(AssertionError, match="by guessing"):
        contract.beats_its_guess(replace(trial, task=replace(trial.task, load=blind)))


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_takes_anything_for_an_example_is_noticed(trial: Trial) -> None:
    load = trial.task.load

    def credulous(backbone: Any) -> Any:
        def take(data: bytes) -> Any:
            return np.zeros((3, 160, 160), np.uint8) if data.startswith(b"this is no") else load(backbone)(data)

        return take

    with pytest.raises(AssertionError, match="bytes that are no example were predicted"):
        contract.predicts_each_input_in_order(replace(trial, task=replace(trial.task, load=credulous)))


@pytest.mark.usefixtures("torch_alone")
def test_a_run_that_cannot_be_stopped_is_noticed(trial: Trial, monkeypatch: Any) -> None:
    @contextmanager
    def endless(label: str, total: int) -> Iterator[Any]:
        yield lambda count: None

    monkeypatch.setattr(contract, "_stopping", endless)
    with pytest.raises(AssertionError, match="could not be stopped"):
        contract.resumes(trial)


def test_auto_is_the_task_that_there_is() -> None:
    assert task_named("auto") is TASKS["image-classification"]


def test_an_unknown_task_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(HeadstartError, match="image-classification") as caught:
        task_named("poetry")
    assert caught.value.exit_code == 2
