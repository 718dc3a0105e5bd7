"""Tags and numbers keep the contract that labels keep, for texts and for pictures, and go up the ladder as these do."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aim_samples as samples
import numpy as np
import pytest
import torch
import transformers as hf

import tiny
import tiny_text
from climb_samples import one_thread, rung
from headstart import predictor
from headstart.backbones import engine
from headstart.data.read import read
from headstart.errors import EngineError
from headstart.evaluation import evaluate
from headstart.options import Options
from headstart.pipeline import Result, fit
from headstart.predictions import as_csv, write
from headstart.predictor import Prediction, Predictor
from headstart.progress import quiet
from headstart.stages.plan import Plan
from headstart.store import save_json
from headstart.tasks import TASKS
from headstart.tasks.contract import CHECKS, Trial

NEW = [samples.mixed(samples.topics_of(i), 500 + i) for i in range(8)]


@pytest.fixture(scope="module", autouse=True)
def torch_alone() -> Iterator[None]:
    """Let no network be converted for another engine, which takes longer than all the rest."""

    def refuse(*_: Any) -> None:
        raise EngineError("Not here.")

    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "to_openvino", refuse)
        yield


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_text.encoder_folder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.timm_folder(tmp_path_factory.mktemp("network"))


# -- the contract


CASES = {
    "tags of texts": ("text-classification", "encoder", samples.tags_table, "labels"),
    "numbers of texts": ("text-classification", "encoder", samples.numbers_table, "number"),
    "brightness of pictures": ("image-classification", "network", samples.lit_table, "number"),
}


@pytest.fixture(scope="module")
def trials(encoder: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """What the checks of each case are run on: they share the data, and the model that they only read."""
    backbones = {"encoder": str(encoder), "network": str(network)}
    roots = {case: tmp_path_factory.mktemp("contract") for case in CASES}
    return {
        case: Trial(TASKS[task], table(roots[case] / "data"), roots[case] / "work", backbones[backbone])
        for case, (task, backbone, table, _) in CASES.items()
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_aim_keeps_the_contract(check: Any, case: str, trials: dict[str, Trial], tmp_path: Path) -> None:
    trial = replace(trials[case], folder=tmp_path / "work")
    check(trial)
    made = json.loads((trial.made["model"].folder / "headstart.json").read_text())
    assert made["aim"] == CASES[case][-1], "or another aim has kept it"


# -- the ladder


@dataclass(frozen=True)
class Done:
    """A run with a budget, and what it was judged on."""

    result: Result
    further: Path
    model: Predictor

    @property
    def report(self) -> str:
        return (self.result.folder / "report.html").read_text(encoding="utf-8")

    def section(self, name: str) -> str:
        """Return the part of the report with this heading."""
        return self.report[self.report.index(f'id="{name}"') :].partition("</section>")[0]

    @property
    def card(self) -> str:
        return (self.result.folder / "README.md").read_text(encoding="utf-8")

    def pipeline(self) -> Any:
        return hf.pipeline("text-classification", model=str(self.result.folder), top_k=None, device="cpu")


def climbed(root: Path, encoder: Path, data: Path, further: Path) -> Done:
    """Fit with a plan of one short rung, training from scratch and a learning curve; there is time for all of it."""
    deep = rung("after the embeddings", views=1, epochs=4, folds=1, starts=("linear",), batch=8)
    save_json(root / "plan.json", Plan(600.0, (deep,)).record())
    options = Options(
        str(data), str(root / "model"), backbone=str(encoder), test=str(further), cache=str(root / "cache"),
        budget=600.0, labels="5,all", plan=str(root / "plan.json"),
    )  # fmt: skip
    result = fit(options)
    return Done(result, further, predictor.load(result.folder, cache=root / "cache"))


@pytest.fixture(scope="module")
def tags(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("tags")
    return climbed(
        root, encoder, samples.tags_table(root / "data", 48), samples.tags_table(root / "further", 32, start=200)
    )


@pytest.fixture(scope="module")
def numbers(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("numbers")
    return climbed(
        root, encoder, samples.numbers_table(root / "data"), samples.numbers_table(root / "further", 36, start=200)
    )


@pytest.fixture(params=["tags", "numbers"])
def done(request: pytest.FixtureRequest) -> Done:
    return request.getfixturevalue(request.param)


def test_scores_json_has_the_measures_of_the_aim_and_every_rung_by_its_headline(done: Done) -> None:
    said, scoring = done.result.scores, done.model.aim.scoring
    assert said == json.loads((done.result.folder / "scores.json").read_text())
    assert [m["name"] for m in said["measures"]] == list(scoring.explained)
    assert all(m["low"] <= m["value"] <= m["high"] for m in said["measures"])
    [name, *_] = scoring.explained
    assert (said["headline"]["name"], said["guess"]["name"]) == (name, name)
    assert said["headline"]["low"] > said["guess"]["value"]
    assert said["judged"]["by"] == "test"
    names = [each["name"] for each in said["rungs"]]
    assert names == [scoring.naive, "nearest neighbours", "linear head", "layers after the embeddings"]
    assert {each["headline"]["name"] for each in said["rungs"]} == {name}
    assert [each["gain"] is None for each in said["rungs"]] == [True, False, False, False]
    assert [each["status"] for each in said["rungs"]][:2] == ["yardstick", "yardstick"]
    assert said["rung"] in names[2:]
    assert said["untried"] == []


def test_training_from_scratch_and_the_curve_are_told_by_the_headline_too(done: Done) -> None:
    said, [name, *_] = done.result.scores, done.model.aim.scoring.explained
    assert said["scratch"]["headline"]["name"] == said["scratch"]["worth"]["name"] == name
    assert f"of {name}" in said["scratch"]["sentence"]
    assert (" points" in said["scratch"]["sentence"]) == (name in done.model.aim.scoring.percent)
    assert [point["labels"] for point in said["curve"]] == ["5", "all"]
    assert {point["transfer"]["name"] for point in said["curve"]} == {name}
    assert said["scratch"]["sentence"] in done.report


def test_the_report_of_tags_goes_label_by_label(tags: Done) -> None:
    assert "Label by label" in tags.report
    assert "Largest mistakes" in tags.report
    assert "usual labels" in tags.report
    for absent in ("Class by class", "What is taken for what", "Can the probabilities be trusted?", "it was</text>"):
        assert absent not in tags.report
    assert "always giving the labels that more than half have" in tags.report
    assert "any of kitchen, sea, sky" in tags.card
    headline = tags.result.scores["headline"]
    assert f"F1 per example of {headline['value']:.1%} on 32 texts" in tags.report
    assert "nan" not in tags.report


def test_the_report_of_numbers_has_a_dot_for_each_judged_example(numbers: Done) -> None:
    assert "What it says and what is true" in numbers.report
    assert numbers.section("scatter").count("<circle") == 36
    assert "Largest mistakes" in numbers.report
    for absent in ("Class by class", "Label by label", "What is taken for what", "Can the probabilities be trusted?"):
        assert absent not in numbers.report
    headline = numbers.result.scores["headline"]
    assert f"R² of {headline['value']:.3f} on 36 texts" in numbers.report
    assert "always saying the mean gets" in numbers.report
    assert "a number" in numbers.card
    assert "nan" not in numbers.report


def test_mistakes_are_shown_in_the_user_s_units_the_furthest_off_first(numbers: Done) -> None:
    examples = read(numbers.further).items
    said = [p.value for p in numbers.model.predict([each.content for each in examples])]
    true_N = numbers.model.aim.encode([each.target for each in examples])
    worst = int(np.abs(np.array(said, float) - true_N).argmax())
    shown = re.sub("<.*?>", "", numbers.section("mistakes"))
    assert f"said {said[worst]:.6g} · is {true_N[worst]:.6g} " in shown[: shown.index(" · is ") + 20]


def test_evaluating_the_judged_examples_gives_the_very_values_of_the_report(done: Done) -> None:
    found = evaluate(done.model, done.further, track=quiet).record()
    mine, theirs = ({m["name"]: m["value"] for m in said["measures"]} for said in (found, done.result.scores))
    assert mine == pytest.approx(theirs, rel=1e-6)
    assert found["examples"] == done.result.scores["examples"]["test"]


def test_the_saved_model_passes_its_own_check_and_says_its_aim(done: Done) -> None:
    done.model.verify()
    made = json.loads((done.result.folder / "headstart.json").read_text())
    assert (made["aim"], tuple(made["labels"])) == (done.model.aim.goal, done.model.aim.outputs)


# -- what is said


def test_tags_are_said_as_lists_with_a_probability_for_each(tags: Done) -> None:
    said = tags.model.predict([*NEW, ""])
    assert said[-1].error
    right = sum(
        p.labels == samples.topics_of(i) or set(p.labels or ()) == set(samples.topics_of(i))
        for i, p in enumerate(said[:-1])
    )
    assert right >= 4, "an encoder of random weights tells words apart"
    for each in said[:-1]:
        assert each.labels == tuple(label for label, p in each.probabilities if p > 0.5)
        assert each.label == " | ".join(each.labels)
        record = each.record()
        assert record == {"name": each.name, "labels": list(each.labels), "probabilities": dict(each.probabilities)}
        assert list(record["probabilities"]) == ["kitchen", "sea", "sky"]


def test_numbers_are_said_in_the_user_s_units(numbers: Done) -> None:
    texts, worth_N = zip(*(samples.worth(sea, 900 + sea) for sea in (0, 4, 8)), strict=True)
    said = numbers.model.predict([*texts, ""])
    assert said[-1].record().keys() == {"name", "error"}
    values = [each.value for each in said[:-1]]
    assert values == sorted(values)  # type: ignore[type-var]
    np.testing.assert_allclose(values, worth_N, atol=900)
    assert [each.record() for each in said[:-1]] == [
        {"name": text, "value": value} for text, value in zip(texts, values, strict=True)
    ]


def rows_of(said: list[Prediction]) -> list[list[str]]:
    return list(csv.reader(io.StringIO(as_csv(said))))


def test_predictions_of_tags_are_written_with_a_column_for_each_label(tags: Done, tmp_path: Path) -> None:
    said = tags.model.predict(["", *NEW])
    head, empty, *rows = rows_of(said)
    assert head == ["name", "labels", "p(kitchen)", "p(sea)", "p(sky)", "error"]
    assert empty == ["", "", "", "", "", said[0].error]
    for row, each in zip(rows, said[1:], strict=True):
        assert (row[0], row[1], row[-1]) == (each.name, each.label, "")
        np.testing.assert_allclose([float(cell) for cell in row[2:5]], [p for _, p in each.probabilities], atol=1e-6)
    write(tmp_path / "said.json", said)
    assert json.loads((tmp_path / "said.json").read_text()) == [each.record() for each in said]


def test_predictions_of_numbers_are_written_as_a_column_of_values(numbers: Done, tmp_path: Path) -> None:
    said = numbers.model.predict(["", *NEW])
    head, empty, *rows = rows_of(said)
    assert (head, empty) == (["name", "value", "error"], ["", "", said[0].error])
    for row, each in zip(rows, said[1:], strict=True):
        assert (row[0], row[2]) == (each.name, "")
        assert float(row[1]) == pytest.approx(each.value, rel=1e-5)
    write(tmp_path / "said.jsonl", said)
    lines = (tmp_path / "said.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [each.record() for each in said]


def test_words_of_mistakes_are_not_weighed_where_it_is_not_one_label_that_they_speak_for(done: Done) -> None:
    assert done.result.scores["rungs"]
    assert "<mark" not in done.report


# -- transformers alone


def test_transformers_alone_gives_each_tag_its_probability(tags: Done) -> None:
    alone = tags.pipeline()
    assert alone.model.config.problem_type == "multi_label_classification"
    theirs = [{said["label"]: said["score"] for said in each} for each in alone(NEW)]
    mine = [dict(each.probabilities) for each in tags.model.predict(NEW)]
    for a, b in zip(theirs, mine, strict=True):
        assert a == pytest.approx(b, abs=2e-4)
    sums = [sum(each.values()) for each in theirs]
    assert max(abs(total - 1) for total in sums) > 0.1, "they are no shares of one"


def test_transformers_alone_gives_the_number_in_the_user_s_units(numbers: Done) -> None:
    alone = numbers.pipeline()
    assert alone.model.config.problem_type == "regression"
    assert alone.model.config.num_labels == 1
    theirs = [each[0]["score"] for each in alone(NEW)]
    assert {each[0]["label"] for each in alone(NEW)} == {"value"}
    mine = [each.value for each in numbers.model.predict(NEW)]
    np.testing.assert_allclose(theirs, mine, rtol=1e-4)
    assert min(theirs) > 100, "far from a probability"


def test_transformers_goes_on_training_with_the_loss_of_the_aim(done: Done) -> None:
    """`problem_type` decides which: by another a fine-tuning elsewhere would unlearn the model."""
    examples = read(done.further).items[:8]
    model = hf.AutoModelForSequenceClassification.from_pretrained(done.result.folder).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(done.result.folder)
    texts = [each.content.read().decode() for each in examples]
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    truth = done.model.aim.encode([each.target for each in examples])
    with torch.inference_mode():
        out = model(**tokens, labels=torch.tensor(truth, dtype=torch.float32))
    assert out.loss.item() == pytest.approx(done.model.aim.loss_N(out.logits.numpy(), truth).mean(), rel=1e-4)
