"""What is shown of tags and of numbers that were judged: label by label, dot by dot, the worst first."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import report_samples as samples
from sklearn.metrics import precision_recall_fscore_support

from headstart.aims.aim import Aim
from headstart.aims.labels import many_labels
from headstart.aims.number import standardising
from headstart.data.examples import Example, Target
from headstart.data.texts import TextContent
from headstart.report import render
from headstart.report.judged import DOTS, shown
from headstart.report.mistakes import NONE, mistakes, written
from headstart.report.page import Scatter
from headstart.tasks.text_classification import TEXT_CLASSIFICATION

TAGS = many_labels(("dark", "long", "wet"))


def story(aim: Aim, targets: list[Target], logits_NK: Any) -> Any:
    """Return what of a story is shown; rows are judged in another order than they were read in."""
    items = tuple(Example(f"t{i}", TextContent.of(f"text {i}"), target, "test") for i, target in enumerate(targets))
    order = np.arange(len(items))[::-1].copy()
    return SimpleNamespace(
        task=TEXT_CLASSIFICATION,
        aim=aim,
        scores=SimpleNamespace(rows=order, logits_NK=np.asarray(logits_NK, float)[order]),
        target_N=aim.encode(targets),
        examples=SimpleNamespace(items=items),
        splits=SimpleNamespace(judged=order),
        moved={},
    )


def tagged() -> Any:
    targets: list[Target] = [("dark",), ("dark", "long"), (), ("long",), ("dark",), ()]
    said = [[3, -3, -3], [3, -3, -3], [-3, -3, -3], [-3, -3, -3], [-3, 5, -3], [2, -3, -3]]
    return story(TAGS, targets, said)


def numbered(count: int) -> Any:
    values: list[Target] = [100.0 + i for i in range(count)]
    aim = standardising(values)
    errors = np.where(np.arange(count) % 7 == 3, 25.0, 0.5) * np.where(np.arange(count) % 2, 1, -1)
    return story(aim, values, aim.encode([float(v) + e for v, e in zip(values, errors, strict=True)])[:, None])  # type: ignore[arg-type]


def test_each_label_has_the_scores_that_scikit_learn_gives_it() -> None:
    told = tagged()
    found = shown(told)
    has_NK = told.target_N[told.scores.rows]
    theirs = precision_recall_fscore_support(has_NK, told.scores.logits_NK > 0, zero_division=0)
    assert [c.name for c in found.classes] == ["dark", "long", "wet"]
    for c, precision, recall, f1, count in zip(found.classes, *theirs, strict=True):
        assert c.examples == count
        assert c.f1.value == pytest.approx(f1)
        assert (c.precision.value or 0.0) == pytest.approx(precision)
        assert (c.recall.value or 0.0) == pytest.approx(recall)
    assert (found.classes[2].precision.value, found.classes[2].recall.value) == (None, None), "wet: none, and none said"
    assert (found.confusion, found.reliability, found.scatter) == (None, None, None)


def test_of_tags_the_worst_are_shown_first_and_of_equal_ones_the_most_surprising() -> None:
    found = mistakes(tagged())
    assert [(m.name, m.true, m.predicted) for m in found] == [
        ("t4", "dark", "long"),
        ("t3", "long", NONE),
        ("t5", NONE, "dark"),
        ("t1", "dark | long", "dark"),
    ]
    assert all(math.isnan(m.probability) for m in found)
    assert "".join(piece.words for piece in found[0].texts[0]) == "text 4"


def test_of_numbers_the_furthest_off_are_shown_first_in_the_user_s_units() -> None:
    found = mistakes(numbered(12))
    assert {m.name for m in found[:2]} == {"t3", "t10"}
    assert {(m.true, m.predicted) for m in found[:2]} == {("103", "128"), ("110", "85")}
    assert math.isnan(found[0].probability)


@pytest.mark.parametrize("count", [1, 12, DOTS, 3 * DOTS + 7])
def test_dots_are_true_and_predicted_numbers_evenly_picked_where_there_are_many(count: int) -> None:
    told = numbered(count) if count > 1 else story(standardising([1.0, 3.0]), [7.0], [[0.0]])
    found = shown(told).scatter
    assert found is not None
    assert found.count == count
    assert len(set(found.dots)) == len(found.dots) == min(count, DOTS)
    values = dict(found.dots)
    if count == 1:
        assert found.dots == ((pytest.approx(7), pytest.approx(2)),)
    else:
        assert max(abs(said - true) for true, said in values.items()) == pytest.approx(25)
        assert (min(values), max(values)) == (pytest.approx(100), pytest.approx(99 + count))
        gaps = np.diff(sorted(values))
        assert gaps.max() - gaps.min() < 1.5


@pytest.mark.parametrize(
    ("target", "expected"),
    [("cat", "cat"), ((), NONE), (("a",), "a"), (("a", "b"), "a | b"), (3.0, "3"), (-0.1234567, "-0.123457")],
)
def test_what_is_true_is_written_in_a_line(target: Target, expected: str) -> None:
    assert written(target) == expected


def test_a_page_of_numbers_says_how_many_dots_of_how_many_are_drawn() -> None:
    page = replace(samples.two(), classes=(), confusion=None, reliability=None, mistakes=())
    html = render(replace(page, scatter=Scatter(((1.0, 2.0), (3.0, 3.5), (5.0, math.nan)), 900)))
    assert "What it says and what is true" in html
    assert "3 of 900 are drawn, evenly picked" in html
    assert "nan" not in html.partition('id="scatter"')[2].partition("</section>")[0]
    whole = render(replace(page, scatter=Scatter(((1.0, 2.0),), 1)))
    assert "evenly picked" not in whole
