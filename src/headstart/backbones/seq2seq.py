"""A translator taken apart: its encoder below a cut, its decoder above it, and which of its weights a rung trains.

Networks that are made here share their modules with the one they are made of: training one trains the other. What both
sides of a cut read, such as an embedding of words in common, stays frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from headstart.backbones.backbone import Backbone
from headstart.backbones.depths import EVERYTHING, Depth

_CROSS = ("encoder_attn", "EncDecAttention")
_EXIT = ("lm_head", "final_layer_norm", "final_logits_bias", "layer_norm")
CROSS = "the decoder's cross-attention and output"
DECODER = "the decoder"


class Translating(nn.Module):
    """tokens_NL2 -> tokens_NL2: holds an encoder and decoder of transformers whose features are its inputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        return tokens_NL2

    def requires_grad_(self, requires_grad: bool = True) -> Translating:
        """Let all be trained that is saved; see `unsaved`."""
        lost = unsaved(self.network)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(requires_grad and name not in lost)
        return self


class States(nn.Module):
    """tokens_NL2 -> states_NLD: what the encoder gives of a text's first part, zeros where there is no token."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder, self.pad = network.get_encoder(), int(network.config.pad_token_id)

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        there_NL = tokens_NL2[..., 1] == 1
        ids_NL = torch.where(there_NL, tokens_NL2[..., 0], self.pad).long()
        states_NLD: torch.Tensor = self.encoder(input_ids=ids_NL, attention_mask=there_NL.long())[0]
        return states_NLD * there_NL.unsqueeze(-1)


@dataclass(frozen=True)
class _Half:
    """Encoder and decoder. `shared`: parameters of the top that stay frozen."""

    trunk: nn.Module
    top: nn.Module
    shared: tuple[str, ...]


def depths(backbone: Backbone) -> tuple[Depth, ...]:
    """Return the places to train a translator from, shallowest first: what the decoder looks at the encoder with, and
    its output; the decoder; everything."""
    network: Any = backbone.trunk.network
    total = sum(p.numel() for p in network.parameters())
    out = []
    for name, wanted in ((CROSS, _crossing), (DECODER, lambda path: True)):
        cut = partial(_halves, network, wanted)
        half = cut()
        mine = sum(p.numel() for n, p in half.top.named_parameters() if n not in half.shared)
        out.append(Depth(name, mine / total, cut))
    return (*out, Depth(EVERYTHING, 1.0, kept=tuple(f"network.{name}" for name in sorted(unsaved(network)))))


def unsaved(network: Any) -> frozenset[str]:
    """Return the names of parameters that a network's library does not save but computes anew, such as Marian's sines
    of positions: what they learned would be lost on the way to the file."""
    return frozenset(getattr(network, "_keys_to_ignore_on_save", None) or ())


def _crossing(path: str) -> bool:
    """Whether a parameter of the decoder is of its cross-attention, or of the end behind its layers."""
    inside = any(f".{name}." in path for name in _CROSS) or any(f".{name}_layer_norm." in path for name in _CROSS)
    return inside or (".layers." not in path and ".block." not in path and any(name in path for name in _EXIT))


def _halves(network: Any, wanted: Callable[[str], bool]) -> _Half:
    top = Translating(copy.copy(network))
    below = {id(p) for p in network.get_encoder().parameters()}
    decoder = {id(p) for p in network.get_decoder().parameters()} | {
        id(p) for p in getattr(network, "lm_head", nn.Module()).parameters()
    }
    lost = {f"network.{name}" for name in unsaved(network)}
    frozen = tuple(
        name
        for name, p in top.named_parameters()
        if id(p) in below or id(p) not in decoder or not wanted(f".{name}") or name in lost
    )
    return _Half(States(network), top, frozen)
