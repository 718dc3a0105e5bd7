"""A whole cold `fit --budget 0` in a fresh process, report and all, against its extraction and the plain loop.

Expected on two cores: 3-5 s for 397 photos on top of importing torch and timm, under 3 times the extraction.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import SHARED, keep, photos
from benchmarks.extraction import plain_loop
from headstart.tasks import task_named

_IMPORTS = "import time; t = time.perf_counter(); import torch, timm; print(time.perf_counter() - t)"


def cold_fit(data: str, backbone: str, folder: Path) -> tuple[float, dict[str, float]]:
    """Return the process's wall-clock seconds, and the stages' from its scores.json; the cache is empty."""
    out = folder / "model"
    words = [
        sys.executable,
        "-m",
        "headstart",
        "fit",
        data,
        "--out",
        str(out),
        "--cache",
        str(folder / "cache"),
        "--budget",
        "0",
    ]
    start = time.perf_counter()
    subprocess.run([*words, "--backbone", backbone], check=True, capture_output=True)
    total = time.perf_counter() - start
    return total, json.loads((out / "scores.json").read_text())["seconds"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(SHARED / "hymenoptera"))
    parser.add_argument("--backbone", default="default")
    given = parser.parse_args(arguments)
    imports = min(float(subprocess.check_output([sys.executable, "-c", _IMPORTS])) for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        total, stages = cold_fit(given.data, given.backbone, Path(folder))
    files = photos(given.data)
    plain = min(plain_loop(task_named("image-classification").backbone(given.backbone), files, w) for w in (0, 2))
    figures = {
        "photos": len(files),
        "importing torch and timm, seconds": imports,
        "whole cold fit, process, seconds": total,
        "of it extraction, seconds": stages["encode"],
        "ratio (fit less imports) to extraction": (total - imports) / stages["encode"],
        "plain loop over the photos alone, seconds": plain,
        "ratio of the plain loop to the whole fit": plain / total,
    }
    keep("whole_fit", figures)


if __name__ == "__main__":
    main()
