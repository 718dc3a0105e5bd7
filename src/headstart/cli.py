"""The command line. Help loads click alone; everything else is imported when a command runs.

Data go to stdout (tables for people, `--json` for programs), talk and progress to stderr. Exit codes: 0 done, 1 the
run failed, 2 the call or its data are wrong, 130 stopped.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from typing import Any

import click

from headstart import __version__
from headstart.commands import backbones, check, evaluate, export, predict, report
from headstart.console import print_json, say, table_of_rungs, tell_findings, wait
from headstart.errors import HeadstartError, StopRequested
from headstart.flags import CACHE, FOLDERS, GOAL, JSON, LICENCE, RULES, columns, rules_of
from headstart.process import wait_asleep
from headstart.ranking import rank

_STARTED = time.perf_counter()
_BACKBONE = (
    "default (EfficientNet-lite0 for pictures, all-MiniLM-L6-v2 for texts: both need no connection), auto (what "
    "a race on a few hundred of the examples picks, see `headstart rank`), a timm name, a folder, "
    "ARCHITECTURE@WEIGHTS, or a name on the Hugging Face hub."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="headstart")
def cli() -> None:
    """Transfer learning in one command: a pretrained network, a new head on your few labels, an honest report.

    \b
    headstart demo                     see it work on pictures that come with it
    headstart check photos/            what is wrong with my data?
    headstart fit photos/              a model, a report, a folder to keep
    headstart fit reviews.csv          the same for texts
    headstart predict MODEL new/*.jpg  what does it say of new pictures?

    photos/ holds a folder for each class, or train/ val/ test/ with such folders; or it is a table (CSV, TSV, JSONL,
    Parquet) with a column of paths and one of labels. reviews.csv has a column of texts and one of labels; or give a
    folder with train, dev and test tables, or one with a folder of .txt files for each class.
    """


@cli.command()
@click.argument("data")
@click.option("--out", default="", metavar="DIR", help="The model folder.  [default: headstart-NAME]")
@click.option(
    "--task",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="What to learn: image-classification, object-detection, text-classification, translation; auto looks.",
)
@GOAL
@click.option("--backbone", default="default", show_default=True, metavar="NAME", help=_BACKBONE)
@FOLDERS
@LICENCE
@click.option(
    "--cut",
    default="last",
    show_default=True,
    type=click.Choice(["last", "any"]),
    help="Where features of pictures are taken: after the last layer, or after whichever of a few layers a linear head "
    "does best on them; --backbone auto looks at these in any case.",
)
@click.option("--test", default="", metavar="DATA", help="Further labelled data, judged once, at the end.")
@columns
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Fixes everything that is drawn."
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Of the engine: auto takes bf16 where the processor has it and the features agree with PyTorch's.",
)
@click.option(
    "--budget",
    default="5m",
    show_default=True,
    metavar="TIME",
    help="For the whole run: 90s, 10m, 1h30m; 0 stops at the linear head.",
)
@click.option(
    "--scratch/--no-scratch",
    default=True,
    show_default=True,
    help="Also train the same network from random weights for as long, to say what pretraining is worth.",
)
@click.option(
    "--labels-per-class", default="", metavar="5,10,25,all", help="Add a learning curve, with and without pretraining."
)
@click.option("--plan", default="", metavar="FILE", help="Tune as this plan says: a model folder's plan.json, edited.")
@click.option("--plan-only", default="", metavar="FILE", help="Write the plan to this file and train nothing.")
@click.option("--from", "source", default="", metavar="LANGUAGE", help="Of translation: from which, as in en.")
@click.option("--to", "target", default="", metavar="LANGUAGE", help="Of translation: into which, as in fr.")
@RULES
@click.option(
    "--keep", default="", metavar="PAIRS", help="Of translation: general pairs, so that it stays good at those."
)
@click.option("--log", default="", metavar="DIR", help="Write a row for each training step (JSONL, TensorBoard).")
@click.option(
    "--workers",
    default=2,
    show_default=True,
    type=click.IntRange(min=0),
    help="Threads that read batches ahead; they change no number.",
)
@CACHE
@JSON
def fit(
    data: str, out: str, task: str, goal: str, backbone: str, test: str, content: str, label: str, seed: int,
    precision: Any, budget: str, scratch: bool, labels_per_class: str, plan: str, plan_only: str, log: str,
    workers: int, cache: str, as_json: bool, source: str, target: str, rules: tuple[str, ...], keep: str,
    folders: tuple[str, ...], licence: str, cut: Any,
) -> None:  # fmt: skip
    """Make a model of labelled DATA, and a report on it.

    The pretrained network runs once over every example (later runs find the features in the cache), and a linear head
    is fitted, its regularisation chosen by cross-validation: a model is there after seconds. Then the last stages are
    tuned, then deeper ones, as long as the budget lasts and each step is measurably better; and the same network is
    trained from random weights, to say what pretraining was worth. The result is judged on examples that nothing was
    learned from. Run the same command again after an interruption: it goes on where it was.

    \b
    headstart fit photos/
    headstart fit photos/ --budget 20m
    headstart fit photos/ --budget 0                   # the linear head alone, in seconds
    headstart fit labels.csv --label species --out birds
    headstart fit reviews.csv --text review --label stars
    headstart fit reviews.csv --label stars --goal number          # stars as a measure
    headstart fit comments.csv --label toxic,rude,threat           # any number of labels each
    headstart fit photos/ --backbone vgg16@vgg16.safetensors --test other-clinic/
    headstart fit new/ --backbone headstart-photos     # go on from a model of yours
    headstart fit photos/ --backbone auto --folders models/     # the network that suits the photos
    headstart fit pairs.tsv --from en --to fr --backbone Helsinki-NLP/opus-mt-en-fr
    headstart fit pairs/ --backbone new:marian-small --budget 1h     # a translator from nothing
    """
    wait("Loading torch and timm …")
    from headstart.options import Options
    from headstart.pipeline import fit as run
    from headstart.progress import bars
    from headstart.runs import seconds

    options = Options(
        data, out, task, goal, backbone, test, content, label, seed, precision, cache, budget=seconds(budget),
        scratch=scratch, labels=labels_per_class, plan=plan, plan_only=plan_only, log=log, workers=workers,
        source_language=source, target_language=target, rules=rules_of(rules), keep=keep,
        folders=folders, licence=licence, cut=cut,
    )  # fmt: skip
    result = run(options, bars, began=_STARTED, tell=say)
    tell_findings(result.findings)
    if plan_only:
        say(f"Plan: {plan_only}. Edit it, and give it back with --plan {plan_only}.")
        return
    if as_json:
        print_json({"folder": str(result.folder), **result.scores})
        return
    table_of_rungs(result.scores)
    say(f"Model and report: {result.folder}/report.html")


@cli.command()
@click.option("--out", default="headstart-demo", show_default=True, metavar="DIR", help="The model folder.")
@click.option(
    "--budget", default="1m", show_default=True, metavar="TIME", help="For the whole run; 0: the linear head."
)
@CACHE
@JSON
def demo(out: str, budget: str, cache: str, as_json: bool) -> None:
    """Run the main job on real pictures that come with scikit-image; no network connection, no data of yours.

    A linear head is there after seconds. Tuned layers and the comparison with random weights come after it where the
    budget has room for them; what was not tried, and why, is said.
    """
    wait("Loading torch and timm …")
    from headstart.demo import ABOUT, run
    from headstart.progress import bars

    say(ABOUT)
    result = run(out, cache, bars, budget, say)
    if as_json:
        print_json({"folder": str(result.folder), "data": ABOUT, **result.scores})
        return
    table_of_rungs(result.scores)
    say(f"Open {result.folder}/report.html in a browser; predict with: headstart predict {result.folder} PICTURE")


for command in (predict, evaluate, check, rank, backbones, report, export):
    cli.add_command(command)

_asked: list[int] = []


def _stop(number: int, frame: object) -> None:
    """Stop at the first signal; at the second leave at once, as what is on disk is whole at any moment."""
    if _asked:
        os._exit(StopRequested.exit_code)
    _asked.append(number)
    raise KeyboardInterrupt  # no Exception, or a library that expects any of those would swallow it


def main() -> None:
    """Run the command line; errors of headstart's own become a message and an exit code."""
    wait_asleep()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        sys.exit(_run())
    except BaseException:  # whatever a library made of the interruption
        if not _asked:
            raise
    stopped = StopRequested("Stopped. What is finished is kept: the same command goes on from there.")
    say(stopped.text())
    sys.stdout.flush()
    # All is unwound. Python itself would die of the signal again where C code of a library had called it back.
    os._exit(stopped.exit_code)


def _run() -> int:
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except HeadstartError as error:
        say(error.text())
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
    return 0
