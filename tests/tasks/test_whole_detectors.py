"""Detectors that were pretrained as such, through the whole of a run: fitted, saved, loaded, asked, evaluated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import tiny_boxes
import tiny_detectors
from climb_samples import rung
from headstart import predictor
from headstart.backbones import detector_weights
from headstart.backbones.from_detr import OfTransformers
from headstart.backbones.from_torchvision_detectors import blank
from headstart.backbones.raw_detr import exported
from headstart.backbones.whole import NEW, Exported, made
from headstart.errors import EngineError
from headstart.evaluation import evaluate
from headstart.export import export
from headstart.heads.boxes import FIELDS, SLOTS
from headstart.heads.decode_whole import decoding_of
from headstart.heads.finding import FindingHead
from headstart.options import Options, Stopwatch
from headstart.pipeline import AGAIN, RESERVE, Result, fit, set_aside
from headstart.predictor import Predictor
from headstart.progress import quiet
from headstart.stages import box_probe
from headstart.stages.plan import Plan, ScratchPlan
from headstart.stages.probe import Rung
from headstart.store import save_json
from headstart.tasks.contract import CHECKS, Trial, beats_its_guess, resumes
from headstart.tasks.object_detection import OBJECT_DETECTION

CLASSES = tuple(sorted(tiny_boxes.COLOURS))


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Let the new layers be trained for hardly any time."""
    with tiny_boxes.small(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_probe, "WHOLE_STEPS", 3)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_boxes.scenes(tmp_path_factory.mktemp("data"), each=6)


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision's published weights be random ones of COCO's number of classes."""

    def given(architecture: str) -> tuple[dict[str, Any], str]:
        return made(replace(blank(architecture), outputs=91).network).state_dict(), "random weights"

    monkeypatch.setattr(detector_weights, "published", given)


def run(data: Path, root: Path, backbone: str, **more: Any) -> tuple[Result, Predictor]:
    options = Options(str(data), str(root / "model"), backbone=backbone, cache=str(root / "cache"), **more)
    result = fit(options)
    return result, predictor.load(result.folder, cache=root / "cache", verify=True)


def card(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the lines that the model card gives, in the folder; return what they define, and headstart.json."""
    record = json.loads((folder / "headstart.json").read_text())
    space: dict[str, Any] = {}
    code = record["load"]["code"]
    assert code in (folder / "README.md").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, space)
    return space, record


ALIKE = 1e-3


def same_boxes(found: dict[str, torch.Tensor], spots: Any, labels: tuple[str, ...], first: int) -> None:
    """Assert that a library alone finds what was predicted, the surest first."""
    assert len(found["scores"]) >= len(spots)
    best = found["scores"].argsort(descending=True, stable=True)[: len(spots)]
    np.testing.assert_allclose(found["scores"][best], [s.score for s in spots], atol=ALIKE)
    assert {labels[int(k) - first] for k in found["labels"]} >= {s.label for s in spots}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "d_fine" else ()) for kind in tiny_detectors.KINDS]
)
def test_a_detector_of_detr_s_family_is_fitted_saved_loaded_and_asked(kind: str, data: Path, tmp_path: Path) -> None:
    folder = tiny_detectors.folder_of(kind, tmp_path / kind)
    result, model = run(data, tmp_path, str(folder), budget=0)
    assert result.scores["rung"] == "detector with new layers"
    assert model.labels == CLASSES
    assert model.backbone.preprocess.record()["size"] == (96, 96), "no larger than the boxes need"
    [said] = model.with_threshold(0.02).predict([data / "images" / "000.png"])
    assert said.spots is not None
    assert all(spot.label in CLASSES for spot in said.spots)
    space, record = card(result.folder)
    assert record["load"]["library"] == "transformers"
    assert space["model"].config.id2label == dict(enumerate(CLASSES))
    [told] = model.predict([data / "images" / "000.png"])
    with torch.inference_mode():
        same_boxes(space["found"](data / "images" / "000.png"), told.spots, CLASSES, 0)


@pytest.mark.parametrize(
    "name",
    [
        "retinanet_resnet50_fpn",
        pytest.param("ssdlite320_mobilenet_v3_large", marks=pytest.mark.slow),
        pytest.param("fcos_resnet50_fpn", marks=pytest.mark.slow),
        pytest.param("fasterrcnn_resnet50_fpn", marks=pytest.mark.slow),
        pytest.param("ssd300_vgg16", marks=pytest.mark.slow),
    ],
)
def test_a_detector_of_torchvision_is_fitted_saved_loaded_and_asked(
    name: str, data: Path, tmp_path: Path, weights: None
) -> None:
    result, model = run(data, tmp_path, name, budget=0)
    assert model.labels == CLASSES
    assert isinstance(model.head, FindingHead)
    [said] = model.with_threshold(0.02).predict([data / "images" / "000.png"])
    assert said.spots is not None
    assert all(spot.label in CLASSES for spot in said.spots)
    space, record = card(result.folder)
    assert record["load"]["library"] == "torchvision"
    [told] = model.predict([data / "images" / "000.png"])
    pixels_3HW = torch.from_numpy(model.encoder.load((data / "images" / "000.png").read_bytes())).float() / 255
    with torch.inference_mode():
        [found] = space["model"]([pixels_3HW])
    same_boxes(found, told.spots, CLASSES, 1)


# -- the ladder


@dataclass(frozen=True)
class Done:
    result: Result
    model: Predictor
    further: Path


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("ladder")
    folder, further = tiny_detectors.folder_of("yolos", root / "yolos"), tiny_boxes.scenes(root / "further", 4, seed=1)
    steps = {"epochs": 12, "folds": 1, "starts": ("linear",), "batch": 4, "rates": (3e-3,), "again": False}
    rungs = tuple(rung(name, **steps) for name in (NEW, "everything"))
    scratch = ScratchPlan(6, 2, 4, (3e-3,), False, 1.0, 1.0, {}, 0.0)
    save_json(root / "plan.json", Plan(600.0, rungs, (), scratch).record())
    plan = {"budget": 600.0, "plan": str(root / "plan.json"), "test": str(further)}
    return Done(*run(data, root, str(folder), **plan), further)


def test_the_new_layers_are_trained_first_then_everything_then_all_of_it_from_scratch(done: Done) -> None:
    said = done.result.scores
    names = [each["name"] for each in said["rungs"]] + [each["name"] for each in said["untried"]]
    assert names[:3] == ["usual boxes", "detector with new layers", "the part that is new"]
    assert "everything" in names
    assert said["scratch"]["headline"]["name"] == "AP50"
    assert said["scratch"]["sentence"] in (done.result.folder / "report.html").read_text(encoding="utf-8")


def test_evaluating_the_judged_pictures_gives_the_values_of_the_report(done: Done) -> None:
    found = evaluate(done.model, done.further, track=quiet).record()
    mine, theirs = ({m["name"]: m["value"] for m in said["measures"]} for said in (found, done.result.scores))
    assert mine == pytest.approx(theirs, rel=1e-6)


def test_what_was_fitted_may_be_what_another_run_starts_from(done: Done, tmp_path: Path) -> None:
    again = OBJECT_DETECTION.backbone(str(done.result.folder))
    assert again.weights == done.model.backbone.weights


def test_the_end_has_time_for_asking_of_the_judged_pictures_not_for_training_again(done: Done) -> None:
    watch = Stopwatch(time.perf_counter, 0.0)
    probe = SimpleNamespace(rungs=[Rung("it", ("",), *[np.zeros((1, 1))] * 2, (1.0,), 60.0, 5.0)], row_R=np.arange(10))
    encoder = SimpleNamespace(backbone=done.model.backbone)
    divided = SimpleNamespace(splits=SimpleNamespace(judged=np.arange(20)))
    base: Any = SimpleNamespace(encoder=encoder, probe=probe, divided=divided, general=None)
    assert set_aside(base, watch) == pytest.approx(RESERVE + AGAIN * 20 * 5.0 / 10)


def test_it_is_exported_and_what_the_file_gives_decodes_to_the_predictors_boxes(done: Done, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    onnx, openvino = pytest.importorskip("onnx"), pytest.importorskip("openvino")
    file, picture = tmp_path / "it.onnx", done.further / "images" / "000.png"
    assert export(done.model, file) == ("logits", "pred_boxes")
    decoding = decoding_of({each.key: each.value for each in onnx.load(file).metadata_props})
    said = openvino.Core().compile_model(str(file), "CPU")(done.model.encoder.load(picture.read_bytes())[None])
    [found_F] = decoding.decoded({name: np.asarray(said[name]) for name in ("logits", "pred_boxes")})
    [told] = done.model.with_threshold(0.0).predict([picture])
    assert told.spots
    for spot, (score, label, *corners) in zip(told.spots, found_F.reshape(SLOTS, FIELDS), strict=False):
        assert spot.score == pytest.approx(score, abs=ALIKE)
        assert spot.label == CLASSES[int(label)]
        np.testing.assert_allclose(np.asarray(corners) * (told.size * 2), spot.corners, atol=0.1)


def test_it_is_not_exported_where_decoding_gives_something_else_than_the_model(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(self: Any) -> Exported:
        right = exported(self)
        return replace(right, decoding=replace(right.decoding, softmax=False))

    monkeypatch.setattr(OfTransformers, "exported", wrong)
    with pytest.raises(EngineError, match="not known here"):
        export(done.model, tmp_path / "it.onnx")
    assert not (tmp_path / "it.onnx").exists()


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=() if c is resumes else pytest.mark.slow) for c in CHECKS if c is not beats_its_guess],
    ids=lambda check: check.__name__,
)
def test_it_keeps_the_contract_but_for_beating_the_guess_with_random_weights(
    check: Any, data: Path, tmp_path: Path
) -> None:
    folder = tiny_detectors.folder_of("yolos", tmp_path / "yolos")
    check(Trial(OBJECT_DETECTION, data, tmp_path / "work", str(folder)))


def test_nothing_is_told_of_what_a_detector_with_new_layers_could_do_before(done: Done) -> None:
    assert done.result.scores["before"] is None
    assert "as it was gets" not in (done.result.folder / "report.html").read_text(encoding="utf-8")
