"""Which columns of a table are the texts, found by their names or by looking at what is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.data.columns import Columns, rank, some
from headstart.errors import DataError

TEXT_NAMES = (
    "text",
    "sentence",
    "review",
    "content",
    "question",
    "query",
    "utterance",
    "document",
    "comment",
    "tweet",
    "body",
    "message",
    "article",
    "abstract",
    "description",
    "post",
    "review_text",
    "reviewtext",
    "review_body",
    "comment_text",
    "sms",
    "clean_text",
    "headline",
    "title",
)
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("sentence_a", "sentence_b"),
    ("sentence_1", "sentence_2"),
)
ID_NAMES = ("id", "idx", "index", "guid", "uuid", "key", "row", "row_id", "text_id", "sentence_id")
_FEW = 0.2
_UNNAMED = re.compile(r"unnamed: ?\d+(_level_\d+)?|column \d+|level_\d+|__index_level_\d+__", re.IGNORECASE)
_WHOLE = re.compile(r"-?\d{1,18}")
_TOKEN = re.compile(r"[\x21-\x7e]*")  # one word of ASCII: a number, an identifier, an address


def text_columns(columns: Columns) -> tuple[str, ...]:
    """Return the column of the texts, or the two of a pair.

    A known pair of names comes first, then a known name, then the column with the longest and most distinct values,
    of those in which more than a few are several words.

    Args:
        columns: the table, without the columns of labels and parts as far as these are known.

    Raises:
        DataError: no column holds texts.
    """
    plain = {name.strip().lower(): name for name in columns}
    for first, second in PAIRS:
        if first in plain and second in plain:
            return plain[first], plain[second]
    free = {name: some(values) for name, values in columns.items() if not is_index(name, values)}
    worded = {name: values for name, values in free.items() if values and not all(map(is_number, values))}
    by_name = [name for name in worded if rank(name, TEXT_NAMES) < len(TEXT_NAMES)]
    if by_name:
        return (min(by_name, key=lambda name: rank(name, TEXT_NAMES)),)
    prose = [name for name, values in worded.items() if is_prose(values)]
    if prose:
        return (max(prose, key=lambda name: _weight(worded[name])),)
    raise DataError(
        "No column of the table holds texts.",
        found=f"columns {', '.join(columns)}; first row {', '.join(v[0] for v in columns.values() if v)!r}"[:400],
        hint="Name the column of the content in the call; of a pair both, as in `premise,hypothesis`.",
    )


def holds_texts(columns: Columns) -> bool:
    """Whether there is a column called as texts are, or one in which more than a few values are several words."""
    return any(rank(name, TEXT_NAMES) < len(TEXT_NAMES) or is_prose(some(v)) for name, v in columns.items())


def is_index(name: str, values: Sequence[str]) -> bool:
    """Whether a column only numbers the rows, as the index that pandas writes: neither text nor label."""
    if not values or not all(map(_WHOLE.fullmatch, values)) or len(set(values)) < len(values):
        return False
    if _UNNAMED.fullmatch(name.strip()) or name.strip().lower() in ID_NAMES:
        return True
    start = int(values[0])
    return len(values) > 2 and all(int(v) == start + i for i, v in enumerate(values))


def is_prose(values: Sequence[str]) -> bool:
    """Whether more than a few values are several words, or in a script that has no spaces."""
    return sum(_TOKEN.fullmatch(v) is None for v in values) > _FEW * len(values)


def _weight(values: Sequence[str]) -> float:
    """Return the mean length of the values times the share of distinct ones."""
    return sum(map(len, values)) * len(set(values)) / len(values) ** 2


def is_number(value: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True
