"""timm: the network is timm's own, its preprocessing too, and what cannot be had is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import timm.data
import torch
from PIL import Image

import tiny
from headstart.backbones import from_timm
from headstart.backbones.images import open_image_backbone
from headstart.data.pixels import load_pixels
from headstart.errors import BackboneError

PREPROCESSED = (
    "beit_base_patch16_224",
    "convnext_tiny.in12k_ft_in1k_384",
    "efficientnet_b0",
    "inception_v3",
    "mobilenetv3_small_050",
    "resnet18",
    "swin_tiny_patch4_window7_224",
    "tf_efficientnet_lite0",
    "vit_base_patch16_clip_224",
    "vit_small_patch14_dinov2",
)


def test_the_default_gives_the_features_of_timms_network_with_the_packages_weights(noise: Any, features: Any) -> None:
    mine = open_image_backbone("auto")
    foreign = torch.load(from_timm.default_weights(), weights_only=True)
    theirs = timm.create_model("tf_efficientnet_lite0")
    theirs.load_state_dict(dict(zip(theirs.state_dict(), foreign.values(), strict=True)))
    theirs.reset_classifier(0)
    pixels_N3HW = noise(mine.preprocess, 3)
    with torch.inference_mode():
        expected = theirs.eval()(torch.from_numpy(pixels_N3HW / 127.5 - 1).float()).numpy()
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, atol=1e-5)
    assert (mine.dim, mine.licence, mine.missing) == (1280, "Apache-2.0", ())


def test_the_default_is_normalised_by_a_half_and_not_by_imagenet() -> None:
    preprocess = open_image_backbone("efficientnet_lite0").preprocess
    assert preprocess.mean == preprocess.std == (0.5, 0.5, 0.5)
    assert (preprocess.size, preprocess.resize_to, preprocess.interpolation) == ((224, 224), (256, 256), "bicubic")


def test_weights_of_another_checksum_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changed = tmp_path / "weights.pth"
    raw = bytearray(from_timm.default_weights().read_bytes())
    raw[len(raw) // 2] ^= 1
    changed.write_bytes(raw)
    monkeypatch.setattr(from_timm, "default_weights", lambda: changed)
    with pytest.raises(BackboneError, match=r"(?s)not the ones.*SHA-256.*force-reinstall"):
        from_timm.offline_default()


def test_tensors_in_another_order_are_refused() -> None:
    foreign = torch.load(from_timm.default_weights(), weights_only=True)
    first, second = list(foreign)[:2]
    foreign[first], foreign[second] = foreign[second], foreign[first]
    with pytest.raises(BackboneError, match="order"):
        from_timm.renamed_by_order(foreign)


@pytest.mark.parametrize("name", PREPROCESSED)
def test_the_settings_are_those_that_timm_resolves(name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    config = timm.data.resolve_model_data_config(network)
    mine = from_timm.preprocessing(network)
    assert mine.size == config["input_size"][1:]
    assert (mine.mean, mine.std) == (config["mean"], config["std"])
    assert mine.interpolation == config["interpolation"]
    assert mine.resize == ("squash" if config["crop_mode"] == "squash" else "shortest")
    assert mine.resize_to[0] == int(config["input_size"][1] / config["crop_pct"])


@pytest.mark.parametrize("name", PREPROCESSED)
@pytest.mark.parametrize("shape", [(301, 200), (180, 333), (97, 97)], ids=str)
def test_pixels_are_those_of_timms_own_transform(name: str, shape: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = timm.create_model(name)
    mine = from_timm.preprocessing(network)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    picture = tiny.texture(4, 1, shape)
    theirs = transform(Image.fromarray(picture)).numpy()
    ours = load_pixels(tiny.png(picture), mine)
    mean_311, std_311 = (np.reshape(values, (3, 1, 1)) for values in (mine.mean, mine.std))
    assert np.abs((theirs * std_311 + mean_311) * 255 - ours).max() < 2.5


def test_a_folder_in_timms_layout_gives_what_timm_gives(tmp_path: Path, noise: Any, features: Any) -> None:
    folder = tiny.timm_folder(tmp_path / "mine")
    mine = open_image_backbone(str(folder))
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
    pixels_N3HW = noise(mine.preprocess, 2)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mine.preprocess.mean, mine.preprocess.std))
    with torch.inference_mode():
        expected = theirs((torch.from_numpy(pixels_N3HW) / 255 - mean) / std).numpy()
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, atol=1e-5)
    assert (mine.library, mine.architecture, mine.cut) == ("timm", tiny.ARCHITECTURE, "pooled output")


def test_a_folder_that_changes_its_preprocessing_is_believed(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "crop_mode": "squash", "input_size": [3, 96, 96]}
    (folder / "config.json").write_text(json.dumps(config))
    preprocess = open_image_backbone(str(folder)).preprocess
    assert (preprocess.mean, preprocess.resize, preprocess.size) == ((0.1, 0.2, 0.3), "squash", (96, 96))


def test_preprocessing_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["crop_mode"] = "border"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="border"):
        open_image_backbone(str(folder))


def test_a_folder_whose_weights_do_not_fit_is_refused(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "mine")
    other = tiny.timm_folder(tmp_path / "other", "test_vit")
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(BackboneError, match="timm cannot load"):
        open_image_backbone(str(folder))


def test_a_name_that_timm_has_but_whose_weights_cannot_be_reached_is_a_backbone_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("We couldn't connect to the hub.")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(BackboneError, match=r"(?s)resnet18.*cannot be had.*couldn't connect.*headstart backbones"):
        open_image_backbone("resnet18")


def test_the_frozen_trunk_has_nothing_to_train() -> None:
    trunk = open_image_backbone("auto").trunk
    assert not trunk.training
    assert not any(p.requires_grad for p in trunk.parameters())
