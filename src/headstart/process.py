"""What headstart asks of the process it runs in: threads that wait asleep, freed memory that is kept."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # <malloc.h>


SPINS = 2000
"""Looks of a waiting thread before it falls asleep, about 50 ns each."""
LOOKS = 3
LOAD = Path("/proc/loadavg")


def wait_asleep() -> None:
    """Let threads wait for each other asleep, not spinning, unless the user says otherwise: before torch is loaded.

    Beside one other busy process on two cores a forward pass of EfficientNet-lite0 took 38 ms a picture so, and 78 to
    157 ms without; a whole fit beside two of them 7.7 s and 9.5 s. Where nothing else runs when the process begins,
    threads look for a tenth of a millisecond first: falling asleep and waking take as long as a small network's
    operations (a translator's training 27 to 34 ms an example, asleep 38 to 47; beside a busy process 90 and 61).
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    if _alone():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    else:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def _alone() -> bool:
    """Whether as many cores are idle now as this process may use; False where the system does not say."""
    if not LOAD.exists():
        return False
    free, running = (os.cpu_count() or 1) - len(os.sched_getaffinity(0)), []
    for _ in range(LOOKS):
        running.append(int(LOAD.read_text().split()[3].partition("/")[0]))  # this one as well
        time.sleep(0.002)
    return min(running) - 1 <= free


def keep_freed() -> bool:
    """Ask glibc to keep freed memory instead of giving it back to the system; says whether it does.

    A step of training allocates and frees the same hundreds of megabytes again and again; given back each time, every
    page is asked for and cleared anew. Four steps of EfficientNet-lite0 on 32 pictures: 4.7 million page faults, 16 s
    in the system and 5.1 s a step without; 0.9 million, 4 s and 3.1 s with, at a seventh more memory (two cores,
    alone on the machine). Other systems are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
