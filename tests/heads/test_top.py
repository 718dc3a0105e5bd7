"""The top: the same head as before training on the layers above a cut, and rates that fall with depth."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from headstart.heads.linear import FRESH_STD, LinearHead, fresh_head, plain_head
from headstart.heads.top import Top, keep_statistics, rates

D, K = 6, 3


def made(d: int = D, k: int = K, temperature: float = 1.0, seed: int = 0) -> LinearHead:
    rng = np.random.default_rng(seed)
    mean_D, std_D = 3 * rng.normal(size=d), rng.uniform(0.1, 5, d)
    return LinearHead(mean_D, std_D, rng.normal(size=(d, k)), rng.normal(size=k), temperature)


def features(n: int = 20, d: int = D) -> NDArray[np.float32]:
    return (5 * np.random.default_rng(1).normal(size=(n, d))).astype(np.float32)


def logits(model: nn.Module, x: NDArray[Any]) -> NDArray[np.float64]:
    with torch.no_grad():
        return model(torch.from_numpy(x)).double().numpy()


def assert_same(one: LinearHead, other: LinearHead, exact: bool = False) -> None:
    for name in ("mean_D", "std_D", "weight_DK", "bias_K"):
        ours, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 1e-6, err_msg=name, strict=True)


# -- the same head


def test_on_features_it_gives_the_logits_of_the_linear_head() -> None:
    np.testing.assert_allclose(logits(Top(nn.Identity(), made()), features()), made().logits(features()), rtol=1e-4)


def test_on_activations_it_gives_the_logits_of_the_linear_head_on_the_body_s_features() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(2, D, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = np.random.default_rng(0).normal(size=(5, 2, 7, 7)).astype(np.float32)
    np.testing.assert_allclose(logits(Top(body, made()), x), made().logits(logits(body, x)), rtol=1e-4, atol=1e-5)


def test_features_in_half_precision_are_standardised_in_full() -> None:
    """A mean of 1000 with a deviation of 0.1 has no place in 16 bits."""
    head = LinearHead(np.full(D, 1000.0), np.full(D, 0.1), made().weight_DK, made().bias_K)
    x = np.full((4, D), 1000.0, np.float16)
    found = logits(Top(nn.Identity(), head), x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.tile(made().bias_K, (4, 1)), rtol=1e-5)


def test_the_head_that_was_put_in_comes_out() -> None:
    found = Top(nn.Identity(), made()).head()
    assert_same(found, made())
    assert found.temperature == 1.0
    assert found.weight_DK.dtype == np.float64
    np.testing.assert_allclose(found.logits(features()), made().logits(features()), rtol=1e-5)
    assert_same(Top(nn.Identity(), found).head(), found, exact=True)


def test_the_head_that_comes_out_is_the_trained_one_with_the_temperature_that_it_is_given() -> None:
    model = Top(nn.Identity(), made())
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    model(torch.from_numpy(features())).square().sum().backward()
    optimizer.step()
    found = model.head(2.5)
    assert found.temperature == 2.5
    np.testing.assert_allclose(found.logits(features()) * 2.5, logits(model, features()), rtol=1e-4)
    assert np.abs(found.weight_DK - made().weight_DK).max() > 0.1
    np.testing.assert_array_equal(found.std_D, made().std_D.astype(np.float32))


def test_a_head_is_a_copy() -> None:
    model = Top(nn.Identity(), made())
    found = model.head()
    with torch.no_grad():
        for tensor in (model.linear.weight, model.linear.bias, model.mean_D, model.std_D):
            tensor.zero_()
    assert_same(found, made())


def test_weights_can_be_put_back_to_those_of_a_head_its_standardisation_untouched() -> None:
    model = Top(nn.Identity(), made())
    other = made(seed=4)
    model.begin(other)
    found = model.head()
    np.testing.assert_allclose(found.weight_DK, other.weight_DK, rtol=1e-6)
    np.testing.assert_allclose(found.bias_K, other.bias_K, rtol=1e-6)
    np.testing.assert_allclose(found.mean_D, made().mean_D, rtol=1e-6)


def test_the_body_and_the_weights_are_trained_and_the_standardisation_is_not() -> None:
    body = nn.Linear(D, D)
    model = Top(body, made())
    assert [name for name, _ in model.named_parameters()] == [
        "body.weight",
        "body.bias",
        "linear.weight",
        "linear.bias",
    ]
    assert {name for name, _ in model.named_buffers()} == {"mean_D", "std_D"}
    assert model.body is body, "shared, not copied"


def test_in_low_precision_the_body_computes_in_bfloat16_and_the_head_in_float32() -> None:
    seen: list[torch.dtype] = []

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(D, D)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.layer(x)
            seen.append(out.dtype)
            return out

    body = Body()
    for low, expected in ((True, torch.bfloat16), (False, torch.float32)):
        found = Top(body, made(), low)(torch.from_numpy(features()))
        assert (seen.pop(), found.dtype) == (expected, torch.float32)
        found.sum().backward()
        assert body.layer.weight.grad is not None
        assert body.layer.weight.grad.dtype == torch.float32


# -- heads to start from


def test_a_fresh_head_has_small_random_weights_and_the_standardisation_of_the_other() -> None:
    like = made(d=400)
    found = fresh_head(like, 3)
    assert found.weight_DK.shape == like.weight_DK.shape
    assert found.weight_DK.std() == pytest.approx(FRESH_STD, rel=0.1)
    assert found.bias_K.tolist() == [0.0] * K
    np.testing.assert_array_equal(found.mean_D, like.mean_D)
    np.testing.assert_array_equal(found.std_D, like.std_D)


def test_a_plain_head_takes_features_as_they_are() -> None:
    found = plain_head(400, K, 3)
    assert found.weight_DK.std() == pytest.approx(FRESH_STD, rel=0.1)
    np.testing.assert_allclose(found.logits(features(d=400)), features(d=400) @ found.weight_DK, rtol=1e-6)


def test_random_heads_depend_on_the_seed_alone() -> None:
    np.random.seed(0)
    for make in (lambda seed: fresh_head(made(), seed), lambda seed: plain_head(D, K, seed)):
        assert_same(make(3), make(3), exact=True)
        assert np.abs(make(3).weight_DK - make(4).weight_DK).max() > 0


def test_a_fresh_head_knows_next_to_nothing() -> None:
    found = fresh_head(made(), 0)
    x = found.mean_D + found.std_D * np.random.default_rng(0).normal(size=(50, D))
    assert np.abs(found.logits(x)).max() < 0.2


# -- rates


def stack(tensors: int) -> nn.Module:
    """A network of so many parameters, matrices and vectors by turns, from the input to the head."""
    model = nn.Module()
    for i in range(tensors):
        model.register_parameter(f"p{i}", nn.Parameter(torch.zeros(2, 2) if i % 2 == 0 else torch.zeros(2)))
    return model


def rate_of_each(model: nn.Module, rate: float, bottom: float) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    found = [(names[id(p)], each) for parameters, each, _ in rates(model, rate, bottom) for p in parameters]
    assert len({name for name, _ in found}) == len(found), "no parameter twice"
    return {name: dict(found)[name] for name in names.values() if name in dict(found)}


@given(st.integers(13, 300), st.floats(1e-3, 1.0))
def test_the_head_gets_the_rate_and_the_lowest_layer_its_share(tensors: int, bottom: float) -> None:
    each = list(rate_of_each(stack(tensors), 0.01, bottom).values())
    assert len(each) == tensors
    assert each[-2:] == [0.01, 0.01], "weights and bias of the head"
    assert each[0] == pytest.approx(0.01 * bottom)


@given(st.integers(1, 300), st.floats(1e-3, 1.0))
def test_the_rate_never_falls_on_the_way_up(tensors: int, bottom: float) -> None:
    each = list(rate_of_each(stack(tensors), 0.01, bottom).values())
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(each))
    assert each[-1] == 0.01
    assert each[0] >= 0.01 * bottom * (1 - 1e-9)


def test_the_rate_falls_in_even_steps() -> None:
    each = np.unique(list(rate_of_each(stack(48), 1.0, 0.1).values()))
    assert len(each) == 12
    np.testing.assert_allclose(each[1:] / each[:-1], 10 ** (1 / 11))


def test_matrices_and_vectors_are_told_apart() -> None:
    model = stack(7)
    matrix = {id(p): p.ndim > 1 for p in model.parameters()}
    for parameters, _, is_matrix in rates(model, 0.01, 0.5):
        assert {matrix[id(p)] for p in parameters} == {is_matrix}


def test_kernels_of_convolutions_are_matrices_and_weights_of_normalisations_are_not() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm(4))
    decayed = [p.shape for parameters, _, is_matrix in rates(model, 0.01, 0.5) if is_matrix for p in parameters]
    assert decayed == [torch.Size([4, 3, 3, 3])]


def test_what_is_frozen_has_no_rate_and_does_not_count_as_a_layer() -> None:
    model = stack(40)
    for i in range(20):
        model.get_parameter(f"p{i}").requires_grad_(False)
    found = rate_of_each(model, 0.01, 0.1)
    assert list(found) == [f"p{i}" for i in range(20, 40)]
    assert list(found.values()) == list(rate_of_each(stack(20), 0.01, 0.1).values())


def test_rates_of_a_top_end_at_its_head() -> None:
    model = Top(nn.Sequential(*[nn.Linear(D, D) for _ in range(8)]), made())
    found = rate_of_each(model, 0.01, 0.1)
    assert found["linear.weight"] == found["linear.bias"] == 0.01
    assert found["body.0.weight"] == pytest.approx(0.001)


def test_nothing_to_train_has_no_rates() -> None:
    assert list(rates(nn.ReLU(), 0.01, 0.5)) == []


# -- statistics


def test_statistics_are_kept_whatever_else_trains() -> None:
    inner = nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2), nn.Dropout(0.5))
    model = nn.Sequential(nn.BatchNorm2d(2), inner, nn.SyncBatchNorm(2), nn.LayerNorm(2))
    model.eval()
    keep_statistics(model)
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes == {"": True, "0": False, "1": True, "1.0": True, "1.1": False, "1.2": True, "2": False, "3": True}


def test_the_statistics_of_timm_s_own_normalisation_are_kept_too() -> None:
    from timm.layers import BatchNormAct2d

    model = nn.Sequential(BatchNormAct2d(2))
    keep_statistics(model)
    model(torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0)) + 7)
    assert model[0].running_mean.tolist() == [0.0, 0.0]
