"""What detectors that were taken whole give is decoded in numpy as their libraries decode it, exported or not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_detectors
from headstart.aims.boxes import some_boxes
from headstart.backbones.backbone import Backbone, pixels
from headstart.backbones.detectors import fitted, open_detector_backbone
from headstart.backbones.from_torchvision_detectors import blank, wrapped
from headstart.backbones.to_onnx import write_onnx
from headstart.backbones.whole import Exported, detecting, made
from headstart.data.examples import Box
from headstart.errors import UsageError
from headstart.heads.boxes import FIELDS, SLOTS
from headstart.heads.decode_whole import KEY, Anchored, Queried, decoding_of, written

LABELS = ("brick", "leaf")
SCENE = ((Box("leaf", 10, 10, 60, 70, of=(100, 100)), Box("brick", 30, 20, 90, 90, of=(100, 100))),)
SIDE = 128
AIM = some_boxes(LABELS)
SLOW = pytest.mark.slow
QUICK, LARGE = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"), ("ssd300_vgg16", "fcos_resnet50_fpn")


SPREAD = {"ssd300_vgg16": 0.4, "retinanet_resnet50_fpn": 1.2}
"""Of random weights, so that logits have a standard deviation of 1 to 2."""


def of_torchvision(name: str) -> Backbone:
    """A detector with random weights that finds much."""
    built = replace(blank(name), outputs=len(LABELS) + 1)
    built = built if name.startswith("ssd") else replace(built, side=SIDE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = made(built.network)
    return varied(wrapped(built, network, (), name, "random weights"), ("head.",), SPREAD.get(name, 1.5))


def of_transformers(kind: str, folder: Path) -> Backbone:
    ready = fitted(open_detector_backbone(str(tiny_detectors.folder_of(kind, folder / kind))), SCENE, SCENE)
    return varied(ready, ("class", "score", "input_proj", "enc_output"))


def varied(backbone: Backbone, parts: tuple[str, ...], spread: float = 1.5) -> Backbone:
    """Let a detector, in layers that are called so, give scores that differ: as they are made, all are the same to a
    hair, and which of two comes first is a matter of rounding; so it is where many are 1 to a hair."""
    network, generator = detecting(backbone).network, torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if any(part in name for part in parts) and parameter.ndim > 1:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn * spread / parameter[0].numel() ** 0.5)
            elif name.endswith("bias") and "class" in name:
                parameter.zero_()
        for module in network.modules():  # its normalisation learns its statistics: else hardly anything gets through
            if isinstance(module, torch.nn.BatchNorm2d):
                module.training, module.momentum = True, 1.0
        detecting(backbone).found(torch.from_numpy(noise(backbone, 4)))
    network.eval()
    return backbone


def noise(backbone: Backbone, count: int = 1) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, *pixels(backbone).size), np.uint8)


def opened(backbone: Backbone) -> tuple[Exported, np.ndarray, np.ndarray]:
    """Return a detector as it is exported, a picture, and the detections that its library gives for it."""
    x_13HW, trunk = noise(backbone), detecting(backbone)
    with torch.inference_mode():
        found_1F = trunk.found(torch.from_numpy(x_13HW)).numpy()
    return trunk.exported(), x_13HW, found_1F


def outputs_of(exported: Exported, x_13HW: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        raw = exported.network(torch.from_numpy(x_13HW))
    return {name: t.numpy() for name, t in zip(exported.outputs, raw, strict=True)}


def same(ours_1F: np.ndarray, theirs_1F: np.ndarray) -> None:
    """Assert that scores agree, and corners to a hundredth of a pixel; and that there is something to compare."""
    found_M6 = theirs_1F.reshape(SLOTS, FIELDS)
    assert (found_M6[:, 0] > 0.05).sum() >= 3
    assert AIM.apart(ours_1F, theirs_1F) < 0.01 / 320
    np.testing.assert_allclose(ours_1F.reshape(SLOTS, FIELDS)[:, 0], found_M6[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=SLOW) for name in LARGE)])
def test_numpy_decodes_one_stage_detectors_as_torchvision_does(name: str) -> None:
    exported, x_13HW, theirs_1F = opened(of_torchvision(name))
    assert exported.outputs[:2] == ("cls_logits", "bbox_regression")
    assert exported.outputs[-1] == "anchors"
    assert (theirs_1F.reshape(SLOTS, FIELDS)[:, 0] > 0).sum() > 50
    same(exported.decoding.decoded(outputs_of(exported, x_13HW)), theirs_1F)


@pytest.mark.parametrize("kind", sorted(tiny_detectors.KINDS))
def test_numpy_decodes_detr_s_family_as_its_processors_do(kind: str, tmp_path: Path) -> None:
    exported, x_13HW, theirs_1F = opened(of_transformers(kind, tmp_path))
    assert exported.outputs == ("logits", "pred_boxes")
    same(exported.decoding.decoded(outputs_of(exported, x_13HW)), theirs_1F)


def test_a_detector_of_two_stages_is_refused_with_what_to_train_instead() -> None:
    with pytest.raises(UsageError, match="two stages") as caught:
        detecting(of_torchvision("fasterrcnn_mobilenet_v3_large_320_fpn")).exported()
    assert "ssd300_vgg16" in str(caught.value.hint)


# -- the numbers themselves, worked out by hand

ANCHORED = Anchored(100, (2,), True, True, False, (10.0, 10.0, 5.0, 5.0), 4.0, 0.01, 0.45, 400)


def told(*rows: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Two anchors, 20 pixels wide and 40 high, that one class is sure of."""
    return {
        "cls_logits": np.array([[[0.0, 9.0], [0.0, 8.0]]]),
        "bbox_regression": np.array([rows]),
        "anchors": np.array([[10.0, 10, 30, 50], [60.0, 40, 80, 80]]),
    }


def test_boxes_differ_from_their_anchors_by_shares_of_the_sides_and_logarithms() -> None:
    said = ANCHORED.decoded(told((0, 0, 0, 0), (5, 0, np.log(2) * 5, 0))).reshape(SLOTS, FIELDS)
    np.testing.assert_allclose(said[0, 2:], [0.1, 0.1, 0.3, 0.5])
    np.testing.assert_allclose(said[1, 2:], [0.6, 0.4, 1.0, 0.8], err_msg="half a width to the right, twice as wide")
    np.testing.assert_allclose(said[:2, 0], 1 / (1 + np.exp([-9, -8])))
    assert said[:3, 1].tolist() == [0, 0, -1]


def test_of_boxes_that_overlap_the_surer_stays() -> None:
    outputs = told((0, 0, 0, 0), (0, 0, 0, 0)) | {"anchors": np.array([[10.0, 10, 30, 50], [11.0, 10, 31, 50]])}
    assert (ANCHORED.decoded(outputs).reshape(SLOTS, FIELDS)[:, 0] > 0).sum() == 1
    apart = replace(ANCHORED, overlap=0.95)
    assert (apart.decoded(outputs).reshape(SLOTS, FIELDS)[:, 0] > 0).sum() == 2


def test_of_one_class_a_query_the_last_is_nothing_and_of_sigmoids_a_query_may_have_two() -> None:
    outputs = {"logits": np.array([[[3.0, 2.0, -9.0], [0, 0, 9.0]]]), "pred_boxes": np.full((1, 2, 4), 0.5)}
    one = Queried(True, 2, 0.3).decoded(outputs).reshape(SLOTS, FIELDS)
    any_of = Queried(False, 2, 0.3).decoded(outputs).reshape(SLOTS, FIELDS)
    assert one[:2, 1].tolist() == [0, -1]
    assert any_of[:3, 1].tolist() == [2, 0, -1], "two at most are kept"
    np.testing.assert_allclose(one[0, 2:], [0.25, 0.25, 0.75, 0.75])


@pytest.mark.parametrize("decoding", [ANCHORED, Queried(False, 300, 0.01)], ids=("anchors", "queries"))
def test_a_decoding_is_read_back_as_it_was_written(decoding: Anchored | Queried) -> None:
    assert decoding_of(written(decoding)) == decoding
    with pytest.raises(KeyError, match=KEY):
        decoding_of({})


def test_decoding_needs_nothing_but_numpy() -> None:
    import subprocess

    code = "import sys, headstart.heads.decode_whole; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# -- as ONNX


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUICK, *LARGE, *tiny_detectors.KINDS])
def test_an_exported_file_decoded_by_its_own_metadata_finds_what_the_detector_finds(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    onnx, openvino = pytest.importorskip("onnx"), pytest.importorskip("openvino")
    backbone = of_transformers(name, tmp_path) if name in tiny_detectors.KINDS else of_torchvision(name)
    exported, x_13HW, theirs_1F = opened(backbone)
    file = tmp_path / "it.onnx"
    write_onnx(exported.network, torch.from_numpy(x_13HW), exported.outputs, file, written(exported.decoding))
    decoding = decoding_of({each.key: each.value for each in onnx.load(file).metadata_props})
    run = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    said = run(x_13HW)
    ours_1F = decoding.decoded({output: np.asarray(said[output]) for output in exported.outputs})
    assert AIM.apart(ours_1F, theirs_1F) < 1e-3
