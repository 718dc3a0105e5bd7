"""Keras: its one door, and its files, looked through as data before Keras reads them: what runs code is refused.

A `.keras` file is a zip archive with a description of the layers in JSON and their weights in HDF5; an `.h5` file is
HDF5 with the same description in an attribute. Both can carry Python: a `Lambda` layer holds marshalled bytecode, and a
description may name any class or function to be imported. Keras' own `safe_mode` has been got around more than once
(CVE-2025-1550, CVE-2025-8747, CVE-2025-9905), so a file is refused here before it comes to that.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from headstart.errors import BackboneError, UsageError

ENDINGS = (".keras", ".h5", ".hdf5")

_CODE = {
    "Lambda": "a Lambda layer, which is Python code",
    "__lambda__": "a Python function, marshalled",
    "TFOpLambda": "an operation of TensorFlow's, which Keras 3 cannot run",
    "SlicingOpLambda": "an operation of TensorFlow's, which Keras 3 cannot run",
    "TFSMLayer": "a layer that loads another file with TensorFlow",
    "TorchModuleWrapper": "a pickled PyTorch module",
    "JaxLayer": "a function of JAX's",
    "FlaxLayer": "a module of Flax's",
    "StringLookup": "a layer that reads a file named in it",
    "IntegerLookup": "a layer that reads a file named in it",
    "TextVectorization": "a layer that reads a file named in it",
}


def keras() -> Any:
    """Import Keras 3 on its PyTorch backend; TensorFlow is not needed.

    Raises:
        BackboneError: it is not installed, or was imported on another backend before.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"  # read once, at the import
    try:
        import keras as library
    except ImportError as error:
        hint = 'pip install "headstart[keras]"'
        raise BackboneError("Keras is not installed.", found=str(error), hint=hint) from error
    if library.backend.backend() != "torch":
        raise BackboneError(
            "Keras is in use here on another backend than PyTorch.",
            found=f"keras {library.__version__} on {library.backend.backend()}",
            hint="Set KERAS_BACKEND=torch before anything imports keras.",
        )
    return library


def read(path: Path) -> Any:
    """Load a whole model from a `.keras`, `.h5` or `.hdf5` file, without its optimiser, on the CPU, in float32.

    Raises:
        UsageError: there is no such file.
        BackboneError: it is none of Keras', holds weights alone, would run code, or Keras cannot load it.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.", hint="Give a .keras or .h5 file that Keras saved.")
    refuse_code(description(path), path.name)
    library = keras()
    older = {} if path.suffix == ".keras" else _older(library)
    try:
        with library.device("cpu"):
            return library.saving.load_model(path, custom_objects=older, compile=False, safe_mode=True)
    except Exception as error:  # a foreign file, written by any version of Keras: anything can be wrong with it
        raise BackboneError(
            f"Keras cannot load {path.name}.",
            found=f"{type(error).__name__}: {error}"[:400],
            hint="Saved by a Keras before 3? Load it there and save it again as .keras; code of one's own is not run.",
        ) from error


def description(path: Path) -> Any:
    """Return the layers of a file as it describes them: plain JSON, nothing of it built.

    Raises:
        BackboneError: it is none of Keras' files, holds weights alone, or points outside itself.
    """
    if path.suffix == ".keras":
        return _of_archive(path)
    import h5py

    if not h5py.is_hdf5(path):
        raise _no_file(path)
    with h5py.File(path) as file:
        _stays_inside(file, path.name)
        said = file.attrs.get("model_config")
    if said is None:
        raise BackboneError(
            f"{path.name} holds weights alone, not the layers that they belong to.",
            hint=f"Of an architecture in keras.applications write keras:ARCHITECTURE@{path.name}.",
        )
    return _parsed(said, path)


def check_weights(path: Path) -> None:
    """Look through a file of weights alone.

    Raises:
        UsageError: there is no such file.
        BackboneError: it is no HDF5, or points outside itself.
    """
    import h5py

    if not path.is_file():
        raise UsageError(f"There is no weights file {path}.", hint="Write keras:ARCHITECTURE@PATH/TO/weights.h5.")
    if not h5py.is_hdf5(path):
        raise _no_file(path)
    with h5py.File(path) as file:
        _stays_inside(file, path.name)


def refuse_code(config: Any, name: str) -> None:
    """Refuse a description that names anything but Keras' own layers, or a layer that runs or reads what it is given.

    Raises:
        BackboneError: it does; the reason is said.
    """
    if isinstance(config, dict):  # losses and metrics of one's own are common there, and it is not read
        config = {k: v for k, v in config.items() if k != "compile_config"}
    for part in _parts(config):
        if why := _reason(part):
            raise BackboneError(
                f"{name} is refused: reading it could run code of whoever made it.",
                found=why,
                hint="Nothing of it was run. Have its author save it with layers of Keras' own (no Lambda).",
            )


def _reason(part: dict[str, Any]) -> str:
    kind, module = str(part["class_name"]), str(part.get("module") or "keras")
    own = module.split(".")[0] == "keras"
    called = (part.get("config") or {}) if isinstance(part.get("config"), dict) else {}
    if kind in _CODE:
        return f"{_CODE[kind]} (layer {called.get('name', 'without a name')})"
    if kind == "function" and "activations" not in module:
        return f"the function {part.get('config')} of {part.get('module')}"
    if not own or ">" in str(part.get("registered_name") or ""):
        return f"{part.get('registered_name') or kind} of {module}, which is not Keras' own"
    return ""


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield whatever in a description stands for an object."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and "class_name" in value:
        yield value
    for each in inner:
        yield from _parts(each)


def _of_archive(path: Path) -> Any:
    import h5py

    if not zipfile.is_zipfile(path):
        raise _no_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise _outside(path.name, f"an entry called {name}")
                if name.endswith(".h5"):
                    with archive.open(name) as packed, h5py.File(packed) as file:
                        _stays_inside(file, path.name)
            said = archive.read("config.json")
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise _no_file(path, f"{type(error).__name__}: {error}"[:200]) from error
    return _parsed(said, path)


def _parsed(said: str | bytes, path: Path) -> Any:
    try:
        return json.loads(said)
    except ValueError as error:
        raise _no_file(path, f"its description is no JSON: {error}"[:200]) from error


def _stays_inside(group: Any, name: str, seen: set[int] | None = None) -> None:
    """Refuse HDF5 whose links or data lie in other files: reading it would read those."""
    import h5py

    seen = set() if seen is None else seen
    for key in group:
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise _outside(name, f"{key} lies in {link.filename}")
        if not isinstance(link, h5py.HardLink):
            continue
        item = group[key]
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise _outside(name, f"the numbers of {key} lie in other files")
        address = h5py.h5o.get_info(item.id).addr
        if isinstance(item, h5py.Group) and address not in seen:
            seen.add(address)
            _stays_inside(item, name, seen)


def _outside(name: str, found: str) -> BackboneError:
    hint = "Nothing was read. A model keeps all that it needs inside its own file."
    return BackboneError(f"{name} is refused: it points outside itself.", found=found, hint=hint)


def _no_file(path: Path, found: str = "") -> BackboneError:
    with path.open("rb") as file:
        start = file.read(4)
    pickled = "a pickle, which runs code when it is read; it was not" if start[:1] == b"\x80" else ""
    what = f"{path.name} is not a file of Keras'."
    return BackboneError(what, found=found or pickled or f"it begins with {start!r}", hint="model.save('model.keras')")


def _older(library: Any) -> dict[str, Any]:
    """What Keras 3 has to be told about files of Keras 2: arguments that it no longer takes, MobileNet's own ReLU."""

    def lenient(kind: Any) -> type:
        class Older:
            @staticmethod
            def from_config(config: dict[str, Any]) -> Any:
                known = {k: v for k, v in config.items() if not (k == "groups" and v == 1)}
                if isinstance(known.get("axis"), list) and len(known["axis"]) == 1:
                    known["axis"] = known["axis"][0]
                return kind.from_config(known)

        return Older

    layers = library.layers
    kinds = {kind: lenient(getattr(layers, kind)) for kind in ("DepthwiseConv2D", "BatchNormalization")}
    return {**kinds, "relu6": library.activations.relu6}
