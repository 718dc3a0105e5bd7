"""CSV and TSV as people and programs write them: which delimiter, which quotes, with or without a header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headstart.data.encodings import decoded
from headstart.data.examples import Finding
from headstart.data.header import has_header, is_known
from headstart.data.parts import safe_name

_DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_TAB_SUFFIXES = (".tsv", ".tab", ".txt")
_SAMPLE = 64_000
_LONGEST = 2**31 - 1  # of a field, in characters: the csv module stops at 131 072 unless told otherwise
_FIELD_LINES = 1000  # a quotation mark that closes later than that was no opening one
_NEARLY_ALL = 0.9

Record = list[str]


@dataclass(frozen=True)
class Sheet:
    """A delimited file.

    Attributes:
        names: of its columns, all different; `column 1` … where there is no header.
        body: its rows, as they stand.
        how: kind, delimiter, encoding, for people.
        header: whether the first row gives the names.
        ragged: row -> its number of cells, where it has more than there are columns, and something in them.
        findings: what was repaired.
    """

    names: tuple[str, ...]
    body: list[Record]
    how: str
    header: bool
    ragged: dict[int, int]
    findings: tuple[Finding, ...]


def read_sheet(path: Path, like: Sequence[str] | None = None) -> Sheet:
    """Read a CSV or TSV file. Whatever is in it gives rows.

    Args:
        path: the file.
        like: the columns of a table beside it, empty if that has no header; None to find out by looking.

    Raises:
        OSError: it cannot be read.
    """
    text, encoding = decoded(path.read_bytes())
    nuls = text.count("\0")
    text = text.replace("\0", "")
    delimiter = _delimiter(text, "\t" if path.suffix.lower() in _TAB_SUFFIXES else ",")
    records, stray = _records(text, delimiter)
    full = [r for r in records if any(r)]
    hollow = sum(len(r) > 1 for r in records) - sum(len(r) > 1 for r in full)
    header = _headed(full, like, path.parent)
    said = [_DELIMITERS[delimiter]] * (delimiter not in ",\t") + [encoding] * bool(encoding)
    said += ["no header"] * (not header and bool(full))
    how = ("TSV" if delimiter == "\t" else "CSV") + " table" + f" ({', '.join(said)})" * bool(said)
    findings = list(_remarks(safe_name(path.name), nuls, stray, hollow))
    if header and like is None and full and not is_known(full[0]):
        reason = f"the first row is taken for the names of the columns: {', '.join(map(repr, full[0]))[:200]}"
        findings.append(Finding(safe_name(path.name), "header-assumed", "note", reason))
    return _sheet(full, header, how, tuple(findings))


def _remarks(name: str, nuls: int, stray: Sequence[int], hollow: int) -> Iterator[Finding]:
    if nuls:
        yield Finding(name, "nul", "repaired", f"{nuls} NUL characters are dropped")
    for line in stray:
        reason = "a quotation mark opens a field and does not close it; the line is read as it stands"
        yield Finding(f"{name} line {line}", "stray-quote", "repaired", reason)
    if hollow:
        yield Finding(name, "empty-rows", "note", f"{hollow} rows hold delimiters and nothing else")


def _sheet(records: Sequence[Record], header: bool, how: str, findings: tuple[Finding, ...]) -> Sheet:
    body = list(records[1:] if header else records)
    names = _names(records[0] if header and records else [""] * _width(records))
    ragged = {i: len(r) for i, r in enumerate(body) if len(r) > len(names) and any(r[len(names) :])}
    return Sheet(tuple(names), body, how, header, ragged, findings)


def _headed(records: Sequence[Record], like: Sequence[str] | None, folder: Path) -> bool:
    if like is not None and records and (not like or _names(records[0]) == list(like)):
        return bool(like)
    return has_header(records, folder)


def _names(header: Sequence[str]) -> list[str]:
    """Return column names that differ: an empty or repeated one becomes its number."""
    out: list[str] = []
    for i, name in enumerate(header):
        plain = name.strip()
        out.append(f"column {i + 1}" if not plain or plain in out else plain)
    return out


def _width(records: Sequence[Record]) -> int:
    """Return the commonest number of cells; of several such, the largest."""
    counts = Counter(map(len, records))
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _delimiter(text: str, default: str) -> str:
    """Return the delimiter that cuts the first rows most evenly into more than one field."""
    sample = text[:_SAMPLE].rpartition("\n")[0] if len(text) > _SAMPLE else text
    scores = {d: _evenness(sample, d) for d in (default, *_DELIMITERS)}
    if default == "\t" and scores["\t"][0] >= _NEARLY_ALL:  # commas are in texts, tabs are not
        return default
    return max(scores, key=lambda d: scores[d]) if any(share for share, _ in scores.values()) else default


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    widths = [len(r) for r in _records(sample, delimiter)[0] if r]
    if not widths or widths[0] < 2:
        return 0.0, 0
    return widths.count(widths[0]) / len(widths), widths[0]


def _records(text: str, delimiter: str) -> tuple[list[Record], list[int]]:
    """Return the rows, and the numbers of the lines whose quotation marks make no sense."""
    csv.field_size_limit(_LONGEST)  # of the whole process: the module has no other
    literal = list(_reader(text, delimiter, csv.QUOTE_NONE))
    if '"' not in text or not _means_quotes(literal, text, delimiter):
        return literal, []
    for escape in (None, "\\"):  # the second is how some databases write quotation marks inside a field
        try:
            return list(_reader(text, delimiter, csv.QUOTE_MINIMAL, escape)), []
        except csv.Error:
            continue
    stray: list[int] = []
    return list(_patiently(text, delimiter, stray)), stray


def _reader(text: str, delimiter: str, quoting: Literal[0, 3], escape: str | None = None) -> Iterator[Record]:
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, escapechar=escape, strict=True)


def _means_quotes(literal: Sequence[Record], text: str, delimiter: str) -> bool:
    """Whether quotation marks at the start of fields enclose them, rather than being part of a text.

    Args:
        literal: the rows with all quotation marks as they stand.
        text: the file.
        delimiter: between fields. With tabs, quotation marks are taken for text if in doubt; with others, not.
    """
    rows = [r for r in literal if r]
    if len({len(r) for r in rows}) > 1:  # fields may hold delimiters or line ends
        return delimiter != "\t" or _evener(rows, text, delimiter)
    opened = [f for r in rows for f in r if f.startswith('"')]
    if any(len(f) < 2 or not f.endswith('"') or '"' in f[1:-1].replace('""', "") for f in opened):
        return False
    needed = all('"' in f[1:-1] for f in opened)  # a program quotes what has quotation marks inside …
    return delimiter != "\t" or needed or _all_of_a_column(rows)


def _all_of_a_column(rows: Sequence[Record]) -> bool:
    """Whether some column has quotation marks nearly throughout: … or everything."""
    columns = zip(*rows[1:], strict=False)
    return any(sum(f.startswith('"') for f in column) >= _NEARLY_ALL * len(column) for column in columns)


def _evener(literal: Sequence[Record], text: str, delimiter: str) -> bool:
    """Whether rows are more alike in width when quotation marks enclose fields."""
    try:
        quoted = [r for r in _reader(text, delimiter, csv.QUOTE_MINIMAL) if r]
    except csv.Error:
        return False
    return _share_of_width(quoted) > _share_of_width(literal)


def _share_of_width(rows: Sequence[Record]) -> float:
    counts = Counter(map(len, rows))
    return max(counts.values()) / len(rows)


def _patiently(text: str, delimiter: str, stray: list[int]) -> Iterator[Record]:
    """Yield the rows of a file of which some have a stray quotation mark: these lines are read as they stand."""
    lines = list(io.StringIO(text, newline=""))
    at = 0
    while at < len(lines):
        start = at
        reader = csv.reader(lines[start : start + _FIELD_LINES], delimiter=delimiter, strict=True)
        try:
            for record in reader:
                yield record
                at = start + reader.line_num
        except csv.Error:
            if at > start:  # look again, as far ahead from here
                continue
            stray.append(at + 1)
            yield from csv.reader([lines[at]], delimiter=delimiter, quoting=csv.QUOTE_NONE)
            at += 1
