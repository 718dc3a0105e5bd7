"""What the benchmarks share: photos to measure on, a stopwatch, and the dated result file."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from headstart.process import wait_asleep

wait_asleep()  # as on the command line; before torch is loaded
RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[2] / "shared" / "data"


STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}
"""97.5% quantiles of Student's t for so many seeds."""


def photos(folder: str) -> list[Path]:
    """Return the JPEGs of a folder, by default those of the hymenoptera data set beside the project."""
    root = Path(folder) if folder else SHARED / "hymenoptera"
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not found:
        raise SystemExit(f"no JPEGs in {root}: give a folder of photos with --photos")
    return found


def seconds(work: Callable[[], Any]) -> float:
    """Return the wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> str:
    """Return the mean with its 95% t-interval over seeds."""
    half = STUDENT[len(values)] * stdev(values) / math.sqrt(len(values)) if len(values) in STUDENT else math.nan
    return f"{mean(values):.4f} ± {half:.4f}"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep(name: str, figures: dict[str, Any]) -> None:
    """Print figures and append them, dated and with versions, to results/NAME.jsonl."""
    from importlib.metadata import version

    for key, value in figures.items():
        print(f"{key:>44}: {value:.3f}" if isinstance(value, float) else f"{key:>44}: {value}")
    libraries = ("torch", "torchvision", "timm", "openvino")
    row = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {cores()} cores",
        "versions": {each: version(each) for each in libraries},
        **{k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
