"""The run folder: what a run has finished so far, under a name that says which run it is; removed when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.errors import StoreError, UsageError
from headstart.stages.levels import KEPT
from headstart.stages.plan import Plan, RungPlan
from headstart.stages.plan_record import from_record
from headstart.store import fingerprint, load_json, save_json

PLAN = "plan.json"
Tell = Callable[[str], None]
"""Told in a line what is going on."""


@dataclass(frozen=True)
class Run:
    """A place for what must survive a kill.

    Attributes:
        folder: named by a fingerprint of everything that decides what the run computes.
    """

    folder: Path

    def plan(self) -> Plan | None:
        """Return the plan that was saved, if one was."""
        path = self.folder / PLAN
        return from_record(load_json(path)) if path.exists() else None

    def keep(self, plan: Plan) -> Plan:
        """Save a plan before its first step."""
        save_json(self.folder / PLAN, plan.record())
        return plan

    def finished(self) -> None:
        """Remove what is no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_run(root: Path, about: Mapping[str, Any]) -> Run:
    """Return the run of this description, begun now or earlier."""
    from importlib.metadata import version  # other versions compute other bits

    folder = root / "runs" / fingerprint("run 1", dict(about), version("torch"))[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return Run(folder)


class Budget:
    """Seconds that a whole run may take, from when it began.

    Args:
        seconds: in all.
        began: when, by the clock.
        clock: seconds.
    """

    def __init__(self, seconds: float, began: float, clock: Callable[[], float]) -> None:
        self.seconds, self.began, self.clock = seconds, began, clock

    def left(self, reserve: float = 0.0) -> float:
        """Return the seconds that are left when some are set aside."""
        return self.began + self.seconds - reserve - self.clock()


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "min": 60.0}


def seconds(text: str) -> float:
    """Read a length of time: `90`, `90s`, `10m`, `1.5h`, `1h30m`; `0` means the linear head alone.

    Raises:
        UsageError: it is none.
    """
    import re

    words = re.findall(r"(\d+(?:\.\d+)?)\s*(min|[smh]?)", text.strip().lower())
    whole = "".join(f"{number}{unit}" for number, unit in words)
    bare = len(words) > 1 and not all(unit for _, unit in words)  # 1h30: minutes or seconds?
    if not words or bare or whole != text.strip().lower().replace(" ", ""):
        raise UsageError(
            f"{text!r} is no length of time.", hint="Write 90s, 10m or 1h30m; 0 for the linear head alone."
        )
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in words)


def read_plan(path: str) -> Plan:
    """Read a plan that the user gives; it is kept to, whatever a clock says.

    Raises:
        UsageError: it is not there, or is no plan.
    """
    try:
        plan = from_record(load_json(Path(path)))
    except StoreError as error:
        raise UsageError(f"The plan {path} cannot be read.", found=error.found) from error
    return replace(plan, rungs=tuple(_kept_to(rung) for rung in plan.rungs))


def _kept_to(rung: RungPlan) -> RungPlan:
    return replace(rung, most=0, reasons={**rung.reasons, "most": KEPT}) if rung.most else rung
