"""Writing that survives a kill: whole files or none. Everything headstart saves goes through here."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headstart.errors import DiskFullError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fingerprint(*parts: object) -> str:
    """Return a SHA-256 over parts, each length-prefixed so that ("ab", "c") differs from ("a", "bc").

    Bytes go in as they are, everything else as its canonical JSON.
    """
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _store_error(path, error) from error
    temporary = Path(name)
    try:
        write(temporary)
        _sync(temporary)
        temporary.chmod(0o644)  # mkstemp makes files that only their owner reads
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _store_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_folder(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder beside `path`, force it to disk, and put it in the place of `path`.

    What stood at `path` is moved aside first and removed last; a kill leaves the old folder, the new one, or (between
    two renames) the old one under a name that ends in `.old`, from which the next call brings it back.

    Raises:
        DiskFullError, StoreError: as `write_atomically`.
    """
    old = path.with_name(f".{path.name}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _store_error(path, error) from error
    try:
        write(temporary)
        for file in temporary.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)  # safetensors writes files that only their owner reads
            _sync(file)
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise _store_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and path.exists():
            shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: Path) -> None:
    """Bring back the folder that a kill inside `write_folder` left moved aside."""
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _store_error(path: Path, error: OSError) -> StoreError:
    if error.errno in _FULL:
        return DiskFullError(
            f"The disk is full: {path.name} was not written.",
            found=str(path.parent),
            hint="Free some space and run the same command again: it goes on from what is finished.",
        )
    return StoreError(f"Cannot write {path}.", found=str(error), hint="Is the folder writable?")


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
