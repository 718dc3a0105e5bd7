"""What a report shows of detections: each class, what was told as what, pictures by the kind of mistake."""

from __future__ import annotations

import base64
import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

import tiny
from headstart.aims.boxes import some_boxes
from headstart.data.examples import Box, CellContent, Example
from headstart.heads.boxes import FIELDS, SLOTS
from headstart.metrics.box_errors import KINDS
from headstart.report import boxed
from headstart.report.drawn import COLOURS, WRONG
from headstart.report.judged import shown

AIM = some_boxes(("ant", "bee", "cat"))
SIDE = 100
HERE, THERE = (10, 10, 50, 50), (60, 60, 95, 95)
NEAR = (30, 10, 70, 50)
"""Of `HERE` it overlaps a third."""


def box(label: str, corners: tuple[float, ...]) -> Box:
    return Box(label, *corners, of=(SIDE, SIDE))


def said(*spots: tuple[float, str, tuple[float, ...]]) -> NDArray[np.float64]:
    found_M6 = np.zeros((SLOTS, FIELDS))
    found_M6[:, 1] = -1
    for i, (score, label, corners) in enumerate(spots):
        found_M6[i] = [score, AIM.outputs.index(label), *(v / SIDE for v in corners)]
    return found_M6.ravel()


PICTURES: dict[str, tuple[tuple[Box, ...], NDArray[np.float64]]] = {
    "right.png": ((box("ant", HERE),), said((0.9, "ant", HERE))),
    "missed.png": ((box("ant", HERE), box("bee", THERE)), said((0.8, "bee", THERE), (0.2, "ant", HERE))),
    "background.png": ((box("ant", HERE),), said((0.9, "ant", HERE), (0.7, "bee", THERE))),
    "wrong class.png": ((box("bee", HERE),), said((0.6, "ant", HERE))),
    "badly placed.png": ((box("ant", HERE),), said((0.95, "ant", NEAR))),
    "twice.png": ((box("ant", HERE),), said((0.9, "ant", HERE), (0.85, "ant", HERE))),
    "empty.png": ((), said()),
}


def story(threshold: float = 0.5, pictures: Any = PICTURES, content: Any = None) -> Any:
    """What of a story is shown; pictures are judged in another order than they were read in."""
    targets = [boxes for boxes, _ in pictures.values()]
    read = content or CellContent(lambda: tiny.png(np.full((SIDE, SIDE, 3), 128, np.uint8)))
    items = tuple(Example(name, read, target, "test") for name, target in zip(pictures, targets, strict=True))
    order = np.arange(len(items))[::-1].copy()
    logits_NF = np.stack([found for _, found in pictures.values()])
    return SimpleNamespace(
        aim=AIM,
        head=SimpleNamespace(threshold=threshold),
        scores=SimpleNamespace(rows=order, logits_NK=logits_NF[order]),
        target_N=AIM.encode(targets),
        examples=SimpleNamespace(items=items),
    )


def picture(uri: str) -> NDArray[np.int64]:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(np.int64)


def has(uri: str, colour: str) -> bool:
    return bool((np.abs(picture(uri) - np.array(ImageColor.getrgb(colour))).max(2) < 60).sum() > 20)


def test_each_class_has_precision_and_recall_from_the_threshold_on_and_its_ap50() -> None:
    ant, bee, cat = shown(story()).classes
    assert (ant.name, ant.examples, bee.name, bee.examples) == ("ant", 5, "bee", 2)
    assert ant.precision.value == pytest.approx(3 / 6)  # not: of a bee, beside, twice
    assert ant.recall.value == pytest.approx(3 / 5)
    assert bee.precision.value == pytest.approx(1 / 2)
    assert bee.recall.value == pytest.approx(1 / 2)
    assert bee.f1.value == pytest.approx(0.5, abs=0.01)
    assert (cat.examples, cat.precision.value, cat.recall.value, cat.f1.value) == (0, None, None, None)


def test_a_lower_threshold_finds_what_was_missed_and_ap50_stays() -> None:
    high, low = shown(story(0.5)).classes[0], shown(story(0.1)).classes[0]
    assert (high.recall.value, low.recall.value) == (pytest.approx(0.6), pytest.approx(0.8))
    assert high.f1.value == low.f1.value


def test_nothing_is_a_class_of_its_own_in_what_is_taken_for_what() -> None:
    table = shown(story()).confusion
    assert table is not None
    assert table.labels == ("ant", "bee", "cat", "nothing")
    assert table.counts == (
        (3, 0, 0, 2),  # ants: right thrice, missed, and badly placed
        (1, 1, 0, 0),
        (0, 0, 0, 0),
        (2, 1, 0, 0),  # told where nothing is: beside an ant, an ant twice, a bee
    )


def test_every_kind_of_mistake_is_shown_and_what_is_right_is_not() -> None:
    found = {m.name: m for m in shown(story()).mistakes}
    assert found.keys() == PICTURES.keys() - {"right.png", "empty.png"}
    kinds = {name: m.predicted for name, m in found.items()}
    assert kinds == {
        "missed.png": "missed",
        "background.png": "background",
        "wrong class.png": "wrong class",
        "badly placed.png": "badly placed",
        "twice.png": "duplicate",
    }
    assert set(kinds.values()) <= set(KINDS)
    assert all(math.isnan(m.probability) for m in found.values())
    assert "1 missed" in found["missed.png"].told
    assert "1 right" in found["missed.png"].told


def test_mistakes_of_one_kind_stand_together() -> None:
    many = {f"{i} {name}": given for i in range(3) for name, given in PICTURES.items()}
    kinds = [m.predicted for m in shown(story(pictures=many)).mistakes]
    assert len(kinds) == 15
    assert kinds == sorted(kinds)


def test_no_more_are_shown_than_a_page_holds_each_picture_once_and_of_every_kind_some() -> None:
    many = {f"{i} {name}": given for i in range(9) for name, given in PICTURES.items()}
    found = shown(story(pictures=many)).mistakes
    assert len(found) == len({m.name for m in found}) == boxed.SHOWN
    assert {m.predicted for m in found} == {"missed", "background", "wrong class", "badly placed", "duplicate"}


def test_of_a_kind_the_pictures_with_most_of_it_come_first() -> None:
    little = ((box("ant", HERE),), said())
    much = ((box("ant", HERE), box("bee", THERE), box("cat", (60, 10, 90, 40))), said())
    pictures = {f"little {i}": little for i in range(boxed.SHOWN)} | {"much": much}
    assert "much" in {m.name for m in shown(story(pictures=pictures)).mistakes}


def test_boxes_are_drawn_green_where_right_blue_where_missed_and_orange_where_wrong() -> None:
    found = {m.name: m.picture for m in shown(story()).mistakes}
    expected = {
        "missed.png": {"right", "missed"},
        "background.png": {"right", "wrong"},
        "badly placed.png": {"wrong"},
        "wrong class.png": {"wrong"},
        "twice.png": {"right", "wrong"},
    }
    colours = {**COLOURS, "wrong": WRONG}
    for name, there in expected.items():
        if name == "twice.png":  # one lies over the other
            continue
        assert {kind for kind, colour in colours.items() if has(found[name], colour)} == there, name


def test_boxes_lie_where_they_were_said_to() -> None:
    found = {m.name: m.picture for m in shown(story()).mistakes}
    blue = np.abs(picture(found["missed.png"]) - np.array(ImageColor.getrgb(COLOURS["missed"]))).max(2) < 60
    rows, columns = np.nonzero(blue)
    assert (columns.min(), columns.max()) == pytest.approx((10, 50), abs=3)
    assert rows.max() == pytest.approx(50, abs=3)


def test_a_picture_that_is_gone_is_told_of_without_being_shown() -> None:
    def gone() -> bytes:
        raise FileNotFoundError("it was there a minute ago")

    found = shown(story(content=CellContent(gone))).mistakes
    assert len(found) == 5
    assert {m.picture for m in found} == {""}


def test_where_all_is_right_no_mistake_is_shown() -> None:
    pictures = {name: PICTURES[name] for name in ("right.png", "empty.png")}
    assert shown(story(pictures=pictures)).mistakes == ()
