"""interim"""

from dataclasses import dataclass
from collections.abc import Callable
from typing import Any
from headstart.data.examples import Examples

Inspect = Callable[..., Any]


@dataclass(frozen=True)
class Checked:
    examples: Examples
    digests: tuple


def check(examples, inspect, progress):
    return Checked(examples, tuple(inspect(e.name, e.content).digest for e in examples.items))


def bad_share(examples):
    pass


def near_duplicates(x, names, parts, threshold=0.98):
    return [], []
