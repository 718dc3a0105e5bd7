"""Engines that run a frozen trunk: OpenVINO on a CPU, PyTorch on a GPU and as the fallback and the reference.

An engine takes inputs one after another and gives their features in the same order. In OpenVINO each picture is a
request of its own, one on each core at a time: measured on two cores, EfficientNet-lite0 runs 790 pictures a second so,
650-740 in batches of 8 to 32. Texts are short work each and go in batches of one length (`grouped`), half as fast
again. Batches are filled up, so that what an example gives does not depend on how many are left: an interrupted run is
bit-identical to an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.from_openvino import OpenVinoEngine, native_bf16, openvino, to_openvino
from headstart.errors import EngineError, UsageError
from headstart.ragged import grouped, in_order, pile
from headstart.store import load_json, save_json, write_folder

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")

LEAST_COSINE = {"bf16": 0.995, "fp32": 0.99999}
"""Least cosine similarity with PyTorch fp32 features at which a precision is accepted. EfficientNet-lite0 in
bf16 has 0.9990 or more on 397 photos; a wrong preprocessing or channel order falls below 0.99."""
_TORCH_BATCH = 16
_HALF_MOST = 65504.0


class Engine(Protocol):
    """Runs a trunk. `name` says which engine, precision and version: it is part of the cache's key."""

    @property
    def name(self) -> str: ...

    def run(self, inputs: Iterable[Array]) -> Iterator[NDArray[Any]]:
        """Yield features_D, or an activation, for each input (pixels_3HW, uint8; tokens_L2, int32), in order."""
        ...


@dataclass(frozen=True)
class TorchEngine:
    """PyTorch: the reference, on any device. Batches are filled up: all of one input shape have one shape."""

    network: nn.Module
    device: str = "cpu"
    precision: str = "fp32"

    @property
    def name(self) -> str:
        import torch

        return f"torch {torch.__version__} {self.device.split(':')[0]} {self.precision}"

    def run(self, inputs: Iterable[Array]) -> Iterator[NDArray[np.float32]]:
        groups = grouped(inputs, _TORCH_BATCH)
        yield from in_order((places, self._forward(batch)) for places, batch in groups)

    def _forward(self, batch: Array) -> NDArray[np.float32]:
        import torch

        x_N = torch.from_numpy(batch).to(self.device)
        kind = self.device.split(":")[0]
        low = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=low):
            features_ND: NDArray[np.float32] = self.network(x_N).float().cpu().numpy()
        return features_ND


@dataclass(frozen=True)
class Narrow:
    """Another engine with its results in half the memory: float16 is finer than bfloat16, but ends at 65504."""

    engine: Engine

    @property
    def name(self) -> str:
        return self.engine.name

    def run(self, inputs: Iterable[Array]) -> Iterator[NDArray[Any]]:
        for result in self.engine.run(inputs):
            yield np.clip(result, -_HALF_MOST, _HALF_MOST).astype(np.float16)


@dataclass(frozen=True)
class Plain:
    """No engine: the inputs themselves, for what is trained from the input on."""

    name: str = "inputs"

    def run(self, inputs: Iterable[Array]) -> Iterator[NDArray[Any]]:
        yield from inputs


def device() -> str:
    """Return the device that trunks run on here: a GPU when PyTorch sees one."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@dataclass(frozen=True)
class Chosen:
    """An engine, and how close it came to the reference.

    Attributes:
        cosine: least cosine similarity with PyTorch fp32 over the inputs looked at; 1.0 for the reference.
        note: why a faster one was not taken; empty when none was refused.
    """

    engine: Engine
    cosine: float
    note: str = ""


@dataclass(frozen=True)
class Recalled:
    """What an earlier run chose: the name of the engine, its cosine, and the note."""

    name: str
    cosine: float
    note: str


def recalled(keep: Path, precision: Precision) -> Recalled | None:
    """Return what `choose` kept for this precision, if it did: the next run chooses the same, unasked."""
    path = keep / f"{precision}.json"
    if device() != "cpu" or not path.exists():
        return None
    return Recalled(**load_json(path))


def choose(
    network: nn.Module,
    sample: Sequence[Array],
    precision: Precision,
    threads: int,
    keep: Path | None = None,
    batch: int = 1,
) -> Chosen:
    """Take the fastest engine that gives the features of PyTorch fp32 on a few of the user's own examples.

    Args:
        network: uint8 pixels_N3HW, or tokens_NL2, -> features_ND.
        sample: some decoded examples to compare on.
        precision: `auto` tries bf16 where the CPU has it, then fp32; a name is tried alone.
        threads: cores to use.
        keep: folder in which the converted model is kept for the next run.
        batch: inputs in a request of OpenVINO's; with more than one, their first axis may have any length.

    Raises:
        UsageError: the precision has no such name.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"There is no precision called {precision!r}.", hint=f"One of {', '.join(PRECISIONS)}.")
    place = device()
    if place != "cpu":
        low = precision != "fp32" and place == "cuda"
        return Chosen(TorchEngine(network.to(place), place, "bf16" if low else "fp32"), 1.0)
    earlier = recalled(keep, precision) if keep else None
    chosen = _compared(network, sample, precision, threads, keep, earlier, batch)
    if keep and not earlier:
        save_json(keep / f"{precision}.json", asdict(Recalled(chosen.engine.name, chosen.cosine, chosen.note)))
    return chosen


def _compared(
    network: nn.Module,
    sample: Sequence[Array],
    precision: Precision,
    threads: int,
    keep: Path | None,
    earlier: Recalled | None,
    batch: int,
) -> Chosen:
    reference = TorchEngine(network)
    if earlier and earlier.name == reference.name:
        return Chosen(reference, earlier.cosine, earlier.note)
    try:
        model = _converted(network, pile(sample) if batch > 1 else sample[0][None], keep, batch > 1)
    except EngineError as error:
        return Chosen(reference, 1.0, f"{error.what} {error.found}".strip())
    wanted = [precision] if precision != "auto" else ["bf16", "fp32"] if native_bf16() else ["fp32"]
    truth = None if earlier else pile(list(reference.run(sample)))
    note = ""
    for each in wanted:
        try:
            engine = OpenVinoEngine(model, each, threads, batch)
        except RuntimeError as error:  # an operation that this CPU's plugin lacks
            return Chosen(reference, 1.0, f"OpenVINO cannot run this network: {str(error).splitlines()[-1][:200]}")
        if earlier and engine.name == earlier.name:
            return Chosen(engine, earlier.cosine, earlier.note)
        if truth is not None:
            cosine = least_cosine(pile(list(engine.run(sample))), truth)
            if cosine >= LEAST_COSINE[each]:
                return Chosen(engine, cosine, note)
            note = f"OpenVINO {each} was refused: cosine {cosine:.5f} with PyTorch, {LEAST_COSINE[each]} needed"
    return Chosen(reference, 1.0, note)


def _converted(network: nn.Module, example: Array, keep: Path | None, any_length: bool) -> Any:
    """Return the OpenVINO model, from the folder `keep` where it is there, else converted and kept there."""
    import torch

    library = openvino()
    if keep is not None and (keep / "trunk.xml").exists():
        return library.Core().read_model(keep / "trunk.xml")
    model = to_openvino(network, torch.from_numpy(example.copy()), any_length)
    if keep is None:
        return model
    write_folder(keep, lambda folder: library.save_model(model, folder / "trunk.xml", compress_to_fp16=False))
    # Saving rewrites the graph, and the last bits of what it gives: this run takes the one that later runs will.
    return library.Core().read_model(keep / "trunk.xml")


def least_cosine(features_ND: NDArray[np.floating], truth_ND: NDArray[np.floating]) -> float:
    """Return the smallest cosine similarity of two rows, of whatever shape; nan counts as -1, two zero rows as 1."""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (features_ND, truth_ND))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.all(a == b, axis=1)
    cosine_N = np.where(same, 1.0, (a * b).sum(1) / np.maximum(norms, 1e-30))
    return float(np.nan_to_num(cosine_N, nan=-1.0).min())
