"""Boxes with a label each: detections as rows of numbers, average precision, missed and wrongly found objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Floats, Index, Loss, Said, Scoring, Spot, Truth
from headstart.aims.labels import rarest
from headstart.backbones.backbone import Backbone
from headstart.data.box_views import moved
from headstart.data.examples import Box, Target, labels_of
from headstart.heads.boxes import FIELDS, SLOTS, BoxHead, BoxPlan, fresh_box_head
from headstart.heads.finding import FindingHead
from headstart.metrics import boxes

HARDLY = 0.05
"""A score below which detections are not compared between models."""


def some_boxes(classes: tuple[str, ...]) -> Aim:
    """Return the aim of finding objects of these classes."""
    count = len(classes)
    scoring = Scoring(
        read=partial(_read, count),
        score=boxes.scores,
        explained=boxes.EXPLAINED,
        shares=boxes.SHARES,
        percent=tuple(boxes.EXPLAINED),
        lower=(),
        guess="a box of each class where it is most often",
        naive="usual boxes",
    )
    return Aim(
        goal="boxes",
        outputs=classes,
        encode=partial(_encode, classes),
        knows=lambda target: isinstance(target, tuple) and all(label in classes for label in labels_of(target)),
        strata=partial(_strata, count),
        guess=partial(_guess, count),
        near=_nothing,
        spread=_nothing,
        fit=None,
        solver="AdamW, from the cached maps",
        loss_N=lambda found_NF, truth_NT6: _read(count, found_NF, truth_NT6).loss_N,
        temperature=lambda found_NF, truth_NT6: 1.0,
        training=_training,
        probabilities=lambda found_NF: np.asarray(found_NF, np.float64),
        outward=lambda head: head,
        said=partial(_said, classes),
        scoring=scoring,
        problem="object_detection",
        plain=partial(_plain, count),
        settle=partial(_settled, count),
        move=moved,
        apart=apart,
        costly=True,
    )


def _read(classes: int, found_NF: Floats, truth_NT6: Truth) -> boxes.Detected:
    found_NM6 = np.asarray(found_NF, np.float64).reshape(len(truth_NT6), SLOTS, FIELDS)
    return boxes.Detected.of(found_NM6, np.asarray(truth_NT6, np.float64), classes)


def _encode(classes: tuple[str, ...], targets: Sequence[Target]) -> Truth:
    """Return truth_NT6: class, left, top, right, bottom as shares of the sides, crowd; class -1 where there is none."""
    kept = [[box for box in t if isinstance(box, Box)] if isinstance(t, tuple) else [] for t in targets]
    truth_NT6 = np.zeros((len(targets), max(1, *map(len, kept), 1), 6), np.float32)
    truth_NT6[:, :, 0] = -1
    place = {name: k for k, name in enumerate(classes)}
    for i, mine in enumerate(kept):
        for j, box in enumerate(mine):
            truth_NT6[i, j] = (place[box.label], *box.shares, box.crowd)
    return truth_NT6


def _strata(classes: int, truth_NT6: Truth) -> Index:
    has_NK = (truth_NT6[:, :, 0, None] == np.arange(classes)).any(1)
    return rarest(has_NK.astype(np.float64))


def _guess(classes: int, truth_NT6: Truth) -> NDArray[np.float64]:
    """Return for each class the median of its boxes, scored by how common it is."""
    found_M6 = np.zeros((SLOTS, FIELDS))
    found_M6[:, 1] = -1
    flat_B6 = truth_NT6.reshape(-1, 6)
    rows = []
    for k in range(classes):
        mine_B6 = flat_B6[flat_B6[:, 0] == k]
        if len(mine_B6):
            share = len(mine_B6) / (flat_B6[:, 0] >= 0).sum()
            rows.append([share, k, *np.median(mine_B6[:, 1:5], 0)])
    for slot, row in enumerate(sorted(rows, key=lambda row: -row[0])[:SLOTS]):
        found_M6[slot] = row
    return found_M6.ravel()


def _nothing(*_: Any) -> Any:
    raise NotImplementedError("boxes are told by a head of their own: see stages.box_probe")


def _training(truth_NT6: Truth) -> Loss:
    return lambda model, x_B, truth_BT6: model.loss(x_B, truth_BT6)


def _said(classes: tuple[str, ...], found_F: NDArray[np.float64]) -> Said:
    spots = [
        Spot(classes[int(label)], float(score), tuple(float(v) for v in corners))
        for score, label, *corners in found_F.reshape(SLOTS, FIELDS)
        if label >= 0
    ]
    return Said("", spots=tuple(spots))


def apart(one_NF: Floats, other_NF: Floats) -> float:
    """Return how far the detections of two models lie from the nearest of the other, of the same class, at most.

    Not slot by slot: two whose scores differ by 1e-8 may change places between runs. Those of hardly any score do not
    count, as there are more of them than slots.
    """
    pictures = zip(np.asarray(one_NF), np.asarray(other_NF), strict=True)
    return max((_apart(a.reshape(SLOTS, FIELDS), b.reshape(SLOTS, FIELDS)) for a, b in pictures), default=0.0)


def _apart(one_M6: Floats, other_M6: Floats) -> float:
    far = 0.0
    for these_M6, those_M6 in ((one_M6, other_M6), (other_M6, one_M6)):
        for row_6 in these_M6[(these_M6[:, 0] >= HARDLY) & (these_M6[:, 1] >= 0)]:
            alike_M6 = those_M6[those_M6[:, 1] == row_6[1]]
            far = max(far, float(np.abs(alike_M6 - row_6).max(1).min()) if len(alike_M6) else 1.0)
    return far


def _plain(classes: int, backbone: Backbone, seed: int) -> BoxHead | FindingHead:
    if backbone.whole:
        return FindingHead.fresh(backbone, classes, seed)
    return fresh_box_head(BoxPlan(backbone.maps, backbone.maps_of, classes), seed)


def _settled(classes: int, head: Any, found_NF: Floats, truth_NT6: Truth) -> Any:
    """Return the head with the threshold that gives the best F1 on pictures that were not trained on."""
    return head.with_threshold(boxes.best_threshold(_read(classes, found_NF, truth_NT6)))
