"""Speeds: what is measured, by a clock that is handed in; what would take too long is estimated; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from climb_samples import Ticks, depths_of, network_folder
from headstart.aims.label import one_label
from headstart.aims.labels import many_labels
from headstart.aims.number import a_number
from headstart.backbones import lora
from headstart.backbones.backbone import weights_digest
from headstart.backbones.images import open_image_backbone
from headstart.encoder import Encoder
from headstart.errors import BackboneError
from headstart.heads.linear import plain_head
from headstart.stages import speed as stage
from headstart.stages.plan import BATCH, Speed
from headstart.stages.speed import HOPELESS, LORA_RANK, Learned, precisions, speeds, step_seconds
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from tiny import png, texture

THREADS = 2
CONTENTS = [partial(png, texture(i, i)) for i in range(4)]


pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Encoder]:
    """Open a network by its architecture."""
    root, known = tmp_path_factory.mktemp("speed"), dict[str, Encoder]()

    def make(architecture: str) -> Encoder:
        if architecture not in known:
            backbone = open_image_backbone(str(network_folder(root / architecture, architecture)))
            known[architecture] = Encoder(IMAGE_CLASSIFICATION, backbone, "fp32", root / "cache", THREADS)
        return known[architecture]

    return make


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "precisions", lambda _: (False,))


def learned(features: int) -> Learned:
    """Two classes, and a head on so many features."""
    return Learned(np.arange(4) % 2, one_label(("a", "b")), plain_head(features, 2, 0))


def measured(encoder: Encoder, examples: int = 10, left: float = 1e9, clock: Any = None) -> list[Speed]:
    taught = learned(encoder.backbone.dim)
    return list(speeds(encoder, CONTENTS, taught, examples, 32, left, "cpu", clock or Ticks()))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The depths that are opened, to be measured."""
    names: list[str] = []
    open_at = stage.open_at

    def noted(depth: Any, *given: Any) -> Any:
        names.append(depth.name)
        return open_at(depth, *given)

    monkeypatch.setattr(stage, "open_at", noted)
    return names


def stepping(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> list[bool]:
    """Let the steps of each measurement take so many seconds; returns the precisions asked for."""
    each, asked = iter(seconds), list[bool]()

    def step(body: nn.Module, x_B: Any, taught: Learned, low: bool, *_: Any) -> float:
        asked.append(low)
        return next(each)

    monkeypatch.setattr(stage, "step_seconds", step)
    return asked


# -- what is measured


@pytest.mark.usefixtures("full_precision")
def test_every_depth_is_measured_by_the_clock_shallowest_first(
    made: Callable[[str], Encoder], opened: list[str]
) -> None:
    """Whatever is timed takes a second by a clock that goes on by one with each look."""
    encoder = made("test_resnet")
    found, depths = measured(encoder), depths_of(encoder.backbone)
    assert [speed.name for speed in found] == list(depths) == opened
    assert [speed.share for speed in found] == [depth.share for depth in depths.values()]
    decoding, trunk = 1 / len(CONTENTS) / THREADS, 1 / len(CONTENTS)
    assert [speed.below for speed in found] == pytest.approx([decoding + trunk, decoding + trunk, decoding])
    assert [speed.step for speed in found] == pytest.approx([1 / BATCH] * 3)
    assert not any(speed.guessed or speed.low or speed.lora for speed in found)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_measuring_changes_nothing_of_the_network(architecture: str, made: Callable[[str], Encoder]) -> None:
    encoder = made(architecture)
    backbone = encoder.backbone
    kinds = {name: type(module) for name, module in backbone.trunk.named_modules()}
    measured(encoder)
    assert weights_digest(backbone.trunk) == backbone.weights
    assert {name: type(module) for name, module in backbone.trunk.named_modules()} == kinds
    assert not backbone.trunk.training
    assert not any(p.requires_grad for p in backbone.trunk.parameters())


@pytest.mark.parametrize(("seconds", "low"), [((3.0, 2.0), True), ((2.0, 3.0), False)])
def test_of_two_precisions_the_faster_is_taken(
    seconds: tuple[float, float], low: bool, made: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "precisions", lambda _: (False, True))
    asked = stepping(monkeypatch, seconds * 3)
    found = measured(made("test_resnet"))
    assert asked == [False, True] * 3
    assert [(speed.low, speed.step) for speed in found] == [(low, min(seconds) / BATCH)] * 3


# -- what is hopeless


@pytest.mark.usefixtures("full_precision")
def test_a_depth_that_is_hopeless_is_estimated_by_its_share_of_the_work_and_not_measured(
    made: Callable[[str], Encoder], opened: list[str]
) -> None:
    encoder, examples = made("test_resnet"), 100
    first, *deeper = measured(encoder)
    guess = first.step * deeper[0].share / first.share
    least = guess * examples * 4 / HOPELESS  # seconds left from which on it is worth a measurement
    opened.clear()
    found = measured(encoder, examples, 0.99 * least)
    assert opened == [first.name]
    assert [speed.guessed for speed in found] == [False, True, True]
    assert [speed.name for speed in found] == [first.name, *(speed.name for speed in deeper)]
    for speed in found[1:]:
        assert speed.step == pytest.approx(first.step * speed.share / first.share)
        assert speed.below == pytest.approx(1 / len(CONTENTS) / THREADS)
    opened.clear()
    assert not measured(encoder, examples, 1.01 * least)[1].guessed
    assert opened[:2] == [first.name, deeper[0].name]


def test_what_is_estimated_takes_the_precision_of_the_depth_before(
    made: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "precisions", lambda _: (False, True))
    stepping(monkeypatch, (2.0, 1.0))
    assert [(speed.low, speed.guessed) for speed in measured(made("test_resnet"), left=0.0)] == [
        (True, False),
        (True, True),
        (True, True),
    ]


@pytest.mark.usefixtures("full_precision")
def test_the_shallowest_depth_is_always_measured(made: Callable[[str], Encoder], opened: list[str]) -> None:
    found = measured(made("test_resnet"), examples=10**9, left=0.0)
    assert opened == [found[0].name]
    assert not found[0].guessed


# -- LoRA


@pytest.mark.skipif(not lora.available(), reason="peft is not installed")
@pytest.mark.parametrize("left", [1e9, 0.0], ids=["measured", "estimated"])
@pytest.mark.usefixtures("full_precision")
def test_the_deeper_depths_of_a_transformer_are_trained_by_adapters(
    left: float, made: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted: list[int] = []
    adapt = lora.adapt

    def noted(body: nn.Module, rank: int, *given: Any) -> Any:
        adapted.append(rank)
        return adapt(body, rank, *given)

    monkeypatch.setattr(lora, "adapt", noted)
    monkeypatch.setattr(stage, "LORA_FROM", 0)
    found = measured(made("test_vit"), left=left)
    assert [speed.lora for speed in found] == [0, LORA_RANK, LORA_RANK]
    assert adapted == ([LORA_RANK] * 2 if left else [])


@pytest.mark.parametrize("why", ["no transformer", "no peft", "no linear layer"])
def test_where_there_can_be_no_adapters_the_weights_themselves_are_trained(
    why: str, made: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> Any:
        raise BackboneError("There is no linear layer of a transformer block to adapt.")

    if why == "no peft":
        monkeypatch.setattr(lora, "available", lambda: False)
    elif why == "no linear layer":
        monkeypatch.setattr(lora, "available", lambda: True)
        monkeypatch.setattr(lora, "adapt", none)
    stepping(monkeypatch, [1.0] * 6)
    monkeypatch.setattr(stage, "LORA_FROM", 0)
    found = measured(made("test_resnet" if why == "no transformer" else "test_vit"))
    assert [speed.lora for speed in found] == [0, 0, 0]


def test_a_transformer_of_a_laptop_s_size_is_trained_whole(
    made: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    stepping(monkeypatch, [1.0] * 6)
    found = measured(made("test_vit"))
    assert [(speed.lora, speed.attention) for speed in found] == [(0, True)] * 3


# -- precisions


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_bfloat16_is_tried_where_the_hardware_computes_in_it(
    device: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: there and device == "cuda")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)  # of the CPU beside a GPU too
    assert precisions(device) == ((False, True) if there and device != "mps" else (False,))


# -- a step


class Slow(nn.Module):
    """A network with all that a step could change, and a clock that it moves: its first run is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.runs = 0.0, 0
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 4))

    def forward(self, x_ND: Tensor) -> Tensor:
        self.runs += 1
        self.now += 5.0 if self.runs == 2 else 100.0
        out_ND: Tensor = self.layers(x_ND)
        return out_ND


def slow() -> Slow:
    torch.manual_seed(0)
    return Slow().eval()


X_B = np.random.default_rng(0).normal(size=(8, 6))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("low", [False, True])
def test_a_step_is_timed_once_it_is_warm_and_changes_no_weight(low: bool, dtype: Any) -> None:
    body = slow()
    before = weights_digest(body)
    assert step_seconds(body, X_B.astype(dtype), learned(4), low, "cpu", lambda: body.now) == 5.0
    assert body.runs == 2
    assert weights_digest(body) == before


def test_a_step_that_is_timed_is_a_whole_one() -> None:
    """At any rate but 0 it would have moved every weight."""
    body = slow()
    before = {name: p.detach().clone() for name, p in body.named_parameters()}
    step_seconds(body, X_B.astype(np.float32), learned(4), False, "cpu", lambda: body.now, rate=0.1)
    assert {name for name, p in body.named_parameters() if torch.equal(p, before[name])} == set()


def test_pixels_are_given_to_a_network_as_they_are() -> None:
    given: list[torch.dtype] = []

    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x_ND: Tensor) -> Tensor:
            given.append(x_ND.dtype)
            out_ND: Tensor = self.layer(x_ND.float())
            return out_ND

    step_seconds(Pixels(), np.arange(48, dtype=np.uint8).reshape(8, 6), learned(4), False, "cpu", Ticks())
    assert set(given) == {torch.uint8}


@pytest.mark.parametrize(
    "taught",
    [
        Learned(np.eye(3)[[0, 1]], many_labels(("a", "b", "c")), plain_head(4, 3, 0)),
        Learned(np.array([0.5, -1.0]), a_number(), plain_head(4, 1, 0)),
    ],
    ids=["tags", "numbers"],
)
def test_a_step_teaches_whatever_is_to_be_said(taught: Learned) -> None:
    body = slow()
    before = {name: p.detach().clone() for name, p in body.named_parameters()}
    step_seconds(body, X_B.astype(np.float32), taught, False, "cpu", lambda: body.now, rate=0.1)
    assert {name for name, p in body.named_parameters() if torch.equal(p, before[name])} == set()


def test_speeds_need_no_more_examples_than_there_are(made: Callable[[str], Encoder]) -> None:
    """A batch is filled up by taking them again."""
    encoder = made("test_resnet")
    [first, *_] = speeds(encoder, CONTENTS[:1], learned(encoder.backbone.dim), 1, 32, 1e9, "cpu", Ticks())
    assert first.below == pytest.approx(1 / THREADS + 1)
