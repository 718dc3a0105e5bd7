"""The losses that networks are trained by, in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from headstart.aims.aim import Loss


def log_loss(weight_K: NDArray[np.float64] | None = None) -> Loss:
    """Return the mean log loss of a model's logits_BK at target_B, classes weighted; in nats."""
    weights = None if weight_K is None else torch.tensor(weight_K, dtype=torch.float32)

    def loss(model: Any, x_B: torch.Tensor, target_B: torch.Tensor) -> torch.Tensor:
        logits_BK = model(x_B)
        return F.cross_entropy(logits_BK, target_B, None if weights is None else weights.to(logits_BK.device))

    return loss


def log_loss_each(model: Any, x_B: torch.Tensor, has_BK: torch.Tensor) -> torch.Tensor:
    """Return the mean log loss over the labels of a model's logits_BK, in nats."""
    return F.binary_cross_entropy_with_logits(model(x_B), has_BK)


def squared_error(model: Any, x_B: torch.Tensor, true_B: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of a model's output_B1."""
    return F.mse_loss(model(x_B)[:, 0], true_B)
