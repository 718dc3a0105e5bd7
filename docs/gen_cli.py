"""Write `docs/reference/cli.md` from the command line's own definition.

    python docs/gen_cli.py

A test compares the page with what this makes.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from headstart.cli import cli

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = """# Command line

Made from the program by `docs/gen_cli.py`; `headstart --help` and `headstart fit --help` say the same.
Data go to stdout (tables for people, `--json` for programs), talk and progress to stderr.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the run failed |
| 2 | the call or its data are wrong |
| 130 | stopped by Ctrl-C or SIGTERM; the same command goes on from there |
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(name, command) for name, command in sorted(cli.commands.items()))])


def section(name: str, command: click.Command) -> str:
    """Return the section on one command."""
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join(["headstart", name, *map(placeholder, arguments), "[OPTIONS]"])
    rows = [f"| {', '.join(f'`{way}`' for way in o.opts)}{value(o)} | {text(o)} |" for o in options]
    table = ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join([f"## headstart {name}", "", f"    {usage}", "", prose(command.help or ""), "", *table])


def placeholder(argument: click.Argument) -> str:
    """Return how an argument is written in a usage line."""
    name = (argument.name or "").upper()
    return f"{name}…" if argument.nargs == -1 else name


def value(option: click.Option) -> str:
    """Return what an option takes."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return f" {' or '.join(f'`{c}`' for c in option.type.choices)}"
    return f" {option.metavar or option.type.name.upper()}"


def text(option: click.Option) -> str:
    """Return the help of an option, with its default where help shows it."""
    shown = f" Default: `{option.default}`." if option.show_default else ""
    return re.sub(r"\s+", " ", option.help or "").replace("|", "\\|") + shown


def prose(text: str) -> str:
    r"""Return a command's help as Markdown: paragraphs that begin with \b are shown as they are typed."""
    out = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        verbatim = paragraph.startswith("\b\n")
        out.append(f"```bash\n{paragraph[2:]}\n```" if verbatim else paragraph)
    return "\n\n".join(out)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
