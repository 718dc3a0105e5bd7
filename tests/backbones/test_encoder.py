"""Encoders taken apart: halves that are the whole, bit for bit, and all ways of reading out in one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from torch import Tensor, nn

import tiny_text
from headstart.backbones import engine as engines
from headstart.backbones.backbone import weights_digest
from headstart.backbones.encoder import (
    Encoding,
    Logits,
    ReadOut,
    blocks,
    depths,
    given,
    layer_count,
    shortened,
    split,
    with_layers,
    with_module,
)
from headstart.backbones.engine import LEAST_COSINE, TorchEngine, choose, least_cosine
from headstart.backbones.texts import open_text_backbone
from headstart.errors import BackboneError
from headstart.ragged import pile

pytestmark = pytest.mark.usefixtures("calm")
FAMILIES = list(tiny_text.CONFIGS)
TEXTS = tiny_text.some_tokens(7, 12, 20, 5, 16, 24, 9, 8)
Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def x_NL2() -> Tensor:
    return torch.from_numpy(pile(TEXTS))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def encodings(family: str, encoder_folder: Saved) -> dict[str, Encoding]:
    """All ways of reading out a family's encoder, by name."""
    return tiny_text.encodings(encoder_folder(family))


@pytest.fixture
def usual(encodings: dict[str, Encoding]) -> Encoding:
    return next(iter(encodings.values()))


def run(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(x)


# -- halves


def test_halves_are_the_whole_bit_for_bit_wherever_it_is_cut(encodings: dict[str, Encoding], x_NL2: Tensor) -> None:
    for name, encoding in encodings.items():
        features_ND = run(encoding, x_NL2)
        assert features_ND.isfinite().all()
        assert features_ND.std(0).min() > 1e-3, "texts differ in every feature"
        for after in range(layer_count(encoding.network)):
            halves = split(encoding, after)
            hidden_NLD = run(halves.trunk, x_NL2)
            assert torch.equal(run(halves.top, hidden_NLD), features_ND), (name, after)
            assert hidden_NLD.shape == (len(TEXTS), 24, tiny_text.WIDTH)
            assert not hidden_NLD[x_NL2[..., 1] == 0].any(), "where there is no token there are zeros"
            assert hidden_NLD[x_NL2[..., 1] > 0].any(-1).all(), "and nowhere else"


def test_training_a_top_reaches_all_of_it_and_nothing_below(usual: Encoding, x_NL2: Tensor) -> None:
    for depth in depths(usual):
        halves = depth.halves()
        below = {id(parameter) for parameter in halves.trunk.parameters()}
        both = {name for name, parameter in halves.top.named_parameters() if id(parameter) in below}
        assert both == set(halves.shared)
        free = {n: p for n, p in halves.top.named_parameters() if n not in halves.shared}
        before, digest = {n: p.clone() for n, p in free.items()}, weights_digest(halves.trunk)
        for parameter in free.values():
            parameter.requires_grad_(True)
        try:
            halves.top.train()
            halves.top(run(halves.trunk, x_NL2).clone()).pow(3).sum().backward()
            unreached = [name for name, p in free.items() if p.grad is None or not p.grad.abs().sum()]
            assert unreached == []
            with torch.no_grad():
                torch.optim.SGD(free.values(), 0.1).step()
            assert not any(torch.equal(p, before[n]) for n, p in free.items())
            assert weights_digest(halves.trunk) == digest
            assert all(p.grad is None for p in halves.trunk.parameters())
        finally:
            halves.top.eval()
            with torch.no_grad():
                for name, parameter in free.items():
                    parameter.copy_(before[name]).requires_grad_(False).grad = None


@pytest.mark.parametrize(
    ("family", "shared"), [("bert", ""), ("mpnet", "relative_attention_bias"), ("deberta-v2", "rel_embeddings")]
)
def test_what_all_layers_read_is_shared_by_the_halves(encoder_folder: Saved, family: str, shared: str) -> None:
    [encoding, *_] = tiny_text.encodings(encoder_folder(family)).values()
    for after in range(3):
        names = split(encoding, after).shared
        assert bool(names) == bool(shared)
        assert not shared or any(shared in name for name in names)


def test_a_convolution_beside_the_first_layer_stays_with_it(x_NL2: Tensor) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config: Any = tiny_text.CONFIGS["deberta-v2"]()
        config.conv_kernel_size, config.conv_act = 3, "gelu"
        network = hf.AutoModel.from_config(config).eval()
    encoding = Encoding(network, ReadOut("mean", 1e-7)).eval()
    features_ND = run(encoding, x_NL2)
    for after in range(3):
        halves = split(encoding, after)
        assert torch.equal(run(halves.top, run(halves.trunk, x_NL2)), features_ND)
        assert any("conv" in name for name, _ in (halves.trunk if after else halves.top).named_parameters())
        assert not any("conv" in name for name, _ in (halves.top if after else halves.trunk).named_parameters())


def test_a_cut_changes_nothing_about_the_encoder_that_is_cut(usual: Encoding, x_NL2: Tensor) -> None:
    before, features_ND, names = weights_digest(usual), run(usual, x_NL2), [n for n, _ in usual.named_modules()]
    for after in range(3):
        halves = split(usual, after)
        run(halves.top, run(halves.trunk, x_NL2))
    assert weights_digest(usual) == before
    assert [n for n, _ in usual.named_modules()] == names
    assert torch.equal(run(usual, x_NL2), features_ND)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in usual.modules())


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (12, ["after layer 11", "after layer 8", "after the embeddings"]),
        (6, ["after layer 5", "after layer 4", "after the embeddings"]),
        (2, ["after layer 1", "after the embeddings"]),
        (1, ["after the embeddings"]),
    ],
)
def test_rungs_start_below_a_few_layers_more_of_them_and_all(layers: int, expected: list[str]) -> None:
    small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    network = hf.BertModel(hf.BertConfig(vocab_size=9, num_hidden_layers=layers, **small))
    found = depths(Encoding(network, ReadOut("mean", 1e-12)))
    assert [depth.name for depth in found] == expected
    shares = [depth.share for depth in found]
    assert shares == sorted(shares)
    assert shares[:-1] == [(layers - int(name.split()[-1])) / layers for name in expected[:-1]]
    assert shares[-1] < 1
    assert not any(depth.at_input for depth in found)


# -- readouts


def test_all_ways_in_one_pass_give_what_each_gives_alone(
    family: str, encodings: dict[str, Encoding], encoder_folder: Saved, x_NL2: Tensor
) -> None:
    opened = open_text_backbone(str(encoder_folder(family)))
    together = run(opened.trunk, x_NL2)
    assert [way.name for way in opened.readouts] == list(encodings)
    assert together.shape[1] == opened.dim == tiny_text.WIDTH * len(encodings)
    for way in opened.readouts:
        assert torch.equal(together[:, way.columns], run(encodings[way.name], x_NL2)), way.name
    kinds = {encoding.readout.kind for encoding in encodings.values()}
    assert kinds == {"first"} | ({"mean"} if family != "mpnet" else set()) | (
        {"own"} if family in tiny_text.POOLED else set()
    )


def test_a_layer_is_read_out_as_the_library_gives_its_hidden_states(
    family: str, encodings: dict[str, Encoding], x_NL2: Tensor
) -> None:
    """The numbers behind the means: of the last layer the library's own, of the one before its hidden state."""
    network = tiny_text.network(family)
    with torch.inference_mode():
        said = network(**given(network, x_NL2), output_hidden_states=True)
    there_NL1 = (x_NL2[..., 1:] > 0).float()
    hidden = {3: said[0], 2: said.hidden_states[2]}
    if family == "modernbert":  # as it would be if it were the last
        hidden[2] = run(network.final_norm, hidden[2])
    for name, encoding in encodings.items():
        count = layer_count(encoding.network)
        if encoding.readout.kind == "mean" and count in hidden:
            mean_ND = (hidden[count] * there_NL1).sum(1) / there_NL1.sum(1)
            expected = torch.nn.functional.layer_norm(mean_ND, mean_ND.shape[1:], eps=encoding.readout.epsilon)
            torch.testing.assert_close(run(encoding, x_NL2), expected, rtol=0, atol=1e-5)
            assert "mean over the tokens" in name
        if encoding.readout.kind == "own":
            torch.testing.assert_close(run(encoding, x_NL2), said.pooler_output, rtol=0, atol=1e-6)


def test_a_text_gives_the_same_however_much_is_filled_up(usual: Encoding, x_NL2: Tensor) -> None:
    together = run(usual, x_NL2)
    longer = run(usual, torch.nn.functional.pad(x_NL2, (0, 0, 0, 6)))
    assert torch.equal(longer, together), "an end that nobody fills is left away"
    for row_D, tokens_L2 in zip(together, TEXTS, strict=True):
        bare_L2 = torch.from_numpy(tokens_L2[tokens_L2[:, 1] > 0])
        torch.testing.assert_close(run(usual, bare_L2[None])[0], row_D, rtol=0, atol=1e-5)


def test_neither_order_nor_segment_of_tokens_is_lost(usual: Encoding, x_NL2: Tensor, family: str) -> None:
    swapped = x_NL2.clone()
    swapped[:, [1, 2]] = x_NL2[:, [2, 1]]
    assert (run(usual, swapped) - run(usual, x_NL2)).abs().max() > 1e-4
    segments = x_NL2.clone()
    segments[..., 1] = x_NL2[..., 1].clamp(max=1)
    knows = family in ("bert", "electra", "xlm-roberta", "camembert")
    assert (torch.equal(run(usual, segments), run(usual, x_NL2))) is not knows


# -- engines


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "device", lambda: "cpu")


@pytest.mark.usefixtures("on_a_cpu")
def test_openvino_gives_what_pytorch_gives_whatever_lengths_it_was_converted_with(
    family: str, encoder_folder: Saved
) -> None:
    trunk = open_text_backbone(str(encoder_folder(family))).trunk
    alike = tiny_text.some_tokens(8, 8)  # nothing is filled up in what the trace sees
    chosen = choose(trunk, alike, "fp32", 2, None, 8)
    assert chosen.engine.name.startswith("openvino"), chosen.note
    truth, got = (pile(list(engine.run(TEXTS))) for engine in (TorchEngine(trunk), chosen.engine))
    np.testing.assert_allclose(got, truth, rtol=0, atol=2e-4)
    assert least_cosine(got, truth) >= LEAST_COSINE["fp32"]


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
@pytest.mark.parametrize("after", [0, 2])
def test_openvino_gives_the_hidden_states_of_a_lower_half(family: str, after: int, encoder_folder: Saved) -> None:
    [encoding, *_] = tiny_text.encodings(encoder_folder(family)).values()
    trunk = split(encoding, after).trunk
    chosen = choose(trunk, TEXTS[:4], "fp32", 2, None, 8)
    assert chosen.engine.name.startswith("openvino"), chosen.note
    for tokens_L2, hidden_LD in zip(TEXTS, chosen.engine.run(TEXTS), strict=True):
        assert hidden_LD.shape == (len(tokens_L2), tiny_text.WIDTH)
        assert not hidden_LD[tokens_L2[:, 1] == 0].any()
        torch.testing.assert_close(
            torch.from_numpy(hidden_LD), run(trunk, torch.from_numpy(tokens_L2)[None])[0], rtol=0, atol=1e-4
        )


def test_what_a_text_gives_does_not_depend_on_its_neighbours(usual: Encoding) -> None:
    texts = tiny_text.some_tokens(5, 8, 7, 6, 9, 12, 5, 8)
    for network in (usual, split(usual, 0).trunk, split(usual, 2).trunk):
        engine = TorchEngine(network)
        alone = [next(iter(engine.run([text]))) for text in texts]
        for one, other in zip(engine.run(texts), alone, strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


# -- parts


def test_a_network_without_layers_in_a_row_is_no_encoder() -> None:
    with pytest.raises(BackboneError, match="no encoder of layers") as caught:
        blocks(nn.Sequential(nn.Linear(2, 2)))
    assert caught.value.found == "Sequential"


def test_a_network_that_differs_in_a_module_shares_all_others() -> None:
    network = tiny_text.network("bert")
    other = with_module(network, "encoder.layer", nn.ModuleList())
    assert layer_count(network) == 3
    assert len(other.encoder.layer) == 0
    assert other.embeddings is network.embeddings
    assert other.encoder is not network.encoder
    assert with_layers(network, slice(1, 2)).encoder.layer[0] is network.encoder.layer[1]


def test_arguments_are_those_that_the_library_s_network_takes(x_NL2: Tensor) -> None:
    bert, roberta = tiny_text.network("bert"), tiny_text.network("roberta")
    made = given(bert, x_NL2)
    assert set(made) == {"input_ids", "attention_mask", "token_type_ids"}
    assert {int(i) for i in made["token_type_ids"].unique()} == {0, 1}
    assert torch.equal(made["attention_mask"], (x_NL2[..., 1] > 0).long())
    made = given(roberta, x_NL2)
    assert set(made) == {"input_ids", "attention_mask"}
    assert (made["input_ids"][x_NL2[..., 1] == 0] == roberta.config.pad_token_id).all()


@pytest.mark.parametrize(("lengths", "kept"), [((5, 9), 12), ((4,), 4), ((24,), 24)])
def test_what_nobody_fills_is_left_away_to_a_length_that_inputs_have(lengths: tuple[int, ...], kept: int) -> None:
    rows_NL = torch.zeros(len(lengths), 30, 2, dtype=torch.int32)
    for row, length in zip(rows_NL, lengths, strict=True):
        row[:length] = 1
    assert shortened(rows_NL).shape[1] == kept
    assert shortened(torch.zeros(2, 30, 2)).shape[1] == 4, "never to nothing"


def test_a_classifier_gives_its_logits_without_its_record(x_NL2: Tensor) -> None:
    network = hf.BertForSequenceClassification(tiny_text.CONFIGS["bert"]()).eval()
    with torch.inference_mode():
        expected = network(**given(network, x_NL2)).logits
    torch.testing.assert_close(run(Logits(network), x_NL2), expected, rtol=0, atol=1e-6)
