"""Two networks as one: each sees what it would see alone, and what is saved opens without headstart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import headstart
import tiny
from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.depth import image_depths
from headstart.backbones.images import open_image_backbone
from headstart.backbones.joined import between, join
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError
from headstart.progress import quiet


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("nets")
    return tiny.timm_folder(root / "one", seed=1), tiny.timm_folder(root / "two", "test_efficientnet", seed=2)


@pytest.fixture(scope="module")
def two(folders: tuple[Path, Path]) -> tuple[Backbone, Backbone]:
    one, other = (open_image_backbone(str(each)) for each in folders)
    return one, other


def given(backbone: Backbone) -> torch.Tensor:
    return torch.randn(2, 3, *pixels(backbone).size, generator=torch.Generator().manual_seed(0))


def renormalised(x_N3HW: torch.Tensor, first: Preprocess, second: Preprocess) -> torch.Tensor:
    """What the second would be given of the same pixels, by way of the pixels."""
    pixels_N3HW = x_N3HW * torch.tensor(first.std).view(1, 3, 1, 1) + torch.tensor(first.mean).view(1, 3, 1, 1)
    return (pixels_N3HW - torch.tensor(second.mean).view(1, 3, 1, 1)) / torch.tensor(second.std).view(1, 3, 1, 1)


def other_norm(backbone: Backbone) -> Backbone:
    return replace(backbone, preprocess=replace(pixels(backbone), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)))


def test_a_plus_opens_two_networks_each_of_which_sees_its_own_normalisation(two: tuple[Backbone, Backbone]) -> None:
    one, other = two[0], other_norm(two[1])
    both, x_N3HW = join("both", one, other), given(two[0])
    own_N3HW = renormalised(x_N3HW, pixels(one), pixels(other))
    wanted = torch.cat([one.trunk(x_N3HW), other.trunk(own_N3HW)], 1)
    torch.testing.assert_close(both.trunk(x_N3HW), wanted, rtol=1e-4, atol=1e-4)
    assert both.dim == one.dim + other.dim
    assert both.parameters == one.parameters + other.parameters


def test_a_second_network_of_another_size_gets_pictures_of_that_size(two: tuple[Backbone, Backbone]) -> None:
    one, other = two
    larger = replace(other, preprocess=replace(pixels(other), size=(192, 192), resize_to=(192, 192)))
    both, x_N3HW = join("both", one, larger), given(one)
    scale, shift = between(pixels(one), pixels(larger))
    own_N3HW = x_N3HW * torch.tensor(scale).view(1, 3, 1, 1) + torch.tensor(shift).view(1, 3, 1, 1)
    own_N3HW = torch.nn.functional.interpolate(own_N3HW, size=(192, 192), mode="bilinear")
    torch.testing.assert_close(both.trunk(x_N3HW)[:, one.dim :], other.trunk(own_N3HW), rtol=1e-4, atol=1e-4)
    assert [way.name for way in both.readouts] == ["both joined", f"{one.name} alone"]


def test_either_is_offered_alone(two: tuple[Backbone, Backbone]) -> None:
    two = (two[0], replace(two[1], preprocess=replace(pixels(two[0]), mean=(0.1, 0.2, 0.3))))
    both = join("both", *two)
    assert [way.name for way in both.readouts] == ["both joined", *(f"{each.name} alone" for each in two)]
    assert [way.open().weights for way in both.readouts[1:]] == [each.weights for each in two]
    assert both.readouts[0].open().dim == both.dim
    columns = [way.columns for way in both.readouts]
    assert columns == [slice(0, both.dim), slice(0, two[0].dim), slice(two[0].dim, both.dim)]


def test_networks_of_keras_are_refused(two: tuple[Backbone, Backbone]) -> None:
    with pytest.raises(BackboneError, match="cannot be joined") as caught:
        join("both", two[0], replace(two[1], library="keras"))
    assert "a network of keras" in caught.value.found


def test_a_plus_in_a_path_is_no_joining(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "one+two")
    assert open_image_backbone(str(folder)).library == "timm"


def test_random_weights_come_in_the_same_shapes(two: tuple[Backbone, Backbone]) -> None:
    both = join("both", *two)
    assert {k: v.shape for k, v in both.fresh().state_dict().items()} == {
        k: v.shape for k, v in both.trunk.state_dict().items()
    }


@pytest.fixture(scope="module")
def model(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> headstart.Predictor:
    root = tmp_path_factory.mktemp("joined")
    data = tiny.photos(root / "photos", each=14, classes=3)
    name = "+".join(map(str, folders))
    options = {"out": root / "model", "cache": root / "cache", "budget": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.base.best_readout", first_way)
        return headstart.fit(str(data), backbone=name, track=quiet, **options)  # type: ignore[arg-type]


def first_way(x_ND, readouts, probe, loss=None):  # type: ignore[no-untyped-def]
    """Take both, whatever evidence says."""
    return probe(x_ND), x_ND, readouts[0]


def test_a_model_of_two_networks_is_kept_whole_and_checked_when_it_is_opened(model: headstart.Predictor) -> None:
    again = headstart.load(model.folder, verify=True)
    files = again.record["files"]
    assert {"first/model.safetensors", "second/model.safetensors", "config.json"} <= files.keys()
    assert again.backbone.library == "joined"
    pictures = sorted((model.folder.parent / "photos").rglob("*.png"))[:4]
    for mine, theirs in zip(model.predict(pictures), again.predict(pictures), strict=True):
        np.testing.assert_allclose([p for _, p in mine.probabilities], [p for _, p in theirs.probabilities], atol=1e-6)
    broken = model.folder / "second" / "config.json"
    text = broken.read_text()
    broken.write_text(text + " ")
    with pytest.raises(headstart.HeadstartError, match=r"second/config\.json"):
        headstart.load(model.folder, verify=True)
    broken.write_text(text)


def test_the_sum_of_both_classifiers_is_the_model_without_headstart(model: headstart.Predictor) -> None:
    from safetensors.numpy import load_file

    scope: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(model.folder)
        exec(model.record["load"]["code"], scope)  # what the model card tells people to run
    golden, first = load_file(model.folder / "golden.safetensors"), pixels(model.backbone)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (first.mean, first.std))
    x_N3HW = (torch.tensor(golden["inputs"]) / 255 - mean) / std
    whole = scope["model"]
    assert isinstance(whole, torch.nn.Module)
    with torch.inference_mode():
        np.testing.assert_allclose(whole(x_N3HW).numpy(), golden["logits"], rtol=1e-3, atol=1e-3)


def test_it_can_be_trained_from_the_input_on(two: tuple[Backbone, Backbone]) -> None:
    [depth] = image_depths(join("both", *two).readouts[0].open())
    assert depth.at_input  # nothing but the pixels is a single tensor that crosses
