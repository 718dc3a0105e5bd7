"""Checkpoints: the state of a training, whole or not at all, with a checksum; a torn newest one costs only itself."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import StoreError
from headstart.store import write_atomically

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

KEPT = 2


def write(folder: Path, step: int, tensors: Tensors, about: Mapping[str, Any]) -> Path:
    """Write a checkpoint and remove all but it and the one before.

    Args:
        folder: holds the checkpoints of one training.
        step: how many steps were done; names the file.
        tensors: by name.
        about: what else is needed, in JSON.

    Raises:
        StoreError: it could not be written; the earlier ones are as they were.
    """
    from safetensors.torch import save_file

    path = folder / f"step-{step:08}.safetensors"
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps(dict(about), sort_keys=True)
    metadata = {"about": text, "checksum": checksum(plain, text)}
    write_atomically(path, lambda to: save_file(plain, to, metadata))
    found = sorted(folder.glob("step-*.safetensors"))
    at = found.index(path)
    for old in (*found[: max(0, at + 1 - KEPT)], *found[at + 1 :]):  # a later one was damaged
        old.unlink(missing_ok=True)
    return path


def newest(folder: Path) -> tuple[int, dict[str, torch.Tensor], dict[str, Any]] | None:
    """Return (step, tensors, about) of the newest whole checkpoint, or None; warn of any that is damaged."""
    found = sorted(folder.glob("step-*.safetensors"), reverse=True)
    for at, path in enumerate(found):
        try:
            tensors, about = read(path)
        except StoreError as error:
            before = found[at + 1].name if at + 1 < len(found) else "the beginning"
            warnings.warn(f"Checkpoint {path.name} is damaged ({error.found}); going on from {before}.", stacklevel=2)
            continue
        return int(path.stem.removeprefix("step-")), tensors, about
    return None


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint and check it.

    Raises:
        StoreError: it is torn or was changed.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise StoreError(f"Cannot read {path.name}.", found=f"torn: {error}") from error
    text = metadata.get("about", "{}")
    if metadata.get("checksum") != checksum(tensors, text):
        raise StoreError(f"Cannot read {path.name}.", found="its checksum is another")
    return tensors, json.loads(text)


def checksum(tensors: Tensors, text: str) -> str:
    """Return a SHA-256 over a text and the names, types, shapes and bytes of tensors."""
    import torch

    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())  # numpy knows no bfloat16
    return digest.hexdigest()
