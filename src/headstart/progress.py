"""Progress: what is under way, on stderr, for people who watch. Stages are handed a `Track` and only call it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
_AFTER_SECONDS = 1.0


class Track(Protocol):
    """`with track("features", 400) as advance: advance(1)` for each piece of work done."""

    def __call__(self, label: str, total: int, /) -> AbstractContextManager[Advance]: ...


@contextmanager
def quiet(label: str, total: int) -> Iterator[Advance]:
    """Show nothing: for programs, pipes and tests."""
    yield lambda count: None


@contextmanager
def bars(label: str, total: int) -> Iterator[Advance]:
    """Show a bar with what is left, once the work has lasted a second; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    job = bar.add_task(label, total=total)
    start, shown = time.monotonic(), False

    def advance(count: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - start > _AFTER_SECONDS:
            bar.start()
            shown = True
        bar.advance(job, count)

    try:
        yield advance
    finally:
        if shown:  # stopping a bar that was never shown prints an empty line on a plain terminal
            bar.stop()
