"""What the tests of backbones share: inputs, and a look at a saved folder from a process without headstart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone
from headstart.data.pixels import Preprocess

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def noise() -> Callable[[Preprocess, int], Pixels]:
    """Make pixels_N3HW of the size that a network takes, smooth enough to be no mere noise."""

    def make(preprocess: Preprocess, count: int) -> Pixels:
        rng = np.random.default_rng(0)
        height, width = preprocess.size
        coarse_N3HW = rng.integers(0, 256, (count, 3, height // 8 + 1, width // 8 + 1), np.uint8)
        return coarse_N3HW.repeat(8, 2).repeat(8, 3)[:, :, :height, :width].copy()

    return make


@pytest.fixture(scope="session")
def normalised() -> Callable[[Pixels, Preprocess], NDArray[np.float32]]:
    """Normalise pixels_N3HW as the preprocessing says, by plain arithmetic."""

    def compute(pixels_N3HW: Pixels, preprocess: Preprocess) -> NDArray[np.float32]:
        mean_311, std_311 = (np.reshape(v, (3, 1, 1)) for v in (preprocess.mean, preprocess.std))
        return ((pixels_N3HW / 255 - mean_311) / std_311).astype(np.float32)

    return compute


@pytest.fixture(scope="session")
def features(normalised: Callable[[Pixels, Preprocess], NDArray[np.float32]]) -> Callable[..., NDArray[np.float32]]:
    """Run a backbone's trunk on pixels_N3HW."""
    import torch

    def run(backbone: Backbone, pixels_N3HW: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            x_N3HW = torch.from_numpy(normalised(pixels_N3HW, backbone.preprocess))
            given: torch.Tensor = backbone.trunk(x_N3HW)
        return given.numpy()

    return run


RUN = """
import os, sys
import numpy as np
import torch
sys.modules["headstart"] = None  # importing it fails
for folder in sys.argv[1:]:
    os.chdir(folder)
    names = {}
    exec(open("../code.py").read(), names)
    model = names["model"]
    assert not model.training
    with torch.inference_mode():
        out = model(torch.from_numpy(np.load("../x.npy")))
    np.save("../logits.npy", getattr(out, "logits", out).numpy())
"""


@pytest.fixture(scope="session")
def elsewhere() -> Callable[[Mapping[Path, tuple[str, NDArray[np.float32]]]], list[NDArray[np.float32]]]:
    """Run the codes that saved folders are loaded by, in a process that cannot import headstart."""

    def run(jobs: Mapping[Path, tuple[str, NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
        for folder, (code, x_N3HW) in jobs.items():
            (folder.parent / "code.py").write_text(code)
            np.save(folder.parent / "x.npy", x_N3HW)
        command = [sys.executable, "-I", "-W", "ignore", "-c", RUN, *map(str, jobs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return [np.load(folder.parent / "logits.npy") for folder in jobs]

    return run


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Save a tiny encoder of a family, once."""
    import tiny_text

    root = tmp_path_factory.mktemp("encoders")

    def saved(family: str) -> Path:
        folder = root / family
        return folder if folder.exists() else tiny_text.encoder_folder(folder, family)

    return saved
