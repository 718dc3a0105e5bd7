"""Writing a network as ONNX: the one door of the exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import EngineError

if TYPE_CHECKING:
    import torch
    from torch import nn


def write_onnx(network: nn.Module, example_N: torch.Tensor, outputs: Sequence[str], path: Path) -> None:
    """Write a network of `pixels` as one ONNX file, all numbers inside it.

    Some ten seconds for a MobileNet: PyTorch traces it, and rewrites the graph.

    Args:
        network: in eval mode.
        example_N: an input; of more than one picture where any number of them shall go in at a time.
        outputs: their names.
        path: of the file.

    Raises:
        EngineError: onnxscript is not installed, or the network has an operation that ONNX lacks.
    """
    import torch

    shapes = ({0: torch.export.Dim("N")},) if len(example_N) > 1 else None
    names: dict[str, Any] = {"input_names": ["pixels"], "output_names": list(outputs)}
    try:
        program = torch.export.export(network, (example_N,), dynamic_shapes=shapes, strict=False)
        torch.onnx.export(program, f=path, dynamo=True, external_data=False, verbose=False, **names)
    except ImportError as error:
        hint = 'pip install "headstart[onnx]"'
        raise EngineError("Writing ONNX needs onnx and onnxscript.", found=str(error), hint=hint) from error
    except Exception as error:  # whatever an exporter meets in a foreign network
        raise EngineError("This network cannot be written as ONNX.", found=str(error)[:300]) from error
