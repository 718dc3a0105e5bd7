"""Text files of one example a line, `LABEL text`: as fastText has them, or with labels like `NUM:date`."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_FASTTEXT = "__label__"
_TWO_LEVELS = re.compile(r"[^\s:]+:[^\s:]+")
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Lines:
    """The columns of such a file.

    Attributes:
        columns: `text`; and `label`, or `coarse` and `fine` where labels have two levels.
        labels: the columns of labels, the usual one first.
        how: for people.
        several: the rows with more than one label, which have none here.
    """

    columns: dict[str, list[str]]
    labels: tuple[str, ...]
    how: str
    several: tuple[int, ...] = ()


def read_lines(text: str) -> Lines:
    """Cut every line that is not blank into its label and its text. What has no label gets an empty one."""
    lines = [line.strip() for line in io.StringIO(text) if line.strip()]
    if _is_fasttext(lines):
        return _fasttext(lines)
    halves = [line.split(None, 1) for line in lines]
    labels, texts = [h[0] for h in halves], ["".join(h[1:]) for h in halves]
    if not _has_levels(labels):
        return Lines({"text": texts, "label": labels}, ("label",), "lines of label and text")
    coarse = [label.partition(":")[0] for label in labels]
    how = "lines of label and text (labels 'coarse:fine'; the whole of them is the column 'fine')"
    return Lines({"text": texts, "coarse": coarse, "fine": labels}, ("coarse", "fine"), how)


def has_labels(text: str) -> bool:
    """Whether the lines begin with labels: few different words, which come again."""
    lines = [line.strip() for line in io.StringIO(text) if line.strip()]
    if _is_fasttext(lines):
        return True
    labels = [line.split(None, 1)[0] for line in lines]
    counts = Counter(labels)
    if _has_levels(labels):
        return True
    once = sum(count == 1 for count in counts.values())
    return 2 <= len(counts) <= max(2, len(lines) // 2) and once <= max(2, len(counts) // 4)


def _is_fasttext(lines: Sequence[str]) -> bool:
    return bool(lines) and sum(line.startswith(_FASTTEXT) for line in lines) >= _NEARLY_ALL * len(lines)


def _has_levels(labels: Sequence[str]) -> bool:
    """Whether all labels are like `NUM:date`, the first halves being fewer than the wholes."""
    if not labels or not all(map(_TWO_LEVELS.fullmatch, labels)):
        return False
    coarse = {label.partition(":")[0] for label in labels}
    return 1 < len(coarse) < len(set(labels))


def _fasttext(lines: Sequence[str]) -> Lines:
    labels, texts, several = [], [], []
    for i, line in enumerate(lines):
        words = line.split()
        mine = [word.removeprefix(_FASTTEXT) for word in words if word.startswith(_FASTTEXT)]
        if len(mine) > 1:
            several.append(i)
        labels.append(mine[0] if len(mine) == 1 else "")
        texts.append(" ".join(word for word in words if not word.startswith(_FASTTEXT)))
    return Lines({"text": texts, "label": labels}, ("label",), "fastText lines", tuple(several))
