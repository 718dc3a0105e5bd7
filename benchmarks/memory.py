"""Peak memory of a whole `fit` at 400 and at 20,000 images (the photos repeated under new names).

A copy is made different by four bytes after the end of its picture data, which no decoder reads; otherwise it would
be a duplicate. Expected: at 20,000 at most 1.2 times that at 400.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import keep, photos

_RUN = """
import resource, sys
from headstart.options import Options
from headstart.pipeline import fit
fit(Options(sys.argv[1], out=sys.argv[2], cache=sys.argv[3], budget=0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def lay_out(files: Sequence[Path], count: int, root: Path) -> None:
    """Write `count` files into class folders, going through the photos as often as it takes."""
    for i in range(count):
        source = files[i % len(files)]
        target = root / source.parent.name / f"{i:06}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes() + i.to_bytes(4, "little"))


def peak(files: Sequence[Path], count: int) -> float:
    """Return the peak resident memory of a fit on `count` images, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "photos"
        lay_out(files, count, data)
        words = [sys.executable, "-c", _RUN, str(data), f"{folder}/model", f"{folder}/cache"]
        printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return int(printed.split()[-1]) / unit


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", default="")
    parser.add_argument("--few", type=int, default=400)
    parser.add_argument("--many", type=int, default=20_000)
    given = parser.parse_args(arguments)
    files = photos(given.photos)
    few, many = peak(files, given.few), peak(files, given.many)
    figures = {
        "images, few": given.few,
        "images, many": given.many,
        "peak memory at few, MB": few,
        "peak memory at many, MB": many,
        "ratio": many / few,
    }
    keep("memory", figures)


if __name__ == "__main__":
    main()
