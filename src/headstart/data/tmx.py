"""Translation memories and bilingual files: TMX, XLIFF 1.2 and 2. `defusedxml` is imported here alone."""

# Not translate-toolkit: it gives the code in inline tags as text, and another language where the one asked for is not
# there; it is under the GPL. defusedxml is the standard library's parser that refuses entities.

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.examples import Example, Finding, Part
from headstart.data.pair_files import Pairs, choose, gathered_pairs, is_language, language_of, pair, unpacked
from headstart.data.parts import safe_name
from headstart.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

SUFFIXES = (".tmx", ".xlf", ".xliff")
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_AROUND_TEXT = frozenset(("hi", "g", "mrk", "pc"))
"""Inline elements whose content is text; that of all others is code, or nothing."""
_UNITS = frozenset(("tu", "trans-unit", "unit"))
_UNDONE = frozenset(("new", "needs-translation", "initial"))
_SPACE = re.compile(r"[ \t\r\n]+")  # not the narrow spaces of French


@dataclass(frozen=True)
class Unit:
    """A unit of a file.

    Attributes:
        name: its number in the file, and its identifier where it has one.
        texts: (language as it is written, empty if it is not said; text) of each.
        tags: how many inline tags were dropped.
        undone: whether it is marked as not yet translated.
    """

    name: str
    texts: tuple[tuple[str, str], ...]
    tags: int = 0
    undone: bool = False


@dataclass(frozen=True)
class Memory:
    """A file of units.

    Attributes:
        units: in the order of the file.
        source: the language that a TMX file or its first unit says is that of the sources; `*all*` if any is.
        how: format and version, for people.
    """

    units: tuple[Unit, ...]
    source: str
    how: str


def is_memory(path: Path) -> bool:
    """Whether a file is called as these are, or as they are when packed by gzip."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_memory(path: Path, source: str | None = None, target: str | None = None, part: Part = "") -> Pairs:
    """Read a TMX or XLIFF file, plain or gzip.

    Inline tags are dropped and counted, the text around and between them is kept. A unit that lacks one of the two
    languages is left out and named.

    Args:
        path: the file.
        source: the language of the sources; where it is left out the one that the file says.
        target: that of the translations; where it is left out the only other one.
        part: of the examples.

    Raises:
        UsageError: a language that was asked for is not there.
        DataError: the file is damaged, is no such file, declares entities; or it has several languages.
    """
    memory = parsed(path, (source or "source", target or "target"))
    name = safe_name(path.name)
    first, second = _languages(memory, source, target, name)
    items: list[Example] = []
    findings: list[Finding] = []
    for unit in memory.units:
        found = _paired(unit, first, second, part, name)
        if isinstance(found, Example):
            items.append(found)
        else:
            findings.append(found)
    findings += _dropped(memory.units, name)
    how = f"{memory.how} {name}: {first} to {second}"
    return gathered_pairs(items, how, findings, source or language_of(first), target or language_of(second))


def _languages(memory: Memory, source: str | None, target: str | None, name: str) -> tuple[str, str]:
    """Return the two languages as the file writes them, that of the sources first."""
    asked = [language.strip().lower() for language in (source, target) if language]
    found = list(dict.fromkeys(language for unit in memory.units for language, _ in unit.texts if language))
    found.sort(key=lambda tag: (tag.lower() not in asked, not is_language(tag, memory.source)))
    declared = next((tag for tag in found if is_language(tag, memory.source)), None)
    if source is None and declared and not (target and is_language(declared, target)):
        source = declared
    variants: dict[str, str] = {}  # en-US and EN are one language, unless there is no other
    for tag in found:
        variants.setdefault(language_of(tag) or tag.lower(), tag)
    several = len(variants) > 1 and len(asked) < 2
    return choose(list(variants.values()) if several else found, source, target, name)


def _paired(unit: Unit, first: str, second: str, part: Part, file: str) -> Example | Finding:
    name = f"{file}#{unit.name}"
    sides = [_side(unit, language) for language in (first, second)]
    missing = [language for language, side in zip((first, second), sides, strict=True) if side is None]
    if missing:
        silent = "; a text does not say its language" * any(not language for language, _ in unit.texts)
        reason = f"it has no text in {' nor in '.join(missing)}{silent}"
        return Finding(safe_name(name), "no-language" if silent else "one-sided", "left out", reason)
    if unit.undone:
        return Finding(safe_name(name), "untranslated", "left out", "it is marked as not yet translated")
    return pair(name, sides[0] or "", sides[1] or "", part)


def _side(unit: Unit, language: str) -> str | None:
    """Return the text in just that language, or else in its nearest variant."""
    exact = (text for tag, text in unit.texts if tag == language)
    return next(exact, next((text for tag, text in unit.texts if tag and is_language(tag, language)), None))


def _dropped(units: Sequence[Unit], name: str) -> Iterator[Finding]:
    tags, count = sum(unit.tags for unit in units), sum(unit.tags > 0 for unit in units)
    if tags:
        reason = f"{tags} inline tags are dropped from {count} units; the text around them is kept"
        yield Finding(name, "inline-tags", "repaired", reason)


def parsed(path: Path, sides: tuple[str, str] = ("source", "target")) -> Memory:
    """Return the units of a file.

    Args:
        path: the file.
        sides: the languages of an XLIFF file that does not say them.

    Raises:
        DataError: it is damaged, is neither TMX nor XLIFF, declares entities; or defusedxml is not installed.
    """
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import iterparse
    except ImportError as error:
        hint = 'pip install "headstart[tmx]"'
        raise DataError("Reading TMX and XLIFF needs defusedxml, which is not installed.", hint=hint) from error
    what = safe_name(path.name)
    try:
        return _memory(iterparse(io.BytesIO(unpacked(path)), ["start", "end"]), what, sides)
    except DefusedXmlException as error:
        hint = "Entities can grow without end, or name other files; write their text in their place."
        raise DataError(f"{what} declares entities of its own.", found=str(error), hint=hint) from error
    except (SyntaxError, ValueError, LookupError) as error:  # ParseError is a SyntaxError
        raise DataError(f"{what} is no whole XML file.", found=str(error)[:200], hint="Fetch it again.") from error


def _memory(events: Iterator[tuple[str, Element]], what: str, sides: tuple[str, str]) -> Memory:
    """Go through a file; what has been read is let go of at once."""
    above: list[Element] = []
    units: list[Unit] = []
    source = how = ""
    for event, element in events:
        kind = _local(element)
        if event == "start":
            how = how or _how(element, what)
            if kind == "header":
                source = element.get("srclang", "")
            elif kind in ("file", "xliff"):
                sides = _declared(element, sides)
            above.append(element)
            continue
        above.pop()
        if kind in _UNITS and above:
            units += _of_unit(element, kind, sides)
            above[-1].remove(element)
    width = len(str(len(units)))
    numbered = (replace(u, name=f"{i:0{width}d}{' ' * bool(u.name)}{u.name}") for i, u in enumerate(units, 1))
    return Memory(tuple(numbered), source or sides[0], how)


def _how(root: Element, what: str) -> str:
    kinds = {"tmx": "TMX", "xliff": "XLIFF"}
    if _local(root) not in kinds:
        hint = "Read are TMX, and XLIFF 1.2 and 2."
        raise DataError(f"{what} is no translation memory.", found=f"<{safe_name(_local(root))}>", hint=hint)
    return f"{kinds[_local(root)]} {safe_name(root.get('version', ''))}".strip()


def _declared(element: Element, before: tuple[str, str]) -> tuple[str, str]:
    source = element.get("srcLang") or element.get("source-language") or before[0]
    return source, element.get("trgLang") or element.get("target-language") or before[1]


def _of_unit(element: Element, kind: str, sides: tuple[str, str]) -> Iterator[Unit]:
    """Yield the unit of TMX and of XLIFF 1.2, and the segments of that of XLIFF 2."""
    name = element.get("tuid") or element.get("id") or ""
    if kind == "tu":
        each = [(variant, _child(variant, "seg")) for variant in element if _local(variant) == "tuv"]
        yield _unit(name, [(v.get(_LANGUAGE) or v.get("lang") or "", seg) for v, seg in each])
        return
    for holder in [element] if kind == "trans-unit" else [s for s in element if _local(s) == "segment"]:
        texts = [(language, _child(holder, side)) for language, side in zip(sides, ("source", "target"), strict=True)]
        state = holder.get("state") or ("" if texts[1][1] is None else texts[1][1].get("state", ""))
        yield replace(_unit(name, texts), undone=state in _UNDONE)


def _child(element: Element, kind: str) -> Element | None:
    return next((child for child in element if _local(child) == kind), None)


def _unit(name: str, texts: Sequence[tuple[str, Element | None]]) -> Unit:
    read = [(language.strip(), *_text(segment)) for language, segment in texts if segment is not None]
    return Unit(name, tuple((language, text) for language, text, _ in read), sum(tags for *_, tags in read))


def _text(segment: Element) -> tuple[str, int]:
    """Return the text of a segment and the number of tags in it."""
    out, tags = [segment.text or ""], 0
    ahead: list[Element | str] = [*reversed(segment)]
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            out.append(item)
            continue
        tags += 1
        ahead.append(item.tail or "")
        if _local(item) in _AROUND_TEXT:
            ahead += [*reversed(item), item.text or ""]
    return _SPACE.sub(" ", "".join(out)).strip(), tags


def _local(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
