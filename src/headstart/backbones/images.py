"""Finding an image backbone by what the user wrote: a name, a folder, a hub address, ARCHITECTURE@WEIGHTS."""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path

from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError


def open_image_backbone(name: str) -> Backbone:
    """Open a pretrained image network.

    Args:
        name: `default` or `efficientnet_lite0`, which needs no network (`auto` too, where there was no race); a folder
            in timm's, transformers' or headstart's layout; a `.keras` or `.h5` file that Keras saved, or a folder with
            one; `keras:NAME`; `ARCHITECTURE@WEIGHTS`; a hub address `owner/name`; the name of a timm model; or two of
            these with a plus between, whose features are joined.

    Raises:
        BackboneError: there is no such model, it cannot be reached, or its weights do not fit.
        UsageError: a file that was named is not there.
    """
    from headstart.backbones import from_keras, from_timm, from_transformers, from_weights, texts
    from headstart.backbones.texts import is_text_model

    if name in ("default", "auto", from_timm.DEFAULT):
        return from_timm.offline_default()
    folder = Path(name).expanduser()
    if name == texts.DEFAULT or is_text_model(folder):
        raise BackboneError(f"{name} reads texts, and these are pictures.", hint=f"The default is {from_timm.DEFAULT}.")
    if folder.is_dir():
        return _open_folder(folder, name)
    if (two := _two(name)) is not None:
        from headstart.backbones.joined import join

        return join(name, *(open_image_backbone(each) for each in two))
    if name.startswith(from_keras.PREFIX):
        return from_keras.by_name(name)
    if "@" not in name and (folder.is_file() or from_keras.is_file(folder) or folder.suffix.lower() in _NO_MODELS):
        return _open_file(folder, name)
    if name.startswith(("hf-hub:", "hf_hub:", "timm/")):
        return from_timm.by_name(f"hf-hub:{name}" if name.startswith("timm/") else name)
    if "@" in name:
        return from_weights.open_weights(name)
    if from_timm.is_name(name):
        return from_timm.by_name(name)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return from_transformers.open_model(name, name, f"Hugging Face hub: {name}")
    near = get_close_matches(name, [from_timm.DEFAULT, *from_timm.names()], 3)
    raise BackboneError(
        f"No backbone is called {name!r}, and no folder either.",
        hint=f"Did you mean {', '.join(near)}? " * bool(near) + "`headstart backbones` lists what can be used here.",
    )


def _two(name: str) -> tuple[str, str] | None:
    """Return the two names that are joined by a plus; None where there are no two, or the plus belongs to a path."""
    first, plus, second = name.partition("+")
    there = Path(name.rpartition("@")[2]).expanduser().exists()
    return (first.strip(), second.strip()) if plus and first.strip() and second.strip() and not there else None


_NO_MODELS = {
    ".onnx": "An ONNX file cannot be trained further, and its weights may lie in any other file that it names.",
    ".safetensors": "It holds weights alone, not the layers that they belong to.",
    ".pt": "A whole PyTorch model is a pickle, which runs code when it is read.",
    ".pth": "A whole PyTorch model is a pickle, which runs code when it is read.",
    ".bin": "A whole PyTorch model is a pickle, which runs code when it is read.",
    ".ckpt": "A checkpoint is a pickle, which runs code when it is read.",
    ".pkl": "A pickle runs code when it is read.",
    ".pickle": "A pickle runs code when it is read.",
    ".joblib": "A pickle runs code when it is read.",
}
_INSTEAD = {
    ".onnx": "Give the model that it was exported from: a .keras file, a model folder, or ARCHITECTURE@FILE.",
}


def _open_file(path: Path, name: str) -> Backbone:
    """Open a file that is named alone; what is no model, or no safe one, is refused by its name, unread."""
    from headstart.backbones import from_keras

    if from_keras.is_file(path):
        return from_keras.open_file(path, name)
    ending = path.suffix.lower()
    instead = "Give its weights with the architecture: ARCHITECTURE@FILE; of pickles only tensors are read."
    raise BackboneError(
        f"{path.name} is no file that a backbone can be opened from. {_NO_MODELS.get(ending, '')}".strip(),
        found=f"a file that ends in {ending}; nothing of it was read" if ending else "a file without an ending",
        hint=_INSTEAD.get(ending, instead),
    )


def _open_folder(folder: Path, name: str) -> Backbone:
    from headstart.backbones import from_keras, from_timm, from_transformers, from_weights

    if not (folder / "config.json").exists() and from_keras.file_in(folder):
        return from_keras.open_folder(folder, name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        files = sorted(p.name for p in folder.iterdir())[:6]
        raise BackboneError(
            f"{name} is not a model folder: it has no readable config.json.",
            found=", ".join(files) or "an empty folder",
            hint="For a bare weights file write ARCHITECTURE@FILE, for example vgg16@weights.safetensors.",
        ) from error
    config = config if isinstance(config, dict) else {}
    theirs = config.keys() & {"library", "architecture", "model_type"}
    if config.get("library") == "keras" or (not theirs and from_keras.file_in(folder)):
        return from_keras.open_folder(folder, name)
    if config.get("library") == "joined":
        from headstart.backbones.joined import open_joined

        return open_joined(folder, name, _open_folder)
    if "library" in config:
        return from_weights.open_folder(folder, name)
    if "architecture" in config:
        return from_timm.from_folder(folder, name)
    if "model_type" in config:
        return from_transformers.open_model(str(folder), name, f"local folder {folder.name}")
    raise BackboneError(
        f"The config.json of {name} is in no layout known here.",
        found=f"keys {', '.join(sorted(config)[:8]) or 'none'}",
        hint="timm's has `architecture`, transformers' has `model_type`.",
    )
