"""Real photos and real pretrained networks, where they lie beside the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headstart.options import Options
from headstart.pipeline import fit
from headstart.store import load_json


def backbones(shared: Path) -> dict[str, str]:
    root = shared / "backbones"
    return {
        "default": "default",
        "mobilenetv2": str(root / "mobilenetv2_100.timm"),
        "resnet": str(root / "resnet50_thin.transformers"),
        "squeezenet": f"squeezenet1_1@{root / 'squeezenet1_1.torchvision' / 'model.safetensors'}",
        "vgg16": f"vgg16@{root / 'vgg16_features.torchvision' / 'model.safetensors'}",
    }


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("default", 0.93),
        ("mobilenetv2", 0.94),
        ("resnet", 0.90),
        ("squeezenet", 0.90),
        pytest.param("vgg16", 0.90, marks=pytest.mark.slow),  # a minute and a half
    ],
)
def test_ants_and_bees_are_told_apart(shared: Path, tmp_path: Path, name: str, least: float) -> None:
    data = str(shared / "data" / "hymenoptera")
    said = fit(Options(data, str(tmp_path / "out"), backbone=backbones(shared)[name], budget=0)).scores
    assert said["headline"]["value"] >= least
    assert said["headline"]["low"] < said["headline"]["value"] < said["headline"]["high"]
    assert said["guess"]["high"] < said["headline"]["low"]
    assert said["examples"] == {"train": 244, "valid": 0, "test": 153}


def test_ten_kinds_of_office_things_are_told_apart_by_cross_validation(shared: Path, tmp_path: Path) -> None:
    said = fit(Options(str(shared / "data" / "office_caltech10" / "webcam"), str(tmp_path / "out"), budget=0)).scores
    assert said["judged"]["by"] == "cross-validation"
    assert said["headline"]["value"] >= 0.97


def test_what_the_weights_lack_is_reported_and_cut_off(shared: Path, tmp_path: Path) -> None:
    for kind in ("ants", "bees"):
        (tmp_path / "few" / kind).mkdir(parents=True)
        for path in sorted((shared / "data" / "hymenoptera" / "train" / kind).iterdir())[:10]:
            shutil.copy(path, tmp_path / "few" / kind)
    fit(Options(str(tmp_path / "few"), str(tmp_path / "out"), backbone=backbones(shared)["vgg16"], budget=0))
    record = load_json(tmp_path / "out" / "headstart.json")
    assert record["backbone"]["missing"] == [f"classifier.{i}.{p}" for i in (0, 3, 6) for p in ("weight", "bias")]
    assert record["cut"].startswith("below the missing top")
    assert record["backbone"]["features"] == 512
