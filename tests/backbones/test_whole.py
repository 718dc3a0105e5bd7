"""Detectors that are taken whole: which layers are new, whose weights stay, what is refused with which words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import tiny
import tiny_detectors
from headstart.aims.boxes import some_boxes
from headstart.backbones.backbone import Backbone
from headstart.backbones.detector_weights import on_classifier, with_weights
from headstart.backbones.detectors import fitted, open_detector_backbone
from headstart.backbones.from_torchvision_detectors import Built, blank, wrapped
from headstart.backbones.scratch import random_trunk
from headstart.backbones.whole import alike, carried, class_layers, depths, detecting, made, new_tensors
from headstart.data.examples import Box
from headstart.errors import BackboneError, DataError, UsageError
from headstart.heads.boxes import FIELDS, SLOTS
from headstart.heads.finding import FindingHead

SCENE = ((Box("leaf", 10, 10, 60, 70, of=(100, 100)), Box("brick", 30, 20, 90, 90, of=(100, 100))),)
SIDE = 96


@pytest.fixture(scope="module")
def yolos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detectors.folder_of("yolos", tmp_path_factory.mktemp("yolos"))


@pytest.fixture(scope="module")
def ready(yolos: Path) -> Backbone:
    """A detector with layers for two classes."""
    return fitted(open_detector_backbone(str(yolos)), SCENE, SCENE)


def pictures(count: int, side: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8))


# -- what is new


def test_class_layers_are_those_whose_shapes_follow_the_number_of_classes() -> None:
    def make(classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, classes + 1))

    assert class_layers(make, 3) == {"1.weight", "1.bias"}
    assert class_layers(make, 2) == {"1.weight", "1.bias"}, "also where both layers would have one shape"


def test_what_fits_is_carried_over_and_the_rest_is_named() -> None:
    old, new = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 9)), nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    assert carried(old.state_dict(), new, {"0.bias"}) == ("0.bias", "1.weight", "1.bias")
    assert torch.equal(old[0].weight, new[0].weight)
    assert not torch.equal(old[0].bias, new[0].bias)


@pytest.mark.parametrize("kind", sorted(tiny_detectors.KINDS))
def test_a_fitted_detector_has_new_class_layers_and_all_other_weights_as_they_were(kind: str, tmp_path: Path) -> None:
    opened = open_detector_backbone(str(tiny_detectors.folder_of(kind, tmp_path / kind)))
    before = detecting(opened).network.state_dict()
    trunk = detecting(fitted(opened, SCENE, SCENE))
    assert trunk.classes == 2
    assert trunk.new
    assert len(trunk.new) < len(before) / 2
    for name, tensor in trunk.network.state_dict().items():
        assert name in trunk.new or torch.equal(tensor, before[name]), name
    assert all("class" in name or "score" in name or "denoising" in name for name in trunk.new), trunk.new


@pytest.mark.parametrize("kind", sorted(tiny_detectors.KINDS))
def test_it_gives_rows_of_detections_and_a_loss_that_falls(kind: str, tmp_path: Path) -> None:
    folder = tiny_detectors.folder_of(kind, tmp_path / kind)
    ready = fitted(open_detector_backbone(str(folder)), SCENE, SCENE)
    aim = some_boxes(("brick", "leaf"))
    truth_NT6 = torch.from_numpy(aim.encode(SCENE * 2))
    model: Any = aim.plain(ready, 0).on(detecting(ready).requires_grad_(True), False)
    x_N3HW = pictures(2, SIDE)
    with torch.inference_mode():
        rows_NM6 = model.eval()(x_N3HW).reshape(2, SLOTS, FIELDS)
    shares = rows_NM6[..., 2:]
    assert ((shares >= 0) & (shares <= 1)).all()
    assert set(rows_NM6[..., 1].unique().tolist()) <= {-1.0, 0.0, 1.0}
    model.train()
    optimizer, losses = torch.optim.AdamW(model.parameters(), 3e-3), []
    torch.manual_seed(0)
    for _ in range(10):
        optimizer.zero_grad()
        loss = model.loss(x_N3HW, truth_NT6)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    with torch.no_grad():
        assert torch.isfinite(model(x_N3HW)), "pictures without boxes, for statistics"


def test_a_head_does_not_change_its_network_and_tells_pictures_one_by_one(ready: Backbone) -> None:
    head, other = (FindingHead.fresh(ready, 2, seed) for seed in (0, 1))
    before = {n: t.clone() for n, t in ready.trunk.state_dict().items()}
    x_N3HW = pictures(3, SIDE).numpy()
    found_NF = head.logits(x_N3HW)
    assert found_NF.shape == (3, SLOTS * FIELDS)
    np.testing.assert_array_equal(found_NF[1:2], head.logits(x_N3HW[1:2]))
    assert (other.logits(x_N3HW) != found_NF).any()
    assert all(torch.equal(t, before[n]) for n, t in ready.trunk.state_dict().items())
    copied, _ = head.folded()
    again = replace(head, trunk=copied, state={})
    np.testing.assert_array_equal(again.logits(x_N3HW), found_NF)


def test_there_are_two_depths_the_new_layers_and_everything(ready: Backbone) -> None:
    new, everything = depths(ready)
    assert (new.name, everything.name) == ("that are new", "everything")
    left = {n for n, _ in ready.trunk.named_parameters()} - set(new.kept)
    assert left == {f"network.{n}" for n in new_tensors(detecting(ready))}
    assert everything.kept == ()


def test_random_weights_depend_on_the_seed_alone(ready: Backbone) -> None:
    one, two, other = (random_trunk(ready, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)


def test_thumbnails_of_one_scene_are_alike_in_any_light_and_others_are_not() -> None:
    one, other = pictures(2, 8).repeat_interleave(12, 2).repeat_interleave(12, 3).float()
    shown = alike(torch.stack([one, one * 0.8 + 20, other]).numpy())
    shown /= np.linalg.norm(shown, axis=1, keepdims=True)
    assert shown[0] @ shown[1] > 0.999
    assert abs(shown[0] @ shown[2]) < 0.5


# -- torchvision


@pytest.fixture(scope="module")
def small() -> Built:
    """One whose network is quick to be built."""
    return replace(blank("fasterrcnn_mobilenet_v3_large_320_fpn"), outputs=7)


def test_a_file_of_any_number_of_classes_is_opened_and_gets_new_layers(small: Built, tmp_path: Path) -> None:
    state = made(small.network).state_dict()
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "it.safetensors")
    opened = open_detector_backbone(f"{small.architecture}@{tmp_path / 'it.safetensors'}")
    assert detecting(opened).classes == 6
    trunk = detecting(fitted(opened, SCENE, SCENE))
    assert trunk.classes == 2
    assert set(trunk.new) == {
        f"roi_heads.box_predictor.{layer}.{kind}" for layer in ("cls_score", "bbox_pred") for kind in ("weight", "bias")
    }
    for name, tensor in trunk.network.state_dict().items():
        assert name in trunk.new or torch.equal(tensor, state[name]), name
    with torch.inference_mode():
        assert trunk.found(pictures(2, trunk.built.side)).shape == (2, SLOTS * FIELDS)  # type: ignore[attr-defined]


def test_classification_weights_go_where_the_detector_has_these_layers_and_all_others_are_new() -> None:
    from headstart.backbones import from_torchvision

    classifier: Any = from_torchvision.build("resnet50").eval()
    opened = on_classifier(blank("retinanet_resnet50_fpn"), "resnet50", classifier.state_dict(), "it")
    trunk, x_N3HW = detecting(opened), torch.rand(1, 3, 64, 64)
    classifier.avgpool, classifier.fc = nn.Identity(), nn.Identity()
    with torch.inference_mode():
        mine = trunk.network.get_submodule("backbone.body")(x_N3HW)
        assert torch.equal(list(mine.values())[-1].flatten(1), classifier(x_N3HW))
    assert not any(name.startswith("backbone.body") for name in trunk.new)
    assert {name.split(".")[0] for name in trunk.new} == {"backbone", "head"}
    kept = detecting(fitted(opened, SCENE, SCENE))
    assert set(kept.new) >= set(trunk.new)


@pytest.mark.slow
def test_vgg_16_is_what_ssd300_is_built_on() -> None:
    from headstart.backbones import from_torchvision

    classifier: Any = from_torchvision.build("vgg16").eval()
    state = {n: t for n, t in classifier.state_dict().items() if n.startswith("features")}
    opened = on_classifier(blank("ssd300_vgg16"), "vgg16", state, "it")
    network: Any = detecting(opened).network
    assert opened.preprocess.record()["mean"] == (0.485, 0.456, 0.406), "as the classification network has it"
    with torch.inference_mode():
        below_N = network.backbone.features(x_N3HW := torch.rand(1, 3, 224, 224))
        assert torch.equal(below_N, classifier.features[:23](x_N3HW))
        assert torch.equal(network.backbone.extra[0][:7](below_N), classifier.features[23:30](below_N))


# -- what is refused


def refused(name: str) -> str:
    with pytest.raises((BackboneError, UsageError)) as caught:
        fitted(open_detector_backbone(name), SCENE, SCENE)
    assert caught.value.hint
    return f"{caught.value.what} {caught.value.found}"


def test_a_folder_without_its_processor_is_told_that_it_lacks_it(yolos: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(yolos, torn)
    (torn / "preprocessor_config.json").unlink()
    assert "no image processor" in refused(str(torn))


def test_a_detector_that_cannot_be_run_on_pictures_of_this_size_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    from transformers import AutoConfig

    folder = tiny_detectors.folder_of("rt_detr", tmp_path / "many")
    config = AutoConfig.from_pretrained(folder)
    config.num_queries = 5000  # more than there are places to look at
    config.save_pretrained(folder)
    assert "cannot be trained here" in refused(str(folder))


def test_a_processor_of_a_classifier_is_told_from_one_of_a_detector(yolos: Path, tmp_path: Path) -> None:
    from transformers import ViTImageProcessor

    mixed = tmp_path / "mixed"
    shutil.copytree(yolos, mixed)
    ViTImageProcessor().save_pretrained(mixed)
    assert "not one of a detector" in refused(str(mixed))


def test_weights_without_a_detector_s_last_layers_are_told_to_lack_them(yolos: Path, tmp_path: Path) -> None:
    from transformers import YolosModel

    bare = tmp_path / "bare"
    shutil.copytree(yolos, bare)
    YolosModel.from_pretrained(yolos).save_pretrained(bare)
    assert "lack layers" in refused(str(bare))


def test_a_classifier_of_transformers_cannot_carry_a_detector(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTForImageClassification(ViTConfig(**small, image_size=32, patch_size=8)).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    assert "cannot carry a detector" in refused(str(tmp_path))


def test_weights_of_another_network_are_refused(small: Built, tmp_path: Path) -> None:
    file = tmp_path / "features.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, file)
    assert "does not hold the weights" in refused(f"{small.architecture}@{file}")
    assert "No architecture is called" in refused(f"{small.architecture}:vgg17@{file}")
    assert "no weights file" in refused(f"{small.architecture}@{tmp_path / 'none'}")
    other = tiny.timm_folder(tmp_path / "other")
    assert refused(f"{small.architecture}:vgg16@{other / 'model.safetensors'}")


def test_a_detector_that_is_not_built_on_the_named_network_is_refused(small: Built) -> None:
    from headstart.backbones import from_torchvision

    state = from_torchvision.build("squeezenet1_1").state_dict()
    with pytest.raises(BackboneError, match="not built on"):
        on_classifier(small, "squeezenet1_1", state, "it")
    with pytest.raises(BackboneError, match="does not hold"):
        with_weights(small, state, "a file", "it")


def test_detectors_that_learn_from_masks_as_well_are_refused() -> None:
    assert "masks" in refused("maskrcnn_resnet50_fpn")


def test_a_class_that_is_on_no_picture_which_can_be_read_is_told(ready: Backbone) -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        FindingHead.fresh(ready, 1, 0)


def test_torchvision_s_detectors_know_what_is_missing_where_their_weights_cannot_be_fetched(
    small: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    def refuse(_: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "get_model_weights", refuse)
    assert "cannot be fetched" in refused(small.architecture)


def test_a_wrapped_detector_says_what_it_takes(small: Built) -> None:
    made_of = wrapped(small, made(small.network), (), "it", "nowhere")
    assert made_of.whole is not None
    assert made_of.preprocess.record()["resize"] == "squash"
    assert made_of.dim == 3 * small.side**2
