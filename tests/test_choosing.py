"""What is known of networks before a race, and what `fit --backbone auto` makes of a race."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

import tiny
from headstart import choosing
from headstart.backbones.catalog import Entry
from headstart.beliefs import beliefs, blended, log_error, weighed
from headstart.errors import BackboneError, UsageError
from headstart.history import FILE, Past, remember, remembered
from headstart.metrics.interval import Measure
from headstart.options import Options
from headstart.pipeline import fit
from headstart.ranking import rank


def score(value: float, half: float) -> Measure:
    return Measure("accuracy", value, value - half, value + half)


def past(data: str, name: str, value: float) -> Past:
    return Past(data, "race", name, f"weights of {name}", value)


def test_published_accuracy_orders_networks_and_unknown_ones_stand_in_the_middle() -> None:
    good, bad, new = beliefs([75.0, 60.0, None], ["good", "bad", "new"], [])
    assert good.value < new.value == 0 < bad.value
    assert new.spread > good.spread


def test_scores_on_earlier_data_outweigh_what_is_published() -> None:
    rows = [past(d, n, v) for d in "abcd" for n, v in (("good", 0.7), ("bad", 0.9))]
    good, bad = beliefs([75.0, 60.0], ["good", "bad"], rows)
    assert bad.value < good.value
    assert good.earlier == bad.earlier == 4
    assert beliefs([75.0], ["good"], rows[:1])[0].earlier == 0  # alone on its data: nothing to compare with


def test_a_score_counts_the_more_the_surer_it_is() -> None:
    believed = beliefs([80.0, 60.0], ["a", "b"], [])
    few = blended([score(0.80, 0.15), score(0.82, 0.15)], [20, 20], believed)
    many = blended([score(0.80, 0.005), score(0.82, 0.005)], [20000, 20000], believed)
    assert few[0] > few[1]
    assert many[1] > many[0]
    assert many[1] == pytest.approx(0.82, abs=0.002)


def test_a_perfect_score_is_drawn_to_what_was_believed() -> None:
    believed = beliefs([None, None], ["a", "b"], [])
    found = blended([Measure("accuracy", 1.0, 0.96, 1.0), score(0.95, 0.03)], [100, 100], believed)
    assert 0.95 < found[0] < 1.0


def test_means_weigh_by_precision() -> None:
    value, spread = weighed((0.0, 1.0), (1.0, 0.5))
    assert value == pytest.approx(0.8)
    assert spread == pytest.approx(math.sqrt(0.2))
    assert log_error(0.5) == pytest.approx(math.log(0.5))


def test_a_memory_keeps_the_last_of_each_and_leaves_these_data_out(tmp_path: Path) -> None:
    remember(tmp_path, [past("a", "x", 0.5), past("b", "x", 0.6)], {"x": (5.0, 1.0)})
    remember(tmp_path, [past("a", "x", 0.7)])
    memory = remembered(tmp_path, "b")
    assert [(row.data, row.score) for row in memory.others] == [("a", 0.7)]
    assert memory.speed("x") == (5.0, 1.0)
    assert memory.speed("y") is None


def test_a_torn_memory_is_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    assert remembered(tmp_path, "a").others == ()
    (tmp_path / FILE).write_text('{"rows": [{"data": 1}], "speeds": {}}')
    assert remembered(tmp_path, "a").others == ()
    remember(tmp_path, [past("a", "x", 0.5)])
    assert len(remembered(tmp_path, "b").others) == 1


def raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nets: int) -> tuple[Options, list[str]]:
    data = tiny.photos(tmp_path / "photos", each=12, classes=2)
    found = [tiny.timm_folder(tmp_path / f"net{i}", seed=i) for i in range(nets)]
    entries = [Entry(str(p), "test_resnet", None, "MIT", "local folder") for p in found]
    monkeypatch.setattr(choosing, "usable", lambda folders: [*entries, Entry("t", "bert", 1, "MIT", "", "text")])
    options = Options(
        str(data), str(tmp_path / "model"), backbone="auto", cache=str(tmp_path / "cache"), budget=0, scratch=False
    )
    return options, [entry.name for entry in entries]


def test_fit_takes_the_network_that_a_race_picks_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, names = raced(tmp_path, monkeypatch, 2)
    lines: list[str] = []
    result = fit(options, tell=lines.append)
    record = json.loads((result.folder / "headstart.json").read_text())
    race = result.scores["race"]
    assert record["race"] == race
    assert record["backbone"]["name"] == race["pick"]
    assert race["pick"] in names
    assert result.scores["features"]["computed"] == 0  # the race computed those of all examples
    assert any(line.startswith("Raced ") for line in lines)
    assert "--backbone auto" in record["command"]
    page = (result.folder / "report.html").read_text()
    assert "Which network suits the data" in page
    assert all(name.rsplit("/", 1)[-1] in page for name in names)
    rows = remembered(tmp_path / "cache", "other").others
    assert {row.how for row in rows} == {"race", "fit"}


def test_a_resumed_run_takes_the_result_of_the_race_that_was_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _ = raced(tmp_path, monkeypatch, 2)
    first = fit(options).scores["race"]

    def no_race(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(choosing, "compete", no_race)
    lines: list[str] = []
    assert fit(options, tell=lines.append).scores["race"] == first
    assert "This race was run before: its result is taken." in lines


def test_the_only_network_is_taken_without_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, names = raced(tmp_path, monkeypatch, 1)
    result = fit(options)
    assert result.scores["race"] is None
    assert json.loads((result.folder / "headstart.json").read_text())["backbone"]["name"] == names[0]


def test_without_candidates_it_is_said_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, _ = raced(tmp_path, monkeypatch, 0)
    with pytest.raises(BackboneError, match="No network for pictures is here"):
        fit(options)


def test_folders_of_candidates_are_for_a_choice(tmp_path: Path) -> None:
    data = tiny.photos(tmp_path / "photos", each=6, classes=2)
    options = Options(str(data), str(tmp_path / "model"), cache=str(tmp_path / "cache"), folders=("models",), budget=0)
    with pytest.raises(UsageError, match="for a choice among them"):
        fit(options)


def test_rank_prints_a_table_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, names = raced(tmp_path, monkeypatch, 2)
    said = CliRunner().invoke(rank, [options.data, "--cache", options.cache, "--all"])
    assert said.exit_code == 0, said.output
    assert f"--backbone {names[0]}" in said.output or f"--backbone {names[1]}" in said.output
    found = CliRunner().invoke(rank, [options.data, "--cache", options.cache, "--all", "--json"])
    record = json.loads(found.stdout[found.stdout.index("{") :])
    assert {r["name"] for r in record["runners"]} == set(names)
    assert record["limit"] == 0
