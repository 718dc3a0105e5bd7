"""Networks that write: their loss is transformers' own, what they write is what `generate` gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_pairs
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import between, open_translator, sentences, translator
from headstart.backbones.seq2seq import CROSS, DECODER, depths
from headstart.backbones.vocabulary import SILENT
from headstart.codes import codes_of, texts_of
from headstart.heads.texts import Asking, TextHead
from headstart.heads.writer import Writer, like_lengths, written
from headstart.ragged import pile

SOURCES = ["dog sees cat", "old man likes big red house", "boy hears car"]
TARGETS = ["chien voit chat", "vieux homme aime grand rouge toit", "fils entend auto"]


@pytest.fixture(scope="module", params=tiny_pairs.FAMILIES)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tiny_pairs.translator_folder(tmp_path_factory.mktemp(request.param), request.param)
    return between(open_translator(str(folder), "it", "here"), ("en", "fr"))


def tokens(backbone: Backbone) -> torch.Tensor:
    return torch.from_numpy(pile([sentences(backbone).load(text.encode()) for text in SOURCES]))


def writer(backbone: Backbone, smoothing: float = 0.0) -> Writer:
    return Writer(backbone.trunk, TextHead.of(backbone, Asking(smoothing=smoothing))).eval()


def codes() -> torch.Tensor:
    return torch.from_numpy(codes_of(TARGETS).astype(np.int64))


def theirs_of(backbone: Backbone, x_N: torch.Tensor, labels_BT: torch.Tensor) -> Any:
    """Return what transformers itself makes of tokens and labels: loss and logits."""
    network = backbone.trunk.network
    ids = torch.where(x_N[..., 1] == 1, x_N[..., 0], network.config.pad_token_id).long()
    with torch.inference_mode():
        return network(input_ids=ids, attention_mask=x_N[..., 1].long(), labels=labels_BT)


def test_the_loss_is_that_of_transformers(backbone: Backbone) -> None:
    x_N = tokens(backbone)
    theirs = theirs_of(backbone, x_N, sentences(backbone).labels(TARGETS)).loss
    with torch.inference_mode():
        mine = writer(backbone).loss(x_N, codes())
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_what_is_missed_is_the_share_of_words_that_are_not_the_likeliest(backbone: Backbone) -> None:
    x_N, labels_BT = tokens(backbone), sentences(backbone).labels(TARGETS)
    said = theirs_of(backbone, x_N, labels_BT).logits.argmax(-1)
    with torch.inference_mode():
        found = writer(backbone).missed(x_N, codes())
        loss = writer(backbone).loss(x_N, codes()).item()
    there = [(int(a), int(b)) for a, b in zip(said.flatten(), labels_BT.flatten(), strict=True) if b != -100]
    assert found.item() == pytest.approx(sum(a != b for a, b in there) / len(there) + 1e-4 * loss)
    assert len(there) < labels_BT.numel(), "no text was filled up"


def test_tokens_that_are_ruled_out_are_no_part_of_the_loss() -> None:
    network, tokenizer = tiny_pairs.marian()
    french = between(translator(network, tokenizer, "tiny", "made here"), ("en", "fr"))
    x_N, said = tokens(french), sentences(french).labels(TARGETS)
    with torch.inference_mode():
        before = writer(french).loss(x_N, codes())
    read = {*x_N[..., 0].flatten().int().tolist(), tokenizer.pad_token_id}
    unsaid = sorted(set(range(len(tokenizer))) - set(said.flatten().tolist()) - read)
    with torch.no_grad():
        network.final_logits_bias[0, unsaid] = SILENT
    model = writer(french, smoothing=0.1).train()
    french.trunk.requires_grad_(True)
    model.loss(x_N, codes()).backward()
    grad_VD = network.model.decoder.embed_tokens.weight.grad
    assert float(grad_VD.abs().max()) > 0
    assert float(grad_VD[unsaid].abs().max()) == 0, "smoothed labels taught what is never written"
    with torch.inference_mode():
        assert 0 < model.eval().loss(x_N, codes()) < before, "fewer tokens to choose from"
        assert 0 <= model.missed(x_N, codes()) <= 1.01


def test_labels_are_smoothed_in_training_alone(backbone: Backbone) -> None:
    model, x_N = writer(backbone, smoothing=0.1), tokens(backbone)
    with torch.inference_mode():
        plain = model.loss(x_N, codes())
        assert model.loss(x_N, codes()) == plain
        smoothed = model.train().loss(x_N, codes())  # these networks have no dropout
    model.eval()
    assert smoothed.item() != pytest.approx(plain.item(), abs=1e-6)


@pytest.mark.parametrize("name", [CROSS, DECODER])
def test_from_cached_states_the_loss_is_the_same(backbone: Backbone, name: str) -> None:
    [depth] = [each for each in depths(backbone) if each.name == name]
    halves, x_N = depth.halves(), tokens(backbone)
    with torch.inference_mode():
        states_NLD = halves.trunk.eval()(x_N)
        above = Writer(halves.top, TextHead.of(backbone, Asking(smoothing=0.0))).eval()
        mine, whole = above.loss(states_NLD, codes()), writer(backbone).loss(x_N, codes())
    assert mine.item() == pytest.approx(whole.item(), abs=1e-5)


def test_the_shallow_rung_trains_cross_attention_and_the_deep_one_the_decoder(backbone: Backbone) -> None:
    trained = {}
    for depth in depths(backbone)[:2]:
        half = depth.halves()
        trained[depth.name] = {name for name, _ in half.top.named_parameters()} - set(half.shared)
    assert trained[CROSS] < trained[DECODER]
    assert all("encoder_attn" in n or "EncDecAttention" in n or "norm" in n or "lm_head" in n for n in trained[CROSS])
    assert not any(".encoder.layers" in name or "encoder.block" in name for name in trained[DECODER])


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_is_what_generate_gives_each_text_alone(backbone: Backbone, beams: int) -> None:
    fed, network = sentences(backbone), backbone.trunk.network
    asking, texts = Asking(beams=beams), ["dog sees cat", "cat sees dog", "man sees boy"]
    said = written(network, fed, pile([fed.load(text.encode()) for text in texts]), asking)
    longest = max(len(fed.ids(text)) for text in texts)  # all may write as long as the one of them that may the most
    for text, mine in zip(texts, said, strict=True):
        ids = torch.tensor([fed.ids(text)])
        made = network.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), num_beams=beams, do_sample=False, length_penalty=1.0,
            early_stopping=beams > 1, max_new_tokens=min(fed.length, 2 * longest + 20), **fed.forced,
        )  # fmt: skip
        assert fed.texts(made.numpy()) == [mine]


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [([], []), ([5], [1]), ([1, 8, 9], [2, 1]), ([40, 47, 59, 60], [3, 1]), ([7] * 10, [4, 4, 2])],
    ids=["none", "one", "eight apart", "half of the shortest apart", "too many"],
)
def test_texts_of_like_lengths_are_written_together(lengths: list[int], counts: list[int]) -> None:
    assert [len(lengths[at]) for at in like_lengths(lengths, 4)] == counts
    assert [each for at in like_lengths(lengths, 4) for each in lengths[at]] == lengths


def test_a_writer_gives_code_points_of_what_it_writes_greedily(backbone: Backbone) -> None:
    with torch.inference_mode():
        codes_NK = writer(backbone)(tokens(backbone))
    said = written(backbone.trunk.network, sentences(backbone), tokens(backbone).numpy(), Asking(beams=1))
    assert [text[:20] for text in texts_of(codes_NK.numpy())] == [text[:20] for text in said]


def test_a_head_comes_back_from_its_arrays(backbone: Backbone) -> None:
    head = TextHead.of(backbone).with_beams(2)
    _, about = head.arrays()
    assert TextHead.read(about, backbone).asking == head.asking


def test_a_text_of_no_token_is_an_empty_one(backbone: Backbone, tmp_path: Path) -> None:
    x_NL2 = np.concatenate([tokens(backbone).numpy(), np.zeros((1, tokens(backbone).shape[1], 2), np.int32)])
    assert written(backbone.trunk.network, sentences(backbone), x_NL2, Asking(beams=1))[-1] == ""
