from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from box_samples import CAT, DOG, boxes, photo, said, xywh
from data_samples import encoded, kinds, names, parts, picture, put, write_json_lines

from headstart.data.box_objects import read_objects
from headstart.data.boxes import format_of, read_boxes
from headstart.data.examples import Box
from headstart.errors import DataError

JPEG = encoded(picture(48, 64))
CLASSES = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "Sequence"}


def corners(box: Box) -> list[float]:
    return [box.left, box.top, box.right, box.bottom]


def lists(quads: Sequence[object], categories: Sequence[object]) -> dict[str, object]:
    return {"bbox": quads, "category": categories}


def write(path: Path, objects: Sequence[object], named: bool = True, **columns: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = [{"bytes": JPEG, "path": None} for _ in objects]
    table = pa.table({"image": image, "objects": objects, **columns})
    features = {"objects": {"bbox": {}, "category": CLASSES}}
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(note if named else None), path)
    return path


TWO = lists([xywh(CAT), xywh(DOG)], [0, 1])


def test_a_parquet_file_of_pictures_with_objects_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "pets.parquet", [TWO, lists([xywh(DOG)], [1])])
    examples = read_boxes(path)
    assert format_of(path) == "objects"
    assert boxes(examples) == {"pets.parquet#1": (CAT, DOG), "pets.parquet#2": (DOG,)}
    assert examples.items[0].content.read() == JPEG
    assert (examples.goal, examples.kind) == ("boxes", "picture")
    assert "a corner and the sides" in examples.how


def test_a_list_of_objects_is_read_as_objects_of_lists_are(tmp_path: Path) -> None:
    objects = [{"bbox": xywh(CAT), "category": "cat", "iscrowd": 1}, {"bbox": xywh(DOG), "category": "dog"}]
    examples = read_boxes(write(tmp_path / "a.parquet", [objects], named=False))
    assert boxes(examples) == {"a.parquet#1": (Box("cat", 10, 10, 30, 40, crowd=True), DOG)}
    assert "box-crowd" in kinds(examples)


def test_two_corners_are_told_by_looking_and_said(tmp_path: Path) -> None:
    examples = read_boxes(write(tmp_path / "a.parquet", [lists([corners(CAT), corners(DOG)], [0, 1])]))
    assert boxes(examples) == {"a.parquet#1": (CAT, DOG)}
    assert "two corners" in examples.how


def test_where_nothing_tells_it_is_said_that_it_was_guessed(tmp_path: Path) -> None:
    examples = read_boxes(write(tmp_path / "a.parquet", [lists([[1, 2, 20, 30]], [0])]))
    assert boxes(examples) == {"a.parquet#1": (Box("cat", 1, 2, 21, 32),)}
    assert kinds(examples) == ["box-order-guessed"]


def test_shares_in_two_corners_are_told(tmp_path: Path) -> None:
    examples = read_boxes(write(tmp_path / "a.parquet", [lists([[0.25, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]], [0, 1])]))
    assert boxes(examples) == {"a.parquet#1": (Box("cat", 16, 24, 32, 48), Box("dog", 32, 24, 64, 48))}
    assert kinds(examples) == ["box-shares"]


def test_shards_in_a_folder_of_data_have_the_parts_of_their_names(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(tmp_path / "data" / f"{name}.parquet", [TWO])
    examples = read_boxes(tmp_path)
    assert examples.parts() == {"train": 2, "test": 1}
    assert names(examples)[0] == "data/train-00000-of-00002.parquet#1"


def test_a_column_of_parts_is_read(tmp_path: Path) -> None:
    examples = read_boxes(write(tmp_path / "a.parquet", [TWO, TWO], split=["train", "test"]))
    assert list(parts(examples).values()) == ["train", "test"]


def test_classes_out_of_the_names_and_no_numbers_are_left_out(tmp_path: Path) -> None:
    found = lists([xywh(CAT), xywh(DOG), xywh(DOG), [1.0, 2.0]], [0, 7, None, 1])
    examples = read_boxes(write(tmp_path / "a.parquet", [found, TWO]))
    assert boxes(examples)["a.parquet#1"] == (CAT,)
    assert kinds(examples) == ["box-no-class", "box-no-class", "box-not-numbers"]


def test_a_picture_without_objects_has_no_boxes(tmp_path: Path) -> None:
    examples = read_boxes(write(tmp_path / "a.parquet", [TWO, lists([], []), None]))
    assert [len(found) for found in boxes(examples).values()] == [2, 0, 0]
    assert "2 of 3 pictures" in said(examples, "no-boxes")[0]


def test_a_cell_without_a_picture_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [TWO, TWO])
    table = pq.read_table(path).set_column(0, "image", pa.array([{"bytes": JPEG}, {"bytes": b"nothing"}]))
    pq.write_table(table, path)
    examples = read_boxes(path)
    assert names(examples) == ["a.parquet#1"]
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("a.parquet#2", "unreadable", True)]


def test_pictures_are_boxed_as_their_stated_size_has_them(tmp_path: Path) -> None:
    found = lists([[v / 2 for v in xywh(CAT)], [v / 2 for v in xywh(DOG)]], [0, 1])
    examples = read_boxes(write(tmp_path / "a.parquet", [found], width=[32], height=[24]))
    assert boxes(examples) == {"a.parquet#1": (CAT, DOG)}
    assert "size-scaled" in kinds(examples)


def test_json_lines_beside_pictures_are_read(tmp_path: Path) -> None:
    for part in ("train", "test"):
        photo(tmp_path / part / "a.jpg")
        row = {"file_name": "a.jpg", "objects": {"bbox": [xywh(CAT), xywh(DOG)], "categories": ["cat", "dog"]}}
        lost = {"file_name": "../../etc/passwd", "objects": row["objects"]}
        write_json_lines(tmp_path / part / "metadata.jsonl", [row, *([lost] * (part == "train"))])
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"test/a.jpg": (CAT, DOG), "train/a.jpg": (CAT, DOG)}
    assert parts(examples) == {"test/a.jpg": "test", "train/a.jpg": "train"}
    assert kinds(examples) == ["path-outside"]


def test_a_damaged_line_of_json_is_an_error_that_names_it(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    row = json.dumps({"file_name": "a.jpg", "objects": {"bbox": [xywh(CAT)], "categories": ["cat"]}})
    with pytest.raises(DataError, match="line 2"):
        read_boxes(put(tmp_path / "a.jsonl", f"{row}\n{row[:-9]}\n"))


def test_a_table_that_names_no_pictures_is_an_error(tmp_path: Path) -> None:
    row = {"number": 1, "objects": {"bbox": [xywh(CAT)], "categories": ["cat"]}}
    with pytest.raises(DataError, match="holds pictures"):
        read_boxes(write_json_lines(tmp_path / "a.jsonl", [row]))


def saved(splits: Sequence[str]) -> datasets.DatasetDict:
    label = datasets.ClassLabel(names=["cat", "dog"])
    objects = {"bbox": datasets.List(datasets.List(datasets.Value("float32"))), "category": datasets.List(label)}
    features = datasets.Features({"image": datasets.Image(), "objects": objects})
    rows = {"image": [{"bytes": JPEG, "path": None}] * 2, "objects": [TWO, lists([xywh(DOG)], [1])]}
    return datasets.DatasetDict({name: datasets.Dataset.from_dict(rows, features=features) for name in splits})


def test_a_folder_that_the_datasets_library_saved_is_read(tmp_path: Path) -> None:
    saved(["train", "validation", "extra"]).save_to_disk(str(tmp_path / "pets"))
    examples = read_boxes(tmp_path / "pets")
    assert examples.parts() == {"train": 2, "valid": 2}
    assert boxes(examples)["train#1"] == (CAT, DOG)
    assert examples.items[0].content.read() == JPEG
    assert kinds(examples) == ["split-ignored"]


def test_a_single_split_that_was_saved_has_no_parts(tmp_path: Path) -> None:
    saved(["train"])["train"].save_to_disk(str(tmp_path / "pets"))
    assert len(read_objects(tmp_path / "pets")) == 2


def test_tables_of_labels_and_other_json_lines_are_none(tmp_path: Path) -> None:
    labels = pa.table({"image": [JPEG], "label": ["cat"], "objects": ["a cat"]})
    pq.write_table(labels, tmp_path / "a.parquet")
    write_json_lines(tmp_path / "b.jsonl", [{"file_name": "a.jpg", "label": "cat"}])
    put(tmp_path / "c.jsonl", "no json")
    put(tmp_path / "d.parquet", b"no parquet")
    assert format_of(tmp_path) == ""
