"""LoRA: adapters that change nothing at first, are trained alone, and end as part of the network's own weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest
import test_from_transformers as of_transformers
import timm
import torch
import torchvision
import transformers as hf
from torch import Tensor, nn

from headstart.backbones.cut import Halves, cuts, split, trace
from headstart.backbones.lora import Adapted, adapt, available, has_attention
from headstart.errors import BackboneError, UsageError

SIDE = 32
BLOCK = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True)
class Case:
    """A small network in two halves, pictures, and what the trunk gives for them."""

    network: nn.Module
    halves: Halves
    x_N3HW: Tensor
    activation: Tensor

    @property
    def top(self) -> nn.Module:
        return self.halves.top


def cased(network: nn.Module, place: str, side: int = SIDE) -> Case:
    torch.manual_seed(1)
    x_N3HW = torch.randn(4, 3, side, side)
    graph = trace(network)
    halves = split(graph, next(cut for cut in cuts(graph, x_N3HW[:1]) if cut.name == place))
    with torch.no_grad():
        return Case(network, halves, x_N3HW, halves.trunk(x_N3HW))


def vit(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=SIDE, depth=4, num_classes=5, **options)


def vit_of_torchvision() -> nn.Module:
    torch.manual_seed(0)
    small: Any = {"patch_size": 8, "num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24, "num_classes": 5}
    network = torchvision.models.VisionTransformer(image_size=SIDE, **small)
    nn.init.normal_(network.heads.head.weight)
    return network


def vit_of_transformers() -> nn.Module:
    torch.manual_seed(0)
    return hf.ViTForImageClassification(hf.ViTConfig(**of_transformers.PATCHED)).eval()


@pytest.fixture
def case() -> Case:
    return cased(vit(), "blocks.1")


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def differing(network: nn.Module, before: dict[str, Tensor]) -> set[str]:
    now = network.state_dict()
    assert list(now) == list(before)
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


def classes(network: nn.Module) -> dict[str, type]:
    return {name: type(module) for name, module in network.named_modules()}


def trained(case: Case, adapted: Adapted, steps: int = 5) -> list[float]:
    """Take a few steps towards some labels; return the losses."""
    labels_N, losses = torch.arange(4), []
    optimizer = torch.optim.SGD(adapted.parameters().values(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(case.top(case.activation), labels_N)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def stirred(adapted: Adapted) -> None:
    """Give the adapters other numbers, as after training."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in adapted.parameters().values():
            parameter.normal_(std=0.1)


def test_adapters_change_nothing_before_they_are_trained(case: Case) -> None:
    with torch.no_grad():
        before_NK = case.top(case.activation)
        adapt(case.top, 4, 0)
        assert torch.equal(case.top(case.activation), before_NK)


def test_all_linear_layers_of_the_tops_blocks_are_adapted_and_nothing_else_wants_a_gradient(case: Case) -> None:
    adapted = adapt(case.top, 4, 0)
    assert adapted.layers == tuple(f"blocks.{i}.{layer}" for i in (2, 3) for layer in BLOCK)
    own = adapted.parameters()
    assert len(own) == 2 * len(adapted.layers)
    assert {name for name, p in case.top.named_parameters() if p.requires_grad} == own.keys()
    assert {case.top.get_submodule(layer).scaling["default"] for layer in adapted.layers} == {2}
    assert sum(p.numel() for p in own.values()) == 2 * 4 * (192 * 4 + 192 * 2 + 192 * 5 * 2)
    assert not any(p.requires_grad for p in adapt(vit(), 1, 0).top.head.parameters())


def test_training_makes_the_loss_smaller_and_changes_the_adapters_alone(case: Case) -> None:
    adapted = adapt(case.top, 4, 0)
    own, before = set(adapted.parameters()), state(case.top)
    losses = trained(case, adapted)
    assert losses[-1] < 0.9 * losses[0]
    assert differing(case.top, before) == own


def test_merging_leaves_the_network_as_it_was_made_with_the_tuned_weights(case: Case) -> None:
    whole, half, trunk = state(case.network), state(case.top), state(case.halves.trunk)
    kinds, modules = (classes(case.network), classes(case.top)), dict(case.network.named_modules())
    with torch.no_grad():
        untuned_NK = case.network(case.x_N3HW)
    adapted = adapt(case.top, 4, 0)
    trained(case, adapted)
    with torch.no_grad():
        tuned_NK = case.top(case.activation)
        adapted.merge()
        for again_NK in (case.network(case.x_N3HW), case.top(case.activation)):
            torch.testing.assert_close(again_NK, tuned_NK, rtol=0, atol=1e-6)
    assert (tuned_NK - untuned_NK).abs().max() > 1e-2
    assert (
        differing(case.network, whole) == differing(case.top, half) == {f"{layer}.weight" for layer in adapted.layers}
    )
    assert differing(case.halves.trunk, trunk) == set()
    assert (classes(case.network), classes(case.top)) == kinds
    assert all(module is modules[name] for name, module in case.network.named_modules())


def test_after_merging_there_is_nothing_left_of_it_and_it_can_be_done_again(case: Case) -> None:
    known = set(vars(case.top))
    adapted = adapt(case.top, 4, 0)
    trained(case, adapted)
    adapted.merge()
    assert set(vars(case.top)) == known
    assert adapted.parameters() == {}
    merged = state(case.network)
    adapted.merge()
    assert differing(case.network, merged) == set()
    again = adapt(case.top, 2, 1)
    assert len(again.parameters()) == 16
    losses = trained(case, again)
    assert losses[-1] < losses[0]


def test_what_adapters_start_from_depends_on_the_seed_alone(case: Case) -> None:
    before = torch.get_rng_state()
    one = adapt(case.top, 4, 7).parameters()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    for seed, alike in ((7, True), (8, False)):
        other = adapt(cased(vit(), "blocks.1").top, 4, seed).parameters()
        assert list(other) == list(one)
        down = [name for name in one if "lora_A" in name]
        assert all(torch.equal(one[name], other[name]) == alike for name in down)


NETWORKS: dict[str, tuple[str, dict[str, Any], bool]] = {  # name -> place, what makes it small, is a transformer
    "beit_base_patch16_224": ("blocks.0", {"img_size": 64, "depth": 2}, True),
    "caformer_s18": ("stages.2.blocks.0", {}, True),  # attention under another name
    "convnext_atto": ("stages.2.blocks.0", {}, False),  # linear layers, but no attention
    "eca_resnet33ts": ("stages.2.0", {}, False),  # attn in names
    "swin_tiny_patch4_window7_224": (
        "layers.1.blocks.0",
        {"img_size": 64, "window_size": 4, "depths": (1, 1, 1, 1)},
        True,
    ),
    "xcit_nano_12_p16_224": ("blocks.1", {"img_size": 64, "depth": 3}, True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_attention_are_told_whole_and_cut_and_tuned(name: str) -> None:
    place, small, transformer = NETWORKS[name]
    torch.manual_seed(0)
    case = cased(timm.create_model(name, num_classes=5, **small), place, 64)
    assert has_attention(case.network) == has_attention(case.top) == transformer
    if not transformer:
        with pytest.raises(BackboneError, match="no linear layer"):
            adapt(case.top, 4, 0)
        return
    adapted, before = adapt(case.top, 4, 0), state(case.halves.trunk)
    trained(case, adapted, 1)
    assert [name for name, p in adapted.parameters().items() if p.grad is None] == []
    stirred(adapted)
    assert not [layer for layer in adapted.layers if "head" in layer or "downsample" in layer]
    with torch.no_grad():
        tuned_NK = case.top(case.activation)
        adapted.merge()
        torch.testing.assert_close(case.network(case.x_N3HW), tuned_NK, rtol=1e-5, atol=1e-5)
    assert differing(case.halves.trunk, before) == set()


def test_of_fused_attention_the_rest_of_the_block_is_adapted() -> None:
    case = cased(vit_of_torchvision(), "encoder.layers.encoder_layer_0")
    assert has_attention(case.network)
    assert has_attention(case.top)
    keys, kinds = list(case.network.state_dict()), classes(case.network)
    adapted = adapt(case.top, 4, 0)
    assert adapted.layers == tuple(f"encoder.layers.encoder_layer_{i}.mlp.{j}" for i in (1, 2) for j in (0, 3))
    losses = trained(case, adapted)
    assert losses[-1] < losses[0]
    with torch.no_grad():
        tuned_NK = case.top(case.activation)
        adapted.merge()
        torch.testing.assert_close(case.network(case.x_N3HW), tuned_NK, rtol=1e-5, atol=1e-5)
    assert (list(case.network.state_dict()), classes(case.network)) == (keys, kinds)


def test_a_network_that_is_not_cut_is_adapted_too() -> None:
    network, x_N3HW = vit_of_transformers(), torch.randn(2, 3, SIDE, SIDE)
    keys, kinds = list(network.state_dict()), classes(network)
    adapted = adapt(network, 2, 0)
    assert len(adapted.layers) == 2 * 6
    assert all(".0." in layer or ".1." in layer for layer in adapted.layers)
    with torch.no_grad():
        before_NK = network(x_N3HW).logits
        stirred(adapted)
        tuned_NK = network(x_N3HW).logits
        adapted.merge()
        torch.testing.assert_close(network(x_N3HW).logits, tuned_NK, rtol=0, atol=1e-6)
    assert (tuned_NK - before_NK).abs().max() > 1e-3
    assert (list(network.state_dict()), classes(network)) == (keys, kinds)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 4)

    def forward(self, x_ND: Tensor) -> Tensor:
        out_ND: Tensor = self.qkv(x_ND)
        return out_ND


class Twice(nn.Module):
    """Blocks that are in a network twice, beside others, and under a path that ends like another's."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Attention(), Attention()])
        self.inner = nn.ModuleDict({"blocks": nn.ModuleList([Attention()])})
        self.blocks.append(self.blocks[1])

    def forward(self, x_ND: Tensor) -> Tensor:
        for block in [*self.blocks, *self.inner["blocks"]]:  # type: ignore[misc]
            x_ND = block(x_ND)
        return x_ND


def test_weights_that_must_not_change_or_are_in_two_places_are_left_alone() -> None:
    network = Twice()
    adapted = adapt(network, 2, 0, frozen=["inner.blocks.0.qkv.weight"])
    assert adapted.layers == ("blocks.0.qkv",)
    assert {name.partition(".lora_")[0] for name in adapted.parameters()} == {"blocks.0.qkv"}
    assert isinstance(network.get_submodule("inner.blocks.0.qkv"), nn.Linear)


def test_a_network_that_has_adapters_gets_no_others(case: Case) -> None:
    adapt(case.top, 4, 0)
    with pytest.raises(BackboneError, match=r"(?s)adapters already.*Merge"):
        adapt(case.top, 4, 0)


def test_a_rank_of_nothing_is_a_wrong_call(case: Case) -> None:
    with pytest.raises(UsageError, match=r"(?s)at least 1.*found: 0"):
        adapt(case.top, 0, 0)


def test_without_peft_it_says_what_to_install_and_leaves_the_network_alone(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert available()
    monkeypatch.setitem(sys.modules, "peft", None)
    assert not available()
    kinds = classes(case.top)
    with pytest.raises(UsageError, match=r'(?s)needs peft.*pip install "headstart\[lora\]"'):
        adapt(case.top, 4, 0)
    assert classes(case.top) == kinds
