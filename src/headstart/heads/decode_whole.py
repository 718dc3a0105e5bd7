"""Decoding of what a detector that was taken whole gives, in numpy alone: what stays outside its exported network.

Two ways, each a value that is written into the exported file: `Anchored`, of torchvision's one-stage detectors, whose
raw outputs say how boxes differ from anchors; and `Queried`, of DETR's family, whose outputs are boxes already. Both
give detections_NF as `heads.boxes` has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.heads.boxes import FIELDS, SLOTS
from headstart.heads.decode import Floats, sigmoid, surest

KEY = "headstart"
"""Under which a decoding is written in a file's metadata."""
Outputs = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Anchored:
    """How boxes are made of `cls_logits`_NAK, `bbox_regression`_NA4 and, where there is one, `bbox_ctrness`_NA1, of
    `anchors`_A4 in pixels.

    Attributes:
        size: side of the pictures, in pixels.
        levels: how many anchors each level has.
        softmax: whether scores are a softmax over the classes; else a sigmoid of each.
        by_class: whether the best of each class are kept, else the best of each level.
        distances: whether a box is told by how far its sides are from the middle of its anchor, in its sizes; else by
            how its middle and the logarithms of its sizes differ.
        scale: what these are divided by.
        most: the largest difference of a logarithm.
        least: the score above which a box counts.
        overlap: two boxes of a class that overlap more are one.
        candidates: the best so many of a class or level are looked at.
    """

    size: int
    levels: tuple[int, ...]
    softmax: bool
    by_class: bool
    distances: bool
    scale: tuple[float, ...]
    most: float
    least: float
    overlap: float
    candidates: int

    def decoded(self, outputs: Outputs) -> Floats:
        """Return detections_NF. Class 0 of the logits is the background."""
        logits_NAK, told_NA4 = outputs["cls_logits"], np.asarray(outputs["bbox_regression"], np.float64)
        score_NAK = softmax(logits_NAK) if self.softmax else sigmoid(logits_NAK)
        if "bbox_ctrness" in outputs:
            score_NAK = np.sqrt(score_NAK * sigmoid(outputs["bbox_ctrness"]))
        anchors_A4 = np.asarray(outputs["anchors"], np.float64)
        rows = zip(score_NAK, told_NA4, strict=True)
        return np.stack([self._picture(score_AK, self._corners(anchors_A4, told)) for score_AK, told in rows])

    def _picture(self, score_AK: Floats, corners_A4: Floats) -> Floats:
        place_B, label_B = self._best(score_AK)
        all_B6 = np.column_stack([score_AK[place_B, label_B], label_B, corners_A4[place_B]])
        all_B6 = all_B6[np.argsort(-all_B6[:, 0], kind="stable")]
        kept_B6 = all_B6[surest(all_B6, self.overlap)[:SLOTS]]
        kept_B6 = kept_B6[kept_B6[:, 1] > 0]  # those of sigmoids may be of the background, and took a place
        return filled(kept_B6[:, 0], kept_B6[:, 1] - 1, kept_B6[:, 2:] / self.size)

    def _best(self, score_AK: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places and classes that are looked at."""
        places, labels = [], []
        for block_BK, start, first in self._groups(score_AK):
            flat_C = block_BK.ravel()
            best_C = np.flatnonzero(flat_C > self.least)
            best_C = best_C[np.argsort(-flat_C[best_C], kind="stable")][: self.candidates]
            places.append(start + best_C // block_BK.shape[1])
            labels.append(first + best_C % block_BK.shape[1])
        return np.concatenate(places), np.concatenate(labels)

    def _groups(self, score_AK: Floats) -> list[tuple[Floats, int, int]]:
        """Return blocks of scores, the best of each of which are kept: each with its first anchor and class."""
        if self.by_class:
            return [(score_AK[:, k : k + 1], 0, k) for k in range(1, score_AK.shape[1])]
        starts = np.cumsum([0, *self.levels[:-1]])
        return [(score_AK[at : at + count], int(at), 0) for at, count in zip(starts, self.levels, strict=True)]

    def _corners(self, anchors_A4: Floats, told_A4: Floats) -> Floats:
        low_A2, high_A2 = anchors_A4[:, :2], anchors_A4[:, 2:]
        sides_A2, middle_A2 = high_A2 - low_A2, (low_A2 + high_A2) / 2
        first_A2, last_A2 = np.split(told_A4 / np.asarray(self.scale), 2, axis=1)
        if self.distances:
            corners_A4 = np.concatenate([middle_A2 - first_A2 * sides_A2, middle_A2 + last_A2 * sides_A2], 1)
        else:
            middle_A2 = middle_A2 + first_A2 * sides_A2
            half_A2 = np.exp(np.minimum(last_A2, self.most)) * sides_A2 / 2
            corners_A4 = np.concatenate([middle_A2 - half_A2, middle_A2 + half_A2], 1)
        return np.asarray(corners_A4.clip(0, self.size))


@dataclass(frozen=True)
class Queried:
    """How boxes are made of `logits`_NQK and `pred_boxes`_NQ4, middle and size as shares of the sides.

    Attributes:
        softmax: whether each query has one class, by a softmax of which the last is nothing; else any, by sigmoids.
        top: of sigmoids, so many of the best are kept.
        least: the score above which a box counts.
    """

    softmax: bool
    top: int
    least: float

    def decoded(self, outputs: Outputs) -> Floats:
        """Return detections_NF."""
        pairs = zip(outputs["logits"], np.asarray(outputs["pred_boxes"], np.float64), strict=True)
        return np.stack([self._picture(logits_QK, box_Q4) for logits_QK, box_Q4 in pairs])

    def _picture(self, logits_QK: NDArray[np.floating], box_Q4: Floats) -> Floats:
        middle_Q2, half_Q2 = box_Q4[:, :2], box_Q4[:, 2:] / 2
        corners_Q4 = np.concatenate([middle_Q2 - half_Q2, middle_Q2 + half_Q2], 1).clip(0, 1)
        if self.softmax:
            score_QK = softmax(logits_QK)[:, :-1]
            place_B, label_B = np.arange(len(score_QK)), score_QK.argmax(1)
        else:
            score_QK = sigmoid(logits_QK)
            best_B = np.argsort(-score_QK.ravel(), kind="stable")[: self.top]
            place_B, label_B = best_B // score_QK.shape[1], best_B % score_QK.shape[1]
        score_B = score_QK[place_B, label_B]
        kept_B = score_B > self.least
        return filled(score_B[kept_B], label_B[kept_B], corners_Q4[place_B[kept_B]])


Decoding = Anchored | Queried


def written(decoding: Decoding) -> dict[str, str]:
    """Return a decoding as it is put into a file's metadata."""
    return {KEY: json.dumps({"kind": type(decoding).__name__, **asdict(decoding)})}


def decoding_of(metadata: Mapping[str, str]) -> Decoding:
    """Read the decoding that a file's metadata have.

    Args:
        metadata: as `written` gave them.

    Raises:
        KeyError: there is none.
    """
    record: dict[str, Any] = json.loads(metadata[KEY])
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items() if name != "kind"}
    return {"Anchored": Anchored, "Queried": Queried}[record["kind"]](**values)


def filled(score_B: Floats, label_B: NDArray[Any], corners_B4: Floats) -> Floats:
    """Return detections_F of a picture, best first; empty slots have score 0 and class -1."""
    order_B = np.argsort(-score_B, kind="stable")[:SLOTS]
    out = np.zeros((SLOTS, FIELDS))
    out[:, 1] = -1
    out[: len(order_B)] = np.column_stack([score_B, label_B, corners_B4])[order_B]
    return out.ravel()


def softmax(logits_NK: NDArray[np.floating]) -> Floats:
    """Return the softmax over the last axis, in float64."""
    up_NK = np.exp(np.asarray(logits_NK, np.float64) - np.max(logits_NK, -1, keepdims=True))
    return np.asarray(up_NK / up_NK.sum(-1, keepdims=True))
