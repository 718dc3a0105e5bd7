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
    type=click.Choice(["auto", "label", "labels", "number"]),
    help="What is to be said of an example: one label, any number of labels, a number; auto looks at the labels.",
)
CACHE = click.option(
    "--cache",
    default="",
    metavar="DIR",
    help="Folder of the feature cache; else $HEADSTART_CACHE, else the platform's.",
)


def columns(command: Callable[..., None]) -> Callable[..., None]:
    for option in _EACH:
        command = option(command)
    return command
