"""Loops around a training: each does its one thing, passes every row on, and changes nothing of what is trained."""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart import checkpoints
from headstart.errors import UsageError
from headstart.stages import loops
from headstart.stages.loops import OutOfTime, counted, log_to, logged, resume, saved, until_stale, within
from headstart.stages.tune import Recipe, Row, Training, tune
from training_samples import EXAMPLES, IN_EPOCH, Given, all_of, assert_same_bits, batches, examples, training

RECIPE = Recipe(steps=40, rate=0.03, keep=4)


def rows(count: int) -> Iterator[Row]:
    return (Row(step, (step - 1) // 3, 1 / step, 0.1 * step, 0) for step in range(1, count + 1))


class Clock:
    """Goes on by so many seconds with every step that it is told of, and with every look by `look`."""

    def __init__(self, look: float = 0.0) -> None:
        self.now, self.look = 1000.0, look

    def __call__(self) -> float:
        self.now += self.look
        return self.now

    def watching(self, given: Iterator[Row], seconds: float) -> Iterator[Row]:
        for row in given:
            self.now += seconds
            yield row


def steps_on_disk(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.glob("*.safetensors"))


# -- saved


def writes(folder: Path, seconds: float, writing: float = 0.0, made: Training | None = None) -> list[int]:
    """The steps of the checkpoints that a training writes whose steps, and whose writing, take so many seconds."""
    clock, made, write = Clock(), made or training(RECIPE), checkpoints.write
    written: list[int] = []

    def noted(to: Path, step: int, *state: Any) -> Path:
        written.append(step)
        clock.now += writing
        return write(to, step, *state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write", noted)
        list(saved(clock.watching(tune(made, batches()), seconds), made, folder, clock))
    assert steps_on_disk(folder) == written[-2:]
    return written


def test_the_last_good_state_is_written_every_few_seconds(tmp_path: Path) -> None:
    """A second a step: after 20 steps step 16 is the last one known to be good, after 25 step 24."""
    assert writes(tmp_path, 1.0) == [4, 8, 12, 16, 24, 28, 32, 36]
    assert loops.CHECKPOINT_SECONDS == 5


def test_a_training_of_a_few_seconds_writes_nothing(tmp_path: Path) -> None:
    assert writes(tmp_path, 4.9 / 40) == []
    assert not list(tmp_path.iterdir())


def test_slow_steps_write_each_kept_state_once(tmp_path: Path) -> None:
    assert writes(tmp_path, 100.0) == [4, 8, 12, 16, 20, 24, 28, 32, 36]


def test_fast_steps_write_now_and_then(tmp_path: Path) -> None:
    assert writes(tmp_path, 0.4) == [12, 24, 36]


def test_checkpoints_that_take_long_are_written_less_often(tmp_path: Path) -> None:
    """A second of writing to twenty of training."""
    assert writes(tmp_path, 2.0, writing=1.0) == [4, 12, 24, 32]
    assert loops.CHECKPOINT_SHARE == 1 / 20


def test_what_is_written_is_what_was_kept(tmp_path: Path) -> None:
    made, clock = training(RECIPE), Clock()
    for _ in saved(clock.watching(tune(made, batches()), 1.0), made, tmp_path, clock):
        found = checkpoints.newest(tmp_path)
        if found and found[0] == made.kept[1]["step"]:
            assert found[2] == made.kept[1]
            assert found[1].keys() == made.kept[0].keys()
            assert all(bool((found[1][n] == t).all()) for n, t in made.kept[0].items())
    assert found is not None


def test_every_row_passes(tmp_path: Path) -> None:
    made, alone = training(RECIPE), training(RECIPE)
    assert list(saved(tune(made, batches()), made, tmp_path, Clock(look=3.0))) == list(tune(alone, batches()))
    assert_same_bits(made, alone)


# -- resume


def test_without_a_checkpoint_training_is_at_its_start(tmp_path: Path) -> None:
    made = training(RECIPE)
    assert resume(made, tmp_path / "none") == 0
    assert_same_bits(made, training(RECIPE))


@pytest.mark.parametrize("killed", [5, 17, 38])
@pytest.mark.parametrize("seconds", [0.7, 3.0])
def test_resumed_from_whatever_the_clock_left_it_ends_with_the_same_bits(
    killed: int, seconds: float, tmp_path: Path
) -> None:
    whole = training(RECIPE)
    expected = list(tune(whole, batches()))
    first, clock = training(RECIPE), Clock()
    for row in saved(clock.watching(tune(first, batches()), seconds), first, tmp_path, clock):
        if row.step == killed:
            break
    again = training(RECIPE)
    step = resume(again, tmp_path)
    assert step == max(steps_on_disk(tmp_path), default=0)
    assert list(tune(again, batches())) == expected[step:]
    assert_same_bits(again, whole)


def test_a_resumed_training_does_not_write_again_what_is_there(tmp_path: Path) -> None:
    first, again, clock = training(RECIPE), training(RECIPE), Clock()
    for row in saved(clock.watching(tune(first, batches()), 1.0), first, tmp_path, clock):
        if row.step == 11:
            break
    assert steps_on_disk(tmp_path) == [4, 8]
    resume(again, tmp_path)
    assert writes(tmp_path, 100.0, made=again) == [12, 16, 20, 24, 28, 32, 36]


def test_a_torn_newest_checkpoint_costs_a_few_steps_and_not_a_bit(tmp_path: Path) -> None:
    whole = training(RECIPE)
    list(tune(whole, batches()))
    assert writes(tmp_path, 1.0)[-2:] == [32, 36]
    newest = tmp_path / "step-00000036.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    again = training(RECIPE)
    with pytest.warns(UserWarning, match=r"step-00000036.* going on from step-00000032"):
        assert resume(again, tmp_path) == 32
    list(tune(again, batches()))
    assert_same_bits(again, whole)


# -- until_stale


def stale(losses: list[float], patience: int, made: Training | None = None, steps: int = 40) -> tuple[int, list[float]]:
    """The step at which training stops that sees these losses after its epochs, and what it saw."""
    made = made or training(Recipe(steps=steps, rate=0.03, keep=4))

    def loss() -> float:
        assert made.step % IN_EPOCH == 0
        return losses[made.step // IN_EPOCH - 1]

    last = 0
    for row in until_stale(tune(made, batches()), made, IN_EPOCH, loss, patience):
        last = row.step
    return last, made.watched


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([5, 4, 3, 2, 1, 0], 6),
        ([1, 2, 2, 2, 2, 2], 4),
        ([5, 1, 2, 2, 2, 9], 5),
        ([5, 1, 2, 2, 0.9, 9], 6),
        ([1, 1, 1, 1, 1, 1], 4),
        ([math.inf] * 6, 4),
        ([math.inf, math.inf, 3, 4, 5, 6], 6),
    ],
    ids=["falling", "at once", "later", "just in time", "equal", "never finite", "finite late"],
)
def test_training_stops_once_the_loss_has_not_been_lower_for_three_epochs(losses: list[float], epochs: int) -> None:
    assert stale(losses, 3, steps=36) == (epochs * IN_EPOCH, losses[:epochs])


def test_patience_is_counted_in_epochs() -> None:
    assert [stale([1, 2, 3, 4, 5, 6], p, steps=36)[0] // IN_EPOCH for p in (1, 2, 5, 9)] == [2, 3, 6, 6]


@pytest.mark.parametrize("killed", range(3, 30, 2))
def test_it_stops_at_the_same_step_after_a_resume_in_between(killed: int) -> None:
    losses = [3.0, 1.0, 2.0, 2.0, 2.0, 0.5]
    whole = training(RECIPE)
    assert stale(losses, 3, whole) == (30, losses[:5])
    first = training(RECIPE)
    for row in until_stale(tune(first, batches()), first, IN_EPOCH, lambda: losses[first.step // IN_EPOCH - 1], 3):
        if row.step == killed:
            break
    tensors, numbers = first.kept
    again = training(RECIPE)
    again.restore(tensors, json.loads(json.dumps(numbers)))
    assert stale(losses, 3, again) == (30, losses[:5])
    assert_same_bits(again, whole)


def test_what_was_seen_after_the_last_good_state_is_forgotten_when_it_is_gone_back_to() -> None:
    """Otherwise an epoch would be counted twice, and training stop too early."""
    source = Given(examples(), spoil=dict.fromkeys(range(EXAMPLES), math.nan), times=0)
    made = training(Recipe(steps=40, rate=0.03, keep=10))
    seen = []

    def loss() -> float:
        seen.append(made.step)
        if len(seen) == 3:  # at step 18; the next batch is bad, and training goes on from step 10
            source.times = 1
        return float(made.step)

    last = [row.step for row in until_stale(tune(made, batches(source)), made, IN_EPOCH, loss, 5)][-1]
    assert seen == [6, 12, 18, 12, 18, 24, 30, 36]
    assert made.watched == [6, 12, 18, 24, 30, 36]
    assert last == 36


# -- within


def test_when_no_seconds_are_left_it_is_said_after_the_row_that_took_them() -> None:
    left = iter([2.0, 0.5, 0.0, 7.0])
    passed = within(rows(9), lambda: next(left))
    assert [next(passed).step for _ in range(3)] == [1, 2, 3]
    with pytest.raises(OutOfTime):
        next(passed)


def test_it_may_just_end_there_instead() -> None:
    left = iter([2.0, 0.5, 0.0, 7.0])
    assert [row.step for row in within(rows(9), lambda: next(left), ends=True)] == [1, 2, 3]


def test_with_time_left_every_row_passes() -> None:
    assert list(within(rows(9), lambda: 0.1)) == list(rows(9))


def test_what_was_saved_before_time_was_out_is_there(tmp_path: Path) -> None:
    made, clock = training(RECIPE), Clock()
    inner = saved(clock.watching(tune(made, batches()), 1.0), made, tmp_path, clock)
    with pytest.raises(OutOfTime):
        list(within(inner, lambda: 1011.0 - clock.now))
    assert steps_on_disk(tmp_path) == [4, 8]


# -- counted, logged


def test_progress_moves_by_one_for_every_row() -> None:
    moves: list[int] = []
    assert list(counted(rows(5), moves.append)) == list(rows(5))
    assert moves == [1] * 5


def test_a_log_is_told_of_every_row_before_it_passes() -> None:
    told: list[tuple[str, Row]] = []
    for row in logged(rows(4), "fold0", lambda name, row: told.append((name, row))):
        assert told[-1] == ("fold0", row)
    assert [row.step for _, row in told] == [1, 2, 3, 4]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


@pytest.fixture
def no_board(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


@pytest.mark.usefixtures("no_board")
def test_rows_become_lines_of_json(tmp_path: Path) -> None:
    with log_to(tmp_path / "deep" / "er") as log:
        list(logged(rows(2), "fold0-linear-0.001", log))
    assert lines(tmp_path / "deep" / "er") == [
        {"training": "fold0-linear-0.001", "step": 1, "epoch": 0, "loss": 1.0, "rate": 0.1},
        {"training": "fold0-linear-0.001", "step": 2, "epoch": 0, "loss": 0.5, "rate": 0.2},
    ]
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["training.jsonl"]


@pytest.mark.usefixtures("no_board")
def test_a_second_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for count in (2, 1):
        with log_to(tmp_path) as log:
            list(logged(rows(count), "a", log))
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 1]


@pytest.mark.usefixtures("no_board")
def test_a_line_is_whole_in_the_file_as_soon_as_its_row_has_passed(tmp_path: Path) -> None:
    """For those who watch; and a run that is killed leaves no half line, on which the next would go on."""
    with log_to(tmp_path) as log:
        for row in logged(rows(300), "a", log):
            assert (tmp_path / "training.jsonl").read_text().count("\n") == row.step


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with log_to(None) as log:
        assert list(logged(rows(2), "a", log)) == list(rows(2))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_the_user_s_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="No log can be written to"), log_to(tmp_path / "file"):
        raise AssertionError("not reached")


class Board:
    """Stands in for TensorBoard's writer."""

    def __init__(self, folder: str) -> None:
        self.folder, self.scalars, self.closed = folder, list[tuple[str, float, int]](), False
        boards.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


boards: list[Board] = []


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Board]:
    module: Any = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Board
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    boards.clear()
    return lambda: boards[-1]


def test_where_tensorboard_is_there_it_is_told_as_well(board: Callable[[], Board], tmp_path: Path) -> None:
    with log_to(tmp_path) as log:
        list(logged(rows(2), "a", log))
    assert board().folder == str(tmp_path)
    assert board().scalars == [("a/loss", 1.0, 1), ("a/rate", 0.1, 1), ("a/loss", 0.5, 2), ("a/rate", 0.2, 2)]
    assert board().closed
    assert len(lines(tmp_path)) == 2


def test_a_run_that_fails_leaves_its_log_whole(board: Callable[[], Board], tmp_path: Path) -> None:
    with pytest.raises(OutOfTime), log_to(tmp_path) as log:
        list(within(logged(rows(5), "a", log), lambda: 0.0))
    assert board().closed
    assert [line["step"] for line in lines(tmp_path)] == [1]


def test_tensorboard_s_own_writer_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with log_to(tmp_path) as log:
        list(logged(rows(2), "a", log))
    assert [path for path in tmp_path.iterdir() if "tfevents" in path.name]


# -- together


def test_loops_nest_in_any_order_and_change_nothing(tmp_path: Path) -> None:
    alone, made, clock = training(RECIPE), training(RECIPE), Clock(look=1.0)
    list(tune(alone, batches()))
    told: list[Row] = []
    inner = until_stale(counted(tune(made, batches()), lambda _: None), made, IN_EPOCH, lambda: -float(made.step), 3)
    for _ in logged(within(saved(inner, made, tmp_path, clock), lambda: 1.0), "a", lambda _, row: told.append(row)):
        pass
    assert [row.step for row in told] == list(range(1, 41))
    assert {k: v for k, v in all_of(made).items() if k != "watched"}.keys() == all_of(alone).keys() - {"watched"}
    made.watched = []
    assert_same_bits(made, alone)
