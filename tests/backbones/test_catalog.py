"""`headstart backbones`: what is there is listed under the name that opens it, and nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import test_from_torchvision as of_torchvision
import test_from_transformers as of_transformers
from safetensors.torch import load_file, save_file

import tiny
from headstart.backbones.catalog import Entry, usable
from headstart.backbones.images import open_image_backbone


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look from an empty folder, at an empty hub cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path / "hub"))


def listed(root: Path) -> dict[str, Entry]:
    return {Path(entry.name).name: entry for entry in usable([root]) if entry.source == "local folder"}


def test_the_defaults_are_listed_with_their_true_numbers_of_parameters() -> None:
    entry, texts = usable()
    assert (texts.name, texts.architecture, texts.size, texts.licence) == (
        "all-MiniLM-L6-v2",
        "bert",
        "22.7 M",
        "Apache-2.0",
    )
    assert entry.name == "efficientnet_lite0"
    assert entry.parameters == open_image_backbone("auto").parameters
    assert (entry.size, entry.licence) == ("3.4 M", "Apache-2.0")
    assert entry.source.startswith("installed")


def test_each_layout_in_a_folder_is_listed_and_its_name_opens_it(tmp_path: Path) -> None:
    root = tmp_path / "models"
    tiny.timm_folder(root / "a.timm")
    of_transformers.saved(root / "b.transformers", "vit")
    (root / "resnet18.torchvision").mkdir()
    of_torchvision.written(of_torchvision.made("resnet18"), root / "resnet18.torchvision" / "model.safetensors")
    found = [entry for entry in usable([root]) if entry.source == "local folder"]
    assert [entry.architecture for entry in found] == [tiny.ARCHITECTURE, "vit", "resnet18"]
    for entry in found:
        assert open_image_backbone(entry.name).architecture == entry.architecture
        assert 0 < (entry.parameters or 0) < 2e7


def test_what_cannot_be_opened_is_not_listed(tmp_path: Path) -> None:
    root = tmp_path / "models"
    (root / "photos").mkdir(parents=True)
    (root / ".hidden").mkdir()
    tiny.timm_folder(root / ".hidden" / "model")
    torn = tiny.timm_folder(root / "torn")
    (torn / "model.safetensors").write_bytes(b"\x09\0\0\0\0\0\0\0torn")
    text = root / "text"
    text.mkdir()
    (text / "config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file(
        {"weight": next(iter(load_file(tiny.timm_folder(root / "good") / "model.safetensors").values()))},
        text / "model.safetensors",
    )
    odd = tiny.timm_folder(root / "odd")
    (odd / "config.json").write_text("[1, 2]")
    other = tiny.timm_folder(root / "vgg11.mine")
    (other / "config.json").unlink()  # not VGG's tensors
    assert set(listed(root)) == {"good"}


def test_a_folder_that_is_itself_a_model_is_listed_and_one_that_is_missing_is_passed_over(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "model")
    assert [e.name for e in usable([folder, tmp_path / "gone"])][2:] == [str(folder)]


def test_models_in_the_working_folder_are_listed_once(tmp_path: Path) -> None:
    folder = tiny.timm_folder(tmp_path / "here" / "model")
    assert [e.name for e in usable([tmp_path / "here"])][2:] == [str(folder)]


def test_image_models_in_the_hubs_cache_are_listed_by_their_address(tmp_path: Path) -> None:
    for owner, make in {
        "models--owner--seen": lambda folder: tiny.timm_folder(folder),
        "models--owner--read": lambda folder: folder.mkdir(parents=True),
    }.items():
        snapshot = tmp_path / "hub" / owner / "snapshots" / ("0" * 40)
        snapshot.parent.mkdir(parents=True)
        make(snapshot)
        (tmp_path / "hub" / owner / "refs").mkdir()
        (tmp_path / "hub" / owner / "refs" / "main").write_text("0" * 40)
        (tmp_path / "hub" / owner / "blobs").mkdir()
    found = [entry for entry in usable() if entry.source == "hub cache"]
    assert [(entry.name, entry.architecture) for entry in found] == [("owner/seen", tiny.ARCHITECTURE)]


def test_an_entry_is_told_to_programs_with_all_it_knows() -> None:
    entry, _ = usable()
    assert set(json.loads(json.dumps(entry.record()))) == {
        "name",
        "architecture",
        "parameters",
        "licence",
        "source",
        "kind",
    }
