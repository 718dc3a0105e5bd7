"""Rules for texts and their translations: what is left out of training, and what is shared between the parts.

What is judged stays as it is given: in the validation and test parts the rules only note, but for pairs with an empty
side. Which of the two languages a text is in is told by the words of the data themselves; a third language in the
script of the right one is not found, nor that all pairs are the wrong way round.
"""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from headstart.data.examples import Example, Finding, Part
from headstart.data.pair_files import PARTS, Pairs, scripts_of
from headstart.data.texts import split_pair
from headstart.errors import UsageError

_NOTHING = "\u200b\u2060\ufeff"
_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\\W\u0e00-\u0eff\u1000-\u109f"
    "\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+"
)  # of scripts without spaces every character is one
_SHINGLE = 3
# Thresholds, measured on English and French of multi30k and tico19. language: in samples of 3000 pairs, of which 1% and
# 10% were turned and twice as many not translated, all of these and no others are found at 0.5, some two thirds at 1.0.
# near: at 0.7 1 of 29,000 training captions, at 0.6 11, at 0.5 52, most of which are of other pictures.
_FEW = 8


@dataclass(frozen=True)
class PairRules:
    """The rules' thresholds.

    Attributes:
        max_ratio: one side may be this many times longer, in characters, than is usual for these data.
        min_chars: shorter texts are not compared in length, script or equality: names and numbers stay as they are.
        script: of the letters at least this share is in a script of the language.
        language: a text is in the other side's language if its words are, on average, e to the power of this times
            likelier there.
        min_words: texts of fewer words are not compared in language.
        near: two sources are near copies if they share this share of their runs of three words.
    """

    max_ratio: float = 3.0
    min_chars: float = 20
    script: float = 0.5
    language: float = 0.5
    min_words: float = 4
    near: float = 0.7

    def __post_init__(self) -> None:
        least = min(self.min_chars, self.script, self.language, self.min_words)
        if not (self.max_ratio >= 1 and 0 < self.near <= 1 and least >= 0):
            hint = "max_ratio is 1 or more, near between 0 and 1, all others 0 or more."
            raise UsageError("A rule for pairs has an impossible threshold.", found=str(self), hint=hint)

    def lines(self) -> tuple[str, ...]:
        """Return the rules with their thresholds, one line each."""
        letters = f"of at least {self.min_chars:g} letters"
        return (
            "empty: a side without a visible character is left out, in every part",
            f"length-ratio: a side over {self.max_ratio:g} times longer than usual, from {self.min_chars:g} characters",
            f"same-text: source equal to target, from {self.min_chars:g} characters",
            f"wrong-script: under {self.script:.0%} {letters} are in the script of the language",
            f"wrong-language, swapped: e^{self.language:g} likelier on the other side, from {self.min_words:g} words",
            "duplicate: the same pair again; several-targets (kept): the same source, translated in another way",
            "overlap: the source is also in a later part (train, valid, test); it is left out of the earlier one",
            f"near-overlap (kept): {self.near:.0%} of the runs of {_SHINGLE} words are those of a text in a later part",
        )


@dataclass(frozen=True)
class _Row:
    """A pair as the rules see it: both texts, and their words."""

    example: Example
    texts: tuple[str, str]
    words: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def trained(self) -> bool:
        return self.example.part in ("", "train")


_Verdict = tuple[str, str]
"""Kind and reason."""


def check_pairs(pairs: Pairs, rules: PairRules | None = None) -> Pairs:
    """Apply the rules. What they see is in the findings of what is returned, each with a name and a reason.

    Args:
        pairs: as read.
        rules: other thresholds.
    """
    rules = rules or PairRules()
    rows = [_row(example) for example in pairs.examples.items]
    verdicts = enumerate(_verdicts(rows, pairs, rules))
    found = [(i, _finding(rows[i], *verdict)) for i, verdict in verdicts if verdict]
    gone = {i for i, finding in found if finding.severity == "left out"}
    for rule in (_copies, _overlaps):
        more = list(rule([i for i in range(len(rows)) if i not in gone], rows))
        found, gone = found + more, gone | {i for i, finding in more if finding.severity == "left out"}
    keep = [i for i in range(len(rows)) if i not in gone]
    found += _near(keep, rows, rules.near)
    findings = [finding for _, finding in sorted(found, key=lambda each: each[0])]
    return replace(pairs, examples=pairs.examples.only(keep, findings))


def counted(pairs: Pairs) -> dict[str, int]:
    """Return how many findings there are of each kind, the commonest first."""
    return dict(Counter(finding.kind for finding in pairs.examples.findings).most_common())


def _row(example: Example) -> _Row:
    source, target = split_pair(example.content.read())[0].strip(), str(example.target).strip()
    return _Row(example, (source, target), (_words(source), _words(target)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _finding(row: _Row, kind: str, reason: str) -> Finding:
    """Return a finding that leaves a pair out, or only notes it where it is judged."""
    out = row.trained or kind == "empty"
    bad = out and kind != "same-text"
    return Finding(row.example.name, kind, "left out" if out else "note", reason, bad)


def _verdicts(rows: Sequence[_Row], pairs: Pairs, rules: PairRules) -> Iterator[_Verdict | None]:
    """Yield for each pair the first rule that it breaks."""
    usual = _usual_ratio(rows, rules)
    scripts = (scripts_of(pairs.source), scripts_of(pairs.target))
    sides = _Sides(rows)
    for row in rows:
        first = _empty(row) or _same(row, rules) or _script(row, scripts, rules) or sides.verdict(row, rules)
        yield first or _ratio(row, usual, rules)


def _empty(row: _Row) -> _Verdict | None:
    sides = [side for side, text in zip(("source", "target"), row.texts, strict=True) if not text.strip(_NOTHING)]
    return ("empty", f"the {' and the '.join(sides)} is empty") if sides else None


def _same(row: _Row, rules: PairRules) -> _Verdict | None:
    source, target = (" ".join(text.casefold().split()) for text in row.texts)
    worded = len(source) >= rules.min_chars and any(map(str.isalpha, source))
    return ("same-text", "source and target are the same text") if source == target and worded else None


def _usual_ratio(rows: Sequence[_Row], rules: PairRules) -> float:
    """Return how many times longer targets usually are than sources; 1 where there are too few to say."""
    logs = [math.log(len(t) / len(s)) for s, t in (r.texts for r in rows if r.trained) if _long(s, t, rules)]
    return math.exp(statistics.median(logs)) if len(logs) >= _FEW else 1.0


def _long(source: str, target: str, rules: PairRules) -> bool:
    return bool(source and target) and max(len(source), len(target)) >= rules.min_chars


def _ratio(row: _Row, usual: float, rules: PairRules) -> _Verdict | None:
    source, target = row.texts
    ratio = len(target) / len(source) / usual
    if not _long(source, target, rules) or max(ratio, 1 / ratio) <= rules.max_ratio:
        return None
    said = f"source and target have {len(source)} and {len(target)} characters"
    return "length-ratio", f"{said}, {max(ratio, 1 / ratio):.1f} times off the usual ratio"


def _script(row: _Row, scripts: tuple[frozenset[str], frozenset[str]], rules: PairRules) -> _Verdict | None:
    for side, text, expected in zip(("source", "target"), row.texts, scripts, strict=True):
        found: Counter[str] = Counter()
        for character, count in Counter(text).items() if expected else ():
            found[script_of(character)] += count
        del found[""]
        total, right = sum(found.values()), sum(found[script] for script in expected)
        if total >= rules.min_chars and right < rules.script * total:
            most = found.most_common(1)[0][0].capitalize()
            return "wrong-script", f"the {side} is mostly {most}: {right} of {total} letters are in its own script"
    return None


@lru_cache(maxsize=65_536)
def script_of(character: str) -> str:
    """Return the script of a letter as its Unicode name begins, or an empty string."""
    return unicodedata.name(character, "").partition(" ")[0] if character.isalpha() else ""


class _Sides:
    """In how many training pairs each word is on either side."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._counts = tuple(Counter(w for r in rows if r.trained for w in set(r.words[s])) for s in (0, 1))
        self._logs = [math.log(n) for n in range(1, max(map(max, (c.values() or [0] for c in self._counts))) + 2)]

    def verdict(self, row: _Row, rules: PairRules) -> _Verdict | None:
        """Say which sides of a pair are in the language of the other."""
        turned = [len(row.words[s]) >= rules.min_words and self._leaning(row, s) > rules.language for s in (0, 1)]
        if all(turned):
            return "swapped", "source and target are the wrong way round"
        if any(turned):
            mine, other = ("source", "target") if turned[0] else ("target", "source")
            return "wrong-language", f"the {mine} is in the language of the {other}"
        return None

    def _leaning(self, row: _Row, side: int) -> float:
        """Return by how much, in natural logarithms, the words of one side are likelier on the other.

        A pair says nothing about itself: it is taken out of the counts first.
        """
        mine, other, words = self._counts[side], self._counts[1 - side], set(row.words[side])
        there = words & set(row.words[1 - side]) if row.trained else frozenset()
        logs = [self._logs[other[w] - (w in there)] - self._logs[mine[w] - row.trained] for w in words]
        return sum(logs) / len(logs)


def _key(row: _Row) -> str:
    return " ".join(row.texts[0].casefold().split())


def _copies(kept: Sequence[int], rows: Sequence[_Row]) -> Iterator[tuple[int, Finding]]:
    """Yield findings on pairs that come again inside of their part, and on sources that do."""
    first: dict[tuple[str, Part], int] = {}
    same: dict[tuple[tuple[str, str], Part], int] = {}
    for i in kept:
        row, part = rows[i], rows[i].example.part
        before = first.setdefault((_key(row), part), i)
        again = same.setdefault((row.texts, part), i)
        if again != i:
            yield i, replace(_finding(row, "duplicate", f"the same pair as {rows[again].example.name}"), bad=False)
        elif before != i:
            reason = f"the same source as {rows[before].example.name}, translated in another way"
            yield i, Finding(row.example.name, "several-targets", "note", reason)


def _overlaps(kept: Sequence[int], rows: Sequence[_Row]) -> Iterator[tuple[int, Finding]]:
    """Yield findings on pairs whose source is also in a later part."""
    last: dict[str, int] = {}
    for i in sorted(kept, key=lambda i: PARTS.index(rows[i].example.part), reverse=True):
        other = last.setdefault(_key(rows[i]), i)
        mine, there = rows[i].example, rows[other].example
        if mine.part != there.part:
            reason = f"its source is that of {there.name}, which is in the {there.part} part"
            yield i, Finding(mine.name, "overlap", "left out", reason)


def _near(kept: Sequence[int], rows: Sequence[_Row], least: float) -> Iterator[tuple[int, Finding]]:
    """Yield notes on pairs whose source is nearly that of one in a later part.

    Two sets of runs that share enough share one of their rarest: only those with such a run in common are compared,
    so that time grows with the texts and not with their square.
    """
    if len({rows[i].example.part for i in kept}) < 2:
        return
    runs = {i: _runs(rows[i].words[0]) for i in kept}
    often = Counter(run for each in runs.values() for run in each)
    rarest = {i: _rarest(each, often, least) for i, each in runs.items()}
    by_run: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in sorted(kept, key=lambda i: PARTS.index(rows[i].example.part), reverse=True):
        others = {j for run in rarest[i] for j in by_run[run] if rows[j].example.part != rows[i].example.part}
        share, j = max(((_share(runs[i], runs[j]), -j) for j in others), default=(0.0, 0))
        if share >= least:
            there = rows[-j].example
            reason = f"its source shares {share:.0%} of its runs with {there.name}, which is in the {there.part} part"
            yield i, Finding(rows[i].example.name, "near-overlap", "note", reason)
        if rows[i].example.part in ("valid", "test"):
            for run in rarest[i]:
                by_run[run].append(i)


def _runs(words: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    size = min(_SHINGLE, len(words))
    return frozenset(words[i : i + size] for i in range(len(words) - size + 1) if size)


def _rarest(runs: frozenset[tuple[str, ...]], often: Counter[tuple[str, ...]], least: float) -> list[tuple[str, ...]]:
    """Return so many of the rarest runs that a set which has none of them shares too few of all."""
    count = len(runs) - math.ceil(least * len(runs)) + 1
    return sorted(runs, key=lambda run: (often[run], run))[: count if runs else 0]


def _share(mine: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(mine & other) / len(mine | other)
