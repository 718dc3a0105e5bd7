"""OpenVINO: runs a frozen trunk on the CPU, in what precision it is asked for. Its one door."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import EngineError
from headstart.ragged import Array, grouped, in_order

if TYPE_CHECKING:
    import torch
    from torch import nn

_QUEUED = 2  # requests for each core: one runs, one is ready


def openvino() -> Any:
    """Import OpenVINO without its telemetry, which would tell Google Analytics of every import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # OpenVINO then takes its own stub
    import openvino

    return openvino


class OpenVinoEngine:
    """OpenVINO on the CPU: a request a core, of so many inputs (`batch`) of one shape."""

    def __init__(self, model: Any, precision: str, threads: int, batch: int = 1) -> None:
        library = openvino()
        self.name = f"openvino {library.__version__.partition('-')[0]} {precision}"
        self.precision = precision
        settings = {
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[precision],
            "NUM_STREAMS": str(threads),
            "INFERENCE_NUM_THREADS": str(threads),
        }
        self._threads, self._batch = threads, batch
        self._compiled = library.Core().compile_model(model, "CPU", settings)

    def run(self, inputs: Iterable[Array]) -> Iterator[NDArray[np.float32]]:
        # No openvino.AsyncInferQueue: its callbacks want Python's lock, and a model that is let go of while the last
        # one waits for it waits for that one: about one in a hundred short runs never ended.
        yield from in_order(self._batches(inputs))

    def _batches(self, inputs: Iterable[Array]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        requests = [self._compiled.create_infer_request() for _ in range(_QUEUED * self._threads)]
        waiting: deque[tuple[list[int], Any]] = deque()
        for i, (places, batch) in enumerate(grouped(inputs, self._batch)):
            if len(waiting) == len(requests):
                yield _finished(*waiting.popleft())
            request = requests[i % len(requests)]
            request.start_async({0: batch})
            waiting.append((places, request))
        while waiting:
            yield _finished(*waiting.popleft())


def _finished(places: list[int], request: Any) -> tuple[list[int], NDArray[np.float32]]:
    request.wait()
    # A copy: the request is used again.
    return places, request.get_output_tensor(0).data[: len(places)].astype(np.float32)


def to_openvino(network: nn.Module, example: torch.Tensor, any_length: bool = False) -> Any:
    """Convert a network by tracing it. Frozen first: a third less time to convert, the same numbers.

    Args:
        network: in eval mode.
        example: an input batch.
        any_length: whether the first two axes may have any length later; else the shape is the example's.

    Raises:
        EngineError: the network cannot be traced or has an operation that OpenVINO lacks.
    """
    import torch

    library = openvino()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace: Any = torch.jit.trace
            traced = torch.jit.freeze(trace(network, example, check_trace=False))
            shape = [-1, -1, *example.shape[2:]] if any_length else list(example.shape)
            model = library.convert_model(traced, input=[(shape, example.numpy().dtype.type)])
    except Exception as error:  # whatever a converter meets in a foreign network: PyTorch can still run it
        raise EngineError("OpenVINO cannot run this network.", found=str(error)[:300]) from error
    return model


def native_bf16() -> bool:
    """Say whether this CPU computes in bf16 itself."""
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
