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
        name: `auto` or `efficientnet_lite0` (the offline default); a folder in timm's, transformers' or
            headstart's layout; `ARCHITECTURE@WEIGHTS`; a hub address `owner/name`; or the name of a timm model.

    Raises:
        BackboneError: there is no such model, it cannot be reached, or its weights do not fit.
        UsageError: a file that was named is not there.
    """
    from headstart.backbones import from_timm, from_transformers, from_weights, texts
    from headstart.backbones.texts import is_text_model

    if name in ("auto", from_timm.DEFAULT):
        return from_timm.offline_default()
    folder = Path(name).expanduser()
    if name == texts.DEFAULT or is_text_model(folder):
        raise BackboneError(f"{name} reads texts, and these are pictures.", hint=f"The default is {from_timm.DEFAULT}.")
    if folder.is_dir():
        return _open_folder(folder, name)
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


def _open_folder(folder: Path, name: str) -> Backbone:
    from headstart.backbones import from_timm, from_transformers, from_weights

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
