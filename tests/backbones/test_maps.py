"""Maps: found at strides 8, 16 and 32, bit-equal to the library's own; and what is saved of a detector on them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

import tiny
import tiny_boxes
import tiny_text
from headstart.backbones import from_timm, from_torchvision
from headstart.backbones.backbone import Backbone, Saved, weights_digest
from headstart.backbones.detectors import fitted, open_detector_backbone, size_for
from headstart.backbones.images import open_image_backbone
from headstart.backbones.maps import detector_config, with_maps
from headstart.backbones.scratch import random_trunk
from headstart.data.examples import Box
from headstart.data.pixels import load_pixels
from headstart.errors import BackboneError
from headstart.heads.boxes import BoxPlan, fresh_box_head
from headstart.heads.detector import unrolled

FOUND = {  # architecture -> (place, channels, stride)
    "timm efficientnet_lite0": (("blocks.2.1", 40, 8), ("blocks.4.2", 112, 16), ("blocks.6.0", 320, 32)),
    "timm resnet18": (("layer2.1", 128, 8), ("layer3.1", 256, 16), ("layer4.0", 512, 32)),
    "timm mobilenetv2_100": (("blocks.2.2", 32, 8), ("blocks.4.2", 96, 16), ("blocks.6.0", 320, 32)),
    "timm test_resnet": (("layer2.0", 48, 8), ("layer3.0", 192, 16)),
    "torchvision vgg16": (("features.20", 512, 8), ("features.27", 512, 16)),
    "torchvision squeezenet1_1": (("features.5", 128, 8), ("features.8", 256, 16)),
}
LOST_AT_THE_RIM = "torchvision squeezenet1_1"
SMALL = 192
"""Of smaller pictures SqueezeNet loses more than a tenth at the rim."""


@pytest.fixture(scope="module", autouse=True)
def calmly(calm: None) -> None:
    """On one thread."""


@pytest.fixture(scope="module")
def opened() -> Callable[[str], tuple[Backbone, nn.Module]]:
    """Give a backbone of random weights, and the library's own network with the same; each is built once."""
    made: dict[str, tuple[Backbone, nn.Module]] = {}

    def give(spec: str) -> tuple[Backbone, nn.Module]:
        if spec not in made:
            library, name = spec.split()
            torch.manual_seed(0)
            if library == "timm":
                network = timm.create_model(name, num_classes=0).eval()
                backbone = from_timm.wrap(name, timm.create_model(name, num_classes=0), source="")
                backbone.trunk.load_state_dict(network.state_dict())
            else:
                network = torchvision.models.get_model(name).eval()
                backbone = from_torchvision.with_weights(name, network.state_dict(), (), name, "")
            made[spec] = backbone, network
        return made[spec]

    return give


def pictures(count: int, size: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def hooked(network: nn.Module, places: list[str], x_N3HW: Tensor) -> list[Tensor]:
    """What modules of a network give, by hooks."""
    seen: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(p).register_forward_hook(lambda _m, _i, out, p=p: seen.__setitem__(p, out.clone()))
        for p in places
    ]
    network(x_N3HW)
    for hook in hooks:
        hook.remove()
    return [seen[p] for p in places]


SIZES = (256, 320)
CASES = [
    pytest.param(spec, size, marks=[pytest.mark.slow] * ("vgg" in spec and size == 320))
    for spec in FOUND
    for size in SIZES
]


@pytest.mark.parametrize(("spec", "size"), CASES)
def test_places_are_found_at_strides_of_8_16_and_32_and_are_the_library_s_own_bit_for_bit(
    spec: str, size: int, opened: Any
) -> None:
    backbone, network = opened(spec)
    mapped = with_maps(backbone, size)
    places = [place for place, _, _ in FOUND[spec]]
    said = [place.removeprefix("body.") for place in mapped.cut.removeprefix("maps after ").split(", ")]
    assert said == places
    less = spec == LOST_AT_THE_RIM
    assert mapped.maps == tuple((c, size // s - less, size // s - less) for _, c, s in FOUND[spec])
    assert (mapped.maps_of, mapped.dim) == (size, sum(c * h * w for c, h, w in mapped.maps))
    with torch.inference_mode():
        x_N3HW = pictures(2, size)
        given = unrolled(mapped.trunk(x_N3HW), mapped.maps)
        extractor = create_feature_extractor(network, dict(zip(places, places, strict=True)))
        for mine, hook, theirs in zip(given, hooked(network, places, x_N3HW), extractor(x_N3HW).values(), strict=True):
            assert mine.std() > 0
            assert torch.equal(mine, hook)
            assert torch.equal(mine, theirs)
    assert not any(p.requires_grad for p in mapped.trunk.parameters())


def test_pictures_are_given_whole_as_squares_whatever_the_network_s_own_preprocessing(opened: Any) -> None:
    backbone, _ = opened("timm test_resnet")
    prepared = with_maps(backbone, 96).preprocess
    pixels_HW3 = np.zeros((40, 90, 3), np.uint8)
    pixels_HW3[:4], pixels_HW3[-4:], pixels_HW3[:, :9], pixels_HW3[:, -9:] = 255, 255, 255, 255
    given_3HW = load_pixels(tiny.png(pixels_HW3), prepared)
    assert given_3HW.shape == (3, 96, 96)
    for rim in (given_3HW[:, :5], given_3HW[:, -5:], given_3HW[:, :, :5], given_3HW[:, :, -5:]):
        assert rim.min() > 200
    assert given_3HW[:, 20:-20, 20:-20].max() < 50
    assert (prepared.mean, prepared.std) == (backbone.preprocess.mean, backbone.preprocess.std)


def test_places_may_be_named(opened: Any) -> None:
    backbone, network = opened("timm resnet18")
    named = with_maps(backbone, 64, ("layer2.0", "layer3.0"))
    assert named.cut == "maps after layer2.0, layer3.0"
    with torch.inference_mode():
        given = unrolled(named.trunk(pictures(1, 64)), named.maps)
        for mine, hook in zip(given, hooked(network, ["layer2.0", "layer3.0"], pictures(1, 64)), strict=True):
            assert torch.equal(mine, hook)


def test_what_lies_above_the_last_map_is_neither_run_nor_counted(opened: Any) -> None:
    backbone, network = opened("timm efficientnet_lite0")
    mapped = with_maps(backbone, 64)
    assert not [name for name in mapped.trunk.state_dict() if name.startswith(("network.conv_head", "network.bn2"))]
    assert mapped.parameters == sum(p.numel() for p in mapped.trunk.parameters()) < backbone.parameters
    assert mapped.weights == weights_digest(mapped.trunk) != backbone.weights
    head_and_norm = sum(p.numel() for m in (network.conv_head, network.bn2) for p in m.parameters())
    assert mapped.parameters == backbone.parameters - head_and_norm


def test_a_network_of_another_library_is_refused_with_a_hint(tmp_path: Path) -> None:
    import transformers as hf

    config = hf.MobileNetV2Config(image_size=64, depth_multiplier=0.35)
    hf.MobileNetV2ForImageClassification(config).save_pretrained(tmp_path / "network")
    size = {"height": 64, "width": 64}
    hf.MobileNetV2ImageProcessor(size={"shortest_edge": 72}, crop_size=size).save_pretrained(tmp_path / "network")
    backbone = open_detector_backbone(str(tmp_path / "network"))
    with pytest.raises(BackboneError, match="cannot carry a detector") as caught:
        with_maps(backbone, 320)
    assert "transformers" in str(caught.value)
    assert "efficientnet_lite0" in str(caught.value)


def test_a_network_whose_maps_are_all_coarse_or_none_is_refused() -> None:
    small = {"img_size": 48, "depth": 2, "pretrained_cfg_overlay": {"input_size": (3, 48, 48)}}
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, **small)
    backbone = from_timm.wrap("vit", vit, source="")
    with pytest.raises(BackboneError, match="no maps at strides 8, 16 or 32"):
        with_maps(backbone, 48)
    with pytest.raises(BackboneError, match="fails on images"):
        with_maps(backbone, 320)


def test_a_network_that_reads_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="reads texts"):
        open_detector_backbone(str(tiny_text.encoder_folder(tmp_path / "encoder")))


@pytest.mark.parametrize("spec", ["timm test_resnet", "timm mobilenetv2_100", LOST_AT_THE_RIM])
def test_fresh_builds_the_same_network_with_other_weights(spec: str, opened: Any) -> None:
    backbone, _ = opened(spec)
    mapped = with_maps(backbone, SMALL)
    first, again, other = random_trunk(mapped, 3), random_trunk(mapped, 3), random_trunk(mapped, 4)
    shapes = {name: t.shape for name, t in mapped.trunk.state_dict().items()}
    assert {name: t.shape for name, t in first.state_dict().items()} == shapes
    assert weights_digest(first) == weights_digest(again)
    assert len({weights_digest(trunk) for trunk in (first, other, mapped.trunk)}) == 3
    with torch.inference_mode():
        assert first(pictures(2, SMALL)).shape == (2, mapped.dim)


# -- what is saved


NETWORKS = ("timm test_resnet", LOST_AT_THE_RIM)


def restless(mapped: Backbone, classes: int) -> Any:
    """A head that says much: biases as torchvision begins with would give scores of a hundredth."""
    made = fresh_box_head(BoxPlan(mapped.maps, mapped.maps_of, classes), 5)
    state = {name: value.copy() for name, value in made.state.items()}
    rng = np.random.default_rng(0)
    for name in ("head.classification_head.cls_logits", "head.regression_head.bbox_reg"):
        state[f"{name}.weight"] = rng.normal(0, 0.1, state[f"{name}.weight"].shape).astype(np.float32)
    state["head.classification_head.cls_logits.bias"][:] = 0.5
    state["head.regression_head.bbox_reg.bias"][:] = 2.0
    return replace(made, state=state, threshold=0.625)


def saved(mapped: Backbone, head: Any, labels: tuple[str, ...], folder: Path) -> Saved:
    folder.mkdir(parents=True)
    return mapped.save(folder, labels, *head.folded())


ALONE = """
import sys, numpy as np, torch
sys.modules["headstart"] = None  # importing it fails
names = {}
exec(open("code.py").read(), names)
model = names["model"]
assert not model.training
from PIL import Image
with torch.inference_mode():
    for i in range(2):
        pixels_HW3 = np.asarray(Image.open(f"{i}.png"))
        [out] = model([torch.from_numpy(pixels_HW3.copy()).permute(2, 0, 1) / 255])
        np.savez(f"{i}.npz", **{name: value.numpy() for name, value in out.items()})
print(type(model).__module__, type(model).__name__)
"""


@pytest.mark.parametrize("spec", NETWORKS)
def test_the_printed_code_alone_gives_a_torchvision_fcos_whose_detections_are_ours(
    spec: str, opened: Any, tmp_path: Path
) -> None:
    """Of pictures that are no squares, by its own preprocessing; boxes are in pixels of the picture."""
    mapped = with_maps(opened(spec)[0], SMALL)
    head, folder = restless(mapped, 3), tmp_path / "model"
    made = saved(mapped, head, ("ant", "bee", "cat"), folder)
    assert made.library == "torchvision"
    (folder / "code.py").write_text(made.code)
    shapes = [(64, 100), (130, 90)]
    for i, shape in enumerate(shapes):
        Image.fromarray(tiny.texture(i, 7, shape)).save(folder / f"{i}.png")
    command = [sys.executable, "-I", "-W", "ignore", "-c", ALONE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["torchvision.models.detection.fcos", "FCOS"]
    assert json.loads((folder / "config.json").read_text())["detector"]["threshold"] == head.threshold
    for i, (height, width) in enumerate(shapes):
        theirs = dict(np.load(folder / f"{i}.npz"))
        # torchvision resizes without antialiasing, and in floating point: the pixels are its own here
        pixels_3HW = torch.from_numpy(np.asarray(Image.open(folder / f"{i}.png")).copy()).permute(2, 0, 1) / 255
        mean_311, std_311 = (torch.tensor(v).view(3, 1, 1) for v in (mapped.preprocess.mean, mapped.preprocess.std))
        normal_13HW = ((pixels_3HW - mean_311) / std_311)[None]
        resized = nn.functional.interpolate(normal_13HW, size=(SMALL, SMALL), mode="bilinear", align_corners=False)
        with torch.inference_mode():
            found_M6 = head.logits(mapped.trunk(resized).numpy())[0].reshape(-1, 6)
        found_M6 = found_M6[found_M6[:, 0] > head.threshold]
        assert len(found_M6) > 10
        assert len(theirs["scores"]) == len(found_M6)
        np.testing.assert_allclose(theirs["scores"], found_M6[:, 0], atol=1e-4)
        np.testing.assert_array_equal(theirs["labels"], found_M6[:, 1])
        np.testing.assert_allclose(theirs["boxes"], found_M6[:, 2:] * [width, height, width, height], atol=0.05)


def test_the_network_that_is_checked_before_shipping_is_the_one_that_was_judged(opened: Any, tmp_path: Path) -> None:
    mapped = with_maps(opened("timm test_resnet")[0], 96)
    head = restless(mapped, 2)
    made = saved(mapped, head, ("ant", "bee"), tmp_path / "model")
    with torch.inference_mode():
        x_N3HW = pictures(2, 96)
        np.testing.assert_allclose(made.model(x_N3HW), head.logits(mapped.trunk(x_N3HW).numpy()), atol=1e-5)


@pytest.mark.parametrize("spec", NETWORKS)
def test_a_saved_folder_opens_again_as_the_same_network(spec: str, opened: Any, tmp_path: Path) -> None:
    mapped = with_maps(opened(spec)[0], SMALL)
    folder = tmp_path / "model"
    saved(mapped, restless(mapped, 2), ("ant", "bee"), folder)
    again = open_detector_backbone(str(folder))
    for name in ("weights", "maps", "maps_of", "dim", "parameters", "library", "architecture", "cut", "preprocess"):
        assert getattr(again, name) == getattr(mapped, name), name
    assert again.preprocess.key() == mapped.preprocess.key()
    assert fitted(again, [()]) is again, "its pictures stay as large as they were"
    with torch.inference_mode():
        assert torch.equal(again.trunk(pictures(1, SMALL)), mapped.trunk(pictures(1, SMALL)))
    onward = saved(again, restless(again, 4), ("a", "b", "c", "d"), tmp_path / "onward")
    assert onward.library == "torchvision"
    assert open_detector_backbone(str(tmp_path / "onward")).weights == mapped.weights
    assert weights_digest(random_trunk(again, 1)) == weights_digest(random_trunk(mapped, 1))


def test_weights_that_do_not_fit_the_saved_architecture_are_refused(opened: Any, tmp_path: Path) -> None:
    mapped = with_maps(opened("timm test_resnet")[0], 96)
    saved(mapped, restless(mapped, 2), ("ant", "bee"), tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architecture": "resnet18"}))
    with pytest.raises(BackboneError, match="do not fit"):
        open_detector_backbone(str(tmp_path / "model"))


def test_a_classifier_s_folder_is_no_detector_s(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "network")
    assert detector_config(folder) is None
    assert detector_config(tmp_path / "nowhere") is None
    (tmp_path / "config.json").write_text("[1, 2")
    assert detector_config(tmp_path) is None
    opened, plain = open_detector_backbone(str(folder)), open_image_backbone(str(folder))
    assert (opened.weights, opened.maps) == (plain.weights, ())


# -- how large pictures are given


def boxed(*sides: float) -> tuple[Box, ...]:
    """Squares with sides of these shares of a picture."""
    return tuple(Box("it", 0, 0, side * 200, side * 100, of=(200, 100)) for side in sides)


@pytest.mark.parametrize(
    ("side", "size"), [(0.5, 320), (16 / 320, 320), (16 / 321, 384), (16 / 400, 448), (16 / 600, 640), (0.001, 640)]
)
def test_pictures_are_given_so_large_that_boxes_have_sides_of_sixteen_pixels(side: float, size: int) -> None:
    assert size_for([boxed(side)] * 20) == size


def test_one_box_in_ten_may_be_smaller() -> None:
    assert size_for([boxed(*[0.5] * 9), boxed(*[0.5] * 9), boxed(0.01)]) == 320
    assert size_for([boxed(*[0.5] * 8), boxed(0.01, 0.01)]) == 640
    assert size_for([(), boxed(0.5)]) == size_for([(), ()]) == 320


def test_a_long_box_counts_by_the_side_of_a_square_of_its_area() -> None:
    assert size_for([(Box("it", 0, 0, 100, 1, of=(100, 100)),)]) == 320
    assert size_for([(Box("it", 0, 0, 16, 1, of=(100, 100)),)]) == 448


def test_fitted_gives_maps_of_pictures_of_that_size_and_says_why(tmp_path: Path) -> None:
    with tiny_boxes.small():
        backbone = open_detector_backbone(str(tiny_boxes.network_folder(tmp_path / "network")))
        mapped = fitted(backbone, [boxed(0.15)])
    assert mapped.maps_of == mapped.preprocess.size[0] == 128
    assert "128 x 128" in mapped.why
    assert fitted(mapped, [boxed(0.01)]) is mapped  # one that gives maps already stays as it is
