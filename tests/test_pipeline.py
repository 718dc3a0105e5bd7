"""fit as a whole: what is judged, what is written, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forks import command, starter
from headstart.base import recorded
from headstart.data.check import Checked
from headstart.data.examples import Example, Examples, FileContent
from headstart.options import Options, Stopwatch
from headstart.pipeline import RESERVE, SLOW, Base, Result, fit, set_aside
from headstart.prepare import divide
from tiny import environment, photos, timm_folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(timm_folder(tmp_path_factory.mktemp("network") / "network"))


def run(data: Path, network: str, out: Path, **options: Any) -> Result:
    return fit(
        Options(str(data), str(out), backbone=network, cache=str(out.parent / "cache"), **{"budget": 0.0, **options})
    )


def test_scores_json_says_what_was_promised(tmp_path: Path, network: str) -> None:
    said = run(photos(tmp_path / "photos"), network, tmp_path / "out").scores
    assert said == json.loads((tmp_path / "out" / "scores.json").read_text())
    assert said["task"] == "image-classification"
    assert said["scratch"] is None
    assert {"name", "value", "low", "high"} <= said["headline"].keys()
    assert said["headline"]["low"] <= said["headline"]["value"] <= said["headline"]["high"]
    assert [r["name"] for r in said["rungs"]] == ["majority guess", "nearest neighbours", "linear head"]
    assert all({"name", "cut", "headline", "seconds"} <= r.keys() for r in said["rungs"])
    assert {"read", "encode", "probe", "judge", "ship", "total"} <= said["seconds"].keys()
    assert said["examples"] == {"train": 36, "valid": 0, "test": 0}


def test_with_train_and_val_but_no_test_val_is_judged_once_and_the_report_says_so(tmp_path: Path, network: str) -> None:
    photos(tmp_path / "photos" / "train", seed=1)
    photos(tmp_path / "photos" / "val", each=5, seed=2)
    said = run(tmp_path / "photos", network, tmp_path / "out").scores
    assert said["examples"] == {"train": 36, "valid": 0, "test": 15}
    assert said["judged"]["by"] == "test"
    sentence = "the 15 validation examples were judged once, at the end"
    assert sentence in said["judged"]["how"]
    assert sentence in (tmp_path / "out" / "report.html").read_text()


def test_further_data_given_with_test_are_judged(tmp_path: Path, network: str) -> None:
    data, further = photos(tmp_path / "photos"), photos(tmp_path / "further", each=4, seed=9)
    said = run(data, network, tmp_path / "out", test=str(further)).scores
    assert said["examples"] == {"train": 36, "valid": 0, "test": 12}


def test_the_judged_examples_do_not_change_the_model(tmp_path: Path, network: str) -> None:
    data = photos(tmp_path / "photos")
    models = []
    for seed in (5, 6):
        further = photos(tmp_path / f"further{seed}", each=4, seed=seed)
        run(data, network, tmp_path / f"out{seed}", test=str(further))
        models.append((tmp_path / f"out{seed}" / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_a_second_fit_with_ten_pictures_added_runs_the_network_for_ten(tmp_path: Path, network: str) -> None:
    data = photos(tmp_path / "photos")
    assert run(data, network, tmp_path / "out").scores["features"]["computed"] == 36
    photos(tmp_path / "more", each=10, classes=1, seed=7)
    shutil.copytree(tmp_path / "more" / "bark", data / "bark", dirs_exist_ok=True)
    again = run(data, network, tmp_path / "out").scores["features"]
    assert (again["computed"], again["cached"]) == (10, 36)


def test_bad_files_are_named_in_the_report_and_the_run_goes_on(tmp_path: Path, network: str) -> None:
    data = photos(tmp_path / "photos")
    (data / "bark" / "leer & <empty>.jpg").write_bytes(b"")
    result = run(data, network, tmp_path / "out")
    assert [f.kind for f in result.findings if f.bad] == ["empty"]
    page = (tmp_path / "out" / "report.html").read_text().replace("<wbr>", "")  # where a long name may break
    assert "leer &amp; &lt;empty&gt;.jpg" in page


def test_the_users_files_are_not_changed(tmp_path: Path, network: str) -> None:
    data = photos(tmp_path / "photos")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in data.rglob("*") if p.is_file()}
    run(data, network, tmp_path / "out")
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in data.rglob("*") if p.is_file()}


def test_a_model_folder_is_a_backbone_for_the_next_fit(tmp_path: Path, network: str) -> None:
    run(photos(tmp_path / "photos"), network, tmp_path / "first")
    said = run(photos(tmp_path / "others", classes=2, seed=4), str(tmp_path / "first"), tmp_path / "second").scores
    assert said["examples"]["train"] == 24


def test_killed_at_any_moment_the_same_command_gives_the_uninterrupted_model(tmp_path: Path, network: str) -> None:
    data = photos(tmp_path / "photos", each=70)

    def begun(name: str) -> Any:
        words = ["fit", data, "--budget", "0", "--backbone", network, "--out", name, "--cache", f"{name}-cache"]
        streams = (os.devnull, str(tmp_path / "out.txt"), str(tmp_path / "err.txt"))
        return starter("forkserver")(command, list(map(str, words)), tmp_path, dict(environment()), streams)

    def finish(name: str) -> None:
        process = begun(name)
        process.join(600)
        assert process.exitcode == 0, (tmp_path / "err.txt").read_text()

    start = time.monotonic()
    finish("whole")
    lasted = time.monotonic() - start
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    draw = random.Random(0)
    for _ in range(4):
        process = begun("torn")
        process.join(lasted * draw.uniform(0.3, 1.0))
        process.kill()
        process.join()
    finish("torn")
    assert (tmp_path / "torn" / "model.safetensors").read_bytes() == expected
    one, other = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("whole", "torn"))
    assert one["headline"] == other["headline"]
    assert one["measures"] == other["measures"]
    assert not list((tmp_path).glob(".torn.*"))


def test_look_alikes_that_join_whole_classes_do_not_stop_a_run() -> None:
    examples = tuple(Example(str(i), FileContent(Path(str(i))), "ab"[i // 6]) for i in range(12))
    checked = Checked(Examples(examples, "made"), tuple(f"{i:064x}" for i in range(12)))
    rng = np.random.default_rng(0)
    x_ND = np.repeat(np.eye(2, 8, dtype=np.float32), 6, 0) + 1e-3 * rng.standard_normal((12, 8)).astype(np.float32)
    divided = divide(checked, x_ND, 0)
    assert {f.kind for f in divided.examples.findings} == {"near-duplicate"}
    assert len(divided.splits.folds) == 15


def test_the_more_is_judged_in_the_end_the_more_time_is_set_aside_for_it(base: Base) -> None:
    watch = Stopwatch(time.perf_counter, 0.0, {"encode": 50.0, "ship": 1.5})

    def aside(judged: int, computed: int) -> float:
        splits = replace(base.divided.splits, judged=np.arange(judged))
        features = replace(base.features, computed=computed)
        return set_aside(replace(base, divided=replace(base.divided, splits=splits), features=features), watch)

    assert aside(0, 1000) == RESERVE + 2 * 1.5
    assert aside(300, 1000) - aside(0, 1000) == pytest.approx(300 * 0.05)
    assert aside(300, 10) - aside(0, 10) == pytest.approx(300 * SLOW), "ten are too few to know the speed by"


@pytest.mark.parametrize(("costly", "lengths"), [(True, [2, 3, 4, 5]), (False, [9, 3, 7, 2])])
def test_what_is_recorded_for_a_check_is_short_where_each_is_a_text_to_write(costly: bool, lengths: list[int]) -> None:
    inputs = [np.zeros((length, 2), np.float32) for length in (9, 3, 7, 2, 5, 4)]
    assert [len(x_L2) for x_L2 in recorded(inputs, costly)] == lengths
