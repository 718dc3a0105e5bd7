"""What is wrong with detections: the kinds of error of TIDE (Bolya et al. 2020, 2008.08115), and which class for which.

A box counts as found from an overlap of 0.5 on, and as near from 0.1 on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.metrics.boxes import Detected
from headstart.metrics.coco import Bools, overlaps_AB

Kind = Literal["right", "badly placed", "wrong class", "duplicate", "wrong class, badly placed", "background", "missed"]
Floats = NDArray[np.float64]

KINDS: dict[Kind, str] = {
    "right": "the first to overlap a true box of its class by half or more",
    "badly placed": "overlaps a true box of its class, but by less than half",
    "wrong class": "overlaps a true box of another class by half or more",
    "duplicate": "overlaps a true box of its class by half or more, but a surer one did before",
    "wrong class, badly placed": "overlaps only true boxes of other classes, and those by less than half",
    "background": "overlaps no true box by as much as a tenth",
    "missed": "a true box that no detection found, nor found with a wrong class or badly placed",
}
"""The kinds of `Verdict`, each in one line; all but the last are of detections."""
FOUND, NEAR = 0.5, 0.1


@dataclass(frozen=True)
class Verdict:
    """What became of a detection, or of a true box that was missed.

    Attributes:
        kind: one of `KINDS`.
        slot: the row of the detection in its picture; -1 for a missed box.
        box: the row of the true box that it is about; -1 where there is none.
        overlap: of the two.
    """

    kind: Kind
    slot: int
    box: int
    overlap: float = 0.0


@dataclass(frozen=True)
class BoxErrors:
    """What is right and wrong about the detections from a score on.

    Attributes:
        threshold: that score.
        pictures: for each picture its detections, the surest first, and then the boxes that were missed.
        counts_LL: how many boxes of each class (row) were told as each (column), every box and every detection once;
            the last row is what was told where there is nothing, the last column what was not found. L is K + 1.
    """

    threshold: float
    pictures: tuple[tuple[Verdict, ...], ...]
    counts_LL: NDArray[np.int64]

    @property
    def counts(self) -> dict[Kind, int]:
        """How many there are of each kind."""
        kinds = [verdict.kind for picture in self.pictures for verdict in picture]
        return {kind: kinds.count(kind) for kind in KINDS}


def errors(data: Detected, threshold: float) -> BoxErrors:
    """Sort the detections from a score on, and the true boxes that they missed, by what is wrong with them.

    Crowds, and what lies in one of its class, are left out. Of several kinds the first in the order of `KINDS` counts,
    as in TIDE. For the counts of classes a detection that is not right takes the box of another class that it
    overlaps most, by half or more, of those that nothing else has taken.
    """
    classes = data.boxes_NK.shape[1]
    counts_LL = np.zeros((classes + 1, classes + 1), np.int64)
    pictures = []
    for n in range(len(data.found_NM6)):
        picture = _Picture.of(data, n, threshold)
        pictures.append(tuple(picture.verdicts()))
        for true, said in picture.pairs():
            counts_LL[true, said] += 1
    return BoxErrors(threshold, tuple(pictures), counts_LL)


@dataclass(frozen=True)
class _Picture:
    """Detections that are told and true boxes that are no crowds: rows, labels (-1 for what is not there), overlaps."""

    slot_A: NDArray[np.intp]
    box_B: NDArray[np.intp]
    said_A: NDArray[np.intp]
    true_B: NDArray[np.intp]
    overlap_AB: Floats
    taken_A: NDArray[np.intp]

    @staticmethod
    def of(data: Detected, n: int, threshold: float) -> _Picture:
        found_M6, truth_T6 = data.found_NM6[n], data.truth_NT6[n]
        slot_A = np.flatnonzero((found_M6[:, 1] >= 0) & (found_M6[:, 0] >= threshold) & ~data.ignored_SNM[0, n])
        box_B = np.flatnonzero((truth_T6[:, 0] >= 0) & (truth_T6[:, 5] == 0))
        overlap_AB = overlaps_AB(found_M6[slot_A, 2:], truth_T6[box_B, 1:5], np.zeros(len(box_B), np.bool_))
        said_A, true_B = found_M6[slot_A, 1].astype(np.intp), truth_T6[box_B, 0].astype(np.intp)
        box_A = data.box_SNM[0, n, slot_A]
        taken_A = np.where(box_A < 0, -1, np.searchsorted(box_B, box_A))
        return _Picture(slot_A, box_B, said_A, true_B, overlap_AB, taken_A)

    def verdicts(self) -> list[Verdict]:
        """Return one for each detection, and one for each box that none is about."""
        told = [self._verdict(a) for a in range(len(self.slot_A))]
        about = {v.box for v in told if v.kind in ("right", "badly placed", "wrong class")}
        return told + [Verdict("missed", -1, int(box)) for box in self.box_B if box not in about]

    def _verdict(self, a: int) -> Verdict:
        if self.taken_A[a] >= 0:
            return self._about("right", a, int(self.taken_A[a]))
        same_B = self.true_B == self.said_A[a]
        own, other = _most(self.overlap_AB[a], same_B), _most(self.overlap_AB[a], ~same_B)
        near, wrong = self._overlap(a, own), self._overlap(a, other)
        if NEAR <= near < FOUND:
            return self._about("badly placed", a, own)
        if wrong >= FOUND:
            return self._about("wrong class", a, other)
        if near >= FOUND:
            return self._about("duplicate", a, own)
        if wrong >= NEAR:
            return self._about("wrong class, badly placed", a, other)
        return Verdict("background", int(self.slot_A[a]), -1)

    def _overlap(self, a: int, b: int) -> float:
        return float(self.overlap_AB[a, b]) if b >= 0 else 0.0

    def _about(self, kind: Kind, a: int, b: int) -> Verdict:
        return Verdict(kind, int(self.slot_A[a]), int(self.box_B[b]), self._overlap(a, b))

    def pairs(self) -> list[tuple[int, int]]:
        """Return (true label, label that was told), -1 where there is none: every box and every detection once."""
        free_B = ~np.isin(np.arange(len(self.box_B)), self.taken_A)
        out = []
        for a, said in enumerate(self.said_A):
            b = int(self.taken_A[a])
            if b < 0:
                b = self._stray(a, free_B)
            if b >= 0:
                free_B[b] = False
            out.append((int(self.true_B[b]) if b >= 0 else -1, int(said)))
        return out + [(int(true), -1) for true in self.true_B[free_B]]

    def _stray(self, a: int, free_B: Bools) -> int:
        """Return the free box of another class that a detection overlaps most, if by half or more; else -1."""
        b = _most(self.overlap_AB[a], free_B & (self.true_B != self.said_A[a]))
        return b if self._overlap(a, b) >= FOUND else -1


def _most(overlap_B: Floats, of_B: Bools) -> int:
    """Return which of these is overlapped most; -1 where there is none."""
    return int(np.where(of_B, overlap_B, -1.0).argmax()) if of_B.any() else -1
