from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from data_samples import kinds, names, parts, put, write_json, write_json_lines, write_parquet
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.pairs import Pairs, holds_pairs, read_pairs
from headstart.data.texts import split_pair
from headstart.errors import DataError, UsageError

Record = dict[str, object]
WORDS = {
    "the dog, who runs": "le chien qui court",
    'they call it "art"': "ils l'appellent « art »",
    "a film to love; see it": "un film à aimer",
    "very funny, and moving": "très drôle, et émouvant",
}
BOTH = list(WORDS.items())


def pairs_of(pairs: Pairs) -> list[tuple[str, object]]:
    return [(split_pair(e.content.read())[0], e.target) for e in pairs.examples.items]


def records(source: str = "en", target: str = "fr") -> list[Record]:
    return [{source: s, target: t} for s, t in BOTH]


def nested() -> list[Record]:
    return [{"translation": {"en": s, "fr": t}} for s, t in BOTH]


def write_csv(path: Path, rows: Sequence[Record], header: bool = True, **style: object) -> Path:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, **style)  # type: ignore[arg-type]
    writer.writerows([list(rows[0])] * header + [list(r.values()) for r in rows])
    return put(path, buffer.getvalue().encode())


WRITERS: list[tuple[str, Callable[[Path, Sequence[Record]], Path]]] = [
    (".csv", write_csv),
    (".tsv", lambda path, rows: write_csv(path, rows, delimiter="\t")),
    (".jsonl", write_json_lines),
    (".json", write_json),
    (".parquet", write_parquet),
]
ALL = pytest.mark.parametrize(("suffix", "write"), WRITERS, ids=[suffix for suffix, _ in WRITERS])
Write = Callable[[Path, Sequence[Record]], Path]


@ALL
def test_every_format_gives_the_same_pairs(tmp_path: Path, suffix: str, write: Write) -> None:
    path = write(tmp_path / f"t{suffix}", records())
    pairs = read_pairs(path)
    assert pairs_of(pairs) == BOTH
    assert names(pairs.examples) == [f"t{suffix}#{i}" for i in (1, 2, 3, 4)]
    assert (pairs.source, pairs.target, pairs.examples.kind, pairs.examples.goal) == ("en", "fr", "text", "text")
    assert (pairs.examples.findings, holds_pairs(path)) == ((), True)
    assert "'en' to 'fr'" in pairs.examples.how
    turned = read_pairs(path, "fr", "en")
    assert (pairs_of(turned)[0], turned.source) == (BOTH[0][::-1], "fr")


@ALL
def test_a_column_of_translations_holds_both(tmp_path: Path, suffix: str, write: Write) -> None:
    path = write(tmp_path / f"t{suffix}", [{"id": i, **row} for i, row in enumerate(nested())])
    pairs = read_pairs(path)
    assert (pairs_of(pairs), pairs.source, pairs.target) == (BOTH, "en", "fr")
    assert holds_pairs(path)
    assert pairs_of(read_pairs(path, "fr"))[0] == BOTH[0][::-1]


@ALL
@pytest.mark.parametrize(("source", "target", "codes"), [
    ("source", "target", ("", "")), ("src", "tgt", ("", "")), ("Source_text", "Target_text", ("", "")),
    ("English", "French", ("en", "fr")), ("text_en", "text_fr", ("en", "fr")),
    ("sentence_eng_Latn", "sentence_fra_Latn", ("en", "fr")), ("en-US", "fr_CA", ("en", "fr")),
])  # fmt: skip
def test_columns_are_found_by_their_names(
    tmp_path: Path, suffix: str, write: Write, source: str, target: str, codes: tuple[str, str]
) -> None:
    path = write(tmp_path / f"t{suffix}", [{"id": i, **r} for i, r in enumerate(records(source, target))])
    pairs = read_pairs(path)
    assert (pairs_of(pairs), (pairs.source, pairs.target), holds_pairs(path)) == (BOTH, codes, True)
    assert read_pairs(path, "en", "fr").source == "en"


def test_columns_can_be_named_in_the_call(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [{"what": s, "how": t, "n": 1} for s, t in BOTH])
    assert pairs_of(read_pairs(path, source_column="what", target_column="how")) == BOTH
    pairs = read_pairs(path, "en", "fr", source_column="how", target_column="what")
    assert (pairs_of(pairs)[0], pairs.source) == (BOTH[0][::-1], "en")
    for one in ({"source_column": "what"}, {"target_column": "how"}, {"source_column": "n", "target_column": "n"}):
        with pytest.raises(UsageError, match="two columns"):
            read_pairs(path, **one)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no column 'which'"):
        read_pairs(path, source_column="which", target_column="how")


def test_of_several_languages_two_are_asked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [{"de": "ein Hund und", **r} for r in records()])
    assert holds_pairs(path)
    with pytest.raises(DataError, match="several languages"):
        read_pairs(path)
    with pytest.raises(UsageError, match="no 'cs'"):
        read_pairs(path, "en", "cs")
    assert pairs_of(read_pairs(path, "en", "fr")) == BOTH


@pytest.mark.parametrize("more", [(), ("CC-BY 2.0 (France) by someone",)])
@pytest.mark.parametrize("suffix", [".tsv", ".txt"])
@pytest.mark.parametrize("first", [("Go.", "Va !"), ("go on, my good friend", "continue donc, mon cher ami")])
def test_a_table_without_names_loses_no_pair_if_both_languages_are_said(
    tmp_path: Path, more: tuple[str, ...], suffix: str, first: tuple[str, str]
) -> None:
    rows = [first, *BOTH]
    path = put(tmp_path / f"t{suffix}", "".join("\t".join((*row, *more)) + "\n" for row in rows))
    pairs = read_pairs(path, "en", "fr")
    assert (pairs_of(pairs), pairs.source) == (rows, "en")
    assert not holds_pairs(path)
    with pytest.raises(DataError, match="No two columns") as caught:
        read_pairs(path)
    assert "--from en --to fr" in caught.value.hint


def test_parts_are_tables_side_by_side_or_a_column(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_json_lines(tmp_path / "a" / f"{part}.jsonl", records())
    pairs = read_pairs(tmp_path / "a")
    assert pairs.examples.parts() == {"train": 4, "valid": 4, "test": 4}
    assert holds_pairs(tmp_path / "a")
    rows = [{**r, "split": w} for r, w in zip(records(), ("train", "dev", "train", "test"), strict=True)]
    found = parts(read_pairs(write_csv(tmp_path / "b" / "t.csv", rows)).examples)
    assert list(found.values()) == ["train", "train", "valid", "test"]
    assert read_pairs(tmp_path / "b").examples.parts() == {"train": 2, "valid": 1, "test": 1}


def test_empty_cells_are_read_as_empty_sides(tmp_path: Path) -> None:
    rows: list[Record] = [*nested(), {"translation": {"en": "no more", "fr": None}}, {"translation": None}]
    for path in (write_json_lines(tmp_path / "t.jsonl", rows), write_parquet(tmp_path / "t.parquet", rows)):
        assert pairs_of(read_pairs(path)) == [*BOTH, ("no more", ""), ("", "")]


def test_a_row_with_too_many_cells_is_left_out_and_named(tmp_path: Path) -> None:
    pairs = read_pairs(put(tmp_path / "t.csv", "en,fr\nyes, really,oui\nno thanks,non merci\n"))
    assert (pairs_of(pairs), kinds(pairs.examples)) == ([("no thanks", "non merci")], ["ragged-row"])


def test_nul_characters_and_lone_surrogates_harm_nothing(tmp_path: Path) -> None:
    pairs = read_pairs(put(tmp_path / "t.csv", "en,fr\nsome\0 words,des mots\nother words,d'autres\0 mots\n"))
    assert (pairs_of(pairs)[1], kinds(pairs.examples)) == (("other words", "d'autres mots"), ["nul"])
    pairs = read_pairs(put(tmp_path / "t.jsonl", '{"en": "a \\ud800", "fr": "un \\udfff \\u0000 mot"}\n'))
    assert pairs_of(pairs)[0][1] == "un \ufffd \ufffd mot"


def test_aligned_files_and_memories_are_read_from_the_same_call(tmp_path: Path) -> None:
    unit = "<tu><tuv xml:lang='en'><seg>a dog</seg></tuv><tuv xml:lang='fr'><seg>un chien</seg></tuv></tu>"
    body = f"<tmx version='1.4'><header/><body>{unit}</body></tmx>"
    for place in (
        put(tmp_path / "a" / "m.tmx", body),
        put(tmp_path / "b" / "train.tmx", body).parent,
        put(tmp_path / "c" / "train.en.gz", gzip.compress(b"a dog\n")).parent,
    ):
        put(tmp_path / "c" / "train.fr", "un chien\n")
        assert holds_pairs(place)
        assert pairs_of(read_pairs(place)) == [("a dog", "un chien")]
    put(tmp_path / "b" / "test.tmx", body)
    assert read_pairs(tmp_path / "b").examples.parts() == {"train": 1, "test": 1}
    assert len(read_pairs(tmp_path / "c" / "train").examples) == 1


def test_a_data_set_that_the_library_saved_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"id": datasets.Value("string"), "translation": datasets.Translation(["en", "fr"])})
    rows = {"id": list("abcd"), "translation": [row["translation"] for row in nested()]}
    one = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": one, "validation": one, "extra": one}).save_to_disk(tmp_path / "a")
    one.save_to_disk(tmp_path / "b")
    datasets.Dataset.from_list(records("source", "target")).save_to_disk(tmp_path / "c")
    pairs = read_pairs(tmp_path / "a")
    assert pairs.examples.parts() == {"train": 4, "valid": 4}
    assert (kinds(pairs.examples), pairs.source, pairs.target) == (["split-ignored"], "en", "fr")
    assert names(pairs.examples)[0] == "train#1"
    for place in (tmp_path / "b", tmp_path / "c"):
        assert pairs_of(read_pairs(place)) == BOTH
        assert holds_pairs(place)
    datasets.Dataset.from_list([{"text": s, "label": t} for s, t in BOTH]).save_to_disk(tmp_path / "d")
    assert not holds_pairs(tmp_path / "d")


@ALL
@pytest.mark.parametrize("row", [
    {"text": "some words here", "label": "good"},
    {"en": "some words here", "fr": "des mots ici", "label": "good"},
    {"sentence1": "some words here", "sentence2": "other words here", "label": 1},
    {"text": "some words here", "source": "twitter", "target": 0},
    {"premise": "some words", "hypothesis": "other words", "gold": 1},
    {"id": 1, "no": 7, "is": 0, "it": "x"},
    {"image": "a.jpg", "label": "cat"},
])  # fmt: skip
def test_labelled_tables_are_no_translations(tmp_path: Path, suffix: str, write: Write, row: Record) -> None:
    assert not holds_pairs(write(tmp_path / f"t{suffix}", [row] * 4))


def test_what_is_no_data_holds_no_pairs_and_raises_nothing(tmp_path: Path) -> None:
    put(tmp_path / "photos" / "cats" / "a.jpg")
    put(tmp_path / "lib" / "libx.la", b"\0\1\2")
    put(tmp_path / "lib" / "libx.so", b"\0\1\2")
    for name, data in (("a.csv", b""), ("b.parquet", b"PAR1"), ("c.json", b"{"), ("d.txt", b"words"), ("e.en", b"x")):
        assert not holds_pairs(put(tmp_path / name, data))
    for place in ("photos", "lib", "nothing/there", "a.csv/x"):
        assert not holds_pairs(tmp_path / place)


def test_places_without_translations_are_errors_that_say_what_is_read(tmp_path: Path) -> None:
    put(tmp_path / "photos" / "cats" / "a.jpg")
    with pytest.raises(DataError, match="holds no translations") as caught:
        read_pairs(tmp_path / "photos")
    assert "train.en" in caught.value.hint
    with pytest.raises(DataError, match="holds no translations"):
        read_pairs(put(tmp_path / "a.docx", "words"))
    with pytest.raises(UsageError, match="no file or folder"):
        read_pairs(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="No two columns"):
        read_pairs(write_csv(tmp_path / "t.csv", [{"text": "a dog", "label": 1}] * 3))
    with pytest.raises(DataError, match="damaged"):
        read_pairs(put(tmp_path / "t.parquet", b"PAR1 and no more"))


cell = st.text(max_size=20)


@given(st.lists(st.tuples(cell, cell), max_size=6), st.sampled_from([".csv", ".tsv", ".txt", ".jsonl", ".json"]))
def test_no_table_whatever_is_in_it_fails_with_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"anything{suffix}"
    for text in (
        "en\tfr\n" + "\n".join(f"{a}\t{b}" for a, b in rows),
        "\n".join(
            json.dumps({"translation": {"en": a, "fr": b}} if i % 2 else {a: b}) for i, (a, b) in enumerate(rows)
        ),
    ):
        put(path, text.encode("utf-8", "surrogatepass"))
        holds_pairs(path)
        with suppress(DataError, UsageError):
            read_pairs(path, *random.Random(0).choice([("en", "fr"), (None, None)]))


@pytest.mark.parametrize(
    ("name", "holds"),
    [("multi30k", True), ("tico19_en_fr", True), *((n, False) for n in ("sst2", "banking77", "trec", "hymenoptera"))],
)
def test_well_known_data_are_told_apart(shared: Path, name: str, holds: bool) -> None:
    if not (shared / "data" / name).is_dir():
        pytest.skip(f"no {name} in the shared data")
    assert holds_pairs(shared / "data" / name) is holds
