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
import tiny_text
from headstart.backbones import engine
from headstart.errors import EngineError, HeadstartError
from headstart.tasks import TASKS, contract, kind_asked, task_for, task_named
from headstart.tasks.contract import CHECKS, Trial, check_task
from headstart.tasks.task import Task

DATA = {"image-classification": tiny.photos, "text-classification": tiny_text.table}
NETWORK = {"image-classification": tiny.timm_folder, "text-classification": tiny_text.encoder_folder}


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {name: str(save(tmp_path_factory.mktemp("network"))) for name, save in NETWORK.items()}


ELSEWHERE = {"object-detection": "test_object_detection.py", "translation": "test_translation.py"}
"""Tasks whose contract is checked in a file of their own, as their data and networks need more than a line."""


def test_the_contract_of_every_task_is_checked_somewhere() -> None:
    assert {*DATA, *ELSEWHERE} == set(TASKS)
    for name in ELSEWHERE.values():
        text = (Path(__file__).parent / name).read_text(encoding="utf-8")
        assert "check_task(" in text


@pytest.fixture(params=[TASKS[name] for name in DATA], ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


@pytest.fixture
def trial(task: Task, networks: dict[str, str], tmp_path: Path) -> Trial:
    return Trial(task, DATA[task.name](tmp_path / "data", each=8), tmp_path / "work", networks[task.name])


def an_input(task: Task, seed: int) -> Any:
    """An input that says nothing of the example that it was made of."""
    rng = np.random.default_rng(seed)
    pictures = task.kind == "picture"
    return rng.integers(0, 256, (3, 160, 160), np.uint8) if pictures else tiny_text.tokens(8, seed)


@pytest.fixture
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no network be converted for another engine, which takes longer than all the rest."""

    def refuse(*_: Any) -> None:
        raise EngineError("Not here.")

    monkeypatch.setattr(engine, "to_openvino", refuse)


@pytest.fixture(scope="module")
def shared_trials(networks: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """Trials by their task, whose checks share data and the model that they only read."""
    roots = {name: tmp_path_factory.mktemp("contract") for name in DATA}
    return {
        name: Trial(TASKS[name], DATA[name](root / "data", each=8), root / "work", networks[name])
        for name, root in roots.items()
    }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_task_keeps_the_contract(check: Any, task: Task, shared_trials: dict[str, Trial], tmp_path: Path) -> None:
    check(replace(shared_trials[task.name], folder=tmp_path / "work"))


def test_the_model_that_checks_share_is_made_once_and_stays_as_it_is(trial: Trial) -> None:
    made, here = {}, trial.folder / "here"

    def fit_once(self: Trial, name: str, *_: Any, **__: Any) -> Any:
        here.mkdir(parents=True)
        made[name] = here
        return here

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "fit", fit_once)
        assert trial.model() is trial.model() is replace(trial, folder=trial.folder / "other").model()
    assert list(made) == ["model"]


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
        return lambda data: load(backbone)(data) if rng.random() < 0.7 else an_input(trial.task, int(rng.integers(99)))

    with pytest.raises(AssertionError, match="two runs on the same data give different weights"):
        contract.is_deterministic(replace(trial, task=replace(trial.task, load=restless)))


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_is_blind_does_not_beat_its_guess(trial: Trial) -> None:
    def blind(backbone: Any) -> Any:
        return lambda data: an_input(trial.task, len(data))

    with pytest.raises(AssertionError, match="by guessing"):
        contract.beats_its_guess(replace(trial, task=replace(trial.task, load=blind)))


@pytest.mark.usefixtures("torch_alone")
def test_a_task_that_takes_anything_for_an_example_is_noticed(trial: Trial) -> None:
    load = trial.task.load

    def credulous(backbone: Any) -> Any:
        def take(data: bytes) -> Any:
            return an_input(trial.task, 0) if data == contract._NOT_AN_EXAMPLE else load(backbone)(data)

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


def test_auto_is_the_task_of_what_the_data_are() -> None:
    assert task_for("auto", "picture") is TASKS["image-classification"]
    assert task_for("auto", "text") is TASKS["text-classification"]
    assert kind_asked("auto") is None


def test_a_task_that_is_named_is_that_one_and_takes_its_kind_of_examples() -> None:
    for name, each in TASKS.items():
        assert task_for(name, "picture") is task_for(name, "text") is task_named(name) is each
        assert kind_asked(name) == each.kind


def test_an_unknown_task_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(HeadstartError, match="image-classification") as caught:
        task_named("poetry")
    assert caught.value.exit_code == 2
