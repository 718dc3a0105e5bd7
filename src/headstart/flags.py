"""Options that several commands take, with one spelling and one help text."""

from __future__ import annotations

from collections.abc import Callable

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
_EACH = (
    click.option(
        "--content",
        "--text",
        "content",
        default="",
        metavar="COLUMN",
        help="The column of a table that holds the paths, or the texts; two with a comma between for pairs of texts.",
    ),
    click.option(
        "--label",
        default="",
        metavar="COLUMN",
        help="The column of a table that holds the labels; several of 0 and 1, with commas, for any number of labels.",
    ),
)
GOAL = click.option(
    "--goal",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "label", "labels", "number", "text"]),
    help="What is to be said of an example: one label, any number of labels, a number, a text; auto looks.",
)
FOLDERS = click.option(
    "--folders", multiple=True, metavar="DIR", help="Also let networks in this folder run; may be given several times."
)
LICENCE = click.option(
    "--licence",
    type=click.Choice(["any", "permissive"]),
    default="any",
    show_default=True,
    help="Which networks may run by their licences: permissive ones are Apache, MIT and BSD.",
)
CACHE = click.option(
    "--cache",
    default="",
    metavar="DIR",
    help="Folder of the feature cache; else $HEADSTART_CACHE, else the platform's.",
)

RULES = click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Of translation: another threshold for what is left out, as in max_ratio=4, near=0.8, min_chars=10; "
    "`headstart check` shows all of them.",
)


def rules_of(words: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Return thresholds by name.

    Raises:
        UsageError: there is no such rule, or its threshold is no number.
    """
    from dataclasses import fields

    from headstart.data.pair_checks import PairRules
    from headstart.errors import UsageError

    known = [field.name for field in fields(PairRules)]
    out = []
    for word in words:
        name, _, value = word.partition("=")
        try:
            out.append((known[known.index(name.strip())], float(value)))
        except ValueError as error:
            hint = f"NAME=NUMBER, with one of {', '.join(known)}."
            raise UsageError("This is no rule for pairs.", found=word, hint=hint) from error
    return tuple(out)


def columns(command: Callable[..., None]) -> Callable[..., None]:
    for option in _EACH:
        command = option(command)
    return command
