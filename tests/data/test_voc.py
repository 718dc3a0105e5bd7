from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from box_samples import CAT, DOG, boxes, photo, said, voc, voc_object
from data_samples import kinds, names, parts, put

from headstart.data.boxes import format_of, read_boxes
from headstart.data.examples import Box
from headstart.errors import DataError

_CAT, _DOG = voc_object("cat", (10, 10, 30, 40)), voc_object("dog", (32, 8, 60, 20))


def in_annotations(root: Path, **texts: str) -> Path:
    """Pictures in JPEGImages and the text of their annotations."""
    for name, text in texts.items():
        photo(root / "JPEGImages" / f"{name}.jpg")
        put(root / "Annotations" / f"{name}.xml", text)
    return root


def lists(root: Path, **ids: str) -> None:
    for name, text in ids.items():
        put(root / "ImageSets" / "Main" / f"{name}.txt", text)


def test_the_layout_of_voc_itself_is_read(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT, _DOG), b=voc(_CAT), c=voc(_DOG))
    lists(tmp_path, train="a\n", val="b\n", test="c\n", trainval="a\nb\n", cat_train="a 1\nc -1\n")
    examples = read_boxes(tmp_path)
    assert format_of(tmp_path) == "Pascal VOC"
    assert boxes(examples)["JPEGImages/a.jpg"] == (CAT, DOG)
    assert parts(examples) == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "valid", "JPEGImages/c.jpg": "test"}
    assert examples.findings == ()
    assert examples.goal == "boxes"


def test_of_trainval_alone_all_is_for_training(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT), b=voc(_DOG))
    lists(tmp_path, trainval="a\n", test="b\n")
    assert read_boxes(tmp_path).parts() == {"train": 1, "test": 1}


def test_several_years_below_one_folder_are_read(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        in_annotations(tmp_path / year, a=voc(_CAT))
        lists(tmp_path / year, train="a\n")
    assert names(read_boxes(tmp_path)) == ["VOC2007/JPEGImages/a.jpg", "VOC2012/JPEGImages/a.jpg"]


@pytest.mark.parametrize("folder", ["", "train/"])
def test_xml_beside_the_pictures_is_read(tmp_path: Path, folder: str) -> None:
    photo(tmp_path / f"{folder}a.jpg")
    put(tmp_path / f"{folder}a.xml", voc(_CAT))
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {f"{folder}a.jpg": (CAT,)}
    assert examples.parts() == {"train" if folder else "": 1}


def test_folders_of_the_parts_are_read(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        photo(tmp_path / part / "a.jpg")
        put(tmp_path / part / "a.xml", voc(_CAT))
    assert parts(read_boxes(tmp_path)) == {"test/a.jpg": "test", "train/a.jpg": "train", "valid/a.jpg": "valid"}


def test_a_picture_on_no_list_is_left_out_and_counted_once(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT), b=voc(_CAT), c=voc(_CAT))
    lists(tmp_path, train="a\n")
    examples = read_boxes(tmp_path)
    assert names(examples) == ["JPEGImages/a.jpg"]
    assert kinds(examples) == ["picture-unlisted"]
    assert "2 pictures" in said(examples, "picture-unlisted")[0]


def test_pictures_without_xml_are_left_out_and_counted(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT))
    photo(tmp_path / "JPEGImages" / "b.jpg")
    lists(tmp_path, train="a\n", test="b\nlost\n")
    examples = read_boxes(tmp_path)
    assert names(examples) == ["JPEGImages/a.jpg"]
    assert ["2 pictures" in line for line in said(examples, "picture-unlabelled")] == [True]


def test_a_picture_in_two_lists_stays_in_the_later(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT), b=voc(_DOG))
    lists(tmp_path, train="a\nb\n", test="b\n")
    examples = read_boxes(tmp_path)
    assert parts(examples) == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "test"}
    assert kinds(examples) == ["duplicate-across-parts"]


def test_corners_that_count_pixels_from_one_are_told(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(voc_object("cat", (1, 1, 64, 48)), voc_object("dog", (3, 4, 20, 30))))
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"JPEGImages/a.jpg": (Box("cat", 0, 0, 64, 48), Box("dog", 2, 3, 20, 30))}
    assert "count pixels from 1" in examples.how


def test_the_name_of_the_xml_tells_the_picture_and_else_what_is_in_it(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT, name="b.jpg"), b=voc(_DOG, name="a.png"))
    put(tmp_path / "Annotations" / "c.xml", voc(_CAT, name="other\\d.jpg"))
    photo(tmp_path / "JPEGImages" / "d.jpg")
    assert boxes(read_boxes(tmp_path)) == {
        "JPEGImages/a.jpg": (CAT,),
        "JPEGImages/b.jpg": (DOG,),
        "JPEGImages/d.jpg": (CAT,),
    }


@pytest.mark.parametrize(
    ("written", "kind"), [("../../etc/passwd", "path-outside"), ("lost.jpg", "missing"), ("", "missing")]
)
def test_a_picture_that_is_not_there_is_named(tmp_path: Path, written: str, kind: str) -> None:
    in_annotations(tmp_path, a=voc(_CAT))
    put(tmp_path / "Annotations" / "b.xml", voc(_CAT, name=written))
    examples = read_boxes(tmp_path)
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("Annotations/b.xml", kind, True)]


_BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>' + voc(voc_object("&y;", (1, 2, 3, 4)))
_OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + voc(voc_object("&x;", (1, 2, 3, 4)))


@pytest.mark.parametrize(
    ("text", "kind"),
    [(_BOMB, "xml-refused"), (_OUTSIDE, "xml-refused"), (voc(_CAT)[:-20], "xml-damaged"), ("", "xml-damaged")],
)
def test_damaged_xml_and_traps_are_left_out_and_named(tmp_path: Path, text: str, kind: str) -> None:
    in_annotations(tmp_path, a=voc(_CAT), b=text)
    examples = read_boxes(tmp_path)
    assert names(examples) == ["JPEGImages/a.jpg"]
    assert [(f.name, f.kind, f.bad) for f in examples.findings] == [("Annotations/b.xml", kind, True)]


def test_xml_of_something_else_is_noted(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT))
    put(tmp_path / "notes.xml", "<notes/>")
    assert kinds(read_boxes(tmp_path)) == ["xml-other"]


def test_numbers_with_fractions_blanks_or_none_are_understood_or_named(tmp_path: Path) -> None:
    good = voc_object("cat", (" 10.0", "10", "30.0 ", "40"))
    bad = voc_object("cat", ("x", 5, 6, 7)) + "<object><name>cat</name></object>"
    in_annotations(tmp_path, a=voc(good, bad))
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"JPEGImages/a.jpg": (CAT,)}
    assert [f.name for f in examples.findings] == ["JPEGImages/a.jpg, box 2", "JPEGImages/a.jpg, box 3"]
    assert set(kinds(examples)) == {"box-not-numbers"}


def test_a_box_without_a_name_is_left_out(tmp_path: Path) -> None:
    in_annotations(tmp_path, a=voc(_CAT, voc_object(" ", (1, 2, 30, 40))))
    assert kinds(read_boxes(tmp_path)) == ["box-no-class"]


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    head = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    in_annotations(tmp_path, a=voc(voc_object("cat", (10, 10, 30, 40), head)))
    examples = read_boxes(tmp_path)
    assert boxes(examples) == {"JPEGImages/a.jpg": (CAT,)}


def test_outlines_without_corners_have_a_box_around_them(tmp_path: Path) -> None:
    numbered = "<polygon><x1>10</x1><y1>10</y1><x2>30</x2><y2>20</y2><x3>12</x3><y3>40</y3></polygon>"
    points = "<polygon><pt><x>32</x><y>8</y></pt><pt><x>60</x><y>20</y></pt></polygon>"
    found = f"<object><name>cat</name>{numbered}</object><object><name>dog</name>{points}</object>"
    examples = read_boxes(in_annotations(tmp_path, a=voc(found)))
    assert boxes(examples) == {"JPEGImages/a.jpg": (CAT, DOG)}
    assert kinds(examples) == ["box-from-outline"] * 2


def test_difficult_objects_are_objects_and_counted(tmp_path: Path) -> None:
    hard = voc_object("cat", (10, 10, 30, 40), "<difficult>1</difficult>")
    examples = read_boxes(in_annotations(tmp_path, a=voc(hard), b=voc(hard)))
    assert [len(found) for found in boxes(examples).values()] == [1, 1]
    [line] = said(examples, "box-difficult")
    assert "(2 times)" in line


@pytest.mark.parametrize("size", [(0, 0), ("", ""), ("nan", 3)])
def test_where_no_size_is_stated_the_picture_tells_it(tmp_path: Path, size: tuple[object, object]) -> None:
    examples = read_boxes(in_annotations(tmp_path, a=voc(_CAT, size=size)))
    assert boxes(examples) == {"JPEGImages/a.jpg": (CAT,)}
    assert examples.findings == ()


def test_xml_that_is_no_annotation_is_none(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    put(tmp_path / "a.xml", "<metadata/>")
    assert format_of(tmp_path) == ""


def test_the_blood_cells_are_read_and_their_two_bad_boxes_are_found(shared: Path) -> None:
    root = shared / "data" / "bccd"
    if not root.is_dir():
        pytest.skip("no blood cells among the shared data")
    examples = read_boxes(root)
    assert examples.parts() == {"train": 205, "valid": 87, "test": 72}
    counted = Counter(box.label for found in boxes(examples).values() for box in found)
    assert counted == {"RBC": 4155 - 2, "WBC": 372, "Platelets": 361}
    assert [(f.name, f.kind, f.severity) for f in examples.findings] == [
        ("JPEGImages/BloodImage_00338.jpg, box 13", "box-empty", "left out"),
        ("JPEGImages/BloodImage_00343.jpg, box 4", "box-empty", "left out"),
    ]


def test_nothing_but_damaged_xml_is_an_error(tmp_path: Path) -> None:
    in_annotations(tmp_path, a="<annotation><object>")
    with pytest.raises(DataError, match="no picture with a box") as caught:
        read_boxes(tmp_path)
    assert "XML cannot be read" in caught.value.found
