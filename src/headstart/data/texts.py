"""Texts: where their bytes are, how they become text, and the check of one of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from headstart.data.encodings import decoded
from headstart.data.examples import Content, FileContent, Finding, Severity
from headstart.data.pictures import sniff

SEPARATOR = "\0"
"""Between the two texts of a pair."""
LONG = 1_000_000
"""Texts of more characters are pointed out."""

_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # all but NUL, white space and the line end U+0085
_LOST = "\N{REPLACEMENT CHARACTER}"
_NOTHING = re.compile("[\\s\0\u200b\u2060\ufeff]*")  # white space, and what is as invisible
_LOOKED_AT = 65_536
_NO_TEXT = 0.05  # of the characters: so many control characters no text has, and anything compressed has more
_MARKS_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TextContent:
    """An example that is a text in memory, or a pair of them, as UTF-8."""

    data: bytes

    @classmethod
    def of(cls, *texts: str) -> TextContent:
        """Return the content of one text or of a pair.

        NUL characters, which would part a pair, and lone surrogates, which UTF-8 has not, become U+FFFD.

        Raises:
            ValueError: there is no text, or there are more than two.
        """
        if not 1 <= len(texts) <= 2:
            raise ValueError(f"one text or a pair of them, not {len(texts)}")
        plain = (_NO_CHARACTER.sub(_LOST, text) for text in texts)
        return cls(SEPARATOR.join(plain).encode())

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class TextFile(FileContent):
    """A text that is a file of its own. A NUL in it is dirt, not the middle of a pair, so it is dropped."""

    def read(self) -> bytes:
        return without_nul(self.path.read_bytes())


def without_nul(data: bytes) -> bytes:
    """Drop NUL bytes, but for UTF-16, where they are halves of characters."""
    return data if data[:2] in _MARKS_16 else data.replace(b"\0", b"")


@dataclass(frozen=True)
class Text:
    """What the check of a text says.

    Attributes:
        digest: SHA-256 of the bytes, in hexadecimal; empty when they could not be read.
        characters: how many it has.
        findings: what is worth saying, in a fixed order.
        readable: whether it can be used.
    """

    digest: str
    characters: int
    findings: tuple[Finding, ...]
    readable: bool


def split_pair(data: bytes) -> tuple[str, ...]:
    """Return the one text or the two texts of an example. Never raises.

    Decoded as `decoded` does; control characters become spaces. One NUL parts a pair; several are dirt.
    """
    return _split(decoded(data)[0])


def _split(text: str) -> tuple[str, ...]:
    texts = text.split(SEPARATOR) if text.count(SEPARATOR) == 1 else [text.replace(SEPARATOR, "")]
    return tuple(_CONTROL.sub(" ", t) for t in texts)


def inspect_text(name: str, content: Content) -> Text:
    """Check one text. Its bytes are read once. Thread-safe; never raises for bad data.

    Args:
        name: how findings call it.
        content: where its bytes are.
    """
    try:
        raw = content.path.read_bytes() if isinstance(content, TextFile) else content.read()
    except OSError as error:
        return _left_out(name, "", "unreadable", f"cannot be read: {error.strerror or error}")
    data = without_nul(raw) if isinstance(content, TextFile) else raw
    digest = hashlib.sha256(data).hexdigest()
    reason = "" if isinstance(content, TextContent) else _not_text(raw)
    if reason:
        return _left_out(name, digest, "not-text", reason)
    text, encoding = decoded(data)
    if not _says_something(text):
        return _left_out(name, digest, "empty", "there is nothing but white space" if text else "the text is empty")
    dropped = (len(raw) - len(data)) or text.count(SEPARATOR) * (text.count(SEPARATOR) > 1)
    findings = [Finding(name, *remark) for remark in _remarks(text, encoding, dropped)]
    return Text(digest, len(text), tuple(findings), True)


def _left_out(name: str, digest: str, kind: str, reason: str) -> Text:
    return Text(digest, 0, (Finding(name, kind, "left out", reason, bad=True),), False)


def _says_something(text: str) -> bool:
    return not _NOTHING.fullmatch(_CONTROL.sub(" ", text))


def _not_text(data: bytes) -> str:
    """Return why the bytes of a file are no text, or an empty string."""
    head = data[:_LOOKED_AT]
    format_ = sniff(head[:64])
    text, encoding = decoded(head)
    if format_ and (encoding or SEPARATOR in text):
        return f"the content is no text but {format_}"
    nuls = text.count(SEPARATOR)
    if 0.3 * len(text) < nuls < 0.7 * len(text):
        return "half of it is NUL bytes, as in UTF-16 without a byte order mark; save it as UTF-8"
    if nuls + len(_CONTROL.findall(text)) > _NO_TEXT * len(text) + 1:  # one may be dirt, however short the text
        return "the content is binary"
    return ""


def _remarks(text: str, encoding: str, dropped: int) -> Iterator[tuple[str, Severity, str]]:
    if encoding:
        yield "encoding", "repaired", f"it is not whole UTF-8, read as {encoding}"
    if dropped:
        yield "nul", "repaired", f"{_count(dropped, 'NUL byte')} dropped"
    if controls := len(_CONTROL.findall(text)):
        yield "control-characters", "repaired", f"{_count(controls, 'control character')} read as spaces"
    if lost := text.count(_LOST):
        yield (
            "lost-characters",
            "repaired",
            f"{_count(lost, 'character')} lost: U+FFFD where something could not be decoded",
        )
    if any(not _says_something(part) for part in _split(text)):
        yield "half-empty", "note", "one text of the pair is empty"
    if len(text) > LONG:
        yield "long", "note", f"it has {len(text):,} characters; a network reads a beginning of it"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number > 1)}"
