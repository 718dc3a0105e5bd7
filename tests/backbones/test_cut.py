"""The cut: halves equal to the whole, tops that train, and what is left of a network without its top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
import torchvision.models as tv
from timm.models._features_fx import create_feature_extractor as timm_extractor
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import create_feature_extractor as torchvision_extractor

from headstart.backbones.cut import Cut, below_missing, cuts, split, trace
from headstart.errors import BackboneError

FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {  # name -> image side, what makes it small
    "beit_base_patch16_224": (64, {"img_size": 64, "depth": 2}),
    "cait_xxs24_224": (64, {"img_size": 64, "depth": 4}),
    "convnext_atto": (64, {}),
    "deit_tiny_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "deit_tiny_distilled_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "densenet121": (64, {}),
    "efficientvit_b0": (64, {}),
    "eva02_tiny_patch14_224": (56, {"img_size": 56, "depth": 3}),
    "fastvit_t8": (64, {}),
    "ghostnet_050": (64, {}),
    "levit_128s": (224, {}),
    "maxvit_rmlp_pico_rw_256": (64, {"img_size": 64}),
    "mixer_s32_224": (64, {"img_size": 64}),
    "mobilenetv2_050": (64, {}),
    "mobilenetv3_small_050": (64, {}),
    "mobilenetv4_conv_small": (64, {}),
    "mobilevit_xxs": (64, {}),
    "nfnet_l0": (64, {}),
    "pit_ti_224": (224, {}),
    "pvt_v2_b0": (64, {}),
    "regnetx_002": (64, {}),
    "repvgg_a0": (64, {}),
    "resnet10t": (64, {}),
    "resnet18": (64, {}),
    "resnetv2_50": (64, {}),
    "swin_tiny_patch4_window7_224": (112, {"img_size": 112, "depths": (1, 1, 2, 1)}),
    "tf_efficientnet_lite0": (64, {}),
    "tiny_vit_5m_224": (64, {}),
    "twins_pcpvt_small": (64, {"img_size": 64}),
    "vgg11": (32, {}),
    "vit_small_patch14_dinov2": (56, {"img_size": 56, "depth": 3}),
    "vit_small_patch16_dinov3": (64, {"img_size": 64, "depth": 3}),
    "vit_tiny_patch16_224": (64, {"img_size": 64, "depth": 4}),
    "xcit_nano_12_p16_224": (64, {"img_size": 64, "depth": 3}),
}
FEATURES_ONLY = ("convnext_atto", "resnet18", "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224")
TORCHVISION = {"resnet18": 64, "squeezenet1_1": 64, "vgg11": 32}
NETWORKS = [
    *(f"timm {name}" for name in FAMILIES),
    *(f"timm {name} num_classes=0" for name in FEATURES_ONLY),
    *(f"torchvision {name}" for name in TORCHVISION),
]


@dataclass(frozen=True)
class Case:
    network: nn.Module
    graph: fx.GraphModule
    places: tuple[Cut, ...]
    side: int

    @property
    def some(self) -> list[Cut]:
        return sorted({self.places[0], self.places[len(self.places) // 2], self.places[-1]}, key=lambda c: c.index)


def images(count: int, side: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def build(spec: str) -> tuple[nn.Module, int]:
    library, name, *rest = spec.split()
    torch.manual_seed(0)
    if library == "torchvision":
        network, side = getattr(tv, name)(weights=None), TORCHVISION[name]
    else:
        side, small = FAMILIES[name]
        small = {**small, "num_classes": 0} if rest else small
        network = timm.create_model(name, pretrained=False, **small)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim < 2 or not parameter.any():  # wakes what is initialised to zero
                parameter.add_(torch.rand_like(parameter) * 0.5)
    return network, side


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> Case:
    network, side = build(request.param)
    graph = trace(network)
    return Case(network, graph, cuts(graph, images(1, side)), side)


def test_the_two_halves_are_bit_equal_to_the_whole_at_two_batch_sizes(case: Case) -> None:
    assert case.places
    with torch.no_grad():
        for x_N3HW in (images(2, case.side), images(3, case.side, seed=1)):
            whole = case.network(x_N3HW)
            assert not torch.equal(whole[0], whole[1])
            for cut in case.some:
                halves = split(case.graph, cut)
                activation = halves.trunk(x_N3HW)
                assert len(activation) == len(x_N3HW)
                before = activation.clone()
                assert torch.equal(halves.top(activation), whole), cut
                assert torch.equal(activation, before), f"{cut}: the top changed its input"


def test_every_parameter_of_the_top_receives_a_gradient_and_none_of_the_trunk_does(case: Case) -> None:
    for cut in case.some:
        halves = split(case.graph, cut)
        with torch.no_grad():
            activation = halves.trunk(images(2, case.side))
        case.network.zero_grad(set_to_none=True)
        halves.top.train()
        halves.top(activation).square().sum().backward()
        halves.top.eval()
        parameters = dict(halves.top.named_parameters())
        assert parameters
        assert [name for name, p in parameters.items() if p.grad is None] == []
        trunk = {name: p for name, p in halves.trunk.named_parameters() if name not in halves.shared}
        assert [name for name, p in trunk.items() if p.grad is not None] == []


def test_the_top_has_the_networks_own_parameters_under_their_own_names(case: Case) -> None:
    own, keys = dict(case.network.named_parameters()), case.network.state_dict().keys()
    for cut in case.some:
        halves = split(case.graph, cut)
        assert halves.top.state_dict().keys() <= keys
        assert halves.trunk.state_dict().keys() <= keys
        assert all(p is own[name] for name, p in halves.top.named_parameters())
        assert halves.shared == ()


def test_cuts_go_from_input_to_output_and_each_trains_fewer_parameters_than_the_one_before(
    case: Case,
) -> None:
    assert [cut.index for cut in case.places] == sorted({cut.index for cut in case.places})
    assert len({cut.name for cut in case.places}) == len(case.places)
    some = [*case.places[:-1:3], case.places[-1]]
    trained = [sum(p.numel() for p in split(case.graph, cut).top.parameters()) for cut in some]
    assert trained == sorted(set(trained), reverse=True)
    assert trained[-1] > 0


def test_a_cut_is_named_after_the_module_that_ends_there() -> None:
    network = timm.create_model("resnet18")
    places = cuts(trace(network), images(1, 64))
    blocks = ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0"]
    assert [cut.name for cut in places] == ["maxpool", *blocks, "global_pool"]
    network = timm.create_model("convnext_atto", depths=(1, 1, 3, 1))
    names = [cut.name for cut in cuts(trace(network), images(1, 64))]
    assert names[4:7] == ["stages.2.downsample", "stages.2.blocks.0", "stages.2.blocks.1"]
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=4)
    names = [cut.name for cut in cuts(trace(network), images(1, 64))]
    assert names == ["patch_embed", "norm_pre", "blocks.0", "blocks.1", "blocks.2", "head_drop"]


def test_the_last_cut_gives_the_pooled_features_unless_they_are_the_output() -> None:
    x_N3HW = images(2, 64)
    for name in ("resnet18", "convnext_atto", "tf_efficientnet_lite0", "regnetx_002", "densenet121"):
        network = timm.create_model(name)
        graph = trace(network)
        pooled = split(graph, cuts(graph, x_N3HW)[-1])
        features = network.forward_head(network.forward_features(x_N3HW), pre_logits=True)
        assert torch.equal(pooled.trunk(x_N3HW), features)
        assert pooled.top.state_dict().keys() == {
            f"{network.default_cfg['classifier']}.{k}" for k in ("weight", "bias")
        }
    network = timm.create_model("resnet18", num_classes=0)
    assert cuts(trace(network), x_N3HW)[-1].name == "layer4.0"


def test_what_has_no_batch_dimension_is_kept_once_in_the_top() -> None:
    network, side = build("timm xcit_nano_12_p16_224")
    graph = trace(network)
    cut = next(cut for cut in cuts(graph, images(1, side)) if cut.name == "blocks.1")
    assert sorted(split(graph, cut).constants.values()) == [4, 4]

    network, side = build("timm vit_small_patch16_dinov3")
    graph = trace(network)
    cut = next(cut for cut in cuts(graph, images(1, side)) if cut.name == "blocks.1")
    halves = split(graph, cut)
    (name, table), *others = halves.constants.items()
    assert others == []
    assert table.shape[0] == (side // 16) ** 2
    assert not [key for key in halves.top.state_dict() if name in key]
    assert halves.top.double().get_buffer(f"_crossing_{name}").dtype == torch.float64


def test_a_batch_size_that_crosses_is_taken_from_the_activation() -> None:
    network, side = build("timm twins_pcpvt_small")
    graph = trace(network)
    cut = next(cut for cut in cuts(graph, images(1, side)) if cut.name.startswith("blocks.2"))
    halves = split(graph, cut)
    assert any(n.target == "size" and n.args == (next(iter(halves.top.graph.nodes)), 0) for n in halves.top.graph.nodes)
    x_N3HW = images(5, side)
    with torch.no_grad():
        assert torch.equal(halves.top(halves.trunk(x_N3HW)), network(x_N3HW))


def test_arguments_with_a_default_become_that_constant() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, mask: Tensor | None = None, loud: bool = False) -> Tensor:
            y = self.conv(x) if mask is None else self.conv(x * mask)
            return y * 10 if loud else y

    for network in (Masked(), timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2)):
        graph, x_N3HW = trace(network), images(2, 64)
        assert [node.name for node in graph.graph.nodes if node.op == "placeholder"] == ["x"]
        assert torch.equal(graph(x_N3HW), network(x_N3HW))


class InPlace(nn.Conv2d):
    """A convolution that first changes its input in place."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        return self._conv_forward(input.relu_(), self.weight, self.bias)


class Tied(nn.Module):
    """Two stages that are multiplied by the same table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(4, 1, 1))
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        self.two = nn.Sequential(InPlace(4, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one[1](self.one[0](x) * self.table)) * self.table


def test_a_parameter_read_on_both_sides_is_read_again_and_named() -> None:
    network = Tied()
    graph, x_N3HW = trace(network), images(2, 16)
    cut = next(cut for cut in cuts(graph, x_N3HW) if cut.name == "one.1")
    halves = split(graph, cut)
    assert halves.shared == ("table",)
    assert torch.equal(halves.top(halves.trunk(x_N3HW)), network(x_N3HW))
    assert "table" not in split(graph, next(c for c in cuts(graph, x_N3HW) if c.name == "one.0")).shared


def test_a_top_that_works_in_place_leaves_the_cached_activation_as_it_was() -> None:
    graph = trace(Tied())
    halves = split(graph, next(cut for cut in cuts(graph, images(1, 16)) if cut.name == "one.1"))
    activation = halves.trunk(images(2, 16)).detach()
    before = activation.clone()
    first = halves.top(activation)
    assert torch.equal(activation, before)
    assert torch.equal(halves.top(activation), first)


def test_training_the_top_trains_the_network_and_leaves_the_trunk_alone() -> None:
    network, side = build("timm resnet10t")
    graph, x_N3HW = trace(network), images(2, side)
    halves = split(graph, cuts(graph, x_N3HW)[3])
    trunk = {key: tensor.clone() for key, tensor in halves.trunk.state_dict().items()}
    head = network.fc.weight.detach().clone()
    activation = halves.trunk(x_N3HW).detach()
    optimizer = torch.optim.SGD(halves.top.train().parameters(), lr=0.1)
    halves.top(activation).square().mean().backward()
    optimizer.step()
    halves.top.eval()
    assert not torch.equal(network.fc.weight, head)
    assert all(torch.equal(tensor, trunk[key]) for key, tensor in halves.trunk.state_dict().items())
    assert torch.equal(halves.top(activation), network(x_N3HW))


@pytest.mark.filterwarnings("ignore:NOTE:UserWarning")  # of create_feature_extractor, on train mode
@pytest.mark.parametrize(
    ("architecture", "missing", "name"),
    [
        ("torchvision vgg16", ("classifier.",), "features"),
        ("timm vgg16", ("pre_logits.", "head."), "features"),
        ("torchvision squeezenet1_1", ("classifier.",), "features"),
        ("torchvision resnet18", ("fc.",), "layer4"),
        ("torchvision resnet18", ("layer4.", "fc."), "layer3"),
        ("torchvision alexnet", ("classifier.",), "features"),
        ("timm resnet18", ("fc.",), "layer4"),
        ("timm resnet18", ("layer4.", "fc."), "layer3"),
        ("timm tf_efficientnet_lite0", ("conv_head.", "bn2.", "classifier."), "blocks"),
        ("timm convnext_atto", ("head.",), "stages"),
        ("timm swin_tiny_patch4_window7_224", ("head.",), "norm"),
        ("timm vit_tiny_patch16_224", ("head.",), "norm"),
        ("timm deit_tiny_distilled_patch16_224", ("head.", "head_dist."), "norm"),
    ],
)
def test_below_missing_layers_are_the_last_maps_as_a_feature_extractor_gives_them(
    architecture: str, missing: tuple[str, ...], name: str
) -> None:
    library, model = architecture.split()
    torch.manual_seed(0)
    network = getattr(tv, model)(weights=None) if library == "torchvision" else timm.create_model(model)
    keys = [key for key in network.state_dict() if key.startswith(missing)]
    for prefix in missing:
        network.get_submodule(prefix[:-1]).to("meta")  # as if never loaded
    x_N3HW = images(2, 224 if "patch" in model else 96)
    below = below_missing(trace(network), keys, x_N3HW)
    assert below.name == name
    assert not any(tensor.is_meta for tensor in below.network.state_dict().values())
    extractor = (torchvision_extractor if library == "torchvision" else timm_extractor)(network, {name: "maps"})
    with torch.no_grad():
        maps = below.network(x_N3HW)
        assert maps.ndim in (3, 4)
        assert torch.equal(maps, extractor.eval()(x_N3HW)["maps"])


def test_below_a_missing_classifier_of_pooled_features_are_those_features() -> None:
    network, x_N3HW = timm.create_model("convnext_atto"), images(2, 64)
    below = below_missing(trace(network), ["head.fc.weight", "head.fc.bias"], x_N3HW)
    pooled = network.forward_head(network.forward_features(x_N3HW), pre_logits=True)
    assert torch.equal(below.network(x_N3HW), pooled)
    assert torch.equal(timm_extractor(network, {below.name: "maps"}).eval()(x_N3HW)["maps"], pooled)


def test_keys_that_the_graph_does_not_read_are_not_missing() -> None:
    network, x_N3HW = timm.create_model("resnet10t"), images(2, 64)
    unread = ["aux.weight", *(key for key in network.state_dict() if key.endswith("num_batches_tracked"))]
    below = below_missing(trace(network), unread, x_N3HW)
    assert below.name == "fc"
    assert torch.equal(below.network(x_N3HW), network(x_N3HW))


@pytest.mark.parametrize("missing", ["layer3.", "conv1.", "", "fc.bias", "layer4.1.bn2.running_mean"])
def test_missing_layers_that_are_not_a_top_are_an_error_that_names_some(missing: str) -> None:
    network = timm.create_model("resnet18")
    keys = [key for key in network.state_dict() if key.startswith(missing)]
    with pytest.raises(BackboneError, match="not the last layers") as caught:
        below_missing(trace(network), keys, images(1, 64))
    assert sorted(keys)[0] in caught.value.found
    if missing == "layer3.":
        assert "layer4.0.conv1.weight" in caught.value.found


def test_a_network_that_branches_on_values_cannot_be_traced() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(BackboneError, match="cannot be traced") as caught:
        trace(Branching())
    assert "Branching raises TraceError" in caught.value.found


def test_a_network_of_more_than_an_image_cannot_be_traced() -> None:
    class Both(nn.Module):
        def forward(self, image: Tensor, text: Tensor) -> Tensor:
            return image + text

    with pytest.raises(BackboneError, match="more than an image") as caught:
        trace(Both())
    assert caught.value.found == "text"


def test_images_of_a_size_that_the_network_refuses_are_an_error() -> None:
    graph = trace(timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1))
    with pytest.raises(BackboneError, match=r"images of \(3, 48, 48\)"):
        cuts(graph, images(1, 48))


def test_a_place_where_more_than_one_value_crosses_cannot_be_cut() -> None:
    graph = trace(timm.create_model("resnet10t"))
    places = cuts(graph, images(1, 64))
    with pytest.raises(BackboneError, match="cannot be cut after 'inside'"):
        split(graph, Cut("inside", places[3].index + 1))


def test_a_network_without_weights_or_without_places_has_no_cuts() -> None:
    assert cuts(trace(nn.Sequential(nn.ReLU(), nn.Flatten())), images(1, 8)) == ()
    assert cuts(trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())), images(1, 8)) == ()
