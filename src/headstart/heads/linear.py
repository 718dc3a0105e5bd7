"""The linear head: standardisation, weights, bias, temperature; and what it becomes when it is shipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

    from headstart.heads.top import Top

Array = NDArray[np.float64]
FRESH_STD = 0.01


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier on features, with its feature standardisation kept as a layer of its own.

    logits_NK = ((features_ND - mean_D) / std_D) @ weight_DK + bias_K, all divided by `temperature`.

    The standardisation stays separate because a head folded into raw features has a large norm from which
    later fine-tuning does not move; it is folded only when a finished model is shipped.
    """

    mean_D: Array
    std_D: Array
    weight_DK: Array
    bias_K: Array
    temperature: float = 1.0

    def logits(self, features_ND: NDArray[np.floating]) -> Array:
        """Return logits_NK, temperature applied."""
        weight_DK, bias_K = self.folded()
        return np.asarray(features_ND @ weight_DK + bias_K, dtype=np.float64)

    def folded(self) -> tuple[Array, Array]:
        """Return (weight_DK, bias_K) of the equal head on raw features with temperature 1."""
        weight_DK = self.weight_DK / self.std_D[:, None]
        bias_K = self.bias_K - self.mean_D @ weight_DK
        return weight_DK / self.temperature, bias_K / self.temperature

    def on(self, body: nn.Module, low: bool) -> Top:
        """Return a network with this head, to be trained."""
        from headstart.heads.top import Top

        return Top(body, self, low)

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return it as arrays, and what must be written beside them."""
        arrays = {"mean": self.mean_D, "std": self.std_D, "weight": self.weight_DK, "bias": self.bias_K}
        return {**arrays, "temperature": np.array([self.temperature])}, {}

    @staticmethod
    def read(arrays: Mapping[str, NDArray[Any]]) -> LinearHead:
        """Read it back."""
        mean_D, std_D, weight_DK, bias_K = (arrays[name] for name in ("mean", "std", "weight", "bias"))
        return LinearHead(mean_D, std_D, weight_DK, bias_K, float(arrays["temperature"][0]))

    def with_temperature(self, temperature: float) -> LinearHead:
        """Return this head with another temperature."""
        return replace(self, temperature=float(temperature))


def standardisation(features_ND: NDArray[np.floating]) -> tuple[Array, Array]:
    """Return (mean_D, std_D); a feature that never varies gets 1, so that it is left alone."""
    mean_D = features_ND.mean(0, dtype=np.float64)
    std_D = features_ND.std(0, dtype=np.float64)
    return mean_D, safe_std(std_D)


def safe_std(std_D: Array) -> Array:
    """Replace vanishing standard deviations by 1."""
    return np.where(std_D > 1e-8, std_D, 1.0)


def softmax(logits_NK: NDArray[np.floating]) -> Array:
    """Return probabilities_NK; stable for large logits."""
    shifted = logits_NK - logits_NK.max(-1, keepdims=True)
    out = np.exp(shifted)
    return np.asarray(out / out.sum(-1, keepdims=True), dtype=np.float64)


def log_loss_N(logits_NK: NDArray[np.floating], target_N: NDArray[np.integer]) -> Array:
    """Return the negative log probability of each true class, in nats."""
    below_NK = logits_NK - logits_NK.max(-1, keepdims=True)
    true_N = np.take_along_axis(below_NK, target_N[..., None], -1)[..., 0]
    return np.asarray(np.log(np.exp(below_NK).sum(-1)) - true_N, dtype=np.float64)


def sigmoid(logits_NK: NDArray[np.floating]) -> Array:
    """Return the probability of each logit by itself; stable for large ones."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits_NK, np.float64))))


def log_loss_each_NK(logits_NK: NDArray[np.floating], has_NK: NDArray[np.floating]) -> Array:
    """Return the negative log probability of what is true of each label, in nats."""
    return np.asarray(np.logaddexp(0.0, logits_NK) - logits_NK * has_NK, dtype=np.float64)


def fit_temperature(logits_NK: NDArray[np.floating], target_N: NDArray[np.integer]) -> float:
    """Return the T in [1e-4, 1e4] for which logits/T have the least log loss (Guo et al. 2017, 1706.04599).

    One further example that could be of any class is counted in: without it N right of N would give a T of 0, that
    is certainty. The logits must come from examples that the head was not fitted on.
    """
    below_NK = logits_NK - logits_NK.max(1, keepdims=True)
    true_N, any_N = np.take_along_axis(below_NK, target_N[:, None], 1)[:, 0], below_NK.mean(1)

    def loss(t: float) -> float:
        total_N = np.log(np.exp(below_NK / t).sum(1))
        return float((total_N - true_N / t).sum() + (total_N - any_N / t).mean())

    return _least(loss)


def fit_temperature_each(logits_NK: NDArray[np.floating], has_NK: NDArray[np.floating]) -> float:
    """Return the T, one for all labels, for which logits/T have the least log loss; otherwise as `fit_temperature`."""

    def loss(t: float) -> float:
        cold_NK = logits_NK / t
        return float(
            log_loss_each_NK(cold_NK, has_NK).sum() + log_loss_each_NK(cold_NK, 0.5 + 0 * has_NK).mean(0).sum()
        )

    return _least(loss)


def _least(loss: Callable[[float], float]) -> float:
    """Return where a loss that is convex in 1/T is least: a golden-section search over log T to 1e-4."""
    golden = (5**0.5 - 1) / 2
    low, high = np.log(1e-4), np.log(1e4)
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = loss(np.exp(a)), loss(np.exp(b))
    while high - low > 1e-4:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - golden * (high - low)
            at_a = loss(np.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + golden * (high - low)
            at_b = loss(np.exp(b))
    return float(np.exp((low + high) / 2))


def fresh_head(like: LinearHead, seed: int) -> LinearHead:
    """Return a head of small random weights with the standardisation of another."""
    rng = np.random.default_rng([seed, 0x4EAD])
    weight_DK = FRESH_STD * rng.standard_normal(like.weight_DK.shape)
    return LinearHead(like.mean_D, like.std_D, weight_DK, np.zeros_like(like.bias_K))


def plain_head(features: int, classes: int, seed: int) -> LinearHead:
    """Return a head of small random weights for features of which nothing is known."""
    rng = np.random.default_rng([seed, 0x4EAD])
    weight_DK = FRESH_STD * rng.standard_normal((features, classes))
    return LinearHead(np.zeros(features), np.ones(features), weight_DK, np.zeros(classes))
