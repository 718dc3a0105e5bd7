from __future__ import annotations

import sys
from pathlib import Path

import pytest
from data_samples import jpeg, kinds, names, parts, put

from headstart.data.hub import read_dataset
from headstart.errors import DataError, UsageError

datasets = pytest.importorskip("datasets")


def made(count: int = 4, first: int = 0, label: object = None) -> object:
    label = label or datasets.ClassLabel(names=["cat", "dog"])
    cells = [{"bytes": jpeg(first + i), "path": None} for i in range(count)]
    features = datasets.Features({"photo": datasets.Image(), "y": label, "width": datasets.Value("int32")})
    columns = {"photo": cells, "y": [i % 2 for i in range(count)], "width": [640] * count}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert [e.target for e in examples.items] == ["cat", "dog", "cat", "dog"]
    assert set(parts(examples).values()) == {""}
    assert [e.content.read() for e in examples.items] == [jpeg(i) for i in range(4)]
    assert "pictures in 'photo', labels in 'y'" in examples.how


def test_splits_become_parts(tmp_path: Path) -> None:
    splits = {"train": made(), "validation": made(2, 10), "test": made(2, 20)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert [e.part for e in examples.items] == ["train"] * 4 + ["valid"] * 2 + ["test"] * 2
    assert examples.items[-1].content.read() == jpeg(21)
    assert names(examples)[0] == "train#1"


def test_a_split_of_another_name_is_ignored_and_named(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": made(), "unsupervised": made()}).save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert len(examples) == 4
    assert [(f.kind, f.name) for f in examples.findings] == [("split-ignored", "unsupervised")]


def test_the_bytes_stay_on_disk_until_they_are_read(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "set")
    read = datasets.Dataset.__getitem__
    rows = []
    examples = read_dataset(str(tmp_path / "set"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.Dataset, "__getitem__", lambda self, i: [rows.append(i), read(self, i)][1])
        examples.items[2].content.read()
    assert rows == [2]


def test_pictures_that_are_given_by_path_are_read_from_there(tmp_path: Path) -> None:
    files = [str(put(tmp_path / f"{i}.jpg", seed=i)) for i in range(2)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    made_ = datasets.Dataset.from_dict({"image": files, "label": [0, 1]}, features=features)
    made_.save_to_disk(tmp_path / "set")
    assert [e.content.read() for e in read_dataset(str(tmp_path / "set")).items] == [jpeg(0), jpeg(1)]


def test_labels_of_another_type_are_found_by_name(tmp_path: Path) -> None:
    made(label=datasets.Value("int64")).rename_column("y", "label").save_to_disk(tmp_path / "set")
    assert read_dataset(str(tmp_path / "set")).classes == ("0", "1")


def test_minus_one_is_no_label(tmp_path: Path) -> None:
    made().map(lambda row, i: {"y": -1 if i == 3 else row["y"]}, with_indices=True).save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert len(examples) == 3
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("all#4", "no-label", True)]


def test_columns_may_be_named_in_the_call(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "set")
    assert read_dataset(str(tmp_path / "set"), "photo", "width").classes == ("640",)
    with pytest.raises(UsageError, match="no column 'colour'"):
        read_dataset(str(tmp_path / "set"), label_column="colour")


def test_a_data_set_without_pictures_is_an_error(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="no column of type Image"):
        read_dataset(str(tmp_path / "set"), kind="picture")


def test_a_data_set_of_words_is_texts(tmp_path: Path) -> None:
    label = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"idx": datasets.Value("int32"), "phrase": datasets.Value("string"), "y": label})
    columns = {"idx": [0, 1, 2], "phrase": ["a dull film", "a fine film", None], "y": [0, 1, 1]}
    splits = {"train": datasets.Dataset.from_dict(columns, features=features)}
    splits["test"] = splits["train"].map(lambda row: {"y": -1 if row["idx"] else 0})
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert examples.kind == "text"
    assert [e.content.read() for e in examples.items[:3]] == [b"a dull film", b"a fine film", b""]
    assert [(e.name, e.target) for e in examples.items][:2] == [("train#1", "bad"), ("train#2", "good")]
    assert "texts in 'phrase', labels in 'y'" in examples.how
    assert kinds(examples).count("no-label") == 2


def test_a_data_set_of_pairs_is_read_as_pairs(tmp_path: Path) -> None:
    columns = {"premise": ["it rains", "it snows"], "hypothesis": ["it is wet", "it is hot"], "label": [0.0, 1.0]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    for asked in (None, "premise,hypothesis"):
        examples = read_dataset(str(tmp_path / "set"), asked)
        assert examples.items[0].content.read() == b"it rains\0it is wet"
        assert examples.classes == ("0", "1")
    assert examples.kind == "text"


def test_pictures_are_taken_before_words_unless_told_otherwise(tmp_path: Path) -> None:
    made().add_column("text", ["one", "two", "three", "four"]).save_to_disk(tmp_path / "set")
    assert read_dataset(str(tmp_path / "set")).kind == "picture"
    assert read_dataset(str(tmp_path / "set"), kind="text").items[0].content.read() == b"one"
    assert read_dataset(str(tmp_path / "set"), "text").kind == "text"


def test_a_damaged_folder_is_an_error(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "set")
    next((tmp_path / "set").glob("*.arrow")).write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(str(tmp_path / "set"))


def test_a_name_is_looked_up_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    hub = datasets.DatasetDict({"train": made(), "test": made(2, 9)})
    monkeypatch.setattr(datasets, "load_dataset", lambda name: [asked.append(name), hub][1])
    assert len(read_dataset("somebody/photos")) == 6
    assert asked == ["somebody/photos"]


def test_a_name_that_the_hub_does_not_have_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str) -> object:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError) as error:
        read_dataset("somebody/photos")
    assert "no file or folder somebody/photos" in error.value.what
    assert "ConnectionError" in error.value.found


def test_without_the_library_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as error:
        read_dataset(str(tmp_path))
    assert error.value.hint == 'pip install "headstart[datasets]"'


def test_a_class_that_only_the_test_split_has_is_left_out(tmp_path: Path) -> None:
    splits = {"train": made(4).filter(lambda row: row["y"] == 0), "test": made(2, 9)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    examples = read_dataset(str(tmp_path / "set"))
    assert examples.classes == ("cat",)
    assert kinds(examples) == ["unseen-class"]
