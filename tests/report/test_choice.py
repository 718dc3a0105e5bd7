"""The chart of the networks that were raced: where they stand, and that those who did not run are named."""

from __future__ import annotations

from dataclasses import replace

from report_samples import made

from headstart.report import Page, render
from headstart.report.choice import networks
from headstart.report.page import Choosing, Contender

RAN = (
    Contender("good", 0.95, 0.92, 0.97, 40.0, 8.0, 3_400_000, "MIT", "shipped"),
    Contender("quick", 0.90, 0.86, 0.93, 10.0, 2.0, None, "not stated", "passed"),
    Contender("bad", 0.60, 0.55, 0.65, 80.0, 16.0),
)


def test_better_networks_stand_higher_and_slower_ones_further_right() -> None:
    good, quick, bad = networks(RAN).points
    assert good.y < quick.y < bad.y
    assert quick.x < good.x < bad.x
    assert good.y_high < good.y < good.y_low


def test_a_network_alone_has_a_chart_too() -> None:
    field = networks(RAN[:1])
    assert len(field.points) == 1
    assert field.gutter < field.points[0].x <= 100


def test_the_page_names_who_ran_who_did_not_and_why() -> None:
    choosing = Choosing("good: the best score.", "accuracy", RAN, (("slow", "left out for time"),))
    html = render(Page("photos", "Good.", made=replace(made("photos"), choosing=choosing)))
    for text in (
        "Which network suits the data",
        "good: the best score.",
        "the pick",
        "left out for time",
        "not stated",
    ):
        assert text in html
    assert "Which network" not in render(Page("photos", "Good.", made=made("photos")))
