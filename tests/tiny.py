"""Tiny networks and pictures that tests make: real layouts, random weights, made-up textures."""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import forks

SOURCE = Path(__file__).parents[1] / "src"
ARCHITECTURE = "test_resnet"
"""timm's smallest plain network: 0.4 million parameters, 160 x 160 pixels."""
KINDS = ("bark", "checks", "dots", "stripes", "waves")


def texture(kind: int, seed: int, shape: tuple[int, int] = (72, 90)) -> NDArray[np.uint8]:
    """Return pixels_HW3 of one of five kinds of texture, turned, scaled, coloured and lit by the seed."""
    rng = np.random.default_rng([seed, kind])
    angle, scale = rng.uniform(0, np.pi), rng.uniform(0.8, 1.25)
    y_HW, x_HW = np.mgrid[: shape[0], : shape[1]] / scale + rng.uniform(0, 40, (2, 1, 1))
    x_HW, y_HW = x_HW * np.cos(angle) - y_HW * np.sin(angle), x_HW * np.sin(angle) + y_HW * np.cos(angle)
    waves: tuple[Callable[[], NDArray[Any]], ...] = (
        lambda: np.sin(x_HW / 9 + 2 * np.sin(y_HW / 7)),
        lambda: np.sign(np.sin(x_HW / 2.5) * np.sin(y_HW / 2.5)),
        lambda: 2.0 * (np.cos(x_HW / 1.8) * np.cos(y_HW / 1.8) > 0.5) - 1,
        lambda: np.sin(x_HW),
        lambda: np.sin(np.hypot(x_HW - 60, y_HW - 60) / 5),
    )
    light_HW3 = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8)).resize(shape[::-1], Image.Resampling.BICUBIC)
    grey_HW1 = rng.uniform(35, 90) * waves[kind % len(waves)]()[..., None]
    noise_HW3 = rng.normal(0, 10, (*shape, 3))
    return (np.asarray(light_HW3) * 0.6 + 50 + grey_HW1 + noise_HW3).clip(0, 255).astype(np.uint8)


def png(pixels_HW3: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file, which keeps them exactly."""
    file = io.BytesIO()
    Image.fromarray(pixels_HW3).save(file, "PNG")
    return file.getvalue()


def photos(root: Path, each: int = 12, classes: int = 3, seed: int = 0) -> Path:
    """Write class folders of pictures of several shapes, PNG and JPEG; return the root."""
    rng = np.random.default_rng(seed)
    for kind, label in enumerate(KINDS[:classes]):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            shape = (int(rng.integers(60, 120)), int(rng.integers(60, 120)))
            picture = Image.fromarray(texture(kind, 1000 * seed + i, shape))
            picture.save(root / label / (f"{seed}-{i:03}.png" if i % 2 else f"{seed}-{i:03}.jpg"), quality=95)
    return root


def timm_folder(folder: Path, architecture: str = ARCHITECTURE, seed: int = 0, **options: Any) -> Path:
    """Save a timm network with random weights in timm's layout; return the folder."""
    import timm
    import torch
    from timm.models import save_for_hf

    torch.manual_seed(seed)
    save_for_hf(timm.create_model(architecture, **options), str(folder), safe_serialization=True)
    return folder


@functools.cache
def environment() -> Mapping[str, str]:
    """Return the environment of subprocesses that run the sources under test."""
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def headstart(
    *words: str | Path, cwd: Path | None = None, typed: str = "", fresh: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own: a fork that has the libraries, or a fresh one without them."""
    said = list(map(str, words))
    if not fresh and "forkserver" in multiprocessing.get_all_start_methods():
        return forks.headstart(said, cwd, environment(), typed, 300)
    command = [sys.executable, "-m", "headstart", *said]
    return subprocess.run(
        command, cwd=cwd, check=False, input=typed, text=True, capture_output=True, timeout=300, env=dict(environment())
    )
