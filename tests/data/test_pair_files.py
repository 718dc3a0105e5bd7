from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from data_samples import names, parts, put
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.pair_files import Pairs, choose, is_language, language_of, part_of, read_aligned, scripts_of
from headstart.data.texts import split_pair
from headstart.errors import DataError, UsageError

ENGLISH, FRENCH = "a dog\na cat\n", "un chien\nun chat\n"


def pairs_of(pairs: Pairs) -> list[tuple[str, object]]:
    return [(split_pair(e.content.read())[0], e.target) for e in pairs.examples.items]


BOTH = [("a dog", "un chien"), ("a cat", "un chat")]


@pytest.mark.parametrize(("name", "code"), [
    ("en", "en"), ("EN", "en"), ("en-US", "en"), ("en_GB", "en"), ("eng", "en"), ("eng_Latn", "en"), ("English", "en"),
    ("text_en", "en"), ("translation.fr", "fr"), ("source_de", "de"), ("pt-BR", "pt"), ("zh-Hans", "zh"),
    ("es-419", "es"), ("ger", "de"), ("fra", "fr"), ("", ""), ("text", ""), ("source", ""), ("label", ""),
    ("sentence1", ""), ("en_score", ""), ("en_lang", ""), ("klingon", ""), ("en us de fr", ""),
])  # fmt: skip
def test_languages_are_known_by_codes_and_names(name: str, code: str) -> None:
    assert language_of(name) == code


def test_a_region_counts_where_both_give_one() -> None:
    assert is_language("en-US", "en")
    assert is_language("EN", "en-us")
    assert is_language("en_us", "en-US")
    assert not is_language("en-GB", "en-US")
    assert is_language("translation.pt_BR", "pt-BR")
    assert not is_language("translation", "target")


def test_scripts_are_known_for_the_languages_that_are() -> None:
    assert scripts_of("sr-Latn") == {"CYRILLIC", "LATIN"}
    assert scripts_of("tlh") == frozenset()


def test_two_languages_are_chosen_by_what_was_asked_for() -> None:
    assert choose(["en", "fr"], None, None, "x") == ("en", "fr")
    assert choose(["en", "fr"], None, "en", "x") == ("fr", "en")
    assert choose(["pt-PT", "pt-BR"], "pt-BR", None, "x") == ("pt-BR", "pt-PT")
    assert choose(["cs", "en", "fr"], "fr", "cs", "x") == ("fr", "cs")
    with pytest.raises(DataError, match="several languages") as caught:
        choose(["cs", "en", "fr"], "fr", None, "x")
    assert "--from fr --to en" in caught.value.hint
    with pytest.raises(UsageError, match="no 'de' in x"):
        choose(["cs", "en"], "de", None, "x")
    with pytest.raises(UsageError, match="same language"):
        choose(["cs", "en"], "en", "eng", "x")
    with pytest.raises(DataError, match="fewer"):
        choose(["cs"], None, None, "x")


@pytest.mark.parametrize(("stem", "part"), [
    ("train", "train"), ("val", "valid"), ("dev", "valid"), ("test_2016_flickr", "test"), ("newstest2014", "test"),
    ("europarl.train", "train"), ("devtest", "test"), ("test1", "test"), ("europarl", ""), ("latest", ""),
])  # fmt: skip
def test_parts_are_known_by_the_names_of_files(stem: str, part: str) -> None:
    assert part_of(stem) == part


@pytest.mark.parametrize(("first", "second"), [
    ("train.en", "train.fr"), ("train.en.gz", "train.fr.gz"), ("train.en.gz", "train.fr"), ("a.en.txt", "a.fr.txt"),
    ("a_en.txt", "a_fr.txt"), ("a-EN.txt", "a-FR.txt"), ("en.txt", "fr.txt"), ("opus.en-fr.en", "opus.en-fr.fr"),
    ("train.eng_Latn", "train.fra_Latn"),
])  # fmt: skip
def test_aligned_files_are_found_by_their_folder_or_one_of_them(tmp_path: Path, first: str, second: str) -> None:
    for name, text in ((first, ENGLISH), (second, FRENCH)):
        put(tmp_path / name, gzip.compress(text.encode()) if name.endswith(".gz") else text)
    put(tmp_path / "README.md", "about this")
    for path in (tmp_path, tmp_path / first):
        pairs = read_aligned(path)
        assert pairs_of(pairs) == BOTH
        assert (pairs.source, pairs.target, pairs.examples.goal, pairs.examples.kind) == ("en", "fr", "text", "text")
        assert set(parts(pairs.examples).values()) == {""}
    turned = read_aligned(tmp_path / second)
    assert (pairs_of(turned)[0], turned.source) == (("un chien", "a dog"), "fr")
    assert pairs_of(read_aligned(tmp_path / second, None, "fr")) == BOTH
    assert pairs_of(read_aligned(tmp_path, "fr", "en")) == pairs_of(turned)


def test_aligned_files_are_found_by_what_their_names_have_in_common(tmp_path: Path) -> None:
    put(tmp_path / "news.v2.en", ENGLISH)
    put(tmp_path / "news.v2.fr", FRENCH)
    assert names(read_aligned(tmp_path / "news.v2").examples) == ["news.v2#1", "news.v2#2"]


def test_the_direction_in_a_name_goes_before_the_alphabet(tmp_path: Path) -> None:
    put(tmp_path / "opus.fr-en.en", ENGLISH)
    put(tmp_path / "opus.fr-en.fr", FRENCH)
    assert read_aligned(tmp_path).source == "fr"


def test_sides_without_languages_may_be_called_source_and_target_or_as_was_asked(tmp_path: Path) -> None:
    put(tmp_path / "a" / "train.source", ENGLISH)
    put(tmp_path / "a" / "train.target", FRENCH)
    pairs = read_aligned(tmp_path / "a")
    assert (pairs_of(pairs), pairs.source, pairs.target) == (BOTH, "", "")
    put(tmp_path / "b" / "train.tlh", ENGLISH)
    put(tmp_path / "b" / "train.qya", FRENCH)
    assert read_aligned(tmp_path / "b", "tlh", "qya").source == "tlh"


def test_of_several_tests_the_first_is_judged_and_the_others_are_named(tmp_path: Path) -> None:
    for stem in ("train", "train2", "val", "test_b", "test_a", "notes"):
        put(tmp_path / f"{stem}.en", ENGLISH)
        put(tmp_path / f"{stem}.fr", FRENCH)
    put(tmp_path / "test_0.en", ENGLISH)
    examples = read_aligned(tmp_path).examples
    assert examples.parts() == {"train": 4, "valid": 2, "test": 2}
    assert names(examples) == [f"{s}#{i}" for s in ("train", "train2", "val", "test_a") for i in (1, 2)]
    assert [(f.name, f.kind) for f in examples.findings] == [("notes", "file-ignored"), ("test_b", "file-ignored")]
    assert "test is test_a" in examples.findings[1].reason
    assert "not read: notes, test_b" in examples.how


def test_files_beside_a_test_are_for_training_if_none_is_called_so(tmp_path: Path) -> None:
    for stem in ("corpus", "test"):
        put(tmp_path / f"{stem}.en", ENGLISH)
        put(tmp_path / f"{stem}.fr", FRENCH)
    assert read_aligned(tmp_path).examples.parts() == {"train": 2, "test": 2}


def test_numbers_of_lines_that_differ_are_an_error_that_names_both(tmp_path: Path) -> None:
    put(tmp_path / "train.en", ENGLISH + "a fish\n")
    put(tmp_path / "train.fr", FRENCH)
    with pytest.raises(DataError, match="not aligned") as caught:
        read_aligned(tmp_path)
    assert caught.value.found == "train.en has 3 lines, train.fr has 2 lines"


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n \n\n"])
def test_blank_lines_at_the_end_are_no_lines(tmp_path: Path, end: str) -> None:
    put(tmp_path / "train.en", ENGLISH.rstrip() + end)
    put(tmp_path / "train.fr", FRENCH)
    assert pairs_of(read_aligned(tmp_path)) == BOTH


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_line_ends_of_windows_are_understood(tmp_path: Path, encoding: str) -> None:
    put(tmp_path / "train.en", "summer\r\nwinter\r\n".encode(encoding))
    put(tmp_path / "train.fr", "l'été\r\nl'hiver\r\n".encode(encoding))
    pairs = read_aligned(tmp_path)
    assert pairs_of(pairs) == [("summer", "l'été"), ("winter", "l'hiver")]
    assert [f.kind for f in pairs.examples.findings] == (["encoding"] if encoding == "cp1252" else
                                                         ["encoding"] * 2 if encoding == "utf-16" else [])  # fmt: skip


def test_line_separators_inside_of_a_text_cut_no_line(tmp_path: Path) -> None:
    put(tmp_path / "train.en", "a\u2028dog\x0b\x0c\x85\na cat")
    put(tmp_path / "train.fr", FRENCH)
    assert len(read_aligned(tmp_path).examples) == 2


def test_nul_characters_are_dropped_and_named(tmp_path: Path) -> None:
    put(tmp_path / "train.en", ENGLISH)
    put(tmp_path / "train.fr", FRENCH.replace("chien", "chi\0en"))
    pairs = read_aligned(tmp_path)
    assert pairs_of(pairs) == BOTH
    assert [(f.name, f.kind, f.severity) for f in pairs.examples.findings] == [("train.fr", "nul", "repaired")]


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:30], lambda b: b[:12] + b"\xff" * 9 + b[21:],
                                    lambda b: b"plain text", lambda b: b[:-8] + bytes(8)])  # fmt: skip
def test_a_damaged_gzip_is_an_error_that_names_the_file(tmp_path: Path, damage: object) -> None:
    put(tmp_path / "train.en", ENGLISH * 20)
    put(tmp_path / "train.fr.gz", damage(gzip.compress(FRENCH.encode() * 20)))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"train\.fr\.gz cannot be read"):
        read_aligned(tmp_path)


def test_files_of_one_language_are_no_translation(tmp_path: Path) -> None:
    put(tmp_path / "train.en", ENGLISH)
    put(tmp_path / "test.fr", FRENCH)
    with pytest.raises(DataError, match="fewer"):
        read_aligned(tmp_path)
    for name in ("a.en", "a.cs", "b.fr", "b.cs"):
        put(tmp_path / name, ENGLISH)
    with pytest.raises(DataError, match="each other's translation"):
        read_aligned(tmp_path, "en", "fr")


def test_files_without_a_line_are_an_error(tmp_path: Path) -> None:
    put(tmp_path / "train.en", "")
    put(tmp_path / "train.fr", "\n")
    with pytest.raises(DataError, match="no pair"):
        read_aligned(tmp_path)


line = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r\ufeff"), min_size=1, max_size=20)


@given(st.lists(st.tuples(line, line), min_size=1, max_size=10))
def test_every_line_meets_its_translation(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "aligned"
    put(folder / "x.en", "\n".join(f"e {a}." for a, _ in rows))
    put(folder / "x.fr", "\n".join(f"f {b}." for _, b in rows))
    expected = [(split_pair(f"e {a}.".encode())[0], split_pair(f"f {b}.".encode())[0]) for a, b in rows]
    assert pairs_of(read_aligned(folder)) == expected


def test_well_known_captions_are_read_whole(shared: Path) -> None:
    if not (shared / "data" / "multi30k").is_dir():
        pytest.skip("no multi30k in the shared data")
    with pytest.raises(DataError, match="several languages"):
        read_aligned(shared / "data" / "multi30k")
    pairs = read_aligned(shared / "data" / "multi30k", "en", "fr")
    assert pairs.examples.parts() == {"train": 29000, "valid": 1014, "test": 1000}
    assert [f.name for f in pairs.examples.findings] == ["test_2017_flickr", "test_2017_mscoco", "test_2018_flickr"]
    assert "test_2016_flickr (test)" in pairs.examples.how
