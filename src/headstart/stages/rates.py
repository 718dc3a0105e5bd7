"""rates: which of a rung's learning rates it is trained with, and how long, by a short training with each.

How large a step a network bears depends on how far the data are from what it knows: a translator of captions learned
most of 495 medical pairs with the highest rate; one that needs but a push is best left most of what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headstart.stages.batches import Source
from headstart.stages.ground import Ground
from headstart.stages.pace import paced
from headstart.stages.plan_values import RungPlan
from headstart.stages.settings import recipe_of, start_head
from headstart.stages.sources import Opened
from headstart.stages.split import Index
from headstart.stages.trial import glimpse, model_at

SHARE, MOST = 5, 200
"""One of so many training examples is left out of the short trainings, and so many at most."""


def _apart(fit: Index, seed: int) -> tuple[Index, Index]:
    """Return the examples that short trainings are on, and those they leave out."""
    order = np.random.default_rng([seed, 0x7A7E]).permutation(fit)
    count = max(1, min(MOST, len(fit) // SHARE))
    return np.sort(order[count:]), np.sort(order[:count])


def tried(
    ground: Ground,
    plan: RungPlan,
    opened: Opened,
    source: Source,
    origin: dict[str, torch.Tensor],
    folder: Path,
    left: Callable[[], float],
) -> RungPlan:
    """Return a rung's plan with one rate, that whose short training had the lowest loss on training examples that it
    left out, and as many epochs as fit in by how long those took; the plan itself where nothing is to be tried.

    Those are like what is learned from, general pairs that are kept in as well: judged by the user's own alone, the
    highest rate won, and of 48 BLEU on general ones 32 were left (see dev/LOG.md).

    Args:
        ground: what the rung stands on.
        plan: of the rung.
        opened: the network, cut.
        source: gives inputs.
        origin: weights that each training starts with.
        folder: of the rung.
        left: seconds left for it.

    Raises:
        OutOfTime: no seconds are left.
    """
    if not plan.trial or (len(plan.rates) == 1 and not plan.most):
        return plan
    whole, looked_at = ground.splits.folds[0]
    if len(whole) < 2:  # of one example nothing can be left out
        return replace(plan, rates=plan.rates[:1], trial=0, most=0)
    fit, held = _apart(whole, ground.seed)
    start = plan.starts[0]
    head = start_head(start, ground.probe.refit(fit), ground.seed)
    recipes = [recipe_of(plan, rate, fit, ground.seed) for rate in plan.rates]
    recipes = [replace(recipe, steps=min(plan.trial, recipe.steps)) for recipe in recipes]
    seen = []
    with ground.track(
        f"{plan.name}, {'rates' if len(recipes) > 1 else 'timing'}", sum(recipe.steps for recipe in recipes)
    ) as advance:
        watch = ground.watch(folder, lambda: left() - plan.judging, advance)
        for recipe in recipes:
            opened.body.load_state_dict(origin)
            model = model_at(opened.body, head, plan.low, ground.device)
            batches = ground.batches(source, fit, plan.batch)
            name = f"trial-{start}-{recipe.rate:g}"
            seen.append(glimpse(model, recipe, batches, held, ground.aim, folder / name, watch))
    best = plan.rates[int(np.argmin([each.loss for each in seen]))]
    in_epoch = ground.batches(source, whole, plan.batch).in_epoch
    return paced(replace(plan, rates=(best,), trial=0), seen, in_epoch, len(looked_at), left(), folder / "pace.json")
