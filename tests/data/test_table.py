from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import (
    encoded,
    jpeg,
    kinds,
    names,
    parts,
    picture,
    put,
    targets,
    write_json,
    write_json_lines,
    write_parquet,
)
from hypothesis import given
from hypothesis import strategies as st

from headstart.data import cells
from headstart.data.cells import ParquetCells
from headstart.data.examples import FileContent
from headstart.data.rows import read_rows
from headstart.data.table import read_table, read_tables
from headstart.errors import DataError, UsageError

Record = dict[str, object]
FOUR = {"a.jpg": "cat", "b.jpg": "dog", "sub/c.jpg": "cat", "sub/d.jpg": "dog"}


def photos(root: Path, wanted: Sequence[str] = tuple(FOUR)) -> Path:
    for seed, name in enumerate(wanted):
        put(root / name, seed=seed)
    return root


def records(label: str = "label", path: str = "path") -> list[Record]:
    return [{path: name, label: target} for name, target in FOUR.items()]


def write_csv(
    path: Path, rows: Sequence[Record], delimiter: str = ",", encoding: str = "utf-8", end: str = "\n"
) -> Path:
    lines = [delimiter.join(rows[0]), *(delimiter.join(map(str, r.values())) for r in rows)]
    return put(path, (end.join(lines) + end).encode(encoding))


WRITERS: list[tuple[str, Callable[[Path, Sequence[Record]], Path]]] = [
    (".csv", write_csv),
    (".tsv", lambda path, rows: write_csv(path, rows, "\t")),
    (".jsonl", write_json_lines),
    (".json", write_json),
    (".parquet", write_parquet),
]
ALL = pytest.mark.parametrize(("suffix", "write"), WRITERS, ids=[suffix for suffix, _ in WRITERS])


@ALL
def test_every_format_gives_the_same_examples(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    photos(tmp_path)
    examples = read_table(write(tmp_path / f"labels{suffix}", records()))
    assert targets(examples) == FOUR
    assert examples.findings == ()
    assert examples.items[0].content.read() == jpeg(0)
    for word in (f"labels{suffix}", "'path'", "'label'"):
        assert word in examples.how


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_looking(tmp_path: Path, delimiter: str) -> None:
    photos(tmp_path)
    assert targets(read_table(write_csv(tmp_path / "labels.csv", records(), delimiter))) == FOUR


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_encodings_and_line_ends_are_understood(tmp_path: Path, encoding: str, end: str) -> None:
    photos(tmp_path)
    rows = [{"path": name, "label": target.replace("dog", "chien zélé")} for name, target in FOUR.items()]
    examples = read_table(write_csv(tmp_path / "labels.csv", rows, encoding=encoding, end=end))
    assert examples.classes == ("cat", "chien zélé")
    assert ("cp1252" in examples.how) == (encoding == "cp1252")
    assert "paths in 'path'" in examples.how


def test_quoted_fields_may_hold_delimiters_and_line_breaks(tmp_path: Path) -> None:
    photos(tmp_path)
    text = 'path,label,note\na.jpg,cat,"one, two"\nb.jpg,dog,"three\nfour"\n"sub/c.jpg","the ""cat""",x\n'
    examples = read_table(put(tmp_path / "t.csv", text))
    assert targets(examples) == {"a.jpg": "cat", "b.jpg": "dog", "sub/c.jpg": 'the "cat"'}


def test_a_short_row_has_no_label_and_blank_lines_are_nothing(tmp_path: Path) -> None:
    photos(tmp_path)
    examples = read_table(put(tmp_path / "t.csv", "path,label\na.jpg,cat\n\nb.jpg\nsub/c.jpg,dog,extra\n\n"))
    assert targets(examples) == {"a.jpg": "cat", "sub/c.jpg": "dog"}
    assert kinds(examples) == ["no-label"]


def test_a_table_without_a_header_is_read(tmp_path: Path) -> None:
    photos(tmp_path)
    examples = read_table(put(tmp_path / "t.csv", "".join(f"{k},{v}\n" for k, v in FOUR.items())))
    assert targets(examples) == FOUR
    assert "no header" in examples.how


@pytest.mark.parametrize("label", ["label", "Class", "target", "category"])
def test_the_label_is_found_by_its_name(tmp_path: Path, label: str) -> None:
    photos(tmp_path)
    rows = [{"width": 1 + i // 2, **r} for i, r in enumerate(records(label))]
    assert targets(read_table(write_csv(tmp_path / "t.csv", rows))) == FOUR


def test_the_label_without_a_name_is_the_column_with_fewest_values(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"id": i, "constant": "x", "many": i // 2 * 7 + i, **r} for i, r in enumerate(records("kind of animal"))]
    examples = read_table(write_csv(tmp_path / "t.csv", rows))
    assert targets(examples) == FOUR
    assert "labels in 'kind of animal'" in examples.how


def test_the_paths_are_found_by_looking_whatever_their_column_is_called(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"what": t, "where it is": n, "path": "see elsewhere"} for n, t in FOUR.items()]
    examples = read_table(write_csv(tmp_path / "t.csv", rows), label_column="what")
    assert targets(examples) == FOUR


def test_of_two_columns_of_files_the_one_called_path_is_taken(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"mask": "a.jpg", **r} for r in records(path="image_path")]
    assert "'image_path'" in read_table(write_csv(tmp_path / "t.csv", rows)).how


def test_columns_may_be_named_in_the_call(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"path": "a.jpg", "label": "x", "file": n, "animal": t} for n, t in FOUR.items()]
    assert targets(read_table(write_csv(tmp_path / "t.csv", rows), "file", "animal")) == FOUR


def test_a_column_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    photos(tmp_path)
    table = write_csv(tmp_path / "t.csv", records())
    for columns in (("picture", None), (None, "picture")):
        with pytest.raises(UsageError) as error:
            read_table(table, *columns)
        assert "path, label" in error.value.found


def test_absolute_paths_and_paths_that_lead_out_are_followed(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"path": "../a.jpg", "label": "cat"}, {"path": tmp_path / "b.jpg", "label": "dog"}]
    examples = read_table(write_csv(tmp_path / "tables" / "t.csv", rows))
    assert targets(examples) == {"../a.jpg": "cat", str(tmp_path / "b.jpg"): "dog"}
    assert [e.content.read() for e in examples.items] == [jpeg(0), jpeg(1)]


def test_paths_written_on_windows_are_found(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"path": n.replace("/", "\\"), "label": t} for n, t in FOUR.items()]
    examples = read_table(write_csv(tmp_path / "t.csv", rows))
    assert len(examples) == 4
    assert isinstance(examples.items[2].content, FileContent)


@pytest.mark.parametrize("column", ["split", "Part", "set", "subset", "fold"])
def test_a_column_of_parts_makes_parts(tmp_path: Path, column: str) -> None:
    photos(tmp_path)
    words = ["train", "TRAIN", "validation", "Test"]
    rows = [{**r, "label": "cat", column: w} for r, w in zip(records(), words, strict=True)]
    rows[1]["label"] = "dog"
    examples = read_table(write_csv(tmp_path / "t.csv", rows))
    assert parts(examples) == {"a.jpg": "train", "b.jpg": "train", "sub/c.jpg": "valid", "sub/d.jpg": "test"}
    assert f"parts in {column!r}" in examples.how


def test_a_column_in_which_not_all_are_parts_makes_no_parts(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{**r, "fold": "train" if i else 7} for i, r in enumerate(records())]
    assert set(parts(read_table(write_csv(tmp_path / "t.csv", rows))).values()) == {""}


def test_files_that_are_missing_are_bad_and_left_out(tmp_path: Path) -> None:
    photos(tmp_path, ["a.jpg", "b.jpg"])
    examples = read_table(write_csv(tmp_path / "t.csv", [*records(), {"path": "", "label": "cat"}]))
    assert names(examples) == ["a.jpg", "b.jpg"]
    assert [(f.name, f.kind, f.severity, f.bad) for f in examples.findings] == [
        ("sub/c.jpg", "missing", "left out", True),
        ("sub/d.jpg", "missing", "left out", True),
        ("t.csv row 5", "missing", "left out", True),
    ]


def test_when_every_file_is_missing_each_is_named(tmp_path: Path) -> None:
    examples = read_table(write_csv(tmp_path / "t.csv", records()))
    assert (len(examples), kinds(examples)) == (0, ["missing"] * 4)


@ALL
def test_empty_labels_are_bad_and_left_out(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    photos(tmp_path)
    rows = records()
    rows[1]["label"] = "  "
    if suffix not in (".csv", ".tsv"):
        rows[2]["label"] = None
    examples = read_table(write(tmp_path / f"t{suffix}", rows))
    assert set(kinds(examples)) == {"no-label"}
    assert all(f.bad for f in examples.findings)
    assert "b.jpg" not in names(examples)


def test_numbers_are_labels_too(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = [{"path": n, "label": i % 2} for i, n in enumerate(FOUR)]
    for table in (write_csv(tmp_path / "t.csv", rows), write_parquet(tmp_path / "t.parquet", rows)):
        assert read_table(table).classes == ("0", "1")


def test_a_row_that_comes_twice_is_left_out_once_and_is_not_bad(tmp_path: Path) -> None:
    photos(tmp_path)
    examples = read_table(write_csv(tmp_path / "t.csv", [*records(), records()[0]]))
    assert targets(examples) == FOUR
    assert [(f.kind, f.bad) for f in examples.findings] == [("duplicate-row", False)]


def test_a_file_with_two_labels_stays_twice_under_two_names(tmp_path: Path) -> None:
    photos(tmp_path)
    examples = read_table(write_csv(tmp_path / "t.csv", [*records(), {"path": "a.jpg", "label": "dog"}]))
    assert names(examples) == ["a.jpg", "a.jpg (2)", "b.jpg", "sub/c.jpg", "sub/d.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "", "no rows"),
        ("t.csv", "path,label\n", "no rows"),
        ("t.csv", "path,label\nhello,a\nworld,b\n", "No column of the table holds paths"),
        ("t.csv", "path\nx.jpg\ny.jpg\n", "No column of the table holds labels"),
        ("t.csv", "path,id\nw.jpg,1\nx.jpg,2\ny.jpg,3\nz.jpg,4\n", "No column of the table holds labels"),
        ("t.jsonl", '{"path": "a.jpg", "label": "x"}\n{"path": \n', "t.jsonl, line 2"),
        ("t.jsonl", "[1, 2]\n", "row 1 is no JSON object"),
        ("t.json", "not json", "this is not JSON"),
        ("t.parquet", "PAR1 but broken", "damaged"),
        ("t.xlsx", "", "is no table"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(tmp_path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(put(tmp_path / name, content))


def test_texts_are_no_pictures_for_one_who_wants_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No column of the table holds paths"):
        read_table(put(tmp_path / "t.csv", "text,label\nhello,a\nworld,b\n"), kind="picture")


def embedded(path: Path, count: int = 10, group: int = 4, metadata: bool = True) -> Path:
    """A Parquet file as the datasets library writes it: pictures as structs, labels as numbers."""
    cells_ = [{"bytes": jpeg(i), "path": f"{i}.jpg" if i % 2 else None} for i in range(count)]
    table = pa.table({"picture": cells_, "label": [i % 2 if i < 9 else -1 for i in range(count)]})
    label = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    info = {"info": {"features": {"picture": {"_type": "Image"}, "label": label}}}
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def test_pictures_inside_a_parquet_file_are_read_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    batches = ParquetCells._batches
    monkeypatch.setattr(ParquetCells, "_batches", lambda self, g: [opened.append(g), batches(self, g)][1])
    examples = read_table(embedded(tmp_path / "t.parquet"))
    assert names(examples)[:2] == ["t.parquet#01", "t.parquet#02 (1.jpg)"]
    assert opened == []
    assert examples.items[5].content.read() == jpeg(5)
    assert opened == [1]
    assert [e.content.read() for e in examples.items] == [jpeg(i) for i in range(9)]
    assert "pictures in 'picture'" in examples.how


def test_class_names_come_from_the_metadata_and_minus_one_is_no_label(tmp_path: Path) -> None:
    examples = read_table(embedded(tmp_path / "t.parquet"))
    assert [e.target for e in examples.items[:3]] == ["cat", "dog", "cat"]
    assert [(f.name, f.kind) for f in examples.findings] == [("t.parquet#10 (9.jpg)", "no-label")]
    assert read_table(embedded(tmp_path / "u.parquet", metadata=False)).classes == ("-1", "0", "1")


def test_plain_binary_columns_are_pictures_too(tmp_path: Path) -> None:
    table = pa.table({"jpg": [jpeg(0), jpeg(1), jpeg(2)], "label": ["a", "b", "a"]})
    pq.write_table(table, tmp_path / "t.parquet")
    examples = read_table(tmp_path / "t.parquet")
    assert [e.content.read() for e in examples.items] == [jpeg(0), jpeg(1), jpeg(2)]


def test_structs_with_paths_only_are_paths(tmp_path: Path) -> None:
    photos(tmp_path)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    structs = pa.array([{"bytes": None, "path": n} for n in FOUR], kind)
    pq.write_table(pa.table({"image": structs, "label": list(FOUR.values())}), tmp_path / "t.parquet")
    assert targets(read_table(tmp_path / "t.parquet")) == FOUR


def test_an_empty_cell_is_an_error_of_reading(tmp_path: Path) -> None:
    structs = [{"bytes": jpeg(), "path": "x"}, {"bytes": None, "path": "y"}]
    pq.write_table(pa.table({"image": structs, "label": ["a", "b"]}), tmp_path / "t.parquet")
    content = read_table(tmp_path / "t.parquet").items[1].content
    with pytest.raises(OSError, match="row 2"):
        content.read()


@given(st.lists(st.integers(0, 199), min_size=1, max_size=30))
def test_cells_come_right_in_any_order(tmp_path_factory: pytest.TempPathFactory, wanted: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "cells.parquet"
    if not path.exists():
        table = pa.table({"x": [{"bytes": str(i).encode()} for i in range(200)]})
        pq.write_table(table, path, row_group_size=90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "_ROWS", 8)
        patch.setattr(cells, "_BATCHES", 2)
        column = ParquetCells(path, "x.bytes")
        assert [column.read(i) for i in wanted] == [str(i).encode() for i in wanted]


def numbers(path: Path) -> Path:
    pq.write_table(pa.table({"x": [str(i).encode() for i in range(3000)]}), path, row_group_size=1000)
    return path


def test_reading_nearly_in_order_reads_each_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    batches = ParquetCells._batches
    monkeypatch.setattr(ParquetCells, "_batches", lambda self, g: [opened.append(g), batches(self, g)][1])
    column = ParquetCells(numbers(tmp_path / "t.parquet"), "x")
    order = [i for start in range(0, 3000, 50) for i in random.Random(start).sample(range(start, start + 50), 50)]
    assert [column.read(i) for i in order] == [str(i).encode() for i in order]
    assert opened == [0, 1, 2]
    assert len(column._recent) * cells._ROWS < 300


def test_cells_may_be_read_in_threads(tmp_path: Path) -> None:
    column = ParquetCells(numbers(tmp_path / "t.parquet"), "x")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(column.read, range(3000))) == [str(i).encode() for i in range(3000)]


@ALL
def test_tables_side_by_side_are_parts(
    tmp_path: Path, suffix: str, write: Callable[[Path, Sequence[Record]], Path]
) -> None:
    photos(tmp_path)
    rows = records()
    write(tmp_path / f"train{suffix}", rows[:2])
    write(tmp_path / f"Val{suffix}", rows[2:3])
    write(tmp_path / f"test{suffix}", rows[3:])
    write(tmp_path / f"notes{suffix}", rows)
    examples = read_tables(tmp_path)
    assert parts(examples) == {"a.jpg": "train", "b.jpg": "train", "sub/c.jpg": "valid", "sub/d.jpg": "test"}
    assert f"train{suffix}" in examples.how


def test_tables_in_different_formats_and_shards_go_together(tmp_path: Path) -> None:
    photos(tmp_path)
    rows = records()
    write_parquet(tmp_path / "train-00000-of-00002.parquet", rows[:1])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", rows[1:2])
    write_csv(tmp_path / "test.csv", rows[2:])
    examples = read_tables(tmp_path, label_column="label")
    assert list(parts(examples).values()) == ["train", "train", "test", "test"]


def test_one_file_in_two_tables_has_two_names(tmp_path: Path) -> None:
    photos(tmp_path)
    write_csv(tmp_path / "train.csv", records())
    write_csv(tmp_path / "test.csv", records()[:2])
    examples = read_tables(tmp_path)
    assert len(set(names(examples))) == 6


def test_a_class_of_the_test_table_that_is_never_trained_is_named(tmp_path: Path) -> None:
    photos(tmp_path)
    write_csv(tmp_path / "train.csv", records()[:2])
    write_csv(tmp_path / "test.csv", [{"path": "sub/c.jpg", "label": "zebra"}, {"path": "sub/d.jpg", "label": "dog"}])
    examples = read_tables(tmp_path)
    assert names(examples) == ["a.jpg", "b.jpg", "sub/d.jpg"]
    assert "unseen-class" in kinds(examples)


def test_a_folder_without_such_tables_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no train, val or test table"):
        read_tables(tmp_path)


def test_columns_that_hold_other_things_are_kept_as_text(tmp_path: Path) -> None:
    rows = [{"path": "x.jpg", "box": [1, 2], "score": float("nan"), "label": True}]
    read = read_rows(write_json_lines(tmp_path / "t.jsonl", rows))
    assert read.columns == {"path": ["x.jpg"], "box": ["[1, 2]"], "score": [""], "label": ["True"]}


def test_a_png_in_a_cell_is_as_good_as_a_jpeg(tmp_path: Path) -> None:
    data = encoded(picture(), "PNG")
    pq.write_table(pa.table({"image": [{"bytes": data, "path": None}] * 2, "label": ["a", "b"]}), tmp_path / "t.pq")
    assert read_table(tmp_path / "t.pq").items[0].content.read() == data
