"""The values of a plan: what each rung does, what training from scratch does, and the speeds that they follow from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RungPlan:
    """What one rung does.

    Attributes:
        name: the depth: `after MODULE`, or `everything`.
        views: cached views of each example, the clean one first (at the input: drawn anew each epoch instead).
        epochs, batch: of each training; part of an epoch where `most` had them counted anew.
        folds: on how many folds its settings are compared; the final training is on all training examples.
        starts: `linear` (LP-FT) and `fresh` (small random weights).
        rates: learning rates tried.
        bottom: the lowest layer's share of the rate.
        low: whether layers compute in bfloat16.
        lora: rank of the adapters; 0 trains the weights themselves.
        seconds: predicted.
        reasons: for each number, why.
        again: whether the best setting is trained once more, on all training examples; else, of one fold, the network
            that was compared ships.
        trial: steps that each rate is tried for, after which the best alone is trained with; 0 trains with each.
        most: epochs at most, where they are counted anew once the steps of `trial` were timed; 0 keeps to `epochs`.
        judging: of the seconds, those set aside to judge what comes of it, where that takes long.
    """

    name: str
    views: int
    epochs: float
    batch: int
    folds: int
    starts: tuple[str, ...]
    rates: tuple[float, ...]
    bottom: float
    low: bool
    lora: int = 0
    seconds: float = 0.0
    reasons: Mapping[str, str] = field(default_factory=dict)
    again: bool = True
    trial: int = 0
    most: int = 0
    judging: float = 0.0


@dataclass(frozen=True)
class ScratchPlan:
    """What training from random weights does: steps at the best of some rates, each tried for a few steps first.

    `transfer` is how many seconds the transfer run took, which it is given as well; `judging` is set aside to predict.
    """

    steps: int
    trial: int
    batch: int
    rates: tuple[float, ...]
    low: bool
    transfer: float
    seconds: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    judging: float = 0.0


@dataclass(frozen=True)
class Plan:
    """All of it.

    Attributes:
        budget: seconds for the whole run.
        rungs: shallowest first.
        untried: (rung, why not).
        scratch: training from scratch; planned when the rungs are done, as it must last as long as they did.
        without: why there is none.
    """

    budget: float
    rungs: tuple[RungPlan, ...]
    untried: tuple[tuple[str, str], ...] = ()
    scratch: ScratchPlan | None = None
    without: str = ""

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Speed:
    """Measured seconds for one example at a depth.

    Attributes:
        name, share: of the depth.
        below: through the frozen trunk and its engine, decoding included; at the input, decoding alone.
        step: forward, backward and update of the top.
        low: whether the top was faster in bfloat16.
        lora: rank of the adapters it was measured with; 0 without.
        guessed: whether it was not measured but taken from a shallower depth by its share of the work.
        attention: whether it is a transformer.
        judging: seconds in which what came of a training is judged, where that is far from a forward pass.
        looking: the same of the look that is taken after each epoch.
    """

    name: str
    share: float
    below: float
    step: float
    low: bool
    lora: int = 0
    guessed: bool = False
    attention: bool = False
    judging: float = 0.0
    looking: float = 0.0
