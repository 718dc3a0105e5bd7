"""L-BFGS on problems whose minimisers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from headstart.heads.lbfgs import Evaluate, minimise

Array = NDArray[np.float64]


def quadratics(batch: int, unknowns: int, condition: float, seed: int = 0) -> tuple[Evaluate, Array, Array]:
    """Problems 0.5 (x - c)' A (x - c) with their matrices and minimisers c."""
    rng = np.random.default_rng(seed)
    q_BMM = np.linalg.qr(rng.normal(size=(batch, unknowns, unknowns)))[0]
    values_M = np.geomspace(1.0, condition, unknowns)
    a_BMM = np.einsum("bij,j,bkj->bik", q_BMM, values_M, q_BMM)
    c_BM = rng.normal(size=(batch, unknowns))
    return on(a_BMM, c_BM), a_BMM, c_BM


def on(a_BMM: Array, c_BM: Array) -> Evaluate:
    def evaluate(x_BM: Array) -> tuple[Array, Array]:
        g_BM = np.einsum("bij,bj->bi", a_BMM, x_BM - c_BM)
        return 0.5 * np.einsum("bi,bi->b", x_BM - c_BM, g_BM), g_BM

    return evaluate


def counted(evaluate: Evaluate) -> tuple[Evaluate, list[int]]:
    calls: list[int] = []

    def count(x_BM: Array) -> tuple[Array, Array]:
        calls.append(1)
        return evaluate(x_BM)

    return count, calls


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("unknowns", [1, 2, 20])
def test_quadratics_are_solved_to_the_tolerance(unknowns: int, condition: float) -> None:
    evaluate, _, c_BM = quadratics(4, unknowns, condition)
    x_BM = minimise(evaluate, np.zeros_like(c_BM), 1e-9, steps=2000)
    assert np.abs(evaluate(x_BM)[1]).max() <= 1e-9
    np.testing.assert_allclose(x_BM, c_BM, atol=1e-8)


@given(st.integers(1, 6), st.integers(1, 8), st.floats(1, 1e3), st.integers(0, 1000))
@settings(max_examples=30)
def test_any_quadratic_is_solved(batch: int, unknowns: int, condition: float, seed: int) -> None:
    evaluate, _, c_BM = quadratics(batch, unknowns, condition, seed)
    np.testing.assert_allclose(minimise(evaluate, np.zeros_like(c_BM), 1e-8), c_BM, atol=1e-6)


def test_smooth_convex_functions_have_the_minimisers_that_calculus_gives() -> None:
    """exp(x) - 2x at ln 2; log(cosh(x - 3)) at 3; x**4 / 4 - 8x at 2; sqrt(1 + x**2) at 0."""

    def evaluate(x_BM: Array) -> tuple[Array, Array]:
        a, b, c, d = x_BM[:, 0]
        f = [np.exp(a) - 2 * a, np.log(np.cosh(b - 3)), c**4 / 4 - 8 * c, np.sqrt(1 + d**2)]
        g = [np.exp(a) - 2, np.tanh(b - 3), c**3 - 8, d / np.sqrt(1 + d**2)]
        return np.asarray(f), np.asarray(g)[:, None]

    x_BM = minimise(evaluate, np.full((4, 1), 0.5), 1e-10)
    np.testing.assert_allclose(x_BM[:, 0], [0.6931471805599453, 3.0, 2.0, 0.0], atol=1e-9)


def test_problems_of_very_different_scales_do_not_disturb_each_other() -> None:
    _, a_BMM, c_BM = quadratics(3, 6, 10.0)
    scale_B = np.array([1e-3, 1.0, 1e5])
    scaled = on(a_BMM * scale_B[:, None, None], c_BM)
    together = minimise(scaled, np.zeros_like(c_BM), 1e-9)
    np.testing.assert_allclose(together, c_BM, atol=1e-5)


def test_a_batch_gives_what_each_problem_gives_alone() -> None:
    evaluate, a_BMM, c_BM = quadratics(5, 8, 100.0)
    together = minimise(evaluate, np.zeros_like(c_BM), 1e-9)
    for b in range(5):
        alone = minimise(on(a_BMM[b : b + 1], c_BM[b : b + 1]), np.zeros((1, 8)), 1e-9)
        np.testing.assert_allclose(together[b], alone[0], atol=1e-10)


def test_the_order_of_the_problems_does_not_matter() -> None:
    evaluate, a_BMM, c_BM = quadratics(5, 8, 100.0)
    order = np.array([3, 0, 4, 1, 2])
    there = minimise(evaluate, np.zeros_like(c_BM), 1e-6)
    back = minimise(on(a_BMM[order], c_BM[order]), np.zeros_like(c_BM), 1e-6)
    np.testing.assert_allclose(back, there[order], atol=1e-12)


def test_what_is_solved_already_is_left_alone() -> None:
    evaluate, _, c_BM = quadratics(3, 4, 10.0)
    count, calls = counted(evaluate)
    np.testing.assert_array_equal(minimise(count, c_BM, 1e-9), c_BM)
    assert len(calls) == 1


def test_a_solved_problem_stays_where_it_is_while_others_go_on() -> None:
    evaluate, _, c_BM = quadratics(2, 4, 1000.0)
    start = c_BM.copy()
    start[1] += 5
    solved = minimise(evaluate, start, 1e-9)
    np.testing.assert_array_equal(solved[0], c_BM[0])
    np.testing.assert_allclose(solved[1], c_BM[1], atol=1e-8)


def test_the_value_never_rises() -> None:
    evaluate, _, c_BM = quadratics(3, 10, 1e4)
    reached = [evaluate(minimise(evaluate, np.zeros_like(c_BM), 1e-9, steps=n))[0] for n in range(12)]
    assert (np.diff(reached, axis=0) <= 0).all()
    assert (reached[-1] < reached[0]).all()


def test_it_stops_after_so_many_steps() -> None:
    evaluate, _, c_BM = quadratics(3, 10, 1e4)
    unsolved = minimise(evaluate, np.zeros_like(c_BM), 1e-9, steps=2)
    assert np.abs(evaluate(unsolved)[1]).max() > 1e-9


def test_the_argument_is_not_changed() -> None:
    evaluate, _, c_BM = quadratics(2, 3, 10.0)
    start = np.zeros_like(c_BM)
    minimise(evaluate, start, 1e-9)
    assert not start.any()


def test_a_problem_that_cannot_go_down_does_not_keep_the_others_running() -> None:
    """The gradient of the second one is wrong: no step along it helps. The first is solved in a few steps."""
    evaluate, _, c_BM = quadratics(2, 3, 10.0)

    def lying(x_BM: Array) -> tuple[Array, Array]:
        f_B, g_BM = evaluate(x_BM)
        f_B[1], g_BM[1] = 100 * np.abs(x_BM[1]).sum(), 1.0
        return f_B, g_BM

    count, calls = counted(lying)
    solved = minimise(count, np.zeros_like(c_BM), 1e-9)
    np.testing.assert_allclose(solved[0], c_BM[0], atol=1e-8)
    assert not solved[1].any()
    assert len(calls) < 1500  # 500 steps with 31 evaluations each would be 15,000


def test_it_needs_hardly_more_evaluations_than_scipy_s() -> None:
    evaluate, _, c_BM = quadratics(1, 20, 100.0)

    def one(x_M: Array) -> tuple[float, Array]:
        f_B, g_BM = evaluate(x_M[None])
        return float(f_B[0]), g_BM[0]

    count, calls = counted(evaluate)
    minimise(count, np.zeros_like(c_BM), 1e-9)
    theirs = minimize(one, np.zeros(20), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0.0})
    assert np.abs(theirs.jac).max() <= 1e-9
    assert len(calls) <= 1.3 * theirs.nfev


def test_a_gradient_near_rounding_is_reached() -> None:
    """Accepting any step whose value rises by less than a fixed 1e-14 stops at gradients of 1e-5."""
    evaluate, _, c_BM = quadratics(3, 10, 1e4)
    x_BM = minimise(evaluate, np.zeros_like(c_BM), 1e-11, steps=3000)
    assert np.abs(evaluate(x_BM)[1]).max() <= 1e-11
