"""ARCHITECTURE@WEIGHTS: a torchvision or timm architecture with the user's own weights file.

The file decides: it is compared with the architecture of each library that has the name, and with which of
its layers it lacks. A file with everything but the classifier is the common case. Where more of the top is
missing the network is cut below it (VGG-16 without its fully connected layers), and the maps there are averaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones import from_timm, from_torchvision
from headstart.backbones.backbone import Backbone
from headstart.backbones.layout import BODY
from headstart.errors import BackboneError, UsageError

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")


@dataclass(frozen=True)
class Fit:
    """How a weights file fits an architecture.

    Attributes:
        missing: parameters and buffers that the file lacks, or has in another shape.
        unexpected: tensors of the file that the architecture does not have.
    """

    library: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    size: int

    @property
    def misfit(self) -> int:
        return len(self.missing) + 2 * len(self.unexpected)


def open_weights(name: str) -> Backbone:
    """Open `ARCHITECTURE@FILE`, or `timm:ARCHITECTURE@FILE`, `torchvision:ARCHITECTURE@FILE`.

    Raises:
        UsageError: no such file.
        BackboneError: no library has the architecture, or the file's layers do not fit it.
    """
    architecture, _, file = name.partition("@")
    library, _, architecture = architecture.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no weights file {file}.", hint="Write ARCHITECTURE@PATH/TO/weights.safetensors.")
    state = read_state(path)
    best = _best(library, architecture, state, path.name)
    return _with(best.library, architecture, state, best.missing, name, f"local file {path.name}")


def check_fit(architecture: str, path: Path) -> Fit:
    """Say how a weights file fits an architecture, without building anything.

    Raises:
        BackboneError: it does not.
    """
    return _best("", architecture, read_state(path), path.name)


def _best(library: str, architecture: str, state: State, file: str) -> Fit:
    best = min(
        (_fit(each, architecture, state) for each in _libraries(library, architecture)),
        key=lambda f: f.misfit,
    )
    if best.unexpected or len(best.missing) > best.size // 2:
        raise BackboneError(
            f"{file} does not hold the weights of {architecture}.",
            found=f"{len(best.missing)} of {best.size} tensors missing ({_few(best.missing)}), "
            f"{len(best.unexpected)} unknown ({_few(best.unexpected)})",
            hint="Is it another architecture, or another library's names? Say timm:… or torchvision:…",
        )
    return best


def open_folder(folder: Path, name: str) -> Backbone:
    """Open a folder in the layout that headstart writes for libraries without one (see `layout`).

    Raises:
        BackboneError, UsageError: a file of it is missing, does not fit, or names a library that is not here.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        library, architecture = str(config["library"]), str(config["architecture"])
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(f"{name} is not a model folder.", found=f"{type(error).__name__}: {error}") from error
    _libraries(library, architecture)
    state = read_state(folder / "model.safetensors")
    if any(k.startswith(BODY) for k in state):
        state = {k.removeprefix(BODY): v for k, v in state.items() if k.startswith(BODY)}
    missing = _fit(library, architecture, state).missing
    return _with(library, architecture, state, missing, name, f"local folder {folder.name}")


def _with(library: str, architecture: str, state: State, missing: tuple[str, ...], name: str, source: str) -> Backbone:
    if library == "torchvision":
        return from_torchvision.with_weights(architecture, state, missing, name, source)
    return from_timm.with_weights(architecture, state, name, source, missing=missing)


def _libraries(library: str, architecture: str) -> list[str]:
    known = {"torchvision": from_torchvision.is_name, "timm": from_timm.is_name}
    if library and library not in known:
        raise UsageError(f"There is no library called {library!r} here.", hint="One of timm, torchvision.")
    found = [each for each, has in known.items() if library in ("", each) and has(architecture)]
    if not found:
        from difflib import get_close_matches

        near = get_close_matches(architecture, [*from_timm.names(), *from_torchvision.names()], 3)
        raise BackboneError(
            f"No architecture is called {architecture!r}.",
            hint=f"Did you mean {', '.join(near)}?" if near else "",
        )
    return found


def _fit(library: str, architecture: str, state: State) -> Fit:
    module = {"torchvision": from_torchvision, "timm": from_timm}[library]
    wanted = module.build(architecture, meta=True).state_dict()
    same = {k for k, v in state.items() if k in wanted and wanted[k].shape == v.shape}
    missing = tuple(k for k in wanted if k not in same and not k.endswith("num_batches_tracked"))
    spare = from_torchvision.SPARE if library == "torchvision" else ()
    unexpected = tuple(k for k in state if k not in wanted and not k.startswith(spare))
    return Fit(library, missing, unexpected, len(wanted))


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict, in float32. Nothing is unpickled but tensors (`weights_only=True`).

    Raises:
        BackboneError: the file is not a state dict, or holds more than tensors.
    """
    import torch
    from safetensors.torch import load_file

    raw: Any
    try:
        if path.suffix == ".safetensors":
            raw = load_file(path)
        else:
            raw = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a foreign file: torn, pickled objects, not a checkpoint at all
        raise BackboneError(
            f"{path.name} cannot be read as weights.",
            found=f"{type(error).__name__}: {error}"[:200],
            hint="Only tensors are loaded, never pickled objects: save model.state_dict(), best as safetensors.",
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(raw, Mapping) and isinstance(raw.get(wrapper), Mapping):
            raw = raw[wrapper]
    if not isinstance(raw, Mapping) or not all(isinstance(v, torch.Tensor) for v in raw.values()) or not raw:
        raise BackboneError(f"{path.name} is not a state dict.", found=type(raw).__name__)
    state = {str(k): v.float() if v.is_floating_point() else v for k, v in raw.items()}
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in state)), ""):
        state = {k.removeprefix(prefix): v for k, v in state.items()}
    return state


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") if names else "none"
