"""export: a finished model of pictures as one ONNX file, for runtimes without Python's libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headstart.backbones.to_onnx import write_onnx
from headstart.errors import UsageError
from headstart.heads.boxes import BoxHead
from headstart.predictor import Predictor
from headstart.store import write_atomically

if TYPE_CHECKING:
    from torch import nn

RAW = ("class_logits", "distances", "centredness")
"""The outputs of an exported detector: `headstart.heads.decode.decoded` makes detections of them, in numpy."""


def export(model: Predictor, path: Path) -> tuple[str, ...]:
    """Write a model as ONNX: `pixels`, uint8_N3HW of the size that the model takes, in RGB -> its outputs.

    Resizing stays outside, as it is said in `headstart.json`. Of classifiers the output is `logits`, of any number of
    pictures at a time; of detectors the raw outputs of one picture, whose decoding stays outside too.

    Args:
        model: of pictures.
        path: of the file.

    Returns:
        The names of the outputs.

    Raises:
        UsageError: it is no model of pictures, or a detector that was taken whole.
        EngineError: onnxscript is not installed, or the network has an operation that ONNX lacks.
        StoreError: the file cannot be written.
    """
    import torch

    if model.task.kind != "picture":
        raise UsageError(
            "Only models of pictures are exported.",
            found=model.task.name,
            hint="A model of texts is a folder of transformers: its own exporter, optimum, takes it.",
        )
    if model.backbone.whole:
        raise UsageError(
            "A detector that was pretrained as one is not exported here.",
            found=f"{model.backbone.architecture} of {model.backbone.library}",
            hint="Its library loads the folder as it is, and has an exporter of its own.",
        )
    size = model.backbone.preprocess.record()["size"]
    boxes = isinstance(model.head, BoxHead)
    pixels_N3HW = torch.zeros(1 if boxes else 2, 3, *size, dtype=torch.uint8)  # of one picture it would learn it is one
    names = RAW if boxes else ("logits",)
    whole = _whole(model).eval()
    write_atomically(path, lambda to: write_onnx(whole, pixels_N3HW, names, to))
    return names


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
