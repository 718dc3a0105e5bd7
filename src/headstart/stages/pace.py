"""pace: how long a rung is trained, counted anew from steps that were timed while it was being tried.

A plan is made from a few steps on one batch; a machine that is busy just then costs a training a third of its epochs.
Real steps on real batches tell better, the quicker ones: what slows a machine is seldom there all the time. One that
had 13 epochs of 24, as the machine was slow just when it was timed, came to 7.5 BLEU for 14.0 (see dev/LOG.md). So of
the plan's timing and the later one the better counts. A training that ships itself ends in time all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headstart.stages.plan_values import RungPlan
from headstart.stages.trial import Glimpse
from headstart.store import load_json, save_json

SLACK = 1.1
"""Steps are said to take this much longer than those that were timed: a twentieth goes into checkpoints, and a few are
slow. Most trainings come to their end so, which a run that was killed and goes on then comes to as well, to the bit."""
AGAIN = 1.5
"""The plan's epochs are kept to where they are more than fit in by the later timing, up to so many times these: then
two thirds of the cosine fit in at least, and a quarter of the highest rate is left at its end."""


def paced(plan: RungPlan, seen: Sequence[Glimpse], in_epoch: int, held: int, left: float, file: Path) -> RungPlan:
    """Return a rung's plan with as many epochs as fit in, whole or not; the plan itself where it is to be kept to.

    What was decided is written down, so that a run that goes on decides the same.

    Args:
        plan: of the rung.
        seen: short trainings of it.
        in_epoch: steps of an epoch.
        held: examples that are looked at after each.
        left: seconds that are left for the rung.
        file: where the decision is kept.
    """
    if not plan.most:
        return plan
    seen = [each for each in seen if math.isfinite(each.step)]
    if not seen and not file.exists():  # trainings of a step
        return replace(plan, most=0)
    if not file.exists():
        step, look = min(each.step for each in seen), min(each.look for each in seen)
        epoch = in_epoch * step + held * look
        counted = fitted(left - plan.judging, epoch, in_epoch, plan.most)
        epochs = round(max(counted, min(plan.epochs, AGAIN * counted)), 2)
        why = f"{1000 * step:.0f} ms a step in short trainings, {max(0.0, left):.0f} s left; {plan.most} at most"
        why += "; by the plan's timing more fit in" if epochs > counted else ""
        seconds = min(epochs * SLACK * epoch + plan.judging, max(0.0, left))
        save_json(file, {"epochs": epochs, "seconds": round(seconds, 1), "why": why})
    decided = load_json(file)
    reasons = {
        **plan.reasons, "epochs": str(decided["why"]), "most": "epochs were counted anew; 0 keeps to them",
        "seconds": f"after the short trainings, by the quicker steps of these, and {SLACK - 1:.0%} more",
    }  # fmt: skip
    return replace(plan, epochs=decided["epochs"], seconds=decided["seconds"], most=0, reasons=reasons)


def fitted(left: float, epoch: float, in_epoch: int, most: int) -> float:
    """Return how many epochs fit in, to the hundredth; a step at least.

    Args:
        left: seconds.
        epoch: seconds of one.
        in_epoch: its steps.
        most: so many at most.
    """
    fit_in = min(most, max(0.0, left) / max(SLACK * epoch, 1e-9))
    return max(1 / in_epoch, math.floor(100 * fit_in) / 100)
