"""The open folder: what `fit` writes is loaded by its library alone, in a process that cannot import headstart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_from_torchvision as of_torchvision
import test_from_transformers as of_transformers
import torch
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file

import tiny
from headstart.backbones.backbone import Backbone
from headstart.backbones.images import open_image_backbone
from headstart.backbones.layout import below_top
from headstart.data.pixels import Preprocess
from headstart.options import Options
from headstart.pipeline import fit
from headstart.stages.ship import GOLDEN, RECORD

CLASSES = ("bark", "checks", "dots")


def half_of_a_resnet(root: Path) -> str:
    """Write timm's ResNet-18 without its last stage."""
    import timm

    network = timm.create_model("resnet18")
    save_file(
        {k: v for k, v in network.state_dict().items() if not k.startswith(("layer4", "fc"))}, root / "w.safetensors"
    )
    return f"timm:resnet18@{root / 'w.safetensors'}"


def transformers_folder(root: Path) -> str:
    of_transformers.saved(root / "network", "dinov2")
    return str(root / "network")


def bare(architecture: str, without: str = "nothing") -> Callable[[Path], str]:
    def write(root: Path) -> str:
        network = of_torchvision.made(architecture)
        return f"torchvision:{architecture}@{of_torchvision.written(network, root / 'w.safetensors', without)}"

    return write


LAYOUTS: dict[str, Callable[[Path], str]] = {
    "timm": lambda root: str(tiny.timm_folder(root / "network")),
    "timm, its own arguments": lambda root: str(tiny.timm_folder(root / "network", "test_vit", img_size=64)),
    "timm, cut": half_of_a_resnet,
    "transformers": transformers_folder,
    "torchvision": bare("mobilenet_v3_small"),
    "torchvision, an option": bare("googlenet", "aux"),
    "torchvision, cut": bare("squeezenet1_1"),
}


def written(backbone: Backbone, folder: Path, count: int = 3) -> tuple[str, np.ndarray, np.ndarray]:
    """Save a backbone with some head; return the code that loads it, and weight_DK and bias_K."""
    rng = np.random.default_rng(0)
    weight_DK, bias_K = rng.normal(size=(backbone.dim, count)), rng.normal(size=count)
    folder.mkdir()
    return backbone.save(folder, CLASSES[:count], weight_DK, bias_K).code, weight_DK, bias_K


@dataclass(frozen=True)
class Trial:
    """A backbone that was saved with some head, and what trunk and head, and the saved folder, give for inputs."""

    mine: Backbone
    folder: Path
    expected_NK: np.ndarray
    given_NK: np.ndarray


@pytest.fixture(scope="module")
def trials(
    tmp_path_factory: pytest.TempPathFactory, noise: Any, normalised: Any, features: Any, elsewhere: Any
) -> dict[str, Trial]:
    """All layouts at once: a new process takes as long as all of them."""
    jobs, expected, mine = {}, [], []
    for layout in LAYOUTS.values():
        root = tmp_path_factory.mktemp("layout")
        mine.append(open_image_backbone(layout(root)))
        code, weight_DK, bias_K = written(mine[-1], root / "model")
        pixels_N3HW = noise(mine[-1].preprocess, 2)
        expected.append(features(mine[-1], pixels_N3HW) @ weight_DK + bias_K)
        jobs[root / "model"] = code, normalised(pixels_N3HW, mine[-1].preprocess)
    each = zip(mine, jobs, expected, elsewhere(jobs), strict=True)
    return dict(zip(LAYOUTS, (Trial(*values) for values in each), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_its_library_alone_loads_a_folder_that_gives_trunk_and_head(layout: str, trials: dict[str, Trial]) -> None:
    expected_NK = trials[layout].expected_NK
    atol = 1e-4 * np.abs(expected_NK).max()
    np.testing.assert_allclose(trials[layout].given_NK, expected_NK, rtol=1e-3, atol=atol)
    assert np.ptp(expected_NK, axis=0).max() > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_saved_is_a_backbone_with_the_same_trunk(layout: str, trials: dict[str, Trial]) -> None:
    mine, again = trials[layout].mine, open_image_backbone(str(trials[layout].folder))
    assert (again.weights, again.dim, again.cut) == (mine.weights, mine.dim, mine.cut)
    assert (again.library, again.architecture, again.preprocess) == (mine.library, mine.architecture, mine.preprocess)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_labels_are_in_the_librarys_own_place(layout: str, trials: dict[str, Trial]) -> None:
    config = json.loads((trials[layout].folder / "config.json").read_text())
    library = trials[layout].mine.library
    if library == "transformers":
        assert tuple(config["id2label"].values()) == CLASSES
    elif "architecture" in config and "library" not in config:
        assert tuple(config["label_names"]) == CLASSES
    else:
        assert (config["library"], tuple(config["labels"])) == (library, CLASSES)


def test_a_last_layer_without_a_bias_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Any, normalised: Any, features: Any
) -> None:
    class Small(torchvision.models.ResNet):
        def __init__(self, **options: Any) -> None:
            super().__init__(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], **options)
            self.fc = torch.nn.Linear(512, options.get("num_classes", 1000), bias=False)

    build = torchvision.models.get_model
    monkeypatch.setattr(
        torchvision.models,
        "get_model",
        lambda name, weights=None, **options: Small(**options) if name == "resnet18" else build(name, **options),
    )
    save_file(Small().state_dict(), tmp_path / "w.safetensors")
    mine = open_image_backbone(f"torchvision:resnet18@{tmp_path / 'w.safetensors'}")
    code, weight_DK, bias_K = written(mine, tmp_path / "model")
    monkeypatch.chdir(tmp_path / "model")
    names: dict[str, Any] = {}
    exec(code, names)
    pixels_N3HW = noise(mine.preprocess, 2)
    with torch.inference_mode():
        given = names["model"](torch.from_numpy(normalised(pixels_N3HW, mine.preprocess))).numpy()
    np.testing.assert_allclose(given, features(mine, pixels_N3HW) @ weight_DK + bias_K, rtol=1e-3, atol=1e-4)


def test_a_model_that_fit_made_gives_its_golden_outputs_without_headstart(
    tmp_path: Path, normalised: Any, elsewhere: Any
) -> None:
    data = tiny.photos(tmp_path / "photos", each=8)
    cache = str(tmp_path / "cache")
    fit(
        Options(
            str(data), str(tmp_path / "model"), backbone=LAYOUTS["torchvision, cut"](tmp_path), cache=cache, budget=0
        )
    )
    record = json.loads((tmp_path / "model" / RECORD).read_text())
    golden = load_file(tmp_path / "model" / GOLDEN)
    settings = record["preprocessing"]
    preprocess = Preprocess(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    x_N3HW = normalised(golden["inputs"], preprocess)
    (given_NK,) = elsewhere({tmp_path / "model": (record["load"]["code"], x_N3HW)})
    np.testing.assert_allclose(given_NK, golden["logits"], atol=1e-3)
    assert record["labels"] == list(CLASSES)


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        (lambda x: x[:, :, :4, :4], (2, 3)),
        (lambda x: x.permute(0, 2, 3, 1)[:, :4, :4], (1, 2)),
        (lambda x: x.flatten(2).transpose(1, 2), (1,)),
    ],
    ids=("channels first", "channels last", "tokens"),
)
def test_maps_are_averaged_over_their_places_whatever_comes_first(
    maps: Callable[[torch.Tensor], torch.Tensor], expected: tuple[int, ...]
) -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 6, 3, padding=1)
            self.turn = torch.nn.Identity()
            self.fc = torch.nn.LazyLinear(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc(maps(self.stem(x)).relu().flatten(1))
            return out

    network = Network().eval()
    x_N3HW = torch.randn(2, 3, 8, 8)
    network(x_N3HW)
    preprocess = Preprocess((8, 8), "squash", (8, 8), "bilinear", (0.5,) * 3, (0.5,) * 3)
    below = below_top(network, ["fc.weight", "fc.bias"], preprocess)
    with torch.no_grad():
        stem = maps(network.stem(x_N3HW)).relu().mean(expected)
        torch.testing.assert_close(below.trunk(x_N3HW), stem)
    assert below.pool == f".mean({expected[0] if len(expected) == 1 else expected})"
