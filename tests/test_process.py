"""What headstart asks of its process, seen from outside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart import process
from tiny import environment

FREED = """
import sys
from pathlib import Path
if sys.argv[1:] == ["keep"]:
    from headstart.process import keep_freed
    assert keep_freed()
import torch

def held():
    return int(Path("/proc/self/statm").read_text().split()[1])  # pages

parts = [torch.ones(4_000_000) for _ in range(4)]  # 16 MB each
full = held()
del parts
print((full - held()) * 4096 / 1e6)
"""


def printed(code: str, *words: str, **more: str) -> str:
    known = {k: v for k, v in environment().items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**known, **more}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc, which other systems do not have")
def test_memory_that_was_freed_is_kept_for_what_comes_next() -> None:
    """In megabytes, of 64 that were freed."""
    assert float(printed(FREED)) > 48
    assert float(printed(FREED, "keep")) < 8


SAID = "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize("first", ["headstart.fit", "headstart.load"])
def test_threads_wait_asleep_once_a_function_is_used_or_look_for_a_moment_first(first: str) -> None:
    assert printed(f"import headstart, os; {first}; {SAID}") in ("PASSIVE None", f"None {process.SPINS}")


@pytest.mark.parametrize("said", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_says_of_threads_is_left(said: str) -> None:
    found = printed(f"import headstart, os; headstart.fit; {SAID}", **{said: "1"})
    assert sorted(found.split()) == ["1", "None"]


def test_importing_headstart_asks_for_nothing() -> None:
    assert printed(f"import headstart, os; {SAID}") == "None None"


@pytest.mark.parametrize(
    ("running", "cores", "found"),
    [
        ([1, 1, 1], 2, f"None {process.SPINS}"),
        ([3, 1, 2], 2, f"None {process.SPINS}"),  # what comes and goes is nothing
        ([2, 2, 2], 2, "PASSIVE None"),
        ([7, 7, 7], 8, f"None {process.SPINS}"),  # two of eight cores are this process's
        ([8, 9, 8], 8, "PASSIVE None"),
    ],
)
def test_threads_look_first_where_their_cores_are_idle(
    running: list[int], cores: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = iter(running)

    class Load:
        exists = staticmethod(lambda: True)
        read_text = staticmethod(lambda: f"0.50 0.40 0.30 {next(each)}/90 123\n")

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(process, "LOAD", Load)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    process.wait_asleep()
    assert f"{os.environ.get('OMP_WAIT_POLICY')} {os.environ.get('GOMP_SPINCOUNT')}" == found


def test_where_the_system_does_not_say_what_runs_threads_wait_asleep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(process, "LOAD", tmp_path / "none")
    process.wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
