"""How a model was made, as frozen values of plain types: the part of a page that lets a run be repeated.

`headstart.report.page` has all of these names too; they stand apart only because they are many.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneFacts:
    """The pretrained network, where it came from and where it was cut."""

    name: str
    licence: str = ""
    source: str = ""
    parameters: int | None = None
    features: int | None = None
    cut: str = ""
    missing: tuple[str, ...] = ()
    preprocessing: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class EngineFacts:
    """What ran the frozen trunk; `check` says how far its numbers are from PyTorch's."""

    name: str
    precision: str = ""
    device: str = ""
    check: str = ""


@dataclass(frozen=True)
class CacheUse:
    """Examples that went through the network in this run, and those whose features were already on disk."""

    computed: int
    found: int


@dataclass(frozen=True)
class StageTime:
    """Wall-clock seconds of one stage; stages do not overlap and are listed in order."""

    name: str
    seconds: float


@dataclass(frozen=True)
class PlanLine:
    """A number that was chosen for this run, and why that one."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class PlanBlock:
    """The numbers that belong together, such as those of one stage."""

    title: str
    lines: tuple[PlanLine, ...]


@dataclass(frozen=True)
class TrainingCurve:
    """The training loss of one run of gradient descent, as it was at each of `steps`."""

    name: str
    steps: tuple[int, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Contender:
    """A network in the race that chose the backbone.

    `score` is what is to be expected of a linear head on it, within `low` to `high`; `seconds` what extracting the
    features of all examples takes, `each` what one takes, in milliseconds. `status` is `shipped` for the pick, `passed`
    for the runner-up.
    """

    name: str
    score: float
    low: float
    high: float
    seconds: float
    each: float
    parameters: int | None = None
    licence: str = ""
    status: str = "beaten"


@dataclass(frozen=True)
class Choosing:
    """How the backbone was chosen: why this one, what the scores are, who ran, and (name, why) of who did not."""

    why: str
    measure: str
    ran: tuple[Contender, ...]
    others: tuple[tuple[str, str], ...] = ()
    share: bool = True


@dataclass(frozen=True)
class Made:
    """How the model was made: enough to repeat it and to know that the repetition is the same.

    `frozen` says in a sentence whether the trunk's fingerprint was the same before and after training.
    """

    backbone: BackboneFacts | None = None
    head: str = ""
    engine: EngineFacts | None = None
    cache: CacheUse | None = None
    stages: tuple[StageTime, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    seed: int | None = None
    data_fingerprint: str = ""
    plan: tuple[PlanBlock, ...] = ()
    frozen: str = ""
    training: tuple[TrainingCurve, ...] = ()
    choosing: Choosing | None = None
