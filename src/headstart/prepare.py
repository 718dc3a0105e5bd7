"""Before anything is trained: reading, checking, leaving out what does not decode, splitting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.aims import aim_for, goal_asked
from headstart.aims.aim import Aim, Truth
from headstart.data.check import Checked, bad_share, check
from headstart.data.examples import Content, Example, Examples, Finding, Part, plain
from headstart.data.near import NEAR, near_duplicates, threshold_for
from headstart.data.pair_checks import PairRules
from headstart.data.read import read
from headstart.errors import DataError, UsageError
from headstart.progress import Track
from headstart.stages.encode import Features, Item
from headstart.stages.split import Splits, copies, split
from headstart.store import fingerprint
from headstart.tasks import TASKS, goal_of, kind_asked, task_for
from headstart.tasks.task import Task

if TYPE_CHECKING:
    from headstart.options import Options

Floats = NDArray[np.float32]
Remark = Callable[[bytes], Iterable[tuple[str, str]]]


def gather(options: Options, track: Track) -> tuple[Task, Checked]:
    """Read and check the data, and the further test data where they are given; what they are says which task it is.

    Raises:
        UsageError, DataError: the data are not there, or cannot be learned from.
    """
    columns, kind = (options.content or None, options.label or None), kind_asked(options.task)
    asked = goal_of(options.task) or goal_asked(options.goal)
    languages = (options.source_language, options.target_language)
    examples = read(options.data, *columns, kind, asked, languages)
    if options.test:
        examples = joined(examples, read(options.test, *columns, examples.kind, examples.goal, examples.languages))
    task = task_for(options.task, examples.kind, examples.goal)
    return task, check(examples, task.inspect, track, PairRules(**dict(options.rules)))


DRAWN, MOST = 10, 20_000
"""General pairs that are learned from are drawn anew in each epoch, from so many for each of the user's own at most,
and so many in all."""
JUDGED = 300


def with_general(options: Options, checked: Checked, track: Track) -> tuple[Checked, Examples | None]:
    """Add general pairs to what is learned from, and hold some others back to be judged before and after.

    Raises:
        UsageError: they were given for examples that are no pairs.
    """
    mine = checked.examples
    if not options.keep:
        return checked, None
    if mine.goal != "text":
        raise UsageError("--keep is for translation: general pairs beside your own.", found=mine.how)
    languages, both = mine.languages, set(checked.digests)
    found = check(read(options.keep, None, None, "text", "text", languages), TASKS["translation"].inspect, track)
    new = [i for i, digest in enumerate(found.digests) if digest not in both]
    order = [new[i] for i in np.random.default_rng([options.seed, 0x6E]).permutation(len(new))]
    judged, rest = order[: min(JUDGED, len(order) // 4)], order[min(JUDGED, len(order) // 4) :]
    taken = rest[: min(MOST, DRAWN * sum(e.part in ("", "train") for e in mine.items))]  # in an order of chance
    more = [
        replace(found.examples.items[i], part="general", name=f"general: {found.examples.items[i].name}") for i in taken
    ]
    how = f"{mine.how}; kept in: {len(more)} general pairs of {found.examples.how}, in an epoch no more than others"
    joined_ = replace(mine, items=(*mine.items, *more), how=how)
    digests = (*checked.digests, *(found.digests[i] for i in taken))
    return Checked(joined_, digests), found.examples.only(sorted(judged)) if judged else None


def joined(train: Examples, test: Examples) -> Examples:
    """Put further data in the test part, under names that say so; the first data's own test part is left out."""
    kept = [e if e.part else replace(e, part="train") for e in train.items if e.part != "test"]
    further = [replace(e, part="test", name=f"test: {e.name}") for e in test.items]
    how = f"{train.how}; judged on further data: {test.how}"
    return Examples((*kept, *further), how, (*train.findings, *test.findings), train.kind, train.goal, train.languages)


def items_of(checked: Checked, size: Callable[[Content], int] = lambda _: 0) -> list[Item]:
    """Return the examples as `encode` takes them; `size` says how long each is to a network, see `Item`."""
    return [
        Item(e.name, digest, e.content, size(e.content))
        for e, digest in zip(checked.examples.items, checked.digests, strict=True)
    ]


def decodable(checked: Checked, features: Features, remark: Remark | None) -> tuple[Checked, Floats]:
    """Leave out what turned out not to decode, remark on the rest, and fetch its features."""
    items = checked.examples.items
    findings = [
        Finding(items[i].name, "undecodable", "left out", f"cannot be decoded: {why}", bad=True)
        for i, why in features.failures.items()
    ]
    findings += [] if remark is None else list(_remarked([items[i] for i in features.kept], remark))
    examples = checked.examples.only(features.kept, findings)
    bad_share(examples)
    digests = tuple(checked.digests[i] for i in features.kept)
    return Checked(examples, digests), features.space.take(digests)


def _remarked(examples: Sequence[Example], remark: Remark) -> Iterator[Finding]:
    for each in examples:
        for kind, said in remark(each.content.read()):
            yield Finding(each.name, kind, "note", said)


@dataclass(frozen=True)
class Divided:
    """The examples with the near copies found among them, what is to be said of them, how they are split, and from
    which similarity on two were taken for copies."""

    examples: Examples
    aim: Aim
    target_N: Truth
    splits: Splits
    near: float


def refusal(checked: Checked) -> DataError | None:
    """Return why the examples cannot be split, as far as that can be told without features; None where they can."""
    examples = checked.examples
    targets = [e.target for e in examples.items]
    aim = aim_for(examples.goal, targets, examples.languages)
    parts = [e.part for e in examples.items]
    try:
        split(parts, _strata(aim, aim.encode(targets), parts), copies(checked.digests, []), 0, aim.costly)
    except DataError as error:
        return error
    return None


def _strata(aim: Aim, target_N: Truth, parts: Sequence[Part]) -> NDArray[np.intp]:
    """Return the strata of the user's own examples, by which alone they are divided; 0 for general ones."""
    own = np.asarray([part != "general" for part in parts])
    stratum_N = np.zeros(len(parts), np.intp)
    stratum_N[own] = aim.strata(target_N[own])
    return stratum_N


def divide(checked: Checked, x_ND: Floats, seed: int) -> Divided:
    """Split the examples, copies kept on one side."""
    examples = checked.examples
    parts = [e.part for e in examples.items]
    least = threshold_for(x_ND, parts)
    near, findings = near_duplicates(x_ND, [e.name for e in examples.items], parts, least)
    learned = [e.target for e in examples.items if e.part in ("", "train")]
    aim = aim_for(examples.goal, learned or [e.target for e in examples.items], examples.languages)
    target_N = aim.encode([e.target for e in examples.items])
    stratum_N = _strata(aim, target_N, parts)
    general = {e.name for e in examples.items if e.part == "general"}  # that these are alike is nobody's concern
    findings = [f for f in findings if f.kind != NEAR or f.name not in general]
    found = replace(examples, findings=(*examples.findings, *findings))
    try:
        splits = split(parts, stratum_N, copies(checked.digests, near), seed, aim.costly)
    except DataError:  # look-alikes joined whole classes, or there is too little in any case, which is raised again
        splits = split(parts, stratum_N, copies(checked.digests, []), seed, aim.costly)
    return Divided(found, aim, target_N, splits, least)


def data_fingerprint(checked: Checked) -> str:
    """Return a SHA-256 over the bytes, labels and parts of all examples."""
    rows = [(plain(e.target), e.part, d) for e, d in zip(checked.examples.items, checked.digests, strict=True)]
    return fingerprint(sorted(rows, key=lambda row: (str(row[0]), *row[1:])))
