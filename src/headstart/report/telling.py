"""The report's page, filled from a run's story. Sentences live here, layout in the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.backbone import Saved
from headstart.data.examples import labels_of
from headstart.deepen import value_text
from headstart.metrics.interval import Measure as Scored
from headstart.report import page as p
from headstart.report.before import sentences
from headstart.report.chosen import choosing
from headstart.report.judged import shown
from headstart.report.origin import command, versions
from headstart.report.story import Story
from headstart.report.words import number
from headstart.stages.judge import RungScore
from headstart.stages.plan import RungPlan, ScratchPlan
from headstart.stages.ship import FILES
from headstart.stages.text_probe import NOT_YET


def page(story: Story, said: Mapping[str, Any], saved: Saved, when: datetime) -> p.Page:
    """Fill the report."""
    seen = shown(story)
    return p.Page(
        title=story.options.name,
        verdict=verdict(story),
        when=when.strftime("%Y-%m-%d %H:%M"),
        command=command(story.options),
        headline=_headline(story),
        caveats=caveats(story),
        changes=sentences(said),
        measures=tuple(_measure(story, m) for m in story.scores.measures),
        ladder=_ladder(story),
        curve=_curve(story),
        classes=seen.classes,
        confusion=seen.confusion,
        reliability=seen.reliability,
        scatter=seen.scatter,
        mistakes=seen.mistakes,
        translations=seen.translations,
        weighed=seen.weighed,
        third=seen.third,
        data=_data(story),
        made=_made(story, said),
        use=_use(story, saved),
    )


def estimate(measure: Scored) -> p.Estimate:
    """Return a measure as the page takes it."""
    return p.Estimate(measure.value, measure.low, measure.high)


def verdict(story: Story) -> str:
    """Say in one sentence how good the model is and against what."""
    head, guess, noun = story.scores.headline, story.scores.guess, story.task.noun
    count = len(story.splits.judged) or len(story.splits.train)
    name, tuned = story.backbone.name, story.tuned
    if story.backbone.source == f"local folder {Path(name).name}":  # a long path is no title
        name = Path(name).name
    who = f"{name}, tuned {tuned.tried.cut}," if tuned else f"A {story.shipped.name} on frozen {name}"
    if story.backbone.whole:
        who = f"{name}, of which {tuned.tried.cut} was trained," if tuned else f"{name}, {story.shipped.name},"
    scoring, without = story.aim.scoring, story.aim.scoring.guess
    if head.name not in scoring.shares:
        value, low, high, guessed = (
            f"{v:.1%}" if head.name in scoring.percent else number(v)
            for v in (head.value, head.low, head.high, guess.value)
        )
        return (
            f"{who} has {_article(head.name)} {head.name} of {value} on {count} {noun}s that it had not seen (95% "
            f"interval {low} to {high}); {without} gets {guessed}."
        )
    return (
        f"{who} gets {head.value:.1%} of {count} {noun}s right that it had not "
        f"seen (95% interval {head.low:.1%} to {head.high:.1%}); {without} gets {guess.value:.1%}."
    )


def _article(name: str) -> str:
    """Return the article of a measure's name, read as it is spelt."""
    return "an" if name[0] in "AEFHILMNORSX" else "a"


def caveats(story: Story) -> tuple[str, ...]:
    """Say what to worry about."""
    out = []
    units = len(set(story.splits.unit[story.scores.rows]))
    head, rungs = story.scores.headline, {rung.name: rung for rung in story.scores.rungs}
    near, linear = rungs.get("nearest neighbours"), rungs.get("linear head")
    if story.unfinished:
        out.append("This run has not finished: fine-tuning goes on. Run the same command to go on with it.")
    if story.shipped.name == NOT_YET:
        out.append("Nothing was trained: the budget had no room for it.")
    if head.low <= story.scores.guess.value:
        out.append(
            "The interval reaches what guessing gets: there is no evidence that this model has learned anything."
        )
    if units < 100:
        out.append(f"Only {units} different {story.task.noun}s were judged: the interval is wide for a reason.")
    if near and linear and near.headline.value - linear.headline.value > linear.error and np.isfinite(linear.error):
        out.append(
            "Nearest neighbours did better than the linear head where choices were made; "
            "they cannot be shipped as a plain model."
        )
    labels = Counter(label for e in story.examples.items for label in labels_of(e.target))
    rare = [name for name, n in labels.items() if n < 10] if story.aim.goal != "text" else []
    if rare:
        shown = ", ".join(sorted(rare)[:5]) + (" …" if len(rare) > 5 else "")
        out.append(f"{len(rare)} class(es) have fewer than ten examples ({shown}): their scores mean little.")
    bad = sum(f.bad for f in story.examples.findings)
    if bad:
        out.append(f"{bad} {story.task.noun}(s) could not be used; they are named below.")
    kinds = Counter(f.kind for f in story.examples.findings)
    if kinds["near-duplicate-across-parts"]:
        out.append(
            f"Some {story.task.noun}s are nearly the same in training and judged data (named below): "
            "the score may flatter."
        )
    if story.backbone.missing:
        out.append(
            f"The weights lack {len(story.backbone.missing)} tensors of the top; the network was cut below them."
        )
    return tuple(out)


def _headline(story: Story) -> p.Headline:
    head = story.scores.headline
    against = (p.Yardstick(story.scores.rungs[0].name, estimate(story.scores.guess)),)
    sentence = story.splits.how[0].upper() + story.splits.how[1:] + "."
    share = head.name in story.aim.scoring.percent
    return p.Headline(head.name, estimate(head), sentence, story.shipped.name, against, share)


def _measure(story: Story, measure: Scored) -> p.Measure:
    scoring = story.aim.scoring
    lower = measure.name in scoring.lower
    return p.Measure(
        measure.name,
        estimate(measure),
        scoring.explained[measure.name] + ".",
        share=measure.name in scoring.percent,
        higher_is_better=not lower,
    )


def _ladder(story: Story) -> p.Ladder:
    share = story.scores.headline.name in story.aim.scoring.percent
    rungs, at = [], story.done["probe"] - sum(rung.seconds for rung in story.probe.rungs)
    for rung, record in zip(story.scores.rungs, (story.rung_record(r) for r in story.scores.rungs), strict=True):
        note = rung.setting
        if np.isfinite(rung.gain):
            note += f"; {_gained(rung, share)} against the rung below"
        at = max(at, story.done["plan"] if rung.cut and "plan" in story.done else 0.0) + rung.seconds
        shown = estimate(rung.headline)
        rungs.append(p.Rung(rung.name, record["cut"] or "", shown, rung.seconds, rung.status, note, at))
    deep, made = story.deep, story.scratch_record()
    scratch = _scratch(made, story.done.get("scratch")) if made else None
    note = f"From scratch: left out, as {deep.plan.without}." if deep and deep.plan.without else ""
    judged = "Scores on the examples that choices were made on"
    judged += "; from scratch: on those that the model is judged on." if scratch else "."
    return p.Ladder(tuple(rungs), judged, story.untried, scratch, share, scratch_note=note)


def _gained(rung: RungScore, share: bool) -> str:
    return f"{rung.gain:+.1%} ± {rung.error:.1%}" if share else f"{rung.gain:+.3f} ± {rung.error:.3f}"


def _scratch(made: Mapping[str, Any], at: float | None) -> p.Scratch:
    def shown(of: Mapping[str, Any]) -> p.Estimate:
        return p.Estimate(of["value"], of["low"], of["high"])

    return p.Scratch(shown(made["headline"]), made["seconds"], made["sentence"], shown(made["worth"]), at)


def _curve(story: Story) -> tuple[p.CurvePoint, ...]:
    return tuple(
        p.CurvePoint(c.labels, c.examples, estimate(c.transfer), estimate(c.scratch) if c.scratch else None)
        for c in (story.deep.curve if story.deep else ())
    )


def _data(story: Story) -> p.DataFacts:
    items = story.examples.items
    parts = tuple(dict.fromkeys(e.part for e in items))
    counts = story.examples.counted()
    names = sorted({name for name, _ in counts})
    classes = tuple(p.ClassCount(name, tuple(counts[name, part] for part in parts)) for name in names)
    findings = story.examples.findings
    lines = tuple(p.FindingLine(f.name, f.kind, f.severity, f.reason) for f in findings)
    bad = sum(f.bad for f in findings)
    return p.DataFacts(
        story.examples.how.removesuffix(".") + ".",
        tuple(part or "all" for part in parts),
        classes,
        lines,
        len(items) + bad,
        bad,
        story.task.noun,
    )


def _made(story: Story, said: Mapping[str, Any]) -> p.Made:
    net, features, head = story.backbone, story.features, story.record()["head"]
    engine, *rest = features.engine.rsplit(" ", 1)
    check = f"least cosine with PyTorch fp32 {features.cosine:.5f}" + (f"; {features.note}" if features.note else "")
    stages = tuple(p.StageTime(name, seconds) for name, seconds in story.seconds.items())
    return p.Made(
        backbone=p.BackboneFacts(
            net.name,
            net.licence,
            net.source,
            net.parameters,
            net.dim,
            net.cut,
            net.missing,
            "; ".join(filter(None, (net.preprocess.said(), net.why))),
            net.weights,
        ),
        head=f"{head['solver']}, {head['setting']}, temperature {head['temperature']:.2f}",
        engine=p.EngineFacts(engine, rest[0] if rest else "", "", check),
        cache=p.CacheUse(features.computed, said["features"]["cached"]),
        stages=stages,
        versions=tuple(versions().items()),
        seed=story.options.seed,
        data_fingerprint=story.fingerprint,
        plan=_plan(story),
        frozen=_frozen(story),
        choosing=choosing(story),
    )


def _plan(story: Story) -> tuple[p.PlanBlock, ...]:
    if story.deep is None:
        return ()
    chosen, blocks = story.deep.plan, []
    parts: list[RungPlan | ScratchPlan] = [*chosen.rungs, *([chosen.scratch] if chosen.scratch else [])]
    for part in parts:
        title = part.name if isinstance(part, RungPlan) else "from scratch"
        shown = tuple(
            p.PlanLine(name, value_text(value), part.reasons.get(name, ""))
            for name, value in vars(part).items()
            if name not in ("name", "reasons")
        )
        blocks.append(p.PlanBlock(title, shown))
    return tuple(blocks)


def _frozen(story: Story) -> str:
    """Say what was checked: a run in which frozen weights changed ends with an error."""
    pretrained = story.pretrained[:16]
    said = [f"the pretrained network's hash is the same at the end of the run ({pretrained}…)"] if pretrained else []
    for step in story.deep.climbed.steps if story.deep else ():
        before, after = step.frozen
        if before:
            hashes = f"{before[:16]}… before, {after[:16]}… after"
            said.append(f"trained {step.tried.cut}: what lies below has the same hash ({hashes})")
    return "; ".join(said)


def _use(story: Story, saved: Saved) -> p.Use:
    opened = f'model = headstart.load("{story.options.folder.name}")'
    with_us = f"import headstart\n\n{opened}\nmodel.predict([{story.task.sample}])"
    snippets = (
        p.Snippet("With headstart", with_us),
        p.Snippet(f"Without headstart, with {saved.library} alone (in the model folder)", saved.code),
    )
    return p.Use(snippets, tuple(FILES.items()))
