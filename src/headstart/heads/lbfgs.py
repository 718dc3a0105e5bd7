"""L-BFGS for a batch of independent smooth convex problems that share one evaluation.

Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5, each line vectorised over the
problems: a grid of regularisations then costs one matrix product a step instead of one for each of its values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]
_ROUNDING = 1e-15
"""Relative changes smaller than this are rounding."""


def minimise(evaluate: Evaluate, x_BM: Array, tolerance: float, steps: int = 500, memory: int = 10) -> Array:
    """Minimise B problems of M unknowns each.

    Args:
        evaluate: x_BM -> (value_B, gradient_BM).
        x_BM: where to start.
        tolerance: a problem is solved when no entry of its gradient is larger.
        steps: at most so many; what is not solved by then is returned as it is.
        memory: how many curvature pairs are kept.

    Returns:
        The minimisers, x_BM.
    """
    f_B, g_BM = evaluate(x_BM)
    pairs: deque[tuple[Array, Array, Array]] = deque(maxlen=memory)
    for _ in range(steps):
        active_B = np.abs(g_BM).max(1) > tolerance
        if not active_B.any():
            break
        d_BM = -_two_loops(g_BM, pairs) * active_B[:, None]
        moved = _line_search(evaluate, x_BM, f_B, g_BM, d_BM, bool(pairs))
        if moved is None:
            break
        new_x, f_B, new_g = moved
        s_BM, y_BM = new_x - x_BM, new_g - g_BM
        sy_B = np.einsum("bm,bm->b", s_BM, y_BM)
        usable_B = sy_B > _ROUNDING * np.linalg.norm(s_BM, axis=1) * np.linalg.norm(y_BM, axis=1)
        rho_B = np.where(usable_B, 1.0 / np.where(usable_B, sy_B, 1.0), 0.0)
        pairs.append((s_BM, y_BM, rho_B))
        x_BM, g_BM = new_x, new_g
    return x_BM


def _two_loops(g_BM: Array, pairs: deque[tuple[Array, Array, Array]]) -> Array:
    """Apply the inverse-Hessian estimate; a pair with rho 0 is passed over for that problem."""
    q_BM = g_BM.copy()
    alphas = []
    for s_BM, y_BM, rho_B in reversed(pairs):
        alpha_B = rho_B * np.einsum("bm,bm->b", s_BM, q_BM)
        q_BM -= alpha_B[:, None] * y_BM
        alphas.append(alpha_B)
    if pairs:
        s_BM, y_BM, rho_B = pairs[-1]
        yy_B = np.einsum("bm,bm->b", y_BM, y_BM)
        good_B = (rho_B > 0) & (yy_B > 0)
        q_BM *= np.where(good_B, 1.0 / np.maximum(rho_B * yy_B, 1e-300), 1.0)[:, None]
    for (s_BM, y_BM, rho_B), alpha_B in zip(pairs, reversed(alphas), strict=True):
        beta_B = rho_B * np.einsum("bm,bm->b", y_BM, q_BM)
        q_BM += (alpha_B - beta_B)[:, None] * s_BM
    return q_BM


def _line_search(
    evaluate: Evaluate, x_BM: Array, f_B: Array, g_BM: Array, d_BM: Array, warm: bool
) -> tuple[Array, Array, Array] | None:
    """Halve each problem's own step until it decreases enough (Armijo); None when none of them moves."""
    slope_B = np.einsum("bm,bm->b", g_BM, d_BM)
    step_B = np.ones_like(f_B) if warm else 1.0 / np.maximum(np.abs(g_BM).sum(1), 1.0)
    for _ in range(30):
        new_x = x_BM + step_B[:, None] * d_BM
        new_f, new_g = evaluate(new_x)
        enough_B = new_f <= f_B + 1e-4 * step_B * slope_B + _ROUNDING * np.abs(f_B)
        if enough_B.all():
            return new_x, new_f, new_g
        step_B = np.where(enough_B, step_B, step_B * 0.5)
    step_B = np.where(enough_B, step_B, 0.0)
    new_x = x_BM + step_B[:, None] * d_BM
    return (new_x, *evaluate(new_x)) if (step_B * slope_B).any() else None
