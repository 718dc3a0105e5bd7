"""ARCHITECTURE@WEIGHTS: whose network a file holds, what it lacks, and what is never loaded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from headstart.backbones.from_weights import check_fit, read_state
from headstart.backbones.images import open_image_backbone
from headstart.errors import BackboneError, UsageError

State = Mapping[str, torch.Tensor]
NAME = tiny.ARCHITECTURE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.timm_folder(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def state(folder: Path) -> State:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def weights(folder: Path) -> str:
    """The digest that every way of writing the same weights must give."""
    return open_image_backbone(str(folder)).weights


WRITTEN: dict[str, tuple[str, Callable[[State, Path], None]]] = {
    "safetensors": ("w.safetensors", save_file),
    "state dict": ("w.pth", lambda state, path: torch.save(dict(state), path)),
    "checkpoint": ("w.tar", lambda state, path: torch.save({"epoch": 3, "state_dict": dict(state)}, path)),
    "under model": ("w.pt", lambda state, path: torch.save({"model": dict(state)}, path)),
    "DataParallel": ("w.pth", lambda state, path: torch.save({f"module.{k}": v for k, v in state.items()}, path)),
    "compiled, then parallel": (
        "w.bin",
        lambda state, path: torch.save({f"_orig_mod.module.{k}": v for k, v in state.items()}, path),
    ),
    "Lightning": (
        "w.ckpt",
        lambda state, path: torch.save({"state_dict": {f"model.{k}": v for k, v in state.items()}}, path),
    ),
    "float64": (
        "w.safetensors",
        lambda state, path: save_file({k: _to(v, torch.float64) for k, v in state.items()}, path),
    ),
}


def _to(tensor: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return tensor.to(kind) if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("way", WRITTEN)
def test_the_same_weights_are_read_however_they_were_written(
    way: str, tmp_path: Path, state: State, weights: str
) -> None:
    file, write = WRITTEN[way]
    write(state, tmp_path / file)
    mine = open_image_backbone(f"{NAME}@{tmp_path / file}")
    assert (mine.weights, mine.library, mine.missing) == (weights, "timm", ())
    assert mine.source == f"local file {file}"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_cast_to_float32(kind: torch.dtype, tmp_path: Path, state: State) -> None:
    save_file({k: _to(v, kind) for k, v in state.items()}, tmp_path / "w.safetensors")
    mine = open_image_backbone(f"{NAME}@{tmp_path / 'w.safetensors'}")
    assert {p.dtype for p in mine.trunk.parameters()} == {torch.float32}
    name, given = next(iter(mine.trunk.named_parameters()))
    torch.testing.assert_close(given.detach(), state[name].to(kind).float(), rtol=0, atol=0)


def test_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "w.pth").write_bytes(pickle.dumps({"weight": Trap()}, protocol=2))
    torch.save({"weight": Trap()}, tmp_path / "zip.pth")
    for file in ("w.pth", "zip.pth"):
        with pytest.raises(BackboneError, match="never pickled objects"):
            open_image_backbone(f"{NAME}@{tmp_path / file}")
    assert not (tmp_path / "sprung").exists()


def test_a_whole_network_that_was_pickled_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=r"(?s)cannot be read.*state_dict"):
        open_image_backbone(f"{NAME}@{tmp_path / 'w.pt'}")


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x08\0\0\0\0\0\0\0{}"])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_what_is_no_weights_file_is_refused(content: bytes, ending: str, tmp_path: Path) -> None:
    (tmp_path / f"w.{ending}").write_bytes(content)
    with pytest.raises(BackboneError, match=f"w.{ending}"):
        open_image_backbone(f"{NAME}@{tmp_path / 'w'}.{ending}")


@pytest.mark.parametrize(
    "value", [{}, [1, 2], {"weight": 3}, torch.zeros(3)], ids=("empty", "list", "number", "tensor")
)
def test_what_is_no_state_dict_is_refused(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(BackboneError, match="not a state dict"):
        read_state(tmp_path / "w.pth")


def test_weights_of_another_architecture_are_refused_with_the_names_that_do_not_fit(
    tmp_path: Path, state: State
) -> None:
    save_file(dict(state), tmp_path / "w.safetensors")
    with pytest.raises(BackboneError) as caught:
        open_image_backbone(f"resnet18@{tmp_path / 'w.safetensors'}")
    assert "w.safetensors does not hold the weights of resnet18" in caught.value.what
    assert "conv1.weight" in caught.value.found
    assert "conv1.0.weight" in caught.value.found or "conv1.1." in caught.value.found


def test_a_classifier_of_other_classes_counts_as_missing(tmp_path: Path, state: State, weights: str) -> None:
    other = {**state, "fc.weight": torch.zeros(7, state["fc.weight"].shape[1]), "fc.bias": torch.zeros(7)}
    save_file(other, tmp_path / "w.safetensors")
    mine = open_image_backbone(f"{NAME}@{tmp_path / 'w.safetensors'}")
    assert mine.weights == weights
    assert set(mine.missing) == {"fc.weight", "fc.bias"}


def test_the_library_is_the_one_whose_names_the_file_has(tmp_path: Path) -> None:
    import timm
    import torchvision

    for library, network in (
        ("timm", timm.create_model("efficientnet_b0")),
        ("torchvision", torchvision.models.efficientnet_b0()),
    ):
        save_file(network.state_dict(), tmp_path / "w.safetensors")
        assert open_image_backbone(f"efficientnet_b0@{tmp_path / 'w.safetensors'}").library == library


def test_a_prefix_decides_for_a_library(tmp_path: Path, noise: Any, features: Any) -> None:
    import torchvision

    save_file(torchvision.models.resnet18().state_dict(), tmp_path / "w.safetensors")
    of_timm, of_torchvision = (
        open_image_backbone(f"{library}:resnet18@{tmp_path / 'w.safetensors'}") for library in ("timm", "torchvision")
    )
    assert (of_timm.library, of_torchvision.library) == ("timm", "torchvision")
    assert of_timm.preprocess.interpolation != of_torchvision.preprocess.interpolation  # each with its own
    pixels_N3HW = noise(of_timm.preprocess, 2)
    np.testing.assert_allclose(
        features(of_timm, pixels_N3HW), features(of_torchvision, pixels_N3HW), rtol=1e-3, atol=1e-4
    )


def test_timms_vgg_without_its_fully_connected_layers_is_cut_below_them(tmp_path: Path) -> None:
    import timm

    state = {k: v for k, v in timm.create_model("vgg11").state_dict().items() if k.startswith("features.")}
    save_file(state, tmp_path / "w.safetensors")
    mine = open_image_backbone(f"timm:vgg11@{tmp_path / 'w.safetensors'}")
    assert (mine.library, mine.dim) == ("timm", 512)
    assert mine.cut.startswith("below the missing top, at features")
    assert mine.missing[0].startswith("pre_logits.fc1")


def test_the_fit_can_be_asked_for_without_building_anything(tmp_path: Path, state: State) -> None:
    save_file({k: v for k, v in state.items() if not k.startswith("fc.")}, tmp_path / "w.safetensors")
    fit = check_fit(NAME, tmp_path / "w.safetensors")
    assert (fit.library, set(fit.missing), fit.unexpected) == ("timm", {"fc.weight", "fc.bias"}, ())


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("resnet18@nowhere.pth", UsageError, "no weights file nowhere.pth"),
        ("resnet18@", UsageError, "no weights file"),
        ("jax:resnet18@{file}", UsageError, "timm, torchvision"),
        ("resnet_18@{file}", BackboneError, "resnet18"),
        ("timm:squeezenet1_1@{file}", BackboneError, "No architecture is called 'squeezenet1_1'"),
    ],
)
def test_a_name_that_cannot_be_right_is_explained(
    name: str, error: type[Exception], said: str, tmp_path: Path, state: State
) -> None:
    save_file(dict(state), tmp_path / "w.safetensors")
    with pytest.raises(error, match=said):
        open_image_backbone(name.format(file=tmp_path / "w.safetensors"))
