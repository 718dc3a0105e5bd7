"""Values to HTML: the one place where the report meets Jinja. Escaping is always on."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from headstart.report import choice, climb, figures, passages, views, words
from headstart.report.page import Page

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def fill(page: Page) -> str:
    """Return the page's HTML. Characters that HTML or UTF-8 cannot hold become U+FFFD."""
    html = _environment().get_template("template.html.j2").render(page=page, sections=views.sections(page))
    return _UNPRINTABLE.sub("\ufffd", html)


@cache
def _environment() -> Environment:
    here = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=here, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {name: getattr(words, name) for name in _functions(words)}
    made.filters["explained"] = passages.explained
    made.globals |= {"choice": choice, "climb": climb, "figures": figures, "passages": passages, "views": views}
    return made


def _functions(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
