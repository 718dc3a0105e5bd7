"""The contract that every task keeps, as checks that anyone can run on a task of their own.

    check_task(MY_TASK, Path("some/labelled/examples"), tmp_path)

The data are small: about ten examples a class are enough. Each check is a function by itself, works in a folder of
its own and raises AssertionError with what it saw. Exact equality is asked for throughout: on one machine the same
bytes must give the same model, whatever was interrupted on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart import predictor
from headstart.data.examples import Content
from headstart.encoder import encoder
from headstart.options import Options
from headstart.pipeline import Result, fit
from headstart.prepare import gather, items_of
from headstart.progress import Advance, Track, quiet
from headstart.tasks import TASKS
from headstart.tasks.task import Task

__all__ = ["CHECKS", "Trial", "check_task"]

_INPUTS = 6
_NOT_AN_EXAMPLE = bytes(8)  # neither a picture nor a text


@dataclass(frozen=True)
class Trial:
    """What a check is run on.

    Attributes:
        task: the task.
        data: labelled examples in a format that `fit` reads.
        folder: an empty folder that the check may fill.
        backbone: the pretrained network, as `fit` takes it.
        made: the model of all checks that only read one; trials on the same task, data and network may share it.
    """

    task: Task
    data: Path
    folder: Path
    backbone: str
    made: dict[str, Result] = field(default_factory=dict)

    def options(self, name: str, cache: str = "") -> Options:
        """Return the options of a run that writes `name`; it has a cache of its own unless one is named."""
        cache = str(self.folder / (cache or f"cache-{name}"))
        out = str(self.folder / name)
        return Options(str(self.data), out, self.task.name, backbone=self.backbone, cache=cache, budget=0)

    def fit(self, name: str, cache: str = "", track: Track = quiet) -> Result:
        """Run `fit`."""
        return fit(self.options(name, cache), track)

    def model(self) -> Result:
        """Return what an undisturbed run made, the first time that it is asked for; it stays as it is."""
        if "model" not in self.made:
            self.made["model"] = self.fit("model")
        return self.made["model"]

    def open(self, folder: Path) -> predictor.Predictor:
        """Open what `fit` made."""
        return predictor.load(folder, cache=self.folder / "cache-model")

    def inputs(self) -> list[Content]:
        """Return the first few examples."""
        return [e.content for e in gather(self.options(""), quiet)[1].examples.items[:_INPUTS]]


def check_task(task: Task, data: Path, folder: Path, backbone: str = "default") -> None:
    """Run every check on a task.

    Args:
        task: the task; it need not be in the table of tasks.
        data: labelled examples in a format that `fit` reads; about ten a class.
        folder: where models and caches of the checks go.
        backbone: the pretrained network, as `fit` takes it; a small one makes the checks fast.

    Raises:
        AssertionError: the task breaks the contract; the message says how.
    """
    made: dict[str, Result] = {}
    for check in CHECKS:
        check(Trial(task, data, folder / check.__name__, backbone, made))


def is_deterministic(trial: Trial) -> None:
    """Two runs that share nothing write the same weights and, apart from times, the same scores."""
    with _in_the_table(trial.task):
        _same(trial.model(), trial.fit("two"), "two runs on the same data")


def beats_its_guess(trial: Trial) -> None:
    """The model is better than the majority guess on the very same examples, by more than its interval."""
    with _in_the_table(trial.task):
        made = trial.model()
        lower = made.scores["headline"]["name"] in trial.open(made.folder).aim.scoring.lower
    headline, guess = made.scores["headline"], made.scores["guess"]["value"]
    better = headline["high"] < guess if lower else headline["low"] > guess
    interval = f"{headline['value']:.4f} ({headline['low']:.4f} to {headline['high']:.4f})"
    assert better, f"{headline['name']} is {interval}, and {guess:.4f} by guessing"


def predicts_each_input_in_order(trial: Trial) -> None:
    """There is one prediction for each input, in their order, and a bad input in the middle changes no other."""
    with _in_the_table(trial.task):
        model = trial.open(trial.model().folder)
        inputs = trial.inputs()
        alone = [_nameless(model.predict([each.read()])[0]) for each in inputs]
        middle = len(inputs) // 2
        said = model.predict([*inputs[:middle], _NOT_AN_EXAMPLE, *inputs[middle:]])
    assert len(said) == len(inputs) + 1, f"{len(inputs) + 1} inputs gave {len(said)} predictions"
    bad = said.pop(middle)
    assert bad.error, f"bytes that are no example were predicted as {bad.label!r}"
    wrong = [p.error for p in said if p.error]
    assert not wrong, f"beside a bad input good ones fail: {wrong[0]}"
    assert [_nameless(p) for p in said] == alone, "predictions depend on their neighbours, or are out of order"


def survives_saving(trial: Trial) -> None:
    """A model that was copied elsewhere and opened again predicts the same, and passes its own check."""
    with _in_the_table(trial.task):
        folder, inputs = trial.model().folder, trial.inputs()
        before = [_nameless(p) for p in trial.open(folder).predict(inputs)]
        moved = trial.folder / "elsewhere" / "moved"
        shutil.copytree(folder, moved)
        away = folder.rename(folder.with_name("away"))  # the copy must do without it
        try:
            opened = trial.open(moved)
            opened.verify()
            after = [_nameless(p) for p in opened.predict(inputs)]
        finally:
            away.rename(folder)
    assert before == after, "a copied model predicts something else"


def resumes(trial: Trial) -> None:
    """A run that was stopped in the middle and begun again writes the same as one that was not."""
    with _in_the_table(trial.task):
        whole = trial.model()
        options = trial.options("resumed")
        checked = gather(options, quiet)[1]
        items = items_of(checked, trial.task.size)
        backbone = trial.task.fitted(trial.task.backbone(trial.backbone), checked.examples)
        half = encoder(trial.task, backbone, root=Path(options.cache))
        half.encode(items[::2], quiet, lambda: 0.0)
        try:
            trial.fit("resumed", track=_stopping)
        except _Stop:
            assert not options.folder.exists(), "a run that was stopped left a model behind"
        else:
            raise AssertionError("a run does not say how far it is: it could not be stopped")
        resumed = trial.fit("resumed")
    _same(whole, resumed, "a run and one that was stopped and begun again")
    computed, most = resumed.scores["features"]["computed"], len(items) - len(items[::2])
    assert computed <= most, f"the network ran for {computed} examples again where {most} were new"


CHECKS: tuple[Callable[[Trial], None], ...] = (
    is_deterministic,
    beats_its_guess,
    predicts_each_input_in_order,
    survives_saving,
    resumes,
)


class _Stop(BaseException):
    """As Ctrl-C: nothing that expects exceptions may swallow it."""


@contextmanager
def _stopping(label: str, total: int) -> Iterator[Advance]:
    """Show nothing, and stop in the middle of the features."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if label == "features" and done > total // 2:
            raise _Stop

    yield advance


@contextmanager
def _in_the_table(task: Task) -> Iterator[None]:
    """Let a task be found by its name while it is checked."""
    before = dict(TASKS)
    TASKS[task.name] = task
    try:
        yield
    finally:
        TASKS.clear()
        TASKS.update(before)


def _nameless(said: predictor.Prediction) -> predictor.Prediction:
    return replace(said, name="")


def _same(one: Result, two: Result, what: str) -> None:
    weights = [(r.folder / "model.safetensors").read_bytes() for r in (one, two)]
    assert weights[0] == weights[1], f"{what} give different weights"
    scores = [_timeless(r.scores) for r in (one, two)]
    unlike = [key for key in {**scores[0], **scores[1]} if scores[0].get(key) != scores[1].get(key)]
    assert not unlike, f"{what} give different scores: {', '.join(unlike)}"


def _timeless(scores: dict[str, Any]) -> dict[str, Any]:
    """Return scores without what may differ: times, and what was found in the cache."""
    kept = {key: value for key, value in scores.items() if key not in ("seconds", "features")}
    rungs = [{key: value for key, value in rung.items() if key != "seconds"} for rung in scores["rungs"]]
    return {**kept, "rungs": rungs, "engine": scores["features"]["engine"]}
