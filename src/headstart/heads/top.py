"""What is trained: the layers above a cut with the head on them, the head's standardisation a layer of its own.

A logistic regression folded into raw features has weights of very different sizes, a large norm, and fine-tuning from
it stands still; on standardised features it is a start like any other (Kumar et al. 2022, 2202.10054: LP-FT).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from headstart.heads.linear import LinearHead
from headstart.heads.linear import fresh_head as fresh_head
from headstart.heads.linear import plain_head as plain_head

LAYERS = 12
"""The learning rate falls from the head to the lowest layer in about so many steps."""


class Top(nn.Module):
    """activation_N... -> logits_NK: the layers above a cut, pooled, standardised, and a linear layer.

    Maps are laid out channels last: a step of EfficientNet-lite0 on a CPU takes three fifths as long so (dev/LOG.md).

    Args:
        body: activation_N... -> features_ND; shared, not copied.
        head: its mean and deviation are kept as they are; its weights are where training starts.
        low: whether the body computes in bfloat16 (weights and head stay in float32).
    """

    mean_D: torch.Tensor
    std_D: torch.Tensor

    def __init__(self, body: nn.Module, head: LinearHead, low: bool = False) -> None:
        super().__init__()
        self.body = body.to(memory_format=torch.channels_last)
        self.low = low
        self.register_buffer("mean_D", torch.tensor(head.mean_D, dtype=torch.float32))
        self.register_buffer("std_D", torch.tensor(head.std_D, dtype=torch.float32))
        make: Callable[..., nn.Linear] = nn.utils.skip_init  # draws nothing
        self.linear = make(nn.Linear, *head.weight_DK.shape)
        self.begin(head)

    def begin(self, head: LinearHead) -> None:
        """Put the head's weights to those of a linear head, its temperature in them: the scores of a ridge
        regression are no logits without."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor(head.weight_DK.T / head.temperature))
            self.linear.bias.copy_(torch.tensor(head.bias_K / head.temperature))

    def forward(self, activation_N: torch.Tensor) -> torch.Tensor:
        logits_NK: torch.Tensor = self.linear(self.features(activation_N))
        return logits_NK

    def features(self, activation_N: torch.Tensor) -> torch.Tensor:
        """Return standardised features_ND, which the linear layer is given."""
        if activation_N.ndim == 4:
            activation_N = activation_N.contiguous(memory_format=torch.channels_last)
        kind = activation_N.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.low):
            features_ND = self.body(activation_N)
        standardised_ND: torch.Tensor = (features_ND.float() - self.mean_D) / self.std_D
        return standardised_ND

    def head(self, temperature: float = 1.0) -> LinearHead:
        """Return the head as it is now."""
        values = (self.mean_D, self.std_D, self.linear.weight.T, self.linear.bias)
        mean_D, std_D, weight_DK, bias_K = (v.detach().cpu().numpy().astype(np.float64) for v in values)
        return LinearHead(mean_D, std_D, weight_DK, bias_K, temperature)


def rates(model: nn.Module, rate: float, bottom: float) -> Iterator[tuple[list[nn.Parameter], float, bool]]:
    """Yield (parameters, learning rate, whether they are matrices) of what is to be trained.

    The rate falls geometrically from the head, which gets `rate`, to the lowest layer, which gets `bottom * rate`:
    discriminative rates (Howard and Ruder 2018, 1801.06146). Parameters come in the order of the network.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for i, parameter in enumerate(trained):
        layer = LAYERS * (len(trained) - 1 - i) // max(1, len(trained))
        groups.setdefault((layer, parameter.ndim > 1), []).append(parameter)
    for (layer, matrix), parameters in groups.items():
        yield parameters, rate * bottom ** (layer / (LAYERS - 1)), matrix


def keep_statistics(model: nn.Module) -> None:
    """Put a model in training mode but for its normalisation statistics, which stay those of pretraining.

    A few hundred examples give worse ones, and a head fitted on features made with the old ones would be off.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.eval()
