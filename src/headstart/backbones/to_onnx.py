"""Writing a network as ONNX: the one door of the exporter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import EngineError

if TYPE_CHECKING:
    import torch
    from torch import nn


def write_onnx(
    network: nn.Module,
    example_N: torch.Tensor,
    outputs: Sequence[str],
    path: Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network of `pixels` as one ONNX file, all numbers inside it.

    Some ten seconds for a MobileNet: PyTorch traces it, and rewrites the graph.

    Args:
        network: in eval mode.
        example_N: an input; of more than one picture where any number of them shall go in at a time.
        outputs: their names.
        path: of the file.
        metadata: texts that are kept in the file, by their names.

    Raises:
        EngineError: onnxscript is not installed, or the network has an operation that ONNX lacks.
    """
    import torch

    shapes = ({0: torch.export.Dim("N")},) if len(example_N) > 1 else None
    names: dict[str, Any] = {"input_names": ["pixels"], "output_names": list(outputs)}
    try:
        program = torch.export.export(network, (example_N,), dynamic_shapes=shapes, strict=False)
        more: dict[Any, Callable[..., Any]] = {torch.ops.aten._is_all_true.default: _all_true}
        made: Any = torch.onnx.export(program, dynamo=True, verbose=False, custom_translation_table=more, **names)
        made.model.metadata_props.update(metadata or {})
        made.save(path, external_data=False)
    except ImportError as error:
        hint = 'pip install "headstart[onnx]"'
        raise EngineError("Writing ONNX needs onnx and onnxscript.", found=str(error), hint=hint) from error
    except Exception as error:  # whatever an exporter meets in a foreign network
        raise EngineError("This network cannot be written as ONNX.", found=str(error)[:300]) from error


def _all_true(given: Any) -> Any:
    """Return in ONNX whether all of a tensor is true: networks ask it of shapes, and PyTorch has no words for it."""
    import onnxscript

    op: Any = onnxscript.opset18
    least = op.ReduceMin(op.Cast(given, to=onnxscript.INT32.dtype), keepdims=0)
    return op.Cast(least, to=onnxscript.BOOL.dtype)
