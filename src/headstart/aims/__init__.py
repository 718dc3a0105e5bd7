"""The aims: a literal table, from what readers say the targets are to what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headstart.aims.aim import Aim
from headstart.aims.boxes import some_boxes
from headstart.aims.label import known, one_label
from headstart.aims.labels import many_labels
from headstart.aims.number import a_number, standardising
from headstart.aims.text import some_text
from headstart.data.examples import Goal, Target, labels_of
from headstart.errors import UsageError

MADE: dict[Goal, Callable[[Sequence[Target]], Aim]] = {
    "label": lambda targets: one_label(known(targets)),
    "labels": lambda targets: many_labels(tuple(sorted({label for t in targets for label in labels_of(t)}))),
    "number": standardising,
    "boxes": lambda targets: some_boxes(tuple(sorted({label for t in targets for label in labels_of(t)}))),
}
WRITTEN: tuple[Goal, ...] = ("text",)
OPENED: dict[str, Callable[[tuple[str, ...]], Aim]] = {
    "label": one_label,
    "labels": many_labels,
    "number": lambda _: a_number(),
    "boxes": some_boxes,
    "text": some_text,
}


def aim_for(goal: Goal, targets: Sequence[Target], languages: tuple[str, str] = ("", "")) -> Aim:
    """Return the aim of saying such targets: those that are learned from. Of texts, the languages say how they are
    compared."""
    return some_text(languages) if goal == "text" else MADE[goal](targets)


def aim_of(goal: str, outputs: tuple[str, ...]) -> Aim:
    """Return the aim of a finished model, whose head is in the user's units."""
    return OPENED[goal](outputs)


def goal_asked(name: str) -> Goal | None:
    """Return what the user asked to be said; None for `auto`: what the labels are decides.

    Raises:
        UsageError: there is no such aim.
    """
    for goal in (*MADE, *WRITTEN):
        if name == goal:
            return goal
    if name == "auto":
        return None
    raise UsageError(f"There is no goal called {name!r}.", hint=f"One of auto, {', '.join((*MADE, *WRITTEN))}.")
