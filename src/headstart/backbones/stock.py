"""What was read out of an encoder, said in the layers of the library's own classifier, so that it loads without us.

The classifiers of transformers read the first token through a dense layer and its activation. Both can be made to let
the vector through: tanh of a small number is that number, gelu and relu of a large one are that one. Where the mean
over the tokens was taken, a layer more makes it: its attention, all queries and keys zero, is the same to every token,
and its last normalisation is the one that `encoder.ReadOut` computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from headstart.backbones.encoder import MEAN, Encoding, blocks, layer_count
from headstart.errors import BackboneError

_SMALL = 2.0**-10
"""tanh(x) is x to 3e-5 of it for x of 10 of these."""
_OFFSET = 32.0
"""gelu(x) is x in float32 from 6 on; what is read out is rarely below -20 (normalised vectors of 384 cannot be)."""
_LOUD = 2.0**16
"""How much louder the mean is than the token itself, which a layer adds: the vector is off by 2e-5."""


@dataclass(frozen=True)
class Family:
    """How the classifier of a kind of encoder is built.

    Attributes:
        dense: path of the dense layer before the last.
        activation: what comes after it.
        last: path of the last layer.
        means: how the mean can be said: by a `layer` more, by the `config`, or not at all (empty).
    """

    dense: str
    activation: str
    last: str
    means: str = "layer"


_ROBERTA = Family("classifier.dense", "tanh", "classifier.out_proj")
FAMILIES = {
    "bert": Family("bert.pooler.dense", "tanh", "classifier"),
    "camembert": _ROBERTA,
    "data2vec-text": _ROBERTA,
    "deberta-v2": Family("pooler.dense", "gelu", "classifier"),
    "distilbert": Family("pre_classifier", "relu", "classifier"),
    "electra": Family("classifier.dense", "gelu", "classifier.out_proj"),
    "ernie": Family("ernie.pooler.dense", "tanh", "classifier"),
    "modernbert": Family("head.dense", "gelu", "classifier", "config"),
    # Positions are added to its attention, layer by layer the same: it cannot be made even.
    "mpnet": Family("classifier.dense", "tanh", "classifier.out_proj", ""),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}
_VALUES = ("attention.self.value", "attention.v_lin", "attention.self.value_proj")
_OUTS = ("attention.output.dense", "attention.out_lin")


def family(model_type: str) -> Family:
    """Return how the classifier of a kind of encoder is built.

    Raises:
        BackboneError: that is not known here.
    """
    if model_type not in FAMILIES:
        raise BackboneError(
            f"Encoders of the kind {model_type!r} are not supported.", found="", hint=f"Known: {', '.join(FAMILIES)}."
        )
    return FAMILIES[model_type]


def classifier(
    encoding: Encoding, labels: Sequence[str], weight_DK: NDArray[np.float64], bias_K: NDArray[np.float64]
) -> Any:
    """Return `AutoModelForSequenceClassification`'s model that gives what an encoding and a linear layer give.

    Its configuration says under `headstart` how many layers are the encoder's, and what is read out.

    Raises:
        BackboneError: weights are left over or lacking: this version of the library builds it otherwise.
    """
    from transformers import AutoModelForSequenceClassification

    kind, count = encoding.readout.kind, layer_count(encoding.network)
    config: Any = deepcopy(encoding.network.config)
    known = family(config.model_type)
    further = int(kind == MEAN and known.means == "layer")
    config.num_hidden_layers = count + further
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:count]
    if known.means == "config":
        config.classifier_pooling = "mean" if kind == MEAN else "cls"
        config.classifier_bias = True
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    config.headstart = {"layers": count, "readout": kind}
    model = AutoModelForSequenceClassification.from_config(config, dtype="float32", trust_remote_code=False).eval()
    config.architectures = model.config.architectures = [type(model).__name__]
    with torch.no_grad():
        _fill(model, encoding, further)
        _head(model, known, encoding, torch.tensor(weight_DK.T), torch.tensor(bias_K))
    return model.requires_grad_(False)


def _fill(model: Any, encoding: Encoding, further: int) -> None:
    base = model.base_model
    state = dict(encoding.network.state_dict())
    result = base.load_state_dict(state, strict=False)
    count = layer_count(encoding.network)
    new = ("pooler.", f"{blocks(base)}.{count}.")
    lost = [key for key in result.missing_keys if not key.startswith(new)]
    if lost or result.unexpected_keys:
        raise BackboneError(
            "The library's classifier is built otherwise than expected.",
            found=", ".join([*lost, *result.unexpected_keys][:5]),
        )
    if further:
        _averaging(base.get_submodule(f"{blocks(base)}.{count}"))


def _averaging(layer: nn.Module) -> None:
    """Make a layer give, at every token, the normalised mean over all tokens."""
    for name, parameter in layer.named_parameters():
        norm = "norm" in name.lower() and name.endswith("weight")
        parameter.fill_(1.0 if norm else 0.0)
    for path, factor in ((_VALUES, 1.0), (_OUTS, _LOUD)):
        found = next(p for p in path if p in dict(layer.named_modules()))
        weight: Any = layer.get_submodule(found).weight
        weight.copy_(factor * torch.eye(len(weight)))


def _head(model: nn.Module, known: Family, encoding: Encoding, weight_KD: torch.Tensor, bias_K: torch.Tensor) -> None:
    last: Any = model.get_submodule(known.last)
    dense: Any = model.get_submodule(known.dense)
    if encoding.readout.pooler is not None:  # the same two layers
        dense.load_state_dict(encoding.readout.pooler.dense.state_dict())  # type: ignore[union-attr]
    else:
        eye = torch.eye(len(dense.weight), dtype=torch.float64)
        small = known.activation == "tanh"
        dense.weight.copy_(eye * _SMALL if small else eye)
        if small:
            weight_KD = weight_KD / _SMALL
        if dense.bias is not None:
            dense.bias.fill_(0.0 if small else _OFFSET)
        if not small and known.means != "config":  # there, a normalisation comes after it
            bias_K = bias_K - _OFFSET * weight_KD.sum(1)
    last.weight.copy_(weight_KD)
    last.bias.copy_(bias_K)
