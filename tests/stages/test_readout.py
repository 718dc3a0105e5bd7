"""The way of reading out is chosen by held-out loss, and what it was chosen from stays in the record."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.aims.label import one_label
from headstart.backbones.backbone import Readout
from headstart.stages.probe import Probe, closed_form_loss, probe
from headstart.stages.readout import best_readout, first_columns
from headstart.stages.split import Index, split

Features = NDArray[np.float32]
WIDTH, CLASSES = 5, 3
TARGET_N: Index = np.arange(48) % CLASSES
AIM = one_label(("a", "b", "c"))


def never() -> Any:
    raise AssertionError("opened before it was chosen")


def way(name: str, number: int) -> Readout:
    return Readout(name, slice(number * WIDTH, (number + 1) * WIDTH), never)


WAYS = tuple(way(f"way {i}", i) for i in range(3))


def clusters(spread: float, seed: int) -> Features:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(CLASSES, WIDTH))[TARGET_N] + spread * rng.normal(size=(48, WIDTH))).astype(np.float32)


def side_by_side(*spreads: float) -> Features:
    return np.concatenate([clusters(spread, seed) for seed, spread in enumerate(spreads)], 1)


def ticks() -> Callable[[], float]:
    seconds = count()
    return lambda: float(next(seconds))


def probing(x_ND: Features) -> Probe:
    assert x_ND.flags.c_contiguous
    return probe(x_ND, TARGET_N, AIM, split([""] * 48, TARGET_N, np.arange(48), 0), ticks())


@pytest.mark.parametrize(("spreads", "best"), [((0.2, 3, 3), 0), ((3, 0.2, 3), 1), ((3, 3, 0.2), 2)])
def test_the_way_with_the_least_held_out_loss_is_taken(spreads: tuple[float, ...], best: int) -> None:
    x_ND = side_by_side(*spreads)
    found, taken_ND, chosen = best_readout(x_ND, WAYS, probing)
    assert chosen is WAYS[best]
    np.testing.assert_array_equal(taken_ND, x_ND[:, WAYS[best].columns], strict=True)
    alone = probing(taken_ND)
    for name in ("mean_D", "std_D", "weight_DK", "bias_K", "temperature"):
        np.testing.assert_array_equal(getattr(found.head, name), getattr(alone.head, name))
    np.testing.assert_array_equal(found.row_R, alone.row_R)
    rows = np.arange(30)
    np.testing.assert_array_equal(found.refit(rows).weight_DK, alone.refit(rows).weight_DK)
    for one, other in zip(found.rungs[:-1], alone.rungs[:-1], strict=True):
        np.testing.assert_array_equal(one.logits_SRK, other.logits_SRK)


def test_the_candidates_of_all_ways_are_the_linear_head_s_settings() -> None:
    """So that the score is corrected for having chosen among all of them."""
    x_ND = side_by_side(1, 0.5, 2)
    found, _, chosen = best_readout(x_ND, WAYS, probing)
    assert chosen is WAYS[1]
    each = [probing(np.ascontiguousarray(x_ND[:, w.columns])).rungs[-1] for w in WAYS]
    joined = found.rungs[-1]
    assert joined.name == each[0].name
    assert joined.settings == tuple(f"way {i}, {s}" for i, rung in enumerate(each) for s in rung.settings)
    np.testing.assert_array_equal(joined.logits_SRK, np.concatenate([rung.logits_SRK for rung in each]))
    np.testing.assert_array_equal(joined.loss_SR, np.concatenate([rung.loss_SR for rung in each]))
    assert joined.temperatures == tuple(t for rung in each for t in rung.temperatures)
    assert joined.seconds == sum(rung.seconds for rung in each)
    assert joined.best == len(each[0].settings) + each[1].best
    np.testing.assert_array_equal(joined.chosen_RK, each[1].chosen_RK)
    assert found.head.temperature == joined.temperatures[joined.best]


def test_of_ways_that_are_equal_the_usual_one_is_taken() -> None:
    x_ND = np.concatenate([clusters(1, 0)] * 3, 1)
    found, _, chosen = best_readout(x_ND, WAYS, probing)
    assert chosen is WAYS[0]
    assert found.rungs[-1].settings[found.rungs[-1].best].startswith("way 0, ")


def test_where_there_is_nothing_to_choose_nothing_is_changed() -> None:
    x_ND = clusters(1, 0)
    found, taken_ND, chosen = best_readout(x_ND, (), probing)
    assert chosen is None
    assert taken_ND is x_ND
    assert found.rungs[-1].settings == probing(x_ND).rungs[-1].settings


def test_before_one_is_chosen_the_usual_one_stands_for_all() -> None:
    x_ND = side_by_side(1, 2, 3)
    np.testing.assert_array_equal(first_columns(x_ND, WAYS), x_ND[:, :WIDTH])
    assert first_columns(x_ND, ()) is x_ND


def test_where_probing_each_would_take_long_a_closed_form_chooses_and_only_the_best_is_probed() -> None:
    x_ND = side_by_side(1, 0.5, 2)
    splits, probed = split([""] * 48, TARGET_N, np.arange(48), 0), []

    def once(given_ND: Features) -> Probe:
        probed.append(given_ND)
        return probing(given_ND)

    found, taken_ND, chosen = best_readout(
        x_ND, WAYS, once, lambda given_ND: closed_form_loss(given_ND, TARGET_N, AIM, splits)
    )
    assert chosen is WAYS[1]
    assert len(probed) == 1
    assert probed[0] is taken_ND
    assert found.rungs[-1].settings == tuple(f"way 1, {s}" for s in probing(taken_ND).rungs[-1].settings)
