"""check: what the examples are worth before anything is computed from them, each finding with its reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from headstart.data.examples import Content, Example, Examples, Finding, Kind, Part, labels_of
from headstart.data.near import near_duplicates
from headstart.data.pair_checks import PairRules, check_pairs
from headstart.data.pair_files import Pairs
from headstart.data.parts import without_unseen
from headstart.errors import DataError
from headstart.progress import Track

__all__ = [
    "Checked",
    "Inspect",
    "Inspection",
    "bad_share",
    "check",
    "inspected",
    "near_duplicates",
]

MAX_BAD_SHARE = 0.2
"""A run stops when more than this share of the files is bad: the wrong folder, not a few torn files."""
_THREADS = 8  # reading waits for the disk; hashing and looking at a header take well under a millisecond
_SHOWN = 5
_WORDS: dict[Kind, str] = {"picture": "files", "text": "texts"}
_BEFORE: dict[Part, int] = {"": 0, "train": 0, "valid": 1, "test": 2}


class Inspection(Protocol):
    """What the check of one example says: the SHA-256 of its bytes, its findings, whether it can be used."""

    @property
    def digest(self) -> str: ...
    @property
    def findings(self) -> tuple[Finding, ...]: ...
    @property
    def readable(self) -> bool: ...


Inspect = Callable[[str, Content], Inspection]
"""(name, content) -> inspection; called in threads: `pictures.inspect_picture`, `texts.inspect_text`."""


@dataclass(frozen=True)
class Checked:
    """What passed.

    Attributes:
        examples: the usable ones, with all findings.
        digests: of each of these, the SHA-256 of its bytes in hexadecimal.
    """

    examples: Examples
    digests: tuple[str, ...]

    def only(self, keep: Sequence[int], findings: Sequence[Finding] = ()) -> Checked:
        """Return the examples at these positions, with further findings added."""
        return Checked(self.examples.only(keep, findings), tuple(self.digests[i] for i in keep))


def check(examples: Examples, inspect: Inspect, progress: Track, rules: PairRules | None = None) -> Checked:
    """Inspect every example and apply the rules for copies, classes and bad files.

    Copies of one file inside a part stay, and are named. A copy that is also in a later part (train, valid,
    test) is left out of the earlier one, so that nothing is judged on what it was trained on.

    Args:
        examples: as read.
        inspect: looks at one example.
        progress: shows how far it is.
        rules: for texts with translations, other thresholds.

    Raises:
        DataError: nothing is usable, more than `MAX_BAD_SHARE` of the files are bad, or there is a single
            class.
    """
    if examples.goal == "text":
        return _pairs(examples, inspect, progress, rules)
    checked = inspected(examples, inspect, progress)
    bad_share(checked.examples)
    checked = _without_copies(checked)
    seen = without_unseen(checked.examples)
    kept = {id(e) for e in seen.items}
    digests = [d for d, e in zip(checked.digests, checked.examples.items, strict=True) if id(e) in kept]
    _several_classes(seen)
    return Checked(seen.only(range(len(seen)), _lonely(seen.items)), tuple(digests))


def _pairs(examples: Examples, inspect: Inspect, progress: Track, rules: PairRules | None) -> Checked:
    """Apply the rules for texts with translations, which have no classes."""
    found = check_pairs(Pairs(examples, *examples.languages), rules)
    checked = inspected(found.examples, inspect, progress)
    bad_share(checked.examples)
    return checked


def inspected(examples: Examples, inspect: Inspect, progress: Track) -> Checked:
    """Inspect every example in threads and keep the usable ones, in their order."""
    items = examples.items
    seen: list[Inspection] = []
    threads = min(_THREADS, (os.cpu_count() or 1) + 2)
    with progress("check", len(items)) as advance, ThreadPoolExecutor(threads) as pool:
        for inspection in pool.map(lambda e: inspect(e.name, e.content), items):
            seen.append(inspection)
            advance(1)
    findings = [finding for inspection in seen for finding in inspection.findings]
    everything = Checked(examples, tuple(inspection.digest for inspection in seen))
    return everything.only([i for i, inspection in enumerate(seen) if inspection.readable], findings)


def bad_share(examples: Examples) -> None:
    """Stop where too many files are bad to go on without the user.

    Raises:
        DataError: no example is left, or the bad ones are more than `MAX_BAD_SHARE` of all.
    """
    bad = {f.name: f.reason for f in examples.findings if f.bad}
    total = len(examples) + len(bad)
    shown = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:_SHOWN])
    if not len(examples):
        raise DataError(
            "No example can be used.",
            found=shown or "no examples",
            hint="Is this the right folder or table? `headstart check` lists every finding.",
        )
    if len(bad) > MAX_BAD_SHARE * total:
        raise DataError(
            f"{len(bad)} of {total} {_WORDS[examples.kind]} ({len(bad) / total:.0%}) cannot be used; "
            f"more than {MAX_BAD_SHARE:.0%} stop a run.",
            found=shown + " …" * (len(bad) > _SHOWN),
            hint="Remove or repair them, or check the path; `headstart check` lists all of them.",
        )


def _without_copies(checked: Checked) -> Checked:
    items = checked.examples.items
    groups: dict[str, list[int]] = {}
    for i, digest in enumerate(checked.digests):
        groups.setdefault(digest, []).append(i)
    gone: set[int] = set()
    findings: list[tuple[int, Finding]] = []
    for rows in groups.values():
        for row, finding in _copies(items, rows):
            findings.append((row, finding))
            if finding.severity == "left out":
                gone.add(row)
    keep = [i for i in range(len(items)) if i not in gone]
    return checked.only(keep, [finding for _, finding in sorted(findings, key=lambda pair: pair[0])])


def _copies(items: Sequence[Example], rows: Sequence[int]) -> Iterator[tuple[int, Finding]]:
    """Yield (position, finding) for the copies of one file."""
    last = max(_BEFORE[items[i].part] for i in rows)
    stays = next(i for i in rows if _BEFORE[items[i].part] == last)
    for i in rows:
        if i == stays:
            continue
        mine, other = items[i], items[stays]
        if mine.target != other.target:
            here, there = (str(each.target)[:80] for each in (mine, other))
            reason = f"the same as {other.name}, but labelled {here!r} here and {there!r} there"
            yield i, Finding(mine.name, "conflicting-labels", "note", reason)
        if _BEFORE[mine.part] < last:
            reason = f"the same as {other.name}, which is in the {other.part} part"
            yield i, Finding(mine.name, "duplicate-across-parts", "left out", reason)
        elif mine.target == other.target:
            reason = f"the same as {other.name}; both stay, on one side of every split"
            yield i, Finding(mine.name, "duplicate", "note", reason)


def _lonely(items: Sequence[Example]) -> list[Finding]:
    count = Counter(label for e in items for label in labels_of(e.target))
    reason = "the only example of class {!r}: what is learned of it cannot be judged"
    return [
        Finding(e.name, "single-example-class", "note", reason.format(label))
        for e in items
        for label in labels_of(e.target)
        if count[label] == 1
    ]


def _several_classes(examples: Examples) -> None:
    classes = examples.classes
    if examples.goal == "number":
        _several_numbers(examples)
    elif examples.goal == "labels" and not classes:
        raise DataError("No example has a label.", found=f"{len(examples)} examples with empty lists of labels")
    elif examples.goal == "label" and len(classes) < 2:
        raise DataError(
            "There is a single class; telling apart takes at least two.",
            found=f"{len(examples)} examples of {', '.join(map(repr, classes))}",
            hint="Give the folder that holds the class folders, or a table with another label column.",
        )


def _several_numbers(examples: Examples) -> None:
    if len({e.target for e in examples.items}) < 2:
        raise DataError(
            "All examples have the same number; there is nothing to learn.",
            found=f"{len(examples)} times {examples.items[0].target}",
            hint="Name another column with --label.",
        )
