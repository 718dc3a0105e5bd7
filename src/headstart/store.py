"""Writing that survives a kill: whole files or none. Everything headstart saves goes through here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.errors import DiskFullError, HeadstartError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SPACE = 1 << 16
"""A disk with fewer bytes than this left is full."""


def fingerprint(*parts: object) -> str:
    """Return a SHA-256 over parts, each length-prefixed so that ("ab", "c") differs from ("a", "bc").

    Bytes go in as they are, everything else as its canonical JSON.

    Raises:
        TypeError: a part is neither; nothing is taken by how it prints, for prints leave things out.
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, force it to disk, and rename it into place.

    After a kill at any moment `path` holds the old content or the new one, never a part. A failed write
    removes its temporary file.

    Raises:
        DiskFullError: no space was left.
        StoreError: the folder cannot be written to.
    """
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with _telling(path):
            write(temporary)
            _sync(temporary)
            temporary.chmod(0o644)  # mkstemp makes files that only their owner reads
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder beside `path`, force it to disk, and put it in the place of `path`.

    What stood at `path` is moved aside first and removed last; a kill leaves the old folder, the new one, or (between
    two renames) the old one under a name that ends in `.old`, from which the next call brings it back. A failed write
    leaves the old folder where it was.

    Raises:
        DiskFullError, StoreError: as `write_atomically`.
    """
    with _telling(path):
        recover_folder(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        with _telling(path):
            write(temporary)
            _settle(temporary)
            if path.exists():
                shutil.rmtree(_aside(path), ignore_errors=True)
                path.rename(_aside(path))
            temporary.rename(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        recover_folder(path)
        shutil.rmtree(_aside(path), ignore_errors=True)


def _settle(folder: Path) -> None:
    """Let everyone read a folder (mkdtemp and safetensors make what only the owner reads), and force it to disk."""
    for file in (*folder.rglob("*"), folder):
        if not file.is_symlink():
            file.chmod(file.stat().st_mode | (0o755 if file.is_dir() else 0o644))
            _sync(file)


def recover_folder(path: Path) -> None:
    """Bring back the folder that a kill inside `write_folder` left moved aside."""
    if not path.exists() and _aside(path).exists():
        _aside(path).rename(path)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _sync(path: Path) -> None:
    if os.name == "nt":  # Windows opens no folders, and syncs no file that is open for reading only
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Turn what goes wrong when `path` is written into this package's errors."""
    try:
        yield
    except Exception as error:
        if _is_full(path, error):
            raise DiskFullError(
                f"The disk is full: {path.name} was not written.",
                found=str(path.parent),
                hint="Free some space and run the same command again: it goes on from what is finished.",
            ) from error
        if isinstance(error, OSError):
            raise StoreError(f"Cannot write {path}.", found=str(error), hint="Is the folder writable?") from error
        raise


def _is_full(path: Path, error: Exception) -> bool:
    """Say whether a write failed for want of space; safetensors and OpenVINO say so by errors of their own."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    if isinstance(error, HeadstartError):
        return False
    return "No space left" in str(error) or shutil.disk_usage(path.parent).free < _SPACE


def save_bytes(path: Path, data: bytes) -> None:
    """Write bytes atomically."""

    def write(to: Path) -> None:
        to.write_bytes(data)

    write_atomically(path, write)


def save_json(path: Path, value: object) -> None:
    """Write a value as readable JSON, atomically."""
    save_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def load_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"Cannot read {path}.", found=str(error)) from error


def save_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write numpy arrays as one safetensors file, atomically. No array may be an object array."""
    import numpy as np
    from safetensors.numpy import save

    save_bytes(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, dict(metadata or {})))
