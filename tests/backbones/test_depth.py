"""Depths: where rungs start, by the share of a network's work that lies above; halves that are the whole."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, fx, nn

from headstart.backbones.cut import cuts, trace
from headstart.backbones.depth import depths, work_above
from headstart.backbones.depths import EVERYTHING, SHARES, Depth
from headstart.errors import BackboneError

EXAMPLE = torch.zeros(1, 3, 8, 8)


class Tiny(nn.Module):
    """Four layers with weights. Multiply-adds on 8 x 8 pixels: 6,912, 9,216, 4,608 and 40."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 1, 1)
        self.one = nn.Conv2d(4, 4, 3, 1, 1)
        self.two = nn.Conv2d(4, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.stem(x).relu()).relu()
        return self.last(self.norm(self.two(x)).relu().mean((2, 3)))


WORK = (6912, 9216, 4608, 40)
ABOVE = {name: sum(WORK[i:]) / sum(WORK) for i, name in enumerate(("stem", "one", "two"), 1)}


class Tied(Tiny):
    """With a scale that is read below and above what lies between."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, 4, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one((self.stem(x) * self.scale).relu()).relu()
        return self.last(self.norm(self.two(x * self.scale)).relu().mean((2, 3)))


class Branching(nn.Module):
    """What it computes depends on the values: it has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if x.sum() > 0:
            x = -x
        return self.last(x.mean((2, 3)))


@pytest.fixture
def network() -> Tiny:
    torch.manual_seed(0)
    made = Tiny()
    with torch.no_grad():
        made.norm.running_mean.uniform_()
    return made


def shares_of(network: nn.Module, example: Tensor) -> dict[str, float]:
    graph: fx.GraphModule = trace(network)
    places = cuts(graph, example)
    return dict(zip([place.name for place in places], work_above(graph, places, example), strict=True))


def named(found: tuple[Depth, ...]) -> list[str]:
    return [depth.name for depth in found]


# -- the work above


def test_the_work_above_is_the_share_of_multiply_adds(network: Tiny) -> None:
    found = shares_of(network, EXAMPLE)
    assert list(found.values()) == pytest.approx([ABOVE["stem"], ABOVE["one"], 40 / sum(WORK)])
    assert list(found)[:2] == ["stem", "one"]


def test_it_does_not_depend_on_how_many_pictures_are_looked_at(network: Tiny) -> None:
    assert shares_of(network, EXAMPLE) == pytest.approx(shares_of(network, EXAMPLE.repeat(3, 1, 1, 1)))


def test_the_last_stage_of_a_resnet18_has_about_a_quarter_of_its_work() -> None:
    network = timm.create_model("resnet18", num_classes=0)
    found = shares_of(network, torch.zeros(1, 3, 64, 64))
    assert found["layer3.1"] == pytest.approx(0.23, abs=0.005)
    assert found["layer2.1"] == pytest.approx(0.45, abs=0.01)
    assert sorted(found.values(), reverse=True) == list(found.values())


def test_of_a_vit_each_block_has_about_a_twelfth() -> None:
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64)
    found = shares_of(network, torch.zeros(1, 3, 64, 64))
    for above in range(1, 12):
        assert found[f"blocks.{11 - above}"] == pytest.approx(above / 12, abs=0.03)


# -- places


def test_rungs_start_at_the_highest_places_with_enough_work_above_and_at_the_input(network: Tiny) -> None:
    found = depths(network, EXAMPLE, (0.1, 0.3))
    assert named(found) == ["after one", "after stem", EVERYTHING]
    assert [depth.share for depth in found] == pytest.approx([ABOVE["one"], ABOVE["stem"], 1.0])


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((), [EVERYTHING]),
        ((0.9,), [EVERYTHING]),
        ((0.1, 0.2), ["after one", EVERYTHING]),
        ((0.23,), ["after stem", EVERYTHING]),
        ((0.2, 0.5, 0.6, 0.7), ["after one", "after stem", EVERYTHING]),
    ],
    ids=["none", "too much", "the same twice", "just above one", "many"],
)
def test_no_place_comes_twice_and_none_with_too_little_above(
    shares: tuple[float, ...], expected: list[str], network: Tiny
) -> None:
    assert named(depths(network, EXAMPLE, shares)) == expected


def test_the_pooled_features_are_no_place_to_train_from(network: Tiny) -> None:
    """There is the head, which is fitted already."""
    assert all(depth.share >= min(SHARES) for depth in depths(network, EXAMPLE))


def test_a_resnet18_is_trained_from_two_places_and_from_the_input() -> None:
    found = depths(timm.create_model("resnet18", num_classes=0), torch.zeros(1, 3, 64, 64))
    assert [round(depth.share, 2) for depth in found] == [0.13, 0.35, 1.0]
    assert named(found) == ["after layer4.0", "after layer3.0", EVERYTHING]


def test_a_place_with_a_parameter_on_both_sides_is_passed_over() -> None:
    """Training what is above would change what is below, and with it all that is cached."""
    assert shares_of(Tied(), EXAMPLE).keys() == shares_of(Tiny(), EXAMPLE).keys()
    assert named(depths(Tied(), EXAMPLE, (0.2,))) == ["after stem", EVERYTHING]
    assert named(depths(Tiny(), EXAMPLE, (0.2,))) == ["after one", EVERYTHING]


@pytest.mark.parametrize("network", [Branching(), nn.Bilinear(3, 3, 2)], ids=["no graph", "two inputs"])
def test_a_network_that_cannot_be_traced_can_only_be_trained_whole(network: nn.Module) -> None:
    [only] = depths(network, EXAMPLE)
    assert (only.name, only.share, only.cut) == (EVERYTHING, 1.0, None)


def test_pictures_that_are_too_small_leave_the_input(network: Tiny) -> None:
    class Deep(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(nn.functional.max_pool2d(self.two(self.one(self.stem(x))), 8).flatten(1))

    assert named(depths(Deep(), EXAMPLE)) == [EVERYTHING]


def test_the_network_is_left_as_it_was_but_in_eval_mode(network: Tiny) -> None:
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    depths(network, EXAMPLE)
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


# -- halves


def test_the_halves_are_the_whole_bit_by_bit(network: Tiny) -> None:
    x_N3HW = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = depths(network, EXAMPLE, (0.1, 0.3))[:-1]
    assert len(found) == 2
    with torch.no_grad():
        whole = network(x_N3HW)
        for depth in found:
            halves = depth.halves()
            assert torch.equal(halves.top(halves.trunk(x_N3HW)), whole)


def test_training_the_top_trains_the_network_above_and_nothing_below(network: Tiny) -> None:
    shallow = depths(network, EXAMPLE, (0.1,))[0]
    halves = shallow.halves()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with torch.no_grad():
        activation = halves.trunk(torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    halves.top(activation).square().sum().backward()
    torch.optim.SGD(halves.top.parameters(), 0.1).step()
    moved = {name.split(".")[0] for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"two", "norm", "last"}


def test_there_is_nothing_below_the_input(network: Tiny) -> None:
    with pytest.raises(BackboneError, match="no trunk below the input"):
        depths(network, EXAMPLE)[-1].halves()
