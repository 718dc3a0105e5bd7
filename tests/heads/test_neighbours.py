"""Nearest neighbours, with scikit-learn's as the reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from headstart.heads import neighbours
from headstart.heads.neighbours import GRID, unit_rows, vote

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def made(n: int, m: int, classes: int, d: int = 6, seed: int = 0) -> tuple[Floats, Floats, Ints]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    centre = rng.normal(size=(classes, d))
    return rng.normal(size=(m, d)), centre[y] + rng.normal(size=(n, d)), y


def by_scikit_learn(query: Floats, known: Floats, y: Ints, k: int) -> Floats:
    """Shares of the votes, each weighted by exp(similarity / 0.07)."""
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda far: np.exp((1 - far) / 0.07))
    return model.fit(known, y).predict_proba(query)


def slowly(query: Floats, known: Floats, y: Ints, classes: int, k: int) -> Floats:
    """The definition, one query and one neighbour at a time."""
    out = []
    for q in query:
        similarity = [float(q @ z / np.linalg.norm(q) / np.linalg.norm(z)) for z in known]
        nearest = sorted(range(len(known)), key=lambda i: -similarity[i])[:k]
        votes = [1 / classes] * classes
        for i in nearest:
            votes[y[i]] += np.exp((similarity[i] - similarity[nearest[0]]) / 0.07)
        out.append(np.log(np.array(votes) / sum(votes)))
    return np.array(out)


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("k", GRID)
def test_the_class_with_most_votes_is_scikit_learn_s(k: int, classes: int) -> None:
    query, known, y = made(80, 300, classes)
    [log_p] = vote(query, known, y, classes, [k])
    theirs = by_scikit_learn(query, known, y, k)
    clear = np.diff(np.sort(theirs, 1)[:, -2:], axis=1)[:, 0] > 1e-4
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(log_p.argmax(1)[clear], theirs.argmax(1)[clear])


@pytest.mark.parametrize("k", GRID)
def test_probabilities_are_those_of_the_definition(k: int) -> None:
    query, known, y = made(40, 25, 3)
    np.testing.assert_allclose(vote(query, known, y, 3, [k])[0], slowly(query, known, y, 3, k), atol=1e-4)


def test_probabilities_add_up_to_one_and_none_is_zero() -> None:
    query, known, y = made(30, 20, 5)
    for log_p in vote(query, known, y, 9):
        np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
        assert np.isfinite(log_p).all()


def test_an_example_that_is_known_is_given_its_own_label() -> None:
    _, known, y = made(50, 1, 4)
    [log_p] = vote(known, known, y, 4, [1])
    np.testing.assert_array_equal(log_p.argmax(1), y)
    np.testing.assert_allclose(np.exp(log_p).max(1), 1.25 / 2, atol=1e-6)  # one vote, and a quarter of the one spread


@pytest.mark.parametrize("n", [1, 3, 19])
def test_fewer_examples_than_neighbours_all_vote(n: int) -> None:
    query, known, y = made(n, 10, 3)
    few, many = vote(query, known, y, 3, [n, 20])
    np.testing.assert_array_equal(few, many)
    np.testing.assert_allclose(many, slowly(query, known, y, 3, n), atol=1e-4)


def test_the_result_does_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    query, known, y = made(60, 50, 3)
    whole = vote(query, known, y, 3)
    monkeypatch.setattr(neighbours, "_BLOCK", 7)
    for a, b in zip(whole, vote(query, known, y, 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_more_queries_than_a_block_are_all_answered() -> None:
    query, known, y = made(30, 1100, 3)
    [log_p] = vote(query, known, y, 3, [5])
    alone = np.concatenate([vote(query[i : i + 1], known, y, 3, [5])[0] for i in (0, 511, 512, 1024, 1099)])
    np.testing.assert_allclose(log_p[[0, 511, 512, 1024, 1099]], alone, atol=1e-5)


def test_the_length_of_a_row_does_not_matter() -> None:
    query, known, y = made(40, 20, 3)
    longer = vote(query * 100, known * np.linspace(0.1, 50, 40)[:, None], y, 3, [5])[0]
    np.testing.assert_allclose(longer, vote(query, known, y, 3, [5])[0], atol=1e-4)


def test_a_grid_gives_what_each_of_its_values_gives_alone() -> None:
    query, known, y = made(40, 20, 3)
    for k, log_p in zip((20, 1, 5), vote(query, known, y, 3, (20, 1, 5)), strict=True):
        np.testing.assert_allclose(log_p, vote(query, known, y, 3, [k])[0], atol=1e-6)


def test_unit_rows_have_length_1_and_a_row_of_zeros_stays() -> None:
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [1e-3, 0.0]]))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


def test_a_query_of_zeros_is_answered() -> None:
    _, known, y = made(10, 1, 3)
    [log_p] = vote(np.zeros((1, 6)), known, y, 3, [10])
    np.testing.assert_allclose(np.exp(log_p[0]), (np.bincount(y, minlength=3) + 1 / 3) / 11, rtol=1e-6)


def test_an_unambiguous_vote_has_the_numbers_it_always_had() -> None:
    """Similarities 1 and 0: the far neighbour's vote counts exp(-1 / 0.07)."""
    [log_p] = vote(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 5.0]]), np.array([0, 1]), 2, [2])
    far = np.exp(-1 / 0.07)
    np.testing.assert_allclose(np.exp(log_p[0]), [1.5 / (2 + far), (0.5 + far) / (2 + far)], rtol=1e-6)
