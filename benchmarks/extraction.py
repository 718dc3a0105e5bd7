"""Extraction against a plain PyTorch loop (same network, same photos) and against the limit the cores set.

The plain loop is what people write: a DataLoader with timm's own transform, eager fp32, the better of 0 and 2 workers.
The limit is decoding alone plus the bare engine alone, each on all cores, in the same run.

Expected on two cores with AVX-512 bf16: 10-14 times the loop, 85-95% of the limit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.common import cores, keep, photos, seconds
from headstart.backbones.backbone import Backbone
from headstart.data.examples import FileContent
from headstart.data.pixels import decoding_thread
from headstart.encoder import encoder
from headstart.progress import quiet
from headstart.stages.encode import Item
from headstart.tasks import task_named


class _Photos:
    """A map-style data set of files, as tutorials have it."""

    def __init__(self, files: Sequence[Path], transform: Any) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        from PIL import Image

        return self.transform(Image.open(self.files[i]).convert("RGB"))


def plain_loop(backbone: Backbone, files: Sequence[Path], workers: int) -> float:
    """Return the seconds of the loop that people write."""
    import timm.data
    import torch
    from torch.utils.data import DataLoader

    network: Any = backbone.trunk
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    loader: Any = DataLoader(_Photos(files, transform), batch_size=32, num_workers=workers)  # type: ignore[arg-type]
    start = time.perf_counter()
    with torch.inference_mode():
        for batch_N3HW in loader:
            network(batch_N3HW)
    return time.perf_counter() - start


def measure(folder: str, backbone_name: str, precision: Any, repeat: int) -> dict[str, Any]:
    """Measure everything once, in one process."""
    task = task_named("image-classification")
    backbone = task.backbone(backbone_name)
    files = photos(folder)
    load = task.load(backbone)
    # Repeated photos stand for more of them: each has a name and a digest of its own.
    items = [
        Item(f"{r}/{f.name}", sha256(f.read_bytes() + bytes([r])).hexdigest(), FileContent(f))
        for r in range(repeat)
        for f in files
    ]
    count = len(items)
    loop = {w: plain_loop(backbone, files, w) / len(files) for w in (0, 2)}
    with tempfile.TemporaryDirectory() as folder_cold, tempfile.TemporaryDirectory() as folder_warm:
        cold_encoder = encoder(task, backbone, precision, Path(folder_cold))
        cold = seconds(lambda: cold_encoder.encode(items, quiet, time.perf_counter))
        warm_encoder = encoder(task, backbone, precision, Path(folder_warm))
        warm_encoder.choose([load(f.read_bytes()) for f in files[:8]])
        warm = seconds(lambda: warm_encoder.encode(items, quiet, time.perf_counter))
        engine = warm_encoder.choose([load(files[0].read_bytes())]).engine
    contents = [item.content for item in items]
    with ThreadPoolExecutor(cores(), initializer=decoding_thread) as pool:
        decode = seconds(lambda: sum(1 for _ in pool.map(lambda c: load(c.read()), contents)))
    pixels = [load(f.read_bytes()) for f in files]
    network = seconds(lambda: [sum(1 for _ in engine.run(pixels)) for _ in range(repeat)])
    plain = min(loop.values()) * count
    return {
        "photos": count,
        "backbone": backbone.name,
        "engine": engine.name,
        "plain loop, seconds (best of 0 and 2 workers)": plain,
        "headstart, seconds, engine converted before": warm,
        "headstart, seconds, with converting": cold,
        "decoding alone, seconds": decode,
        "bare engine alone, seconds": network,
        "ratio to the plain loop": plain / warm,
        "ratio to the plain loop, with converting": plain / cold,
        "share of the limit": (decode + network) / warm,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", default="", help="a folder with JPEGs in it, at any depth")
    parser.add_argument("--backbone", default="default")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--repeat", type=int, default=10, help="how often the photos are gone through")
    given = parser.parse_args(arguments)
    keep("extraction", measure(given.photos, given.backbone, given.precision, given.repeat))


if __name__ == "__main__":
    main()
