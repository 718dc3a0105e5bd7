"""held: what a model says of examples that it was not trained on, and its loss there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from headstart.aims.aim import Aim, Loss
from headstart.stages.batches import Batches, Source, target_tensor, tensor
from headstart.stages.split import Index
from headstart.stages.tune import Training

_JUDGED = 64


def held_loss(
    model: Any, training: Training, batches: Batches, held: Index, aim: Aim, watched: Loss | None = None
) -> float:
    """Return the loss of the average of a training's weights on held examples, infinite where it is no number; the
    training is left as it was.

    Args:
        model: that is trained.
        training: of it.
        batches: what on.
        held: examples that it is not trained on.
        aim: whose loss it is, of what the model gives for them...
        watched: ...unless it is this one, computed batch by batch.
    """
    now = {n: t.clone() for n, t in training.followed.items()}
    training.use(training.average)
    if watched is not None:
        value = watched_loss(model, batches, held, watched)
    else:
        said_HK = logits_of(model, batches.source, held, batches.device, batches.size_N)
        value = float(aim.loss_N(said_HK, batches.target_N[held]).mean())
    training.use(now)
    return value if np.isfinite(value) else float("inf")


def watched_loss(model: Any, batches: Batches, held: Index, watched: Loss) -> float:
    """Return the mean of a loss on held examples, in eval mode; the model is left as it was."""
    was = [(module, module.training) for module in model.modules()]
    model.eval()
    total, held = 0.0, held[_by_size(held, batches.size_N)]
    with torch.inference_mode():
        for at in range(0, len(held), _JUDGED):
            rows = held[at : at + _JUDGED]
            x_B = tensor(batches.source.clean(rows), batches.device)
            loss = watched(model, x_B, target_tensor(batches.target_N[rows], batches.device))
            total += float(loss) * len(rows)
    for module, training in was:
        module.training = training
    return total / max(1, len(held))


def logits_of(
    model: nn.Module, source: Source, rows: Index, device: str, size_N: Index | None = None
) -> NDArray[np.float64]:
    """Return logits_NK of examples as they are, in eval mode; the model is left as it was. Not finite becomes 0.

    Args:
        model: the whole model.
        source: gives inputs.
        rows: which examples.
        device: where it is computed.
        size_N: how long each of all examples is; None where all are alike.
    """
    order_N = _by_size(rows, size_N)
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    out: list[NDArray[Any]] = []
    with torch.inference_mode():
        for at in range(0, len(rows), _JUDGED):
            x_B = tensor(source.clean(rows[order_N[at : at + _JUDGED]]), device)
            out.append(model(x_B).float().cpu().numpy())
    for module, was in training:
        module.training = was
    logits_NK = np.concatenate(out).astype(np.float64)[np.argsort(order_N)]
    return np.where(np.isfinite(logits_NK).all(1, keepdims=True), logits_NK, 0.0)


def _by_size(rows: Index, size_N: Index | None) -> Index:
    """Return the places of examples from the smallest on: what is judged together is filled up to the largest."""
    return np.arange(len(rows)) if size_N is None else np.argsort(size_N[rows], kind="stable")
