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
    click.option("--label", default="", metavar="COLUMN", help="The column of a table that holds the labels."),
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
