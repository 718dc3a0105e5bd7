"""choosing: which network `fit --backbone auto` takes: the winner of a race, kept so that a resumed run reuses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart import cache
from headstart.aims import aim_for
from headstart.aims.aim import Aim, Truth
from headstart.backbones.backbone import Backbone
from headstart.backbones.catalog import Entry, permissive, usable
from headstart.data.check import Checked
from headstart.errors import BackboneError, StoreError, UsageError
from headstart.history import Past, known_as, remember
from headstart.options import DEFAULT, Options
from headstart.prepare import data_fingerprint
from headstart.progress import Track
from headstart.race import compete
from headstart.race_values import Ranking, ranking_of
from headstart.runs import Tell, open_run
from headstart.stages.probe import Probe
from headstart.store import load_json, save_json
from headstart.tasks.task import Task

AUTO = "auto"
FILE = "race.json"


@dataclass(frozen=True)
class Choice:
    """The network that is taken, as `--backbone` takes it; the race that it won, where there was one."""

    name: str
    ranking: Ranking | None = None


def choose(
    options: Options, task: Task, checked: Checked, track: Track, clock: Callable[[], float], tell: Tell
) -> Choice:
    """Return the network that was asked for, or for `auto` the one that a race on the data picks.

    Raises:
        UsageError: where to look for candidates was said, and not that one is to be chosen.
        BackboneError: no candidate is here.
    """
    if options.backbone != AUTO:
        if options.folders or options.licence != "any":
            raise UsageError(
                "Folders and licences of candidates are for a choice among them.",
                found=f"--backbone {options.backbone}",
                hint="Add --backbone auto, or leave --folders and --licence out.",
            )
        return Choice(options.backbone)
    examples = checked.examples
    if aim_for(examples.goal, [e.target for e in examples.items], examples.languages).costly:
        tell("Networks are raced for labels and numbers only: the default is taken.")
        return Choice(DEFAULT)
    entries = [e for e in candidates(options) if e.kind == task.kind]
    if not entries:
        raise BackboneError(
            f"No network for {task.noun}s is here that may be used.",
            found=", ".join(map(str, options.folders)),
            hint="`headstart backbones` lists what can be used; --folders says where to look for more.",
        )
    if len(entries) == 1:
        tell(f"The only network here: {entries[0].name}.")
        return Choice(entries[0].name)
    return _raced(options, task, checked, entries, track, clock, tell)


def note(root: Path, checked: Checked, backbone: Backbone, found: Probe, target_N: Truth, aim: Aim) -> None:
    """Remember how well the linear head did, for races on other data; an error in that is no reason to fail."""
    if aim.costly:
        return
    data = aim.scoring.read(found.rungs[-1].chosen_RK, target_N[found.row_R])
    score = next(iter(aim.scoring.score(data, np.ones(len(found.row_R))).values()))
    row = Past(data_fingerprint(checked), "fit", known_as(backbone.name), backbone.weights, float(score))
    with suppress(StoreError):
        remember(root, [row])


def candidates(options: Options) -> list[Entry]:
    """Return the networks that can be used here and now under a licence that is wanted."""
    found = usable([Path(folder) for folder in options.folders])
    return [e for e in found if options.licence == "any" or permissive(e)]


def _raced(
    options: Options,
    task: Task,
    checked: Checked,
    entries: Sequence[Entry],
    track: Track,
    clock: Callable[[], float],
    tell: Tell,
) -> Choice:
    root = Path(options.cache) if options.cache else cache.default_root()
    names = [[e.name, e.architecture, str(e.parameters)] for e in entries]
    about = {"race": data_fingerprint(checked), "of": names, "asked": [options.seed, options.precision]}
    path = open_run(root, about).folder / FILE
    if path.exists():
        tell("This race was run before: its result is taken.")
        ranking = ranking_of(load_json(path))
    else:
        ranking = compete(task, checked, options, entries, track, clock, tell)
        save_json(path, ranking.record())
    for line in ranking.lines():
        tell(line)
    return Choice(ranking.pick, ranking)
