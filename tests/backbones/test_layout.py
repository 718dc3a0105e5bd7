"""The open folder: what `fit` writes is loaded by its library alone, in a process that cannot import headstart."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from headstart.pipeline import Options, fit
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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_its_library_alone_loads_a_folder_that_gives_trunk_and_head_and_is_a_backbone_again(
    layout: str, tmp_path: Path, noise: Any, features: Any, elsewhere: Any
) -> None:
    mine = open_image_backbone(LAYOUTS[layout](tmp_path))
    code, weight_DK, bias_K = written(mine, tmp_path / "model")
    pixels_N3HW = noise(mine.preprocess, 2)
    expected = features(mine, pixels_N3HW) @ weight_DK + bias_K
    given = elsewhere(tmp_path / "model", code, pixels_N3HW, mine.preprocess)
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 1e-3
    again = open_image_backbone(str(tmp_path / "model"))
    assert (again.weights, again.dim, again.cut) == (mine.weights, mine.dim, mine.cut)
    assert (again.library, again.architecture, again.preprocess) == (mine.library, mine.architecture, mine.preprocess)


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


def test_a_model_that_fit_made_gives_its_golden_outputs_without_headstart(tmp_path: Path, elsewhere: Any) -> None:
    data = tiny.photos(tmp_path / "photos", each=8)
    cache = str(tmp_path / "cache")
    fit(Options(str(data), str(tmp_path / "model"), backbone=LAYOUTS["torchvision, cut"](tmp_path), cache=cache))
    record = json.loads((tmp_path / "model" / RECORD).read_text())
    golden = load_file(tmp_path / "model" / GOLDEN)
    settings = record["preprocessing"]
    preprocess = Preprocess(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    given = elsewhere(tmp_path / "model", record["load"]["code"], golden["inputs"], preprocess)
    np.testing.assert_allclose(given, golden["logits"], atol=1e-3)
    assert record["labels"] == list(CLASSES)


def test_the_labels_are_in_each_librarys_own_place(tmp_path: Path) -> None:
    for layout, place in {"timm": "label_names", "transformers": "id2label", "torchvision": "labels"}.items():
        root = tmp_path / layout
        root.mkdir()
        written(open_image_backbone(LAYOUTS[layout](root)), root / "model")
        config = json.loads((root / "model" / "config.json").read_text())
        labels = config[place].values() if layout == "transformers" else config[place]
        assert tuple(labels) == CLASSES


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
