"""Who takes part in a race: in which order networks are opened, how fast each is here, and what time is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from headstart.backbones.catalog import Entry
from headstart.backbones.priors import published
from headstart.beliefs import Belief, beliefs
from headstart.data.examples import Content
from headstart.encoder import Encoder, encoder
from headstart.errors import BackboneError
from headstart.history import Memory, Past
from headstart.options import Options
from headstart.race_values import Candidate, Run
from headstart.stages.encode import features_of, sample
from headstart.tasks.task import Task

AGAIN = 0.1
"""Of the time that an engine takes to be built, what it takes to be read from the cache: 3 to 6% were seen."""
LATE = "left out for time"
SCORING = 0.5
"""Seconds that scoring a network takes, before one was."""


@dataclass(frozen=True)
class Limit:
    """How long a race may take: so many times one extraction of all training examples with the network it picks.

    Attributes:
        times: infinite where there is no limit.
        examples: that are learned from.
        began: when, by the clock.
        clock: seconds.
    """

    times: float
    examples: int
    began: float
    clock: Callable[[], float]

    def spent(self) -> float:
        """Return the seconds since the race began."""
        return self.clock() - self.began

    def whole(self, favourite: Candidate) -> float:
        """Return the seconds that the race may take if this is what it picks."""
        return self.times * favourite.extraction(self.examples)

    def left(self, favourite: Candidate) -> float:
        """Return those that are left."""
        return self.whole(favourite) - self.spent()


def ordered(entries: Sequence[Entry], rows: Sequence[Past]) -> list[Entry]:
    """Return networks by what is believed of them, the most promising first."""
    believed = beliefs([published(e.architecture) for e in entries], [e.name for e in entries], rows)
    return [entries[i] for i in np.argsort([b.value for b in believed], kind="stable")]


def fair(entries: Sequence[Entry], failed: list[tuple[str, str]]) -> list[Entry]:
    """Return the networks without models that `fit` made, which may have learned from these very examples."""
    made = {e.name for e in entries if (Path(e.name) / "headstart.json").is_file()}
    failed += [(name, "a model that fit made: it may have learned from these examples") for name in sorted(made)]
    return [e for e in entries if e.name not in made]


def believed_of(candidates: Sequence[Candidate], rows: Sequence[Past]) -> list[Belief]:
    """Return what is believed of opened networks."""
    return beliefs([c.prior for c in candidates], [c.entry.name for c in candidates], rows)


def opened(
    entry: Entry,
    task: Task,
    contents: Sequence[Content],
    options: Options,
    clock: Callable[[], float],
    failed: list[tuple[str, str]],
) -> Candidate | None:
    """Open a network and measure it; None, and the reason noted, where it cannot be used."""
    start = clock()
    try:
        backbone = task.several(task.backbone(entry.name))
        encode = encoder(task, backbone, options.precision, Path(options.cache) if options.cache else None)
        kept, found = encode.known is not None, clock()
        milliseconds, ready = _speed(encode, contents, clock)
    except BackboneError as error:
        failed.append((entry.name, error.what))
        return None
    again = found - start + (1.0 if kept else AGAIN) * (ready - found)
    return Candidate(entry, encode, published(entry.architecture), milliseconds, ready - start, again)


def _speed(encode: Encoder, contents: Sequence[Content], clock: Callable[[], float]) -> tuple[float, float]:
    """Return the milliseconds that an example takes through the network in its engine, decoding included, past the
    cache; and when the engine was there."""
    inputs = sample(contents, encode.load)
    engine = encode.choose(inputs).engine
    list(engine.run(inputs))  # the first run warms up
    ready = clock()
    count = sum(1 for _ in features_of(contents, encode.load, engine, encode.threads))
    return 1000 * (clock() - ready) / max(1, count), ready


def beaten(prior: float | None, milliseconds: float, others: Sequence[Candidate]) -> str:
    """Return why a network need not run: another is both faster and published as better; empty where none is."""
    if prior is None:
        return ""
    better = [o for o in others if o.prior is not None and o.prior > prior and o.milliseconds < milliseconds]
    if not better:
        return ""
    o = max(better, key=lambda o: o.prior or 0.0)
    faster = f"is faster ({o.milliseconds:.0f} ms against {milliseconds:.0f})"
    return f"{o.entry.name} {faster} and published as better ({o.prior:.1f} against {prior:.1f} on ImageNet)"


def same(mine: Candidate, others: Sequence[Candidate]) -> bool:
    """Whether another has the same weights."""
    return mine.encode.backbone.weights in {o.encode.backbone.weights for o in others}


def running(milliseconds: float, examples: int, runs: Sequence[Run]) -> float:
    """Return the seconds that a round takes a network that was opened: extraction, and scoring as seen so far."""
    each = mean([run.scoring / run.runner.examples for run in runs]) if runs else 0.0
    return milliseconds * examples / 1000 + (each * examples if runs else SCORING)


def late(need: float, left: float) -> str:
    """Return why a network did not run, where that is for want of time; empty where it has the time."""
    if need <= left or math.isinf(left):
        return ""
    return f"{LATE}: it would take about {need:.0f} s, and {max(0.0, left):.0f} s were left"


def hopeless(
    entry: Entry, others: Sequence[Candidate], memory: Memory, examples: int, runs: Sequence[Run], left: float
) -> str:
    """Return why a network that is not open yet need not be opened, as far as that is known; else nothing.

    It is taken to be as fast as it was last time on this machine, or as the others are.
    """
    if not others:
        return ""
    known = memory.speed(entry.name)
    if known and (why := beaten(published(entry.architecture), known[0], others)):
        return why
    speed, opening = known or (mean(o.milliseconds for o in others), mean(o.opening for o in others))
    return late(opening + running(speed, examples, runs), left)
