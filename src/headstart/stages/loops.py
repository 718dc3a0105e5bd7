"""Loops around `tune`: each takes rows, does one thing, and passes them on. They nest in any order.

for row in until_stale(saved(tune(training, batches), training, folder, clock), training, batches, loss): ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart import checkpoints
from headstart.errors import UsageError
from headstart.stages.tune import Row, Training

CHECKPOINT_SECONDS = 5.0
CHECKPOINT_SHARE = 0.05
"""Checkpoints may take this share of the time: a large network's are written less often."""
Clock = Callable[[], float]
Log = Callable[[str, Row], None]


class OutOfTime(Exception):  # noqa: N818 - no error: the budget's end, caught by the stage that spends it
    """The budget is spent in the middle of a training."""


def resume(training: Training, folder: Path) -> int:
    """Restore the newest whole checkpoint of a folder, if there is one; returns the step it was made at."""
    found = checkpoints.newest(folder)
    if found is None:
        return 0
    _, tensors, numbers = found
    training.restore(tensors, numbers)
    return training.step


def saved(rows: Iterator[Row], training: Training, folder: Path, clock: Clock) -> Iterator[Row]:
    """Write the last good state every few seconds. What is written depends on the step alone, not on the clock."""
    since, took, written = clock(), 0.0, training.kept[1]["step"]
    for row in rows:
        tensors, numbers = training.kept
        wait = max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)
        if clock() - since >= wait and numbers["step"] > written:
            start = clock()
            checkpoints.write(folder, numbers["step"], tensors, numbers)
            since, written = clock(), numbers["step"]
            took = since - start
        yield row


def until_stale(
    rows: Iterator[Row], training: Training, in_epoch: int, loss: Callable[[], float], patience: int
) -> Iterator[Row]:
    """Stop when a loss, looked at after each epoch, has not come below its lowest for `patience` epochs.

    What it saw is part of the training's state, so that it stops at the same step after a resume.
    """
    for row in rows:
        yield row
        if row.step % in_epoch == 0:
            training.watched.append(loss())
            lowest = min(range(len(training.watched)), key=training.watched.__getitem__)
            if len(training.watched) - 1 - lowest >= patience:
                return


def within(rows: Iterator[Row], left: Callable[[], float], ends: bool = False) -> Iterator[Row]:
    """Raise OutOfTime when no seconds are left, or just end there."""
    for row in rows:
        yield row
        if left() <= 0:
            if ends:
                return
            raise OutOfTime


def logged(rows: Iterator[Row], name: str, log: Log) -> Iterator[Row]:
    """Tell a log of every row."""
    for row in rows:
        log(name, row)
        yield row


def counted(rows: Iterator[Row], advance: Callable[[int], None]) -> Iterator[Row]:
    """Move a progress bar by one for every row."""
    for row in rows:
        advance(1)
        yield row


@contextmanager
def log_to(folder: Path | None) -> Iterator[Log]:
    """Write rows to `training.jsonl` of a folder, and for TensorBoard where that is installed; None writes nothing.

    Raises:
        UsageError: the folder cannot be written to.
    """
    if folder is None:
        yield lambda name, row: None
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "training.jsonl").open("a", buffering=1, encoding="utf-8")  # a kill tears no line
    except OSError as error:
        raise UsageError(f"No log can be written to {folder}.", found=str(error)) from error
    board = _tensorboard(folder)

    def log(name: str, row: Row) -> None:
        values = {"loss": row.loss, "rate": row.rate}
        file.write(json.dumps({"training": name, "step": row.step, "epoch": row.epoch, **values}) + "\n")
        for key, value in values.items() if board else ():
            board.add_scalar(f"{name}/{key}", value, row.step)

    with file:
        try:
            yield log
        finally:
            if board:
                board.close()


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    writer: Any = SummaryWriter
    return writer(str(folder))
