"""The learning curve: the same draw for the same seed, a point for each count, scratch only where there is time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from climb_samples import Around, ground
from headstart.aims.label import one_label
from headstart.errors import UsageError
from headstart.metrics.interval import Measure
from headstart.pipeline import Base
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages import curve as stage
from headstart.stages.curve import Point, counts, curve, linear, some
from headstart.stages.ground import Ground
from headstart.stages.plan import ScratchPlan
from headstart.stages.sources import inputs
from headstart.stages.split import Index

PLAN = ScratchPlan(16, 4, 4, (3e-4, 3e-3), False, 1.0, 1.0)
RATE = 3e-3
AIM = one_label(("a", "b", "c"))


# -- counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ,", ()),
        ("5", (5,)),
        ("5,10,25,all", (5, 10, 25, None)),
        (" 5 , all , 2 ", (5, None, 2)),
        ("all", (None,)),
        ("005", (5,)),
    ],
)
def test_counts_are_read(text: str, expected: tuple[int | None, ...]) -> None:
    assert counts(text) == expected


@pytest.mark.parametrize("word", ["1", "0", "-5", "2.5", "5e1", "five", "ALL", "5 10", "5;10", "²", "½", "+5"])
def test_what_is_no_count_is_named(word: str) -> None:
    with pytest.raises(UsageError, match="is no number of labels") as told:
        counts(f"5,{word}")
    assert repr(word) in str(told.value)
    assert "5,10,25,all" in told.value.hint


# -- some


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(2, 12), st.integers(0, 2**40))
def test_so_many_are_drawn_of_each_class_and_all_of_one_that_has_fewer(
    classes: list[int], each: int, seed: int
) -> None:
    target_N = np.array(classes)
    rows = np.arange(0, len(classes), 2)
    drawn = some(rows, target_N, each, seed)
    have, got = Counter(target_N[rows].tolist()), Counter(target_N[drawn].tolist())
    assert got == {k: min(each, n) for k, n in have.items()}
    assert len(set(drawn.tolist())) == len(drawn)
    assert set(drawn.tolist()) <= set(rows.tolist())
    assert (np.diff(drawn) > 0).all(), "in order"
    np.testing.assert_array_equal(some(rows, target_N, each, seed), drawn)


def test_another_seed_draws_others_and_all_is_all() -> None:
    rows, target_N = np.arange(60), np.arange(60) % 3
    draws = {tuple(some(rows, target_N, 5, seed).tolist()) for seed in range(5)}
    assert len(draws) == 5
    np.testing.assert_array_equal(some(rows, target_N, None, 0), rows)


def test_every_example_is_drawn_now_and_then() -> None:
    rows, target_N = np.arange(30), np.arange(30) % 3
    often = Counter(int(i) for seed in range(300) for i in some(rows, target_N, 5, seed))
    assert set(often) == set(range(30))
    assert max(abs(n - 150) for n in often.values()) < 5 * np.sqrt(300 * 0.25)


# -- linear


def clusters(spread: float) -> tuple[np.ndarray[Any, Any], Index]:
    rng, target_N = np.random.default_rng(0), np.arange(90) % 3
    centre_KD = 2 * rng.normal(size=(3, 8))
    return (centre_KD[target_N] + spread * rng.normal(size=(90, 8))).astype(np.float32), target_N


def test_the_linear_head_is_fitted_on_these_rows_alone() -> None:
    x_ND, target_N = clusters(1.0)
    rows = np.arange(0, 90, 2)
    head = linear(x_ND, target_N, AIM, rows, 0)
    spoilt_ND = x_ND.copy()
    spoilt_ND[1::2] = 1e6
    np.testing.assert_array_equal(linear(spoilt_ND, target_N, AIM, rows, 0).weight_DK, head.weight_DK)
    assert (head.logits(x_ND[1::2]).argmax(1) == target_N[1::2]).mean() > 0.8


def test_the_strength_is_chosen_and_noise_wants_another_than_clear_clusters() -> None:
    norms = []
    for spread in (0.3, 30.0):
        x_ND, target_N = clusters(spread)
        head = linear(x_ND / x_ND.std(), target_N, AIM, np.arange(90), 0)
        norms.append(float(np.linalg.norm(head.weight_DK)))
    assert norms[0] > 3 * norms[1]


# -- the curve


pytestmark = pytest.mark.usefixtures("calm")


def drawn(
    base: Base,
    folder: Path,
    *wanted: int | None,
    plan: ScratchPlan | None = None,
    seconds: float = float("inf"),
    least: int = 6,
) -> tuple[tuple[Point, ...], Around, Ground]:
    """A curve, with what went on around it."""
    around = Around(seconds)
    on = replace(ground(base, folder, around), items=items_of(base.data))
    source = inputs(on.encoder, on.items, np.arange(len(on.items)), 0, quiet, on.clock) if plan else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "LEAST_STEPS", least)
        return curve(on, base.x_ND, wanted, source, plan, RATE, around.left), around, on


def test_there_is_a_point_for_each_count_with_the_score_of_the_linear_head(base: Base, tmp_path: Path) -> None:
    points, around, on = drawn(base, tmp_path, 2, 4, 500, None)
    assert [(p.labels, p.examples) for p in points] == [("2", 6), ("4", 12), ("500", 24), ("all", 24)]
    assert around.count == 0
    splits = on.splits
    for point, each in zip(points, (2, 4, 500, None), strict=True):
        rows = some(splits.train, on.target_N, each, on.seed)
        said = linear(base.x_ND, on.target_N, on.aim, rows, on.seed).logits(base.x_ND[splits.judged]).argmax(1)
        assert isinstance(point.transfer, Measure)
        assert point.transfer.value == pytest.approx((said == on.target_N[splits.judged]).mean())
        assert point.transfer.low <= point.transfer.value <= point.transfer.high
    assert points[2].transfer == points[3].transfer


def test_without_a_plan_nothing_is_trained_from_scratch(base: Base, tmp_path: Path) -> None:
    points, around, _ = drawn(base, tmp_path, 2, None)
    assert [point.scratch for point in points] == [None, None]
    assert around.count == 0


def test_what_nobody_wanted_has_no_point(base: Base, tmp_path: Path) -> None:
    assert drawn(base, tmp_path, plan=PLAN)[0] == ()


def test_from_scratch_takes_steps_by_the_share_of_examples_at_the_rate_that_was_chosen(
    base: Base, tmp_path: Path
) -> None:
    points, around, _ = drawn(base, tmp_path, 2, 4, None, plan=PLAN)
    steps = {name: len(rows) for name, rows in around.rows.items()}
    assert list(steps.values()) == [6, 8, 16], "a quarter would be 4, of 6 at least"
    highest = {max(row.rate for row in rows) for rows in around.rows.values()}
    assert highest == {RATE}
    for point in points:
        assert point.scratch is not None
        assert point.scratch.name == point.transfer.name
        assert 0 <= point.scratch.low <= point.scratch.value <= point.scratch.high <= 1


def test_the_least_number_of_steps_is_never_more_than_the_whole_training_has(base: Base, tmp_path: Path) -> None:
    _, around, _ = drawn(base, tmp_path, 2, plan=replace(PLAN, steps=5), least=50)
    assert around.count == 5


def test_where_time_is_out_there_is_no_point_from_scratch(base: Base, tmp_path: Path) -> None:
    """Half a training says nothing of how many labels it takes."""
    points, around, _ = drawn(base, tmp_path, 2, None, 4, plan=PLAN, seconds=11)
    assert [point.scratch is not None for point in points] == [True, False, False]
    assert around.count == 11, "the third is not begun"
    assert all(point.transfer for point in points)


def test_the_same_again_is_read_and_not_trained(base: Base, tmp_path: Path) -> None:
    first, around, _ = drawn(base, tmp_path, 2, None, plan=PLAN)
    again, later, _ = drawn(base, tmp_path, 2, None, plan=PLAN)
    assert (around.count, later.count) == (22, 0)
    assert again == first
