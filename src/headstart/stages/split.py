"""split: which examples choose, which are judged, and which folds take turns.

Copies of one picture are one unit and never lie on both sides of a split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from headstart.data.examples import Part
from headstart.errors import DataError

Index = NDArray[np.intp]

FOLDS = 5
HOLD_OUT_FROM = 2000
"""From so many examples on, a fifth is held out for the final judgement; below, every example is needed twice."""
HOLD_OUT_SHARE = 0.2
REPEAT_BELOW = 1000
REPEATS = 3
SHARE = 1.0
"""Of general examples as many are learned from as there are others; Chu et al. 2017 (mixed fine-tuning) repeat the
smaller set until both are alike."""
_ONCE = "were judged once, at the end"
_CROSSED = "choices were made by cross-validation inside"
_BBC = "by cross-validation corrected for having chosen the best setting (BBC-CV)"


@dataclass(frozen=True)
class Splits:
    """Positions into the examples.

    Attributes:
        train: what heads are fitted on, in the end.
        judged: the held-out test, looked at once; empty when the judgement is made by cross-validation.
        folds: (fit, held) pairs, all inside `train`; choices are made on the held examples.
        unit: for every example the number of the unit (a picture with its copies) that it belongs to.
        given_valid: how many of `train` were given as a validation set.
        how: for the report, how choices were made and what was judged.
        general: those of `train`, and of each fold's `fit`, that are general: as many as there are others.
        spare: further general examples, which stand in for them, others in each epoch: see `Batches`.
    """

    train: Index
    judged: Index
    folds: tuple[tuple[Index, Index], ...]
    unit: Index
    given_valid: int
    how: str
    general: Index = field(default_factory=lambda: np.empty(0, np.intp))
    spare: Index = field(default_factory=lambda: np.empty(0, np.intp))

    @property
    def used(self) -> Index:
        """All that may be trained on, and what is chosen by."""
        return np.union1d(self.train, self.spare)


def units(count: int, pairs: Iterable[tuple[int, int]]) -> Index:
    """Number the units that pairs of copies make of `count` examples."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        a, b = sorted((root(a), root(b)))
        parent[b] = a
    return np.unique([root(i) for i in range(count)], return_inverse=True)[1].astype(np.intp)


def copies(digests: Sequence[str], near: Iterable[tuple[int, int]]) -> Index:
    """Number the units that equal bytes and pairs of near copies make."""
    first: dict[str, int] = {}
    same = [(first.setdefault(digest, i), i) for i, digest in enumerate(digests)]
    return units(len(digests), [*same, *near])


def split(parts: list[Part], target: Index, unit: Index, seed: int, costly: bool = False) -> Splits:
    """Divide the examples. General ones are only learned from: as many as there are others, the first of them.

    Args:
        parts: the part each example was given in.
        target: class indices.
        unit: unit numbers, from `units`.
        seed: fixes what is drawn.
        costly: whether training takes so long that there is one fold, and a fifth is always held out for the end.

    Raises:
        DataError: a class has too little to learn from.
    """
    made = _split(parts, target, unit, seed, costly)
    general = np.asarray([i for i, part in enumerate(parts) if part == "general"], np.intp)
    if not len(general):
        return made
    told = np.concatenate([made.judged, *(held for _, held in made.folds)])
    general = general[~np.isin(unit[general], unit[told])]
    kept = general[: round(SHARE * min(len(fit) for fit, _ in made.folds))]
    folds = tuple((np.union1d(fit, kept), held) for fit, held in made.folds)
    return replace(
        made, train=np.union1d(made.train, kept), folds=folds, general=kept, spare=np.setdiff1d(general, kept)
    )


def _split(parts: list[Part], target: Index, unit: Index, seed: int, costly: bool) -> Splits:
    """Divide all but general examples."""
    folded = one_fold if costly else cross_validation
    at = {p: np.asarray([i for i, q in enumerate(parts) if q == p], np.intp) for p in ("", "train", "valid", "test")}
    train = np.sort(np.concatenate([at[""], at["train"]]))
    valid, test = at["valid"], at["test"]
    if not len(train):
        raise DataError(
            "There is nothing to train on.",
            found=f"{len(valid)} validation and {len(test)} test examples",
            hint="Put labelled examples into train/.",
        )
    if len(valid) and len(test):
        how = f"choices were made on the {len(valid)} validation examples; the {len(test)} test examples " + _ONCE
        both = np.sort(np.concatenate([train, valid]))
        return Splits(both, test, ((train, valid),), unit, len(valid), how)
    if len(valid) or len(test):
        judged, name = (test, "test") if len(test) else (valid, "validation")
        folds = folded(train, target, unit, seed)
        how = f"{_where(folds)} the {len(train)} training examples; the {len(judged)} {name} examples {_ONCE}"
        return Splits(train, judged, folds, unit, 0, how)
    if costly or len(train) >= HOLD_OUT_FROM:
        judged, rest = _held_out(train, target, unit, seed)
        folds = folded(rest, target, unit, seed)
        how = f"{_where(folds)} {len(rest)} examples; the {len(judged)} others, drawn at the start, {_ONCE}"
        return Splits(rest, judged, folds, unit, 0, how)
    folds = cross_validation(train, target, unit, seed)
    how = f"each of the {len(train)} examples was judged by heads that had not seen it, {_BBC}"
    return Splits(train, np.empty(0, np.intp), folds, unit, 0, how)


def _where(folds: Sequence[tuple[Index, Index]]) -> str:
    return _CROSSED if len(folds) > 1 else f"choices were made on {len(folds[0][1])} of"


def one_fold(train: Index, target: Index, unit: Index, seed: int) -> tuple[tuple[Index, Index], ...]:
    """Return the first fold of a cross-validation.

    Raises:
        DataError: as `cross_validation`.
    """
    return cross_validation(train, target, unit, seed)[:1]


def cross_validation(train: Index, target: Index, unit: Index, seed: int) -> tuple[tuple[Index, Index], ...]:
    """Return repeated stratified folds over whole units.

    Three repeats of five folds below 1000 examples, one above; fewer folds only where no class has five units. A class
    of fewer units is held in some folds and fitted in all; one with a single unit is never held.

    Raises:
        DataError: fewer than two classes have two units.
    """
    dealt = Counter(_labels(_members(train, unit), target[train]).values())
    sizes = sorted(dealt[int(k)] for k in np.unique(target[train]))
    several = [s for s in sizes if s > 1]
    if len(several) < 2:
        raise DataError(
            "Too few examples: at least two classes need two different examples each.",
            found=f"classes with {', '.join(map(str, sizes))} different example(s)",
            hint="Add examples; copies of one example count once.",
        )
    folds = min(FOLDS, several[-1])
    repeats = REPEATS if len(train) < REPEAT_BELOW else 1
    out = []
    for repeat in range(repeats):
        fold = deal(train, target, unit, folds, np.random.default_rng([seed, 0xF01D, repeat]))
        out += [(train[fold != f], train[fold == f]) for f in range(folds)]
    return tuple(out)


def deal(train: Index, target: Index, unit: Index, folds: int, rng: np.random.Generator) -> Index:
    """Deal units to folds, large ones first, each to the fold that has least of its class.

    Returns the fold of each example, -1 for the only unit of a class.
    """
    members = _members(train, unit)
    order = [list(members)[j] for j in rng.permutation(len(members))]
    order.sort(key=lambda u: -len(members[u]))
    label = _labels(members, target[train])
    many = Counter(label.values())
    held = np.zeros((folds, int(target.max()) + 1), np.intp)
    fold = np.full(len(train), -1, np.intp)
    for u in order:
        k = label[u]
        if many[k] == 1:
            continue
        f = min(range(folds), key=lambda f: (held[f, k], held[f].sum(), f))
        held[f, k] += len(members[u])
        fold[members[u]] = f
    return fold


def _members(train: Index, unit: Index) -> dict[int, list[int]]:
    """Return the positions in `train` of each unit's examples."""
    members: dict[int, list[int]] = {}
    for position, i in enumerate(train):
        members.setdefault(int(unit[i]), []).append(position)
    return members


def _labels(members: dict[int, list[int]], target: Index) -> dict[int, int]:
    """Return the class that each unit counts for: the commonest, of copies that were labelled differently."""
    return {u: int(np.bincount(target[positions]).argmax()) for u, positions in members.items()}


def _held_out(train: Index, target: Index, unit: Index, seed: int) -> tuple[Index, Index]:
    rng = np.random.default_rng([seed, 0x7E57])
    fold = deal(train, target, unit, round(1 / HOLD_OUT_SHARE), rng)
    return train[fold == 0], train[fold != 0]
