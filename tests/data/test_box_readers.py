from __future__ import annotations

from pathlib import Path

import pytest
from box_samples import (
    CAT,
    CATEGORIES,
    annotation,
    boxes,
    image,
    photo,
    rounded,
    said,
    voc,
    voc_object,
    write_coco,
    xywh,
    yolo,
)
from data_samples import kinds, names, put, write_json, write_json_lines, write_parquet

from headstart.data.boxes import format_of, holds_boxes, read_boxes
from headstart.data.examples import Box
from headstart.errors import DataError

WHOLE = Box("cat", 0, 0, 20, 10)
"""A box at the top left of the picture as it is stored."""


def stated(
    root: Path, width: int, height: int, box: Box, orientation: int = 1, stored: tuple[int, int] = (64, 48)
) -> Path:
    photo(root / "a.jpg", *stored, orientation=orientation)
    write_coco(root / "boxes.json", [image(1, "a.jpg", width, height)], [annotation(1, 1, xywh(box))], CATEGORIES[:1])
    return root


def test_class_folders_and_tables_are_not_taken_for_boxes(tmp_path: Path) -> None:
    rows = [{"path": "a.jpg", "label": "cat"}, {"path": "b.jpg", "label": "dog"}]
    for kind in ("images", "labels", "annotations"):
        photo(tmp_path / "folders" / "train" / kind / "a.jpg")
        put(tmp_path / "folders" / "test" / kind / "a.txt", "1 2 3 4 5\n")
    write_json(tmp_path / "tables" / "train.json", rows)
    write_json_lines(tmp_path / "tables" / "test.jsonl", rows)
    write_parquet(tmp_path / "tables" / "val.parquet", rows)
    put(tmp_path / "dict" / "a.json", '{"images": ["a"], "annotations": [{"caption": "a cat"}]}')
    put(tmp_path / "config" / "a.yaml", "train: images\n")
    for folder in ("folders", "tables", "dict", "config"):
        assert not holds_boxes(tmp_path / folder), folder
    for file in (tmp_path / "tables").iterdir():
        assert not holds_boxes(file)
    assert not holds_boxes(photo(tmp_path / "a.jpg"))


def test_the_real_data_of_other_tasks_are_not_taken_for_boxes(shared: Path) -> None:
    found = {folder.name: format_of(folder) for folder in sorted((shared / "data").iterdir()) if folder.is_dir()}
    assert {name: format_ for name, format_ in found.items() if format_} in ({"bccd": "Pascal VOC"}, {})


def test_no_boxes_is_an_error_that_says_what_is_read(tmp_path: Path) -> None:
    photo(tmp_path / "cat" / "a.jpg")
    with pytest.raises(DataError, match="no boxes") as caught:
        read_boxes(tmp_path)
    assert "annotations" in caught.value.hint


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        holds_boxes(tmp_path / "nothing")


def test_the_same_boxes_are_read_from_every_format(tmp_path: Path) -> None:
    for name in ("coco", "voc", "yolo"):
        photo(tmp_path / name / "images" / "a.jpg")
    write_coco(tmp_path / "coco" / "boxes.json", [image(1, "a.jpg")], [annotation(1, 1, xywh(CAT))])
    put(tmp_path / "voc" / "Annotations" / "a.xml", voc(voc_object("cat", (10, 10, 30, 40))))
    put(tmp_path / "yolo" / "labels" / "a.txt", yolo(0, CAT))
    put(tmp_path / "yolo" / "classes.txt", "cat\n")
    for name in ("coco", "voc", "yolo"):
        assert rounded(read_boxes(tmp_path / name)) == {"images/a.jpg": [("cat", 10, 10, 30, 40)]}


def test_of_two_formats_one_is_read_and_the_other_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg")
    write_coco(tmp_path / "boxes.json", [image(1, "a.jpg")], [annotation(1, 1, xywh(CAT))], CATEGORIES[:1])
    put(tmp_path / "Annotations" / "a.xml", voc(voc_object("dog", (1, 2, 30, 40))))
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"images/a.jpg": (CAT,)}
    assert "Pascal VOC" in said(examples, "format-ignored")[0]


def test_the_order_of_examples_is_by_part_and_name(tmp_path: Path) -> None:
    for part, name in (("test", "a"), ("train", "c"), ("train", "b"), ("valid", "a")):
        photo(tmp_path / part / f"{name}.jpg")
        put(tmp_path / part / f"{name}.xml", voc(voc_object("cat", (10, 10, 30, 40)), name=f"{name}.jpg"))
    assert names(read_boxes(tmp_path)) == ["train/b.jpg", "train/c.jpg", "valid/a.jpg", "test/a.jpg"]


def test_boxes_are_scaled_where_the_picture_has_another_size_of_the_same_shape(tmp_path: Path) -> None:
    examples = read_boxes(stated(tmp_path, 128, 96, Box("cat", 20, 20, 60, 80)))
    assert boxes(examples) == {"a.jpg": (CAT,)}
    assert "128 x 96" in said(examples, "size-scaled")[0]


@pytest.mark.parametrize(("size", "kind"), [((48, 64), "size-swapped"), ((100, 50), "size-differs")])
def test_boxes_stay_where_the_stated_size_is_of_another_shape(tmp_path: Path, size: tuple[int, int], kind: str) -> None:
    examples = read_boxes(stated(tmp_path, *size, CAT))
    assert boxes(examples) == {"a.jpg": (CAT,)}
    assert kinds(examples)[0] == kind


def test_boxes_that_refer_to_the_upright_picture_stay(tmp_path: Path) -> None:
    examples = read_boxes(stated(tmp_path, 48, 64, WHOLE, orientation=6))
    assert boxes(examples) == {"a.jpg": (WHOLE,)}
    assert kinds(examples)[0] == "exif-shown"


def test_boxes_that_refer_to_the_picture_as_stored_are_turned_with_it(tmp_path: Path) -> None:
    examples = read_boxes(stated(tmp_path, 64, 48, WHOLE, orientation=6))
    assert boxes(examples) == {"a.jpg": (Box("cat", 38, 0, 48, 20),)}
    assert kinds(examples)[0] == "exif-turned"


def test_boxes_are_scaled_and_turned_where_both_are_due(tmp_path: Path) -> None:
    examples = read_boxes(stated(tmp_path, 128, 96, Box("cat", 0, 0, 40, 20), orientation=6))
    assert boxes(examples) == {"a.jpg": (Box("cat", 38, 0, 48, 20),)}


@pytest.mark.parametrize(("width", "height", "kind"), [(64, 48, "exif-turned"), (48, 64, "exif-shown")])
def test_what_the_sides_do_not_tell_the_other_pictures_do(tmp_path: Path, width: int, height: int, kind: str) -> None:
    photo(tmp_path / "a.jpg", orientation=6)
    photo(tmp_path / "b.jpg", orientation=3)
    images = [image(1, "a.jpg", width, height), image(2, "b.jpg")]
    write_coco(tmp_path / "boxes.json", images, [annotation(i, 1, xywh(WHOLE)) for i in (1, 2)])
    examples = read_boxes(tmp_path)
    assert boxes(examples)["b.jpg"] == (Box("cat", 44, 38, 64, 48) if kind == "exif-turned" else WHOLE,)
    assert kind in kinds(examples)


def test_a_picture_whose_header_is_damaged_goes_on_to_the_check_of_pictures(tmp_path: Path) -> None:
    stated(tmp_path, 64, 48, CAT)
    put(tmp_path / "a.jpg", b"\xff\xd8\xff")
    assert boxes(read_boxes(tmp_path)) == {"a.jpg": (CAT,)}
