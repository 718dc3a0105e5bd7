"""transformers: features under the library's own last layer give its own logits, from its own processor's pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file

import tiny
from headstart.backbones.from_transformers import preprocessing
from headstart.backbones.images import open_image_backbone
from headstart.data.pixels import load_pixels
from headstart.errors import BackboneError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
PATCHED = {"image_size": 32, "patch_size": 8, **SMALL}
STAGES = {"depths": [1, 1], "num_stages": 2}
SIDE_32 = {"height": 32, "width": 32}

FAMILIES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {  # name -> configuration, image processor
    "beit": (lambda: hf.BeitConfig(**PATCHED), lambda: hf.BeitImageProcessor(size=SIDE_32, crop_size=SIDE_32)),
    "clip": (
        lambda: hf.CLIPConfig(vision_config=PATCHED, text_config={**SMALL, "vocab_size": 9}, projection_dim=8),
        lambda: hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SIDE_32),
    ),
    "convnext": (
        lambda: hf.ConvNextConfig(hidden_sizes=[8, 16], **STAGES),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875),
    ),
    "deit": (
        lambda: hf.DeiTConfig(**PATCHED),
        lambda: hf.DeiTImageProcessor(size={"height": 36, "width": 36}, crop_size=SIDE_32),
    ),
    "dinov2": (
        lambda: hf.Dinov2Config(**{**PATCHED, "num_hidden_layers": 2}),
        lambda: hf.BitImageProcessor(size={"shortest_edge": 40}, crop_size=SIDE_32),
    ),
    "mobilenet_v2": (
        lambda: hf.MobileNetV2Config(depth_multiplier=0.25, image_size=64),
        lambda: hf.MobileNetV2ImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
    ),
    "resnet": (
        lambda: hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]),
        lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 384}),
    ),
    "swin": (
        lambda: hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4),
        lambda: hf.ViTImageProcessor(size=SIDE_32),
    ),
    "vit": (lambda: hf.ViTConfig(**PATCHED), lambda: hf.ViTImageProcessor(size=SIDE_32, resample=3)),
}


def saved(folder: Path, family: str, classes: int = 3) -> Any:
    """Save a classifier with random weights and its processor; return it."""
    config, processor = FAMILIES[family]
    torch.manual_seed(0)
    made = config()
    made.num_labels = classes
    made.architectures = ["DeiTForImageClassification"] if family == "deit" else None  # it has two kinds
    network = hf.AutoModelForImageClassification.from_config(made)
    for parameter in network.parameters():
        if parameter.ndim > 1:  # the library's own start is so small that all inputs look alike
            torch.nn.init.kaiming_normal_(parameter)
    network.eval().save_pretrained(folder)
    processor().save_pretrained(folder)
    return network


@pytest.mark.parametrize("family", FAMILIES)
def test_features_times_the_last_layer_are_the_librarys_logits(
    family: str, tmp_path: Path, noise: Any, normalised: Any, features: Any
) -> None:
    theirs = saved(tmp_path, family)
    mine = open_image_backbone(str(tmp_path))
    pixels_N3HW = noise(mine.preprocess, 3)
    last = [m for m in theirs.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(normalised(pixels_N3HW, mine.preprocess))).logits.numpy()
        logits_NK = last(torch.from_numpy(features(mine, pixels_N3HW))).numpy()
    np.testing.assert_allclose(logits_NK, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-4
    assert (mine.library, mine.missing) == ("transformers", ())
    assert mine.dim == last.in_features


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(301, 200), (180, 333), (30, 45), (97, 97)], ids=str)
def test_pixels_are_those_of_the_librarys_processor(family: str, shape: tuple[int, int]) -> None:
    processor = FAMILIES[family][1]()
    mine = preprocessing(processor)
    picture = tiny.texture(4, 1, shape)
    theirs_3HW = np.asarray(processor(images=Image.fromarray(picture), return_tensors="np")["pixel_values"][0])
    mean_311, std_311 = (np.reshape(values, (3, 1, 1)) for values in (mine.mean, mine.std))
    ours_3HW = (load_pixels(tiny.png(picture), mine) / 255 - mean_311) / std_311
    assert theirs_3HW.shape == ours_3HW.shape
    assert (np.abs(theirs_3HW - ours_3HW) < 1.5 / 255 / std_311).all()


@pytest.mark.parametrize(
    "processor",
    [
        lambda: hf.MobileViTImageProcessor(),  # gives blue, green, red
        lambda: hf.EfficientNetImageProcessor(),  # scales twice
        lambda: hf.LevitImageProcessor(),  # resizes to 256/224 of what it says
        lambda: hf.ViTImageProcessor(do_rescale=False),
        lambda: hf.ViTImageProcessor(do_resize=False),
        lambda: hf.ViTImageProcessor(size={"shortest_edge": 32}),  # no crop: every picture has a shape of its own
    ],
    ids=("channels", "scale", "share", "no rescale", "no resize", "no crop"),
)
def test_a_processor_that_does_what_its_settings_do_not_say_is_refused(processor: Callable[[], Any]) -> None:
    with pytest.raises(BackboneError, match="not supported"):
        preprocessing(processor())


def test_a_network_without_classifier_is_a_backbone_all_the_same(tmp_path: Path) -> None:
    config, processor = FAMILIES["dinov2"]
    hf.Dinov2Model(config()).save_pretrained(tmp_path)
    processor().save_pretrained(tmp_path)
    mine = open_image_backbone(str(tmp_path))
    assert mine.missing == ("classifier.bias", "classifier.weight")
    assert mine.dim == 32  # class token and mean


def test_missing_layers_of_the_body_are_named_and_refused(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    state = load_file(tmp_path / "model.safetensors")
    lost = next(key for key in state if "attention" in key)
    del state[lost]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"(?s)lack layers below the last one.*attention"):
        open_image_backbone(str(tmp_path))


def test_layers_of_the_body_in_another_shape_are_refused_too(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(BackboneError, match="lack layers below the last one"):
        open_image_backbone(str(tmp_path))


def test_a_folder_without_a_processor_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(BackboneError, match=r"preprocessor_config\.json"):
        open_image_backbone(str(tmp_path))


def test_a_language_model_is_refused(tmp_path: Path) -> None:
    hf.BertModel(hf.BertConfig(**SMALL, vocab_size=9)).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="cannot load"):
        open_image_backbone(str(tmp_path))


def test_a_hub_that_cannot_be_reached_is_a_backbone_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("We couldn't connect to the hub.")

    monkeypatch.setattr(hf.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(BackboneError, match=r"(?s)owner/name.*couldn't connect"):
        open_image_backbone("owner/name")


def test_code_that_lies_in_a_model_folder_is_never_run(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    config = json.loads((tmp_path / "config.json").read_text())
    own = {"AutoConfig": "mine.Config", "AutoModelForImageClassification": "mine.Network"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": own}))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    with pytest.raises(BackboneError, match="cannot load"):
        open_image_backbone(str(tmp_path))
    assert not (tmp_path / "sprung").exists()
