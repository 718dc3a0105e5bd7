"""The files below a folder, looked up by the names that annotations give them. Nothing outside is ever found."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.examples import Finding, Part
from headstart.data.parts import part_named, safe_name
from headstart.data.pictures import IMAGE_SUFFIXES

_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}
_WORDS = re.compile(r"[a-z]+")
_SHOWN = 3
_DRIVE = re.compile(r"^[A-Za-z]:/")


def part_in(name: str) -> Part:
    """Return the part that a name speaks of, as `instances_train2017` does; empty where it speaks of none or two."""
    found = {part for word in _WORDS.findall(name.lower()) if (part := part_named(word))}
    return found.pop() if len(found) == 1 else ""


def part_of_path(path: str) -> Part:
    """Return the part that one of the folders of a relative path is called after."""
    return next((part for word in path.split("/")[:-1] if (part := part_in(word))), "")


def is_picture_name(name: str) -> bool:
    """Whether a file is called as pictures are."""
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class Files:
    """Files below a folder.

    Attributes:
        root: the folder.
        by_path: the path relative to it, with slashes -> the path.
        by_name: a file's name in small letters -> its relative paths.
        folders: the names of the folders, in small letters.
        findings: folders that could not be read.
    """

    root: Path
    by_path: Mapping[str, Path]
    by_name: Mapping[str, Sequence[str]]
    folders: frozenset[str]
    findings: tuple[Finding, ...] = ()

    def pictures(self) -> list[str]:
        """Return the relative paths of what is called as pictures are, in order."""
        return [path for path in self.by_path if is_picture_name(path)]


def files_below(root: Path) -> Files:
    """List a folder with all that is below it, each real folder once; hidden files are passed over."""
    by_path: dict[str, Path] = {}
    by_name: dict[str, list[str]] = {}
    findings: list[Finding] = []
    for relative, path in sorted(_walk(root, findings)):
        by_path[relative] = path
        by_name.setdefault(posixpath.basename(relative).lower(), []).append(relative)
    folders = frozenset(word.lower() for folder in set(map(posixpath.dirname, by_path)) for word in folder.split("/"))
    return Files(root, by_path, by_name, folders, tuple(findings))


def _walk(root: Path, findings: list[Finding]) -> Iterator[tuple[str, Path]]:
    waiting, seen = [(root, "")], set()
    while waiting:
        folder, above = waiting.pop()
        try:
            found = folder.stat()
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted((e for e in scan if not _is_litter(e.name)), key=lambda e: os.fsencode(e.name))
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror or error}"
            findings.append(Finding(safe_name(above or root.name), "unreadable", "left out", reason, bad=True))
            continue
        for entry in entries:
            if entry.is_dir():
                waiting.append((Path(entry.path), f"{above}{entry.name}/"))
            else:
                yield above + entry.name, Path(entry.path)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


@dataclass
class Finder:
    """Finds what annotations name.

    It is looked for below `near` first, then anywhere: what ends as it is written, in a folder of the same part where
    there are several; last, by its bare name, where that is there once. Where one was found, the next is looked for
    first, so that a lookup costs the same however many files there are.

    Args:
        files: the files.
        near: folders that names are likely relative to, as paths relative to the root; empty for the root.
        part: which part the annotations are of.
    """

    files: Files
    near: Sequence[str] = ("",)
    part: Part = ""
    _learned: list[str] = field(default_factory=list)

    def find(self, written: str) -> str | None:
        """Return the relative path of a file, None where it is not there or not told from others."""
        for text in dict.fromkeys((written.strip(), _with_slashes(written))):
            for folder in (*self.near, *self._learned):
                path = posixpath.normpath(posixpath.join(folder, self._relative(text)))
                if path in self.files.by_path:
                    return path
        return self._elsewhere(posixpath.normpath(_with_slashes(written)))

    def outside(self, written: str) -> bool:
        """Whether a name leads out of the folder, wherever it begins."""
        text = self._relative(_with_slashes(written))
        paths = (posixpath.normpath(posixpath.join(folder, text)) for folder in self.near)
        return all(path.startswith(("../", "/")) or path == ".." or _DRIVE.match(path) for path in paths)

    def lost(self, written: str, name: str = "") -> Finding:
        """Return the finding for a picture that was not found."""
        shown = safe_name(name or written)
        if self.outside(written):
            reason = f"{safe_name(written)!r} leads out of the data's folder; nothing there is read"
            return Finding(shown, "path-outside", "left out", reason, bad=True)
        several = self.files.by_name.get(posixpath.basename(_with_slashes(written)).lower(), ())
        reason = f"{len(several)} files are called so" if len(several) > 1 else "there is no such picture"
        return Finding(shown, "missing", "left out", reason, bad=True)

    def _relative(self, text: str) -> str:
        """Cut off the root, of a path that is given from the top."""
        root = self.files.root.absolute().as_posix().rstrip("/") + "/"
        return text.removeprefix(root)

    def _elsewhere(self, text: str) -> str | None:
        if text.startswith("../"):
            return None
        alike = self.files.by_name.get(posixpath.basename(text).lower(), ())
        ending = [path for path in alike if f"/{path}".lower().endswith(f"/{text}".lower())]
        found = self._only(ending) or (alike[0] if len(alike) == 1 and self._is_foreign(text) else None)
        if found and found.endswith(f"/{text}") and part_of_path(found) == self.part:
            self._learned.append(found.removesuffix(text))
        return found

    def _is_foreign(self, text: str) -> bool:
        """Whether a path is one of another computer, or its folder is none of these: its name alone counts then."""
        folder = posixpath.basename(posixpath.dirname(text))
        return text.startswith("/") or bool(_DRIVE.match(text)) or folder.lower() not in self.files.folders

    def _only(self, paths: Sequence[str]) -> str | None:
        mine = [path for path in paths if part_of_path(path) == self.part] if len(paths) > 1 else paths
        return mine[0] if len(mine) == 1 else None


def _with_slashes(text: str) -> str:
    return text.strip().replace("\\", "/")


def unlisted(paths: Sequence[str], kind: str, reason: str) -> list[Finding]:
    """Return the one finding for pictures of which nothing is said; none where there are none."""
    if not paths:
        return []
    shown = ", ".join(map(safe_name, paths[:_SHOWN])) + " …" * (len(paths) > _SHOWN)
    return [Finding(shown, kind, "left out", f"{len(paths)} picture{'s' * (len(paths) > 1)}: {reason}")]
