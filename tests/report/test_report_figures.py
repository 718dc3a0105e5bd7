"""The charts' geometry and the way numbers are written."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.report import Estimate, ReliabilityBin, climb, figures, views, words
from headstart.report.page import Confusion, CurvePoint, FindingLine, TrainingCurve


@pytest.mark.parametrize("module", [words, figures, climb, views], ids=lambda m: m.__name__)
def test_the_examples_in_the_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_a_scale_maps_its_ends_its_middle_and_puts_what_is_outside_on_the_edge() -> None:
    scale = figures.Scale(0.5, 1.0, 200, 0)
    assert [scale.at(v) for v in (0.5, 0.75, 1.0, 0.1, 7.0)] == [200, 100, 0, 200, 0]


def test_a_scale_without_extent_puts_everything_in_its_middle() -> None:
    assert figures.Scale(3, 3, 0, 100).at(3) == 50


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.0, 1.0, (0.0, 0.5, 1.0)),
        (0.886, 0.972, (0.85, 0.9, 0.95, 1.0)),
        (12.0, 37.0, (10.0, 20.0, 30.0, 40.0)),
        (0.3, 0.3, (0.25, 0.3, 0.35)),
        (-3.0, 2.0, (-4.0, -2.0, 0.0, 2.0)),
    ],
)
def test_ticks_are_round_numbers_that_enclose_the_values(low: float, high: float, marks: tuple[float, ...]) -> None:
    assert figures.ticks(low, high) == marks


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6))
def test_ticks_always_enclose_and_are_few(low: float, span: float) -> None:
    marks = figures.ticks(low, low + span)
    assert marks[0] <= low + 1e-6 * span
    assert marks[-1] >= low + span - 1e-6 * span
    assert 2 <= len(marks) <= 7


def test_a_strip_is_in_percent_of_its_line_and_absent_without_a_value() -> None:
    assert figures.strip(Estimate(0.941, 0.892, 0.969)) == (94.1, 89.2, 96.9)
    assert figures.strip(Estimate(0.5)) == (50.0, None, None)
    assert figures.strip(Estimate(math.nan)) is None
    assert figures.strip(Estimate(None, 0.1, 0.2)) is None


def test_an_axis_leaves_out_one_score_far_below_the_others_unless_it_must_stay() -> None:
    low, high, higher = Estimate(0.02), Estimate(0.90, 0.88, 0.92), Estimate(0.93, 0.91, 0.95)
    assert figures.marks([low, high, higher], True)[0] == 0.88
    assert figures.marks([high, higher], True, [low])[0] == 0
    assert figures.marks([], True) == (0.0, 0.5, 1.0)


def curve(*scores: tuple[float | None, float | None]) -> list[CurvePoint]:
    return [CurvePoint(str(i), i, Estimate(a), None if b is None else Estimate(b)) for i, (a, b) in enumerate(scores)]


def test_a_learning_curve_stands_in_equal_columns_with_both_series_beside_the_middle() -> None:
    drawn = figures.learning(curve((0.8, 0.5), (0.9, 0.6)))
    assert [c.at for c in drawn.columns] == [31.75, 77.25]
    assert [p.x for p in drawn.transfer] == [30.25, 75.75]
    assert [p.x for p in drawn.scratch] == [33.25, 78.75]
    assert drawn.transfer[0].y > drawn.transfer[1].y
    assert all(t.y < s.y for t, s in zip(drawn.transfer, drawn.scratch, strict=True))
    assert {t.text for t in drawn.ticks} == {"50%", "60%", "70%", "80%", "90%"}


def test_a_learning_curve_without_the_second_series_stands_in_the_middle() -> None:
    drawn = figures.learning(curve((0.8, None), (None, None), (0.9, None)))
    assert [p.x for p in drawn.transfer] == [drawn.columns[0].at, drawn.columns[2].at]
    assert drawn.scratch == ()
    assert figures.learning([]).columns == ()


def test_intervals_of_a_learning_curve_reach_up_and_down_from_their_score() -> None:
    (stand,) = figures.learning([CurvePoint("all", 9, Estimate(0.8, 0.7, 0.9), None)]).transfer
    assert stand.y_low > stand.y > stand.y_high


def test_a_training_loss_falls_from_the_left_edge_to_the_right_one() -> None:
    drawn = figures.trace(TrainingCurve("a", (1, 2, 3), (1.0, 0.5, 0.0)))
    assert drawn is not None
    assert drawn.line == "0,8 50,59 100,110"
    assert [(t.at, t.text) for t in drawn.ticks] == [(110, "0"), (59, "0.5"), (8, "1")]
    assert (drawn.first, drawn.last, drawn.every, drawn.lost) == ((1, 1.0), (3, 0.0), 1, 0)


def test_a_long_training_loss_is_averaged_and_keeps_its_ends_in_words() -> None:
    drawn = figures.trace(TrainingCurve("a", tuple(range(1000)), tuple(float(i % 2) for i in range(1000))), most=100)
    assert drawn is not None
    assert len(drawn.line.split()) == 100
    assert {corner.split(",")[1] for corner in drawn.line.split()} == {"59"}
    assert (drawn.every, drawn.last) == (10, (999, 1.0))


def test_a_training_loss_that_is_no_number_is_left_out_and_counted() -> None:
    drawn = figures.trace(TrainingCurve("a", (1, 2, 3, 4), (1.0, 0.5, math.nan, math.inf)))
    assert drawn is not None
    assert (drawn.lost, drawn.last) == (2, (2, 0.5))
    assert figures.trace(TrainingCurve("a", (1, 2), (1.0, math.nan))) is None
    assert figures.trace(TrainingCurve("a", (), ())) is None


def test_stacked_pieces_touch_and_fill_the_bar() -> None:
    pieces = figures.stacked([1, 2, 1])
    assert [(p.x, p.width, p.shade) for p in pieces] == [(0.0, 25.0, 1), (25.0, 50.0, 2), (75.0, 25.0, 3)]
    assert [p.width for p in figures.stacked([5, 5], whole=40)] == [12.5, 12.5]
    assert [p.width for p in figures.stacked([0, 0])] == [0.0, 0.0]


def test_reliability_puts_a_perfect_bin_on_the_diagonal_and_leaves_empty_bins_out() -> None:
    drawn = figures.reliability([ReliabilityBin(0.5, 0.5, 10), ReliabilityBin(math.nan, math.nan, 0)])
    (ball,) = drawn.balls
    assert (ball.x, ball.y, ball.radius) == (174.0, 146.0, 10.0)
    assert ball.x - drawn.start == drawn.size - drawn.start - ball.y


def test_wilson_is_the_published_interval() -> None:
    assert figures.wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-3)
    assert figures.wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-3)
    assert figures.wilson(0.3, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.9996, ">99.9%"), (1.0, "100%"), (0.0, "0%"), (1e-5, "<0.1%"), (math.inf, "–")]
)
def test_a_percentage_is_whole_only_when_it_really_is(value: float, text: str) -> None:
    assert words.percent(value) == text


def test_numbers_are_written_in_one_way() -> None:
    assert words.interval(Estimate(0.9, 0.892, 0.969), joint=" to ") == "89.2% to 96.9%"
    assert words.interval(Estimate(0.9, 0.9, 0.9)) == ""
    assert words.interval(Estimate(1.0, 0.938, 1 - 1e-9)) == "93.8–100%"
    assert words.interval(Estimate(0.18, 0.113, 0.267), share=False) == "0.113–0.267"
    assert words.count(1234) == "1234"
    assert words.count(1234567) == "1\u202f234\u202f567"
    assert words.plural(1, "class", "classes") == "1\u00a0class"
    assert words.seconds(120) == "2\u202fmin"
    assert words.seconds(0) == "0\u202fs"


def test_confusions_are_listed_by_frequency_then_by_share() -> None:
    found = views.pairs(Confusion(("a", "b", "c"), ((5, 2, 0), (0, 1, 2), (1, 0, 9))))
    assert [(p.true, p.predicted, p.times, p.of) for p in found] == [
        ("b", "c", 2, 3),
        ("a", "b", 2, 7),
        ("c", "a", 1, 10),
    ]


def test_findings_are_grouped_gravest_first_and_cut_at_five_hundred_lines() -> None:
    lines = [FindingLine(f"n{i}", "big", "note", "why") for i in range(700)]
    groups = views.findings([*lines, FindingLine("x", "empty", "left out", "0 bytes")])
    assert [(g.kind, g.total, len(g.lines), g.open) for g in groups] == [
        ("empty", 1, 1, True),
        ("big", 700, 499, False),
    ]
