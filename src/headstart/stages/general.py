"""general: what became of what a network could do before (catastrophic forgetting), on examples not the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.aims.aim import Aim
from headstart.backbones.engine import Array
from headstart.data.examples import Target
from headstart.heads.head import Head
from headstart.metrics.interval import Measure
from headstart.ragged import pile
from headstart.stages.scratch import worth


@dataclass(frozen=True)
class KeptUp:
    """Measures on general examples before and after, the headline's change with its interval, how many there are."""

    before: dict[str, float]
    after: dict[str, float]
    change: Measure
    examples: int

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        change = {"value": self.change.value, "low": self.change.low, "high": self.change.high}
        return {
            "before": self.before,
            "after": self.after,
            "change": change,
            "examples": self.examples,
            "sentence": self.sentence(),
        }

    def sentence(self) -> str:
        """Say it."""
        name, c = self.change.name, self.change
        moved = "kept" if c.low <= 0 <= c.high else "gained" if c.low > 0 else "lost"
        return (
            f"On {self.examples} general texts that were not learned from, {name} went from {self.before[name]:.1f} to "
            f"{self.after[name]:.1f} ({c.value:+.1f}, 95% interval {c.low:+.1f} to {c.high:+.1f}): {moved}."
        )


def general(
    heads: tuple[Head, Head], inputs: Sequence[Array], targets: Sequence[Target], aim: Aim, seed: int
) -> KeptUp:
    """Judge a network before and after on general examples.

    Args:
        heads: as it was, and as it ships; both run the whole of it.
        inputs: of these examples.
        targets: what is true of them.
        aim: what is to be said of an example.
        seed: fixes the resamples.
    """
    x_N, truth_N = pile(list(inputs)), aim.encode(targets)
    was, now = (head.logits(x_N) for head in heads)
    scores = [aim.scoring.score(aim.scoring.read(said, truth_N), np.ones(len(truth_N))) for said in (was, now)]
    change = worth(now, was, truth_N, np.arange(len(truth_N)), aim.scoring, seed)
    return KeptUp(scores[0], scores[1], change, len(truth_N))
