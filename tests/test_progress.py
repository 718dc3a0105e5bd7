"""Progress: for people who watch, and only for them."""

from __future__ import annotations

import io
import time
from contextlib import redirect_stderr

import pytest
import rich.progress  # noqa: F401 - before the clock is replaced, so that it keeps its own

from headstart import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_quiet_says_nothing_and_takes_any_advance(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.quiet("features", 10) as advance:
        assert [advance(n) for n in (1, 9, 100)] == [None, None, None]
    assert capfd.readouterr() == ("", "")


def test_nothing_is_shown_where_stderr_is_not_a_terminal(capfd: pytest.CaptureFixture[str], clock: Clock) -> None:
    with progress.bars("features", 10) as advance:
        clock.now += 60
        advance(5)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["xterm-256color", "dumb"])
def test_work_under_a_second_shows_nothing(kind: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", kind)
    with redirect_stderr(Terminal()) as terminal, progress.bars("features", 10) as advance:
        clock.now += 0.9
        advance(10)
    assert terminal.getvalue() == ""


def test_longer_work_shows_what_is_done_on_stderr(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with redirect_stderr(Terminal()) as terminal, progress.bars("features", 400) as advance:
        advance(100)
        clock.now += 2
        advance(300)
    assert "features" in terminal.getvalue()
    assert "400/400" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def failing(track: progress.Track, clock: Clock) -> None:
    with track("features", 3) as advance:
        clock.now += 2
        advance(1)
        raise ValueError("mine")


@pytest.mark.parametrize("track", [progress.quiet, progress.bars])
def test_an_error_inside_is_let_through(track: progress.Track, clock: Clock) -> None:
    with pytest.raises(ValueError, match="mine"):
        failing(track, clock)


def test_a_bar_is_gone_after_an_error(clock: Clock) -> None:
    with redirect_stderr(Terminal()) as terminal, pytest.raises(ValueError, match="mine"):
        failing(progress.bars, clock)
    shown, _, after = terminal.getvalue().rpartition("features")
    assert shown
    assert "\x1b[?25h" in after, "the cursor is back"
    assert after.endswith("\x1b[2K"), "the line is empty"
