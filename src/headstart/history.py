"""What is remembered of earlier data sets: how well each network did on them, and how fast it is on this machine.

One small JSON file in the cache folder; nothing of the data is in it but a fingerprint. The mean accuracy on other
data sets is the best prior that is published (weighted Kendall tau .84 over 11 models and 11 data sets).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from headstart.errors import StoreError
from headstart.store import load_json, save_json

FILE = "history.json"
MOST = 2000
"""Rows that are kept: the newest."""


@dataclass(frozen=True)
class Past:
    """A network on a data set.

    Attributes:
        data: fingerprint of the examples.
        how: what measured it: only rows of one way on the same data are compared.
        name, weights: of the network.
        score: the headline measure of its linear head, held out.
    """

    data: str
    how: str
    name: str
    weights: str
    score: float


@dataclass(frozen=True)
class Memory:
    """What is remembered: of other data sets than this one, and (milliseconds an example, seconds of opening again) by
    name as last measured on this machine."""

    others: tuple[Past, ...] = ()
    speeds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def speed(self, name: str) -> tuple[float, float] | None:
        """Return how fast a network was; None where that is not known."""
        return self.speeds.get(known_as(name))


def known_as(name: str) -> str:
    """Return a name that means the same from any folder: of files and folders the whole path."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def remembered(root: Path, data: str) -> Memory:
    """Return what the cache folder remembers; what is known of these examples themselves is no prior and left out."""
    rows, speeds = _read(root / FILE)
    return Memory(tuple(row for row in rows if row.data != data), speeds)


def remember(root: Path, rows: Iterable[Past], speeds: Mapping[str, tuple[float, float]] | None = None) -> None:
    """Add rows and speeds; each takes the place of what was known of the same network."""
    old, fast = _read(root / FILE)
    new = list(rows)
    again = {_place(row) for row in new}
    kept = [row for row in old if _place(row) not in again]
    fast |= {known_as(name): pair for name, pair in (speeds or {}).items()}
    save_json(root / FILE, {"rows": [asdict(row) for row in (*kept, *new)[-MOST:]], "speeds": fast})


def _read(path: Path) -> tuple[list[Past], dict[str, tuple[float, float]]]:
    if not path.exists():
        return [], {}
    try:
        record = load_json(path)
        rows = [Past(**row) for row in record["rows"]]
        return rows, {name: (float(each), float(opening)) for name, (each, opening) in record["speeds"].items()}
    except (StoreError, KeyError, TypeError, ValueError):  # torn, or of another version: no reason to fail
        return [], {}


def _place(row: Past) -> tuple[str, str, str]:
    return row.data, row.how, row.weights
