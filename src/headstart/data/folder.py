"""Class folders: `photos/cat/1.jpg`, with or without `train/`, `val/` and `test/` above; of pictures, or of texts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.examples import Example, Examples, FileContent, Finding, Kind, Part
from headstart.data.parts import gathered, part_named, safe_name
from headstart.data.pictures import IMAGE_SUFFIXES, sniff
from headstart.data.roles import TEXT_SUFFIXES
from headstart.data.texts import TextFile
from headstart.errors import DataError

_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}
_OTHER_SUFFIXES = frozenset(
    """
    .7z .aae .arrow .avi .bak .bat .bz2 .cfg .ckpt .conf .crdownload .csv .db .doc .docx .gz .h5
    .hdf5 .htm .html .ini .ipynb .json .jsonl .lnk .log .mat .md .md5 .mkv .mov .mp3 .mp4 .ndjson
    .npy .npz .onnx .parquet .part .pdf .pkl .ppt .pptx .pt .pth .py .rar .rst .rtf .safetensors .sh
    .sha256 .sqlite .tar .text .tfrecord .tgz .tmp .toml .tsv .txt .url .wav .xls .xlsx .xml .xmp
    .xz .yaml .yml .zip
    """.split()  # noqa: SIM905 - ninety quoted strings would be harder to read
)
_NO_TEXTS = (_OTHER_SUFFIXES | IMAGE_SUFFIXES) - set(TEXT_SUFFIXES)
_LAYOUTS = "photos/CLASS/*.jpg, or photos/train/CLASS/*.jpg with val/ and test/ beside train/"


@dataclass(frozen=True)
class _Entry:
    """What a folder holds under one name."""

    name: str
    path: Path
    is_folder: bool


@dataclass
class _Walk:
    """What was met on the way. Folders are known by device and inode, so that no link leads in circles."""

    root: Path
    kind: Kind = "picture"
    items: list[Example] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def name(self, path: Path) -> str:
        return safe_name(path.relative_to(self.root).as_posix())

    def note(self, path: Path, kind: str, reason: str) -> None:
        self.findings.append(Finding(self.name(path), kind, "note", reason))

    def entries(self, folder: Path) -> list[_Entry]:
        """List a folder in an order that no file system decides; what cannot be listed becomes a finding."""
        try:
            with os.scandir(folder) as scan:
                found = [_Entry(e.name, Path(e.path), e.is_dir()) for e in scan if not _is_litter(e.name)]
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror or error}"
            self.findings.append(Finding(self.name(folder), "unreadable", "left out", reason, bad=True))
            return []
        return sorted(found, key=lambda e: os.fsencode(e.name))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def read_folder(root: Path, kind: Kind | None = None) -> Examples:
    """Read class folders.

    The folder directly above the classes is `root` or one of its `train`, `training`, `val`, `valid`,
    `validation`, `dev`, `test`, `testing`, in any case. Subfolders of a class belong to the class. Hidden
    files and what operating systems leave behind are passed over; files beside the class folders belong to
    nothing.

    Args:
        root: the folder.
        kind: what the files are; None finds out by looking: texts where there are `.txt` files and no pictures.

    Raises:
        DataError: there are no class folders, or nothing is in them.
    """
    walk, parts = _walked(root, kind or "picture")
    if kind is None and not _any_picture(walk):
        texts, its_parts = _walked(root, "text")
        if any(e.name.lower().endswith(TEXT_SUFFIXES) for e in texts.items):
            walk, parts = texts, its_parts
    if not walk.items:
        raise _nothing(walk.entries(root), walk)
    return _examples(walk, parts)


def _any_picture(walk: _Walk) -> bool:
    """Whether an example is called as pictures are, or is one; a file without a suffix can be either."""
    names = (Path(e.name).suffix.lower() for e in walk.items)
    contents = (e.content for e in walk.items)
    return any(n in IMAGE_SUFFIXES for n in names) or any(
        isinstance(c, FileContent) and _looks_like_picture(c.path) for c in contents
    )


def _walked(root: Path, kind: Kind) -> tuple[_Walk, list[tuple[_Entry, Part]]]:
    walk = _Walk(root, kind)
    folders = [e for e in walk.entries(root) if e.is_folder]
    parts = _parts(folders, walk)
    if parts:
        for entry, part in parts:
            _read_classes(walk, walk.entries(entry.path), part, [root, entry.path])
        for entry in folders:
            if all(entry is not e for e, _ in parts):
                walk.note(entry.path, "folder-ignored", "it is not train, val or test with class folders")
    else:
        _read_classes(walk, folders, "", [root])
    return walk, parts


def _parts(folders: list[_Entry], walk: _Walk) -> list[tuple[_Entry, Part]]:
    """Return the folders that are parts: those so named, unless they are classes that happen to be."""
    named = [(e, part) for e in folders if (part := part_named(e.name)) is not None]
    named = [(e, part) for e, part in named if _may_hold_classes(_Walk(walk.root), e)]
    distinct = {part for _, part in named}
    return named if "train" in distinct or len(distinct) > 1 else []


def _may_hold_classes(walk: _Walk, entry: _Entry) -> bool:
    """Whether there are folders inside; one that cannot be listed may hold some, and is named later."""
    return any(inner.is_folder for inner in walk.entries(entry.path)) or bool(walk.findings)


def _read_classes(walk: _Walk, entries: list[_Entry], part: Part, above: list[Path]) -> None:
    for entry in entries:
        if not entry.is_folder:
            continue
        before = len(walk.items)
        seen = {_identity(path) for path in above}
        for file in _files(walk, entry.path, seen):
            _read_file(walk, file, safe_name(entry.name), part)
        if len(walk.items) == before:
            walk.note(entry.path, "empty-class", "the class folder holds no examples")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _files(walk: _Walk, folder: Path, seen: set[tuple[int, int] | None]) -> Iterator[Path]:
    """Yield the files below a folder, each real folder once."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        identity = _identity(here)
        if identity in seen:
            walk.note(here, "link-loop", "a link to a folder that was read already")
            continue
        seen.add(identity)
        entries = walk.entries(here)
        yield from (e.path for e in entries if not e.is_folder)
        waiting += [e.path for e in reversed(entries) if e.is_folder]


def _read_file(walk: _Walk, file: Path, target: str, part: Part) -> None:
    of_pictures = walk.kind == "picture"
    other = "not-image" if of_pictures else "not-text"
    if _is_special(file):
        walk.note(file, other, "it is no ordinary file")
    elif of_pictures and file.suffix.lower() in _OTHER_SUFFIXES and not _looks_like_picture(file):
        walk.note(file, other, "it is no picture")
    elif not of_pictures and file.suffix.lower() in _NO_TEXTS:
        walk.note(file, other, "it is no text file")
    else:
        content = FileContent(file) if of_pictures else TextFile(file)
        walk.items.append(Example(walk.name(file), content, target, part))


def _is_special(file: Path) -> bool:
    """Whether it is a pipe, a socket or a device; what is not there the check of the pictures names."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _looks_like_picture(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            return bool(sniff(handle.read(64)))
    except OSError:
        return True


def _examples(walk: _Walk, parts: list[tuple[_Entry, Part]]) -> Examples:
    folders = ", ".join(f"{safe_name(e.name)}/" for e, _ in parts)
    what = "class folders" if walk.kind == "picture" else "class folders of texts"
    return gathered(walk.items, walk.findings, what + f" in {folders}" * bool(parts), walk.kind)


def _nothing(top: list[_Entry], walk: _Walk) -> DataError:
    names = [safe_name(e.name) + "/" * e.is_folder for e in top]
    found = f"{len(names)} entries: {', '.join(names[:5])}" if names else "an empty folder"
    pictures = sum(Path(e.name).suffix.lower() in IMAGE_SUFFIXES for e in top)
    if pictures:
        return DataError(
            f"The pictures in {safe_name(walk.root.name)} have no classes.",
            found=f"{pictures} pictures in one folder: {', '.join(names[:3])} …",
            hint=f"Sort them into a folder for each class ({_LAYOUTS}), or give a table of paths and labels.",
        )
    unreadable = [f.line() for f in walk.findings if f.bad]
    return DataError(
        f"There are no class folders with {walk.kind}s in {safe_name(walk.root.name)}.",
        found="; ".join(unreadable[:3]) or found,
        hint=f"Read are {_LAYOUTS}; a CSV, JSONL or Parquet table; a folder of the datasets library.",
    )
