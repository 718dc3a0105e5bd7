from __future__ import annotations

import json
from pathlib import Path

import pytest
from box_samples import (
    CAT,
    CATEGORIES,
    DOG,
    annotation,
    boxes,
    image,
    one_picture,
    photo,
    said,
    write_coco,
    xywh,
)
from data_samples import kinds, names, parts, put

from headstart.data.boxes import format_of, read_boxes
from headstart.data.examples import Box
from headstart.errors import DataError

BOTH = (annotation(1, 1, xywh(CAT)), annotation(1, 2, xywh(DOG)))


def test_the_layout_of_coco_itself_is_read(tmp_path: Path) -> None:
    photo(tmp_path / "train2017" / "1.jpg")
    photo(tmp_path / "val2017" / "1.jpg")
    write_coco(tmp_path / "annotations" / "instances_train2017.json", [image(1, "1.jpg")], BOTH)
    write_coco(tmp_path / "annotations" / "instances_val2017.json", [image(1, "1.jpg")], BOTH[:1])
    put(tmp_path / "annotations" / "captions_train2017.json", '{"images": [], "annotations": [{"caption": "a"}]}')
    examples = read_boxes(tmp_path)
    assert format_of(tmp_path) == "COCO"
    assert boxes(examples) == {"train2017/1.jpg": (CAT, DOG), "val2017/1.jpg": (CAT,)}
    assert parts(examples) == {"train2017/1.jpg": "train", "val2017/1.jpg": "valid"}
    assert (examples.goal, examples.kind, examples.classes) == ("boxes", "picture", ("cat", "dog"))
    assert "annotations/instances_train2017.json" in examples.how


def test_people_with_keypoints_are_passed_over_beside_instances(tmp_path: Path) -> None:
    photo(tmp_path / "train2017" / "1.jpg")
    for kind in ("instances", "person_keypoints"):
        write_coco(tmp_path / "annotations" / f"{kind}_train2017.json", [image(1, "1.jpg")], BOTH)
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"train2017/1.jpg": (CAT, DOG)}
    assert kinds(examples) == ["annotations-ignored"]


def test_the_layout_of_roboflow_is_read(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        photo(tmp_path / part / "a.jpg")
        write_coco(tmp_path / part / "_annotations.coco.json", [image(1, "a.jpg")], BOTH)
    assert parts(read_boxes(tmp_path)) == {"test/a.jpg": "test", "train/a.jpg": "train", "valid/a.jpg": "valid"}


def test_a_json_beside_pictures_gives_no_parts(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, *BOTH))
    assert boxes(examples) == {"a.jpg": (CAT, DOG), "z.jpg": (CAT,)}
    assert examples.parts() == {"": 2}
    assert examples.findings == ()


def test_a_json_can_be_given_itself(tmp_path: Path) -> None:
    one_picture(tmp_path, *BOTH)
    assert names(read_boxes(tmp_path / "boxes.json")) == ["a.jpg", "z.jpg"]
    photo(tmp_path / "all" / "train2017" / "1.jpg")
    path = write_coco(tmp_path / "all" / "annotations" / "instances_train2017.json", [image(1, "1.jpg")], BOTH)
    assert parts(read_boxes(path)) == {"train2017/1.jpg": "train"}


@pytest.mark.parametrize("written", ["sub\\a.jpg", "sub/a.jpg", "C:\\data\\mine\\a.jpg", "/home/me/a.jpg", "a.jpg"])
def test_pictures_are_found_however_their_path_is_written(tmp_path: Path, written: str) -> None:
    photo(tmp_path / "pictures" / "sub" / "a.jpg")
    write_coco(tmp_path / "boxes.json", [image(1, written)], BOTH)
    assert boxes(read_boxes(tmp_path)) == {"pictures/sub/a.jpg": (CAT, DOG)}


@pytest.mark.parametrize("written", ["../../etc/passwd", "../secret.jpg", "/etc/passwd", "..\\secret.jpg"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, written: str) -> None:
    photo(tmp_path / "secret.jpg")
    folder = one_picture(tmp_path / "data", *BOTH)
    data = json.loads((folder / "boxes.json").read_text())
    data["images"][0]["file_name"] = written
    put(folder / "boxes.json", json.dumps(data))
    examples = read_boxes(folder)
    assert names(examples) == ["z.jpg"]
    [finding] = [f for f in examples.findings if f.kind == "path-outside"]
    assert finding.bad


def test_a_missing_picture_is_named_and_counts(tmp_path: Path) -> None:
    one_picture(tmp_path, *BOTH)
    (tmp_path / "a.jpg").unlink()
    examples = read_boxes(tmp_path)
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("a.jpg", "missing", True)]


def test_a_picture_in_another_folder_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    photo(tmp_path / "b" / "1.jpg")
    photo(tmp_path / "a" / "2.jpg")
    annotations = [annotation(1, 1, xywh(CAT)), annotation(2, 1, xywh(CAT)), annotation(3, 2, xywh(DOG))]
    images = [image(1, "a/1.jpg"), image(2, "a/2.jpg"), image(3, "b/1.jpg")]
    write_coco(tmp_path / "boxes.json", images, annotations)
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"a/2.jpg": (CAT,), "b/1.jpg": (DOG,)}
    assert kinds(examples) == ["missing"]


def test_pictures_that_no_file_speaks_of_are_named_once(tmp_path: Path) -> None:
    one_picture(tmp_path, *BOTH)
    for i in range(5):
        photo(tmp_path / f"more{i}.jpg")
    examples = read_boxes(tmp_path)
    assert len(examples) == 2
    [line] = said(examples, "picture-unlisted")
    assert "5 pictures" in line
    assert not any(f.bad for f in examples.findings)


def test_pictures_without_boxes_stay_and_are_counted_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        photo(tmp_path / f"{name}.jpg")
    write_coco(tmp_path / "boxes.json", [image(i, f"{n}.jpg") for i, n in enumerate("abcde")], BOTH)
    examples = read_boxes(tmp_path)
    assert len(examples) == 5
    assert boxes(examples)["a.jpg"] == ()
    [line] = said(examples, "no-boxes")
    assert "4 of 5 pictures" in line


def test_a_picture_all_of_whose_boxes_are_bad_is_left_out(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, annotation(1, 1, [5, 5, 0, 0]), annotation(1, 1, [90, 5, 9, 9])))
    assert names(examples) == ["z.jpg"]
    assert kinds(examples) == ["box-empty", "box-outside", "no-usable-box", "category-unused"]
    assert said(examples, "box-outside")[0].startswith("left out: a.jpg, box 2: ")


def test_gaps_in_the_ids_of_categories_are_noted_and_mean_nothing(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "cat"}, {"id": "90", "name": "dog"}]
    found = (annotation(1, "1", xywh(CAT)), annotation(1, 90.0, xywh(DOG)))
    examples = read_boxes(one_picture(tmp_path, *found, categories=categories))
    assert boxes(examples)["a.jpg"] == (CAT, DOG)
    assert kinds(examples) == ["category-gap"]


@pytest.mark.parametrize("category", [7, None, "cat"])
def test_a_category_that_is_not_listed_leaves_its_box_out(tmp_path: Path, category: object) -> None:
    examples = read_boxes(one_picture(tmp_path, BOTH[0], annotation(1, category, xywh(DOG))))
    assert boxes(examples)["a.jpg"] == (CAT,)
    assert "a.jpg, box 2" in said(examples, "box-no-class")[0]


def test_two_categories_of_one_name_are_one_and_two_names_of_one_id_are_none(tmp_path: Path) -> None:
    twice = [*CATEGORIES, {"id": 3, "name": "dog "}]
    examples = read_boxes(one_picture(tmp_path / "a", BOTH[0], annotation(1, 3, xywh(DOG)), categories=twice))
    assert boxes(examples)["a.jpg"] == (CAT, DOG)
    assert kinds(examples) == ["category-twice"]
    torn = [*CATEGORIES, {"id": 2, "name": "wolf"}]
    examples = read_boxes(one_picture(tmp_path / "b", *BOTH, categories=torn))
    assert boxes(examples)["a.jpg"] == (CAT,)
    assert "has no name, or two" in said(examples, "box-no-class")[0]


def test_a_category_without_boxes_is_noted_and_is_no_class(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, *BOTH, categories=[{"id": 0, "name": "animals"}, *CATEGORIES]))
    assert examples.classes == ("cat", "dog")
    assert "animals" in said(examples, "category-unused")[0]


def test_crowds_are_marked_and_counted(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, BOTH[0], annotation(1, 2, xywh(DOG), iscrowd=1)))
    assert boxes(examples)["a.jpg"] == (CAT, Box("dog", 32, 8, 60, 20, crowd=True))
    assert said(examples, "box-crowd") == [
        "note: a.jpg, dog: 1 box holds a crowd whose members are not told apart",
    ]


def test_copies_of_an_annotation_are_one(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, *BOTH, BOTH[0]))
    assert boxes(examples)["a.jpg"] == (CAT, DOG)
    assert said(examples, "box-duplicate") == ["left out: a.jpg, box 3: box 1 says the same"]


def test_numbers_as_text_are_numbers_and_nan_is_none(tmp_path: Path) -> None:
    as_text = annotation(1, 1, [str(v) for v in xywh(CAT)])
    examples = read_boxes(
        one_picture(tmp_path, as_text, annotation(1, 2, [1, float("nan"), 3, 4]), annotation(1, 2, 5))
    )
    assert boxes(examples)["a.jpg"] == (CAT,)
    assert kinds(examples) == ["box-not-numbers", "box-not-numbers"]


def test_a_negative_side_spans_the_box_the_other_way(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, annotation(1, 1, [30, 40, -20, -30])))
    assert boxes(examples)["a.jpg"] == (CAT,)
    assert "box-swapped" in kinds(examples)


def test_a_box_that_is_an_outline_only_is_the_box_around_it(tmp_path: Path) -> None:
    outline = annotation(1, 1, [], segmentation=[[10, 10, 30, 20, 12, 40]])
    examples = read_boxes(one_picture(tmp_path, outline, BOTH[1]))
    assert boxes(examples)["a.jpg"] == (CAT, DOG)
    assert kinds(examples) == ["box-from-outline"]


def test_shares_of_the_sides_are_told_and_become_pixels(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    write_coco(tmp_path / "boxes.json", [image(1, "a.jpg")], [annotation(1, 1, [0.25, 0.5, 0.25, 0.5])])
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"a.jpg": (Box("cat", 16, 24, 32, 48),)}
    assert "box-shares" in kinds(examples)


def test_a_picture_listed_twice_has_all_its_boxes(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    found = [*BOTH[:1], annotation(2, 2, xywh(DOG)), annotation(2, 1, xywh(CAT))]
    write_coco(tmp_path / "boxes.json", [image(1, "a.jpg"), image(2, "a.jpg")], found)
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"a.jpg": (CAT, DOG)}
    assert kinds(examples) == ["picture-twice", "box-duplicate"]


def test_two_pictures_of_one_id_are_left_out(tmp_path: Path) -> None:
    one_picture(tmp_path, *BOTH)
    photo(tmp_path / "b.jpg")
    found = [*BOTH, annotation(2, 1, xywh(CAT)), annotation(2, 2, xywh(DOG))]
    write_coco(tmp_path / "boxes.json", [image(1, "a.jpg"), image(1, "b.jpg"), image(2, "z.jpg")], found)
    examples = read_boxes(tmp_path)
    assert names(examples) == ["z.jpg"]
    assert kinds(examples)[:2] == ["id-twice", "id-twice"]


def test_a_picture_in_two_parts_is_judged_on_and_not_learned_from(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg")
    photo(tmp_path / "images" / "b.jpg")
    annotations = tmp_path / "annotations"
    both = [image(1, "a.jpg"), image(2, "b.jpg")]
    write_coco(annotations / "train.json", both, [*BOTH, annotation(2, 1, xywh(CAT))])
    write_coco(annotations / "test.json", both[:1], BOTH)
    examples = read_boxes(tmp_path)
    assert parts(examples) == {"images/a.jpg": "test", "images/b.jpg": "train"}
    assert len(said(examples, "duplicate-across-parts")) == 1


def test_boxes_of_no_picture_are_counted(tmp_path: Path) -> None:
    examples = read_boxes(one_picture(tmp_path, *BOTH, annotation(99, 1, xywh(CAT)), annotation(99, 1, xywh(DOG))))
    assert len(examples) == 2
    assert "2 boxes are of picture 99" in said(examples, "box-no-picture")[0]


def test_records_that_are_none_do_no_harm(tmp_path: Path) -> None:
    one_picture(tmp_path, *BOTH, None, 7)
    data = json.loads((tmp_path / "boxes.json").read_text())
    data["images"] += [None, {"id": 5}, {"id": 6, "file_name": ""}]
    data["categories"] += ["cat", {}]
    put(tmp_path / "boxes.json", json.dumps(data))
    examples = read_boxes(tmp_path)
    assert boxes(examples)["a.jpg"] == (CAT, DOG)
    assert kinds(examples) == ["missing", "missing"]


@pytest.mark.parametrize(("cut", "words"), [(-40, "no JSON"), (30, "no JSON")])
def test_a_damaged_json_is_an_error_that_names_it(tmp_path: Path, cut: int, words: str) -> None:
    one_picture(tmp_path, *BOTH)
    text = (tmp_path / "boxes.json").read_text()
    damaged = text[:cut] if cut < 0 else text.replace('"info": {}', '"info": {,}')
    put(tmp_path / "boxes.json", damaged)
    with pytest.raises(DataError, match=words) as caught:
        read_boxes(tmp_path)
    assert "boxes.json" in caught.value.what


def test_where_no_box_can_be_used_the_error_says_why(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    write_coco(tmp_path / "boxes.json", [image(1, "a.jpg")], BOTH, categories=[])
    with pytest.raises(DataError, match="no picture with a box") as caught:
        read_boxes(tmp_path)
    assert "not among the categories" in caught.value.found


def test_many_pictures_take_no_longer_each_than_few(tmp_path: Path) -> None:
    count = 3000
    data = photo(tmp_path / "deep" / "images" / "0" / "0.jpg").read_bytes()
    for i in range(1, count):
        put(tmp_path / "deep" / "images" / str(i // 100) / f"{i % 100}.jpg", data)
    images = [image(i, f"{i // 100}/{i % 100}.jpg") for i in range(count)]
    write_coco(tmp_path / "boxes.json", images, [annotation(i, 1, xywh(CAT)) for i in range(count)])
    assert len(read_boxes(tmp_path)) == count
