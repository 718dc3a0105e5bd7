"""Decoding of a detection head's raw outputs in numpy alone: what stays outside an exported network.

The same steps as torchvision's `FCOS.postprocess_detections`: scores are the root of class and centredness, the best
of each level are kept, distances become boxes, and of boxes of a class that overlap the surest stays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headstart.heads.boxes import FIELDS, SLOTS, BoxPlan

LEAST_SCORE = 0.01
OVERLAP = 0.6
"""Two boxes of a class that overlap more are one: torchvision's default for FCOS."""
CANDIDATES = 400

Floats = NDArray[np.float64]


def points_A3(plan: BoxPlan) -> Floats:
    """Return x, y and stride, in pixels, of the places that the raw outputs belong to, level by level."""
    levels = []
    for _, height, width in plan.maps:
        y_HW, x_HW = np.mgrid[:height, :width]
        step_y, step_x = plan.size // height, plan.size // width
        stride = step_y
        levels.append(np.stack([x_HW.ravel() * step_x, y_HW.ravel() * step_y, np.full(x_HW.size, stride)], 1))
    return np.concatenate(levels).astype(np.float64)


def decoded(
    logits_NAK: NDArray[np.floating], far_NA4: NDArray[np.floating], centred_NA1: NDArray[np.floating], plan: BoxPlan
) -> Floats:
    """Return detections_NF, see `heads.boxes`, of raw outputs.

    Args:
        logits_NAK: of each place and class.
        far_NA4: how far left, top, right and bottom of a box lie from the place, in strides.
        centred_NA1: logits of how central the place is in its box.
        plan: of the head.
    """
    points, sizes = points_A3(plan), [height * width for _, height, width in plan.maps]
    score_NAK = np.sqrt(sigmoid(logits_NAK) * sigmoid(centred_NA1))
    rows = zip(score_NAK, np.asarray(far_NA4, np.float64), strict=True)
    return np.stack([_picture(score_AK, far_A4, points, sizes, plan) for score_AK, far_A4 in rows])


def _picture(score_AK: Floats, far_A4: Floats, points: Floats, sizes: list[int], plan: BoxPlan) -> Floats:
    found = []
    for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        score_B = score_AK[start : start + size].ravel()
        best_B = np.flatnonzero(score_B > LEAST_SCORE)
        best_B = best_B[np.argsort(-score_B[best_B], kind="stable")][:CANDIDATES]
        place_B, label_B = start + best_B // plan.classes, best_B % plan.classes
        corners_B4 = _corners(points[place_B], far_A4[place_B]).clip(0, plan.size)
        found.append(np.concatenate([score_B[best_B, None], label_B[:, None], corners_B4], 1))
    all_B6 = np.concatenate(found)
    all_B6 = all_B6[np.argsort(-all_B6[:, 0], kind="stable")]
    kept_B6 = all_B6[surest(all_B6, OVERLAP)][:SLOTS]
    out = np.zeros((SLOTS, FIELDS))
    out[:, 1] = -1
    out[: len(kept_B6)] = kept_B6
    out[: len(kept_B6), 2:] /= plan.size
    return out.ravel()


def _corners(point_B3: Floats, far_B4: Floats) -> Floats:
    x_B, y_B, stride_B = point_B3.T
    left, top, right, bottom = (far_B4 * stride_B[:, None]).T
    return np.stack([x_B - left, y_B - top, x_B + right, y_B + bottom], 1)


def surest(sorted_B6: Floats, overlap: float) -> list[int]:
    """Return which boxes stay when those that overlap a surer one of their class by more than a share are dropped.

    Args:
        sorted_B6: score, class, left, top, right, bottom; best first.
        overlap: the share, of what both cover together.
    """
    label_B, corners_B4 = sorted_B6[:, 1], sorted_B6[:, 2:]
    area_B = (corners_B4[:, 2] - corners_B4[:, 0]) * (corners_B4[:, 3] - corners_B4[:, 1])
    open_B = np.ones(len(sorted_B6), bool)
    kept = []
    for i in range(len(sorted_B6)):
        if not open_B[i]:
            continue
        kept.append(i)
        low_B2 = np.maximum(corners_B4[i, :2], corners_B4[:, :2])
        high_B2 = np.minimum(corners_B4[i, 2:], corners_B4[:, 2:])
        both_B = (high_B2 - low_B2).clip(0).prod(1)
        overlap_B = both_B / np.maximum(area_B[i] + area_B - both_B, 1e-12)
        open_B &= ~((overlap_B > overlap) & (label_B == label_B[i]))
    return kept


def sigmoid(x: NDArray[np.floating]) -> Floats:
    """Return the logistic function of logits, in float64."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(x, np.float64))))
