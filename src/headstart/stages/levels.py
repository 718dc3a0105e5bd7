"""levels: the ways to spend time on a rung, richest first, and what each would cost, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headstart.stages import pairs
from headstart.stages.plan_values import RungPlan, Speed

RATES = (3e-4, 1e-3, 3e-3)
"""Of AdamW, for the head; lower layers get less."""
DEEP_RATES = (1e-4, 3e-4, 1e-3)
"""Where most of the weights themselves are trained. On patches of blood smears (see dev/LOG.md) the last stages did
best with 1e-3, everything with 3e-4; with 1e-3 everything was no better than guessing."""
DEEP = 0.5
ATTENTION_RATES = (1e-4, 5e-5, 2e-4)
"""Of a transformer's own weights, the one to take where there is time for one first."""
BOTTOM = 0.1
BOTTOM_OF_ATTENTION = 0.5
"""Transformers want their lower layers trained as well: sst2, two epochs, validation part: 0.862, with 0.1 0.850."""
STARTS = ("linear", "fresh")
PAIRS = "pairs"
BATCH = 32
STEPS = 200
EPOCHS = (4, 20)
VIEWS = 8
NEW_BATCH, NEW_RATE, NEW_EPOCHS = 64, 7e-4, 40
NEW_MARGIN = 1.3
"""All lengths, the average of the weights, checkpoints: multi30k, 0.78 s a step; 0.61 s where all are of mean size."""
MARGIN = 1.15
"""Predicted seconds are multiplied by this: the first steps of a training are slower than the measured ones."""


LONG = (*((3, epochs) for epochs in (40, 33, 27, 22, 18, 15, 12, 10, 8, 7, 6, 5, 4, 3)), (1, 3), (1, 2), (1, 1))
"""Rates that are tried and epochs with the best of them, richest first, of a task that has rates of its own: a
translator wants to see its pairs often (1,000 twice: BLEU 0.6, see dev/LOG.md); a training ends where no
more held-out words are got right."""
TRIAL = 32
"""Steps that each rate is tried for, and that are timed: one rate as well, where more than an epoch follows. When few
epochs were not timed, 2,000 medical pairs and as many general ones had three planned, and used 664 of 900 s."""


_TIMED = "a short training, by which steps are timed"
_ANEW = "epochs are counted anew once the steps of the trial were timed"
KEPT = "the epochs above are kept to"
STEPS_OF_EPOCH, SMALL = 64, 8
"""A long training takes so many steps an epoch, or batches of so many: five epochs of 495 medical pairs came to a loss
of 4.31 with 32 in each, 4.10 with 16, 3.95 with 8, in 97 to 124 s (see dev/LOG.md)."""


@dataclass(frozen=True)
class Level:
    folds: int
    rates: tuple[float, ...]
    starts: tuple[str, ...]
    epochs: int
    views: int
    cut: str
    again: bool = True
    long: bool = False

    @property
    def trial(self) -> int:
        """Steps that each rate is tried for before the best is trained with, and that are timed; 0 where all are."""
        return TRIAL if self.long and self.epochs > 1 else 0


MANY = 1000
"""From so many examples on, time is spent on the deepest rung that fits (see `plan`), and where it is short the network
that was compared on a fifth of them ships, without that fifth."""


def levels(
    speed: Speed, examples: int, folds: int, longer: int = 1, one_start: bool = False, wanted: tuple[float, ...] = ()
) -> list[Level]:
    """Return the ways to spend time on a rung, richest first; `longer` trainings where they are worth while. Arguments
    as of `plan`."""
    low, high = (longer * epochs for epochs in EPOCHS)
    epochs = max(low, min(high, -(-longer * STEPS * BATCH // max(1, examples))))
    rates: tuple[float, ...] = DEEP_RATES if speed.share > DEEP and not speed.lora else RATES
    middle = rates[1:2]
    if speed.attention and not speed.lora:
        rates, middle = ATTENTION_RATES, ATTENTION_RATES[:1]
    if wanted and not speed.lora:
        rates, middle = wanted, wanted[:1]
    starts = STARTS[:1] if one_start else STARTS
    few = max(low, epochs // 2)
    ways = [
        (folds, rates, starts, epochs, VIEWS, ""),
        (folds, rates, starts, epochs, VIEWS // 2, "fewer views"),
        (min(folds, 3), rates, starts, epochs, VIEWS // 2, "fewer views and folds"),
        (min(folds, 3), rates, starts, few, VIEWS // 2, "fewer views, folds and epochs"),
        (min(folds, 3), rates[:2], STARTS[:1], few, VIEWS // 2, "one start, fewer views, folds, epochs and rates"),
        (min(folds, 3), middle, STARTS[:1], few, VIEWS // 2, "one start and rate, fewer views, folds and epochs"),
        (min(folds, 2), middle, STARTS[:1], few, 2, "one start and rate, fewer views, folds and epochs"),
        (1, middle, STARTS[:1], low, 2, "one start, rate and fold, few views and epochs"),
        (1, middle, STARTS[:1], low - 1, 1, "one start, rate and fold, few epochs, the fewest views"),
        (1, middle, STARTS[:1], low // 2, 1, "one start, rate and fold, the fewest views and epochs"),
    ]
    if longer > 1:  # an epoch of a whole detector takes minutes: a few are still better than none
        ways += [(*ways[-1][:3], low // each, *ways[-1][4:]) for each in (4, 8)]
    if wanted and not speed.lora:
        return [
            Level(1, rates[:count], STARTS[:1], each, 1, _long(count), again=False, long=True) for count, each in LONG
        ]
    made = [Level(*way) for way in ways]
    if examples < MANY:
        return made
    rich, lean = [each for each in made if each.folds > 1 or folds == 1][:7], [each for each in made if each.folds == 1]
    return [*rich, *(replace(each, again=False) for each in lean[-3:])]


def _tried(level: Level) -> str:
    if not level.trial:
        return "trained with each to the end"
    if len(level.rates) == 1:
        return _TIMED
    return "each rate is tried for so many steps, the best on examples not trained on goes on"


def _long(rates: int) -> str:
    return "" if rates > 1 else "one rate, as many epochs as fit in"


def rung_plan(
    speed: Speed, examples: int, level: Level, folds: int, most: int, again: bool, longer: int = 1
) -> RungPlan:
    """Return what a rung does at a level, and what it would cost; arguments as of `plan`."""
    at_input = speed.share >= 1
    views = 1 if at_input else min(most, level.views)
    passes = 2 if at_input else views  # of the data through what lies below
    inside = examples * (1 - 1 / folds) if folds > 1 else examples  # what a fold trains on; of one fold, at most all
    runs = level.folds * len(level.starts) * (1 if level.trial else len(level.rates))
    judging = (level.epochs + 4) * (examples - inside) / 3  # a forward pass is a third of a step
    again = again and level.again
    told = runs * (speed.judging + level.epochs * speed.looking)
    batch = batch_of(examples, BATCH) if level.long else min(BATCH, max(4, examples // 8))
    tried = len(level.rates) * (level.trial * batch + bool(level.trial) * (examples - inside) / 3)
    training = runs * (level.epochs * inside + judging) + tried + again * level.epochs * examples
    seconds = MARGIN * (passes * examples * speed.below + training * speed.step + told)
    return RungPlan(
        name=speed.name,
        views=views,
        epochs=level.epochs,
        batch=batch,
        folds=level.folds,
        starts=level.starts,
        rates=level.rates,
        bottom=round(_least(speed) ** speed.share, 2),
        low=speed.low,
        lora=speed.lora,
        seconds=round(seconds, 1),
        reasons=_reasons(speed, examples, level, runs, again, longer),
        again=again,
        trial=level.trial,
        most=LONG[0][1] if level.trial else 0,
        judging=round(MARGIN * speed.judging, 1) if level.trial else 0.0,
    )


def _steps(most: int) -> str:
    return f"{most}, or so few that an epoch has {STEPS_OF_EPOCH} steps, {SMALL} at least: few examples want many steps"


def _least(speed: Speed) -> float:
    """Return the share of the head's rate that the lowest layer of a whole network gets."""
    return BOTTOM_OF_ATTENTION if speed.attention and not speed.lora else BOTTOM


def batch_of(examples: int, most: int) -> int:
    """Return how many examples a batch of a long training has."""
    return max(1, min(most, max(SMALL, examples // STEPS_OF_EPOCH), examples))


def new_plan(speed: Speed, examples: int, left: float) -> RungPlan:
    """Return how a network with random weights is trained: whole, from the first batch on, as long as there is time."""
    size = batch_of(examples, NEW_BATCH)
    epoch = NEW_MARGIN * examples * speed.step
    timed = NEW_MARGIN * TRIAL * size * speed.step
    trial, most = (TRIAL, NEW_EPOCHS) if left - timed >= 2 * epoch else (0, 0)
    epochs = max(1, min(NEW_EPOCHS, int((left - (timed if trial else 0.0)) / epoch)))
    why = {
        "epochs": f"as many as fit in, {NEW_EPOCHS} at most; it ends where no more held-out words are got right",
        "batch": _steps(NEW_BATCH),
        "folds": "what was watched ships",
        "starts": "random weights",
        "rates": "a small transformer's (see recipes/), warmed up over a tenth of the steps, then a cosine",
        "trial": _TIMED if trial else "no time for one",
        "most": _ANEW if most else KEPT,
        "seconds": f"measured speed, and {NEW_MARGIN - 1:.0%} more",
    }
    seconds = round(epochs * epoch + (timed if trial else 0.0), 1)
    return RungPlan(
        speed.name, 1, epochs, size, 1, STARTS[1:], (NEW_RATE,), 1.0, speed.low, 0, seconds, why, False, trial, most
    )


def pairs_plans(speed: Speed, examples: int, folds: int, again: bool) -> list[RungPlan]:
    """Return the ways to tune all layers by pairs of examples, richest first; see `pairs`."""
    size = min(BATCH, examples)
    epochs = max(1, pairs.STEPS // max(1, examples // size))
    ways = []
    for count in dict.fromkeys((folds, min(folds, 3))):
        inside = examples * (1 - 1 / folds) if folds > 1 else examples
        training = count * (epochs * inside + examples) + again * epochs * examples
        seconds = MARGIN * (examples * speed.below + training * speed.step)
        why = {
            "epochs": f"about {pairs.STEPS} steps, each on all pairs of a batch",
            "folds": f"compared on texts not trained on; {count} short trainings and a last one",
            "starts": "cosines of pairs are taught, then a head is fitted (SetFit); taken if the log loss falls",
            "seconds": f"measured speed, and {MARGIN - 1:.0%} more",
        }
        ways.append(
            RungPlan(
                speed.name,
                1,
                epochs,
                size,
                count,
                (PAIRS,),
                pairs.RATES,
                1.0,
                speed.low,
                0,
                round(seconds, 1),
                why,
                again,
            )
        )
    return ways


def _reasons(speed: Speed, examples: int, level: Level, runs: int, again: bool, longer: int) -> dict[str, str]:
    last = " and a last one" if again else ""
    less = f"the budget allows no more ({level.cut})" if level.cut else "the budget allows all that is usual"
    below = f"{1000 * speed.below:.1f} ms an example and view below the cut"
    how = "drawn anew each epoch" if speed.share >= 1 else below
    return {
        "views": f"{how}; {less}",
        "epochs": f"as many as fit in, {LONG[0][1]} at most; it ends where no more held-out words are got right"
        if level.long
        else f"about {longer * STEPS} steps in all for {examples} examples, {longer * EPOCHS[0]} to "
        f"{longer * EPOCHS[1]} epochs; {less}",
        "batch": _steps(BATCH) if level.long else f"{BATCH}, or an eighth of the examples",
        "folds": f"settings are compared on examples not trained on; {runs} short trainings{last}",
        "again": "the last one is on all examples"
        if again
        else "what was compared ships: time, or a given validation set",
        "starts": "the linear head (LP-FT), and small random weights as its rival"
        if len(level.starts) > 1
        else "the linear head (LP-FT): no time for a rival",
        "rates": "the learning rate matters most",
        "trial": _tried(level),
        "most": _ANEW if level.trial else KEPT,
        "judging": "set aside of these, to judge what comes of it" if level.trial else "in step with the rest",
        "bottom": f"{speed.share:.0%} of the network's work lies above the cut: {_least(speed):g} to that power",
        "low": f"{1000 * speed.step:.1f} ms an example and step, the faster of bfloat16 and float32 here",
        "lora": "low-rank adapters of a transformer, merged at the end" if speed.lora else "no large transformer",
        "seconds": f"measured speed, and {MARGIN - 1:.0%} more",
    }
