from __future__ import annotations

import csv
import io
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import kinds, names, parts, put, write_json, write_json_lines, write_parquet
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.check import check
from headstart.data.examples import Examples
from headstart.data.read import read
from headstart.data.texts import TextFile, inspect_text, split_pair
from headstart.errors import DataError, UsageError
from headstart.progress import quiet

Record = dict[str, object]
FILMS = {
    "a dull film, too long": "bad",
    'they call it "art"': "bad",
    "a film to love; see it": "good",
    "très drôle, and moving": "good",
}
WORDS = ["plain old words", "some more words", "other words", "words again", "the last words", "few words"]


def records(text: str = "text", label: str = "label") -> list[Record]:
    return [{text: t, label: y} for t, y in FILMS.items()]


def texts(examples: Examples) -> list[str]:
    return [" | ".join(split_pair(e.content.read())) for e in examples.items]


def pairs(examples: Examples) -> list[tuple[str, str]]:
    return list(zip(texts(examples), [e.target for e in examples.items], strict=True))


def write_csv(
    path: Path, rows: Sequence[Record], header: bool = True, encoding: str = "utf-8", **style: object
) -> Path:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, **style)  # type: ignore[arg-type]
    writer.writerows([list(rows[0])] * header + [list(r.values()) for r in rows])
    return put(path, buffer.getvalue().encode(encoding))


WRITERS: list[tuple[str, Callable[[Path, Sequence[Record]], Path]]] = [
    (".csv", write_csv),
    (".tsv", lambda path, rows: write_csv(path, rows, delimiter="\t")),
    (".jsonl", write_json_lines),
    (".json", write_json),
    (".parquet", write_parquet),
]
ALL = pytest.mark.parametrize(("suffix", "write"), WRITERS, ids=[suffix for suffix, _ in WRITERS])


@ALL
def test_every_format_gives_the_same_texts(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    examples = read(write(tmp_path / f"t{suffix}", records()))
    assert pairs(examples) == list(FILMS.items())
    assert names(examples) == [f"t{suffix}#{i}" for i in (1, 2, 3, 4)]
    assert (examples.kind, examples.findings) == ("text", ())
    assert "texts in 'text', labels in 'label'" in examples.how


@ALL
def test_pairs_are_known_by_their_names_or_named_in_the_call(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    rows: list[Record] = [{"idx": i, "Premise": f"p {i}", "Hypothesis": f"h {i}", "label": i % 2} for i in range(4)]
    path = write(tmp_path / f"t{suffix}", rows)
    assert texts(read(path))[0] == "p 0 | h 0"
    assert texts(read(path, "Hypothesis, Premise"))[0] == "h 0 | p 0"
    assert "texts in 'Premise' and 'Hypothesis'" in read(path).how
    with pytest.raises(UsageError, match="no column 'premise'"):
        read(path, "premise,Hypothesis")


def test_a_column_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    path = write_json(tmp_path / "t.json", [{"what, exactly": t, "label": y} for t, y in FILMS.items()])
    assert texts(read(path, "what, exactly")) == list(FILMS)


@pytest.mark.parametrize("text", ["Sentence", "review", "utterance", "tweet", "body"])
@pytest.mark.parametrize("label", ["intent", "Sentiment", "category", "stars"])
def test_columns_are_found_by_their_names(tmp_path: Path, text: str, label: str) -> None:
    rows: list[Record] = [{"about": "a remark of some length that is not the text", **r} for r in records(text, label)]
    assert pairs(read(write_csv(tmp_path / "t.csv", rows))) == list(FILMS.items())


def test_columns_of_other_names_are_found_by_looking(tmp_path: Path) -> None:
    rows: list[Record] = [
        {
            "when": f"2024-01-0{i + 1}",
            "v2": t,
            "who": f"user{i}@a-long-name.example.org",
            "v1": y,
            "n": 7,
        }
        for i, (t, y) in enumerate(FILMS.items())
    ]
    assert pairs(read(write_csv(tmp_path / "t.csv", rows))) == list(FILMS.items())


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "index", "id"])
@pytest.mark.parametrize("start", [0, 1, 17])
def test_a_column_that_numbers_the_rows_is_neither_text_nor_label(tmp_path: Path, index: str, start: int) -> None:
    rows: list[Record] = [{index: start + i, **r} for i, r in enumerate(records("what", "how it is"))]
    assert pairs(read(write_csv(tmp_path / "t.csv", rows))) == list(FILMS.items())
    assert pairs(read(write_csv(tmp_path / "t.csv", rows[1:3]))) == list(FILMS.items())[1:3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_encodings_and_line_ends_are_understood(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    path = write_csv(tmp_path / "t.csv", records(), delimiter=delimiter, encoding=encoding, lineterminator=end)
    assert pairs(read(path)) == list(FILMS.items())


SENTENCES = [f"{word} {end}" for word in WORDS for end in ("are good enough", "come again here", "no , not at all")]


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("first", ["text", "label"])
def test_a_table_without_a_header_loses_no_row(tmp_path: Path, delimiter: str, first: str) -> None:
    rows: list[Record] = [{"text": t, "label": i % 3} for i, t in enumerate(SENTENCES)]
    if first == "label":
        rows = [{"label": r["label"], "text": r["text"]} for r in rows]
    examples = read(write_csv(tmp_path / "t.tsv", rows, header=False, delimiter=delimiter))
    assert texts(examples) == SENTENCES
    assert examples.classes == ("0", "1", "2")
    assert "no header" in examples.how


def test_a_label_called_as_columns_are_makes_no_header(tmp_path: Path) -> None:
    rows: list[Record] = [{"y": ("question", "comment")[i % 2], "x": t} for i, t in enumerate(SENTENCES)]
    examples = read(write_csv(tmp_path / "t.csv", rows, header=False))
    assert (len(examples), examples.classes) == (len(SENTENCES), ("comment", "question"))


def test_a_first_row_that_may_be_names_or_not_is_taken_for_names_and_named(tmp_path: Path) -> None:
    examples = read(put(tmp_path / "t.csv", "what,how\nquite nice,good\nnot nice,bad\nso nice,good\n"))
    assert pairs(examples)[0] == ("quite nice", "good")
    assert [(f.kind, f.severity, f.bad) for f in examples.findings] == [("header-assumed", "note", False)]
    assert "'what', 'how'" in examples.findings[0].reason


def test_the_numbers_that_pandas_calls_columns_are_a_header(tmp_path: Path) -> None:
    rows: list[Record] = [{"0": t, "1": i % 2} for i, t in enumerate(SENTENCES)]
    assert texts(read(write_csv(tmp_path / "t.csv", rows))) == SENTENCES


def test_a_column_without_a_header_can_be_named_by_its_number(tmp_path: Path) -> None:
    rows: list[Record] = [{"a": t, "b": i % 2, "c": i % 3} for i, t in enumerate(SENTENCES)]
    path = write_csv(tmp_path / "t.tsv", rows, header=False, delimiter="\t")
    assert read(path, "column 1", "column 3").classes == ("0", "1", "2")


def test_a_small_part_has_no_header_if_the_first_has_none(tmp_path: Path) -> None:
    rows: list[Record] = [{"text": t, "label": ("bad", "good")[i % 2]} for i, t in enumerate(SENTENCES)]
    write_csv(tmp_path / "train.tsv", rows, header=False, delimiter="\t")
    put(tmp_path / "dev.tsv", "nice\tgood\n")
    examples = read(tmp_path)
    assert examples.parts() == {"train": len(SENTENCES), "valid": 1}
    assert texts(examples)[-1] == "nice"


def test_the_columns_of_the_first_part_are_those_of_the_others(tmp_path: Path) -> None:
    rows: list[Record] = [{"what": t, "tone": i % 2, "lang": "fr" if i < 5 else "en"} for i, t in enumerate(SENTENCES)]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [{**r, "tone": 1} for r in rows[3:7]])
    assert read(tmp_path).classes == ("0", "1")


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_tsv_that_a_program_quoted_is_read_without_its_quotes(tmp_path: Path, quoting: int) -> None:
    rows = [*records(), {"text": "two\nlines and\ta tab", "label": "bad"}]
    for some in (rows[:4], rows):
        path = write_csv(tmp_path / "t.tsv", some, delimiter="\t", quoting=quoting)
        assert texts(read(path)) == [r["text"] for r in some]


@pytest.mark.parametrize(
    "text",
    [
        '"Good film" , he says',
        '"Good film"',
        '" never closed',
        'closed only "',
        '5" wide and 3" high',
        '"one" and "two"',
        '"',
        '""',
        '"a" "b',
    ],
)
def test_quotation_marks_in_a_tsv_are_text_and_swallow_nothing(tmp_path: Path, text: str) -> None:
    lines = [f"{t}\t{i % 2}" for i, t in enumerate(SENTENCES)]
    for at in (0, 5, len(lines)):
        for count in (1, 2):
            put(tmp_path / "t.tsv", "\n".join([*lines[:at], *[f"{text}\t1"] * count, *lines[at:]]))
            examples = read(tmp_path / "t.tsv")
            assert len(examples) == len(lines) + count
            assert texts(examples).count(text) == count


@pytest.mark.parametrize("stray", ['"never closed,bad', '"Great" film,good', '"odd"ly,bad'])
def test_a_stray_quotation_mark_in_a_csv_swallows_nothing_and_is_named(tmp_path: Path, stray: str) -> None:
    lines = ["text,label", '"one, two",good', stray, '"three\nfour, five",bad', *(f"{t},good" for t in WORDS)]
    examples = read(put(tmp_path / "t.csv", "\n".join(lines)))
    assert texts(examples)[:3] == ["one, two", stray.rpartition(",")[0], "three\nfour, five"]
    assert len(examples) == 3 + len(WORDS)
    assert [(f.kind, f.name, f.bad) for f in examples.findings] == [("stray-quote", "t.csv line 3", False)]


def test_quotes_escaped_as_databases_do_are_understood(tmp_path: Path) -> None:
    body = 'text,label\n"he said \\"no\\", then \\"yes\\"",good\n"well, well",bad\n'
    assert texts(read(put(tmp_path / "t.csv", body))) == ['he said "no", then "yes"', "well, well"]


field = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)


@given(st.lists(st.tuples(field, st.sampled_from(["bad", "good"])), min_size=2, max_size=12), st.sampled_from(",;\t"))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    everything = [{"text": t, "label": y} for t, y in (*rows, ("one, two; three\tfour", "bad"), ("x", "good"))]
    write_csv(path, everything, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    examples = read(path, "text", "label")
    assert texts(examples) == [split_pair(str(r["text"]).strip().encode())[0] for r in everything]


@given(st.lists(st.tuples(field, field), max_size=10), st.sampled_from([".csv", ".tsv", ".txt", ".jsonl", ".json"]))
def test_no_table_whatever_is_in_it_fails_with_anything_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    put(path, "\n".join(f"{a},{b}\t{a}" for a, b in rows))
    with suppress(DataError, UsageError):
        check(read(path, kind="text"), inspect_text, quiet)


literal = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\r\n"), max_size=20).map(str.strip)


@given(st.lists(literal, max_size=20))
def test_of_a_literal_tsv_every_row_is_read_and_as_it_stands(
    tmp_path_factory: pytest.TempPathFactory, written: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "literal.tsv"
    everything = [*SENTENCES, '"quoted" once , and at length', *written]
    put(path, "".join(f"{t}\t{i % 2}\n" for i, t in enumerate(everything)))
    found = texts(read(path, "column 1", "column 2"))
    assert found == [split_pair(t.encode())[0] for t in everything]


def test_nul_characters_in_a_csv_are_dropped_and_named(tmp_path: Path) -> None:
    examples = read(put(tmp_path / "t.csv", "text,label\nsome\0 words,a\nother words,b\n"))
    assert texts(examples) == ["some words", "other words"]
    assert [(f.kind, f.severity, f.name) for f in examples.findings] == [("nul", "repaired", "t.csv")]


def test_a_lone_surrogate_in_json_is_replaced_and_named(tmp_path: Path) -> None:
    rows = '{"text": "half \\ud800 of it", "label": "a"}\n{"text": "whole \\ud83d\\ude00", "label": "\\ud800"}\n'
    examples = read(put(tmp_path / "t.jsonl", rows))
    assert texts(examples) == ["half \ufffd of it", "whole 😀"]
    assert examples.classes == ("\\ud800", "a")
    assert kinds(check(examples, inspect_text, quiet).examples) == ["lost-characters", *["single-example-class"] * 2]


def test_lines_of_a_megabyte_are_read(tmp_path: Path) -> None:
    long = "word " * 250_000
    for suffix, write in WRITERS:
        rows: list[Record] = [{"text": long, "label": "a"}, {"text": "some words", "label": "b"}]
        examples = read(write(tmp_path / f"t{suffix}", rows))
        assert [len(t) for t in texts(examples)] == [len(long) - 1, 10]
        assert "long" in kinds(check(examples, inspect_text, quiet).examples)


@ALL
def test_empty_texts_and_labels_are_named(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    rows: list[Record] = [{"text": t, "label": "ab"[i % 2]} for i, t in enumerate(SENTENCES)]
    rows[1]["text"], rows[2]["label"] = " ", ""
    examples = read(write(tmp_path / f"t{suffix}", rows))
    checked = check(examples, inspect_text, quiet).examples
    assert [(f.kind, f.name, f.bad) for f in checked.findings] == [
        ("no-label", f"t{suffix}#03", True),
        ("empty", f"t{suffix}#02", True),
    ]
    assert len(checked) == len(rows) - 2


def test_a_row_that_comes_twice_stays_twice_and_is_named_by_the_check(tmp_path: Path) -> None:
    examples = read(write_csv(tmp_path / "t.csv", [*records(), records()[0]]))
    assert len(examples) == 5
    assert kinds(check(examples, inspect_text, quiet).examples) == ["duplicate"]


def test_a_row_with_too_many_cells_is_left_out_and_named(tmp_path: Path) -> None:
    body = "text,label\nI like it, really,good\nI do not like it,bad\nfine,good,\n,\n"
    examples = read(put(tmp_path / "t.csv", body))
    assert pairs(examples) == [("I do not like it", "bad"), ("fine", "good")]
    assert [(f.kind, f.name, f.bad) for f in examples.findings] == [
        ("empty-rows", "t.csv", False),
        ("ragged-row", "t.csv#1", True),
    ]


def test_whole_numbers_that_pandas_made_floats_are_whole_again(tmp_path: Path) -> None:
    rows: list[Record] = [{"text": t, "label": float(i % 2)} for i, t in enumerate(SENTENCES)]
    for path in (write_parquet(tmp_path / "t.parquet", rows), write_csv(tmp_path / "t.csv", rows)):
        examples = read(path)
        assert examples.classes == ("0", "1")
        assert [(f.kind, f.severity) for f in examples.findings] == [("whole-numbers", "repaired")]


def test_floats_in_one_part_and_whole_numbers_in_another_are_the_same_classes(tmp_path: Path) -> None:
    rows: list[Record] = [{"text": t, "label": float(i % 2)} for i, t in enumerate(SENTENCES)]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", [{**r, "label": "1"} for r in rows[:3]])
    assert read(tmp_path).classes == ("0", "1")


def test_versions_stay_versions(tmp_path: Path) -> None:
    rows: list[Record] = [{"text": t, "label": ("1.0", "1.5", "2.0")[i % 3]} for i, t in enumerate(SENTENCES)]
    assert read(write_csv(tmp_path / "t.csv", rows)).classes == ("1.0", "1.5", "2.0")


def test_a_column_of_parts_makes_parts(tmp_path: Path) -> None:
    rows: list[Record] = [{**r, "split": w} for r, w in zip(records(), ("train", "dev", "train", "test"), strict=True)]
    assert list(parts(read(write_csv(tmp_path / "t.csv", rows))).values()) == ["train", "train", "valid", "test"]


def test_class_names_in_parquet_metadata_are_the_labels(tmp_path: Path) -> None:
    table = pa.table({"text": SENTENCES[:4], "coarse_label": [0, 1, 0, -1], "fine_label": [3, 4, 5, 6]})
    label = {"_type": "ClassLabel", "names": ["ABBR", "NUM"]}
    info = {"info": {"features": {"coarse_label": label}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "t.parquet")
    examples = read(tmp_path / "t.parquet")
    assert (examples.classes, kinds(examples)) == (("ABBR", "NUM"), ["no-label"])


def test_paths_of_text_files_are_read_from_there(tmp_path: Path) -> None:
    rows: list[Record] = []
    for i, (text, label) in enumerate(FILMS.items()):
        put(tmp_path / "texts" / f"{i}.txt", text)
        rows.append({"file": f"texts/{i}.txt", "label": label})
    examples = read(write_csv(tmp_path / "t.csv", rows))
    assert (examples.kind, pairs(examples)) == ("text", list(FILMS.items()))
    assert isinstance(examples.items[0].content, TextFile)


def test_paths_of_pictures_beside_texts_are_pictures_unless_told_otherwise(tmp_path: Path) -> None:
    rows: list[Record] = [{"image": f"{i}.jpg", **r} for i, r in enumerate(records())]
    path = write_csv(tmp_path / "t.csv", rows)
    assert read(path).kind == "picture"
    for examples in (read(path, kind="text"), read(path, "text")):
        assert (examples.kind, texts(examples)) == ("text", list(FILMS))


def test_paths_of_text_files_are_found_beside_other_words(tmp_path: Path) -> None:
    rows: list[Record] = []
    for i, (text, label) in enumerate(FILMS.items()):
        put(tmp_path / f"{i}.txt", text)
        rows.append({"who wrote it": f"some author {i}", "where": f"{i}.txt", "label": label})
    assert texts(read(write_csv(tmp_path / "t.csv", rows))) == list(FILMS)


def test_a_text_file_that_is_missing_is_named(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / f"{i}.txt", f"text {i}")
    rows: list[Record] = [{"file": f"{i}.txt", "label": i % 2} for i in range(4)]
    examples = read(write_csv(tmp_path / "t.csv", rows))
    assert (names(examples), kinds(examples)) == (["0.txt", "1.txt", "2.txt"], ["missing"])


def test_identifiers_are_no_texts_unless_named(tmp_path: Path) -> None:
    rows: list[Record] = [{"code": f"img_{i:05}", "label": i % 2} for i in range(9)]
    path = write_csv(tmp_path / "t.csv", rows)
    with pytest.raises(DataError, match="holds texts"):
        read(path)
    assert read(path, "code").kind == "text"


def test_columns_that_are_mostly_empty_are_no_labels(tmp_path: Path) -> None:
    rows: list[Record] = [
        {"v1": "abc"[i % 3], "v2": t, "": "x" if i == 1 else "y" * (i == 2)} for i, t in enumerate(SENTENCES)
    ]
    assert read(write_csv(tmp_path / "spam.csv", rows)).classes == ("a", "b", "c")


def test_a_script_without_spaces_is_text(tmp_path: Path) -> None:
    rows: list[Record] = [{"什么": f"这部电影第{i}次很好看", "uid": f"{i * 7919:030x}", "y": i % 2} for i in range(9)]
    assert texts(read(write_csv(tmp_path / "t.csv", rows)))[1] == "这部电影第1次很好看"


def test_a_table_of_numbers_has_no_texts(tmp_path: Path) -> None:
    rows: list[Record] = [{"width": i * 1.5, "height": i * 2.5, "label": i % 2} for i in range(9)]
    with pytest.raises(DataError, match="holds texts"):
        read(write_csv(tmp_path / "t.csv", rows))


def test_a_table_without_labels_says_so(tmp_path: Path) -> None:
    rows: list[Record] = [{"id": i, "text": t} for i, t in enumerate(SENTENCES)]
    with pytest.raises(DataError, match="holds labels"):
        read(write_csv(tmp_path / "t.csv", rows))


def test_ten_thousand_rows_take_a_moment(tmp_path: Path) -> None:
    rng = random.Random(0)
    rows: list[Record] = [
        {"text": " ".join(rng.choices(WORDS, k=5)) + f' "{i}"', "label": i % 7} for i in range(10_000)
    ]
    path = write_csv(tmp_path / "t.csv", rows)
    start = time.process_time()
    assert len(read(path)) == 10_000
    assert time.process_time() - start < 3  # 0.2 s on an idle machine


@pytest.mark.parametrize(
    ("name", "counts", "classes"),
    [
        ("sst2", {"train": 6920, "valid": 872, "test": 1821}, 2),
        ("banking77", {"train": 10003, "test": 3080}, 77),
        ("trec", {"train": 5452, "test": 500}, 6),
    ],
)
def test_well_known_data_are_read_whole(shared: Path, name: str, counts: dict[str, int], classes: int) -> None:
    if not (shared / "data" / name).is_dir():
        pytest.skip(f"no {name} in the shared data")
    examples = read(shared / "data" / name)
    assert (examples.kind, examples.parts(), len(examples.classes)) == ("text", counts, classes)
    assert examples.findings == ()
    assert not any(f.bad for f in check(examples, inspect_text, quiet).examples.findings)
