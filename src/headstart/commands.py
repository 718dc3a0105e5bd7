"""The commands beside `fit` and `rank`: predict, evaluate, check, backbones, report, export."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from headstart.console import print_json, say, table, table_of_rungs, tell_findings, wait
from headstart.flags import CACHE, GOAL, JSON, RULES, columns, rules_of


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file: .csv, .json or .jsonl.")
@click.option("--text", default="", metavar="COLUMN", help="The column of texts in a table; else found by looking.")
@click.option("--draw", type=click.Path(path_type=Path), metavar="DIR", help="Draw found objects on copies in DIR.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Tell objects from this score on; else from the one that did best on validation pictures.",
)
@click.option("--beams", type=click.IntRange(1, 32), help="Of a translator: ways followed at a time; 1 is the fastest.")
@click.option("--verify", is_flag=True, help="First check the model's files and golden outputs.")
@CACHE
@JSON
def predict(
    model: Path, inputs: tuple[str, ...], output: Path | None, text: str, draw: Path | None, threshold: float | None,
    verify: bool, cache: str, as_json: bool, beams: int | None,
) -> None:  # fmt: skip
    """Predict INPUTS with a MODEL folder: files, folders, globs; - or nothing reads one a line from stdin.

    With a model of texts, INPUTS are texts, .txt files, or tables with a column of texts. What cannot be read is named
    on stderr and the rest goes on.

    \b
    headstart predict headstart-photos new/
    ls *.jpg | headstart predict headstart-photos --json
    headstart predict headstart-reviews "A joy from start to end." "Dull."
    headstart predict headstart-reviews new.csv -o said.csv
    headstart predict headstart-cells slides/ -o found.json --draw drawn/     # objects, as COCO has them
    headstart predict headstart-pairs < new.en > new.fr                       # a translation for each line
    """
    wait("Loading the model …")
    from headstart import found, predictions, predictor
    from headstart.progress import bars

    opened = predictor.load(model, verify=verify, cache=Path(cache) if cache else None)
    opened = opened if threshold is None else opened.with_threshold(threshold)
    opened = opened if beams is None else opened.with_beams(beams)
    if predictions.by_lines(opened, inputs):
        lines = predictions.lines_of(inputs, sys.stdin.buffer)
        with bars("translations", len(lines)) as advance:
            predictions.translate(opened, lines, output, advance, as_json)
        return
    words = predictions.gather(inputs, opened.task.endings, sys.stdin)
    named = [each for word in words for each in opened.task.inputs(word, text)]
    said = []
    with bars("predictions", len(named)) as advance:
        for each in opened.named(named):
            said.append(each)
            advance(1)
    if output:
        predictions.write(output, said, opened.labels)
        say(f"{len(said)} predictions: {output}")
    elif as_json:
        print_json([p.record() for p in said])
    else:
        click.echo(predictions.as_csv(said, opened.threshold > 0), nl=False)
    if draw:
        say(f"{found.draw(draw, said, [content for _, content in named])} pictures: {draw}")
    if opened.threshold:
        say(f"objects are told from a score of {opened.threshold:.2f} on (--threshold)")
    for bad in (p for p in said if p.error):
        say(f"not predicted: {bad.name}: {bad.error}")
    if said and all(p.error for p in said):
        sys.exit(2)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data")
@columns
@click.option("--comet", default="", metavar="FILE", help="Of translation: score with this COMET model too (.ckpt).")
@click.option("--verify", is_flag=True, help="First check the model's files and golden outputs.")
@CACHE
@JSON
def evaluate(
    model: Path, data: str, content: str, label: str, comet: str, verify: bool, cache: str, as_json: bool
) -> None:
    """Score a MODEL folder on new labelled DATA: the report's measures, with intervals."""
    wait("Loading the model …")
    from headstart import evaluation, predictor
    from headstart.progress import bars

    opened = predictor.load(model, verify=verify, cache=Path(cache) if cache else None)
    result = evaluation.evaluate(opened, data, content=content, label=label, comet=comet, track=bars)
    tell_findings(result.findings)
    for note in (f for f in result.findings if f.kind == "learned-from"):
        say(note.line())
    if as_json:
        print_json(result.record())
        return
    rows = [(m.name, f"{m.value:.4f}", f"{m.low:.4f} to {m.high:.4f}") for m in result.measures]
    table(f"{result.examples} examples", ("measure", "value", "95% interval"), rows)


@click.command()
@click.argument("data")
@columns
@GOAL
@click.option("--from", "source", default="", metavar="LANGUAGE", help="Of translation: from which, as in en.")
@click.option("--to", "target", default="", metavar="LANGUAGE", help="Of translation: into which, as in fr.")
@RULES
@JSON
def check(
    data: str, content: str, label: str, goal: str, source: str, target: str, rules: tuple[str, ...], as_json: bool
) -> None:
    """Read and check labelled DATA without training: every file that is bad, odd or double, with the reason."""
    from headstart.aims import goal_asked
    from headstart.data.check import check as run
    from headstart.data.check import inspected
    from headstart.data.pair_checks import PairRules
    from headstart.data.read import read
    from headstart.errors import DataError
    from headstart.prepare import refusal
    from headstart.progress import bars, quiet
    from headstart.tasks import task_for

    pair_rules = PairRules(**dict(rules_of(rules)))
    found = read(data, content or None, label or None, None, goal_asked(goal), (source, target))
    inspect = task_for("auto", found.kind, found.goal).inspect
    refused: DataError | None = None
    try:
        checked = run(found, inspect, bars, pair_rules)
        examples = checked.examples
    except DataError as error:  # which is told last: this command is there to list the reasons
        examples, refused = inspected(found, inspect, quiet).examples, error
    else:
        refused = refusal(checked)
    findings = [{"name": f.name, "kind": f.kind, "severity": f.severity, "reason": f.reason} for f in examples.findings]
    counts = examples.counted()
    if as_json:
        classes = [{"class": c, "part": p, "examples": n} for (c, p), n in sorted(counts.items())]
        usable = {"usable": refused is None, "refused": refused and refused.what}
        counted = {"how": examples.how, **usable, "examples": len(examples)}
        print_json({**counted, "classes": classes, "findings": findings})
    else:
        say(examples.how)
        for line in pair_rules.lines() if found.goal == "text" else ():
            say(f"rule {line}")
        for finding in examples.findings:
            click.echo(finding.line())
        table(
            f"{len(examples)} usable examples",
            ("class", "part", "examples"),
            [(c, p or "all", str(n)) for (c, p), n in sorted(counts.items())],
        )
    if refused:
        raise refused


@click.command()
@click.option("--folders", multiple=True, metavar="DIR", help="Also look for models in this folder.")
@JSON
def backbones(folders: tuple[str, ...], as_json: bool) -> None:
    """List the pretrained networks that can be used here and now, without a network connection."""
    from headstart.backbones.catalog import usable

    found = usable([Path(f) for f in folders])
    if as_json:
        print_json([entry.record() for entry in found])
        return
    rows = [(e.name, e.architecture, e.size, e.licence, e.source) for e in found]
    table("usable here and now", ("backbone", "architecture", "parameters", "licence", "from"), rows)
    say("With a network connection also any timm model name, and models of the Hugging Face hub by their names.")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@JSON
def report(model: Path, show: bool, as_json: bool) -> None:
    """Show a MODEL folder's scores, and where its report is."""
    from headstart.errors import ModelError
    from headstart.store import load_json

    if not (model / "scores.json").is_file():
        raise ModelError(
            f"{model} is not a model folder: it has no scores.json.",
            hint="Give the folder that `headstart fit` made.",
        )
    scores = load_json(model / "scores.json")
    path = (model / "report.html").resolve()
    if as_json:
        print_json({"report": str(path), **scores})
    else:
        table_of_rungs(scores)
        say(f"Report: {path}")
    if show:
        click.launch(str(path))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", "format_", default="onnx", show_default=True, type=click.Choice(["onnx"]), help="The format.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file; else model.onnx in the folder.")
@CACHE
def export(model: Path, format_: str, output: Path | None, cache: str) -> None:
    """Write a MODEL folder of pictures as ONNX (extra `onnx`), for runtimes without Python's libraries.

    It takes pixels, uint8 of N x 3 x height x width in RGB, resized as headstart.json says, and gives logits; of a
    detector, for one picture, the raw outputs, which become boxes in numpy: see docs/boxes.md.
    """
    wait("Loading the model …")
    from headstart import predictor
    from headstart.export import export as run

    opened = predictor.load(model, cache=Path(cache) if cache else None)
    path = output or model / f"model.{format_}"
    names = run(opened, path)
    say(f"pixels -> {', '.join(names)}: {path}")
