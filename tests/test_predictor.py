"""A model opened again says of each input what it should, in order, whatever stands beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny
from headstart import predictor
from headstart.data.examples import CellContent, FileContent
from headstart.errors import DataError, ModelError
from headstart.options import Options
from headstart.pipeline import fit
from headstart.predictor import Prediction, Predictor
from headstart.stages.ship import RECORD


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("data") / "textures", each=8)


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    network = tiny.timm_folder(work / "network")
    return fit(Options(str(data), str(work / "model"), backbone=str(network), budget=0)).folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return predictor.load(folder)


@pytest.fixture(scope="module")
def paths(data: Path) -> list[Path]:
    return sorted(data.rglob("*.*"))[::3]


def test_a_prediction_is_the_likeliest_label_with_all_probabilities(model: Predictor, paths: list[Path]) -> None:
    said = model.predict(paths)
    assert [p.name for p in said] == [str(path) for path in paths]
    for p in said:
        chances = dict(p.probabilities)
        assert tuple(chances) == model.labels == ("bark", "checks", "dots")
        assert sum(chances.values()) == pytest.approx(1)
        assert (p.label, p.probability) == max(chances.items(), key=lambda pair: pair[1])
    right = [p.label == path.parent.name for p, path in zip(said, paths, strict=True)]
    assert np.mean(right) > 0.8, "pictures that it learned from"


def test_bad_inputs_in_the_middle_are_named_and_change_no_other(
    model: Predictor, paths: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.png").touch()
    bad = [tmp_path / "bad.jpg", tmp_path / "empty.png", tmp_path / "gone.png", tmp_path]
    good = model.predict(paths)
    said = model.predict([*paths[:3], *bad, *paths[3:]])
    assert [p for p in said if not p.error] == good
    assert [p.name for p in said[3:7]] == [str(path) for path in bad]
    assert all(p.error and not p.label and not p.probabilities for p in said[3:7])
    assert "No such file" in said[5].error


def test_inputs_of_which_all_are_bad_are_all_named(model: Predictor) -> None:
    said = model.predict([b"no", b"picture"])
    assert [p.name for p in said] == ["input 0", "input 1"]
    assert all(p.error for p in said)


def test_nothing_in_is_nothing_out(model: Predictor) -> None:
    assert model.predict([]) == []


def test_paths_text_bytes_and_contents_of_a_picture_give_the_same(model: Predictor, paths: list[Path]) -> None:
    path = paths[1]
    data = path.read_bytes()
    said = model.predict([path, str(path), data, FileContent(path), CellContent(lambda: data)])
    assert len({p.probabilities for p in said}) == 1
    assert said[0].probabilities
    assert [p.name for p in said] == [str(path), str(path), "input 2", str(path), "input 4"]


def test_what_is_neither_a_path_nor_bytes_is_a_data_error(model: Predictor) -> None:
    with pytest.raises(DataError, match="path, a text or bytes") as caught:
        model.predict([3])  # type: ignore[list-item]
    assert "int" in str(caught.value)


def test_a_stream_says_the_first_thing_before_it_has_read_the_last_input(model: Predictor, paths: list[Path]) -> None:
    data = paths[0].read_bytes()
    read: list[int] = []

    def content(i: int) -> CellContent:
        def load() -> bytes:
            read.append(i)
            return data

        return CellContent(load)

    stream: Iterator[Prediction] = model.stream(content(i) for i in range(400))
    assert next(stream).label
    assert max(read) < 399 or read.count(399) == 0
    assert len(list(stream)) == 399


def test_records_are_what_json_shows(model: Predictor, paths: list[Path]) -> None:
    good, bad = (p.record() for p in model.predict([paths[0], b"no picture"]))
    assert set(good) == {"name", "label", "probability", "probabilities"}
    assert good["probabilities"][good["label"]] == good["probability"]
    assert set(bad) == {"name", "error"}


@pytest.mark.parametrize("what", ["a folder", "nothing", "a file"])
def test_what_is_no_model_folder_is_a_model_error(what: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    if what == "a folder":
        path.mkdir()
    elif what == "a file":
        path.touch()
    with pytest.raises(ModelError, match="not a model folder") as caught:
        predictor.load(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_model_without_its_head_is_a_model_error(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "head.safetensors").unlink()
    with pytest.raises(ModelError, match=r"head\.safetensors"):
        predictor.load(copy)


def test_a_changed_model_is_opened_unless_it_is_to_be_verified(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "scores.json").write_text("{}")
    predictor.load(copy)
    with pytest.raises(ModelError, match=r"scores\.json"):
        predictor.load(copy, verify=True)


def test_a_model_that_a_kill_left_moved_aside_is_found(folder: Path, paths: list[Path], tmp_path: Path) -> None:
    expected = predictor.load(folder).predict(paths[:1])
    shutil.copytree(folder, tmp_path / ".model.old")
    assert predictor.load(tmp_path / "model").predict(paths[:1]) == expected
    assert (tmp_path / "model" / RECORD).exists()
