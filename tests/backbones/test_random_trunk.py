"""From scratch: the trunk's architecture anew, in all but its numbers, from a seed alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import test_from_torchvision as of_torchvision
import test_from_transformers as of_transformers
import timm
import torch
from test_layout import bare, half_of_a_resnet
from torch import nn

import tiny
from headstart.backbones import from_timm
from headstart.backbones.backbone import Backbone
from headstart.backbones.images import open_image_backbone
from headstart.backbones.scratch import random_trunk
from headstart.errors import BackboneError


def timm_folder(root: Path, architecture: str, **options: Any) -> str:
    return str(tiny.timm_folder(root / "network", architecture, **options))


def transformers_folder(root: Path, family: str) -> str:
    of_transformers.saved(root / "network", family)
    return str(root / "network")


def transformers_half(root: Path) -> str:
    """Write a network in half precision, and its configuration says so."""
    of_transformers.saved(root / "network", "vit").to(torch.bfloat16).save_pretrained(root / "network")
    return str(root / "network")


KINDS: dict[str, Callable[[Path], str]] = {
    "the default": lambda root: "auto",
    "timm": partial(timm_folder, architecture=tiny.ARCHITECTURE),
    "timm, a transformer": partial(timm_folder, architecture="test_vit"),
    "timm, of another size": partial(timm_folder, architecture="test_vit", img_size=64),
    "timm, otherwise pooled": partial(timm_folder, architecture="test_vit", global_pool="avg", class_token=False),
    "timm, cut": half_of_a_resnet,
    "torchvision": bare("mobilenet_v3_small"),
    "torchvision, an option": bare("googlenet", "aux"),
    "torchvision, cut": bare("squeezenet1_1"),
    "transformers": partial(transformers_folder, family="dinov2"),
    "transformers, a convnet": partial(transformers_folder, family="resnet"),
    "transformers, two kinds of classifier": partial(transformers_folder, family="deit"),
    "transformers, half precision": transformers_half,
}


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_image_backbone(KINDS[request.param](tmp_path_factory.mktemp("scratch")))


def described(network: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in network.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_names_shapes_and_modules_are_the_trunks_and_the_numbers_are_not(backbone: Backbone) -> None:
    made = random_trunk(backbone, 7)
    assert described(made) == described(backbone.trunk)
    assert list(made.state_dict()) == list(backbone.trunk.state_dict())
    assert str(made) == str(backbone.trunk)
    matrices = [name for name, p in made.named_parameters() if p.ndim > 1 and p.any()]
    own = backbone.trunk.state_dict()
    assert matrices
    assert not [name for name in matrices if torch.equal(made.state_dict()[name], own[name])]


def test_the_weights_depend_on_the_seed_alone_and_global_randomness_is_untouched(backbone: Backbone) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = random_trunk(backbone, 1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert same(random_trunk(backbone, 1), one)
    assert not same(random_trunk(backbone, 2), one)


def test_it_is_frozen_and_gives_features_of_the_same_shape_that_differ_by_input(backbone: Backbone, noise: Any) -> None:
    made = random_trunk(backbone, 0)
    assert not any(module.training for module in made.modules())
    assert not any(p.requires_grad for p in made.parameters())
    x_N3HW = torch.from_numpy(noise(backbone.preprocess, 2)) / 127.5 - 1
    with torch.inference_mode():
        features_ND = made(x_N3HW)
    assert features_ND.shape == (2, backbone.dim)
    assert features_ND.isfinite().all()
    assert not torch.equal(features_ND[0], features_ND[1])


def test_it_computes_what_the_trunk_does_once_it_has_the_trunks_numbers(backbone: Backbone, noise: Any) -> None:
    made = random_trunk(backbone, 0)
    made.load_state_dict(backbone.trunk.state_dict())
    x_N3HW = torch.from_numpy(noise(backbone.preprocess, 2)) / 127.5 - 1
    with torch.inference_mode():
        assert torch.equal(made(x_N3HW), backbone.trunk(x_N3HW))


def test_the_trunk_is_not_changed_by_it(backbone: Backbone) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.trunk.state_dict().items()}
    own = {id(tensor) for tensor in backbone.trunk.parameters()}
    assert not own & {id(tensor) for tensor in random_trunk(backbone, 0).parameters()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.trunk.state_dict().items())


def of_timm(**options: Any) -> tuple[Any, Backbone]:
    """Return a small network of timm with random weights, and the backbone that it is wrapped as."""
    config, options = {"input_size": (3, 48, 48), "fixed_input_size": True}, {"depth": 2, "num_classes": 0, **options}
    torch.manual_seed(3)
    network = timm.create_model("vit_tiny_patch16_224", pretrained_cfg_overlay=config, **options)
    return network, from_timm.wrap("mine", network, source="made")


def test_the_numbers_are_those_that_the_library_itself_starts_from() -> None:
    network, mine = of_timm()
    assert same(random_trunk(mine, 3), network)


def test_what_a_network_of_timm_was_made_with_is_kept() -> None:
    made: Any = random_trunk(of_timm(global_pool="avg")[1], 0)
    assert (made.global_pool, len(made.blocks), made.pos_embed.shape) == ("avg", 2, (1, 10, 192))


def test_an_architecture_that_comes_out_otherwise_is_an_error_that_says_how() -> None:
    network, mine = of_timm()
    network.norm = nn.Sequential(network.norm)
    with pytest.raises(BackboneError, match=r"(?s)cannot be built anew.*norm\.0\.weight missing instead of \(192,\)"):
        mine.fresh()


def test_without_the_arguments_that_it_was_made_with_it_is_an_error_and_no_other_network() -> None:
    network, _ = of_timm()
    del network._model_args
    with pytest.raises(BackboneError, match=r"cannot be built anew"):
        from_timm.wrap("mine", network, source="made").fresh()


def test_torchvision_initialises_what_it_is_told_to_leave_when_weights_follow(tmp_path: Path) -> None:
    mine = open_image_backbone(bare("googlenet", "aux")(tmp_path))
    stem = random_trunk(mine, 0).get_submodule("conv1.conv").weight
    assert stem.std() == pytest.approx(0.01, rel=0.1)  # GoogLeNet's; PyTorch's own would be 0.048
    assert of_torchvision.made("googlenet").get_submodule("conv1.conv").weight.std() > 0.02
