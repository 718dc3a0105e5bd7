"""What headstart asks of its process, seen from outside it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tiny import environment

STEPS = """
import resource, sys
if sys.argv[1:] == ["keep"]:
    from headstart.process import keep_freed
    assert keep_freed()
import torch
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    parts = [torch.ones(4_000_000) for _ in range(4)]  # 16 MB each
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed(code: str, *words: str, **more: str) -> str:
    known = {k: v for k, v in environment().items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env={**known, **more}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc, which other systems do not have")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    assert int(printed(STEPS, "keep")) < int(printed(STEPS)) / 3


@pytest.mark.parametrize("first", ["headstart.fit", "headstart.load"])
def test_threads_wait_asleep_once_a_function_is_used(first: str) -> None:
    assert printed(f"import headstart, os; {first}; print(os.environ['OMP_WAIT_POLICY'])") == "PASSIVE"


def test_what_the_user_says_of_threads_is_left() -> None:
    code = "import headstart, os; headstart.fit; print(os.environ['OMP_WAIT_POLICY'])"
    assert printed(code, OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_importing_headstart_asks_for_nothing() -> None:
    assert printed("import headstart, os; print('OMP_WAIT_POLICY' in os.environ)") == "False"
