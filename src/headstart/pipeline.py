"""fit: the stages in their order, from the user's data to a model folder. All the flow there is, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, Saved, unchanged, weights_digest
from headstart.backbones.engine import device
from headstart.base import GOLDEN as GOLDEN
from headstart.base import Base as Base
from headstart.base import begin as begin
from headstart.data.examples import Finding
from headstart.deepen import Deepened, deepen, lines, make_plan
from headstart.errors import UsageError
from headstart.heads.head import Head
from headstart.options import Options, Stopwatch
from headstart.prepare import Floats, items_of
from headstart.process import keep_freed
from headstart.progress import Track, quiet
from headstart.report.card import model_card
from headstart.report.mistakes import PASSES, explained
from headstart.report.story import BEFORE, Story, asked_before
from headstart.report.telling import page
from headstart.runs import Budget, Run, Tell, open_run, read_plan
from headstart.stages.curve import counts
from headstart.stages.encode import Features
from headstart.stages.general import KeptUp, general
from headstart.stages.ground import Ground
from headstart.stages.loops import Log, log_to
from headstart.stages.plan import Plan
from headstart.stages.ship import Model, ship
from headstart.stages.text_probe import AS_IT_IS, brevity
from headstart.store import load_json, save_json

RESERVE = 6.0
"""Seconds set aside for the end, beside twice what saving the first model took and a pass over the judged examples."""
SLOW = 0.02
"""Seconds of an example through a network in its engine, where this run has not seen enough of them to know."""
WRITING = 0.08
"""Seconds in which a small translator writes a text along four beams: 1,000 captions took 83 s on two cores."""
BEAMS, AGAIN = 3.0, 1.5
"""Texts along four beams take about so many times what they take greedily (200 medical ones: 33 s and 8 to 15 s), and
what else a network that is taken whole says so many times what it took before."""
SO_FAR = (
    "this run has not finished: each training example was judged by heads that had not seen it, by cross-validation "
    "corrected for having chosen the best setting (BBC-CV); examples held out for the end were not looked at"
)


@dataclass(frozen=True)
class Result:
    """What `fit` gives.

    Attributes:
        folder: the model folder.
        scores: the content of `scores.json`.
        findings: what the checks saw.
    """

    folder: Path
    scores: dict[str, Any]
    findings: tuple[Finding, ...]


def fit(
    options: Options,
    track: Track = quiet,
    clock: Callable[[], float] = time.perf_counter,
    began: float | None = None,
    tell: Tell = lambda _: None,
) -> Result:
    """Make a model of the user's data.

    Args:
        options: what is asked for.
        track: shows progress.
        clock: seconds.
        began: when the run began, by the clock; now, where it is left out.
        tell: told in a line what is going on.

    Raises:
        HeadstartError: see `headstart.errors`; nothing half-made is left behind.
    """
    watch = Stopwatch(clock, clock() if began is None else began)
    given = read_plan(options.plan) if options.plan else None
    if given and not options.budget:
        raise UsageError("A plan needs time to be carried out in.", hint="Give a --budget above 0, or no --plan.")
    if counts(options.labels) and not options.budget:
        raise UsageError("A learning curve needs time.", hint="Give a --budget above 0, or no --labels-per-class.")
    base = begin(options, track, watch, tell)
    tell(f"Read: {base.divided.examples.how}.")
    if base.encoder.backbone.why:
        why = base.encoder.backbone.why
        tell(f"{why[0].upper()}{why[1:]}.")
    if not (options.budget or given or options.plan_only):
        return finish(base, None, watch)
    if not options.plan_only and not base.encoder.backbone.untrained:
        meanwhile(base, watch, tell)
    run = open_run(base.encoder.root, about(base))
    with log_to(Path(options.log) if options.log else None) as log:
        deep = deeper(base, run, run.plan() or given, track, watch, log, tell)
    if isinstance(deep, Plan):
        save_json(Path(options.plan_only), deep.record())
        return Result(Path(options.plan_only), {"plan": deep.record()}, base.divided.examples.findings)
    result = finish(base, deep, watch)
    run.finished()
    return result


def _finished(folder: Path) -> bool:
    """Whether a folder has the model of a run that came to its end: an interim one does not replace it."""
    path = folder / "scores.json"
    return path.exists() and not load_json(path).get("unfinished", False)


def meanwhile(base: Base, watch: Stopwatch, tell: Tell) -> None:
    """Save the linear head's model, so that there is one whatever happens; its score is not the test's.

    The test is looked at once, at the end: until then the score is that of corrected cross-validation.
    """
    if _finished(base.options.folder):
        tell(f"{base.options.folder} has the model of an earlier run, which stays until this one has finished.")
        return
    with watch("judge"):
        splits = replace(base.divided.splits, judged=np.empty(0, np.intp), how=SO_FAR)
        scores = base.judged(splits, None, lambda rows: base.x_ND[rows])
    story = replace(base.story(scores, watch), splits=splits, unfinished=True)
    said = _ship(story, base, base.encoder.backbone, watch)
    h = said["headline"]
    by = "held out" if base.divided.aim.costly else "by corrected cross-validation"
    what = f"a {story.shipped.name}" if base.probe.rungs[-1].name != AS_IT_IS else f"the network {AS_IT_IS}"
    tell(f"{base.options.folder} has {what} by now ({h['name']} {h['value']:.3f}, {by}).")


def deeper(
    base: Base, run: Run, chosen: Plan | None, track: Track, watch: Stopwatch, log: Log, tell: Tell
) -> Deepened | Plan:
    """Plan and climb, or only plan."""
    options, clock, d = base.options, watch.clock, base.divided
    keep_freed()
    items = items_of(base.data, base.task.size)
    ground = Ground(
        base.encoder, items, d.target_N, d.splits, base.probe, d.aim, options.seed, run.folder,
        options.workers, device(), track, clock, log,
    )  # fmt: skip
    budget = Budget(options.budget, watch.began, clock)
    reserve = set_aside(base, watch)
    spent = watch.seconds["encode"] + watch.seconds["probe"]
    scratch = options.scratch and not base.encoder.backbone.untrained
    if chosen is None:
        with watch("plan"):
            chosen = make_plan(ground, budget, reserve, spent, scratch, tell)
    for line in lines(chosen):
        tell(line)
    if options.plan_only:
        return chosen
    wanted = counts(options.labels)
    made = deepen(ground, run, run.keep(chosen), budget, reserve, spent, wanted, base.x_ND, scratch, watch)
    for before, rung in zip(chosen.rungs, made.plan.rungs, strict=True):
        if rung.epochs != before.epochs:
            tell(f"{rung.name}: {rung.epochs:g} epochs in the end ({rung.reasons['epochs']}).")
    return made


def set_aside(base: Base, watch: Stopwatch) -> float:
    """Return the seconds that the end of a run takes: passes of judged examples, of mistakes, the report, saving."""
    if base.encoder.backbone.whole:
        return RESERVE + 2 * watch.seconds.get("ship", 0.0) + _writing(base)
    seen = base.features.computed
    each = watch.seconds["encode"] / seen if seen >= 100 else SLOW
    passes = len(base.divided.splits.judged) + (PASSES if base.task.pieces else 0)
    return RESERVE + 2 * watch.seconds.get("ship", 0.0) + each * passes


def _writing(base: Base) -> float:
    """Return the seconds in which a network that is taken whole tells of judged examples, as it was and as it ships."""
    rung, held, judged = base.probe.rungs[-1], len(base.probe.row_R), len(base.divided.splits.judged)
    if base.encoder.backbone.untrained:
        return WRITING * (held + judged)
    general, each = len(base.general.items) if base.general else 0, rung.judging / max(1, held)
    if rung.name != AS_IT_IS:
        return AGAIN * each * judged
    shorter = brevity(base.probe, base.divided.target_N)
    return BEAMS * each * (min(judged, BEFORE) + general + (judged + general) * shorter)


def finish(base: Base, deep: Deepened | None, watch: Stopwatch) -> Result:
    """Judge what ships, once, and write the model folder."""
    backbone, features, x_ND = base.encoder.backbone, base.features, base.x_ND
    pretrained = unchanged(backbone.weights, weights_digest(backbone.trunk))
    with watch("judge"):
        if deep and deep.climbed.best:
            backbone = deep.climbed.backbone
            features, x_ND = _tuned(base, backbone, watch.clock)
        before_NK = earlier(base, deep)
        scores = base.judged(base.divided.splits, deep, lambda rows: x_ND[rows])
    story = replace(base.story(scores, watch), backbone=backbone, features=features, deep=deep, pretrained=pretrained)
    story = replace(story, before=before_NK, kept=kept_up(base, story.head))
    if base.task.pieces:
        with watch("explain"):
            story = replace(story, moved=explained(story, replace(base.encoder, backbone=backbone)))
    said = _ship(story, base, backbone, watch)
    return Result(base.options.folder, said, base.divided.examples.findings)


def earlier(base: Base, deep: Deepened | None) -> NDArray[np.float64] | None:
    """Return what a network that is taken whole said of the judged examples before anything of it was trained."""
    rows, backbone = base.divided.splits.judged, base.encoder.backbone
    known = base.probe.rungs[-1].name == AS_IT_IS
    if not (backbone.whole and known and deep and deep.climbed.best and len(rows)):
        return None
    said_NK: NDArray[np.float64] = base.probe.head.logits(base.x_ND[rows[asked_before(len(rows))]])
    return said_NK


def kept_up(base: Base, head: Head) -> KeptUp | None:
    """Return what became of what the network could do in general, where pairs for that were given."""
    if base.general is None:
        return None
    inputs = [base.encoder.load(e.content.read()) for e in base.general.items]
    said = (base.probe.head, head)
    return general(said, inputs, [e.target for e in base.general.items], base.divided.aim, base.options.seed)


def _tuned(base: Base, backbone: Backbone, clock: Callable[[], float]) -> tuple[Features, Floats]:
    """Return the tuned network's features of the judged examples, a few others' where none are, at their places."""
    if backbone.whole:
        return base.features, base.x_ND
    rows = base.divided.splits.judged
    rows = rows if len(rows) else base.divided.splits.train[:GOLDEN]
    items = items_of(base.data, base.task.size)
    features = replace(base.encoder, backbone=backbone).encode([items[i] for i in rows], quiet, clock)
    x_ND = np.zeros((len(items), backbone.dim), np.float32)
    x_ND[rows] = features.space.take([items[i].digest for i in rows])
    whole = replace(base.features, engine=features.engine, cosine=features.cosine, note=features.note)
    return whole, x_ND


def _ship(story: Story, base: Base, backbone: Backbone, watch: Stopwatch) -> dict[str, Any]:
    shipping = watch.clock()
    learned = [base.data.digests[i] for i in base.divided.splits.used]
    model = Model(backbone, story.head, story.aim, story.record(), learned)
    said: dict[str, Any] = {}

    def others(saved: Saved) -> Mapping[str, bytes]:
        watch.seconds["ship"] = watch.clock() - shipping  # all of it but writing this and the report
        said.update(story.score_record(watch.clock() - watch.began))
        return _texts(story, said, saved)

    ship(model, base.encoder.reference, base.golden, base.options.folder, others)
    return said


def _texts(story: Story, said: Mapping[str, Any], saved: Saved) -> dict[str, bytes]:
    import json

    from headstart.report import render

    texts = {
        "scores.json": (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode(),
        "report.html": render(page(story, said, saved, datetime.now().astimezone())).encode(),
        "README.md": model_card(story, said, saved).encode(),
    }
    if story.deep:
        texts["plan.json"] = (json.dumps(story.deep.plan.record(), indent=2) + "\n").encode()
    return texts


def about(base: Base) -> dict[str, Any]:
    """Return everything that decides what a run computes, for the name of its folder."""
    o = base.options
    given = Path(o.plan).read_text(encoding="utf-8") if o.plan else ""
    return {
        "data": base.mark,
        "engine": base.features.engine,
        "space": base.encoder.key(base.features.engine),
        "asked": [o.seed, o.budget, o.scratch, o.labels, given],
        "weights": base.encoder.backbone.weights,
    }
