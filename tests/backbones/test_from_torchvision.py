"""torchvision: features are what goes into the network's last layer, pixels what its presets make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import tiny
from headstart.backbones import from_torchvision
from headstart.backbones.images import open_image_backbone
from headstart.data.pixels import load_pixels
from headstart.errors import BackboneError

PLAIN = ("mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5")


def made(architecture: str) -> nn.Module:
    """Return a network with random weights, large enough for features to differ."""
    torch.manual_seed(0)
    options = {"init_weights": False} if architecture == "googlenet" else {}
    network = torchvision.models.get_model(architecture, weights=None, **options)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
    return network.eval()


def written(network: nn.Module, file: Path, without: str = "nothing") -> str:
    """Write its state dict, some of it left out; return the path."""
    state = {k: v.contiguous() for k, v in network.state_dict().items() if not k.startswith(without)}
    save_file(state, file)
    return str(file)


def into(network: nn.Module, layer: str, x_N3HW: torch.Tensor) -> np.ndarray:
    """Return what a layer of a network is given."""
    seen: list[torch.Tensor] = []
    network.get_submodule(layer).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        network(x_N3HW)
    return seen[0].numpy()


@pytest.mark.parametrize("architecture", PLAIN)
def test_features_are_what_goes_into_the_last_layer(
    architecture: str, tmp_path: Path, noise: Any, normalised: Any, features: Any
) -> None:
    network = made(architecture)
    mine = open_image_backbone(f"torchvision:{architecture}@{written(network, tmp_path / 'w.safetensors')}")
    pixels_N3HW = noise(mine.preprocess, 2)
    layer = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    expected = into(network, layer, torch.from_numpy(normalised(pixels_N3HW, mine.preprocess)))
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 0
    assert (mine.library, mine.cut, mine.missing) == ("torchvision", "pooled output", ())


def test_a_file_without_the_last_layer_gives_the_same_features(tmp_path: Path, noise: Any, features: Any) -> None:
    network = made("resnet18")
    whole = open_image_backbone(f"torchvision:resnet18@{written(network, tmp_path / 'whole.safetensors')}")
    cut = open_image_backbone(f"torchvision:resnet18@{written(network, tmp_path / 'cut.safetensors', 'fc.')}")
    pixels_N3HW = noise(whole.preprocess, 2)
    np.testing.assert_array_equal(features(whole, pixels_N3HW), features(cut, pixels_N3HW))
    assert cut.missing == ("fc.weight", "fc.bias")
    assert cut.weights == whole.weights


@pytest.mark.parametrize(
    ("architecture", "without", "maps"),
    [("squeezenet1_1", "nothing", "features"), ("resnet18", "layer4", "layer3")],
)
def test_below_a_top_that_has_no_weights_the_maps_are_averaged(
    architecture: str, without: str, maps: str, tmp_path: Path, noise: Any, normalised: Any, features: Any
) -> None:
    network = made(architecture)
    state = {k: v for k, v in network.state_dict().items() if not k.startswith((without, "fc."))}
    save_file(state, tmp_path / "w.safetensors")
    mine = open_image_backbone(f"torchvision:{architecture}@{tmp_path / 'w.safetensors'}")
    pixels_N3HW = noise(mine.preprocess, 2)
    seen: list[torch.Tensor] = []
    network.get_submodule(maps).register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.inference_mode():
        network(torch.from_numpy(normalised(pixels_N3HW, mine.preprocess)))
    expected = seen[0].mean((2, 3)).numpy()
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert mine.cut == f"below the missing top, at {maps}, averaged"
    assert bool(mine.missing) == (without != "nothing")


def test_weights_that_are_missing_in_the_middle_are_refused(tmp_path: Path) -> None:
    file = written(made("resnet18"), tmp_path / "w.safetensors", "layer2.")
    with pytest.raises(BackboneError, match=r"(?s)not the last layers.*layer2"):
        open_image_backbone(f"torchvision:resnet18@{file}")


def test_googlenet_scales_its_input_as_its_own_weights_want_and_needs_no_auxiliary_heads() -> None:
    network = from_torchvision.build("googlenet")
    assert network.transform_input is True
    assert network.aux1 is None
    assert from_torchvision.build("inception_v3", meta=True).transform_input is True


@pytest.mark.parametrize("architecture", from_torchvision.names())
def test_preprocessing_is_that_of_torchvisions_own_preset(architecture: str) -> None:
    preset = next(iter(torchvision.models.get_model_weights(architecture))).transforms()
    mine = from_torchvision.preprocessing(architecture)
    assert mine.size == (preset.crop_size[0],) * 2
    assert mine.resize_to == (preset.resize_size[0],) * 2
    assert (mine.mean, mine.std) == (tuple(preset.mean), tuple(preset.std))
    assert mine.interpolation == preset.interpolation.value


@pytest.mark.parametrize("architecture", ["vgg11", "efficientnet_b0", "swin_t", "vit_b_16"])
@pytest.mark.parametrize("shape", [(301, 200), (180, 333), (97, 97)], ids=str)
def test_pixels_are_those_of_torchvisions_own_preset(architecture: str, shape: tuple[int, int]) -> None:
    preset = next(iter(torchvision.models.get_model_weights(architecture))).transforms()
    mine = from_torchvision.preprocessing(architecture)
    picture = tiny.texture(4, 1, shape)
    theirs = preset(Image.fromarray(picture)).numpy()
    mean_311, std_311 = (np.reshape(values, (3, 1, 1)) for values in (mine.mean, mine.std))
    assert np.abs((theirs * std_311 + mean_311) * 255 - load_pixels(tiny.png(picture), mine)).max() < 2.5


def test_an_architecture_that_cannot_take_bare_weights_is_refused(tmp_path: Path) -> None:
    file = written(made("mnasnet0_5"), tmp_path / "w.safetensors")
    with pytest.raises(BackboneError, match="cannot load"):
        open_image_backbone(f"torchvision:mnasnet0_5@{file}")
