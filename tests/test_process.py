"""What headstart asks of its process, seen from outside it."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
    known = {k: v for k, v in environment().items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**known, **more}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc, which other systems do not have")
def test_memory_that_was_freed_is_kept_for_what_comes_next() -> None:
    """In megabytes, of 64 that were freed."""
    assert float(printed(FREED)) > 48
    assert float(printed(FREED, "keep")) < 8


@pytest.mark.parametrize("first", ["headstart.fit", "headstart.load"])
def test_threads_wait_asleep_once_a_function_is_used(first: str) -> None:
    assert printed(f"import headstart, os; {first}; print(os.environ['OMP_WAIT_POLICY'])") == "PASSIVE"


def test_what_the_user_says_of_threads_is_left() -> None:
    code = "import headstart, os; headstart.fit; print(os.environ['OMP_WAIT_POLICY'])"
    assert printed(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_importing_headstart_asks_for_nothing() -> None:
    assert printed("import headstart, os; print('OMP_WAIT_POLICY' in os.environ)") == "False"
