"""Keras: models that TensorFlow or Keras saved, as `.keras` or `.h5`, and `keras.applications` by name.

They run on PyTorch, by Keras 3's own backend for it: see `keras_layers`. What a saved file says about the pixels that
it was trained on is only what its first layers do. Where these do nothing, a network of keras.applications is taken to
have had that one's `preprocess_input`; of any other it has to be said, in a `config.json` beside the file.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from headstart.backbones.backbone import Backbone, count_parameters, freeze, pooled_dim, weights_digest
from headstart.backbones.keras_files import ENDINGS, check_weights, keras, read
from headstart.backbones.keras_graph import (
    COLOURS,
    below_classifier,
    channels_last,
    colours_of,
    network_names,
    unfolded,
)
from headstart.data.pixels import Preprocess
from headstart.errors import BackboneError, UsageError

PREFIX = "keras:"
_SIDE = 224  # of a network that takes any size
_SIDES = {"Xception": 299, "InceptionV3": 299, "InceptionResNetV2": 299, "NASNetLarge": 331}
_SIDES |= {f"EfficientNetB{i}": side for i, side in enumerate((224, 240, 260, 300, 380, 456, 528, 600))}
_SIDES |= {
    f"EfficientNetV2{n}": side for n, side in {"B1": 240, "B2": 260, "B3": 300, "S": 384, "M": 480, "L": 480}.items()
}


def is_file(path: Path) -> bool:
    """Say whether a path is called as Keras calls its files."""
    return path.suffix.lower() in ENDINGS


def file_in(folder: Path) -> Path | None:
    """Return the one file of Keras' in a folder; None where there is none.

    Raises:
        BackboneError: there are several.
    """
    files = sorted(p for p in folder.iterdir() if p.is_file() and is_file(p))
    if len(files) > 1:
        found = ", ".join(p.name for p in files[:6])
        raise BackboneError(f"{folder.name} holds more than one Keras model.", found=found, hint="Name one file.")
    return files[0] if files else None


def open_file(path: Path, name: str) -> Backbone:
    """Open a `.keras` or `.h5` file; a `config.json` beside it may say what it cannot.

    Of that, `pixels` is one of `0..1`, `-1..1`, `0..255`, `torch` and `caffe`: what the network takes.

    Raises:
        UsageError: there is no such file.
        BackboneError: it is no whole model, would run code, cannot be cut, or nobody knows which pixels it takes.
    """
    model = read(path)
    said = _beside(path.parent)
    return _wrapped(model, name, f"local file {path.name}", said)


def open_folder(folder: Path, name: str) -> Backbone:
    """Open a folder with one `.keras` or `.h5` file in it, as headstart writes it or as it was found.

    Raises:
        BackboneError: it has none or several; and as `open_file`.
    """
    path = file_in(folder)
    if path is None:
        raise BackboneError(f"{name} has no Keras model in it.", hint=f"One file that ends in {', '.join(ENDINGS)}.")
    return _wrapped(read(path), name, f"local folder {folder.name}", _beside(folder))


def by_name(name: str) -> Backbone:
    """Open `keras:ARCHITECTURE`, with ImageNet weights from Keras' store, or `keras:ARCHITECTURE@FILE`, with one's own.

    Raises:
        UsageError: keras.applications has no such architecture, or there is no such file.
        BackboneError: the weights cannot be reached, or are another architecture's.
    """
    asked, _, file = name.removeprefix(PREFIX).partition("@")
    library = keras()
    makers = {n.lower(): getattr(library.applications, n) for n in dir(library.applications) if n[0].isupper()}
    make = makers.get(asked.lower())
    if make is None:
        from difflib import get_close_matches

        near = get_close_matches(asked.lower(), list(makers), 3)
        hint = "Did you mean " + ", ".join(makers[n].__name__ for n in near) + "?" if near else ""
        raise UsageError(f"keras.applications has no architecture called {asked!r}.", hint=hint)
    if file:
        model, source = _with_own(make, Path(file).expanduser()), f"local file {Path(file).name}"
    else:
        model, source = _with_imagenet(make), f"keras.applications: {make.__name__}, ImageNet"
    return _wrapped(model, name, source, {"architecture": make.__name__})


def _with_imagenet(make: Any) -> Any:
    try:
        with keras().device("cpu"):
            return make(weights="imagenet", **_headless(make))
    except Exception as error:  # Keras' own client raises bare exceptions
        raise BackboneError(
            f"The weights of {make.__name__} cannot be had.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint=f"Offline, give a saved .keras or .h5 file, or {PREFIX}{make.__name__}@WEIGHTS.h5.",
        ) from error


def _headless(make: Any) -> dict[str, Any]:
    side = _SIDES.get(make.__name__, _SIDE)
    return {"include_top": False, "pooling": "avg", "input_shape": (side, side, 3)}


def _with_own(make: Any, path: Path) -> Any:
    check_weights(path)
    failure: Exception | None = None
    for whole in (False, True):
        try:
            with keras().device("cpu"):
                model = make(weights=None, **({} if whole else _headless(make)))
                model.load_weights(path)
                return model
        except Exception as error:  # other names, numbers or shapes, each with an exception of its own
            failure = failure or error
    raise BackboneError(
        f"{path.name} does not hold the weights of {make.__name__}.", found=f"{type(failure).__name__}: {failure}"[:300]
    ) from failure


def _beside(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.exists():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError("The config.json beside the Keras model cannot be read.", found=str(error)[:200]) from error
    return said if isinstance(said, dict) else {}


def _wrapped(model: Any, name: str, source: str, said: dict[str, Any]) -> Backbone:
    """Make a backbone of a loaded model.

    Args:
        model: as Keras loaded it.
        name: as it was asked for.
        source: where it comes from.
        said: what `config.json` says: `pixels`, `preprocess`, `architecture`, `head`, `cut`; all may be left out.
    """
    from headstart.backbones.keras_layers import Kept, KerasTrunk
    from headstart.backbones.keras_save import Network, fresh, save

    names = network_names(model)
    graph = unfolded(model)
    colours, why = (said["pixels"], "as config.json says") if said.get("pixels") else colours_of(graph, names)
    preprocess = _preprocess(graph, colours, said.get("preprocess"))
    features, cut = below_classifier(graph, str(said.get("head") or ""))
    named, cut = str(said.get("architecture") or names[-1]), str(said.get("cut") or cut)
    network = Network(Kept(features), preprocess, colours, named, cut)
    trunk = KerasTrunk(features, network.bgr)
    freeze(trunk)
    return Backbone(
        name=name,
        library="keras",
        architecture=network.architecture,
        trunk=trunk,
        preprocess=preprocess,
        dim=pooled_dim(trunk, preprocess),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=f"{source}; pixels {colours}, {why}",
        licence="not stated",
        cut=cut,
        missing=(),
        save=partial(save, network, trunk),
        fresh=partial(fresh, network, trunk),
    )


def _preprocess(graph: Any, colours: str, record: Any) -> Preprocess:
    """Return the preprocessing: the whole picture squeezed to the size, bilinear, as Keras' own loaders do.

    Raises:
        BackboneError: nothing says which pixels the network takes.
    """
    if colours not in COLOURS:
        raise BackboneError(
            "Nothing says which pixels this Keras model was trained on, and wrong ones spoil its features.",
            found=f"pixels {colours!r}"
            if colours
            else "no Rescaling or Normalization, no network of keras.applications",
            hint='Write a config.json beside it: {"pixels": "0..1"}, or another of ' + ", ".join(COLOURS) + ".",
        )
    if isinstance(record, dict):
        try:
            settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
            return Preprocess(**settings)
        except TypeError as error:
            raise BackboneError("The preprocessing in config.json is not one.", found=str(error)) from error
    shape, how = graph.inputs[0].shape, COLOURS[colours]
    sides = shape[1:3] if channels_last(graph) else shape[2:4]
    size = (int(sides[0] or _SIDE), int(sides[1] or _SIDE))
    return Preprocess(size, "squash", size, "bilinear", how.mean, how.std)
