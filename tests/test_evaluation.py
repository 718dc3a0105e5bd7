"""evaluate: further labelled data are scored as the model was judged, and what cannot be scored is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from headstart import predictor
from headstart.errors import DataError, UsageError
from headstart.evaluation import evaluate
from headstart.options import Options
from headstart.pipeline import fit
from headstart.predictor import Predictor
from headstart.progress import quiet


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "textures"
    tiny.photos(root / "train", each=8, classes=4)
    tiny.photos(root / "test", each=7, classes=4, seed=1)
    (root / "test" / "bark" / "torn.jpg").write_bytes((root / "test" / "bark" / "1-000.jpg").read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    network = tiny.timm_folder(work / "network")
    return fit(Options(str(data), str(work / "model"), backbone=str(network), budget=0)).folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return predictor.load(folder)


def scores(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


@pytest.mark.parametrize("part", ["", "test"])
def test_the_judged_pictures_give_the_very_values_of_the_report(
    part: str, data: Path, folder: Path, model: Predictor
) -> None:
    found = evaluate(model, data / part, track=quiet).record()
    said = scores(folder)
    assert {m["name"]: m["value"] for m in found["measures"]} == {m["name"]: m["value"] for m in said["measures"]}
    assert found["headline"]["value"] == said["headline"]["value"]
    assert found["examples"] == said["examples"]["test"] == 28
    assert 0.25 < found["headline"]["value"] < 1, "a score that anything would reach"
    assert found["headline"]["low"] < found["headline"]["high"]


def test_the_intervals_of_the_report_come_back_too_where_pictures_are_near_copies(
    data: Path, folder: Path, model: Predictor
) -> None:
    said = scores(folder)
    assert evaluate(model, data, track=quiet).record()["measures"] == said["measures"]


def test_other_pictures_give_another_score(data: Path, model: Predictor) -> None:
    on_train, on_test = (evaluate(model, data / part, track=quiet).measures for part in ("train", "test"))
    assert on_train[0].value > on_test[0].value


def test_files_that_cannot_be_scored_are_named_with_the_reason(data: Path, model: Predictor) -> None:
    findings = [f for f in evaluate(model, data, track=quiet).findings if f.bad]
    assert [(Path(f.name).name, f.kind) for f in findings] == [("torn.jpg", "truncated")]


def test_a_picture_that_passes_the_check_and_does_not_decode_is_named(
    data: Path, model: Predictor, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(data / "test", tmp_path / "copy"))
    whole = (copy / "dots" / "1-001.png").read_bytes()
    middle = len(whole) // 2
    (copy / "dots" / "1-001.png").write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    found = evaluate(model, copy, track=quiet)
    assert found.examples == 27
    assert "dots/1-001.png" in [f.name for f in found.findings if f.kind == "undecodable"]


def test_a_class_that_the_model_does_not_know_is_named_and_left_out(
    data: Path, folder: Path, model: Predictor, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(data / "test", tmp_path / "copy"))
    shutil.copytree(copy / "dots", copy / "zebra")
    found = evaluate(model, copy, track=quiet)
    strangers = [f for f in found.findings if f.kind == "unknown-class"]
    assert [Path(f.name).parent.name for f in strangers] == ["zebra"] * 7
    assert all("'zebra'" in f.reason for f in strangers)
    assert found.measures[0].value == scores(folder)["headline"]["value"]


def only_strangers(root: Path) -> None:
    tiny.photos(root, each=2, classes=2)
    for kind in ("bark", "checks"):
        (root / kind).rename(root / f"{kind}-like")


def only_torn(root: Path) -> None:
    tiny.photos(root, each=2, classes=2)
    for path in root.rglob("*.*"):
        path.write_bytes(path.read_bytes()[:40])


def only_undecodable(root: Path) -> None:
    tiny.photos(root, each=2, classes=2)
    for path in list(root.rglob("*.*")):
        path.unlink()
        data = tiny.png(tiny.texture(0, len(str(path))))
        path.with_suffix(".png").write_bytes(data[:60] + bytes(len(data) - 80) + data[-20:])


@pytest.mark.parametrize("make", [only_strangers, only_torn, only_undecodable])
def test_data_of_which_nothing_can_be_scored_are_a_data_error(
    make: Callable[[Path], None], model: Predictor, tmp_path: Path
) -> None:
    make(tmp_path / "data")
    with pytest.raises(DataError) as caught:
        evaluate(model, tmp_path / "data", track=quiet)
    assert caught.value.exit_code == 2


def test_the_error_names_the_classes_of_both_sides(model: Predictor, tmp_path: Path) -> None:
    only_strangers(tmp_path / "data")
    with pytest.raises(DataError, match=r"bark-like, checks-like; the model knows bark, checks, dots, stripes"):
        evaluate(model, tmp_path / "data", track=quiet)


def test_comet_is_for_translations(data: Path, model: Predictor) -> None:
    with pytest.raises(UsageError, match="COMET scores translations"):
        evaluate(model, data, comet="best.ckpt", track=quiet)


def test_one_class_alone_can_be_scored(data: Path, model: Predictor, tmp_path: Path) -> None:
    shutil.copytree(data / "test" / "checks", tmp_path / "data" / "checks")
    found = evaluate(model, tmp_path / "data", track=quiet)
    assert found.examples == 7
    assert 0 <= found.measures[0].value <= 1


def test_a_model_evaluates_itself(data: Path, model: Predictor) -> None:
    assert model.evaluate(data).record() == evaluate(model, data, track=quiet).record()
