"""Which detections are right by the rules of COCO (Lin et al. 2014, 1405.0312). The one door of pycocotools.

Detections go by falling score, and each takes the box of its class that it overlaps most, of those not taken yet. What
overlaps no such box well enough, but lies in a crowd of its class, counts neither as right nor as wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]
Places = NDArray[np.int32]

OVERLAPS_S = np.linspace(0.5, 0.95, 10)
"""From which overlap on a box counts as found."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read off."""
MOST = 100
"""Detections of a class in a picture that count: the first so many."""
_BLOCK = 256


def overlaps_AB(one_A4: Floats, other_B4: Floats, crowd_B: Bools) -> NDArray[np.float64]:
    """Return the overlap of boxes with others: intersection over union, over a box's own area where those are crowds.

    Args:
        one_A4, other_B4: left, top, right, bottom.
        crowd_B: which of the others are crowds.
    """
    from pycocotools import mask

    if not len(one_A4) or not len(other_B4):
        return np.zeros((len(one_A4), len(other_B4)))
    return np.asarray(mask.iou(_with_sides(one_A4), _with_sides(other_B4), crowd_B.astype(int).tolist()))


def matched(found_NM6: Floats, truth_NT6: Floats) -> tuple[Places, Bools]:
    """Match detections with true boxes at every overlap of `OVERLAPS_S`.

    Args:
        found_NM6: score, label, left, top, right, bottom, by falling score; label -1 for an empty slot.
        truth_NT6: label, left, top, right, bottom, crowd; label -1 for an empty slot.

    Returns:
        box_SNM: the true box in whose place a detection is right, -1 where it is not.
        ignored_SNM: which detections lie in a crowd, and count for nothing.
    """
    shape = (len(OVERLAPS_S), *found_NM6.shape[:2])
    box_SNM, ignored_SNM = np.full(shape, -1, np.int32), np.zeros(shape, np.bool_)
    for at in range(0, len(found_NM6) if truth_NT6.shape[1] else 0, _BLOCK):
        block = slice(at, at + _BLOCK)
        overlap_BMT = _of_one_label(found_NM6[block], truth_NT6[block])
        crowd_B1T = truth_NT6[block, None, :, 5] > 0
        box_SNM[:, block] = _taken(np.where(crowd_B1T, -1.0, overlap_BMT))
        within_BM = np.where(crowd_B1T, overlap_BMT, -1.0).max(2)
        ignored_SNM[:, block] = (within_BM >= OVERLAPS_S[:, None, None]) & (box_SNM[:, block] < 0)
    return box_SNM, ignored_SNM


def _of_one_label(found_BM6: Floats, truth_BT6: Floats) -> NDArray[np.float64]:
    """Return overlap_BMT; -1 where labels differ or a slot is empty."""
    out = np.full((*found_BM6.shape[:2], truth_BT6.shape[1]), -1.0)
    for overlap_MT, found_M6, truth_T6 in zip(out, found_BM6, truth_BT6, strict=True):
        m, t = np.flatnonzero(found_M6[:, 1] >= 0), np.flatnonzero(truth_T6[:, 0] >= 0)
        overlap_AB = overlaps_AB(found_M6[m, 2:], truth_T6[t, 1:5], truth_T6[t, 5] > 0)
        overlap_MT[np.ix_(m, t)] = np.where(found_M6[m, 1, None] == truth_T6[t, 0], overlap_AB, -1.0)
    return out


def _taken(overlap_BMT: NDArray[np.float64]) -> Places:
    """Return box_SBM, one slot of all pictures after another; of boxes that are overlapped alike, the last."""
    pictures, slots, boxes = overlap_BMT.shape
    free_SBT = np.ones((len(OVERLAPS_S), pictures, boxes), np.bool_)
    box_SBM = np.full((len(OVERLAPS_S), pictures, slots), -1, np.int32)
    any_M = (overlap_BMT >= OVERLAPS_S[0]).any((0, 2))
    for m in np.flatnonzero(any_M):
        left_SBT = np.where(free_SBT, overlap_BMT[:, m], -1.0)
        best_SB = boxes - 1 - left_SBT[..., ::-1].argmax(2)
        s, b = np.nonzero(left_SBT.max(2) >= OVERLAPS_S[:, None])
        box_SBM[s, b, m] = best_SB[s, b]
        free_SBT[s, b, best_SB[s, b]] = False
    return box_SBM


def _with_sides(corners_A4: Floats) -> NDArray[Any]:
    """Return left, top, width, height."""
    return np.concatenate([corners_A4[:, :2], corners_A4[:, 2:] - corners_A4[:, :2]], 1).astype(np.float64)
