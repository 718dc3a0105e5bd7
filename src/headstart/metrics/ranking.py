"""Detections of one class by falling score, and their average precision as COCO reads it off.

Kept apart from what is right are the places where something is: a resample walks these few alone. pycocotools is the
reference in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.coco import RECALLS

Floats = NDArray[np.floating]
Index = NDArray[np.intp]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """D detections of one class, the surest first; at each of S overlaps some are right, and some do not count.

    Attributes:
        picture_D: the picture of each.
        right_SD: which are right.
        ignored_SD: which lie in a crowd.
        place_SR, ignored_SI: where the right ones are, and those in a crowd, in order; D behind the last.
        before_SR: how many in a crowd there are before each right one.
        start_Q: where a new score or another picture begins; None where that is everywhere.
    """

    picture_D: Index
    right_SD: Bools
    ignored_SD: Bools
    place_SR: Index
    ignored_SI: Index
    before_SR: Index
    start_Q: Index | None

    @staticmethod
    def of(picture_D: Index, score_D: Floats, right_SD: Bools, ignored_SD: Bools) -> Ranking:
        """Sort detections; equal scores stay in their order."""
        order_D = np.argsort(-score_D, kind="stable")
        picture_D, score_D = picture_D[order_D], score_D[order_D]
        new_D = np.ones(len(order_D), np.bool_)
        new_D[1:] = (np.diff(picture_D) != 0) | (np.diff(score_D) != 0)
        start_Q = None if new_D.all() else np.flatnonzero(new_D)
        return _reduced(picture_D, right_SD[:, order_D], ignored_SD[:, order_D], start_Q)

    def precision(self, weight_N: Floats, boxes: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (average precision_S, recall_S).

        Args:
            weight_N: how often each picture counts.
            boxes: how many there are to be found, above 0.
        """
        if self.start_Q is not None and weight_N.max(initial=0) > 1:
            again, weight_E = self._in_turn(self.start_Q, weight_N)
            return again._read_off(weight_E, boxes)
        return self._read_off(np.asarray(weight_N, np.float64)[self.picture_D], boxes)

    def _read_off(self, weight_D: NDArray[np.float64], boxes: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found_SR = np.append(weight_D, 0.0)[self.place_SR].cumsum(1)
        recall_S = found_SR.max(1, initial=0.0) / boxes
        return read_off(found_SR, self._said_SR(weight_D), boxes), recall_S

    def _said_SR(self, weight_D: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how many detections that count there are up to each right one."""
        said_SR = np.append(weight_D.cumsum(), weight_D.sum())[self.place_SR]
        if not self.ignored_SI.shape[1]:
            return np.asarray(said_SR)
        ignored_SI = np.append(weight_D, 0.0)[self.ignored_SI].cumsum(1)
        return said_SR - np.take_along_axis(np.pad(ignored_SI, ((0, 0), (1, 0))), self.before_SR, 1)

    def _in_turn(self, start_Q: Index, weight_N: Floats) -> tuple[Ranking, NDArray[np.float64]]:
        """Return what copies of the pictures would give: of equal scores, those of the first copy, of the next, ..."""
        size_Q = np.diff(start_Q, append=len(self.picture_D))
        weight_Q = weight_N[self.picture_D[start_Q]]
        times_Q = np.where(size_Q > 1, np.ceil(weight_Q), weight_Q > 0).astype(np.intp)
        start_C, size_C = np.repeat(start_Q, times_Q), np.repeat(size_Q, times_Q)
        place_E = np.repeat(start_C - size_C.cumsum() + size_C, size_C) + np.arange(size_C.sum())
        weight_C = np.repeat(weight_Q / np.maximum(times_Q, 1), times_Q)
        again = _reduced(self.picture_D[place_E], self.right_SD[:, place_E], self.ignored_SD[:, place_E], None)
        return again, np.repeat(weight_C, size_C)


def read_off(found_R: Floats, said_R: Floats, boxes: Any) -> NDArray[np.float64]:
    """Return average precision: the mean of precision at 101 recalls, each the best of those from there on.

    Args:
        found_R: how many are right up to each place, the surest first; any axes may be in front. Places where none is
            right may be left out.
        said_R: how many were told up to there.
        boxes: how many there are to be found, above 0; of a shape that goes with these.
    """
    precision_R = found_R / (said_R + np.spacing(1))
    best_R = np.maximum.accumulate(precision_R[..., ::-1], -1)[..., ::-1]
    reached_R = np.searchsorted(RECALLS, found_R / boxes, "right")
    return np.asarray((np.diff(reached_R, axis=-1, prepend=0) * best_R).sum(-1) / len(RECALLS))


def _reduced(picture_D: Index, right_SD: Bools, ignored_SD: Bools, start_Q: Index | None) -> Ranking:
    place_SR, ignored_SI = _places(right_SD), _places(ignored_SD)
    ignored_SE = np.pad(ignored_SD.cumsum(1), ((0, 0), (0, 1)), "edge" if len(picture_D) else "constant")
    before_SR = np.take_along_axis(ignored_SE, place_SR, 1)
    return Ranking(picture_D, right_SD, ignored_SD, place_SR, ignored_SI, before_SR, start_Q)


def _places(of_SD: Bools) -> Index:
    """Return where these are, in order; D behind the last."""
    many_S = of_SD.sum(1)
    place_SR = np.full((len(of_SD), int(many_S.max(initial=0))), of_SD.shape[1])
    place_SR[np.arange(place_SR.shape[1]) < many_S[:, None]] = np.nonzero(of_SD)[1]
    return place_SR
