"""The race: a better network wins, slower ones that are published as worse do not run, and the reason is said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tiny
from headstart.backbones.catalog import Entry, named, permissive
from headstart.backbones.priors import published
from headstart.errors import BackboneError, DataError
from headstart.history import FILE, Memory
from headstart.metrics.interval import Measure
from headstart.metrics.logme import logme
from headstart.options import Options
from headstart.progress import quiet
from headstart.race import race
from headstart.race_choice import chosen
from headstart.race_course import drawn
from headstart.race_field import Limit, beaten, fair, hopeless, late
from headstart.race_values import Candidate, Run, Runner, ranking_of


def ticking(step: float = 0.01) -> Callable[[], float]:
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


def candidate(name: str, prior: float | None, milliseconds: float, opening: float = 0.0) -> Candidate:
    encode: Any = SimpleNamespace(backbone=SimpleNamespace(weights=name))
    return Candidate(Entry(name, name, None, "MIT", ""), encode, prior, milliseconds, opening)


def run(name: str, merit_R: list[float], milliseconds: float, expected: float | None = None) -> Run:
    value = float(np.mean(merit_R))
    score = Measure("accuracy", value, 0.0, 1.0)
    runner = Runner(name, "MIT", None, None, score, 0.5, 0.0, len(merit_R), milliseconds, "pooled output")
    runner = replace(runner, expected=value if expected is None else expected)
    return Run(runner, np.asarray(merit_R), np.arange(len(merit_R)), scoring=0.5)


def test_a_network_that_another_beats_in_speed_and_published_accuracy_does_not_run() -> None:
    others = [candidate("good", 75, 10), candidate("small", 60, 2), candidate("new", None, 1)]
    said = "good is faster (10 ms against 20) and published as better (75.0 against 70.0 on ImageNet)"
    assert beaten(70, 20, others) == said
    assert beaten(70, 5, others) == ""
    assert beaten(None, 99, others) == ""


def test_the_faster_one_is_taken_where_the_best_is_no_better_beyond_noise() -> None:
    right = [1.0] * 80 + [0.0] * 20
    alike = [1.0] * 78 + [0.0] * 21 + [1.0]
    worse = [1.0] * 40 + [0.0] * 60
    name, why = chosen([run("best", right, 50), run("quick", alike, 5, 0.797), run("bad", worse, 1)])
    assert name == "quick"
    assert why.startswith("no difference to best beyond noise")
    assert "so the faster one: 10.0 times as fast" in why
    name, why = chosen([run("best", right, 50), run("bad", worse, 1)])
    assert (name, why) == ("best", "the best score, +0.400 before bad")
    assert chosen([run("best", right, 50)])[1] == "the only one that could be used"


def test_a_faster_one_of_which_more_is_known_to_be_lost_is_not_taken() -> None:
    right, alike = [1.0] * 80 + [0.0] * 20, [1.0] * 78 + [0.0] * 21 + [1.0]
    assert chosen([run("best", right, 50, 0.80), run("quick", alike, 5, 0.77)])[0] == "best"


def test_what_was_known_before_can_outweigh_a_small_difference() -> None:
    right, alike = [1.0] * 80 + [0.0] * 20, [1.0] * 78 + [0.0] * 21 + [1.0]
    name, why = chosen([run("known", alike, 50, 0.80), run("new", right, 50, 0.79)])
    assert (name, why) == ("known", "new scored 0.010 more, which is no match for what was known before")


def test_a_race_may_take_so_many_extractions_of_its_favourite() -> None:
    limit = Limit(2.0, 1000, 5.0, lambda: 9.0)
    favourite = candidate("a", 75, 10, opening=3)
    assert favourite.extraction(1000) == 13
    assert (limit.spent(), limit.left(favourite)) == (4, 22)
    assert late(22, 22) == ""
    assert late(23, 22) == "left out for time: it would take about 23 s, and 22 s were left"
    assert late(1e9, math.inf) == ""


def test_a_network_that_will_not_be_done_in_time_is_not_even_opened() -> None:
    others, runs = [candidate("a", 75, 10, opening=3)], [run("a", [1.0] * 200, 10)]
    entry = Entry("vgg16", "vgg16", None, "BSD", "")
    assert hopeless(entry, others, Memory(), 200, runs, 6) == ""  # 3 + 2 + 0.5, as the other
    assert hopeless(entry, others, Memory(), 200, runs, 5).startswith("left out for time")
    slow = Memory(speeds={"vgg16": (100.0, 1.0)})
    assert "published as better" in hopeless(entry, others, slow, 200, runs, math.inf)
    assert hopeless(entry, [], Memory(), 200, [], 0) == ""  # one must run


def test_so_many_examples_are_drawn_that_every_class_keeps_some() -> None:
    stratum_N = np.repeat([0, 1, 2], [900, 95, 5])
    rows = drawn(stratum_N, 200, 0)
    assert np.bincount(stratum_N[rows]).tolist() == [180, 19, 5]
    assert np.array_equal(rows, drawn(stratum_N, 200, 0))
    assert len(drawn(stratum_N, 5000, 0)) == 1000
    assert len(drawn(np.repeat(np.arange(77), 20), 200, 0)) == 77 * 3


def test_evidence_is_higher_for_features_that_tell_the_classes_apart() -> None:
    rng = np.random.default_rng(0)
    target_N = rng.integers(0, 3, 120)
    noise_ND = rng.normal(size=(120, 16))
    telling_ND = noise_ND + 2 * np.eye(16)[target_N]
    one_hot_NK = np.eye(3)[target_N]
    assert logme(telling_ND, one_hot_NK) > logme(noise_ND, one_hot_NK) + 0.1


def test_evidence_is_that_of_the_gaussian_it_stands_for() -> None:
    """At the precisions that it comes to, log N(y; 0, X X^T / alpha + 1 / beta), by numpy's own determinant."""
    from headstart.metrics.logme import _evidence

    rng = np.random.default_rng(1)
    x_ND = rng.normal(size=(40, 5))
    y_N = x_ND @ rng.normal(size=5) + rng.normal(size=40)
    u_NR, s_R, _ = np.linalg.svd(x_ND, full_matrices=False)

    def of(alpha: float, beta: float) -> float:
        covariance_NN = x_ND @ x_ND.T / alpha + np.eye(40) / beta
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance_NN)
        return float(-0.5 * (log_determinant + y_N @ np.linalg.solve(covariance_NN, y_N)) / 40)

    found = _evidence(u_NR, s_R**2, 5, y_N)
    grid = np.exp(np.linspace(-4, 4, 41))
    best = max(of(alpha, beta) for alpha in grid for beta in grid)
    assert found == pytest.approx(best, abs=5e-3)


def test_published_accuracies_go_by_architecture() -> None:
    assert published("vgg16") == 71.6
    assert published("tf_efficientnet_lite0.in1k") == 74.8
    assert published("mine") is None


def test_permissive_licences_are_told() -> None:
    assert permissive(Entry("a", "a", None, "apache-2.0", ""))
    assert permissive(Entry("a", "a", None, "MIT", ""))
    assert not permissive(Entry("a", "a", None, "not stated", ""))
    assert not permissive(Entry("a", "a", None, "CC-BY-NC-4.0", ""))


def test_a_folder_without_a_network_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="holds no network"):
        named(str(tmp_path))


def test_a_race_on_pictures_ranks_all_that_ran_and_says_what_could_not(tmp_path: Path) -> None:
    data = tiny.photos(tmp_path / "photos", each=10, classes=2)
    one, two = (tiny.timm_folder(tmp_path / f"net{i}", seed=i) for i in (1, 2))
    copy = tiny.timm_folder(tmp_path / "copy", seed=1)
    entries = [Entry(str(p), "test_resnet", None, "MIT", "local folder") for p in (one, two, copy)]
    entries += [Entry("no-such-net", "none", None, "MIT", ""), Entry("texts", "bert", None, "MIT", "", "text")]
    options = Options(str(data), cache=str(tmp_path / "cache"), seed=1)
    found = race(options, entries, quiet, ticking(), times=math.inf)
    assert {r.name for r in found.runners} == {str(one), str(two)}  # the copy has the same weights
    assert [r.expected for r in found.runners] == sorted((r.expected for r in found.runners), reverse=True)
    assert found.pick in {str(one), str(two)}
    assert found.measure == "accuracy"
    assert found.joint.split(",")[0] in {f"{one}+{two}", f"{two}+{one}"}
    assert found.cut == "any"
    assert [name for name, _ in found.failed] == ["no-such-net"]
    assert all(r.examples == 20 and r.milliseconds > 0 for r in found.runners)
    record = found.record()
    assert record["runners"][0]["score"]["name"] == "accuracy"
    assert ranking_of(json.loads(json.dumps(record))) == replace(found, seconds=round(found.seconds, 2))
    memory = json.loads((tmp_path / "cache" / FILE).read_text())
    assert {row["name"] for row in memory["rows"]} == {str(one), str(two)}
    assert all(each > 0 for each, _ in memory["speeds"].values())


def test_networks_for_which_there_is_no_time_are_named(tmp_path: Path) -> None:
    data = tiny.photos(tmp_path / "photos", each=10, classes=2)
    nets = [tiny.timm_folder(tmp_path / f"net{i}", seed=i) for i in (1, 2, 3)]
    entries = [Entry(str(p), "test_resnet", None, "MIT", "local folder") for p in nets]
    options = Options(str(data), cache=str(tmp_path / "cache"), seed=1)
    found = race(options, entries, quiet, ticking(), times=0.5)
    assert [r.name for r in found.runners] == [str(nets[0])]
    assert [name for name, _ in found.failed] == [str(nets[1]), str(nets[2])]
    assert all(why.startswith("left out for time") for _, why in found.failed)
    assert found.limit > 0
    assert found.why == "the most promising by what was known before, and there was no time for another"


def test_models_that_fit_made_do_not_run(tmp_path: Path) -> None:
    made = tmp_path / "headstart-photos"
    made.mkdir()
    (made / "headstart.json").write_text("{}")
    failed: list[tuple[str, str]] = []
    entries = [Entry(str(made), "x", None, "MIT", ""), Entry("other", "x", None, "MIT", "")]
    assert [e.name for e in fair(entries, failed)] == ["other"]
    assert "may have learned from these examples" in failed[0][1]


def test_without_any_network_that_can_be_used_the_reasons_are_said(tmp_path: Path) -> None:
    data = tiny.photos(tmp_path / "photos", each=6, classes=2)
    options = Options(str(data), cache=str(tmp_path / "cache"))
    with pytest.raises(DataError, match="No network here can be used") as caught:
        race(options, [Entry("no-such-net", "none", None, "MIT", "")], quiet, ticking())
    assert "no-such-net" in caught.value.found
