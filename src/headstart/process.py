"""What headstart asks of the process it runs in: threads that wait asleep, freed memory that is kept."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # <malloc.h>


def wait_asleep() -> None:
    """Let threads wait for each other asleep, not spinning, unless the user says otherwise: before torch is loaded.

    Beside one other busy process on two cores a forward pass of EfficientNet-lite0 took 38 ms a picture so, and 78 to
    157 ms without; a whole fit beside two of them 7.7 s and 9.5 s. On an idle machine there is no difference.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
