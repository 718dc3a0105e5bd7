"""What the user writes for a backbone, and which door it opens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import tiny
from headstart.backbones import from_timm, from_transformers
from headstart.backbones.images import open_image_backbone
from headstart.errors import BackboneError, HeadstartError


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which library is asked for what, instead of its hub."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(from_timm, "by_name", lambda name: asked.append(("timm", name)))
    monkeypatch.setattr(from_transformers, "open_model", lambda place, *_: asked.append(("transformers", place)))
    return asked


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("resnet18", ("timm", "resnet18")),
        ("resnet18.a1_in1k", ("timm", "resnet18.a1_in1k")),
        ("timm/resnet18.a1_in1k", ("timm", "hf-hub:timm/resnet18.a1_in1k")),
        ("hf-hub:owner/name@main", ("timm", "hf-hub:owner/name@main")),
        ("microsoft/resnet-18", ("transformers", "microsoft/resnet-18")),
    ],
)
def test_names_go_to_the_library_that_has_them(
    name: str, door: tuple[str, str], doors: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_image_backbone(name)
    assert doors == [door]


@pytest.mark.parametrize("name", ["auto", "efficientnet_lite0"])
def test_the_default_needs_no_hub(name: str, doors: list[tuple[str, str]]) -> None:
    assert open_image_backbone(name).architecture == "tf_efficientnet_lite0"
    assert doors == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet_18", "resnet18"), ("mobilnetv2_100", "mobilenetv2_100"), ("efficientnet-lite0", "lite0")],
)
def test_an_unknown_name_suggests_near_ones(name: str, near: str) -> None:
    with pytest.raises(BackboneError, match=near) as caught:
        open_image_backbone(name)
    assert "`headstart backbones`" in caught.value.hint


def test_a_name_like_no_other_suggests_nothing_silly() -> None:
    with pytest.raises(BackboneError) as caught:
        open_image_backbone("qqqqqqqqqqqq")
    assert "Did you mean" not in str(caught.value)


def test_a_folder_comes_before_a_name_and_may_have_an_at_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doors: list[tuple[str, str]]
) -> None:
    tiny.timm_folder(tmp_path / "resnet18")
    tiny.timm_folder(tmp_path / "me@work")
    monkeypatch.chdir(tmp_path)
    for name in ("resnet18", "me@work", str(tmp_path / "me@work")):
        assert open_image_backbone(name).architecture == tiny.ARCHITECTURE
    assert doors == []


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.timm_folder(tmp_path / "network")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_image_backbone("~/network").architecture == tiny.ARCHITECTURE


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no readable config.json"),
        ("not json", "no readable config.json"),
        (json.dumps({"layers": 3, "name": "mine"}), "in no layout known here"),
        (json.dumps(["architecture"]), "in no layout known here"),
        (json.dumps({"library": "torchvision"}), "not a model folder"),
        (json.dumps({"library": "keras", "architecture": "resnet18"}), "keras"),
        (json.dumps({"architecture": "no_such_network"}), "timm cannot load"),
        (json.dumps({"model_type": "no_such_network"}), "transformers cannot load"),
    ],
)
def test_a_folder_that_is_no_backbone_is_explained(config: str | None, said: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(HeadstartError, match=re.escape(said)) as caught:
        open_image_backbone(str(tmp_path))
    assert caught.value.exit_code == 2


def test_a_folder_with_a_bare_weights_file_is_told_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BackboneError, match="ARCHITECTURE@FILE") as caught:
        open_image_backbone(str(tmp_path))
    assert "weights.safetensors" in caught.value.found


def test_a_damaged_weights_file_in_headstarts_own_layout_is_explained(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"library": "torchvision", "architecture": "resnet18"}))
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(BackboneError, match=r"model\.safetensors cannot be read"):
        open_image_backbone(str(tmp_path))


def test_every_hint_of_a_backbone_error_ends_as_a_sentence(tmp_path: Path) -> None:
    hints: list[Any] = []
    for name in ("resnet_18", "qqqqqqqqqqqq", str(tmp_path)):
        with pytest.raises(BackboneError) as caught:
            open_image_backbone(name)
        hints.append(caught.value.hint)
    assert all(hint.endswith((".", "?")) for hint in hints)
