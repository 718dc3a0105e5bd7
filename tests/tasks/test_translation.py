"""Translation: the contract, the whole ladder on a language of twenty words, and what is told of it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
import tiny_pairs
from climb_samples import one_thread, rung
from headstart import predictor
from headstart.backbones import engine
from headstart.backbones.seq2seq import CROSS, DECODER
from headstart.errors import BackboneError, EngineError, UsageError
from headstart.evaluation import evaluate
from headstart.metrics import translations
from headstart.options import Options
from headstart.pipeline import Result, fit
from headstart.progress import quiet
from headstart.stages.plan import Plan
from headstart.store import save_json
from headstart.tasks import task_for
from headstart.tasks.contract import check_task
from headstart.tasks.translation import RATES, TRANSLATION

RUNGS = (CROSS, DECODER, "everything")


@pytest.fixture(scope="module", autouse=True)
def torch_alone() -> Iterator[None]:
    """Let no network be converted for another engine, which takes longer than all the rest."""

    def refuse(*_: Any) -> None:
        raise EngineError("Not here.")

    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "to_openvino", refuse)
        yield


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator that knows the language."""
    return tiny_pairs.taught_folder(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of the whole ladder, a few steps each."""
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    short = {"epochs": 2, "folds": 1, "starts": ("linear",), "batch": 8, "rates": (3e-3,), "again": False}
    save_json(file, Plan(600.0, tuple(rung(name, **short) for name in RUNGS)).record())
    return file


def options(data: Path, out: Path, backbone: Path | str, plan: Path | str = "") -> Options:
    budget = 600.0 if plan else 0.0
    cache = str(out.parent / "cache")
    return Options(
        str(data), str(out), backbone=str(backbone), cache=cache, budget=budget, plan=str(plan), scratch=False
    )


def test_translation_keeps_the_contract(taught: Path, tmp_path: Path) -> None:
    check_task(TRANSLATION, tiny_pairs.table(tmp_path / "data", 60), tmp_path / "work", str(taught))


@pytest.mark.parametrize(("width", "share"), [(128, 1.0), (256, 1.0), (512, 0.5), (1024, 0.25)])
def test_wider_translators_are_trained_at_lower_rates(taught: Path, width: int, share: float) -> None:
    wide = replace(TRANSLATION.backbone(str(taught)), dim=width)
    assert TRANSLATION.rates(wide) == pytest.approx([share * rate for rate in RATES])


def test_pairs_of_sentences_in_two_languages_are_translated() -> None:
    assert task_for("auto", "text", "text") is TRANSLATION


@pytest.fixture(scope="module", params=tiny_pairs.FAMILIES)
def climbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plan: Path) -> Result:
    """A run of the whole ladder with a network of each family, random weights and all."""
    root = tmp_path_factory.mktemp(request.param)
    network = tiny_pairs.translator_folder(root / "network", request.param)
    data = tiny_pairs.table(root / "data")
    return fit(options(data, root / "model", network, plan), quiet)


def test_every_family_climbs_the_ladder_and_ships(climbed: Result) -> None:
    names = [each["name"] for each in climbed.scores["rungs"]]
    assert names[:3] == ["commonest translation", "source copied", "as it is"]
    assert climbed.scores["headline"]["name"] == translations.BLEU
    assert len(names) + len(json.loads((climbed.folder / "plan.json").read_text())["untried"]) >= 3 + len(RUNGS) - 2


def test_every_family_translates_the_same_once_it_was_saved_and_loaded(climbed: Result) -> None:
    opened = predictor.load(climbed.folder)
    opened.verify()
    said = opened.predict(["dog sees cat", "", "old man"])
    assert [each.error for each in said] == ["", "", ""]
    assert said[1].label == ""
    assert [each.label for each in opened.predict(["old man", "dog sees cat"])] == [said[2].label, said[0].label]


def documented(folder: Path, text: str, length: str = "") -> str:
    """Return what the lines in the model card translate a text to."""
    card = (folder / "README.md").read_text()
    code = card[card.index("from transformers import AutoModelForSeq2SeqLM") :].split("```")[0]
    code = code.replace('from_pretrained("."', f"from_pretrained({str(folder)!r}").replace("A text.", text)
    made: dict[str, object] = {}
    exec(code.replace("(**batch", f"(**batch{length}"), made)
    [said] = made["said"]  # type: ignore[misc]
    # M2M-100's tokenizer tells its codes of languages from words where a file says so, as the hub's do.
    return " ".join(re.sub("__[a-z]+__", "", str(said)).split())


def test_every_family_loads_in_transformers_alone_and_writes_the_same(climbed: Result) -> None:
    opened = predictor.load(climbed.folder)
    tokens_L2 = opened.backbone.preprocess.load(b"dog sees cat")
    # A network with random weights writes until it is stopped, so both must be stopped at the same place.
    length = f", max_new_tokens={min(tiny_pairs.LONGEST, 2 * int((tokens_L2[:, 1] > 0).sum()) + 20)}"
    assert documented(climbed.folder, "dog sees cat", length) == opened.predict(["dog sees cat"])[0].label


def test_a_rung_trains_what_it_says_and_nothing_else(taught: Path, tmp_path: Path) -> None:
    short = {"epochs": 20, "folds": 1, "starts": ("linear",), "batch": 8, "rates": (1e-2,), "again": False}
    save_json(tmp_path / "plan.json", Plan(600.0, (rung(DECODER, **short),)).record())
    data = tiny_pairs.table(tmp_path / "data", 80, seed=3)
    data.write_text(data.read_text().replace("chien", "chat"))  # it has to learn that dogs are cats
    ran = fit(options(data, tmp_path / "model", taught, tmp_path / "plan.json"), quiet)
    assert ran.scores["rung"] == DECODER
    frozen = json.loads((ran.folder / "headstart.json").read_text())["frozen"]
    assert frozen["before"] == frozen["after"] != ""


def test_a_new_network_is_trained_and_becomes_the_backbone_of_the_next_fit(tmp_path: Path) -> None:
    made = Plan(60.0, (rung("everything", epochs=1, folds=1, starts=("fresh",), batch=8, rates=(1e-3,), again=False),))
    save_json(tmp_path / "plan.json", made.record())
    data = tiny_pairs.table(tmp_path / "data")
    first = fit(options(data, tmp_path / "first", "new:marian-small", tmp_path / "plan.json"), quiet)
    assert first.scores["rungs"][2]["name"] == "not trained yet"
    second = fit(options(data, tmp_path / "second", tmp_path / "first"), quiet)
    assert predictor.load(second.folder).predict(["dog sees cat"])[0].error == ""


def test_large_networks_are_tuned_by_lora(taught: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    short = {"epochs": 20, "folds": 1, "starts": ("linear",), "batch": 8, "rates": (1e-2,), "again": False, "lora": 4}
    save_json(tmp_path / "plan.json", Plan(600.0, (rung("everything", **short),)).record())
    data = tiny_pairs.table(tmp_path / "data", 80, seed=3)
    data.write_text(data.read_text().replace("chien", "chat"))  # it has to learn that dogs are cats
    made = fit(options(data, tmp_path / "model", taught, tmp_path / "plan.json"), quiet)
    assert made.scores["rung"] == "everything by LoRA, rank 4"
    assert made.scores["before"]["gain"]["value"] > 0
    opened = predictor.load(made.folder)
    opened.verify()
    assert "chat" in opened.predict(["dog sees river"])[0].label


def test_where_no_network_is_named_a_small_one_is_trained_from_nothing_and_that_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    made = fit(options(tiny_pairs.table(tmp_path / "data"), tmp_path / "model", "default"), quiet, tell=told.append)
    assert any("from nothing" in line and "--backbone" in line for line in told)
    assert "from nothing" in (made.folder / "report.html").read_text()


def test_another_new_network_than_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no such new network") as caught:
        fit(options(tiny_pairs.table(tmp_path / "data"), tmp_path / "model", "new:huge"), quiet)
    assert "new:marian-small" in caught.value.hint


@pytest.fixture(scope="module")
def model(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translator as it ships."""
    root = tmp_path_factory.mktemp("model")
    return fit(options(tiny_pairs.table(root / "data", 60), root / "model", taught), quiet).folder


def test_the_lines_of_the_model_card_translate_as_it_does(model: Path) -> None:
    assert documented(model, "dog sees cat") == predictor.load(model).predict(["dog sees cat"])[0].label


def test_predict_keeps_every_line_in_its_place(model: Path) -> None:
    lines = ["dog sees cat", "", "old man likes red house", "   ", "boy"]
    ran = tiny.headstart("predict", model, "-", typed="\n".join(lines) + "\n")
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.split("\n")
    assert len(said) == len(lines) + 1
    assert said[1] == said[3] == ""
    assert said[0] == predictor.load(model).predict(["dog sees cat"])[0].label


def test_a_long_line_is_translated_part_by_part(model: Path) -> None:
    opened = predictor.load(model)
    fed = opened.backbone.preprocess
    text = "old dog sees cat " * 30
    tokens_L2 = fed.load(text.encode())
    parts = [fed.read_back(tokens_L2[tokens_L2[:, 1] == part]) for part in range(1, int(tokens_L2[:, 1].max()) + 1)]
    assert len(parts) == 2
    assert opened.predict([text])[0].label == " ".join(each.label for each in opened.predict(parts))


def test_more_beams_may_be_asked_for(model: Path) -> None:
    opened = predictor.load(model)
    assert opened.with_beams(1).predict(["dog sees cat"])[0].label
    with pytest.raises(UsageError):
        opened.with_beams(0)


def test_a_model_is_judged_on_other_pairs(model: Path, tmp_path: Path) -> None:
    found = evaluate(model, tiny_pairs.table(tmp_path, 30, seed=5), track=quiet)
    assert found.measures[0].name == translations.BLEU
    assert found.measures[0].value > 20


def test_a_comet_model_that_is_here_gives_its_score_too(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def scored(checkpoint: str, *texts: list[str]) -> Any:
        asked.append((checkpoint, *(each[0] for each in texts)))
        return np.linspace(0, 1, len(texts[0]))

    monkeypatch.setattr("headstart.metrics.comet.comet", scored)
    found = evaluate(model, tiny_pairs.table(tmp_path, 31, seed=5), comet="best.ckpt", track=quiet)
    [last] = [m for m in found.measures if m.name == "COMET"]
    assert last.value == pytest.approx(0.5)
    assert 0.3 < last.low < 0.5 < last.high < 0.7
    [(checkpoint, source, _, reference)] = asked
    assert (checkpoint, reference) == ("best.ckpt", " ".join(tiny_pairs.WORDS[word] for word in source.split()))


def test_two_files_side_by_side_are_read_with_their_languages(taught: Path, tmp_path: Path) -> None:
    pairs = tiny_pairs.sentences(48)
    (tmp_path / "data").mkdir()
    for side, code in enumerate(("en", "fr")):
        text = "".join(f"{pair[side]}\n" for pair in pairs)
        (tmp_path / "data" / f"train.{code}.gz").write_bytes(gzip.compress(text.encode()))
    asked = replace(options(tmp_path / "data", tmp_path / "model", taught), source_language="en", target_language="fr")
    made = fit(asked, quiet)
    assert json.loads((made.folder / "headstart.json").read_text())["preprocessing"]["from"] == "en"


def test_general_pairs_are_kept_in_and_what_became_of_them_is_said(taught: Path, tmp_path: Path, plan: Path) -> None:
    general = tiny_pairs.table(tmp_path / "general", 60, seed=11)
    data = tiny_pairs.table(tmp_path / "data", 48)
    data.write_text(data.read_text().replace("chien", "toutou"))
    asked = replace(options(data, tmp_path / "model", taught, plan), keep=str(general))
    made = fit(asked, quiet)
    assert made.scores["examples"] == {"train": 38 + 30, "valid": 0, "test": 10}, "general ones are not judged"
    kept = made.scores["general"]
    assert kept["examples"] == 14  # one of sixty is in the other data; of the rest a quarter
    assert kept["before"][translations.BLEU] > 20
    assert kept["change"]["low"] <= kept["change"]["value"] <= kept["change"]["high"]
    page = (made.folder / "report.html").read_text()
    assert "general" in page
    verdict = page.split('<p class="verdict">')[1].split("</p>")[0]
    assert taught.name in verdict
    assert str(taught.parent) not in verdict


def test_the_report_shows_translations_with_what_differs_marked(taught: Path, tmp_path: Path, plan: Path) -> None:
    data = tiny_pairs.table(tmp_path / "data", 80, seed=3)
    data.write_text(data.read_text().replace("chien", "toutou").replace("chat", "minou"))
    made = fit(options(data, tmp_path / "model", taught, plan), quiet)
    page = (made.folder / "report.html").read_text()
    assert "toutou" in page
    assert "chrF2++" in page
    table = page.split('id="data"')[1].split("</table>")[0]
    assert f"{sum(made.scores['examples'].values())}\u00a0examples." in table
    assert table.count('<th scope="row"') == 1, "each translation is another: they are no classes"
    assert "translated" in table.split('<th scope="row"')[1].split("</th>")[0]
    assert np.isfinite(made.scores["headline"]["value"])
