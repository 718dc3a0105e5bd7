"""Files that the tests of the readers and checks make for themselves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from headstart.data.examples import Examples
from headstart.data.pictures import Picture


def picture(height: int = 24, width: int = 32, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A smooth picture with some grain, as photos have."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    noisy = smooth + rng.integers(-12, 13, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, height: int = 24, width: int = 32) -> bytes:
    return encoded(picture(height, width, seed), quality=90)


def put(path: Path, data: bytes | str | None = None, seed: int = 0) -> Path:
    """Write a file, a JPEG unless told otherwise, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = jpeg(seed) if data is None else data
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def names(examples: Examples) -> list[str]:
    return [e.name for e in examples.items]


def targets(examples: Examples) -> dict[str, str]:
    return {e.name: e.target for e in examples.items}


def parts(examples: Examples) -> dict[str, str]:
    return {e.name: e.part for e in examples.items}


def kinds(found: Examples | Picture) -> list[str]:
    return [f.kind for f in found.findings]


Record = Mapping[str, object]


def write_json_lines(path: Path, rows: Sequence[Record]) -> Path:
    return put(path, "\n".join(json.dumps(r) for r in rows))


def write_json(path: Path, rows: Sequence[Record]) -> Path:
    return put(path, json.dumps(list(rows)))


def write_parquet(path: Path, rows: Sequence[Record]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path
