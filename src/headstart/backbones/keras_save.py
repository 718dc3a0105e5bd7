"""Saving what was made of a Keras model: as `.keras`, which Keras opens again, and as ONNX, for all that read that."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Saved
from headstart.backbones.keras_files import keras, read
from headstart.backbones.keras_graph import COLOURS, channels_last, free_name
from headstart.backbones.keras_layers import Kept, KerasTrunk
from headstart.backbones.scratch import rebuilt
from headstart.data.pixels import Preprocess
from headstart.store import save_json

if TYPE_CHECKING:
    from torch import nn

FILE = "model.keras"

_CODE = """import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = keras.saving.load_model("{file}", compile=False)

    def forward(self, x):
        return self.network({given}, training=False)


model = Model().eval()"""


@dataclass(frozen=True)
class Network:
    """What of a Keras model does not change: `features` is a model of Keras' from pixels to features_ND."""

    features: Kept
    preprocess: Preprocess
    colours: str
    architecture: str
    cut: str

    @property
    def bgr(self) -> bool:
        return COLOURS[self.colours].bgr


def _anew(network: Network) -> Any:
    """Build the layers anew, with random weights by their own initialisers, all chance drawn from PyTorch's generator.

    Keras takes the seeds of initialisers from Python's generator, which is left as it was.
    """
    import torch

    seed, before = int(torch.randint(2**31, ())), random.getstate()
    random.seed(seed)
    try:
        with keras().device("cpu"):
            return keras().models.clone_model(network.features.value)
    finally:
        random.setstate(before)


def fresh(network: Network, trunk: nn.Module) -> nn.Module:
    """Return the trunk with random weights; see `Backbone.fresh`."""
    return rebuilt(lambda: KerasTrunk(_anew(network), network.bgr), trunk)


def save(
    network: Network,
    trunk: KerasTrunk,
    folder: Path,
    labels: tuple[str, ...],
    weight_DK: NDArray[np.float64],
    bias_K: NDArray[np.float64],
) -> Saved:
    """Write trunk and head as one `.keras` file of standard layers, its output logits; load it again for `model`."""
    import torch

    library = keras()
    with torch.random.fork_rng(devices=[]):
        features = _anew(network)
    trunk.fill(features)
    head = free_name(features, "logits")
    with library.device("cpu"):
        dense = library.layers.Dense(len(labels), name=head)
        whole = library.Model(features.inputs[0], dense(features.outputs[0]), name=features.name)
        dense.set_weights([weight_DK.astype(np.float32), bias_K.astype(np.float32)])
    whole.save(folder / FILE)
    about = {"library": "keras", "architecture": network.architecture, "num_classes": len(labels)}
    about |= {"labels": list(labels), "pixels": network.colours, "preprocess": network.preprocess.record()}
    save_json(folder / "config.json", {**about, "head": head, "cut": network.cut})
    given = _given(network, features)
    return Saved("keras", _CODE.format(file=FILE, given=given), _again(read(folder / FILE), network, features))


def _given(network: Network, graph: Any) -> str:
    """Return Python that turns normalised x_N3HW, RGB, to what the model takes."""
    turned = "x.flip(1)" if network.bgr else "x"
    return f"{turned}.permute(0, 2, 3, 1)" if channels_last(graph) else turned


def _again(model: Any, network: Network, graph: Any) -> nn.Module:
    """Return what the code of a saved folder makes: normalised x_N3HW -> logits_NK, by Keras' own forward pass."""
    import torch
    from torch import nn

    bgr, last = network.bgr, channels_last(graph)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
            x_N = x_N3HW.flip(1) if bgr else x_N3HW
            with keras().device(str(x_N.device)):
                logits_NK: torch.Tensor = self.network(x_N.permute(0, 2, 3, 1) if last else x_N, training=False)
            return logits_NK

    return Model().eval()
