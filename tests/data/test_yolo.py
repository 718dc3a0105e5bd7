from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from box_samples import CAT, DOG, HEIGHT, WIDTH, boxes, photo, rounded, said, yolo
from data_samples import kinds, names, parts, put

from headstart.data.boxes import format_of, read_boxes
from headstart.data.examples import Box
from headstart.errors import DataError

_CAT, _DOG = yolo(0, CAT), yolo(1, DOG)
CATS = [("cat", 10.0, 10.0, 30.0, 40.0)]
DOGS = [("dog", 32.0, 8.0, 60.0, 20.0)]
NAMES = "names: [cat, dog]\n"


def tree(root: Path, texts: dict[str, str | None]) -> Path:
    """Pictures in images/ and the texts of their boxes in labels/."""
    for name, text in texts.items():
        photo(root / "images" / f"{name}.jpg")
        if text is not None:
            put(root / "labels" / f"{name}.txt", text)
    return root


def one(root: Path, *lines: str, config: str = NAMES + "train: images\n") -> Path:
    put(root / "data.yaml", config)
    return tree(root, {"a": "".join(lines), "z": _CAT})


def test_the_layout_of_ultralytics_is_read(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": _CAT + _DOG, "val/b": _DOG, "train/c": _CAT})
    config = "path: ../datasets/pets\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: cat\n  1: dog\n"
    put(tmp_path / "pets.yaml", config)
    examples = read_boxes(tmp_path)
    assert format_of(tmp_path) == "YOLO"
    assert rounded(examples)["images/train/a.jpg"] == CATS + DOGS
    assert parts(examples)["images/val/b.jpg"] == "valid"
    assert examples.parts() == {"train": 2, "valid": 1}
    assert examples.findings == ()
    assert (examples.goal, "pets.yaml" in examples.how) == ("boxes", True)


def test_the_yaml_can_be_given_itself(tmp_path: Path) -> None:
    one(tmp_path, _DOG)
    assert rounded(read_boxes(tmp_path / "data.yaml")) == {"images/a.jpg": DOGS, "images/z.jpg": CATS}


def test_the_layout_of_roboflow_is_read_with_its_dots_too_many(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        tree(tmp_path / part, {"a": _CAT})
    places = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    put(tmp_path / "data.yaml", places + "nc: 2\nnames: ['cat', 'dog']\n")
    assert read_boxes(tmp_path).parts() == {"train": 1, "valid": 1, "test": 1}


def test_lists_of_pictures_are_read_and_what_they_lack_is_named(tmp_path: Path) -> None:
    tree(tmp_path, {"a": _CAT, "b": _DOG, "c": _CAT})
    put(tmp_path / "train.txt", "./images/a.jpg\nimages\\b.jpg\nimages/lost.jpg\n../../etc/passwd\n")
    put(tmp_path / "data.yaml", NAMES + "train: train.txt\n")
    examples = read_boxes(tmp_path)
    assert names(examples) == ["images/a.jpg", "images/b.jpg"]
    assert kinds(examples) == ["missing", "path-outside", "picture-unlisted"]


@pytest.mark.parametrize("place", ["../elsewhere", "/data/elsewhere", "images/none"])
def test_a_part_that_is_nowhere_below_the_folder_is_named(tmp_path: Path, place: str) -> None:
    photo(tmp_path / "elsewhere" / "a.jpg")
    one(tmp_path / "data", _DOG, config=f"{NAMES}train: images\nval: {place}\n")
    examples = read_boxes(tmp_path / "data")
    assert examples.parts() == {"train": 2}
    assert kinds(examples) == ["part-missing"]


def test_folders_tell_parts_where_there_is_no_yaml(tmp_path: Path) -> None:
    tree(tmp_path, {"train/a": _CAT, "val/b": _DOG})
    put(tmp_path / "classes.txt", "cat\ndog\n")
    examples = read_boxes(tmp_path)
    assert rounded(examples) == {"images/train/a.jpg": CATS, "images/val/b.jpg": DOGS}
    assert examples.parts() == {"train": 1, "valid": 1}


def test_texts_beside_their_pictures_are_read_with_a_file_of_classes(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    put(tmp_path / "a.txt", _DOG)
    assert format_of(tmp_path) == ""
    put(tmp_path / "classes.txt", "cat\ndog\n")
    assert rounded(read_boxes(tmp_path)) == {"a.jpg": DOGS}


def test_without_names_numbers_are_names_and_that_is_said(tmp_path: Path) -> None:
    tree(tmp_path, {"a": _CAT + _DOG})
    examples = read_boxes(tmp_path)
    assert examples.classes == ("0", "1")
    assert kinds(examples) == ["names-missing"]


@pytest.mark.parametrize("text", [None, "", "\n  \n"])
def test_a_picture_with_no_text_or_an_empty_one_has_no_boxes(tmp_path: Path, text: str | None) -> None:
    tree(one(tmp_path, _CAT), {"b": text})
    examples = read_boxes(tmp_path)
    assert boxes(examples)["images/b.jpg"] == ()
    assert kinds(examples) == ["no-boxes"]


@pytest.mark.parametrize("index", ["2", "-1", "0.5", "cat", "nan"])
def test_a_class_out_of_the_names_leaves_its_box_out(tmp_path: Path, index: str) -> None:
    examples = read_boxes(one(tmp_path, _CAT, yolo(index, DOG)))
    assert rounded(examples)["images/a.jpg"] == CATS
    assert "images/a.jpg, box 2" in said(examples, "box-no-class")[0]


def test_a_class_may_be_written_with_a_point(tmp_path: Path) -> None:
    assert rounded(read_boxes(one(tmp_path, yolo("1.0", DOG))))["images/a.jpg"] == DOGS


def test_outlines_become_the_boxes_around_them_and_that_is_said(tmp_path: Path) -> None:
    points = [(10, 10), (30, 20), (12, 40)]
    line = "0 " + " ".join(f"{x / WIDTH:.6f} {y / HEIGHT:.6f}" for x, y in points) + "\n"
    examples = read_boxes(one(tmp_path, line))
    assert rounded(examples)["images/a.jpg"] == CATS
    assert "1 outlines" in examples.how


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.1\n", "0\n", "0 a b c d\n", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7\n"])
def test_a_line_that_is_no_box_is_named(tmp_path: Path, line: str) -> None:
    examples = read_boxes(one(tmp_path, _CAT, line))
    assert rounded(examples)["images/a.jpg"] == CATS
    assert said(examples, "box-not-numbers")[0].startswith("left out: images/a.jpg, box 2: ")


def test_how_sure_a_model_was_is_passed_over(tmp_path: Path) -> None:
    examples = read_boxes(one(tmp_path, _CAT.strip() + " 0.87\n"))
    assert rounded(examples)["images/a.jpg"] == CATS
    assert kinds(examples) == ["box-extra-number"]


def test_boxes_beyond_the_sides_are_cut_and_pixels_are_not_taken_for_shares(tmp_path: Path) -> None:
    examples = read_boxes(one(tmp_path, _CAT, "0 1.0 0.5 0.5 0.5\n", "0 1.6 0.5 0.2 0.5\n", "0 20 25 20 30\n"))
    assert rounded(examples)["images/a.jpg"] == [*CATS, ("cat", 48.0, 12.0, 64.0, 36.0)]
    assert kinds(examples) == ["box-clipped", "box-outside", "box-not-shares"]


def test_the_same_line_twice_is_one_box(tmp_path: Path) -> None:
    examples = read_boxes(one(tmp_path, _CAT, _CAT))
    assert rounded(examples)["images/a.jpg"] == CATS
    assert kinds(examples) == ["box-duplicate"]


def test_a_text_without_its_picture_is_named(tmp_path: Path) -> None:
    one(tmp_path, _CAT)
    put(tmp_path / "labels" / "lost.txt", _DOG)
    examples = read_boxes(tmp_path)
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("labels/lost.txt", "missing", True)]


def test_a_picture_that_cannot_be_measured_is_left_out(tmp_path: Path) -> None:
    one(tmp_path, _CAT)
    put(tmp_path / "images" / "a.jpg", b"no picture")
    examples = read_boxes(tmp_path)
    assert names(examples) == ["images/z.jpg"]
    assert [(f.kind, f.bad) for f in examples.findings] == [("unreadable", True)]


def test_shares_are_of_the_picture_as_it_is_shown(tmp_path: Path) -> None:
    one(tmp_path, "0 0.5 0.5 1.0 1.0\n")
    photo(tmp_path / "images" / "a.jpg", orientation=6)
    examples = read_boxes(tmp_path)
    assert boxes(examples)["images/a.jpg"] == (Box("cat", 0, 0, HEIGHT, WIDTH),)


@pytest.mark.parametrize(
    "text", ["names: [cat, dog\ntrain: images\n", "names: {0: a}}\nnc: 1\n", "names: !!python/x\nnc: 1\n"]
)
def test_a_damaged_yaml_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"data\.yaml"):
        read_boxes(one(tmp_path, _CAT, config=text))


def test_a_yaml_of_something_else_is_none(tmp_path: Path) -> None:
    put(tmp_path / "mkdocs.yml", "site_name: names\nnav: []\n")
    put(tmp_path / "other.yaml", "names: [a, b]\n")
    assert format_of(tmp_path) == ""


@pytest.mark.parametrize("inside", [["notes: 1 2 3 4 5\n"], ["1 2\n"], []])
def test_texts_that_are_no_boxes_are_none(tmp_path: Path, inside: Sequence[str]) -> None:
    photo(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels").mkdir()
    for text in inside:
        put(tmp_path / "labels" / "a.txt", text)
    assert format_of(tmp_path) == ""
