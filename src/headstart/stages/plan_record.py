"""A plan read back, as saved or as edited by hand: what makes no sense in it is named before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.errors import UsageError
from headstart.stages.levels import PAIRS
from headstart.stages.plan import STARTS, Plan, RungPlan, ScratchPlan


def from_record(record: Mapping[str, Any]) -> Plan:
    """Read a plan back, as saved or as edited by hand.

    Raises:
        UsageError: it is not a plan, or a number in it makes no sense.
    """
    try:
        rungs = tuple(_read_rung(r) for r in record["rungs"])
        scratch = _read_scratch(record["scratch"]) if record.get("scratch") else None
        untried = tuple((str(name), str(why)) for name, why in record.get("untried", ()))
        budget = float(record["budget"])
        if not 0 <= budget < math.inf:
            raise ValueError(f"budget {budget!r}")
        return Plan(budget, rungs, untried, scratch, str(record.get("without", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "This is not a plan.",
            found=f"{type(error).__name__}: {error}",
            hint="`headstart fit DATA --plan-only FILE` writes one.",
        ) from error


def _read_rung(record: Mapping[str, Any]) -> RungPlan:
    rung = RungPlan(**{**record, "starts": tuple(record["starts"]), "rates": tuple(float(r) for r in record["rates"])})
    wrong = _wrong(rung, ("views", "batch", "folds"))
    wrong += [f"epochs {rung.epochs!r}"] * (type(rung.epochs) is bool or not 0 < rung.epochs < math.inf)
    wrong += ["pairs beside other starts"] * (PAIRS in rung.starts and len(rung.starts) > 1)
    wrong += [f"start {s!r}" for s in rung.starts if s not in (*STARTS, PAIRS)] + ["no starts"] * (not rung.starts)
    wrong += ["no last training after several folds"] * (not rung.again and rung.folds > 1)
    wrong += [f"again {rung.again!r}"] * (type(rung.again) is not bool)
    wrong += [f"bottom {rung.bottom!r}"] * (not 0 < rung.bottom <= 1)
    wrong += [
        f"{name} {n!r}" for name in ("lora", "trial", "most") if type(n := getattr(rung, name)) is not int or n < 0
    ]
    wrong += [f"judging {rung.judging!r}"] * (not 0 <= rung.judging < math.inf)
    if wrong:
        raise ValueError(f"in {rung.name}: {', '.join(wrong)}")
    return rung


def _read_scratch(record: Mapping[str, Any]) -> ScratchPlan:
    made = ScratchPlan(**{**record, "rates": tuple(float(r) for r in record["rates"])})
    wrong = _wrong(made, ("steps", "trial", "batch"))
    wrong += [f"{name} {n!r}" for name in ("transfer", "judging") if not 0 <= (n := getattr(made, name)) < math.inf]
    if wrong:
        raise ValueError(f"in training from scratch: {', '.join(wrong)}")
    return made


def _wrong(made: RungPlan | ScratchPlan, counts: Sequence[str]) -> list[str]:
    """Return the numbers that make no sense."""
    given = {name: getattr(made, name) for name in counts}
    wrong = [f"{name} {n!r}" for name, n in given.items() if type(n) is not int or n < 1]
    wrong += [f"rate {r!r}" for r in made.rates if not 0 < r < 10] + ["no rates"] * (not made.rates)
    wrong += [f"low {made.low!r}"] * (type(made.low) is not bool)
    return wrong + [f"seconds {made.seconds!r}"] * (not 0 <= made.seconds < math.inf)
