"""What a report shows of detections: each class, what is taken for what, and pictures by the kind of mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from headstart.heads.boxes import BoxHead
from headstart.heads.finding import FindingHead
from headstart.metrics.box_errors import KINDS, BoxErrors, Verdict, errors
from headstart.metrics.boxes import Detected, class_scores
from headstart.report import page as p
from headstart.report.drawn import COLOURS, WRONG, Drawing, drawn

if TYPE_CHECKING:
    from headstart.report.story import Story

SHOWN = 18
_NOTHING = "nothing"
LEGEND = (
    "Green boxes are rightly found, orange ones wrong in some way, blue ones were missed. Each kind of mistake is "
    "shown by the pictures that have most of it."
)


def classes(story: Story, data: Detected, found: BoxErrors) -> tuple[p.ClassScore, ...]:
    """Return precision, recall and F1 of each class from the threshold on."""
    scores, counts = class_scores(data, np.ones(len(data.boxes_NK))), found.counts_LL
    out = []
    for k, name in enumerate(story.aim.outputs):
        right, said, true = counts[k, k], counts[:, k].sum(), int(scores.boxes_K[k])
        precision = p.Estimate(right / said if said else None)
        recall = p.Estimate(right / true if true else None)
        ap = p.Estimate(float(scores.ap50_K[k]) if true else None)
        out.append(p.ClassScore(name, true, precision, recall, ap))
    return tuple(out)


def confusion(story: Story, found: BoxErrors) -> p.Confusion:
    """Return what was told as what, `nothing` among it: told where there is nothing, and not found."""
    counts = tuple(tuple(int(c) for c in row) for row in found.counts_LL)
    return p.Confusion((*story.aim.outputs, _NOTHING), counts)


def verdicts(story: Story, data: Detected) -> BoxErrors:
    """Return what is right and wrong from the model's threshold on."""
    return errors(data, cast("BoxHead | FindingHead", story.head).threshold)


def mistakes(story: Story, data: Detected, found: BoxErrors) -> tuple[p.Mistake, ...]:
    """Return pictures with what is wrong on them, the kinds of mistake in turn, the worst pictures of each first."""
    out: list[p.Mistake] = []
    used = set[int]()
    kinds = [kind for kind in KINDS if kind != "right"]
    ranked = {kind: _by_times(found, kind) for kind in kinds}
    for place in range(len(found.pictures)):
        for kind in kinds:
            n = ranked[kind][place]
            if n not in used and _times(found.pictures[n], kind) and len(out) < SHOWN:
                used.add(n)
                out.append(_mistake(story, data, found.pictures[n], n, kind))
    return tuple(sorted(out, key=lambda mistake: mistake.predicted))


def _by_times(found: BoxErrors, kind: str) -> list[int]:
    return sorted(range(len(found.pictures)), key=lambda n: -_times(found.pictures[n], kind))


def _times(picture: tuple[Verdict, ...], kind: str) -> int:
    return sum(verdict.kind == kind for verdict in picture)


def _mistake(story: Story, data: Detected, picture: tuple[Verdict, ...], n: int, kind: str) -> p.Mistake:
    example = story.examples.items[int(story.scores.rows[n])]
    boxes = [_drawing(story, data, verdict, n) for verdict in picture]
    told = f"{_times(picture, kind)} {kind}"
    right = f"{_times(picture, 'right')} right"
    try:
        shown = p.data_uri(drawn(example.content.read(), boxes))
    except Exception:  # a picture that was there a minute ago: the report goes on without it
        shown = ""
    return p.Mistake(example.name, right, kind, float("nan"), shown, told=f"{told}; {right}")


def _drawing(story: Story, data: Detected, verdict: Verdict, n: int) -> Drawing:
    names = story.aim.outputs
    if verdict.kind == "missed":
        label, *corners = data.truth_NT6[n, verdict.box][:5]
        return Drawing(corners, COLOURS["missed"], f"{names[int(label)]}?")
    score, label, *corners = data.found_NM6[n, verdict.slot]
    word = "" if verdict.kind == "right" else f"{names[int(label)]} {score:.0%}"
    return Drawing(corners, COLOURS.get(verdict.kind, WRONG), word)
