"""Processes of their own that need not import the libraries: forks of one that has them and has computed nothing.

A fresh process takes seconds to import PyTorch and the rest; what a command does after that is the same in a fork, and
so are its exit code, its streams and what a signal does to it. What is about imports, or about how a process begins
and ends, is tested in fresh ones.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
"""(function, its arguments) -> a process that has begun."""
LIBRARIES = ("pytest", "headstart.pipeline", "headstart.report", "headstart.console", "openvino", "timm", "torchvision")
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # threads that wait for each other on a busy machine take ten times as long
    "HF_HUB_OFFLINE": "1",
}


def starter(way: str) -> Start:
    """Return how processes are started: 'forkserver' for forks, 'spawn' for fresh ones."""
    if way == "forkserver":
        _serve()

    def start(work: Callable[..., None], *given: Any) -> Any:
        process = multiprocessing.get_context(way).Process(target=work, args=given, daemon=True)
        process.start()
        return process

    return start


@functools.cache
def _serve() -> None:
    """Start the process that others are forks of, once: what it is to import must be said before."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(LIBRARIES))
        forkserver.ensure_running()


def command(words: list[str], folder: Path, environment: dict[str, str], streams: tuple[str, str, str]) -> None:
    """What `python -m headstart` does with these words in a folder; the streams are files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in enumerate(streams):
        file = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["headstart", *words]
    from headstart import cli

    cli.main()


def headstart(
    words: list[str], cwd: Path | None, environment: Mapping[str, str], given: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fork; raise as `subprocess.run` does where it takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        streams = tuple(str(Path(folder, name)) for name in ("in", "out", "err"))
        Path(streams[0]).write_text(given, encoding="utf-8")
        for name in streams[1:]:
            Path(name).touch()
        process = starter("forkserver")(command, words, cwd or Path.cwd(), dict(environment), streams)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        out, err = (Path(name).read_text(encoding="utf-8") for name in streams[1:])
    return subprocess.CompletedProcess(words, process.exitcode, out, err)
