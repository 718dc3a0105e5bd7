from __future__ import annotations

from pathlib import Path

import pytest
from data_samples import jpeg, kinds, names, parts, put, targets

from headstart.data.check import check
from headstart.data.examples import FileContent
from headstart.data.read import read
from headstart.data.texts import inspect_text, split_pair
from headstart.errors import DataError, UsageError
from headstart.progress import quiet

TREC = ["NUM:dist How far is it ?", "HUM:ind Who was he ?", "HUM:gr Which team won ?", "NUM:date When was it ?"]


def two_classes(root: Path, suffix: str = ".txt") -> Path:
    put(root / "neg" / f"1{suffix}", "a dull film")
    put(root / "pos" / f"2{suffix}", "a film to love")
    return root


def test_class_folders_of_text_files_are_texts(tmp_path: Path) -> None:
    examples = read(two_classes(tmp_path))
    assert targets(examples) == {"neg/1.txt": "neg", "pos/2.txt": "pos"}
    assert (examples.kind, examples.how, examples.findings) == ("text", "class folders of texts", ())
    assert isinstance(examples.items[0].content, FileContent)
    assert split_pair(examples.items[0].content.read()) == ("a dull film",)


def test_parts_above_the_classes_are_parts_of_texts_too(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        two_classes(tmp_path / part)
    put(tmp_path / "README.txt", "what it is")
    examples = read(tmp_path)
    assert list(parts(examples).values()) == ["train"] * 2 + ["valid"] * 2 + ["test"] * 2
    assert examples.how == "class folders of texts in dev/, test/, train/"


def test_texts_without_a_suffix_need_a_word(tmp_path: Path) -> None:
    two_classes(tmp_path, "")
    assert read(tmp_path).kind == "picture"
    examples = read(tmp_path, kind="text")
    assert (examples.kind, names(examples)) == ("text", ["neg/1", "pos/2"])


def test_files_among_the_texts_that_are_none_are_named(tmp_path: Path) -> None:
    put(two_classes(tmp_path) / "neg" / "about.json", "{}")
    put(tmp_path / "neg" / "scan.txt", b"\xff\xfb\0\0" + bytes(range(256)))
    put(tmp_path / "neg" / "empty.txt", "")
    examples = read(tmp_path)
    assert [(f.kind, f.name, f.severity) for f in examples.findings] == [("not-text", "neg/about.json", "note")]
    items = [inspect_text(e.name, e.content) for e in examples.items]
    assert [[f.kind for f in i.findings] for i in items] == [[], ["empty"], ["not-text"], []]


def test_texts_beside_pictures_are_remarks_about_them(tmp_path: Path) -> None:
    put(two_classes(tmp_path) / "pos" / "1.jpg")
    examples = read(tmp_path)
    assert (examples.kind, names(examples)) == ("picture", ["pos/1.jpg"])
    assert names(read(tmp_path, kind="text")) == ["neg/1.txt", "pos/2.txt"]


def test_a_picture_without_a_suffix_makes_the_folder_one_of_pictures(tmp_path: Path) -> None:
    put(two_classes(tmp_path) / "pos" / "bare", jpeg())
    assert read(tmp_path).kind == "picture"


def test_folders_without_texts_say_so(tmp_path: Path) -> None:
    put(tmp_path / "a" / "1.json", "{}")
    with pytest.raises(DataError, match="no class folders with texts"):
        read(tmp_path, kind="text")


def test_fasttext_lines_are_read(tmp_path: Path) -> None:
    lines = ["__label__good a film to love", "__label__bad a dull film", "", "a film", "nice __label__very-good"]
    examples = read(put(tmp_path / "t.txt", "\n".join([*lines, *lines[:2] * 8])))
    assert {(split_pair(e.content.read())[0], e.target) for e in examples.items} == {
        ("a film to love", "good"),
        ("a dull film", "bad"),
        ("nice", "very-good"),
    }
    assert [(f.kind, f.name, f.bad) for f in examples.findings] == [("no-label", "t.txt#03", True)]
    assert "fastText" in examples.how


def test_fasttext_lines_with_several_labels_are_left_out_and_say_why(tmp_path: Path) -> None:
    lines = ["__label__a __label__b some words", *["__label__a other words", "__label__b more words"] * 3]
    examples = read(put(tmp_path / "t.txt", "\n".join(lines)))
    assert (len(examples), kinds(examples)) == (6, ["no-label"])
    assert "several labels" in examples.findings[0].reason


def test_labels_of_two_levels_are_coarse_and_fine_as_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "train.txt", "\n".join(TREC))
    put(tmp_path / "test.txt", "\n".join(TREC[:3]).encode("latin-1"))
    put(tmp_path / "README.md", "what it is")
    examples = read(tmp_path)
    assert examples.classes == ("HUM", "NUM")
    assert examples.parts() == {"train": 4, "test": 3}
    assert split_pair(examples.items[0].content.read()) == ("How far is it ?",)
    assert read(tmp_path, label_column="coarse").classes == ("HUM", "NUM")
    assert read(tmp_path, label_column="fine").classes == ("HUM:gr", "HUM:ind", "NUM:date", "NUM:dist")
    assert "labels in 'coarse'" in examples.how
    with pytest.raises(UsageError, match="no column 'finest'"):
        read(tmp_path, label_column="finest")


def test_plain_labels_before_the_text_are_read_whatever_the_encoding(tmp_path: Path) -> None:
    lines = [f"{('pos', 'nég')[i % 2]} film numéro {i}" for i in range(8)]
    examples = read(put(tmp_path / "t.txt", "\r\n".join(lines).encode("latin-1")))
    assert (len(examples), examples.classes) == (8, ("nég", "pos"))
    assert "cp1252" in examples.how


def test_a_small_test_file_is_read_as_the_training_file_is(tmp_path: Path) -> None:
    put(tmp_path / "train.txt", "\n".join(f"{'abc'[i % 3]} some words {i}" for i in range(12)))
    put(tmp_path / "test.txt", "a one\nb two\nc three\n")
    assert read(tmp_path).parts() == {"train": 12, "test": 3}


def test_a_line_of_a_label_alone_has_an_empty_text(tmp_path: Path) -> None:
    examples = read(put(tmp_path / "t.txt", "\n".join(["pos", *["pos fine", "neg dull"] * 4])))
    assert kinds(check(examples, inspect_text, quiet).examples)[0] == "empty"


def test_nul_characters_in_lines_are_dropped_and_named(tmp_path: Path) -> None:
    examples = read(put(tmp_path / "t.txt", "pos fi\0ne\nneg dull\npos good\nneg bad\n"))
    assert split_pair(examples.items[0].content.read()) == ("fine",)
    assert kinds(examples) == ["nul"]


def test_a_text_file_with_tabs_is_a_table(tmp_path: Path) -> None:
    rows = [f"{('ham', 'spam')[i % 2]}\tmessage number {i} of some length" for i in range(8)]
    examples = read(put(tmp_path / "t.txt", "\n".join(rows)))
    assert (len(examples), examples.classes) == (8, ("ham", "spam"))
    assert split_pair(examples.items[0].content.read()) == ("message number 0 of some length",)


def test_a_text_file_of_prose_is_no_data(tmp_path: Path) -> None:
    prose = "This is a page.\nIt has lines.\nNone begins as another.\nAll differ.\nSo it is prose.\n"
    for name in ("t.txt", "train.txt"):
        with pytest.raises(DataError, match="no labelled data") as error:
            read(put(tmp_path / name, prose))
        assert "begin with a label" in error.value.hint
    with pytest.raises(DataError, match="no class folders"):
        read(tmp_path)


def test_lists_beside_class_folders_do_not_hide_them(tmp_path: Path) -> None:
    put(tmp_path / "cat" / "1.jpg")
    put(tmp_path / "dog" / "2.jpg")
    put(tmp_path / "train.txt", "cat 1.jpg\ndog 2.jpg\ncat 1.jpg\ndog 2.jpg\n")
    assert read(tmp_path).kind == "picture"
    assert names(read(tmp_path)) == ["cat/1.jpg", "dog/2.jpg"]
