"""export: a finished model of pictures as one ONNX file, for runtimes without Python's libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.to_onnx import write_onnx
from headstart.errors import EngineError, UsageError
from headstart.heads.boxes import BoxHead
from headstart.predictor import Predictor
from headstart.store import write_atomically

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.whole import Exported

ALIKE = 1e-3
"""By so much scores, and corners as shares of the sides, may differ."""
RAW = ("class_logits", "distances", "centredness")
"""The outputs of an exported detector: `headstart.heads.decode.decoded` makes detections of them, in numpy."""


def export(model: Predictor, path: Path) -> tuple[str, ...]:
    """Write a model as ONNX: `pixels`, uint8_N3HW of the size that the model takes, in RGB -> its outputs.

    Resizing stays outside, as it is said in `headstart.json`. Of classifiers the output is `logits`, of any number of
    pictures at a time; of detectors the raw outputs of one picture, whose decoding stays outside too: how it is done is
    in the file's metadata where the detector was taken whole, see `heads.decode_whole`.

    Args:
        model: of pictures.
        path: of the file.

    Returns:
        The names of the outputs.

    Raises:
        UsageError: it is no model of pictures, or a detector of two stages.
        EngineError: onnxscript is not installed, or the network has an operation that ONNX lacks; or its decoding
            outside gives something else than it gives itself.
        StoreError: the file cannot be written.
    """
    import torch

    if model.task.kind != "picture":
        raise UsageError(
            "Only models of pictures are exported.",
            found=model.task.name,
            hint="A model of texts is a folder of transformers: its own exporter, optimum, takes it.",
        )
    size = model.backbone.preprocess.record()["size"]
    if model.backbone.whole:
        return _export_whole(model, tuple(size), path)
    boxes = isinstance(model.head, BoxHead)
    pixels_N3HW = torch.zeros(1 if boxes else 2, 3, *size, dtype=torch.uint8)  # of one picture it would learn it is one
    names = RAW if boxes else ("logits",)
    whole = _whole(model).eval()
    write_atomically(path, lambda to: write_onnx(whole, pixels_N3HW, names, to))
    return names


def _export_whole(model: Predictor, size: tuple[int, int], path: Path) -> tuple[str, ...]:
    """Write a detector that was taken whole, its decoding in the metadata."""
    import torch

    from headstart.heads.decode_whole import written

    trunk, _ = model.head.folded()
    made: Exported = trunk.exported()
    noise_13HW = np.random.default_rng(0).integers(0, 256, (1, 3, *size), np.uint8)
    _same(model, made, noise_13HW)
    about = written(made.decoding)
    example_13HW = torch.from_numpy(noise_13HW)
    write_atomically(path, lambda to: write_onnx(made.network, example_13HW, made.outputs, to, about))
    return made.outputs


def _same(model: Predictor, made: Exported, pixels_13HW: NDArray[Any]) -> None:
    """See that decoding outside gives what the model gives: libraries may decode in ways that are not known here."""
    import torch

    with torch.inference_mode():
        raw = made.network(torch.from_numpy(pixels_13HW))
    told_1F = made.decoding.decoded({name: t.numpy() for name, t in zip(made.outputs, raw, strict=True)})
    far = model.aim.apart(told_1F, model.head.logits(pixels_13HW))
    if far > ALIKE:
        raise EngineError(
            f"{model.backbone.architecture} is not exported: how its outputs become boxes is not known here.",
            found=f"what comes out differs by {far:.3g}",
            hint="Its library loads the folder as it is.",
        )


def _whole(model: Predictor) -> nn.Module:
    """Return trunk and head as one network of pixels."""
    import torch
    from torch import nn

    below = model.encoder.network
    if isinstance(model.head, BoxHead):
        from headstart.heads.detector import Raw

        return nn.Sequential(below, Raw(model.head))
    weight_DK, bias_K = model.head.folded()
    last = nn.Linear(*weight_DK.shape)
    with torch.no_grad():
        last.weight.copy_(torch.tensor(weight_DK.T))
        last.bias.copy_(torch.tensor(bias_K))
    return nn.Sequential(below, last)
