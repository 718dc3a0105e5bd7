"""Object detection: the contract, the whole ladder on pictures that were made up, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_boxes
from climb_samples import rung
from headstart import predictor
from headstart.backbones import engine
from headstart.backbones.depth import map_depths
from headstart.data.examples import Box, Example, Examples, FileContent
from headstart.data.read import read
from headstart.errors import EngineError
from headstart.evaluation import evaluate
from headstart.heads.boxes import BoxHead, BoxPlan, fresh_box_head
from headstart.metrics.boxes import EXPLAINED
from headstart.options import Options
from headstart.pipeline import Result, fit
from headstart.predictor import Predictor
from headstart.progress import quiet
from headstart.report.boxed import LEGEND
from headstart.stages.plan import Plan
from headstart.store import save_json
from headstart.tasks import TASKS, task_for
from headstart.tasks.contract import CHECKS, Trial, check_task
from headstart.tasks.object_detection import OBJECT_DETECTION

ENOUGH, HARDLY = 60, 9
"""Steps in which a head learns to find coloured rectangles; and too few for that."""
CLASSES = tuple(sorted(tiny_boxes.COLOURS))


@pytest.fixture(scope="module", autouse=True)
def torch_alone() -> Iterator[None]:
    """Let no network be converted for another engine, which takes longer than all the rest."""

    def refuse(*_: Any) -> None:
        raise EngineError("Not here.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "to_openvino", refuse)
        yield


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_boxes.network_folder(tmp_path_factory.mktemp("network"))


# -- the contract


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that knows nothing: its maps are those that a run begins with, whatever the data."""
    root = tmp_path_factory.mktemp("saved")
    mapped = tiny_boxes.mapped(root / "network")
    (root / "detector").mkdir()
    head = fresh_box_head(BoxPlan(mapped.maps, mapped.maps_of, 1), 0)
    mapped.save(root / "detector", ("it",), *head.folded())
    return root / "detector"


def test_detection_keeps_the_contract(saved: Path, tmp_path: Path) -> None:
    with tiny_boxes.small(ENOUGH):
        check_task(OBJECT_DETECTION, tiny_boxes.scenes(tmp_path / "data"), tmp_path / "work", str(saved))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS[:-1], ids=lambda check: check.__name__)
def test_it_does_from_a_network_of_a_library_too(check: Any, network: Path, tmp_path: Path) -> None:
    """But for resuming, where the check encodes by the network as it was before it was fitted to the data."""
    with tiny_boxes.small(ENOUGH):
        check(Trial(OBJECT_DETECTION, tiny_boxes.scenes(tmp_path / "data"), tmp_path / "work", str(network)))


def test_pictures_with_boxes_are_a_task_of_their_own() -> None:
    assert TASKS["object-detection"] is OBJECT_DETECTION
    assert task_for("auto", "picture", "boxes") is OBJECT_DETECTION
    assert task_for("auto", "picture", "label") is not OBJECT_DETECTION


# -- the ladder


@dataclass(frozen=True)
class Done:
    """A run with a budget, and what it was judged on."""

    result: Result
    further: Path
    model: Predictor

    @property
    def report(self) -> str:
        return (self.result.folder / "report.html").read_text(encoding="utf-8")

    def section(self, name: str) -> str:
        """Return the part of the report with this heading."""
        return self.report[self.report.index(f'id="{name}"') :].partition("</section>")[0]


@pytest.fixture(scope="module")
def done(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """The head on cached maps is trained for hardly any time, so that there is something left to be gained."""
    root = tmp_path_factory.mktemp("ladder")
    with tiny_boxes.small(HARDLY):
        names = [depth.name for depth in map_depths(tiny_boxes.mapped(root / "network"))]
        short = {"epochs": 12, "folds": 1, "starts": ("linear",), "batch": 4, "rates": (3e-3,), "again": False}
        rungs = tuple(rung(name, **short) for name in names)
        save_json(root / "plan.json", Plan(600.0, rungs).record())
        options = Options(
            str(tiny_boxes.scenes(root / "data", each=14)), str(root / "model"), backbone=str(network),
            test=str(tiny_boxes.scenes(root / "further", each=6, seed=1)), cache=str(root / "cache"),
            budget=600.0, plan=str(root / "plan.json"),
        )  # fmt: skip
        result = fit(options)
        yield Done(result, root / "further", predictor.load(result.folder, cache=root / "cache"))


def test_the_places_to_train_from_are_the_maps_some_layers_and_everything(network: Path, tmp_path: Path) -> None:
    mapped = tiny_boxes.mapped(tmp_path / "network")
    maps, *inside, everything = map_depths(mapped)
    assert (maps.name, maps.share, everything.name, everything.at_input) == ("above the maps", 0.0, "everything", True)
    assert len(inside) == 1
    halves, x_N3HW = maps.halves(), torch.rand(2, 3, tiny_boxes.SIDE, tiny_boxes.SIDE)
    assert list(halves.top.parameters()) == []
    for depth in (maps, *inside):
        halves = depth.halves()
        with torch.inference_mode():
            assert torch.equal(halves.top(halves.trunk(x_N3HW)), mapped.trunk(x_N3HW)), depth.name
        assert halves.shared == ()


def test_scores_json_has_coco_s_measures_and_every_rung_by_ap50(done: Done) -> None:
    said = done.result.scores
    assert said == json.loads((done.result.folder / "scores.json").read_text())
    assert [m["name"] for m in said["measures"]] == list(EXPLAINED)
    assert all(m["low"] <= m["value"] <= m["high"] for m in said["measures"])
    assert (said["task"], said["headline"]["name"], said["guess"]["name"]) == ("object-detection", "AP50", "AP50")
    assert said["headline"]["low"] > said["guess"]["value"]
    assert said["judged"]["by"] == "test"
    assert said["examples"] == {"train": 28, "valid": 0, "test": 12}
    names = [each["name"] for each in said["rungs"]]
    assert names[:3] == ["usual boxes", "detection head", "layers above the maps"]
    assert {each["headline"]["name"] for each in said["rungs"]} == {"AP50"}
    assert [each["gain"] is None for each in said["rungs"]][:2] == [True, False]
    tried = {each["cut"] for each in said["rungs"]} | {each["name"] for each in said["untried"]}
    assert {"above the maps", "everything"} <= tried


def test_a_longer_training_from_views_is_better_than_a_head_of_few_steps_and_ships(done: Done) -> None:
    said = done.result.scores
    assert said["rung"] not in ("usual boxes", "detection head")
    [shipped] = [each for each in said["rungs"] if each["status"] == "shipped"]
    assert shipped["name"] == said["rung"]
    assert shipped["gain"]["value"] > shipped["gain"]["standard_error"]
    assert said["headline"]["value"] > 0.5


def test_training_from_scratch_is_told_by_ap50_too(done: Done) -> None:
    scratch = done.result.scores["scratch"]
    assert scratch["headline"]["name"] == scratch["worth"]["name"] == "AP50"
    assert "of AP50" in scratch["sentence"]
    assert scratch["sentence"] in done.report


def test_the_report_tells_each_class_what_is_taken_for_what_and_shows_the_mistakes(done: Done) -> None:
    for absent in ("Can the probabilities be trusted?", "it was</text>"):
        assert absent not in done.report
    classes, table = done.section("classes"), done.section("confusion")
    for name in CLASSES:
        assert name in classes
        assert name in table
    assert "AP50" in classes
    assert "nothing" in table
    assert "usual boxes" in done.section("ladder")
    headline = done.result.scores["headline"]
    assert f"{headline['value']:.1%} on 12 pictures" in done.report
    if 'id="mistakes"' in done.report:
        mistakes = done.section("mistakes")
        assert LEGEND in mistakes
        assert "data:image/jpeg" in mistakes
        assert "nan" not in mistakes.partition("data:image")[0]
    card = (done.result.folder / "README.md").read_text(encoding="utf-8")
    assert "torchvision" in card
    assert "brick" in card


def test_objects_are_found_where_they_are_in_pixels_of_the_picture(done: Done) -> None:
    examples = read(done.further).items
    said = done.model.predict([each.content for each in examples])
    found = there = 0
    for each, given in zip(said, examples, strict=True):
        assert not each.error
        assert each.spots is not None
        boxes = [box for box in given.target if isinstance(box, Box)]  # type: ignore[union-attr]
        assert each.size == tuple(boxes[0].of)
        assert all(spot.score >= done.model.threshold for spot in each.spots)
        assert [s.score for s in each.spots] == sorted((s.score for s in each.spots), reverse=True)
        there += len(boxes)
        found += sum(any(s.label == b.label and overlap(s.corners, b) > 0.5 for s in each.spots) for b in boxes)
    assert found > 0.6 * there


def overlap(corners: tuple[float, ...], box: Box) -> float:
    left, top, right, bottom = corners
    across, down = min(right, box.right) - max(left, box.left), min(bottom, box.bottom) - max(top, box.top)
    shared = max(across, 0) * max(down, 0)
    both = (right - left) * (bottom - top) + (box.right - box.left) * (box.bottom - box.top)
    return shared / (both - shared)


def test_evaluating_the_judged_pictures_gives_the_very_values_of_the_report(done: Done) -> None:
    found = evaluate(done.model, done.further, track=quiet).record()
    mine, theirs = ({m["name"]: m["value"] for m in said["measures"]} for said in (found, done.result.scores))
    assert mine == pytest.approx(theirs, rel=1e-6)


def test_the_saved_model_passes_its_own_check_and_says_its_aim_and_threshold(done: Done) -> None:
    done.model.verify()
    made = json.loads((done.result.folder / "headstart.json").read_text())
    assert (made["aim"], tuple(made["labels"])) == ("boxes", CLASSES)
    assert isinstance(done.model.head, BoxHead)
    config = json.loads((done.result.folder / "config.json").read_text())
    assert config["detector"]["threshold"] == done.model.head.threshold
    assert 0 < done.model.head.threshold < 1
    assert config["detector"]["classes"] == len(CLASSES)


def test_a_detector_may_be_what_another_run_starts_from(done: Done, tmp_path: Path) -> None:
    """Its maps are taken as they are: of pictures of the size that it was trained on."""
    again = OBJECT_DETECTION.backbone(str(done.result.folder))
    assert again.weights == done.model.backbone.weights
    assert OBJECT_DETECTION.fitted(again, Examples((Example("a", FileContent(Path("a")), (), ""),), "made")) is again
    with tiny_boxes.small(ENOUGH):
        options = Options(
            str(tiny_boxes.scenes(tmp_path / "data", each=8, seed=4)), str(tmp_path / "out"),
            backbone=str(done.result.folder), cache=str(tmp_path / "cache"), budget=0,
        )  # fmt: skip
        said = fit(options).scores
    assert said["headline"]["low"] > said["guess"]["value"]


def test_bytes_that_are_no_picture_get_an_error_and_a_picture_of_noise_hardly_any_box(done: Done) -> None:
    import tiny

    noise_HW3 = np.random.default_rng(0).integers(100, 140, (90, 100, 3)).astype(np.uint8)
    bad, empty = done.model.predict([b"no picture", tiny.png(noise_HW3)])
    assert bad.error
    assert bad.spots is None
    assert empty.spots is not None
    assert len(empty.spots) <= 3


def test_what_cannot_be_read_is_told_in_the_columns_of_boxes_even_where_it_is_all_there_is(done: Done) -> None:
    from headstart.predictions import as_csv

    head, row = as_csv(done.model.predict([b"no picture"]), boxes=True).splitlines()
    assert head == "name,label,score,left,top,right,bottom,error"
    assert row.startswith("input 0,,,,,,,")
