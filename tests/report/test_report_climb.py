"""The ladder's chart: where points stand on the clock, and that nothing covers anything else."""

from __future__ import annotations

import dataclasses
import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_extras import LADDER, RUNGS, SCRATCH

from headstart.report import Estimate, Ladder, Rung
from headstart.report.climb import FLOOR, GAP, LEFT, REACH, RIGHT, ROOM, TOP, climb, done, extent, place, spread, times
from headstart.report.page import RungStatus, Scratch


def rung(
    value: float | None,
    seconds: float | None = 1.0,
    at: float | None = None,
    status: RungStatus = "yardstick",
    half: float = 0.03,
) -> Rung:
    estimate = Estimate(value) if value is None else Estimate(value, value - half, value + half)
    return Rung("r", "", estimate, seconds, status, at=at)


def test_a_rung_is_where_the_clock_was_and_else_where_its_costs_add_up() -> None:
    assert done([rung(0.5, 1.0, 7.5), rung(0.6, 2.0, 9.0)]) == (7.5, 9.0)
    assert done([rung(0.5, 1.0), rung(0.6, 2.0), rung(0.7, None), rung(0.8, 4.0)]) == (1.0, 3.0, 3.0, 7.0)
    assert done([rung(0.5, 1.0, 10.0), rung(0.6, 2.0), rung(0.7, math.nan)]) == (10.0, 12.0, 12.0)


def test_the_axis_of_seconds_is_logarithmic() -> None:
    assert place(1, (1, 100)) == LEFT
    assert place(10, (1, 100)) == pytest.approx((LEFT + RIGHT) / 2)
    assert place(100, (1, 100)) == RIGHT
    first, second, third = climb(Ladder((rung(0.6, at=1.0), rung(0.7, at=10.0), rung(0.8, at=100.0)))).points
    assert second.x - first.x == pytest.approx(third.x - second.x)


@pytest.mark.parametrize(
    ("across", "texts"),
    [
        ((0.1, 0.4), ["0.1 s", "0.15 s", "0.2 s", "0.3 s", "0.4 s"]),
        ((1.2, 4.8), ["1.5 s", "2 s", "3 s", "4 s"]),
        ((0.1, 1200.0), ["0.1 s", "1 s", "10 s", "1 min", "5 min"]),
        ((5.0, 4000.0), ["10 s", "1 min", "5 min", "20 min", "1 h"]),
        ((3600.0, 700_000.0), ["1 h", "4 h", "12 h", "48 h", "168 h"]),
    ],
)
def test_the_marks_of_the_clock_are_round(across: tuple[float, float], texts: list[str]) -> None:
    assert [t.text.replace("\u202f", " ") for t in times(across)] == texts


@given(st.floats(FLOOR, 1e5), st.floats(4, 1e5))
def test_the_clock_always_has_marks_and_they_never_touch(low: float, factor: float) -> None:
    ticks = times((low, low * factor))
    assert len(ticks) >= (2 if low * factor < 604_800 else 1)
    assert all(b.at - a.at >= ROOM for a, b in pairwise(ticks))
    assert all(LEFT <= t.at <= RIGHT for t in ticks)


def test_what_took_no_time_stands_at_the_left_edge_and_the_axis_says_so() -> None:
    drawn = climb(Ladder((rung(0.5, 0.0), rung(0.8, 20.0))))
    assert drawn.points[0].x == LEFT
    assert drawn.times[0].text == "≤ 0.1\u202fs"
    assert climb(Ladder((rung(0.5, FLOOR), rung(0.8, 20.0)))).times[0].text == "0.1\u202fs"


@given(st.lists(st.floats(LEFT, RIGHT), min_size=1, max_size=40))
def test_points_keep_their_order_their_distance_and_the_edges(places: list[float]) -> None:
    moved = spread(places)
    gap = min(GAP, (RIGHT - LEFT) / max(1, len(places) - 1)) - 0.02
    assert all(b - a >= gap for a, b in pairwise(sorted(moved)))
    assert all(LEFT - 0.01 <= x <= RIGHT + 0.01 for x in moved)
    assert all((a <= b) == (x <= y) for (a, x), (b, y) in combinations(zip(places, moved, strict=True), 2) if a != b)


def test_points_with_room_stay_exactly_where_they_are() -> None:
    assert spread([20.0, 40.0, 80.0]) == (20.0, 40.0, 80.0)
    assert not climb(Ladder((rung(0.6, at=1.0), rung(0.7, at=10.0)))).moved
    assert climb(Ladder((rung(0.6, at=1.0), rung(0.7, at=1.01), rung(0.8, at=10.0)))).moved


def test_higher_scores_are_higher_and_intervals_reach_both_ways() -> None:
    drawn = climb(LADDER)
    by_value = sorted((p for p in drawn.points if p.rung is not None), key=lambda p: RUNGS[p.rung or 0].headline.value)
    assert all(a.y > b.y for a, b in pairwise(by_value))
    assert all(TOP <= p.y_high < p.y < p.y_low < drawn.foot for p in drawn.points)
    assert all(p.number_y < p.y_high for p in drawn.points)


def test_rungs_that_were_beaten_are_not_joined_to_the_others_and_nor_is_scratch() -> None:
    assert [(a.rung, b.rung) for a, b in climb(LADDER).steps] == [(0, 1), (1, 2), (2, 3)]


def test_the_network_from_random_weights_stands_at_its_own_seconds() -> None:
    drawn = climb(LADDER)
    (scratch,) = (p for p in drawn.points if p.rung is None)
    assert scratch.x == RIGHT
    early = climb(dataclasses.replace(LADDER, scratch=dataclasses.replace(SCRATCH, seconds=10.0)))
    assert next(p.x for p in early.points if p.rung is None) == place(10.0, (2.31, 122.0))
    unknown = climb(dataclasses.replace(LADDER, scratch=dataclasses.replace(SCRATCH, seconds=None)))
    assert max(p.x for p in unknown.points if p.rung is not None) < next(p.x for p in unknown.points if p.rung is None)


def test_only_a_rung_may_leave_the_scale_and_the_network_from_random_weights_may_not() -> None:
    rungs = (rung(0.02, at=1.0), rung(0.90, at=5.0), rung(0.93, at=60.0))
    drawn = climb(Ladder(rungs))
    assert [p.below for p in drawn.points] == [True, False, False]
    assert [(a.rung, b.rung) for a, b in drawn.steps] == [(1, 2)]
    assert drawn.points[0].y > drawn.foot
    low = climb(Ladder(rungs[1:], scratch=Scratch(Estimate(0.02), 5.0, "")))
    assert not any(p.below for p in low.points)
    assert low.ticks[0].text == "0%"


def test_a_ladder_of_perfect_or_unknown_scores_can_be_drawn() -> None:
    assert climb(Ladder((rung(1.0, half=0.0), rung(1.0, half=0.0)))).ticks[-1].text == "100%"
    assert climb(Ladder((rung(None), rung(None)))).points == ()
    assert climb(Ladder(())).points == ()
    assert climb(Ladder((), scratch=Scratch(Estimate(math.nan), 1.0, ""))).points == ()


STATUSES: tuple[RungStatus, ...] = ("yardstick", "passed", "beaten")
CLIMBS = st.lists(
    st.tuples(st.floats(0.3, 0.95), st.floats(0.5, 500), st.sampled_from(STATUSES)), min_size=1, max_size=14
)


@given(CLIMBS, st.integers(0, 13), st.floats(0.3, 0.95), st.floats(0.5, 500))
def test_no_score_covers_a_point_a_number_or_another_score(
    rows: list[tuple[float, float, RungStatus]], shipped: int, plain: float, seconds: float
) -> None:
    rungs = [rung(value, at=at, status=status) for value, at, status in rows]
    rungs[shipped % len(rungs)] = dataclasses.replace(rungs[shipped % len(rungs)], status="shipped")
    drawn = climb(Ladder(tuple(rungs), scratch=Scratch(Estimate(plain, plain - 0.04, plain + 0.04), seconds, "")))
    for p in drawn.points:
        for q in drawn.points:
            if p is not q and p.score_y is not None and not p.tight and not p.below and not q.below:
                body, distance = extent(q._replace(score_y=None)), abs(p.x - q.x)
                assert distance >= REACH or p.score_y + 3 < body[0] or p.score_y - 11 > body[1]
                written = q.score_y is not None and not q.tight
                assert not written or distance >= ROOM or abs(p.score_y - (q.score_y or 0)) >= 14


def test_the_shipped_rung_and_scratch_always_have_their_scores() -> None:
    crowd = tuple(rung(0.5 + 0.01 * i, at=2 + 0.01 * i, status="shipped" if i == 9 else "beaten") for i in range(25))
    drawn = climb(Ladder(crowd, scratch=SCRATCH))
    assert [p.rung for p in drawn.points if p.score_y is not None and not p.tight] == [9, None]
    assert drawn.points[9].score_y is not None
