"""What is to be said of the examples is found by looking at the labels, or is what was asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import kinds, put, write_json, write_json_lines, write_parquet
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.check import check
from headstart.data.examples import Example, Examples, Goal, Part, labels_of
from headstart.data.parts import gathered
from headstart.data.read import read
from headstart.data.targets import aimed, goal_of, joined, separator
from headstart.data.texts import TextContent, inspect_text
from headstart.errors import DataError, UsageError
from headstart.progress import quiet

TAGS = ("dark", "long", "wet", "new", "old")
MANY = [f"{i / 7:.3f}" for i in range(30)]


def some_lists(count: int = 40, seed: int = 0) -> list[tuple[str, ...]]:
    """Lists of up to three of five labels, each in any company, in order; some are empty."""
    rng = np.random.default_rng(seed)
    return [tuple(sorted(rng.permutation(TAGS)[: rng.integers(0, 4)].tolist())) for _ in range(count)]


def full_lists() -> list[tuple[str, ...]]:
    return [each for each in some_lists(60) if each]


def examples(words: Sequence[str], part: Part = "") -> Examples:
    items = tuple(Example(f"t{i}", TextContent.of(f"text {i}"), word, part) for i, word in enumerate(words))
    return Examples(items, "made up", kind="text")


def found(words: Sequence[str], goal: Goal | None = None) -> tuple[Goal, list[object]]:
    made = aimed(examples(words), goal)
    return made.goal, [e.target for e in made.items]


def test_examples_are_counted_by_label_and_part_and_translations_together() -> None:
    both = examples(["a", "b", "a"], "train")
    assert both.counted() == {("a", "train"): 2, ("b", "train"): 1}
    assert replace(both, goal="text").counted() == {("translated", "train"): 3}
    assert aimed(examples(["a|b", "b|c", "a", "b|a"]), "labels").counted() == {("a", ""): 3, ("b", ""): 3, ("c", ""): 1}


# -- lists


@pytest.mark.parametrize("sign", ["|", ";", ",", " | ", ", "])
def test_labels_with_a_sign_between_that_come_again_in_other_company_are_lists(sign: str) -> None:
    lists = full_lists()
    words = [sign.join(each) for each in lists]
    assert separator(words) == sign.strip()
    assert found(words) == ("labels", lists)


@pytest.mark.parametrize("write", [json.dumps, lambda each: repr(list(each))], ids=["JSON", "Python"])
def test_lists_are_read_as_json_and_python_write_them_and_an_empty_one_is_an_example_without_a_label(
    write: object,
) -> None:
    lists = some_lists()
    assert () in lists
    assert found([write(each) for each in lists]) == ("labels", lists)  # type: ignore[operator]


def test_labels_of_a_list_are_in_order_and_each_is_there_once() -> None:
    assert found(['["b", "a", "b", " a ", ""]']) == ("labels", [("a", "b")])


def test_numbers_in_a_list_are_names() -> None:
    assert found(["[1, 2]", "[2, 3]", "[]"]) == ("labels", [("1", "2"), ("2", "3"), ()])


def test_a_single_label_among_lists_is_a_list_of_one() -> None:
    words = ["|".join(each) for each in full_lists()]
    assert any("|" not in word for word in words)
    assert {len(labels_of(target)) for target in found(words)[1]} == {1, 2, 3}  # type: ignore[arg-type]


def test_the_first_sign_that_makes_lists_is_taken_and_the_others_are_part_of_the_names() -> None:
    lists = [tuple(f"{name}, very" for name in each) for each in full_lists()]
    assert found(["|".join(each) for each in lists]) == ("labels", lists)


@pytest.mark.parametrize(
    "words",
    [
        ["cat", "dog", "cat"] * 9,
        ["New York, NY", "Boston, MA", "Austin, TX", "Salem, OR"] * 9,
        [f"Smith, John {i}" for i in range(30)],
        ["yes; of course", "no", "no"] * 9,
        ["a|b"] * 30,
        ["[draft", "final]", "[draft"] * 9,
        ["[draft]", "[final]"] * 9,
        ["", "", ""],
    ],
    ids=["words", "places", "names", "one with a sign", "always the same", "brackets", "no list", "empty"],
)
def test_what_only_looks_like_lists_is_names(words: list[str]) -> None:
    assert goal_of(words) == "label"
    assert found(words)[1] == words


def test_a_few_cells_that_are_no_lists_do_not_hide_what_the_others_are() -> None:
    words = [json.dumps(each) for each in some_lists(100)]
    words[3] = words[7] = "wet"
    goal, targets = found(words)
    assert goal == "labels"
    assert targets[3] == targets[7] == ("wet",)


def test_lists_that_were_asked_for_are_read_where_looking_would_not_find_any() -> None:
    words = ["a|b", "c", "d|a", "e"]
    assert goal_of(words) == "label"
    assert found(words, "labels") == ("labels", [("a", "b"), ("c",), ("a", "d"), ("e",)])
    assert found(["cat", "dog"], "labels") == ("labels", [("cat",), ("dog",)])


def test_names_that_were_asked_for_stay_as_they_are() -> None:
    words = ["|".join(each) for each in full_lists()]
    assert found(words, "label") == ("label", words)


@given(st.lists(st.text(alphabet="ab|;,[]\"' 1.-", max_size=9), min_size=1, max_size=40))
def test_whatever_is_written_something_is_found(words: list[str]) -> None:
    goal = goal_of(words)
    assert goal in ("label", "labels", "number")
    assert len(aimed(examples(words)).items) <= len(words)


# -- numbers


def test_many_different_numbers_that_are_not_all_whole_are_numbers() -> None:
    goal, targets = found(MANY)
    assert goal == "number"
    assert targets == [float(word) for word in MANY]
    assert all(type(target) is float for target in targets)


@pytest.mark.parametrize("word", ["-3.5", "+3.5", "1e-3", " 2.5 ", "\u22123.5", ".5"])
def test_numbers_are_read_as_they_are_written(word: str) -> None:
    expected = float(word.replace("\u2212", "-"))
    assert found([*MANY, word])[1][-1] == expected


@pytest.mark.parametrize(
    "words",
    [
        [str(i) for i in range(50)],
        [f"{i % 9 + 0.5}" for i in range(50)],
        [*MANY, "many"],
        ["1.0", "2.0", "5.0"] * 20,
        ["nan", "inf", *MANY],
    ],
    ids=["whole", "few", "a word", "classes", "not finite"],
)
def test_whole_or_few_numbers_may_be_names_and_are_taken_as_such(words: list[str]) -> None:
    assert goal_of(words) == "label"


def test_many_whole_numbers_as_names_are_remarked_on() -> None:
    [finding] = aimed(examples([str(i) for i in range(21)])).findings
    assert (finding.kind, finding.severity) == ("numbers-as-names", "note")
    assert "21 different numbers" in finding.reason
    assert "--goal number" in finding.reason
    assert aimed(examples([str(i) for i in range(20)])).findings == ()
    assert aimed(examples([*(str(i) for i in range(30)), "x"])).findings == ()


def test_numbers_that_were_asked_for_are_read_and_what_is_none_is_left_out_and_named() -> None:
    made = aimed(examples(["5", "4.5", "many", "1,5", "nan", "-inf", "0"]), "number")
    assert made.goal == "number"
    assert [(e.name, e.target) for e in made.items] == [("t0", 5.0), ("t1", 4.5), ("t6", 0.0)]
    assert [(f.name, f.kind, f.severity, f.bad) for f in made.findings] == [
        (name, "no-target", "left out", True) for name in ("t2", "t3", "t4", "t5")
    ]
    assert "'many'" in made.findings[0].reason
    assert "number" in made.findings[0].reason


def test_where_no_label_is_a_number_it_is_an_error_that_shows_some() -> None:
    with pytest.raises(DataError, match="No label is a number") as error:
        aimed(examples(["cat", "dog"]), "number")
    assert "'cat', 'dog'" in error.value.found
    assert "--goal label" in error.value.hint


def test_how_the_labels_were_read_is_said_and_how_to_have_it_otherwise() -> None:
    assert "each label is read as a number (--goal label" in aimed(examples(MANY)).how
    asked = aimed(examples(MANY), "number").how
    assert asked.endswith("each label is read as a number")
    assert "list of labels" in aimed(examples(["[]", '["a"]'])).how
    assert aimed(examples(["cat", "dog"])).how == "made up"


# -- several columns of 0 and 1


def test_several_columns_are_a_list_of_those_that_say_yes() -> None:
    columns = {"rude": ["1", "0", "", "x"], "loud": ["1", "0", "1", "1"]}
    assert joined(columns, ["rude", "loud"]) == ['["rude", "loud"]', "[]", "", ""]
    assert joined(columns, ["loud", "rude"])[0] == '["loud", "rude"]'


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("YES", "no"), ("t", "f")])
def test_yes_and_no_are_written_in_many_ways(yes: str, no: str) -> None:
    assert joined({"a": [yes, no], "b": [no, no]}, ["a", "b"]) == ['["a"]', "[]"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [(["red", "green", "blue"], "blue, green, red"), (["cat", "dog", "cat"], "cat, dog"), (["3", "", "2"], "2, 3")],
)
def test_a_column_that_says_something_else_is_refused_by_its_name(values: list[str], shown: str) -> None:
    columns = {"wet": ["1", "0", "1"], "other": values}
    with pytest.raises(UsageError, match="'other' does not") as error:
        joined(columns, ["wet", "other"])
    assert error.value.found == shown


def test_a_few_cells_that_say_something_else_are_rows_without_a_label_and_no_error() -> None:
    found = joined({"wet": ["1", "0", "1", "0"] * 3, "dry": ["0", "1", "-1", "?", *"01" * 4]}, ["wet", "dry"])
    assert found.count("") == 2
    assert found[:4] == ['["wet"]', '["dry"]', "", ""]


def comments(count: int = 12) -> list[dict[str, object]]:
    return [
        {"comment": f"comment {i} with some words", "toxic": i % 2, "rude": int(i % 3 == 0), "id": i}
        for i in range(count)
    ]


def expected(count: int = 12) -> list[tuple[str, ...]]:
    return [tuple(sorted(["rude"] * (i % 3 == 0) + ["toxic"] * (i % 2))) for i in range(count)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_several_columns_of_a_table_are_named_with_commas_between(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"comments{suffix}", comments())
    made = read(path, "comment", "toxic, rude")
    assert (made.goal, made.kind, made.classes) == ("labels", "text", ("rude", "toxic"))
    assert [e.target for e in made.items] == expected()
    assert made.items[1].content.read() == b"comment 1 with some words"


def test_a_row_that_says_neither_yes_nor_no_has_no_label_and_is_named(tmp_path: Path) -> None:
    rows = comments()
    rows[4]["rude"] = ""
    made = read(written(tmp_path / "t.csv", rows), "comment", "toxic,rude")
    assert len(made) == 11
    assert [(f.kind, f.name) for f in made.findings] == [("no-label", "t.csv#05")]


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'threat'"):
        read(written(tmp_path / "t.csv", comments()), "comment", "toxic,threat")


def test_a_label_column_with_a_comma_in_its_name_is_that_column(tmp_path: Path) -> None:
    rows = [{"comment": f"some words {i}", "toxic,rude": "ab"[i % 2]} for i in range(8)]
    made = read(write_json(tmp_path / "t.json", rows), "comment", "toxic,rude")
    assert (made.goal, made.classes) == ("label", ("a", "b"))


# -- tables


def written(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    if path.suffix == ".csv":
        lines = [",".join(rows[0])]
        for row in rows:
            cells = (str(value).replace('"', '""') for value in row.values())
            lines.append(",".join(f'"{cell}"' for cell in cells))
        return put(path, "\n".join(lines))
    return {".jsonl": write_json_lines, ".json": write_json, ".parquet": write_parquet}[path.suffix](path, rows)


def tagged(lists: Sequence[Sequence[str]], name: str = "tags") -> list[dict[str, object]]:
    return [{"text": f"some words, number {i}", name: list(each)} for i, each in enumerate(lists)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("name", ["tags", "genres", "labels"])
def test_a_column_of_lists_is_read_from_every_format(suffix: str, name: str, tmp_path: Path) -> None:
    lists = some_lists()
    made = read(written(tmp_path / f"t{suffix}", tagged(lists, name)))
    assert made.goal == "labels"
    assert [e.target for e in made.items] == lists
    assert made.classes == tuple(sorted(TAGS))
    assert made.findings == ()


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.int8())])
def test_lists_of_parquet_are_read_whatever_their_type(kind: pa.DataType, tmp_path: Path) -> None:
    values = [[1, 2], [], [3], None] if kind.value_type == pa.int8() else [["1", "2"], [], ["3"], None]
    columns = {"text": [f"some words {i}" for i in range(4)], "tags": pa.array(values, kind)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    made = read(tmp_path / "t.parquet")
    assert [e.target for e in made.items] == [("1", "2"), (), ("3",)]
    assert kinds(made) == ["no-label"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_column_of_numbers_is_read_from_every_format(suffix: str, tmp_path: Path) -> None:
    rows = [{"text": f"some words {i}", "score": i / 7} for i in range(30)]
    made = read(written(tmp_path / f"t{suffix}", rows))
    assert made.goal == "number"
    np.testing.assert_allclose([e.target for e in made.items], np.arange(30) / 7)
    assert made.classes == ()
    assert made.findings == ()


def test_stars_are_names_or_numbers_as_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", [{"text": f"some words {i}", "stars": 1 + i % 5} for i in range(30)])
    assert read(path).goal == "label"
    made = read(path, goal="number")
    assert {e.target for e in made.items} == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert (made.goal, read(path, goal="labels").classes) == ("number", ("1", "2", "3", "4", "5"))


def test_whole_numbers_as_names_lose_their_point_and_as_numbers_have_none(tmp_path: Path) -> None:
    rows = [{"text": f"some words {i}", "label": f"{i % 2}.0"} for i in range(8)]
    path = written(tmp_path / "t.csv", rows)
    assert (read(path).classes, kinds(read(path))) == (("0", "1"), ["whole-numbers"])
    assert kinds(read(path, goal="number")) == []


# -- parts


def parted(train: Sequence[Sequence[str]], test: Sequence[Sequence[str]]) -> list[Example]:
    made = []
    for part, lists in (("train", train), ("test", test)):
        for i, each in enumerate(lists):
            content = TextContent.of(f"{part} {i}")
            made.append(Example(f"{part}{i}", content, json.dumps(each), part))  # type: ignore[arg-type]
    return made


def test_labels_that_only_the_test_part_has_are_passed_over_there_and_named() -> None:
    made = gathered(parted([["a"], ["a", "b"]], [["b", "new"], ["new"], ["a"], ["newer"]]), [], "", "text", None)
    assert [e.target for e in made.items if e.part == "test"] == [("b",), (), ("a",), ()]
    assert made.classes == ("a", "b")
    assert [(f.name, f.kind, f.severity) for f in made.findings] == [
        ("test/new", "unseen-class", "repaired"),
        ("test/newer", "unseen-class", "repaired"),
    ]
    assert "passed over in 2 test examples" in made.findings[0].reason
    assert "passed over in 1 test example" in made.findings[1].reason


def test_labels_that_the_test_part_lacks_are_remarked_on() -> None:
    made = gathered(parted([["a"], ["b", "c"]], [["a"], []]), [], "", "text", None)
    assert {(f.kind, f.severity) for f in made.findings} == {("class-not-judged", "note")}
    assert len(made.findings) == 2


def test_no_number_is_unseen_or_unjudged() -> None:
    items = [Example(f"t{i}", TextContent.of(str(i)), str(i / 3), "test" if i > 40 else "train") for i in range(50)]
    made = gathered(items, [], "", "text", None)
    assert (made.goal, len(made), made.findings) == ("number", 50, ())


def test_the_parts_of_a_data_set_are_read_alike(tmp_path: Path) -> None:
    """By itself the test part, whose numbers are few and whole, would be taken for names."""
    for part, values in (("train", np.arange(40) / 7), ("test", np.arange(3))):
        written(tmp_path / f"{part}.csv", [{"text": f"{part} words {i}", "score": v} for i, v in enumerate(values)])
    made = read(tmp_path)
    assert made.goal == "number"
    assert [e.target for e in made.items if e.part == "test"] == [0.0, 1.0, 2.0]


# -- what cannot be learned


def test_lists_that_are_all_empty_and_numbers_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(DataError, match="No example has a label"):
        check(aimed(examples(["[]"] * 9)), inspect_text, quiet)
    with pytest.raises(DataError, match="All examples have the same number") as error:
        check(aimed(examples(["2.5"] * 9), "number"), inspect_text, quiet)
    assert "9 times 2.5" in error.value.found


def test_a_single_label_that_some_have_is_something_to_learn() -> None:
    made = check(aimed(examples(['["wet"]', "[]"] * 5)), inspect_text, quiet).examples
    assert (len(made), made.classes) == (10, ("wet",))


def test_a_label_that_a_single_example_has_is_remarked_on() -> None:
    made = check(aimed(examples(['["wet", "odd"]', '["wet"]', "[]"])), inspect_text, quiet).examples
    assert [(f.name, f.kind) for f in made.findings] == [("t0", "single-example-class")]
    assert "'odd'" in made.findings[0].reason


# -- data sets of the hub


def test_a_column_of_lists_of_class_labels_is_read_by_their_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    lists, names = some_lists(12), sorted(TAGS)
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.Sequence(datasets.ClassLabel(names=names))}
    )
    columns = {
        "text": [f"some words {i}" for i in range(13)],
        "labels": [*([names.index(name) for name in each] for each in lists), None],
    }
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "set")
    made = read(tmp_path / "set")
    assert made.goal == "labels"
    assert [e.target for e in made.items[:12]] == lists
    assert "labels in 'labels'" in made.how


def test_a_column_of_lists_of_words_is_found_by_its_name(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    lists = some_lists(12)
    columns = {"text": [f"some words {i}" for i in range(12)], "tags": [list(each) for each in lists]}
    features = datasets.Features(
        {"text": datasets.Value("string"), "tags": datasets.Sequence(datasets.Value("string"))}
    )
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "set")
    made = read(tmp_path / "set")
    assert (made.goal, [e.target for e in made.items]) == ("labels", lists)


def test_numbers_of_a_data_set_are_numbers(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    columns = {"text": [f"some words {i}" for i in range(30)], "label": [i / 7 for i in range(30)]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "set")
    made = read(tmp_path / "set")
    assert made.goal == "number"
    np.testing.assert_allclose([e.target for e in made.items], np.arange(30) / 7)
