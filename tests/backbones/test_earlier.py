"""Networks of pictures that are read at several places: one pass gives what each gives alone, and each is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from headstart.backbones import from_torchvision
from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.earlier import at_several, cut_early
from headstart.backbones.images import open_image_backbone
from headstart.errors import BackboneError


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_image_backbone(str(tiny.timm_folder(tmp_path_factory.mktemp("net") / "net")))


def given(backbone: Backbone, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, *pixels(backbone).size, generator=torch.Generator().manual_seed(0))


def test_each_way_is_the_network_cut_there(net: Backbone) -> None:
    several = at_several(net)
    x_N3HW = given(net)
    whole_ND = several.trunk(x_N3HW)
    assert whole_ND.shape == (2, several.dim)
    assert several.readouts[0].name == net.cut
    assert len(several.readouts) == 3
    for way in several.readouts:
        alone = way.open()
        torch.testing.assert_close(whole_ND[:, way.columns], alone.trunk(x_N3HW), rtol=0, atol=1e-6)
        assert alone.dim == way.columns.stop - way.columns.start
        assert not alone.readouts
    assert several.readouts[1].open().parameters < net.parameters


def test_the_last_layer_s_features_are_those_of_the_plain_network(net: Backbone) -> None:
    x_N3HW, first = given(net), at_several(net).readouts[0]
    assert first.open() is net
    torch.testing.assert_close(at_several(net).trunk(x_N3HW)[:, first.columns], net.trunk(x_N3HW), rtol=0, atol=1e-6)


def test_a_network_cut_early_is_saved_and_opened_again(net: Backbone, tmp_path: Path) -> None:
    early = at_several(net).readouts[1].open()
    rng = np.random.default_rng(0)
    saved = early.save(tmp_path, ("a", "b"), rng.normal(size=(early.dim, 2)), np.zeros(2))
    again, x_N3HW = open_image_backbone(str(tmp_path)), given(net)
    torch.testing.assert_close(again.trunk(x_N3HW), early.trunk(x_N3HW), rtol=0, atol=0)
    scope: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(saved.code, scope)  # what the model card tells people to run
    model = scope["model"]
    assert isinstance(model, torch.nn.Module)
    torch.testing.assert_close(model(x_N3HW), saved.model(x_N3HW), rtol=0, atol=1e-6)


def test_from_random_weights_comes_the_same_cut(net: Backbone) -> None:
    early = at_several(net).readouts[1].open()
    fresh = early.fresh()
    assert fresh.state_dict().keys() == early.trunk.state_dict().keys()
    assert fresh(given(net)).shape == (2, early.dim)


def test_what_cannot_be_cut_is_left_as_it_is(net: Backbone) -> None:
    for other in (replace(net, library="keras"), replace(net, cut="elsewhere"), at_several(net)):
        assert at_several(other) is other


def test_a_place_that_is_not_there_is_an_error(net: Backbone) -> None:
    with pytest.raises(BackboneError, match="has no place called nowhere"):
        cut_early(net, "nowhere")


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext"])
def test_other_kinds_of_networks_are_read_at_several_places_too(name: str, tmp_path: Path) -> None:
    net = open_image_backbone(str(tiny.timm_folder(tmp_path / name, name)))
    several, x_N3HW = at_several(net), given(net)
    assert len(several.readouts) > 1
    opened: list[Callable[[], Backbone]] = [way.open for way in several.readouts]
    alone_ND = torch.cat([each().trunk(x_N3HW) for each in opened], 1)
    torch.testing.assert_close(several.trunk(x_N3HW), alone_ND, rtol=0, atol=1e-5)


def test_the_code_of_an_architecture_with_arguments_has_these(tmp_path: Path) -> None:
    state = from_torchvision.build("googlenet").state_dict()
    missing = ("fc.weight", "fc.bias")
    early = (
        at_several(from_torchvision.with_weights("googlenet", state, missing, "net", "made here")).readouts[1].open()
    )
    saved = early.save(tmp_path, ("a", "b"), np.zeros((early.dim, 2)), np.zeros(2))
    scope: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        exec(saved.code, scope)  # what the model card tells people to run: without its arguments the weights do not fit
    assert isinstance(scope["model"], torch.nn.Module)


def test_a_network_with_arguments_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    own = open_image_backbone(str(tiny.timm_folder(tmp_path / "net", act_layer="silu")))
    assert at_several(own) is own
