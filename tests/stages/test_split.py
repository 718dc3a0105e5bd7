"""Splits: copies stay together, classes stay in proportion, and what was given is respected."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.examples import Part
from headstart.errors import DataError
from headstart.stages import split as stage
from headstart.stages.split import HOLD_OUT_FROM, REPEAT_BELOW, Index, Splits, deal, split, units

Case = tuple[list[Part], Index, Index, int]
SIDES: tuple[Part, ...] = ("train", "valid", "test")


def classes(*sizes: int) -> Index:
    return np.repeat(np.arange(len(sizes)), sizes)


def alone(count: int) -> Index:
    """Every example is a unit of its own."""
    return np.arange(count)


def parts(**sizes: int) -> list[Part]:
    return [part for part in SIDES for _ in range(sizes.get(part, 0))]


def no_parts(count: int) -> list[Part]:
    return [""] * count


@st.composite
def without_parts(draw: st.DrawFn) -> Case:
    """Examples of up to five classes in units of up to four, copies now and then labelled differently."""
    n = draw(st.integers(8, 60))
    k = draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    unit = np.unique(np.sort(rng.integers(0, max(4, n // draw(st.integers(1, 4))), n)), return_inverse=True)[1]
    target = rng.integers(0, k, unit.max() + 1)[unit]
    mislabelled = rng.random(n) < draw(st.sampled_from([0.0, 0.1]))
    target[mislabelled] = rng.integers(0, k, int(mislabelled.sum()))
    order = rng.permutation(n)
    return no_parts(n), target[order], unit[order], draw(st.integers(0, 5))


def made(case: Case) -> Splits | None:
    """The splits, or None where there is too little to split: that is said by an error of its own."""
    try:
        return split(*case)
    except DataError as error:
        assert "Too few examples" in error.what  # noqa: PT017 - nothing else may be raised
        return None


def repeats(splits: Splits) -> list[list[tuple[Index, Index]]]:
    """Folds by the repeat that they belong to: a repeat ends when an example would be held a second time."""
    out: list[list[tuple[Index, Index]]] = []
    seen: set[int] = set()
    for fit, held in splits.folds:
        if not out or seen & set(held):
            out.append([])
            seen = set()
        out[-1].append((fit, held))
        seen |= set(held)
    return out


# -- units


def test_pairs_of_copies_make_units_however_they_are_chained() -> None:
    assert units(6, [(4, 1), (1, 0), (5, 3)]).tolist() == [0, 0, 1, 2, 0, 2]
    assert units(3, []).tolist() == [0, 1, 2]
    assert units(0, []).tolist() == []


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=30))
def test_units_are_the_connected_components(count: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(a % count, b % count) for a, b in pairs]
    group = [{i} for i in range(count)]
    for a, b in pairs:
        joined = group[a] | group[b]
        for i in joined:
            group[i] = joined
    unit = units(count, pairs)
    assert all((unit[i] == unit[j]) == (j in group[i]) for i in range(count) for j in range(count))
    assert set(unit) == set(range(unit.max() + 1))


# -- cross-validation


@given(without_parts())
@settings(max_examples=80)
def test_a_unit_is_never_on_both_sides_of_a_fold(case: Case) -> None:
    splits = made(case)
    for fit, held in splits.folds if splits else ():
        assert not set(splits.unit[fit]) & set(splits.unit[held])
        assert sorted([*fit, *held]) == list(splits.train)


@given(without_parts())
@settings(max_examples=80)
def test_every_example_is_held_once_a_repeat_but_for_classes_of_one_unit(case: Case) -> None:
    splits = made(case)
    if splits is None:
        return
    target = case[1]
    label = {u: int(np.bincount(target[splits.unit == u]).argmax()) for u in set(splits.unit)}
    of_class = Counter(label.values())
    several = {int(i) for i in splits.train if of_class[label[splits.unit[i]]] > 1}
    for repeat in np.split(np.arange(len(splits.folds)), 3):
        held = [int(i) for f in repeat for i in splits.folds[f][1]]
        assert sorted(held) == sorted(several)


@given(without_parts())
@settings(max_examples=80)
def test_every_fold_holds_something_and_fits_at_least_two_classes(case: Case) -> None:
    splits = made(case)
    for fit, held in splits.folds if splits else ():
        assert len(held)
        assert len(set(case[1][fit])) >= 2


@given(st.lists(st.integers(2, 40), min_size=2, max_size=6), st.integers(0, 100))
@settings(max_examples=60)
def test_each_fold_has_its_share_of_each_class_to_within_one(sizes: list[int], seed: int) -> None:
    target = classes(*sizes)
    splits = split(no_parts(len(target)), target, alone(len(target)), seed)
    folds = min(5, max(sizes))
    assert len(splits.folds) == 3 * folds
    for _, held in splits.folds:
        for k, size in enumerate(sizes):
            assert abs((target[held] == k).sum() - size / folds) < 1


def test_folds_have_nearly_the_same_size_when_many_classes_are_small() -> None:
    """Dealing each class from the first fold on would put every remainder there."""
    target = classes(*[6] * 30)
    splits = split(no_parts(180), target, alone(180), 0)
    assert {len(held) for _, held in splits.folds} <= {35, 36, 37}


def test_a_class_of_one_unit_is_always_fitted_and_never_held() -> None:
    target = classes(10, 10, 3)
    unit = np.r_[np.arange(20), [20, 20, 20]]
    splits = split(no_parts(23), target, unit, 0)
    for fit, held in splits.folds:
        assert {20, 21, 22} <= set(fit)
        assert not {20, 21, 22} & set(held)


@pytest.mark.parametrize(("largest", "folds"), [(2, 2), (4, 4), (5, 5), (9, 5)])
def test_only_where_no_class_has_five_units_are_there_fewer_folds(largest: int, folds: int) -> None:
    target = classes(largest, 2, 1)
    splits = split(no_parts(len(target)), target, alone(len(target)), 0)
    assert [len(repeat) for repeat in repeats(splits)] == [folds] * 3


@pytest.mark.parametrize(("n", "times"), [(REPEAT_BELOW - 2, 3), (REPEAT_BELOW, 1)])
def test_repeats_are_for_small_sets(n: int, times: int) -> None:
    splits = split(no_parts(n), classes(n // 2, n // 2), alone(n), 0)
    assert len(repeats(splits)) == times


def test_repeats_are_dealt_differently() -> None:
    splits = split(no_parts(40), classes(20, 20), alone(40), 0)
    first, second, third = ({tuple(sorted(held)) for _, held in repeat} for repeat in repeats(splits))
    assert first != second != third != first


@given(without_parts())
@settings(max_examples=30)
def test_a_seed_fixes_the_folds(case: Case) -> None:
    first, again = made(case), made(case)
    if first is None or again is None:
        assert first is again
        return
    for (fit, held), (fit_again, held_again) in zip(first.folds, again.folds, strict=True):
        np.testing.assert_array_equal(fit, fit_again)
        np.testing.assert_array_equal(held, held_again)


def test_another_seed_deals_other_folds() -> None:
    one, other = (split(no_parts(40), classes(20, 20), alone(40), seed) for seed in (0, 1))
    assert any(set(a[1]) != set(b[1]) for a, b in zip(one.folds, other.folds, strict=True))


def test_large_units_are_spread_and_not_piled_up() -> None:
    """Two units of ten copies and twenty singles of one class: no fold of two gets both large ones."""
    unit = np.r_[np.repeat([0, 1], 10), np.arange(2, 22), np.arange(22, 62)]
    target = classes(40, 40)
    for seed in range(5):
        fold = deal(np.arange(80), target, unit, 2, np.random.default_rng(seed))
        assert fold[0] != fold[10]
        assert Counter(fold[:40].tolist()) == {0: 20, 1: 20}


# -- too little


@pytest.mark.parametrize(
    ("target", "unit"),
    [
        ([0, 0, 0, 0], [0, 1, 2, 3]),
        ([0, 1], [0, 1]),
        ([0, 0, 0, 1], [0, 1, 2, 3]),
        ([0, 0, 1, 1], [0, 1, 2, 2]),
        ([0, 1, 1, 0], [0, 0, 1, 1]),
    ],
    ids=["one class", "one each", "a class of one", "a class of copies", "two units of both"],
)
def test_fewer_than_two_classes_of_two_units_are_too_few(target: list[int], unit: list[int]) -> None:
    with pytest.raises(DataError, match="at least two classes need two different examples") as caught:
        split(no_parts(len(target)), np.array(target), np.array(unit), 0)
    assert "different example(s)" in caught.value.found
    assert caught.value.exit_code == 2


def test_two_classes_of_two_examples_are_enough() -> None:
    splits = split(no_parts(4), classes(2, 2), alone(4), 0)
    assert len(splits.folds) == 6
    assert all(sorted(classes(2, 2)[held]) == [0, 1] for _, held in splits.folds)


@pytest.mark.parametrize("given_parts", [{"valid": 3, "test": 4}, {"valid": 7}, {"test": 7}])
def test_without_training_examples_there_is_nothing_to_train_on(given_parts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="nothing to train on") as caught:
        split(parts(**given_parts), np.zeros(7, np.intp), alone(7), 0)
    assert f"{given_parts.get('valid', 0)} validation and {given_parts.get('test', 0)} test" in caught.value.found


# -- parts that were given


@pytest.mark.parametrize(("side", "word"), [("valid", "validation"), ("test", "test")])
def test_one_part_beside_training_is_judged_once_and_choices_are_made_inside_training(side: str, word: str) -> None:
    target = np.r_[classes(10, 10), classes(3, 3)]
    splits = split(parts(train=20, **{side: 6}), target, alone(26), 0)
    assert splits.train.tolist() == list(range(20))
    assert splits.judged.tolist() == list(range(20, 26))
    assert len(splits.folds) == 15
    assert all(set(fit) | set(held) == set(range(20)) for fit, held in splits.folds)
    assert splits.given_valid == 0
    assert f"the 6 {word} examples were judged once" in splits.how
    assert "cross-validation inside the 20 training examples" in splits.how


def test_all_three_parts_are_taken_as_they_are() -> None:
    target = np.r_[classes(5, 5), classes(2, 2), classes(3, 3)]
    splits = split(parts(train=10, valid=4, test=6), target, alone(20), 0)
    [(fit, held)] = splits.folds
    assert fit.tolist() == list(range(10))
    assert held.tolist() == list(range(10, 14))
    assert splits.train.tolist() == list(range(14)), "the final head is fitted on both"
    assert splits.judged.tolist() == list(range(14, 20))
    assert splits.given_valid == 4
    assert "the 4 validation examples" in splits.how
    assert "the 6 test examples were judged once" in splits.how


def test_examples_without_a_part_are_training_examples_where_others_have_one() -> None:
    given_parts: list[Part] = ["test", "", "train", "", "train"]
    splits = split(given_parts, np.array([0, 0, 0, 1, 1]), alone(5), 0)
    assert splits.train.tolist() == [1, 2, 3, 4]
    assert splits.judged.tolist() == [0]


@given(st.permutations(parts(train=12, valid=4, test=5)))
@settings(max_examples=20)
def test_parts_may_come_in_any_order(shuffled: list[Part]) -> None:
    target = np.arange(21) % 2
    splits = split(shuffled, target, alone(21), 0)
    assert {shuffled[i] for i in splits.judged} == {"test"}
    assert {shuffled[i] for i in splits.folds[0][0]} == {"train"}
    assert {shuffled[i] for i in splits.folds[0][1]} == {"valid"}
    assert list(splits.train) == sorted(splits.train)


# -- a hold-out that nobody gave


def test_a_small_set_without_parts_is_judged_by_cross_validation() -> None:
    n = HOLD_OUT_FROM - 1
    splits = split(no_parts(n), np.arange(n) % 3, alone(n), 0)
    assert len(splits.judged) == 0
    assert len(splits.train) == n
    assert "BBC-CV" in splits.how


@pytest.mark.parametrize("sizes", [(1000, 1000), (1990, 10), (700, 700, 601), (40,) * 60])
def test_of_a_large_set_without_parts_a_stratified_fifth_is_held_out(sizes: tuple[int, ...]) -> None:
    target = classes(*sizes)
    n = len(target)
    splits = split(no_parts(n), target, alone(n), 0)
    assert abs(len(splits.judged) - n / 5) <= 1
    assert sorted([*splits.train, *splits.judged]) == list(range(n))
    for k, size in enumerate(sizes):
        assert abs((target[splits.judged] == k).sum() - size / 5) < 1
    assert not set(splits.judged) & {int(i) for pair in splits.folds for side in pair for i in side}
    assert f"the {len(splits.judged)} others, drawn at the start, were judged once" in splits.how


@given(st.integers(0, 1000), st.integers(1, 8))
@settings(max_examples=15)
def test_a_unit_is_never_on_both_sides_of_a_hold_out(seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "HOLD_OUT_FROM", 100)
        unit = rng.integers(0, 120 // copies, 120)
        target = rng.integers(0, 3, 120 // copies)[unit]
        try:
            splits = split(no_parts(120), target, unit, seed)
        except DataError:
            assert copies > 4
            return
    assert len(splits.judged)
    assert not set(unit[splits.judged]) & set(unit[splits.train])
    for fit, held in splits.folds:
        assert not set(unit[fit]) & set(unit[held])


def test_a_class_of_one_unit_is_never_held_out() -> None:
    target = classes(1500, 1500, 1)
    for seed in range(5):
        assert 3000 in split(no_parts(3001), target, alone(3001), seed).train


def test_the_hold_out_is_drawn_anew_for_another_seed_and_the_same_for_the_same() -> None:
    n = HOLD_OUT_FROM
    first, again, other = (split(no_parts(n), np.arange(n) % 2, alone(n), seed).judged for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert len(set(first) & set(other)) < len(first) / 2


def test_one_given_part_is_enough_for_a_large_set_to_be_left_whole() -> None:
    n = HOLD_OUT_FROM + 100
    splits = split(parts(train=n, test=10), np.arange(n + 10) % 2, alone(n + 10), 0)
    assert len(splits.train) == n
    assert len(splits.judged) == 10


@pytest.mark.parametrize("given", [{"": 40}, {"train": 30, "test": 10}, {"train": 20, "valid": 8, "test": 12}], ids=str)
@pytest.mark.parametrize("more", [5, 100])
def test_general_examples_are_learned_from_and_never_chosen_or_judged_by(given: dict[Part, int], more: int) -> None:
    kinds = [part for part, count in given.items() for _ in range(count)] + ["general"] * more
    alone_, both = (
        split(some, np.arange(len(some)) % 4, alone(len(some)), 0, costly=True) for some in (kinds[:40], kinds)
    )
    first = np.arange(40, 40 + more)
    own = len(alone_.folds[0][0])
    assert both.general.tolist() == first[:own].tolist()
    assert both.spare.tolist() == first[own:].tolist()
    np.testing.assert_array_equal(both.judged, alone_.judged)
    np.testing.assert_array_equal(both.train, [*alone_.train, *both.general])
    np.testing.assert_array_equal(both.used, [*alone_.train, *first])
    for (fit, held), (fit_alone, held_alone) in zip(both.folds, alone_.folds, strict=True):
        np.testing.assert_array_equal(held, held_alone)
        np.testing.assert_array_equal(fit, [*fit_alone, *both.general])
