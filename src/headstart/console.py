"""What the command line prints: data to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from headstart.report.before import sentences

if TYPE_CHECKING:
    from headstart.data.examples import Finding

SHOWN = 20
"""Findings listed on the terminal; the report and --json have them all."""


def table_of_rungs(scores: dict[str, Any]) -> None:
    """Print the ladder and the final judgement of a `scores.json`."""
    rows = []
    for rung in scores["rungs"]:
        h = rung["headline"]
        mark = {"beaten": "no better: ", "passed": "", "shipped": "", "yardstick": ""}[rung["status"]]
        rows.append((mark + rung["name"], "choosing", f"{h['value']:.3f}", f"{h['low']:.3f} to {h['high']:.3f}"))
    h = scores["headline"]
    rows.append((scores["rung"], scores["judged"]["by"], f"{h['value']:.3f}", f"{h['low']:.3f} to {h['high']:.3f}"))
    table(f"{scores['task']} with {scores['backbone']}", ("rung", "judged by", h["name"], "95% interval"), rows)
    say(scores["judged"]["how"])
    for each in scores.get("untried", ()):
        say(f"not tried: {each['name']}: {each['reason']}")
    if scores.get("scratch"):
        say(scores["scratch"]["sentence"])
    for sentence in sentences(scores):
        say(sentence)


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table to stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 140
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)  # names may hold [brackets]


def tell_findings(findings: tuple[Finding, ...]) -> None:
    """Name what was left out or changed, and count what is merely worth knowing."""
    from collections import Counter

    worth = [f for f in findings if f.severity != "note"]
    for finding in worth[:SHOWN]:
        say(finding.line())
    if len(worth) > SHOWN:
        say(f"… and {len(worth) - SHOWN} more: see the report, or `headstart check`.")
    notes = Counter(f.kind for f in findings if f.severity == "note")
    if notes:
        say("notes (see the report): " + ", ".join(f"{count} {kind}" for kind, count in notes.most_common()))


def print_json(value: object) -> None:
    """Print JSON to stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """Print talk to stderr."""
    click.echo(text, err=True)


def wait(text: str) -> None:
    """Say what is being waited for, where somebody watches."""
    if sys.stderr.isatty():
        say(text)
