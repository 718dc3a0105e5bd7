"""Sources: what a top is trained from is what the trunk gives, computed once, each example in its own place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from climb_samples import depths_of, network_folder, places, unread
from headstart.backbones.backbone import Backbone, weights_digest
from headstart.backbones.depth import example
from headstart.backbones.depths import EVERYTHING
from headstart.backbones.engine import Chosen, TorchEngine
from headstart.backbones.images import open_image_backbone
from headstart.data.augment import View, augment, load_view
from headstart.data.examples import CellContent
from headstart.encoder import Encoder
from headstart.errors import DataError
from headstart.progress import quiet
from headstart.stages.batches import Fly, Views
from headstart.stages.encode import Item
from headstart.stages.sources import Opened, inputs, open_at, source_at
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from tiny import png, texture

PICTURES = tuple(png(texture(i % 5, i, (50 + i, 60))) for i in range(6))
ROWS = np.array([4, 1, 2])
"""Some of the pictures, in no order; the others are not needed."""
SEED = 7


pytestmark = pytest.mark.usefixtures("calm")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_image_backbone(str(network_folder(tmp_path_factory.mktemp("network"), "test_resnet")))


def encoder(backbone: Backbone, root: Path, precision: Any = "fp32") -> Encoder:
    return Encoder(IMAGE_CLASSIFICATION, backbone, precision, root, 1)


def opened(backbone: Backbone, root: Path, place: int = 0, precision: Any = "fp32") -> Opened:
    """The network opened at a place, by default the shallowest."""
    depth = list(depths_of(backbone).values())[place]
    return open_at(depth, backbone, encoder(backbone, root, precision))


@dataclass
class Reading:
    """Pictures, of which those in `ROWS` may be read, and how often each was."""

    times: dict[int, int] = field(default_factory=dict)

    def items(self) -> list[Item]:
        made = [
            Item(f"{i}.png", hashlib.sha256(d).hexdigest(), CellContent(lambda: b"")) for i, d in enumerate(PICTURES)
        ]
        return [self.read(i, item) if i in ROWS else unread(item) for i, item in enumerate(made)]

    def read(self, i: int, item: Item) -> Item:
        def load() -> bytes:
            self.times[i] = self.times.get(i, 0) + 1
            return PICTURES[i]

        return replace(item, content=CellContent(load))


def viewed(given: Opened, views: int = 3, reading: Reading | None = None) -> Views:
    assert given.below is not None
    items = (reading or Reading()).items()
    found = source_at(given, given.below, items, ROWS, views, SEED, quiet, lambda: 0.0)
    assert isinstance(found, Views)
    return found


def flown(made: Encoder, reading: Reading | None = None) -> Fly:
    found = inputs(made, (reading or Reading()).items(), ROWS, SEED, quiet, lambda: 0.0)
    assert isinstance(found, Fly)
    return found


def activations(given: Opened, pixels_N3HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the trunk gives in PyTorch, normalised by plain arithmetic."""
    assert given.below is not None
    assert given.trunk is not None
    p = given.below.backbone.preprocess
    mean_311, std_311 = (np.reshape(v, (3, 1, 1)) for v in (p.mean, p.std))
    with torch.inference_mode():
        x_N3HW = torch.from_numpy(((pixels_N3HW / 255 - mean_311) / std_311).astype(np.float32))
        found: NDArray[np.float32] = given.trunk(x_N3HW).numpy()
    return found


def looks(backbone: Backbone, number: int) -> NDArray[np.uint8]:
    """A view of the pictures in `ROWS`, in their order."""
    return np.stack([load_view(PICTURES[i], backbone.preprocess, View(number, SEED)) for i in ROWS])


# -- opened


def test_the_halves_of_an_opened_network_are_the_whole(backbone: Backbone, tmp_path: Path) -> None:
    x_N3HW = torch.randn(2, 3, *backbone.preprocess.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for place in (0, 1):
            given = opened(backbone, tmp_path, place)
            assert given.trunk is not None
            assert torch.equal(given.body(given.trunk(x_N3HW)), backbone.trunk(x_N3HW))


def test_below_a_cut_the_half_is_encoded_under_a_name_of_its_own(backbone: Backbone, tmp_path: Path) -> None:
    whole, halves = encoder(backbone, tmp_path), [opened(backbone, tmp_path, place) for place in (0, 1)]
    below = [half.below for half in halves if half.below is not None]
    assert [each.backbone.cut for each in below] == places(backbone)[:2]
    assert all(each.backbone.trunk is half.trunk for each, half in zip(below, halves, strict=True))
    assert len({each.key("an engine") for each in (whole, *below)}) == 3
    assert len({each.kept for each in (whole, *below)}) == 3


def test_at_the_input_nothing_is_frozen_and_the_body_takes_pixels(backbone: Backbone, tmp_path: Path) -> None:
    given = opened(backbone, tmp_path, -1)
    assert given.depth.name == EVERYTHING
    assert (given.trunk, given.below, given.digest(), given.shared) == (None, None, "", ())
    pixels_N3HW = looks(backbone, 0)
    with torch.no_grad():
        expected = encoder(backbone, tmp_path).network(torch.from_numpy(pixels_N3HW))
        assert torch.equal(given.body(torch.from_numpy(pixels_N3HW)), expected)


def test_the_digest_is_of_what_is_frozen_alone(tmp_path: Path) -> None:
    backbone = open_image_backbone(str(network_folder(tmp_path / "network", "test_resnet")))
    given = opened(backbone, tmp_path)
    assert given.trunk is not None
    before = given.digest()
    assert before == weights_digest(given.trunk) != backbone.weights
    with torch.no_grad():
        next(given.body.parameters()).add_(1)
        assert given.digest() == before
        next(b for n, b in given.trunk.named_buffers() if "mean" in n).add_(1)
        assert given.digest() != before, "statistics are frozen too"


@pytest.mark.parametrize("place", [0, -1], ids=["a cut", "the input"])
def test_what_is_set_free_is_above_and_trains_the_network_itself(place: int, tmp_path: Path) -> None:
    backbone = open_image_backbone(str(network_folder(tmp_path / "network", "test_resnet")))
    given = opened(backbone, tmp_path, place)
    assert not any(p.requires_grad for p in given.body.parameters())
    given.free()
    free = {id(p) for p in backbone.trunk.parameters() if p.requires_grad}
    assert free == {id(p) for p in given.body.parameters()}
    below = 0 if given.trunk is None else len(list(given.trunk.parameters()))
    assert len(free) == len(list(backbone.trunk.parameters())) - below > 0


def test_what_both_halves_read_stays_frozen(backbone: Backbone, tmp_path: Path) -> None:
    body = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    given = replace(opened(backbone, tmp_path), body=body, shared=("0.weight",))
    given.free()
    assert {name for name, p in body.named_parameters() if not p.requires_grad} == {"0.weight"}


def test_the_example_is_where_the_network_is(backbone: Backbone) -> None:
    """An engine may have moved it to a GPU; traced with an example elsewhere it would seem to have no places."""
    assert example(backbone).shape == (1, 3, *backbone.preprocess.size)
    assert example(backbone).device.type == "cpu"
    elsewhere = replace(backbone, trunk=nn.Linear(2, 2, device="meta"))
    assert example(elsewhere).device.type == "meta"


# -- views


def test_the_first_view_is_clean_and_the_others_are_what_the_trunk_gives_for_augmented_ones(
    backbone: Backbone, tmp_path: Path
) -> None:
    given = opened(backbone, tmp_path)
    found = viewed(given)
    assert len(found.views) == 3
    for number, view in enumerate(found.views):
        expected = activations(given, looks(backbone, number))
        np.testing.assert_allclose(view.take(ROWS), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        assert np.abs(view.take(ROWS) - found.views[number - 1].take(ROWS)).max() > 1e-2
    np.testing.assert_array_equal(found.clean(ROWS), found.views[0].take(ROWS))


def test_views_of_another_seed_differ_but_for_the_clean_one(backbone: Backbone, tmp_path: Path) -> None:
    given = opened(backbone, tmp_path)
    assert given.below is not None
    found = viewed(given, 2)
    other = source_at(given, given.below, Reading().items(), ROWS, 2, SEED + 1, quiet, lambda: 0.0)
    assert isinstance(other, Views)
    np.testing.assert_array_equal(other.clean(ROWS), found.clean(ROWS))
    assert np.abs(other.views[1].take(ROWS) - found.views[1].take(ROWS)).max() > 1e-2


@pytest.mark.parametrize("order", [["fp32", "auto"], ["auto", "fp32"]])
def test_activations_are_kept_in_half_the_memory_unless_all_of_it_is_asked_for(
    order: list[str], backbone: Backbone, tmp_path: Path
) -> None:
    """Whichever was there first: each has a place of its own in the cache."""
    found = {each: viewed(opened(backbone, tmp_path, precision=each), 2) for each in order}
    for view in (0, 1):
        full, half = (found[each].views[view].take(ROWS) for each in ("fp32", "auto"))
        assert (full.dtype, half.dtype) == (np.float32, np.float16)
        np.testing.assert_allclose(half, full, rtol=0, atol=2e-2 * np.abs(full).max())


def test_activations_that_are_too_large_for_halves_become_the_largest(backbone: Backbone, tmp_path: Path) -> None:
    given = opened(backbone, tmp_path, precision="auto")
    assert given.below is not None

    class Huge:
        name = "huge"

        def run(self, each: Any) -> Iterator[NDArray[np.float32]]:
            yield from (np.array([1e9, -1e9, 1.0], np.float32) for _ in each)

    huge = replace(given, below=replace(given.below, take=lambda _: Chosen(Huge(), 1.0)))
    largest = np.finfo(np.float16).max
    assert viewed(huge, 1).clean(ROWS).tolist() == [[largest, -largest, 1.0]] * 3


def test_called_again_no_picture_is_read_and_no_network_run(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading()
    first = viewed(opened(backbone, tmp_path), 3, reading)
    assert sorted(reading.times) == sorted(ROWS)

    def never(*_: Any) -> Any:
        raise AssertionError("it is there")

    monkeypatch.setattr("headstart.encoder.choose", never)
    reading.times.clear()
    again = viewed(opened(backbone, tmp_path), 3, reading)
    assert reading.times == {}
    for one, other in zip(first.views, again.views, strict=True):
        np.testing.assert_array_equal(one.take(ROWS), other.take(ROWS))


def test_more_views_cost_those_that_are_new(backbone: Backbone, tmp_path: Path) -> None:
    given, ran = opened(backbone, tmp_path), []
    assert given.below is not None
    engine = TorchEngine(given.below.network)

    class Counting:
        name = engine.name

        def run(self, each: Any) -> Iterator[Any]:
            for result in engine.run(each):
                ran.append(result.shape)
                yield result

    chosen: list[int] = []

    def take(sample: Any) -> Chosen:
        chosen.append(len(sample))
        return Chosen(Counting(), 1.0)

    counted = replace(given, below=replace(given.below, take=take))
    viewed(counted, 2)
    assert len(ran) == 2 * len(ROWS)
    assert len(chosen) == 1, "one engine for all views"
    viewed(counted, 3)
    assert len(ran) == 3 * len(ROWS)


# -- inputs


def test_inputs_are_pixels_clean_and_wide_and_augmented_by_seed_epoch_and_place(
    backbone: Backbone, tmp_path: Path
) -> None:
    made = encoder(backbone, tmp_path)
    found = flown(made)
    wide_N = [IMAGE_CLASSIFICATION.augment.wide(backbone)(PICTURES[i]) for i in ROWS]
    np.testing.assert_array_equal(found.clean(ROWS), looks(backbone, 0), strict=True)
    np.testing.assert_array_equal(found.wide.take(ROWS), np.stack(wide_N))
    size = backbone.preprocess.size
    for epoch in (0, 3):
        rngs = [np.random.default_rng([SEED, epoch, int(i)]) for i in ROWS]
        expected = np.stack([augment(wide, size, rng) for wide, rng in zip(wide_N, rngs, strict=True)])
        np.testing.assert_array_equal(found.train(ROWS, epoch), expected, strict=True)
    assert (found.train(ROWS, 0) != found.train(ROWS, 1)).any()


def test_opened_at_the_input_a_network_is_trained_on_inputs(backbone: Backbone, tmp_path: Path) -> None:
    made = encoder(backbone, tmp_path)
    given = opened(backbone, tmp_path, -1)
    found = source_at(given, made, Reading().items(), ROWS, 1, SEED, quiet, lambda: 0.0)
    assert isinstance(found, Fly)
    np.testing.assert_array_equal(found.train(ROWS, 2), flown(made).train(ROWS, 2))


def test_inputs_are_decoded_once_for_all_networks_of_one_preprocessing(backbone: Backbone, tmp_path: Path) -> None:
    reading = Reading()
    first = flown(encoder(backbone, tmp_path), reading)
    reading.times.clear()
    other = open_image_backbone(str(network_folder(tmp_path / "other", "test_efficientnet")))
    assert other.weights != backbone.weights
    alike = replace(other, preprocess=backbone.preprocess)
    for made in (encoder(backbone, tmp_path, "auto"), encoder(alike, tmp_path)):
        again = flown(made, reading)
        np.testing.assert_array_equal(again.train(ROWS, 1), first.train(ROWS, 1))
    assert reading.times == {}
    squashed = replace(backbone, preprocess=replace(backbone.preprocess, resize="squash"))
    flown(encoder(squashed, tmp_path), reading)
    assert sorted(reading.times) == sorted(ROWS)


# -- both


@pytest.mark.parametrize("kind", ["views", "inputs"])
def test_each_example_is_in_its_own_place_and_those_that_were_not_asked_for_are_nowhere(
    kind: str, backbone: Backbone, tmp_path: Path
) -> None:
    found = viewed(opened(backbone, tmp_path), 2) if kind == "views" else flown(encoder(backbone, tmp_path))
    together = found.clean(ROWS)
    for place, i in enumerate(ROWS):
        np.testing.assert_array_equal(found.clean(np.array([i])), together[place : place + 1])
        assert all((together[place] != other).any() for other in np.delete(together, place, 0))
    for i in set(range(len(PICTURES))) - {int(i) for i in ROWS}:
        with pytest.raises(IndexError):
            found.clean(np.array([i]))
        with pytest.raises(IndexError):
            found.train(np.array([i]), 0)


@pytest.mark.parametrize("kind", ["views", "inputs"])
def test_a_picture_that_is_gone_by_now_is_named(kind: str, backbone: Backbone, tmp_path: Path) -> None:
    def gone() -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    items = Reading().items()
    items[2] = replace(items[2], content=CellContent(gone))
    made = encoder(backbone, tmp_path)
    given = opened(backbone, tmp_path, 0 if kind == "views" else -1)
    with pytest.raises(DataError, match=r"(?s)cannot be read any more.*2\.png: .*No such file"):
        source_at(given, made, items, ROWS, 1, SEED, quiet, lambda: 0.0)
