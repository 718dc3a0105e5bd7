"""One training and what comes of it: held-out logits of its candidates, kept on disk so that nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import nn

from headstart.aims.aim import Aim
from headstart.checkpoints import read, write
from headstart.heads.head import Head
from headstart.heads.top import keep_statistics
from headstart.progress import Advance
from headstart.stages.batches import Batches
from headstart.stages.held import held_loss, logits_of
from headstart.stages.loops import Clock, Log, counted, logged, resume, saved, until_stale, within
from headstart.stages.pairs import fit_head, pair_loss
from headstart.stages.split import Index
from headstart.stages.tune import Recipe, Row, Tensors, Training, tune
from headstart.store import save_arrays

ALPHAS = (0.25, 0.5, 0.75, 1.0)
"""Places on the way from the start to the averaged end (WiSE-FT, Wortsman et al. 2022, 2109.01903)."""
WRITTEN = (0.5, 1.0)
"""Of networks that write: to be judged a thousand captions take a minute."""
PATIENCE = 3
QUICK = 0.25
"""A glimpse tells the step that so many are quicker than: batches have as much in them as others, and other work on a
machine makes steps slower, never quicker."""


@dataclass(frozen=True)
class Watch:
    """What goes on around a training.

    Attributes:
        clock: seconds.
        left: seconds left for it.
        log: told of every step.
        advance: moves a progress bar by a step.
        workers: threads that read ahead.
        device: where it is computed.
        ends: whether a training that runs out of time ends as it is then, rather than being given up.
    """

    clock: Clock
    left: Callable[[], float]
    log: Log
    advance: Advance
    workers: int
    device: str
    ends: bool = False


@dataclass(frozen=True)
class Tried:
    """What a training gave: logits_AHK of its candidates on the held examples, and the share of its steps it took."""

    logits_AHK: NDArray[np.float64]
    share: float


@dataclass(frozen=True)
class Glimpse:
    """What a short training shows: the held-out loss it comes to, seconds of one of its quicker steps, not a number
    where it took but one, and of a look at one example."""

    loss: float
    step: float
    look: float


def attempt(
    model: Any,
    recipe: Recipe,
    batches: Batches,
    held: Index,
    alphas: Sequence[float],
    aim: Aim,
    folder: Path,
    watch: Watch,
    keep: bool = False,
    by_pairs: bool = False,
) -> Tried:
    """Train a model and judge its candidates on held examples, or read what an earlier run found.

    Args:
        model: at its start; it is left at its end.
        recipe: how to train it.
        batches: what on.
        held: examples to judge on.
        alphas: the candidates: places on the way from the start to the averaged end.
        aim: what is to be said of an example.
        folder: of this training, for checkpoints and the result.
        watch: what goes on around it.
        keep: whether start and end are kept, for `ended`.
        by_pairs: whether pairs of examples teach it, and a head is fitted on what comes of that: see `pairs`.

    Raises:
        OutOfTime: no seconds are left, and the training does not just end there.
    """
    done = folder / "held.safetensors"
    try:
        kept = load_file(done)
        watch.advance(recipe.steps)
        return Tried(kept["logits"], float(kept["share"][0]))
    except (OSError, SafetensorError, KeyError):
        pass
    start, training = begun(model, recipe, batches, aim, by_pairs)

    def loss() -> float:
        return held_loss(model, training, batches, held, aim, aim.ended or aim.watched)

    ran(training, batches, folder, watch, None if by_pairs else loss)
    ends = [between(start, training.average, alpha) for alpha in alphas]
    if by_pairs:
        ends = [with_head(training, batches, end, aim) for end in ends]
    logits = []
    for end in ends:
        training.use(end)
        logits.append(logits_of(model, batches.source, held, batches.device, batches.size_N))
    tried = Tried(np.stack(logits), training.step / recipe.steps)
    if keep:
        last = ends[-1] if by_pairs else training.average
        tensors = {f"start.{n}": t for n, t in start.items()} | {f"end.{n}": t for n, t in last.items()}
        write(folder / "ended", training.step, tensors, {})
    save_arrays(done, {"logits": tried.logits_AHK, "share": np.array([tried.share])})
    for spent in folder.glob("step-*.safetensors"):
        spent.unlink(missing_ok=True)
    watch.advance(recipe.steps - training.step)
    return tried


def glimpse(model: Any, recipe: Recipe, batches: Batches, held: Index, aim: Aim, folder: Path, watch: Watch) -> Glimpse:
    """Train for a short while and look, or read what an earlier run saw; arguments as of `attempt`.

    Raises:
        OutOfTime: no seconds are left.
    """
    done = folder / "held.safetensors"
    try:
        kept = load_file(done)
        watch.advance(recipe.steps)
        return Glimpse(float(kept["loss"][0]), *(float(each) for each in kept["seconds"]))
    except (OSError, SafetensorError, KeyError):
        pass
    _, training = begun(model, recipe, batches, aim)
    at: list[float] = []

    def log(name: str, row: Row) -> None:
        at.append(watch.clock())
        watch.log(name, row)

    ran(training, batches, folder, replace(watch, log=log))
    trained = watch.clock()
    loss = held_loss(model, training, batches, held, aim, aim.watched)
    look = (watch.clock() - trained) / len(held)
    step = float(np.quantile(np.diff(at), QUICK)) if len(at) > 1 else np.nan
    save_arrays(done, {"loss": np.array([loss]), "seconds": np.array([step, look])})
    for spent in folder.glob("step-*.safetensors"):
        spent.unlink(missing_ok=True)
    return Glimpse(loss, step, look)


def ended(folder: Path, alpha: float) -> Tensors:
    """Return the weights that a kept training came to, so far on the way from its start.

    Raises:
        StoreError: they are not there, or torn.
    """
    newest = max((folder / "ended").glob("step-*.safetensors"), default=folder / "ended")
    tensors, _ = read(newest)
    start, end = (
        {n.removeprefix(kind): t for n, t in tensors.items() if n.startswith(kind)} for kind in ("start.", "end.")
    )
    return between(start, end, alpha)


def with_head(training: Training, batches: Batches, end: Tensors, aim: Aim) -> Tensors:
    """Return an end of a training by pairs with the head that is fitted on its features; the model is left so."""
    training.use(end)
    fit_head(training.model, batches.source, batches.rows, batches.target_N, len(aim.outputs), batches.device)  # type: ignore[arg-type]
    return {n: t.clone() for n, t in training.followed.items()}


def begun(
    model: nn.Module, recipe: Recipe, batches: Batches, aim: Aim, by_pairs: bool = False
) -> tuple[Tensors, Training]:
    """Return where a training starts, and the training."""
    if by_pairs:
        training = Training(model, recipe, lambda top, x_B, target_B: pair_loss(top.features(x_B), target_B))
    else:
        training = Training(model, recipe, aim.training(batches.target_N[batches.rows]))
    return {n: t.clone() for n, t in training.followed.items()}, training


def ran(
    training: Training,
    batches: Batches,
    folder: Path,
    watch: Watch,
    loss: Callable[[], float] | None = None,
    stop: int | None = None,
) -> None:
    """Train to the end, from the newest checkpoint if there is one.

    Args:
        training: at its start.
        batches: what on.
        folder: of the checkpoints.
        watch: what goes on around it.
        loss: looked at after each epoch, to stop early.
        stop: a step to stop at before the recipe's end.

    Raises:
        OutOfTime: no seconds are left.
    """
    watch.advance(resume(training, folder))
    rows = logged(tune(training, batches), folder.name, watch.log)
    rows = within(saved(rows, training, folder, watch.clock), watch.left, watch.ends)
    if loss is not None:
        rows = until_stale(rows, training, batches.in_epoch, loss, PATIENCE)
    for row in counted(rows, watch.advance):
        if stop is not None and row.step >= stop:
            break


def between(start: Tensors, end: Tensors, alpha: float) -> Tensors:
    """Return weights on the straight way from a start to an end; alpha 1 is the end itself."""
    return {n: end[n].clone() if alpha == 1 else torch.lerp(start[n], end[n], alpha) for n in end}


def model_at(body: nn.Module, head: Head, low: bool, device: str) -> Any:
    """Return a body with a head on it, ready to be trained, its statistics kept."""
    model = head.on(body, low).to(device)
    keep_statistics(model)
    return model
