from __future__ import annotations

import os
from pathlib import Path

import pytest
from data_samples import jpeg, kinds, names, parts, put, targets
from hypothesis import given
from hypothesis import strategies as st

from headstart.data import folder
from headstart.data.folder import read_folder
from headstart.data.parts import safe_name
from headstart.errors import DataError


def two_classes(root: Path) -> Path:
    put(root / "cat" / "1.jpg", seed=1)
    put(root / "dog" / "2.jpg", seed=2)
    return root


def test_class_folders_give_their_names_as_labels(tmp_path: Path) -> None:
    examples = read_folder(two_classes(tmp_path))
    assert targets(examples) == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}
    assert parts(examples) == {"cat/1.jpg": "", "dog/2.jpg": ""}
    assert examples.how == "class folders"
    assert examples.findings == ()
    assert examples.items[0].content.read() == jpeg(1)


def test_nested_folders_of_a_class_belong_to_the_class(tmp_path: Path) -> None:
    two_classes(tmp_path)
    put(tmp_path / "cat" / "2021" / "may" / "3.jpg")
    assert targets(read_folder(tmp_path))["cat/2021/may/3.jpg"] == "cat"


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("TRAIN", "dev", "Test"),
        ("train", "validation", "test"),
    ],
)
def test_part_folders_in_any_spelling_become_parts(tmp_path: Path, train: str, valid: str, test: str) -> None:
    for name in (train, valid, test):
        two_classes(tmp_path / name)
    examples = read_folder(tmp_path)
    assert [e.part for e in examples.items] == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    assert names(examples)[:2] == [f"{train}/cat/1.jpg", f"{train}/dog/2.jpg"]
    assert examples.classes == ("cat", "dog")
    assert train in examples.how


def test_a_class_that_is_called_test_is_a_class(tmp_path: Path) -> None:
    put(tmp_path / "test" / "1.jpg")
    put(tmp_path / "control" / "2.jpg")
    assert read_folder(tmp_path).classes == ("control", "test")


def test_a_folder_beside_the_parts_is_named_and_ignored(tmp_path: Path) -> None:
    two_classes(tmp_path / "train")
    put(tmp_path / "docs" / "1.jpg")
    put(tmp_path / "test" / "flat.jpg")
    examples = read_folder(tmp_path)
    assert len(examples) == 2
    assert [(f.kind, f.name) for f in examples.findings] == [("folder-ignored", "docs"), ("folder-ignored", "test")]


def test_hidden_files_and_litter_are_passed_over(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for litter in (".git/1.jpg", "__MACOSX/cat/._1.jpg", "cat/.DS_Store", "cat/Thumbs.db", "cat/desktop.ini"):
        put(tmp_path / litter)
    for litter in ("cat/._1.jpg", "cat/.thumbs/1.jpg", "Desktop.ini", ".DS_Store"):
        put(tmp_path / litter)
    examples = read_folder(tmp_path)
    assert names(examples) == ["cat/1.jpg", "dog/2.jpg"]
    assert examples.findings == ()


def test_files_beside_the_class_folders_are_not_bad(tmp_path: Path) -> None:
    two_classes(tmp_path)
    put(tmp_path / "SOURCE.md", "where it is from")
    put(tmp_path / "contact-sheet.jpg")
    examples = read_folder(tmp_path)
    assert len(examples) == 2
    assert not any(f.bad for f in examples.findings)


def test_text_files_in_class_folders_are_notes_and_not_bad(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for suffix in ("txt", "JSON", "xml", "csv", "md", "ini"):
        put(tmp_path / "cat" / f"about.{suffix}", "about cats")
    examples = read_folder(tmp_path)
    assert names(examples) == ["cat/1.jpg", "dog/2.jpg"]
    assert kinds(examples) == ["not-image"] * 6
    assert {(f.severity, f.bad) for f in examples.findings} == {("note", False)}
    assert "cat/about.JSON" in {f.name for f in examples.findings}


def test_a_picture_with_the_suffix_of_a_text_is_an_example(tmp_path: Path) -> None:
    put(two_classes(tmp_path) / "cat" / "odd.txt", jpeg())
    assert "cat/odd.txt" in names(read_folder(tmp_path))


def test_image_suffixes_and_none_are_left_to_the_check_of_the_pictures(tmp_path: Path) -> None:
    two_classes(tmp_path)
    put(tmp_path / "cat" / "broken.jpg", "no picture")
    put(tmp_path / "cat" / "bare", "no picture")
    assert {"cat/broken.jpg", "cat/bare"} <= set(names(read_folder(tmp_path)))


def test_a_test_class_that_is_never_trained_is_left_out_and_named(tmp_path: Path) -> None:
    two_classes(tmp_path / "train")
    two_classes(tmp_path / "test")
    put(tmp_path / "test" / "zebra" / "1.jpg")
    put(tmp_path / "test" / "zebra" / "2.jpg")
    examples = read_folder(tmp_path)
    assert examples.classes == ("cat", "dog")
    (finding,) = examples.findings
    assert (finding.kind, finding.name, finding.severity, finding.bad) == (
        "unseen-class",
        "test/zebra",
        "left out",
        False,
    )
    assert "2 test examples" in finding.reason


def test_a_class_without_test_examples_is_noted(tmp_path: Path) -> None:
    two_classes(tmp_path / "train")
    put(tmp_path / "test" / "cat" / "1.jpg")
    (finding,) = read_folder(tmp_path).findings
    assert (finding.kind, finding.name) == ("class-not-judged", "test/dog")


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(9):
        put(tmp_path / "train" / f"c{i % 3}" / f"{i}.jpg")
        put(tmp_path / "test" / f"c{i % 3}" / f"{i}.jpg")
    (tmp_path / "train" / "empty-b").mkdir()
    (tmp_path / "train" / "empty-a").mkdir()
    forward = read_folder(tmp_path)
    listed = os.scandir

    class Reversed:
        def __init__(self, path: Path) -> None:
            with listed(path) as scan:
                self.entries = sorted(scan, key=lambda e: e.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(folder.os, "scandir", Reversed)
    assert read_folder(tmp_path) == forward
    assert names(forward) == sorted(names(forward), key=lambda n: (n.startswith("test"), n))


def test_names_that_are_no_utf_8_are_escaped(tmp_path: Path) -> None:
    two_classes(tmp_path)
    odd = os.fsencode(tmp_path) + b"/cat/\xff\xfe.jpg"
    with open(odd, "wb") as handle:  # noqa: PTH123 - a Path cannot be made of it
        handle.write(jpeg())
    examples = read_folder(tmp_path)
    assert "cat/\\udcff\\udcfe.jpg" in names(examples)
    "".join(names(examples)).encode()
    assert all(e.content.read() for e in examples.items)


def test_spaces_and_other_scripts_in_names_simply_work(tmp_path: Path) -> None:
    put(tmp_path / "chat noir" / "été à la mer.jpg")
    put(tmp_path / "собака" / "犬 1.jpg")
    assert targets(read_folder(tmp_path)) == {
        "chat noir/été à la mer.jpg": "chat noir",
        "собака/犬 1.jpg": "собака",
    }


@given(st.text())
def test_every_name_becomes_one_line_of_utf_8(text: str) -> None:
    safe = safe_name(text + "\udc80")
    assert safe.encode("utf-8").decode("utf-8") == safe
    assert not set("\n\r\x1b\x00\x9b") & set(safe)


def test_links_in_circles_are_followed_once(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat", target_is_directory=True)
    (tmp_path / "cat" / "up").symlink_to(tmp_path, target_is_directory=True)
    examples = read_folder(tmp_path)
    assert targets(examples) == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}
    assert kinds(examples) == ["link-loop", "link-loop"]


def test_a_class_that_is_a_link_to_a_folder_is_read(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "1.jpg")
    root = tmp_path / "photos"
    put(root / "dog" / "2.jpg")
    (root / "cat").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert targets(read_folder(root)) == {"cat/1.jpg": "cat", "dog/2.jpg": "dog"}


def test_a_dangling_link_is_an_example_for_the_check_to_name(tmp_path: Path) -> None:
    (two_classes(tmp_path) / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert "cat/gone.jpg" in names(read_folder(tmp_path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(two_classes(tmp_path) / "cat" / "pipe.jpg")
    examples = read_folder(tmp_path)
    assert len(examples) == 2
    assert kinds(examples) == ["not-image"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_classes(tmp_path)
    put(tmp_path / "cat" / "locked" / "3.jpg")
    listed = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(folder.os, "scandir", scandir)
    examples = read_folder(tmp_path)
    assert len(examples) == 2
    (finding,) = examples.findings
    assert (finding.kind, finding.name, finding.bad) == ("unreadable", "cat/locked", True)
    assert "Permission denied" in finding.reason


def test_a_train_folder_that_cannot_be_read_is_named_and_no_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_classes(tmp_path / "test")
    (tmp_path / "train").mkdir()
    listed = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "train":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(folder.os, "scandir", scandir)
    examples = read_folder(tmp_path)
    assert set(parts(examples).values()) == {"test"}
    assert [(f.kind, f.name) for f in examples.findings] == [("unreadable", "train")]


def test_without_a_training_part_nothing_is_left_out(tmp_path: Path) -> None:
    two_classes(tmp_path / "val")
    two_classes(tmp_path / "test")
    assert len(read_folder(tmp_path)) == 4


def test_an_empty_class_folder_is_noted(tmp_path: Path) -> None:
    (two_classes(tmp_path) / "emu").mkdir()
    examples = read_folder(tmp_path)
    assert [(f.kind, f.name, f.severity) for f in examples.findings] == [("empty-class", "emu", "note")]


def test_without_class_folders_the_error_says_what_was_found_and_what_is_read(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt", "hello")
    with pytest.raises(DataError) as error:
        read_folder(tmp_path)
    assert "notes.txt" in error.value.found
    assert "photos/CLASS/*.jpg" in error.value.hint
    assert "photos/train/CLASS" in error.value.hint


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty folder"):
        read_folder(tmp_path)


def test_pictures_without_classes_are_an_error_with_a_hint(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / f"{i}.jpg")
    with pytest.raises(DataError) as error:
        read_folder(tmp_path)
    assert "no classes" in error.value.what
    assert "4 pictures" in error.value.found
    assert "folder for each class" in error.value.hint
