"""evaluate: score a finished model on further labelled data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.check import Checked, inspected
from headstart.data.encodings import decoded
from headstart.data.examples import Example, Finding, labels_of
from headstart.data.near import near_duplicates
from headstart.data.read import read
from headstart.errors import DataError, UsageError
from headstart.metrics.interval import Measure, measured
from headstart.predictor import Predictor, load
from headstart.progress import Track, bars
from headstart.stages.encode import Item
from headstart.stages.readout import alike
from headstart.stages.ship import LEARNED, marks
from headstart.stages.split import copies


@dataclass(frozen=True)
class Evaluation:
    """Scores on labelled data, and what could not be scored."""

    measures: tuple[Measure, ...]
    examples: int
    findings: tuple[Finding, ...]

    def record(self) -> dict[str, Any]:
        """Return it for JSON output."""
        return {
            "headline": self.measures[0].record(),
            "measures": [m.record() for m in self.measures],
            "examples": self.examples,
            "findings": [{"name": f.name, "kind": f.kind, "reason": f.reason} for f in self.findings],
        }


def evaluate(
    model: Predictor | str | Path,
    data: str | Path,
    *,
    content: str = "",
    label: str = "",
    comet: str | Path = "",
    seed: int = 0,
    track: Track = bars,
    clock: Callable[[], float] = time.perf_counter,
) -> Evaluation:
    """Score a model on labelled data: the measures of its report, with intervals.

    Args:
        model: an opened model, or its folder.
        data: labelled data in any format that `fit` reads; of parts, `test` is scored, else `val`, else everything.
        content, label: columns of a table, where looking does not find them.
        comet: of translations: the checkpoint of a COMET model, whose score is added.
        seed: fixes the resamples of the intervals.
        track: shows progress.
        clock: seconds.

    Raises:
        DataError: no example has a label that the model knows.
        UsageError: COMET is for translations, or is not here.
    """
    if not isinstance(model, Predictor):
        model = load(model)
    if comet and model.aim.goal != "text":
        raise UsageError("COMET scores translations.", found=f"a model for {model.task.name}")
    languages = getattr(model.backbone.preprocess, "languages", ("", ""))
    examples = read(data, content or None, label or None, model.task.kind, model.aim.goal, languages)
    part = next((p for p in ("test", "valid") if examples.parts().get(p)), None)
    mine = [i for i, e in enumerate(examples.items) if part is None or e.part == part]
    known = [i for i in mine if model.aim.knows(examples.items[i].target)]
    strangers = [
        Finding(
            examples.items[i].name,
            "unknown-class",
            "left out",
            f"the model has no class {examples.items[i].target!r}",
        )
        for i in mine
        if not model.aim.knows(examples.items[i].target)
    ]
    checked = inspected(examples.only(known, strangers), model.task.inspect, track)
    if not len(checked.examples):
        raise DataError(
            "None of these examples can be scored.",
            found=f"classes {', '.join(examples.classes[:5])}; the model knows {', '.join(model.labels[:5])}",
        )
    findings = (*checked.examples.findings, *_learned(model, checked), *_strange(model, checked))
    return _scored(model, checked.examples.items, checked.digests, findings, str(comet), seed, track, clock)


def _strange(model: Predictor, checked: Checked) -> list[Finding]:
    """Return a note for each label, of several an example, that the model does not know."""
    if model.aim.goal != "labels":
        return []
    counts = Counter(label for e in checked.examples.items for label in labels_of(e.target))
    reason = "the model does not know the label; it is passed over in {} examples"
    return [
        Finding(label, "unknown-label", "repaired", reason.format(count))
        for label, count in sorted(counts.items())
        if label not in model.labels
    ]


def _learned(model: Predictor, checked: Checked) -> list[Finding]:
    """Return a note where examples are among those that the model learned from."""
    from safetensors.numpy import load_file

    path = model.folder / LEARNED
    if not path.exists():  # a folder of an earlier version
        return []
    known = load_file(path)["digests"]
    again = int(np.isin(marks(checked.digests), known).sum())
    reason = f"{again} of {len(checked.digests)} are examples that the model learned from: the scores flatter it"
    return [Finding("examples", "learned-from", "note", reason)] if again else []


def _scored(
    model: Predictor,
    examples: tuple[Any, ...],
    digests: tuple[str, ...],
    findings: tuple[Finding, ...],
    comet: str,
    seed: int,
    track: Track,
    clock: Callable[[], float],
) -> Evaluation:
    size = model.task.size
    items = [Item(e.name, digest, e.content, size(e.content)) for e, digest in zip(examples, digests, strict=True)]
    features = model.encoder.encode(items, track, clock)
    failed = [
        Finding(items[i].name, "undecodable", "left out", f"cannot be decoded: {why}", bad=True)
        for i, why in features.failures.items()
    ]
    kept = [items[i].digest for i in features.kept]
    scoring = model.aim.scoring
    target_N = model.aim.encode([examples[i].target for i in features.kept])
    x_ND = features.space.take(kept)
    said_NK = model.head.logits(x_ND)
    read_out = scoring.read(said_NK, target_N)
    least = model.record["thresholds"]["near_copies"]  # None: only equal bytes are copies to a tuned network
    near = near_duplicates(alike(x_ND, model.backbone), kept, [""] * len(kept), least)[0] if least is not None else []
    unit_N = copies(kept, near)  # drawn together, as when the model was judged
    shares = dict.fromkeys(scoring.shares, int(unit_N.max()) + 1)
    measures = measured(lambda weight_N: scoring.score(read_out, weight_N), unit_N, seed, shares)
    if comet:
        measures = (*measures, *_comet(comet, [examples[i] for i in features.kept], said_NK, unit_N, seed))
    return Evaluation(measures, len(kept), (*findings, *failed))


def _comet(
    checkpoint: str, examples: Sequence[Example], said_NK: Any, unit_N: NDArray[np.intp], seed: int
) -> tuple[Measure, ...]:
    from headstart.codes import texts_of
    from headstart.metrics.comet import COMET, comet

    sources = [decoded(e.content.read())[0] for e in examples]
    score_N = comet(checkpoint, sources, texts_of(said_NK), [str(e.target) for e in examples])
    return measured(lambda weight_N: {COMET: float(weight_N @ score_N / weight_N.sum())}, unit_N, seed, {})
