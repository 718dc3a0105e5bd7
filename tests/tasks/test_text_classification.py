"""Text classification from a table to a folder that transformers loads alone, and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import tiny_text
from climb_samples import NO, YES, assert_same_climb, climbed, differing, ground, rung
from headstart import pipeline, predictor
from headstart.backbones.backbone import weights_digest
from headstart.backbones.images import open_image_backbone
from headstart.backbones.texts import open_text_backbone
from headstart.data.augment import View
from headstart.data.examples import FileContent
from headstart.data.texts import TextContent, TextFile
from headstart.errors import BackboneError, DataError, UsageError
from headstart.options import Options, Stopwatch
from headstart.pipeline import Base, Result, begin, fit
from headstart.predictor import Predictor
from headstart.progress import quiet
from headstart.stages.batches import Fly
from headstart.stages.sources import inputs, open_at, source_at
from headstart.tasks import TASKS

pytestmark = pytest.mark.usefixtures("calm")
TASK = TASKS["text-classification"]
NEW = [tiny_text.sentence(topic, seed) for topic in tiny_text.TOPICS for seed in range(900, 905)]
LONG = " ".join([tiny_text.sentence("sea", 7, words=50)] * 3)
Begun = Callable[[str], Base]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Options:
    root = tmp_path_factory.mktemp("text")
    data, network = tiny_text.table(root / "data", each=30), tiny_text.encoder_folder(root / "network")
    with data.open("a", encoding="utf-8") as file:
        file.write(f'"{LONG}",sea\n')
    return Options(str(data), str(root / "model"), backbone=str(network), cache=str(root / "cache"), budget=0)


@pytest.fixture(scope="module", autouse=True)
def float32() -> Iterator[None]:
    """What is compared is weights, readout and storage, on every processor, not how some round to bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headstart.backbones.engine.native_bf16", lambda: False)
        yield


@pytest.fixture(scope="module")
def result(options: Options) -> Result:
    return fit(options)


@pytest.fixture(scope="module")
def model(result: Result, options: Options) -> Predictor:
    return predictor.load(result.folder, cache=Path(options.cache))


def probabilities(model: Predictor, given: list[Any]) -> np.ndarray[Any, Any]:
    return np.array([[p for _, p in each.probabilities] for each in model.predict(given)])


# -- a run


def test_a_table_of_texts_is_known_for_what_it_is_and_learned(result: Result, model: Predictor) -> None:
    assert result.scores["task"] == "text-classification"
    said = [each.label for each in model.predict(NEW)]
    right = sum(label == topic for label, topic in zip(said, np.repeat(list(tiny_text.TOPICS), 5), strict=True))
    assert right >= 11, "an encoder of random weights tells words apart"
    headline = result.scores["headline"]
    assert headline["low"] > result.scores["guess"]["value"]


def test_the_folder_says_the_same_where_transformers_loads_it_alone(result: Result, model: Predictor) -> None:
    mine = probabilities(model, NEW)
    alone = hf.pipeline("text-classification", model=str(result.folder), top_k=None, device="cpu")
    theirs = [{said["label"]: said["score"] for said in each} for each in alone(NEW)]
    np.testing.assert_allclose([[each[label] for label in model.labels] for each in theirs], mine, rtol=0, atol=2e-4)
    loaded = hf.AutoModelForSequenceClassification.from_pretrained(result.folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(result.folder)
    with torch.inference_mode():
        logits_NK = loaded(**tokenizer(NEW, padding=True, truncation=True, return_tensors="pt")).logits
    np.testing.assert_allclose(torch.softmax(logits_NK, 1), mine, rtol=0, atol=2e-4)


def test_the_model_is_the_way_of_reading_out_that_was_best(result: Result, model: Predictor) -> None:
    [linear] = [each for each in result.scores["rungs"] if each["name"] == "linear head"]
    assert model.backbone.cut in str(linear)
    assert model.backbone.readouts == ()
    model.verify()


def test_what_is_cut_off_is_remarked_on(result: Result) -> None:
    [found] = [each for each in result.findings if each.kind == "cut-off"]
    assert found.reason == "longer than the network reads: 120 of its tokens, after the first 32, are cut off"
    assert not found.bad


def test_words_files_bytes_and_contents_of_a_text_give_the_same(model: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text(NEW[0], encoding="utf-8")
    said = model.predict([NEW[0], path, NEW[0].encode(), TextContent.of(NEW[0]), TextFile(path)])
    assert len({each.probabilities for each in said}) == 1
    assert [each.name for each in said[:2]] == [NEW[0], str(path)]


def test_what_says_nothing_is_an_error_and_its_neighbours_are_not(model: Predictor, tmp_path: Path) -> None:
    said = model.predict([NEW[0], "", " \n", tmp_path / "none.txt", NEW[1]])
    assert [bool(each.error) for each in said] == [False, True, True, True, False]
    assert said[1].error == "it is empty"
    assert "cannot be read" in said[3].error
    assert said[4].probabilities == model.predict([NEW[1]])[0].probabilities


def test_both_texts_of_a_pair_are_read(model: Predictor) -> None:
    one, other = NEW[0], NEW[6]
    pairs = [TextContent.of(one, other), TextContent.of(other, one), TextContent.of(one, one)]
    said = probabilities(model, pairs)
    assert np.abs(said[0] - said[1]).max() > 1e-6
    assert np.abs(said[0] - said[2]).max() > 1e-6


def test_pairs_are_learned_from_their_two_columns(tmp_path: Path, options: Options) -> None:
    rows = [
        f"{tiny_text.sentence(a, seed)},{tiny_text.sentence(b, 100 + seed)},{'same' if a == b else 'other'}"
        for seed in range(4)
        for a in tiny_text.TOPICS
        for b in (a, "sky" if a == "sea" else "sea")
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["sentence1,sentence2,label", *rows]))
    again = Options(
        str(tmp_path / "pairs.csv"), str(tmp_path / "model"), backbone=options.backbone, cache=options.cache, budget=0
    )
    made = fit(again)
    assert made.scores["task"] == "text-classification"
    opened = predictor.load(made.folder)
    opened.verify()
    assert {opened.predict([TextContent.of("wave", "ship")])[0].label} <= {"same", "other"}


# -- the record


def test_how_long_a_text_is_needs_no_tokenizer(tmp_path: Path) -> None:
    assert TASK.size(TextContent.of("wave ship")) == 9
    assert TASK.size(FileContent(tmp_path / "none.txt")) == 0


def test_a_text_is_given_as_it_is_and_a_path_as_a_file() -> None:
    assert TASK.given("new.txt") == TextContent(b"new.txt")
    assert TASK.given(Path("new.txt")) == TextFile(Path("new.txt"))


def test_a_text_has_one_view_which_is_itself(options: Options) -> None:
    backbone = open_text_backbone(options.backbone).readouts[0].open()
    data = NEW[0].encode()
    plain = TASK.load(backbone)(data)
    assert TASK.augment.views == 1
    np.testing.assert_array_equal(TASK.augment.view(backbone, View(3, 0))(data), plain)
    wide = TASK.augment.wide(backbone)(data)
    np.testing.assert_array_equal(TASK.augment.change(backbone)(wide, np.random.default_rng(0)), plain)
    assert TASK.network(backbone.trunk, backbone.preprocess) is backbone.trunk
    assert [depth.name for depth in TASK.depths(backbone)][-1] == "after the embeddings"


# -- deeper


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """A run as far as the linear head, with the encoder of a family."""
    made: dict[str, Base] = {}

    def begin_with(family: str) -> Base:
        if family not in made:
            root = tmp_path_factory.mktemp(family)
            data, network = tiny_text.table(root / "data"), tiny_text.encoder_folder(root / "network", family)
            options = Options(str(data), str(root / "out"), backbone=str(network), cache=str(root / "cache"))
            made[family] = begin(options, quiet, Stopwatch(lambda: 0.0, 0.0))
        return made[family]

    return begin_with


RUNGS = {"views": 1, "epochs": 2, "folds": 1, "starts": ("linear",), "batch": 8}


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_from_each_place_what_is_above_is_trained_and_nothing_below(begun: Begun, family: str, tmp_path: Path) -> None:
    base = begun(family)
    before = base.encoder.backbone
    for number, depth in enumerate(TASK.depths(before)):
        done = climbed(base, tmp_path / str(number), [rung(depth.name, **RUNGS)], [YES])
        [step] = done.steps
        assert step.frozen[0] == step.frozen[1] != ""
        changed = differing(before.trunk, done.backbone.trunk)
        halves = depth.halves()
        tops = {id(p) for n, p in halves.top.named_parameters() if n not in halves.shared}
        assert changed == {n for n, p in before.trunk.named_parameters() if id(p) in tops}
        assert not any("word_embeddings" in name for name in changed)
    assert before.weights == weights_digest(before.trunk)


def test_a_tuned_encoder_is_saved_as_it_was_judged(begun: Begun, tmp_path: Path) -> None:
    base = begun("bert")
    done = climbed(base, tmp_path / "run", [rung("after the embeddings", **RUNGS)], [YES])
    done.backbone.save(tmp_path / "model", base.divided.examples.classes, *done.head.folded())
    assert open_text_backbone(str(tmp_path / "model")).weights == done.backbone.weights


def test_a_rung_by_lora_comes_to_weights_of_the_same_names(begun: Begun, tmp_path: Path) -> None:
    base = begun("bert")
    done = climbed(base, tmp_path, [rung("after the embeddings", **{**RUNGS, "lora": 2})], [YES])
    changed = differing(base.encoder.backbone.trunk, done.backbone.trunk)
    assert changed
    assert all(name.endswith(".weight") and "LayerNorm" not in name for name in changed)


def test_a_climb_over_texts_is_the_same_each_time_and_with_any_number_of_workers(begun: Begun, tmp_path: Path) -> None:
    base = begun("bert")
    rungs = [rung(name, **RUNGS) for name in ("after layer 2", "after the embeddings")]
    one = climbed(base, tmp_path / "one", rungs, [YES, NO])
    other = climbed(base, tmp_path / "other", rungs, [YES, NO], workers=2)
    assert_same_climb(one, other)


def test_batches_of_texts_are_of_like_lengths(begun: Begun, tmp_path: Path) -> None:
    base = begun("bert")
    on = ground(base, tmp_path)
    assert on.size_N is not None
    assert on.size_N.tolist() == [item.size for item in on.items]
    assert len(set(on.size_N.tolist())) > 10


def test_hidden_states_of_texts_are_stored_in_halves_and_tokens_as_they_are(begun: Begun) -> None:
    base = begun("bert")
    backbone, train = base.encoder.backbone, base.divided.splits.train
    items = ground(base, Path()).items
    depth = TASK.depths(backbone)[0]
    source = source_at(open_at(depth, backbone, base.encoder), base.encoder, items, train, 1, 0, quiet, lambda: 0.0)
    some = train[:5]
    hidden = source.clean(some)
    assert hidden.dtype == np.float16
    tokens = inputs(base.encoder, items, train, 0, quiet, lambda: 0.0)
    assert isinstance(tokens, Fly)
    given = tokens.clean(some)
    assert given.dtype == np.int32
    np.testing.assert_array_equal(hidden.any(-1)[:, : given.shape[1]], given[..., 1] > 0)
    with torch.inference_mode():
        expected = depth.halves().trunk(torch.from_numpy(given)).numpy()
    np.testing.assert_allclose(hidden, expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(tokens.train(some, 3), given)


# -- what a user hands over


def test_a_single_text_is_a_list_of_one_and_a_pair_is_a_tuple(model: Predictor) -> None:
    [alone], [listed] = model.predict(NEW[0]), model.predict([NEW[0]])
    assert alone == listed
    [pair] = model.predict((NEW[0], NEW[1]))
    assert pair.name == f"{NEW[0]} / {NEW[1]}"
    assert pair.probabilities != alone.probabilities
    [three] = model.predict([NEW[0]])
    assert not three.error
    with pytest.raises(DataError, match="pair"):
        model.predict(("a", "b", "c"))


def test_a_table_is_no_text(model: Predictor, options: Options) -> None:
    with pytest.raises(DataError, match="is a table"):
        model.predict(Path(options.data))


@pytest.mark.parametrize("word", ["nothere/new.txt", "new/*.txt", "nothere.csv"])
def test_the_name_of_a_file_that_is_not_there_is_not_taken_for_a_text(word: str) -> None:
    [(name, content)] = TASK.inputs(word)
    assert name == word
    with pytest.raises(OSError, match="No such file"):
        content.read()


def test_a_table_on_the_command_line_stands_for_its_rows(options: Options) -> None:
    found = list(TASK.inputs(options.data))
    assert len(found) == 91
    assert found[-1][1].read().decode() == LONG


def test_a_finished_model_is_not_replaced_by_one_of_a_run_that_goes_on(
    result: Result, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    shutil.copytree(result.folder, out)
    before = (out / "model.safetensors").read_bytes()

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    told: list[str] = []
    monkeypatch.setattr(pipeline, "deeper", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(replace(options, out=str(out), seed=5, budget=60), tell=told.append)
    assert (out / "model.safetensors").read_bytes() == before
    assert any("stays until this one has finished" in line for line in told)
    assert told[0].startswith("Read: CSV table data.csv: texts in 'text', labels in 'label'")
    elsewhere = replace(options, out=str(tmp_path / "new"), seed=5, budget=60)
    with pytest.raises(KeyboardInterrupt):
        fit(elsewhere, tell=told.append)
    assert (tmp_path / "new" / "model.safetensors").exists(), "where there is none, the linear head's model comes first"


def test_a_learning_curve_without_time_is_refused(options: Options) -> None:
    with pytest.raises(UsageError, match="learning curve"):
        fit(replace(options, labels="5,10"))


@pytest.mark.parametrize(
    ("name", "said"), [("efficientnet_lite0", "looks at pictures"), ("resnet18", "looks at pictures")]
)
def test_an_image_network_for_texts_is_refused_at_once(name: str, said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        open_text_backbone(name)


def test_an_encoder_of_texts_for_pictures_is_refused_at_once(options: Options) -> None:
    for name in ("all-MiniLM-L6-v2", options.backbone):
        with pytest.raises(BackboneError, match="reads texts"):
            open_image_backbone(name)
