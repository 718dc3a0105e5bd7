"""Scores of detections: average precision at one overlap and at ten, recall; as COCO has them (1405.0312).

Detections are matched with true boxes once. Every function takes a weight for each picture, as `metrics.labels`;
pycocotools on as many copies of the pictures is the reference in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.coco import MOST, OVERLAPS_S, Bools, Floats, Places, matched
from headstart.metrics.ranking import Ranking, read_off

EXPLAINED = {
    "AP50": "mean over classes of how well detections that overlap a true box by half are ranked above all others",
    "AP": "the same, mean over ten overlaps from 0.5 to 0.95, so that it counts how well boxes fit",
    "AP75": "the same where a box counts as found from an overlap of three quarters on",
    "recall": "share of the true boxes that are found, whatever the score; mean over classes and the ten overlaps",
}
SHARES = ()
UNSURE = 0.5
"""The threshold where nothing that was said is right."""
_AT_75 = int(np.flatnonzero(OVERLAPS_S == 0.75)[0])


@dataclass(frozen=True)
class Detected:
    """Detections beside the truth, matched once, reduced to what every resample needs.

    Attributes:
        found_NM6: score, label, left, top, right, bottom, by falling score; label -1 where nothing is that counts.
        truth_NT6: label, left, top, right, bottom, crowd; label -1 where there is nothing.
        box_SNM: at each overlap, the true box in whose place a detection is right; -1 where it is not.
        ignored_SNM: which detections lie in a crowd, and count for nothing.
        boxes_NK: how many boxes of each class there are to be found in each picture; no crowds.
        ranked: the detections of each class.
    """

    found_NM6: Floats
    truth_NT6: Floats
    box_SNM: Places
    ignored_SNM: Bools
    boxes_NK: NDArray[np.float64]
    ranked: tuple[Ranking, ...]

    @staticmethod
    def of(detections_NM6: Floats, truth_NT6: Floats, classes: int) -> Detected:
        """Match detections with the truth.

        Args:
            detections_NM6: score, label, left, top, right, bottom, by falling score; label -1 for an empty slot.
                Corners are shares of the sides, or anything else that the truth is in too.
            truth_NT6: label, left, top, right, bottom, crowd; label -1 for an empty slot.
            classes: K. Of a class the first hundred detections of a picture count.
        """
        found_NM6 = _counted(np.asarray(detections_NM6, np.float64), classes)
        truth_NT6 = np.asarray(truth_NT6, np.float64)
        box_SNM, ignored_SNM = matched(found_NM6, truth_NT6)
        one_NT = truth_NT6[:, :, 5] == 0
        boxes_NK = np.stack([((truth_NT6[:, :, 0] == k) & one_NT).sum(1) for k in range(classes)], 1)
        picture_NM = np.broadcast_to(np.arange(len(found_NM6))[:, None], found_NM6.shape[:2])
        ranked = []
        for k in range(classes):
            said = found_NM6[:, :, 1] == k
            score_D = found_NM6[said, 0]
            ranked.append(Ranking.of(picture_NM[said], score_D, box_SNM[:, said] >= 0, ignored_SNM[:, said]))
        return Detected(found_NM6, truth_NT6, box_SNM, ignored_SNM, boxes_NK.astype(np.float64), tuple(ranked))

    @property
    def merit_N(self) -> NDArray[np.float64]:
        """Average precision at an overlap of 0.5 within each picture, mean over the classes that are true in it.

        Where there is nothing to be found, 1 less the highest score of what was said. Classes that are only said do
        not count: a head says a little of everything, and a picture's mean would tell how many classes there are.
        """
        return self._within_SN[0]

    @property
    def loss_N(self) -> NDArray[np.float64]:
        """1 less the mean over the ten overlaps of what `merit_N` is at one."""
        return np.asarray(1.0 - self._within_SN.mean(0))

    @cached_property
    def _within_SN(self) -> NDArray[np.float64]:
        sum_SN = np.zeros((len(OVERLAPS_S), len(self.boxes_NK)))
        named_SN = np.zeros(sum_SN.shape)
        for k, boxes_N in enumerate(self.boxes_NK.T):
            said_SNM = (self.found_NM6[:, :, 1] == k) & ~self.ignored_SNM
            named_SN += boxes_N > 0
            n = np.flatnonzero(boxes_N)
            found_SPM = (said_SNM[:, n] & (self.box_SNM[:, n] >= 0)).cumsum(2)
            sum_SN[:, n] += read_off(found_SPM, said_SNM[:, n].cumsum(2), boxes_N[n, None])
        surest_N = np.where(self.found_NM6[:, :, 1] >= 0, self.found_NM6[:, :, 0], 0.0).max(1)
        return np.where(named_SN > 0, sum_SN / np.maximum(named_SN, 1), 1.0 - surest_N)


def scores(data: Detected, weight_N: Floats) -> dict[str, float]:
    """Return every measure of `EXPLAINED`, in that order; nan where there is no box to be found.

    Classes of which there is none do not count.
    """
    precision_SK, recall_SK, boxes_K = _each(data, weight_N)
    there_K = boxes_K > 0
    if not there_K.any():
        return dict.fromkeys(EXPLAINED, float("nan"))
    precision_SK = precision_SK[:, there_K]
    return {
        "AP50": float(precision_SK[0].mean()),
        "AP": float(precision_SK.mean()),
        "AP75": float(precision_SK[_AT_75].mean()),
        "recall": float(recall_SK[:, there_K].mean()),
    }


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class; nan where there is no box of it.

    Attributes:
        ap50_K, ap_K: average precision at an overlap of 0.5, and over the ten.
        boxes_K: the weight of the boxes that there are to be found.
    """

    ap50_K: NDArray[np.float64]
    ap_K: NDArray[np.float64]
    boxes_K: NDArray[np.float64]


def class_scores(data: Detected, weight_N: Floats) -> ClassScores:
    """Return average precision of each class, and how many boxes of it there are."""
    precision_SK, _, boxes_K = _each(data, weight_N)
    return ClassScores(precision_SK[0], precision_SK.mean(0), boxes_K)


def best_threshold(data: Detected) -> float:
    """Return the score from which on boxes are reported: where F1 at an overlap of 0.5, over all boxes, is highest.

    Of several that are as good, the highest; half-way to the next lower score. `UNSURE` where no detection is right.
    """
    counted_NM = (data.found_NM6[:, :, 1] >= 0) & ~data.ignored_SNM[0]
    score_D, right_D = data.found_NM6[counted_NM, 0], data.box_SNM[0][counted_NM] >= 0
    if not right_D.any():
        return UNSURE
    score_U, place_D = np.unique(-score_D, return_inverse=True)
    found_U = np.bincount(place_D, right_D).cumsum()
    said_U = np.bincount(place_D).cumsum()
    best = int((2 * found_U / (said_U + data.boxes_NK.sum())).argmax())
    return float(-score_U[best : best + 2].mean())


def _each(data: Detected, weight_N: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return average precision_SK, recall_SK and the weight of the boxes of each class; nan where that is 0."""
    boxes_K = weight_N @ data.boxes_NK
    out = np.full((2, len(OVERLAPS_S), len(boxes_K)), np.nan)
    for k in np.flatnonzero(boxes_K > 0):
        out[:, :, k] = data.ranked[k].precision(weight_N, float(boxes_K[k]))
    return out[0], out[1], np.asarray(boxes_K, np.float64)


def _counted(found_NM6: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """Return detections with those behind the first hundred of a class in a picture struck out."""
    label_NM: NDArray[np.float64] = found_NM6[:, :, 1].copy()
    for k in range(classes if found_NM6.shape[1] > MOST else 0):
        said_NM = label_NM == k
        label_NM[said_NM & (said_NM.cumsum(1) > MOST)] = -1
    out = found_NM6.copy()
    out[:, :, 1] = label_NM
    return out
