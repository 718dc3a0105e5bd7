from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
from data_samples import jpeg, put
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.check import check
from headstart.data.encodings import decoded
from headstart.data.examples import CellContent, Example, Examples, FileContent, Part
from headstart.data.texts import LONG, Text, TextContent, TextFile, inspect_text, split_pair
from headstart.errors import DataError
from headstart.progress import quiet


def looked(content: bytes | str, tmp_path: Path, name: str = "1.txt") -> Text:
    return inspect_text(name, TextFile(put(tmp_path / name, content)))


def said(text: Text) -> list[tuple[str, str, bool]]:
    return [(f.kind, f.severity, f.bad) for f in text.findings]


def test_a_text_comes_back_as_it_was() -> None:
    for text in ("one", "Zürich 漢字 😀", " leading and trailing ", "a\nb\tc"):
        content = TextContent.of(text)
        assert content.read() == text.encode()
        assert split_pair(content.read()) == (text,)


def test_a_pair_comes_back_as_two() -> None:
    assert TextContent.of("it rains", "it is wet").read() == b"it rains\0it is wet"
    assert split_pair(TextContent.of("it rains", "it is wet").read()) == ("it rains", "it is wet")
    assert split_pair(TextContent.of("", "x").read()) == ("", "x")


def test_more_than_a_pair_or_nothing_is_a_fault_of_the_caller() -> None:
    for texts in ((), ("a", "b", "c")):
        with pytest.raises(ValueError, match="one text or a pair"):
            TextContent.of(*texts)


@given(st.lists(st.text(st.characters()), min_size=1, max_size=2))
def test_whatever_the_texts_their_number_comes_back_and_it_is_utf_8(texts: list[str]) -> None:
    data = TextContent.of(*texts).read()
    data.decode("utf-8")
    assert len(split_pair(data)) == len(texts)


@given(st.binary(max_size=300))
def test_any_bytes_can_be_inspected_and_read(data: bytes) -> None:
    for content in (TextContent(data), CellContent(lambda: data)):
        inspection = inspect_text("x", content)
        assert inspection.digest == hashlib.sha256(data).hexdigest()
        assert inspection.readable != any(f.bad for f in inspection.findings)
    assert len(split_pair(data)) in (1, 2)
    assert not any("\ud800" <= c <= "\udfff" or c == "\0" for text in split_pair(data) for c in text)


@pytest.mark.parametrize(
    ("encoding", "called"),
    [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "UTF-16"), ("cp1252", "cp1252"), ("latin-1", "cp1252")],
)
def test_encodings_are_found_by_looking(tmp_path: Path, encoding: str, called: str) -> None:
    text = "Ein schöner Film, très bien. " * 3
    data = text.encode(encoding)
    assert split_pair(data) == (text,)
    assert decoded(data) == (text, called)
    assert said(looked(data, tmp_path)) == ([("encoding", "repaired", False)] if called else [])


def test_utf_8_with_a_broken_byte_stays_utf_8() -> None:
    text, called = decoded("schön ".encode() * 30 + b"\xff")
    assert (text, called) == ("schön " * 30 + "\ufffd", "damaged UTF-8")


def test_empty_and_blank_texts_are_left_out_as_bad(tmp_path: Path) -> None:
    for data in (b"", b" \n\t ", "\ufeff".encode(), "\u200b \u200b".encode(), "\xa0".encode(), b"\x01"):
        text = looked(data, tmp_path)
        assert (said(text), text.readable) == ([("empty", "left out", True)], False)
    assert not inspect_text("x", TextContent.of("", " ")).readable


def test_a_pair_with_one_empty_text_is_pointed_out() -> None:
    assert said(inspect_text("x", TextContent.of("something", ""))) == [("half-empty", "note", False)]


def test_nul_bytes_in_a_text_file_are_dropped_and_part_nothing(tmp_path: Path) -> None:
    text = looked(b"a good\0 film that I liked", tmp_path)
    content = TextFile(tmp_path / "1.txt")
    assert said(text) == [("nul", "repaired", False)]
    assert split_pair(content.read()) == ("a good film that I liked",)
    assert text.digest == hashlib.sha256(content.read()).hexdigest()


def test_control_characters_become_spaces_and_are_named(tmp_path: Path) -> None:
    text = looked("a good\x07 film that I\x1b liked, and the line\x85ends", tmp_path)
    assert said(text) == [("control-characters", "repaired", False)]
    assert text.findings[0].reason == "2 control characters read as spaces"
    assert split_pair(b"a\x07b\tc\n") == ("a b\tc\n",)


def test_lone_surrogates_become_replacement_characters_and_are_named() -> None:
    content = TextContent.of("half an \ud83d emoji")
    assert split_pair(content.read()) == ("half an \ufffd emoji",)
    assert said(inspect_text("x", content)) == [("lost-characters", "repaired", False)]


def test_nul_characters_in_a_text_become_replacement_characters_and_are_named() -> None:
    content = TextContent.of("one\0two", "three")
    assert split_pair(content.read()) == ("one\ufffdtwo", "three")
    assert said(inspect_text("x", content)) == [("lost-characters", "repaired", False)]


def test_a_very_long_text_is_pointed_out() -> None:
    text = inspect_text("x", TextContent.of("word " * (LONG // 5 + 1)))
    assert (said(text), text.readable, text.characters) == ([("long", "note", False)], True, LONG + 5)


@pytest.mark.parametrize(
    "data",
    [jpeg(), b"\x89PNG\r\n\x1a\n" + bytes(range(200)), b"\x7fELF\2\1\1" + bytes(60), bytes(range(256)) * 3],
    ids=["jpeg", "png", "program", "noise"],
)
def test_what_is_no_text_is_left_out_as_bad(tmp_path: Path, data: bytes) -> None:
    text = looked(data, tmp_path)
    assert (said(text), text.readable) == ([("not-text", "left out", True)], False)


def test_utf_16_without_a_mark_says_what_to_do(tmp_path: Path) -> None:
    text = looked("a good film".encode("utf-16-le"), tmp_path)
    assert said(text) == [("not-text", "left out", True)]
    assert "save it as UTF-8" in text.findings[0].reason


@pytest.mark.parametrize("text", ["BM is a car maker", "P5 is a port", "GIF89a is a format", "<svg> is a tag", "%PDF-"])
def test_texts_that_begin_as_pictures_do_are_texts(tmp_path: Path, text: str) -> None:
    assert looked(text, tmp_path).readable
    assert inspect_text("x", TextContent.of(text)).readable


def test_a_file_that_cannot_be_read_is_left_out_as_bad(tmp_path: Path) -> None:
    for content in (TextFile(tmp_path / "none.txt"), FileContent(tmp_path)):
        text = inspect_text("none.txt", content)
        assert (said(text), text.readable, text.digest) == ([("unreadable", "left out", True)], False, "")


def examples(*rows: tuple[str, str, Part]) -> Examples:
    items = (Example(f"t#{i}", TextContent.of(text), label, part) for i, (text, label, part) in enumerate(rows))
    return Examples(tuple(items), "made", (), "text")


def test_copies_in_and_across_the_parts_are_found_for_texts_too() -> None:
    checked = check(
        examples(
            ("fine", "good", "train"),
            ("fine", "good", "train"),
            ("dull", "bad", "train"),
            ("dull", "good", "train"),
            ("so so", "bad", "train"),
            ("so so", "bad", "test"),
        ),
        inspect_text,
        quiet,
    )
    assert [(f.kind, f.name) for f in checked.examples.findings] == [
        ("duplicate", "t#1"),
        ("conflicting-labels", "t#3"),
        ("duplicate-across-parts", "t#4"),
    ]
    assert len(checked.examples) == 5
    assert checked.examples.kind == "text"


def test_the_error_about_bad_ones_speaks_of_texts() -> None:
    with pytest.raises(DataError, match="2 of 4 texts"):
        check(examples(("a", "x", ""), ("b", "y", ""), ("", "x", ""), (" ", "y", "")), inspect_text, quiet)


def test_the_kind_of_the_examples_stays_with_them() -> None:
    assert examples(("a", "x", "")).only([0]).kind == "text"
    assert Examples((), "made").kind == "picture"
    assert [f.name for f in dataclasses.fields(Examples)][-3:] == ["kind", "goal", "languages"]
