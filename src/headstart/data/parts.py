"""Parts: the words by which data sets name their training, validation and test examples."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

from headstart.data.examples import Example, Examples, Finding, Kind, Part

_WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
_ORDER: dict[Part, int] = {"": 0, "train": 1, "valid": 2, "test": 3}
_WHOLE = re.compile(r"^[+-]?\d+(\.0*)?$")
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def part_named(word: str) -> Part | None:
    """Return the part that a folder, file or cell names, in any case; None when it names none."""
    return _WORDS.get(word.strip().lower())


def safe_name(text: str) -> str:
    """Return text that UTF-8 and a terminal can take: lone surrogates and control characters are escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").translate(_ESCAPES)


def gathered(items: list[Example], findings: list[Finding], how: str, kind: Kind = "picture") -> Examples:
    """Make Examples of what a reader found: in order, names distinct, classes compared between parts."""
    read = Examples(_in_order(_distinct_names(items)), how, tuple(findings), kind)
    return without_unseen(read.only(range(len(read)), _unjudged(read)))


def whole_numbers(items: list[Example]) -> tuple[list[Example], list[Finding]]:
    """Read labels `1.0`, `2.0` as `1`, `2`, and say so, where all labels of the data are whole numbers.

    pandas makes such of whole numbers when a single one is missing, and then not in every file.
    """
    targets = {e.target for e in items}
    changed = {t: t.partition(".")[0] for t in targets if "." in t}
    if not changed or not all(_WHOLE.match(t) for t in targets):
        return items, []
    said = ", ".join(f"{old!r} is read as {new!r}" for old, new in sorted(changed.items())[:5])
    renamed = [replace(e, target=changed.get(e.target, e.target)) for e in items]
    return renamed, [Finding("labels", "whole-numbers", "repaired", f"they are whole numbers: {said}")]


def _in_order(items: list[Example]) -> tuple[Example, ...]:
    """Sort by part, then by name."""
    return tuple(sorted(items, key=lambda e: (_ORDER[e.part], e.name)))


def _distinct_names(items: list[Example]) -> list[Example]:
    """Number the second and further examples of one name."""
    seen: Counter[str] = Counter()
    out = []
    for example in items:
        seen[example.name] += 1
        again = seen[example.name]
        out.append(example if again == 1 else replace(example, name=f"{example.name} ({again})"))
    return out


def without_unseen(examples: Examples) -> Examples:
    """Leave out valid and test examples of classes without a training example; one finding for each class."""
    train = {e.target for e in examples.items if e.part in ("", "train")}
    unseen: defaultdict[tuple[Part, str], list[int]] = defaultdict(list)
    for i, e in enumerate(examples.items):
        if train and e.target not in train:
            unseen[e.part, e.target].append(i)
    if not unseen:
        return examples
    gone = {i for rows in unseen.values() for i in rows}
    findings = [_unseen(part, target, len(rows)) for (part, target), rows in unseen.items()]
    return examples.only((i for i in range(len(examples)) if i not in gone), findings)


def _unseen(part: Part, target: str, count: int) -> Finding:
    reason = f"the class has no training example; its {count} {part} example{'s' * (count > 1)} cannot be judged"
    return Finding(f"{part}/{target}", "unseen-class", "left out", reason)


def _unjudged(examples: Examples) -> list[Finding]:
    """Return a note for each class of the training examples that a given valid or test part lacks."""
    targets: defaultdict[Part, set[str]] = defaultdict(set)
    for e in examples.items:
        targets[e.part].add(e.target)
    train = targets[""] | targets["train"]
    judged: tuple[Part, ...] = ("valid", "test")
    return [
        Finding(f"{part}/{target}", "class-not-judged", "note", f"no {part} example of this class was given")
        for part in judged
        if targets[part] and train
        for target in sorted(train - targets[part])
    ]
