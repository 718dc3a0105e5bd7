"""Texts and their translations in aligned files, `train.en` and `train.fr`, line by line; and names of languages."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.data.encodings import decoded
from headstart.data.examples import Example, Examples, Finding, Part
from headstart.data.parts import part_named, safe_name
from headstart.data.texts import TextContent, split_pair
from headstart.errors import DataError, UsageError

_TABLE = """
af afr afrikaans LATIN; am amh amharic ETHIOPIC; ar ara arabic ARABIC; az aze azerbaijani LATIN CYRILLIC;
be bel belarusian CYRILLIC; bg bul bulgarian CYRILLIC; bn ben bengali BENGALI; bs bos bosnian LATIN CYRILLIC;
ca cat catalan LATIN; cs ces cze czech LATIN; cy cym welsh LATIN; da dan danish LATIN; de deu ger german LATIN;
el ell gre greek GREEK; en eng english LATIN; eo epo esperanto LATIN; es spa spanish LATIN; et est estonian LATIN;
eu eus basque LATIN; fa fas per pes persian farsi ARABIC; fi fin finnish LATIN; fr fra fre french LATIN;
ga gle irish LATIN; gl glg galician LATIN; gu guj gujarati GUJARATI; he heb hebrew HEBREW; hi hin hindi DEVANAGARI;
hr hrv croatian LATIN; hu hun hungarian LATIN; hy hye armenian ARMENIAN; id ind indonesian LATIN;
is isl icelandic LATIN; it ita italian LATIN; ja jpn japanese CJK HIRAGANA KATAKANA KATAKANA-HIRAGANA;
ka kat georgian GEORGIAN; kk kaz kazakh CYRILLIC LATIN; km khm khmer KHMER; kn kan kannada KANNADA;
ko kor korean HANGUL CJK; lo lao LAO; lt lit lithuanian LATIN; lv lav latvian LATIN; mk mkd macedonian CYRILLIC;
ml mal malayalam MALAYALAM; mn mon mongolian CYRILLIC MONGOLIAN; mr mar marathi DEVANAGARI; ms msa malay LATIN ARABIC;
mt mlt maltese LATIN; my mya burmese MYANMAR; nb nob LATIN; ne nep nepali DEVANAGARI; nl nld dut dutch LATIN;
nn nno LATIN; no nor norwegian LATIN; pa pan punjabi GURMUKHI ARABIC; pl pol polish LATIN; ps pus pashto ARABIC;
pt por portuguese LATIN; ro ron rum romanian LATIN CYRILLIC; ru rus russian CYRILLIC; si sin sinhala SINHALA;
sk slk slovak LATIN; sl slv slovene slovenian LATIN; sq sqi albanian LATIN; sr srp serbian CYRILLIC LATIN;
sv swe swedish LATIN; sw swa swh swahili LATIN; ta tam tamil TAMIL; te tel telugu TELUGU; th tha thai THAI;
tl tgl tagalog LATIN; tr tur turkish LATIN; uk ukr ukrainian CYRILLIC; ur urd urdu ARABIC; uz uzb uzbek LATIN CYRILLIC;
vi vie vietnamese LATIN; yo yor yoruba LATIN; zh zho chi cmn chinese CJK BOPOMOFO; zu zul zulu LATIN
"""
"""Of each language its code, its other names, and the scripts it is written in, as Unicode calls them."""
_ROWS = [row.split() for row in _TABLE.split(";")]
_CODES = {word: row[0] for row in _ROWS for word in row if word.islower()}
_SCRIPTS = {row[0]: frozenset(word for word in row if word.isupper()) for row in _ROWS}
_BESIDE = re.compile("(text|sentence|translation|string)s?|source|target|src|tgt|trg")
_REGION = re.compile(r"[a-z]{2}|(?!lang|code|name|size|rank)[a-z]{4}|\d{3}")

SIDES = ("source", "target"), ("src", "tgt"), ("src", "trg")
"""How the two sides are called where their languages are not said."""
PARTS: tuple[Part, ...] = ("", "train", "valid", "test")
_WORD = re.compile(r"[\W_]+|(?<=[a-z])(?=\d)", re.IGNORECASE)
_MORE_PARTS: dict[str, Part] = {"newstest": "test", "newsdev": "valid", "devtest": "test"}
_BEFORE_TXT = re.compile(r"(?:(?P<stem>.+)[_-])?(?P<language>[A-Za-z]+)")


@dataclass(frozen=True)
class Pairs:
    """Texts with their translations.

    Attributes:
        examples: a source text each; the target is its translation.
        source: the language of the sources as it was asked for, or its code; empty if nobody says it.
        target: that of the translations.
    """

    examples: Examples
    source: str
    target: str


def language_of(name: str) -> str:
    """Return the code of the language that a column, a suffix or a tag names (`en-US`, `eng_Latn`, `text_en`,
    `English`), or an empty string."""
    words = _words(name)
    return _CODES.get(words[0], "") if words and all(map(_REGION.fullmatch, words[1:3])) and len(words) < 4 else ""


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", name.lower()) if word and not _BESIDE.fullmatch(word)]


def scripts_of(language: str) -> frozenset[str]:
    """Return the scripts of a language as the names of Unicode characters begin; none if they are not known."""
    return _SCRIPTS.get(language_of(language), frozenset())


def is_language(name: str, asked: str) -> bool:
    """Whether a name is that of the language asked for; a region counts where both give one."""
    mine, other = _words(name), _words(asked)
    if name.strip().lower() == asked.strip().lower() or min(len(mine), len(other)) > 1:
        return mine == other
    return language_of(name) == language_of(asked) != ""


def choose(found: Sequence[str], source: str | None, target: str | None, where: str) -> tuple[str, str]:
    """Return which of the languages found, as they are written there, are the source and the target.

    Where neither is asked for, there must be two, and the first is the source. `where` says the place to people.

    Raises:
        UsageError: one that was asked for is not there.
        DataError: there are fewer than two, or more and it was not said which.
    """
    first, second = (_asked(found, language, where) for language in (source, target))
    rest = [name for name in found if name not in (first, second)]
    if first and first == second:
        raise UsageError("Source and target are the same language.", found=f"{source}, {target}")
    if len(rest) < (not first) + (not second):
        said = ", ".join(found) or "no language"
        raise DataError(f"A translation takes two languages; {where} has fewer.", found=said)
    if len(rest) > (not first) + (not second) and not (first and second):
        hint = f"Say which, as in `--from {first or rest[0]} --to {second or rest[-1]}`."
        raise DataError(f"There are several languages in {where}.", found=", ".join(found), hint=hint)
    return first or rest[0], second or rest[-1]


def _asked(found: Sequence[str], language: str | None, where: str) -> str:
    if language is None:
        return ""
    exact = [name for name in found if name.lower() == language.strip().lower()]
    for name in (*exact, *found):
        if is_language(name, language):
            return name
    raise UsageError(f"There is no {language!r} in {where}.", found=", ".join(found) or "no language")


def pair(name: str, source: str, target: str, part: Part) -> Example:
    """Return an example of a text and its translation. What the check of texts drops is dropped in both."""
    return Example(safe_name(name), TextContent.of(source), split_pair(TextContent.of(target).data)[0], part)


def gathered_pairs(items: Sequence[Example], how: str, findings: Sequence[Finding], source: str, target: str) -> Pairs:
    """Make Pairs of what a reader found, in order.

    Raises:
        DataError: it found none.
    """
    if not items:
        said = "; ".join(finding.line() for finding in findings[:3])
        raise DataError("There is no pair of texts that can be used.", found=said or how)
    ordered = tuple(sorted(items, key=lambda e: (PARTS.index(e.part), e.name)))
    return Pairs(Examples(ordered, how, tuple(findings), "text", "text", (source, target)), source, target)


def part_of(stem: str) -> Part:
    """Return the part that a file is called after (`train`, `test_2016_flickr`, `newstest2014`), or an empty string."""
    words = _WORD.split(stem.lower())
    return next((part for w in words if (part := part_named(w) or _MORE_PARTS.get(w))), "")


def aligned_files(path: Path, asked: Sequence[str | None] = ()) -> dict[str, dict[str, Path]]:
    """Return the files that are each other's translations: their name without the language -> language -> file.

    They are looked for in a folder, beside one of them, or by what their names have in common (`data/train`). Names
    of languages that are asked for count as suffixes too.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    known = frozenset((*(side for sides in SIDES for side in sides), *(a.lower() for a in asked if a)))
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        stem, language = _cut(file.name, known)
        if language and not file.name.startswith(".") and file.is_file():
            found.setdefault(stem, {}).setdefault(language, file)
    wanted = None if path.is_dir() else _cut(path.name, known)[0] if path.is_file() else path.name
    return {s: files for s, files in found.items() if len(files) > 1 and wanted in (None, s)}


def _cut(name: str, known: frozenset[str]) -> tuple[str, str]:
    """Cut `train.en.gz`, `train.en.txt`, `train_en.txt` or `en.txt` into stem and language, empty if it has none."""
    base = name.removesuffix(".gz")
    plain = base.removesuffix(".txt")
    stem, _, last = plain.rpartition(".")
    if stem and (last.lower() in known or language_of(last)):
        return stem, last
    cut = _BEFORE_TXT.fullmatch(plain) if plain != base else None
    return (cut["stem"] or "", cut["language"]) if cut and language_of(cut["language"]) else ("", "")


def read_aligned(path: Path, source: str | None = None, target: str | None = None) -> Pairs:
    """Read aligned text files, plain or gzip, one text a line.

    All that are called after the training part are read. Of several for validation or for the test the first by name
    is taken and the others are named, as scores on two test sets are not one score.

    Args:
        path: a folder of them, one of them, or what their names have in common.
        source: the language of the sources; that of the file given, or the first of two in the alphabet.
        target: the language of the translations.

    Raises:
        UsageError: a language that was asked for is not there.
        DataError: the files do not belong together or cannot be read; or there are several languages.
    """
    try:
        files = aligned_files(path, (source, target))
        mine = _cut(path.name, frozenset())[1] if path.is_file() else ""
    except OSError as error:
        raise DataError(f"{safe_name(str(path))} cannot be read.", found=str(error)) from error
    given = mine if mine and source is None and not (target and is_language(mine, target)) else source
    where = safe_name(path.name)
    first, second = choose(_languages(files, path), given, target, where)
    usable = {stem: (each[first], each[second]) for stem, each in files.items() if {first, second} <= each.keys()}
    if not usable:
        raise DataError(f"No two files in {where} are each other's translation.", found=f"{first} and {second}")
    parts, findings = _parted(usable)
    return _read_all(usable, parts, findings, (first, second), (source, target))


def _languages(files: Mapping[str, Mapping[str, Path]], path: Path) -> list[str]:
    """Return the languages in the order of the alphabet; the other way where a name says so, as `opus.fr-en.en`."""
    found = sorted({language for each in files.values() for language in each})
    names = " ".join((*files, path.name)).lower()
    turned = len(found) == 2 and re.search(rf"\b{found[1]}[-_]{found[0]}\b".lower(), names)
    return found[::-1] if turned else found


def _parted(stems: Mapping[str, object]) -> tuple[dict[str, Part], list[Finding]]:
    """Return the part of each stem that is to be read, and notes on the others."""
    named = {stem: part_of(stem) for stem in sorted(stems)}
    if len(named) == 1 or not any(named.values()):
        return dict.fromkeys(named, ""), []
    if "train" not in named.values():
        named = {stem: part or "train" for stem, part in named.items()}
    taken: dict[str, Part] = {}
    findings = []
    for stem, part in named.items():
        if part == "train" or (part and part not in taken.values()):
            taken[stem] = part
            continue
        reason = f"{part} is {next(s for s, p in taken.items() if p == part)}" if part else "not called after a part"
        findings.append(Finding(safe_name(stem), "file-ignored", "note", f"it is not read: {reason}"))
    return taken, findings


def _read_all(
    files: Mapping[str, tuple[Path, Path]],
    parts: Mapping[str, Part],
    findings: list[Finding],
    found: tuple[str, str],
    asked: tuple[str | None, str | None],
) -> Pairs:
    items: list[Example] = []
    for stem, part in parts.items():
        (sources, first), (targets, second) = map(_lines, files[stem])
        findings += [*first, *second]
        _same_length(files[stem], sources, targets)
        name, width = stem or files[stem][0].parent.name, len(str(len(sources)))
        both = enumerate(zip(sources, targets, strict=True), 1)
        items += [pair(f"{name}#{i:0{width}d}", s, t, part) for i, (s, t) in both]
    source, target = (a or language_of(f) for a, f in zip(asked, found, strict=True))
    said = ", ".join(f"{safe_name(stem)}{f' ({part})' * bool(part)}" for stem, part in parts.items())
    ignored = f"; not read: {', '.join(f.name for f in findings if f.kind == 'file-ignored')}"
    how = f"aligned text files {said}: {found[0]} to {found[1]}" + ignored * (len(parts) < len(files))
    return gathered_pairs(items, how, findings, source, target)


def _same_length(paths: tuple[Path, Path], sources: list[str], targets: list[str]) -> None:
    for longer, other in ((sources, targets), (targets, sources)):
        while len(longer) > len(other) and not longer[-1]:  # blank lines at the end translate nothing
            longer.pop()
    if len(sources) != len(targets):
        said = (f"{safe_name(p.name)} has {len(t)} lines" for p, t in zip(paths, (sources, targets), strict=True))
        hint = "Line n of the one must be the translation of line n of the other."
        raise DataError("The two files are not aligned.", found=", ".join(said), hint=hint)


def _lines(path: Path) -> tuple[list[str], list[Finding]]:
    """Return the lines, cut at line ends only: U+2028 and its like are inside of texts."""
    text, encoding = decoded(unpacked(path))
    lines = [line.strip() for line in text.replace("\0", "").split("\n")]
    if not lines[-1]:
        lines.pop()
    said = {"encoding": f"it is not whole UTF-8, read as {encoding}"} if encoding else {}
    said |= {"nul": f"{text.count(chr(0))} NUL characters are dropped"} if "\0" in text else {}
    return lines, [Finding(safe_name(path.name), kind, "repaired", reason) for kind, reason in said.items()]


def unpacked(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if it is called `.gz`.

    Raises:
        DataError: it cannot be read, or is cut off.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        hint = "Fetch it again." if path.suffix.lower() == ".gz" else ""
        raise DataError(f"{safe_name(path.name)} cannot be read.", found=str(error), hint=hint) from error
