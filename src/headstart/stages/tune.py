"""tune: the one training loop. It trains whatever top it is given from whatever gives its batches, a row a step.

AdamW (Loshchilov and Hutter 2019, 1711.05101) with layer-wise rates, linear warm-up and cosine decay, clipped gradients
and an average of the weights (EMA, with the usual slow start). Progress, logs, early stops, checkpoints and deadlines
are loops around it (see `loops`), not callbacks inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from headstart.aims.aim import Loss
from headstart.aims.losses import log_loss
from headstart.heads.top import rates
from headstart.stages.batches import Batches

Tensors = dict[str, torch.Tensor]
RETRIES = 3
SLOWER = 0.1


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training.

    Attributes:
        steps: how many.
        rate: learning rate of the head, at its highest.
        bottom: the lowest layer's share of it.
        seed: fixes dropout.
        warmup: share of the steps in which the rate rises.
        decay: weight decay of matrices.
        clip: largest norm of a gradient.
        average: weight that the EMA keeps of itself at each step.
        keep: every so many steps the state is kept, to return to and to resume from.
    """

    steps: int
    rate: float
    bottom: float = 1.0
    seed: int = 0
    warmup: float = 0.1
    decay: float = 0.01
    clip: float = 1.0
    average: float = 0.99
    keep: int = 10


@dataclass(frozen=True)
class Row:
    """What a step was: its number (from 1), epoch (from 0), loss in nats, learning rate of the head, retries so far."""

    step: int
    epoch: int
    loss: float
    rate: float
    retries: int


class Training:
    """A model with all that changes while it is trained. `kept` is the last good state; see `tune`.

    `watched` is for the loops around: what they saw so far, kept and restored with the rest.

    Args:
        model: parameters that want a gradient are trained; BatchNorm statistics follow its training mode.
        recipe: the numbers.
        loss: (model, x_B..., target_B) -> what is made less.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, loss: Loss | None = None) -> None:
        self.model, self.recipe, self.loss = model, recipe, loss or log_loss()
        groups = list(rates(model, recipe.rate, recipe.bottom))
        self.base = [rate for _, rate, _ in groups]
        settings = [{"params": p, "weight_decay": recipe.decay * matrix} for p, _, matrix in groups]
        self.optimizer = torch.optim.AdamW(settings, lr=recipe.rate, fused=True)
        self.trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        moving = {n: b for n, b in model.named_buffers() if b.is_floating_point()} if _learns_statistics(model) else {}
        self.followed: Tensors = {**{n: p.detach() for n, p in self.trained.items()}, **moving}
        self.average = {n: t.clone() for n, t in self.followed.items()}
        self.step, self.retries, self.scale = 0, 0, 1.0
        self.watched: list[float] = []
        self.kept = self.state()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return copies of all that changes: tensors, and plain numbers."""
        tensors = {f"model.{n}": t.clone() for n, t in self.followed.items()}
        tensors |= {f"average.{n}": t.clone() for n, t in self.average.items()}
        for name, parameter in self.trained.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value.clone()
        numbers = {"step": self.step, "retries": self.retries, "scale": self.scale, "watched": list(self.watched)}
        return tensors, numbers

    def restore(self, tensors: Tensors, numbers: dict[str, Any]) -> None:
        """Go back to a state."""
        with torch.no_grad():
            for name, tensor in self.followed.items():
                tensor.copy_(tensors[f"model.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        self.optimizer.state.clear()
        for name, parameter in self.trained.items():
            if f"exp_avg.{name}" in tensors:
                step = tensors[f"step.{name}"].to(parameter.device, copy=True)
                # Laid out as the parameter is, which a file does not keep: the fused step goes through both in memory.
                laid = {key: torch.empty_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
                for key, tensor in laid.items():
                    tensor.copy_(tensors[f"{key}.{name}"])
                self.optimizer.state[parameter] = {"step": step, **laid}
        self.step, self.retries, self.scale = numbers["step"], numbers["retries"], numbers["scale"]
        self.watched = list(numbers["watched"])
        self.kept = (tensors, numbers)

    def back(self) -> bool:
        """Return to the last good state with a lower rate; say whether that may still be done."""
        tensors, numbers = self.kept
        retries, scale = numbers["retries"] + 1, numbers["scale"] * SLOWER
        self.restore(tensors, {**numbers, "retries": retries, "scale": scale})
        return retries <= RETRIES

    def learn(self, x_B: torch.Tensor, target_B: torch.Tensor) -> float:
        """Take one step; returns the loss, not finite when nothing was learned."""
        now = self.rate_at(self.step)
        for group, base in zip(self.optimizer.param_groups, self.base, strict=True):
            group["lr"] = base * now
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)  # dropout, the same after a resume
            loss = self.loss(self.model, x_B, target_B)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(list(self.trained.values()), self.recipe.clip)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            return math.nan
        self.optimizer.step()
        self.step += 1
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), list(self.followed.values()), 1 - keep)
        return value

    def rate_at(self, step: int) -> float:
        """Return the learning rate at a step as a share of its highest: warm-up, cosine, and what retries left."""
        warm = max(1, round(self.recipe.warmup * self.recipe.steps))
        rise = min(1.0, (step + 1) / warm)
        done = max(0.0, step - warm) / max(1, self.recipe.steps - warm)
        return self.scale * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def use(self, weights: Tensors) -> None:
        """Put weights (and statistics) into the model."""
        with torch.no_grad():
            for name, tensor in self.followed.items():
                tensor.copy_(weights[name])


def tune(training: Training, batches: Batches) -> Iterator[Row]:
    """Train to the end of the recipe, yielding a row a step; the state in `training.kept` is good at any moment.

    When a loss or gradient is not finite it goes back to the last good state, at a tenth of the rate, three times at
    most; then it stops there. Deterministic on one machine, wherever it was resumed.
    """
    while training.step < training.recipe.steps:
        for x_B, target_B in batches.run(training.step, training.recipe.steps):
            before = training.state() if training.step % training.recipe.keep == 0 else None
            loss = training.learn(x_B, target_B)
            if math.isnan(loss):
                if not training.back():
                    return
                break  # with the batches from there on
            if before:  # good only now: a step on it gave a finite loss
                training.kept = before
            epoch, rate = (training.step - 1) // batches.in_epoch, training.rate_at(training.step - 1)
            yield Row(training.step, epoch, loss, rate * training.recipe.rate, training.retries)


def _learns_statistics(model: nn.Module) -> bool:
    kinds = nn.modules.batchnorm._NormBase
    return any(isinstance(m, kinds) and m.training and m.track_running_stats for m in model.modules())
