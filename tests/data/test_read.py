from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from data_samples import encoded, parts, picture, put, targets

from headstart.data import read as reading
from headstart.data.examples import Examples
from headstart.data.read import read
from headstart.errors import DataError, UsageError

LABELS = "path,label\ncat/1.jpg,cat\ndog/2.jpg,dog\n"


def photos(root: Path) -> Path:
    put(root / "cat" / "1.jpg", seed=1)
    put(root / "dog" / "2.jpg", seed=2)
    return root


def test_class_folders_are_recognised(tmp_path: Path) -> None:
    for source in (photos(tmp_path), str(tmp_path)):
        assert targets(read(source)) == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}


def test_a_table_is_recognised(tmp_path: Path) -> None:
    table = put(photos(tmp_path) / "t.csv", LABELS)
    assert "CSV table" in read(table).how
    assert "labels in 'label'" in read(table, "path", "label").how


def test_a_folder_of_split_tables_is_recognised(tmp_path: Path) -> None:
    put(photos(tmp_path) / "train.csv", LABELS)
    put(tmp_path / "test.csv", LABELS)
    assert sorted(parts(read(tmp_path)).values()) == ["test", "test", "train", "train"]


def test_one_table_beside_its_pictures_is_recognised(tmp_path: Path) -> None:
    put(tmp_path / "images" / "1.jpg")
    put(tmp_path / "images" / "2.jpg")
    put(tmp_path / "labels.csv", "file,label\nimages/1.jpg,cat\nimages/2.jpg,dog\n")
    assert targets(read(tmp_path)) == {"images/1.jpg": "cat", "images/2.jpg": "dog"}


def test_a_table_beside_class_folders_does_not_hide_them(tmp_path: Path) -> None:
    put(photos(tmp_path) / "sizes.csv", "file,bytes\n")
    assert read(tmp_path).how == "class folders"


@pytest.mark.parametrize("marker", ["dataset_info.json", "dataset_dict.json", "state.json"])
def test_a_folder_of_the_datasets_library_is_recognised(
    tmp_path: Path, marker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / marker, "{}")
    monkeypatch.setattr(reading, "read_dataset", lambda *call: Examples((), str(call)))
    asked = ("image", "label", "text", "number")
    assert read(tmp_path, *asked).how == str((str(tmp_path), *asked))


def test_a_name_of_the_hub_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "read_dataset", lambda *call: Examples((), call[0]))
    assert read("somebody/some-photos").how == "somebody/some-photos"


def test_a_misspelt_path_below_a_folder_is_no_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "data" / "photos")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        read("data/photso")
    assert "Did you mean data/photos?" in error.value.hint


def test_a_path_that_is_not_there_names_its_nearest_siblings(tmp_path: Path) -> None:
    for name in ("photos", "photos-2", "other"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError) as error:
        read(tmp_path / "Photo")
    assert error.value.exit_code == 2
    assert str(tmp_path / "photos") in error.value.hint
    assert "other" not in error.value.hint
    with pytest.raises(UsageError) as error:
        read(tmp_path / "phtos" / "train")
    assert str(tmp_path / "photos") in error.value.hint


def test_a_path_with_nothing_near_still_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "zebra").mkdir()
    with pytest.raises(UsageError) as error:
        read(tmp_path / "12345")
    assert "zebra" in error.value.found
    assert error.value.hint == ""


def test_a_single_picture_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for name, data in (("1.jpg", None), ("noname", encoded(picture(), "PNG"))):
        with pytest.raises(DataError) as error:
            read(put(tmp_path / name, data))
        assert "single picture" in error.value.what
        assert "headstart predict" in error.value.hint


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(put(tmp_path / "photos.zip", b"PK\3\4"))
    assert "Unpack" in error.value.hint


def test_another_file_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read(put(tmp_path / "talk.mp3", b"ID3"))
    assert ".csv" in error.value.hint


def test_reading_and_checking_pictures_imports_no_torch(tmp_path: Path) -> None:
    photos(tmp_path)
    program = (
        "import sys; from headstart.data.read import read; from headstart.data.check import check;"
        "from headstart.data.pictures import inspect_picture; from headstart.progress import quiet;"
        f"check(read({str(tmp_path)!r}), inspect_picture, quiet);"
        "print(sorted({'torch', 'datasets', 'pyarrow', 'rich', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("given", "said"), [([["a", "b"]], "by their place"), ("a text " * 50, "no place of data")])
def test_data_themselves_are_no_place_of_data(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(given)


def test_a_column_cannot_be_both_content_and_label(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na b c,x\nd e f,y\n")
    with pytest.raises(UsageError, match="both content and label"):
        read(tmp_path / "d.csv", "text", "text")
