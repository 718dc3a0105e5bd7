"""The few functions that people call from Python: fit, load, evaluate, check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from headstart import pipeline, predictor
from headstart.backbones.engine import Precision
from headstart.data.check import Checked
from headstart.data.read import place, read
from headstart.evaluation import evaluate
from headstart.options import BUDGET, DEFAULT, Options
from headstart.progress import Track, bars
from headstart.runs import seconds
from headstart.tasks import kind_asked, task_for

__all__ = ["check", "evaluate", "fit", "load"]


def fit(
    data: str | Path,
    *,
    out: str | Path = "",
    task: str = "auto",
    goal: str = "auto",
    backbone: str | Path = DEFAULT,
    test: str | Path = "",
    content: str = "",
    label: str = "",
    seed: int = 0,
    precision: Precision = "auto",
    cache: str | Path = "",
    budget: str | float = BUDGET,
    scratch: bool = True,
    labels_per_class: str = "",
    plan: str | Path = "",
    log: str | Path = "",
    source_language: str = "",
    target_language: str = "",
    keep: str | Path = "",
    folders: Sequence[str | Path] = (),
    licence: str = "any",
    cut: Literal["last", "any"] = "last",
    track: Track = bars,
) -> predictor.Predictor:
    """Make a model of labelled examples, and a report on it.

    Args:
        data: a folder with a folder for each class, or with train/ val/ test/ of such; a CSV, TSV, JSONL or
            Parquet table; a Hugging Face data set's folder or name.
        out: the model folder; `headstart-NAME` in the working folder where it is left out.
        task: what to learn; found from the data by default.
        goal: what is to be said of an example: `label`, `labels` (any number of them), `number`; found by looking at
            the labels by default.
        backbone: the pretrained network: `default`, which needs no connection; `auto`, what a race among those that can
            be used here picks; a timm name, a folder, `ARCHITECTURE@WEIGHTS`, a hub
            address.
        test: further labelled data, judged once, at the end.
        content, label: columns of a table, where looking does not find them.
        seed: fixes everything that is drawn.
        precision: of the engine that runs the trunk: `auto`, `fp32` or `bf16`.
        cache: folder of the feature cache.
        budget: for the whole run: seconds, or `10m`; 0 stops at the linear head.
        scratch: also train the same network from random weights for as long, to say what pretraining is worth.
        labels_per_class: adds a learning curve: `5,10,25,all`.
        plan: a plan's file, as a model folder has it or as it was edited since.
        log: a folder for the rows of all trainings.
        source_language, target_language: of translation, from which and into which; found by names.
        keep: of translation, general pairs, a share of which is learned from too.
        folders: where candidates for `auto` are looked for too.
        licence: of those, `any` or `permissive`.
        cut: where features of pictures are taken: after the `last` layer, or after `any` of a few.
        track: shows progress.

    Returns:
        The opened model. Its folder holds `report.html` and `scores.json`.

    Raises:
        headstart.HeadstartError: see `headstart.errors`.
    """
    limit = seconds(str(budget))
    options = Options(
        str(place(data)), str(out), task, goal, str(backbone), str(place(test)) if test else "", content, label, seed,
        precision, str(cache), budget=limit, scratch=scratch, labels=labels_per_class, plan=str(plan), log=str(log),
        source_language=source_language, target_language=target_language, keep=str(keep),
        folders=tuple(map(str, folders)), licence=licence, cut=cut,
    )  # fmt: skip
    result = pipeline.fit(options, track)
    return predictor.load(result.folder, cache=Path(cache) if cache else None)


def load(folder: str | Path, *, verify: bool = False) -> predictor.Predictor:
    """Open a model folder that `fit` made.

    Args:
        folder: the folder.
        verify: first check that its files are unchanged and that it still gives its golden outputs.

    Raises:
        headstart.errors.ModelError: it is no model folder, is not complete, or fails the check.
    """
    return predictor.load(folder, verify=verify)


def check(data: str | Path, *, task: str = "auto", track: Track = bars) -> Checked:
    """Read and check labelled data without training; the findings are in `.examples.findings`.

    Raises:
        headstart.errors.DataError: they cannot be learned from.
    """
    from headstart.data import check as checks

    examples = read(data, kind=kind_asked(task))
    return checks.check(examples, task_for(task, examples.kind, examples.goal).inspect, track)
