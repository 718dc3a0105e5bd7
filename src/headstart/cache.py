"""The feature cache: append-only shards on disk, one row an example, written whole or not at all.

A space holds the features that one trunk, preprocessing, cut, view and engine give; inside it an example is known by
the SHA-256 of its bytes. Adding 100 photos to 10,000 costs 100 forward passes, and a kill loses at most one shard.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from headstart.errors import StoreError
from headstart.ragged import lengthened, pile
from headstart.store import fingerprint, save_arrays

Row = tuple[Path, int]
_DIGEST_BYTES = 32
_KINDS = {"F32": np.float32, "F16": np.float16, "U8": np.uint8, "I32": np.int32}


def default_root() -> Path:
    """Return the folder of the cache: `$HEADSTART_CACHE`, or the platform's place for caches."""
    import os

    from platformdirs import user_cache_path

    given = os.environ.get("HEADSTART_CACHE")
    return Path(given) if given else user_cache_path("headstart")


@dataclass(frozen=True)
class Space:
    """The shards of one way of making features.

    Attributes:
        folder: where they lie.
        rows: digest -> (shard, row).
        failures: digest -> why its example could not be decoded.
    """

    folder: Path
    rows: Mapping[str, Row]
    failures: Mapping[str, str]

    def knows(self, digest: str) -> bool:
        """Say whether this example needs no further work."""
        return digest in self.rows or digest in self.failures

    def take(self, digests: Sequence[str]) -> NDArray[Any]:
        """Return features_N... of these examples. Each shard is read once, and let go before the next."""
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for position, digest in enumerate(digests):
            shard, row = self.rows[digest]
            wanted.setdefault(shard, []).append((position, row))
        out: NDArray[Any] | None = None
        for shard, pairs in wanted.items():
            with safe_open(shard, framework="numpy") as handle:
                block = handle.get_tensor("features")
            if out is None:
                out = np.empty((len(digests), *block.shape[1:]), block.dtype)
            positions, rows = zip(*pairs, strict=True)
            if block.ndim > 2:  # of texts, shards differ in their longest
                out, block = lengthened(out, block.shape[1]), lengthened(block, out.shape[1])
            out[list(positions)] = block[list(rows)]
        return out if out is not None else np.empty((0, 0), np.float32)

    def rows_of(self, digests: Sequence[str]) -> Rows:
        """Return the rows of these examples without reading them."""
        shards = {shard: i for i, shard in enumerate(dict.fromkeys(self.rows[d][0] for d in digests))}
        place_N2 = np.asarray([(shards[self.rows[d][0]], self.rows[d][1]) for d in digests], np.intp).reshape(-1, 2)
        return Rows(tuple(_mapped(shard) for shard in shards), place_N2)


@dataclass(frozen=True)
class Rows:
    """Rows that stay on disk until they are asked for: memory does not grow with their number.

    Attributes:
        blocks: the shards' features, mapped into memory.
        place_N2: the block and the row of each example.
    """

    blocks: tuple[NDArray[Any], ...]
    place_N2: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.place_N2)

    def take(self, index_B: NDArray[np.integer]) -> NDArray[Any]:
        """Return rows_B..., a copy."""
        return pile([self.blocks[block][row] for block, row in self.place_N2[index_B]])


def _mapped(shard: Path) -> NDArray[Any]:
    """Map the features of a shard into memory: eight bytes of length, a JSON header, then the tensors."""
    with shard.open("rb") as handle:
        start = 8 + int.from_bytes(handle.read(8), "little")
        info = json.loads(handle.read(start - 8))["features"]
    kind = _KINDS[info["dtype"]]
    return np.memmap(shard, kind, "r", start + info["data_offsets"][0], tuple(info["shape"]))


def space_key(*, weights: str, preprocess: str, cut: str, view: str, engine: str) -> str:
    """Return the name of a space: whatever changes a feature changes it."""
    return fingerprint("features 1", weights, preprocess, cut, view, engine)[:32]


def open_space(root: Path, key: str) -> Space:
    """Index what a space holds; a shard that cannot be read is passed over with a warning, its examples redone."""
    folder = root / "features" / key
    rows: dict[str, Row] = {}
    failures: dict[str, str] = {}
    for shard in sorted(folder.glob("*.safetensors")):
        try:
            digests, failed = _index(shard)
        except (SafetensorError, OSError, ValueError) as error:
            warnings.warn(f"cache shard {shard.name} cannot be read and is passed over: {error}", stacklevel=2)
            continue
        rows.update((digest, (shard, i)) for i, digest in enumerate(digests))
        failures.update(failed)
    return Space(folder, rows, failures)


def _index(shard: Path) -> tuple[Iterator[str], dict[str, str]]:
    with safe_open(shard, framework="numpy") as handle:
        raw = handle.get_tensor("digests")
        metadata = handle.metadata() or {}
        shape = handle.get_slice("features").get_shape()
        if len(shape) < 2 or shape[0] != len(raw):
            raise ValueError("not a table with one row of features an example")
    return (bytes(row).hex() for row in raw), json.loads(metadata.get("failures", "{}"))


def append(space: Space, digests: Sequence[str], features_ND: NDArray[Any], failed: Mapping[str, str]) -> None:
    """Write one more shard of features_ND, activations_N..., pixels_N3HW or tokens_NL2; `open_space` sees it.

    Raises:
        StoreError: it could not be written; the space is as it was.
    """
    if len(digests) != len(features_ND):
        raise StoreError(f"{len(digests)} examples and {len(features_ND)} rows of features.")
    shard = space.folder / f"{fingerprint(list(digests), dict(failed))[:24]}.safetensors"
    raw = np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, _DIGEST_BYTES)
    save_arrays(shard, {"digests": raw, "features": features_ND}, {"failures": json.dumps(dict(failed))})


def missing(space: Space, digests: Iterable[str]) -> list[int]:
    """Return the positions of the examples that have yet to be computed, each distinct example once."""
    seen: set[str] = set()
    out = []
    for position, digest in enumerate(digests):
        if digest not in seen and not space.knows(digest):
            out.append(position)
        seen.add(digest)
    return out
