"""Parts: the words by which data sets name their training, validation and test examples."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial

from headstart.data.examples import Box, Example, Examples, Finding, Goal, Kind, Part, labels_of
from headstart.data.targets import aimed

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


def gathered(
    items: list[Example], findings: list[Finding], how: str, kind: Kind = "picture", goal: Goal | None = "label"
) -> Examples:
    """Make Examples of what a reader found: in order, names distinct, labels read and compared between parts.

    Raises:
        DataError: the labels cannot be read as the goal asks.
    """
    read = aimed(Examples(_in_order(_distinct_names(items)), how, tuple(findings), kind), goal)
    if read.goal == "label":
        named, changed = whole_numbers(list(read.items))
        read = replace(read, items=tuple(named), findings=(*read.findings, *changed))
    return without_unseen(read.only(range(len(read)), _unjudged(read)))


def whole_numbers(items: list[Example]) -> tuple[list[Example], list[Finding]]:
    """Read labels `1.0`, `2.0` as `1`, `2`, and say so, where all labels of the data are whole numbers.

    pandas makes such of whole numbers when a single one is missing, and then not in every file.
    """
    targets = {str(e.target) for e in items}
    changed = {t: t.partition(".")[0] for t in targets if "." in t}
    if not changed or not all(_WHOLE.match(t) for t in targets):
        return items, []
    said = ", ".join(f"{old!r} is read as {new!r}" for old, new in sorted(changed.items())[:5])
    renamed = [replace(e, target=changed.get(str(e.target), e.target)) for e in items]
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
    """Leave out valid and test examples of classes without a training example; one finding for each class.

    Of several labels an example keeps those that are known.
    """
    train = {label for e in examples.items if e.part in ("", "train") for label in labels_of(e.target)}
    unseen: defaultdict[tuple[Part, str], list[int]] = defaultdict(list)
    for i, e in enumerate(examples.items):
        for label in labels_of(e.target):
            if train and label not in train:
                unseen[e.part, label].append(i)
    if not unseen:
        return examples
    if examples.goal == "boxes":
        return replace(
            examples,
            items=tuple(map(partial(_known_boxes, train), examples.items)),
            findings=(
                *examples.findings,
                *(_unknown(part, label, len(rows)) for (part, label), rows in unseen.items()),
            ),
        )
    if examples.goal == "labels":
        items = tuple(replace(e, target=tuple(t for t in labels_of(e.target) if t in train)) for e in examples.items)
        notes = [_unknown(part, label, len(rows)) for (part, label), rows in unseen.items()]
        return replace(examples, items=items, findings=(*examples.findings, *notes))
    gone = {i for rows in unseen.values() for i in rows}
    findings = [_unseen(part, target, len(rows)) for (part, target), rows in unseen.items()]
    return examples.only((i for i in range(len(examples)) if i not in gone), findings)


def _known_boxes(known: set[str], example: Example) -> Example:
    boxes = example.target if isinstance(example.target, tuple) else ()
    return replace(example, target=tuple(b for b in boxes if isinstance(b, Box) and b.label in known))


def _unknown(part: Part, label: str, count: int) -> Finding:
    reason = f"no training example has the label; it is passed over in {count} {part} example{'s' * (count > 1)}"
    return Finding(f"{part}/{label}", "unseen-class", "repaired", reason)


def _unseen(part: Part, target: str, count: int) -> Finding:
    reason = f"the class has no training example; its {count} {part} example{'s' * (count > 1)} cannot be judged"
    return Finding(f"{part}/{target}", "unseen-class", "left out", reason)


def _unjudged(examples: Examples) -> list[Finding]:
    """Return a note for each class of the training examples that a given valid or test part lacks."""
    targets: defaultdict[Part, set[str]] = defaultdict(set)
    for e in examples.items:
        targets[e.part].update(labels_of(e.target))
    train = targets[""] | targets["train"]
    judged: tuple[Part, ...] = ("valid", "test")
    return [
        Finding(f"{part}/{target}", "class-not-judged", "note", f"no {part} example of this class was given")
        for part in judged
        if targets[part] and train
        for target in sorted(train - targets[part])
    ]
