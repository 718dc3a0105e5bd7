"""What a page says of fine-tuning, of the network from random weights, of fewer labels, of the plan and of training."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import report_extras as extras
import report_samples as samples
from report_parsed import Parsed

from headstart.report import Estimate, Ladder, Page, render, views, words
from headstart.report.page import CurvePoint, Scratch, TrainingCurve


def text(page: Page) -> str:
    return Parsed(render(page)).text


def section(page: Page, anchor: str) -> str:
    """Return the HTML of one section."""
    (found,) = re.findall(rf'<section aria-labelledby="{anchor}">.*?</section>', render(page), re.S)
    return str(found)


def with_ladder(ladder: Ladder) -> Page:
    return dataclasses.replace(extras.tuned(), ladder=ladder)


def with_training(*curves: TrainingCurve) -> Page:
    made = extras.tuned().made
    assert made is not None
    return dataclasses.replace(extras.tuned(), made=dataclasses.replace(made, training=curves))


def test_what_pretraining_was_worth_is_said_once_and_on_the_first_screen() -> None:
    html = render(extras.tuned())
    first = Parsed(html[: html.index("<main>")]).text
    assert "What pretraining was worth +24.8 points 95% interval: +17.0 to +32.7 points" in first
    assert extras.SENTENCE in first
    assert html.count(extras.SENTENCE) == 1


def test_a_loss_by_pretraining_is_a_negative_number() -> None:
    worse = dataclasses.replace(extras.SCRATCH, worth=Estimate(-0.021, -0.06, 0.018))
    said = text(with_ladder(dataclasses.replace(extras.LADDER, scratch=worse)))
    assert "−2.1 points 95% interval: −6.0 to +1.8 points" in said


@pytest.mark.parametrize("worth", [None, Estimate(math.nan), Estimate(0.1)])
def test_a_comparison_without_difference_or_interval_still_has_its_sentence(worth: Estimate | None) -> None:
    scratch = dataclasses.replace(extras.SCRATCH, worth=worth)
    html = render(with_ladder(dataclasses.replace(extras.LADDER, scratch=scratch)))
    top = html[html.index('class="worth"') : html.index('class="worry"')]
    assert extras.SENTENCE in top
    assert "interval" not in top
    assert ("points" in top) == (worth == Estimate(0.1))


def test_every_rung_has_the_number_in_the_table_that_it_has_in_the_chart() -> None:
    html = section(extras.tuned(), "ladder")
    in_chart = re.findall(r'<text class="number"[^>]*>(\d+)</text>', html)
    in_table = re.findall(r'<span class="no">(\d+)</span> ([^<]+)<', html)
    assert in_chart == ["1", "2", "3", "4", "5"]
    assert in_table == [(str(i + 1), rung.name) for i, rung in enumerate(extras.RUNGS)]


def test_every_outcome_has_its_sign_and_the_legend_explains_those_that_there_are() -> None:
    html = section(extras.tuned(), "ladder")
    for status in ("shipped", "passed", "yardstick", "beaten", "scratch"):
        assert f'<g class="mark {status}">' in html
        assert f'class="sign mark {status}"' in html
    assert [status for status, _ in views.outcomes(extras.LADDER)] == ["shipped", "passed", "yardstick", "beaten"]
    two = samples.two().ladder
    assert two is not None
    assert [status for status, _ in views.outcomes(two)] == ["shipped", "yardstick"]


def test_the_network_from_random_weights_is_a_diamond_and_a_row_without_a_number() -> None:
    html = section(extras.tuned(), "ladder")
    assert html.count("M0-7 7 0 0 7-7 0z") == 3  # in the chart, in its legend, in the table
    row = next(r for r in html.split("<tr ") if "trained from random weights" in r)
    assert "from scratch" in row
    assert "70.6%" in row
    assert 'class="no"' not in row
    assert "M0-7" not in section(samples.two(), "ladder")


def test_the_clock_is_shown_only_when_it_was_read() -> None:
    assert "Done at" in section(extras.tuned(), "ladder")
    assert "time since the run began, log scale" in section(extras.tuned(), "ladder")
    assert "Done at" not in section(samples.two(), "ladder")
    assert "time spent on the rungs, log scale" in section(samples.two(), "ladder")


def test_what_was_not_tried_is_listed_with_its_reason_and_scratch_among_it() -> None:
    ladder = Ladder(extras.RUNGS, untried=extras.UNTRIED, scratch_note="no room in the budget")
    said = section(with_ladder(ladder), "ladder").split("Not tried")[1]
    rows = re.findall(r"<th scope=.row.[^>]*>([^<]+)</th><td[^>]*>([^<]+)</td>", said)
    assert rows == [*extras.UNTRIED, ("from scratch", "no room in the budget")]
    assert "What pretraining was worth" not in text(with_ladder(ladder))
    assert "Not tried" not in text(with_ladder(Ladder(extras.RUNGS)))


def test_a_note_on_a_comparison_that_was_made_stands_in_its_row() -> None:
    ladder = dataclasses.replace(extras.LADDER, untried=(), scratch_note="stopped early by the budget")
    said = Parsed(section(with_ladder(ladder), "ladder")).text
    assert "trained from random weights" in said
    assert "stopped early by the budget" in said
    assert "Not tried" not in said


def test_the_learning_curve_has_a_chart_and_a_table() -> None:
    html = section(extras.tuned(), "curve")
    labels = [attrs["aria-label"] or "" for attrs in Parsed(html).all("svg") if attrs.get("role") == "img"]
    assert labels[0].startswith("Score by labelled examples per class: 5: pretrained 79.1%, from scratch 51.6%; 10:")
    assert re.findall(r'<th scope="row"[^>]*>([^<]+)</th>', html) == ["5", "10", "25", "50", "all"]
    assert html.count('class="join scratch"') == 4


def test_a_learning_curve_without_scratch_has_neither_its_column_nor_its_legend() -> None:
    alone = tuple(dataclasses.replace(p, scratch=None) for p in extras.CURVE)
    html = section(dataclasses.replace(extras.tuned(), curve=alone), "curve")
    assert "scratch" not in html
    one_missing = (*extras.CURVE, CurvePoint("more", 300, Estimate(0.96), None))
    assert words.DASH in Parsed(section(dataclasses.replace(extras.tuned(), curve=one_missing), "curve")).text


def test_the_plan_is_folded_and_every_number_has_its_reason() -> None:
    html = section(extras.tuned(), "made")
    folded = [d for d in Parsed(html).all("details") if d.get("class") == "plan"]
    assert len(folded) == len(extras.PLAN) + 1
    assert not any("open" in d for d in folded)
    for block in extras.PLAN:
        for line in block.lines:
            assert all(f">{said}</t" in html for said in (line.name, line.value, line.reason))


def test_the_frozen_trunk_is_among_the_facts() -> None:
    assert f"<dt>Frozen weights</dt><dd>{extras.FROZEN}</dd>" in section(extras.tuned(), "made")


def test_at_most_six_training_losses_are_drawn_and_those_without_numbers_are_not() -> None:
    curves = [extras.losses(f"run {i}", 30, i) for i in range(8)]
    html = section(with_training(*curves), "made")
    assert html.count('class="loss"') == 6
    assert "The first 6 of 8 are shown." in html
    dead = TrainingCurve("dead", (1, 2), (math.nan, math.nan))
    assert section(with_training(curves[0], dead), "made").count('class="loss"') == 1
    assert "Training loss" not in section(with_training(dead), "made")


def test_a_training_loss_that_broke_off_says_so() -> None:
    broken = TrainingCurve("broken", (1, 2, 3), (1.0, 2.0, math.inf))
    assert "1\u00a0value not shown: no number." in section(with_training(broken), "made")


def test_a_page_without_these_parts_shows_nothing_of_them() -> None:
    page = samples.two()
    assert page.ladder is not None
    assert page.made is not None
    assert (page.ladder.scratch, page.ladder.scratch_note, page.curve) == (None, "", ())
    assert (page.made.plan, page.made.frozen, page.made.training) == ((), "", ())
    html = render(page).split("</style>")[1]
    for absent in ("worth", "scratch", 'id="curve"', "The plan", "Frozen weights", "Training loss", "passed"):
        assert absent not in html


def test_a_comparison_is_shown_even_when_no_rung_is() -> None:
    page = Page("birds", "It works.", ladder=Ladder((), scratch=Scratch(Estimate(0.5), None, "It was worth it.")))
    assert "It was worth it." in text(page)
    assert 'id="ladder"' not in render(page)


def test_differences_of_other_numbers_are_not_in_points() -> None:
    assert words.gain(-1.5, share=False) == "−1.500"
    assert words.gained(Estimate(1.0, 0.5, 1.5), share=False) == "+0.500 to +1.500"
    assert words.gain(math.nan) == words.DASH
    assert words.gain(-0.0001) == "0.0 points"
