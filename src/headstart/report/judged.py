"""What the judged predictions show beside their measures, as the page takes it: one function for each aim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headstart.data.examples import Goal
from headstart.metrics import labels as label_metrics
from headstart.metrics import tags
from headstart.report import boxed, translated
from headstart.report import page as p
from headstart.report.mistakes import mistakes, read, weighed
from headstart.report.story import Story

DOTS = 500
"""Of a scatter plot: more would hide each other."""


@dataclass(frozen=True)
class Shown:
    """The sections of a page that differ between aims; what is left out is not shown."""

    classes: tuple[p.ClassScore, ...] = ()
    confusion: p.Confusion | None = None
    reliability: p.Reliability | None = None
    scatter: p.Scatter | None = None
    mistakes: tuple[p.Mistake, ...] = ()
    weighed: str = ""
    third: str = "F1"
    translations: tuple[p.Translation, ...] = ()


def shown(story: Story) -> Shown:
    """Return what there is to show."""
    return _SHOWN[story.aim.goal](story)


def _one_label(story: Story) -> Shown:
    data: label_metrics.Labelled = read(story)
    each = label_metrics.class_scores(data, np.ones(len(data.target_N)))
    counts = tuple(tuple(int(c) for c in row) for row in label_metrics.confusion(data))
    bins = zip(*label_metrics.calibration_bins(data, np.ones(len(data.target_N))), strict=True)
    full = tuple(p.ReliabilityBin(float(c), float(a), int(n)) for c, a, n in bins if n > 0)
    return Shown(
        classes=tuple(
            _class(name, each.true_K[k], each.said_K[k], each.precision_K[k], each.recall_K[k], each.f1_K[k])
            for k, name in enumerate(story.aim.outputs)
        ),
        confusion=p.Confusion(story.aim.outputs, counts),
        reliability=p.Reliability(full, story.head.temperature),
        mistakes=mistakes(story),
        weighed=weighed(story),
    )


def _many_labels(story: Story) -> Shown:
    data: tags.Tagged = read(story)
    both_K, true_K, said_K = tags.sums(data, np.ones(len(data.loss_N)))
    f1_K = tags.f1(both_K, true_K, said_K)
    precision_K, recall_K = both_K / np.maximum(said_K, 1e-12), both_K / np.maximum(true_K, 1e-12)
    classes = tuple(
        _class(name, true_K[k], said_K[k], precision_K[k], recall_K[k], f1_K[k])
        for k, name in enumerate(story.aim.outputs)
    )
    return Shown(classes=classes, mistakes=mistakes(story))


def _class(name: str, true: float, said: float, precision: float, recall: float, f1: float) -> p.ClassScore:
    return p.ClassScore(
        name,
        int(true),
        p.Estimate(float(precision) if said else None),
        p.Estimate(float(recall) if true else None),
        p.Estimate(float(f1)),
    )


def _a_number(story: Story) -> Shown:
    data = read(story)
    rows = np.linspace(0, len(data.true_N) - 1, min(DOTS, len(data.true_N))).astype(int)
    dots = tuple((float(data.true_N[i]), float(data.said_N[i])) for i in rows)
    return Shown(scatter=p.Scatter(dots, len(data.true_N)), mistakes=mistakes(story))


def _boxes(story: Story) -> Shown:
    data = read(story)
    found = boxed.verdicts(story, data)
    return Shown(
        classes=boxed.classes(story, data, found),
        confusion=boxed.confusion(story, found),
        mistakes=boxed.mistakes(story, data, found),
        weighed=boxed.LEGEND,
        third="AP50",
    )


def _text(story: Story) -> Shown:
    return Shown(translations=translated.translations(story, read(story)))


_SHOWN: dict[Goal, Callable[[Story], Shown]] = {
    "label": _one_label,
    "labels": _many_labels,
    "number": _a_number,
    "boxes": _boxes,
    "text": _text,
}
