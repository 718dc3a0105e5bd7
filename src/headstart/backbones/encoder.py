"""An encoder of transformers taken apart: its layers below and above a cut, and the vectors that are read out of it.

All of it takes tokens_NL2 (see `tokens`) or hidden_NLD in which places of zeros are no tokens, and computes what the
library's own model computes of these, bit for bit. Networks that are made here share their modules with the one they
are made of: training one trains the other.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from headstart.backbones.depths import SHARES, Depth
from headstart.backbones.tokens import STEP
from headstart.errors import BackboneError

MEAN, FIRST, OWN = "mean", "first", "own"


def blocks(network: nn.Module) -> str:
    """Return the path of the list of the encoder's layers.

    Raises:
        BackboneError: there is none.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len({type(child) for child in module}) == 1:
            return path
    raise BackboneError("This is no encoder of layers in a row.", found=type(network).__name__)


def with_module(network: nn.Module, path: str, module: nn.Module | None) -> nn.Module:
    """Return a network that differs in one submodule and shares all others."""
    made = copy.copy(network)
    made._modules = dict(network._modules)
    first, _, rest = path.partition(".")
    inner = network._modules[first]
    made._modules[first] = with_module(inner, rest, module) if rest and inner is not None else module
    return made


def with_layers(network: nn.Module, kept: slice) -> nn.Module:
    """Return a network with some of its layers."""
    path = blocks(network)
    return with_module(network, path, nn.ModuleList(list(network.get_submodule(path).children())[kept]))


def layer_count(network: nn.Module) -> int:
    """Return how many layers an encoder has."""
    return len(list(network.get_submodule(blocks(network)).children()))


def given(network: Any, tokens_NL2: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the arguments of a network of the library's for tokens."""
    there_NL = tokens_NL2[..., 1] > 0
    ids_NL = torch.where(there_NL, tokens_NL2[..., 0], network.config.pad_token_id or 0).long()
    made = {"input_ids": ids_NL, "attention_mask": there_NL.long()}
    if getattr(network.config, "type_vocab_size", 0) > 1 and "token_type_ids" in _arguments(type(network)):
        made["token_type_ids"] = (tokens_NL2[..., 1] - 1).clamp(min=0).long()
    return made


def hidden_states(network: Any, tokens_NL2: torch.Tensor) -> torch.Tensor:
    """Return hidden_NLD of the last layer, zeros where there is no token."""
    hidden_NLD: torch.Tensor = network(**given(network, tokens_NL2))[0]
    return hidden_NLD * (tokens_NL2[..., 1] > 0).unsqueeze(-1)


def _arguments(kind: type) -> set[str]:
    return set(inspect.signature(kind.forward).parameters)  # type: ignore[attr-defined]


def shortened(rows_NL: torch.Tensor) -> torch.Tensor:
    """Leave away the end that none of the rows fills; in a trace, where lengths are not known yet, nothing.

    To a length that inputs have: what a text gives must not depend on how long its neighbours of one shape are.
    """
    if torch._C._get_tracing_state() is not None:
        return rows_NL
    there_L = (rows_NL != 0).any(-1).any(0)
    longest = int(there_L.nonzero().max()) + 1 if bool(there_L.any()) else 1
    return rows_NL[:, : -(-longest // STEP) * STEP]


class Below(nn.Module):
    """tokens_NL2 -> hidden_NLD: the embeddings and some layers, zeros where there is no token."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        return hidden_states(self.network, shortened(tokens_NL2))


class _Reached(Exception):  # noqa: N818 - no error
    """The first layer was reached: what it is given is what was wanted."""

    def __init__(self, hidden_NLD: torch.Tensor) -> None:
        super().__init__()
        self.hidden_NLD = hidden_NLD


def _reached(hidden_NLD: torch.Tensor, *_: Any, **__: Any) -> None:
    raise _Reached(hidden_NLD)


def _hollow(layer: nn.Module) -> nn.Module:
    """Return a layer that looks like another one, has no weights, and ends the run at what it is given."""
    made = copy.copy(layer)
    made._modules, made._parameters, made._buffers = {}, {}, {}
    made.forward = _reached
    return made


class Embedding(nn.Module):
    """tokens_NL2 -> hidden_NLD: what the first layer is given. Some encoders cannot run without any layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        path = blocks(network)
        first = next(network.get_submodule(path).children())
        self.network = with_module(network, path, nn.ModuleList([_hollow(first)]))

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        tokens_NL2 = shortened(tokens_NL2)
        try:
            self.network(**given(self.network, tokens_NL2))
        except _Reached as reached:
            return reached.hidden_NLD * (tokens_NL2[..., 1] > 0).unsqueeze(-1)
        raise BackboneError("This encoder runs past its first layer.", found=type(self.network).__name__)


class _Entrance(nn.Module):
    """Stands where the embeddings were, and gives what comes from below the cut."""

    hidden_NLD: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.hidden_NLD


class Above(nn.Module):
    """hidden_NLD -> features_ND: the layers above a cut, and the readout."""

    def __init__(self, network: nn.Module, readout: nn.Module) -> None:
        super().__init__()
        self.entrance = _Entrance()
        made = with_module(network, "embeddings", self.entrance)
        if isinstance(made._modules.get("embeddings_project"), nn.Module):
            made = with_module(made, "embeddings_project", nn.Identity())
        self.network, self.readout = made, readout

    def forward(self, hidden_NLD: torch.Tensor) -> torch.Tensor:
        hidden_NLD = shortened(hidden_NLD)
        there_NL = (hidden_NLD != 0).any(-1)
        self.entrance.hidden_NLD = hidden_NLD
        out_NLD = self.network(input_ids=there_NL.long(), attention_mask=there_NL.long())[0]
        features_ND: torch.Tensor = self.readout(out_NLD, there_NL)
        return features_ND


class ReadOut(nn.Module):
    """(hidden_NLD, there_NL) -> features_ND.

    The mean over the tokens is brought to mean 0 and variance 1 over its dimensions, as a layer of a transformer ends:
    so that layers of the library's own can say it (see `stock`). Of some encoders the first token is as well.
    """

    def __init__(self, kind: str, epsilon: float, pooler: nn.Module | None = None, even: bool = False) -> None:
        super().__init__()
        self.kind, self.epsilon, self.pooler, self.even = kind, epsilon, pooler, even or kind == MEAN

    def forward(self, hidden_NLD: torch.Tensor, there_NL: torch.Tensor) -> torch.Tensor:
        if self.pooler is not None:
            pooled_ND: torch.Tensor = self.pooler(hidden_NLD)
            return pooled_ND
        read_ND = hidden_NLD[:, 0]
        if self.kind == MEAN:
            there_NL1 = there_NL.unsqueeze(-1).to(hidden_NLD.dtype)
            read_ND = (hidden_NLD * there_NL1).sum(1) / there_NL1.sum(1).clamp(min=1)
        return F.layer_norm(read_ND, read_ND.shape[1:], eps=self.epsilon) if self.even else read_ND


class Encoding(nn.Module):
    """tokens_NL2 -> features_ND: a whole encoder, read out in one way."""

    def __init__(self, network: nn.Module, readout: ReadOut) -> None:
        super().__init__()
        self.network, self.readout = network, readout

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        tokens_NL2 = shortened(tokens_NL2)
        features_ND: torch.Tensor = self.readout(hidden_states(self.network, tokens_NL2), tokens_NL2[..., 1] > 0)
        return features_ND


class Several(nn.Module):
    """tokens_NL2 -> features_ND: what several layers give, each read out in its own ways, side by side.

    `ways` are (how many layers, readout), all of one width. A layer before the last goes through the network's last
    normalisation, if it has one, as it would if it were the last.
    """

    def __init__(self, network: nn.Module, ways: Sequence[tuple[int, ReadOut]]) -> None:
        super().__init__()
        self.network, self.after = network, [count for count, _ in ways]
        self.readouts = nn.ModuleList(readout for _, readout in ways)

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        tokens_NL2 = shortened(tokens_NL2)
        there_NL = tokens_NL2[..., 1] > 0
        kept: dict[int, torch.Tensor] = {}
        layers = self.network.get_submodule(blocks(self.network))
        hooks = [
            layer.register_forward_hook(partial(_keep, kept, number))
            for number, layer in enumerate(layers.children(), 1)
            if number in self.after
        ]
        try:
            kept[len(list(layers.children()))] = hidden_states(self.network, tokens_NL2)
        finally:
            for hook in hooks:
                hook.remove()
        read = zip(self.after, self.readouts, strict=True)
        return torch.cat([readout(self._ended(kept, after), there_NL) for after, readout in read], -1)

    def _ended(self, kept: dict[int, torch.Tensor], after: int) -> torch.Tensor:
        norm = getattr(self.network, "final_norm", None)
        last = after == max(kept)
        ended: torch.Tensor = kept[after] if last or norm is None else norm(kept[after])
        return ended


def _keep(kept: dict[int, torch.Tensor], number: int, _: nn.Module, __: Any, out: Any) -> None:
    kept[number] = out if isinstance(out, torch.Tensor) else out[0]


class Logits(nn.Module):
    """tokens_NL2 -> logits_NK: a classifier of the library's, without its output record."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        logits_NK: torch.Tensor = self.network(**given(self.network, shortened(tokens_NL2)))[0]
        return logits_NK


@dataclass(frozen=True)
class Halves:
    """An encoder in two: `top(trunk(tokens_NL2))` is what the whole gives. `shared`: parameters that both read."""

    trunk: nn.Module
    top: nn.Module
    shared: tuple[str, ...] = ()


def split(encoding: Encoding, after: int) -> Halves:
    """Cut an encoder after so many layers; after 0, above its embeddings."""
    above = with_layers(encoding.network, slice(after, None))
    below = with_layers(encoding.network, slice(after or 1))
    if isinstance(below._modules.get("final_norm"), nn.Module):
        below = with_module(below, "final_norm", nn.Identity())
    if "encoder.conv" in dict(above.named_modules()):  # some DeBERTas', which stands beside the first layer
        above = with_module(above, "encoder.conv", None) if after else above
        below = below if after else with_module(below, "encoder.conv", None)
    return _halves(Below(below) if after else Embedding(below), Above(above, encoding.readout))


def _halves(trunk: nn.Module, top: nn.Module) -> Halves:
    """Return two halves; where attention knows of distances by weights that all layers read, both have these."""
    below = {id(parameter) for parameter in trunk.parameters()}
    shared = tuple(name for name, parameter in top.named_parameters() if id(parameter) in below)
    return Halves(trunk.eval(), top.eval(), shared)


def depths(encoding: nn.Module, shares: Sequence[float] = SHARES) -> tuple[Depth, ...]:
    """Return the places to train from: the last layers, more of them, all of them.

    The embeddings stay as they are: they are most of a small encoder's weights, and a few thousand texts hold few of
    the words that they know.
    """
    assert isinstance(encoding, Encoding)
    count = layer_count(encoding.network)
    places = dict.fromkeys(count - math.ceil(share * count) for share in shares)
    few = [(f"after layer {after}", (count - after) / count, after) for after in places if after > 0]
    ends = [*few, ("after the embeddings", 0.99, 0)]
    return tuple(Depth(n, s, partial(split, encoding, after)) for n, s, after in ends)
