"""Networks that write, in PyTorch: their loss as they are trained, and what they write, greedily or along beams.

Encoder, decoder and search are transformers'. Label smoothing is that of Vaswani et al. 2017, 1706.03762.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from headstart.backbones.vocabulary import SILENT
from headstart.codes import WIDTH, codes_of, texts_of
from headstart.heads.texts import Asking, TextHead

IGNORED = -100
LITTLE = 1e-4
"""Of a loss in nats: less than one token more or less of the thousands that are held out is worth."""
LIKE, LIKE_SHARE = 8, 0.5
"""Texts go together whose lengths differ by less tokens, or by less of the shortest: 200 medical ones took 14.8 s where
they could differ by 8 tokens alone, 8.4 s so (greedily; along four beams 42 s and 33 s)."""


class Writer(nn.Module):
    """tokens_NL2, or states_NLD of a frozen encoder -> codes_NK: what the network writes, greedily.

    Greedily, as it is asked again and again while rungs are compared; the head that comes of it follows beams.

    Args:
        body: has the network as `network`; shared, not copied.
        head: how it is asked.
        low: whether it computes in bfloat16.
    """

    heard_V: torch.Tensor | None

    def __init__(self, body: nn.Module, head: TextHead, low: bool = False) -> None:
        super().__init__()
        self.body, self.sentences, self.asking, self.low = body, head.sentences, head.asking, low
        self.register_buffer("heard_V", _heard(body.network), persistent=False)

    def forward(self, x_N: torch.Tensor) -> torch.Tensor:
        network = self.body.network
        with torch.autocast(x_N.device.type, dtype=torch.bfloat16, enabled=self.low):
            ids_NT = search(network, given(network, x_N), self.sentences, 1, self.asking.penalty)
        texts = self.sentences.texts(ids_NT.cpu().numpy())
        return torch.from_numpy(codes_of(texts, WIDTH).astype(np.float32))

    def loss(self, x_B: torch.Tensor, codes_BT: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy of the target's tokens, labels smoothed, in nats."""
        logits_BTV, labels_BT = self._told(x_B, codes_BT)
        smoothing = self.asking.smoothing if self.training else 0.0
        flat_V = logits_BTV.float().flatten(0, 1)
        return F.cross_entropy(flat_V, labels_BT.flatten(), ignore_index=IGNORED, label_smoothing=smoothing)

    def missed(self, x_B: torch.Tensor, codes_BT: torch.Tensor) -> torch.Tensor:
        """Return the share of the target's tokens that are not the likeliest, given those before them, and a little of
        their loss, by which equal shares are told apart: a network that says one word yet may be learning.

        What is written gets better long after the loss has turned: see dev/LOG.md.
        """
        logits_BTV, labels_BT = self._told(x_B, codes_BT)
        there_BT = labels_BT != IGNORED
        loss = F.cross_entropy(logits_BTV.float().flatten(0, 1), labels_BT.flatten(), ignore_index=IGNORED)
        return (logits_BTV.argmax(-1) != labels_BT)[there_BT].float().mean() + LITTLE * loss

    def _told(self, x_B: torch.Tensor, codes_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits_BTV of each token of the target, given those before it, and labels_BT; of a network whose bias
        rules tokens out, V are the others: smoothed labels would teach it to write these all the same."""
        network: Any = self.body.network
        labels_BT = self.sentences.labels(texts_of(codes_BT.cpu().numpy())).to(x_B.device)
        with torch.autocast(x_B.device.type, dtype=torch.bfloat16, enabled=self.low):
            logits_BTV = network(**given(network, x_B), **taught(network, labels_BT), use_cache=False).logits
        if self.heard_V is None:
            return logits_BTV, labels_BT
        place_V = torch.full((logits_BTV.shape[-1],), IGNORED, device=x_B.device)
        place_V[self.heard_V] = torch.arange(len(self.heard_V), device=x_B.device)
        moved_BT = torch.where(labels_BT == IGNORED, IGNORED, place_V[labels_BT.clamp_min(0)])
        return logits_BTV[..., self.heard_V], moved_BT

    def head(self, temperature: float = 1.0) -> TextHead:
        """Return the head of the network as it is now."""
        return TextHead(self.body.network, self.sentences, self.asking)  # type: ignore[arg-type]


def _heard(network: Any) -> torch.Tensor | None:
    """Return the tokens that a network's bias does not rule out; None where it rules out none."""
    bias = getattr(network, "final_logits_bias", None)
    heard = None if bias is None else bias[0] != SILENT
    return None if heard is None or bool(heard.all()) else heard.nonzero()[:, 0]


def given(network: Any, x_N: torch.Tensor) -> dict[str, Any]:
    """Return the arguments of a network for tokens_NL2, or for states_NLD that its encoder gave before."""
    if x_N.is_floating_point():
        from transformers.modeling_outputs import BaseModelOutput

        there_NL = (x_N != 0).any(-1)
        return {"encoder_outputs": BaseModelOutput(last_hidden_state=x_N), "attention_mask": there_NL.long()}
    there_NL = x_N[..., 1] == 1
    longest = max(1, int(there_NL.sum(1).max()))  # the first part stands at the front
    x_N, there_NL = x_N[:, :longest], there_NL[:, :longest]
    ids_NL = torch.where(there_NL, x_N[..., 0], network.config.pad_token_id).long()
    return {"input_ids": ids_NL, "attention_mask": there_NL.long()}


def taught(network: Any, labels_BT: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the decoder's input: the labels moved by one, as its library moves them, without its loss if it can."""
    move = getattr(network, "prepare_decoder_input_ids_from_labels", None)
    return {"labels": labels_BT} if move is None else {"decoder_input_ids": move(labels=labels_BT)}


def search(network: Any, inputs: dict[str, Any], sentences: Any, beams: int, penalty: float) -> torch.Tensor:
    """Return ids_NT of what a network writes, eval mode or not; the special tokens are still in it."""
    length = inputs["attention_mask"].shape[1]
    made: torch.Tensor = network.generate(
        **inputs,
        num_beams=beams,
        do_sample=False,
        length_penalty=penalty,
        early_stopping=beams > 1,
        max_new_tokens=min(sentences.length, 2 * length + 20),
        **sentences.forced,
    )
    return made


def written(network: Any, sentences: Any, tokens_NL2: NDArray[Any], asking: Asking) -> list[str]:
    """Return what a network writes for each input, in order.

    An input in several parts (see `Sentences.load`) is written part by part; one without a token gives an empty text.
    Parts of like lengths go together. They are filled up to the longest of them, which a mask hides: what one gives
    depends on its neighbours by rounding alone.
    """
    parts = [(row, part_L) for row, tokens_L2 in enumerate(tokens_NL2) for part_L in _parts(tokens_L2)]
    order = sorted(range(len(parts)), key=lambda i: len(parts[i][1]))
    texts = [""] * len(parts)
    place = next(network.parameters()).device
    with torch.inference_mode():
        for at in like_lengths([len(parts[i][1]) for i in order], asking.batch):
            inputs = _filled([parts[i][1] for i in order[at]], network.config.pad_token_id, place)
            ids_BT = search(network, inputs, sentences, asking.beams, asking.penalty)
            for i, text in zip(order[at], sentences.texts(ids_BT.cpu().numpy()), strict=True):
                texts[i] = text
    out: list[list[str]] = [[] for _ in tokens_NL2]
    for (row, _), text in zip(parts, texts, strict=True):
        out[row].append(text)
    return [sentences.joint.join(each) for each in out]


def _parts(tokens_L2: NDArray[Any]) -> list[NDArray[np.int64]]:
    number_L = tokens_L2[:, 1].astype(np.int64)
    ids_L = tokens_L2[:, 0].astype(np.int64)
    return [ids_L[number_L == part] for part in range(1, int(number_L.max(initial=0)) + 1)]


def _filled(ids: Sequence[NDArray[np.int64]], pad: int, place: torch.device) -> dict[str, torch.Tensor]:
    """Return the arguments of a network for parts of different lengths."""
    ids_BL = np.full((len(ids), max(map(len, ids))), pad, np.int64)
    mask_BL = np.zeros_like(ids_BL)
    for row_L, there_L, each in zip(ids_BL, mask_BL, ids, strict=True):
        row_L[: len(each)], there_L[: len(each)] = each, 1
    return {"input_ids": torch.from_numpy(ids_BL).to(place), "attention_mask": torch.from_numpy(mask_BL).to(place)}


def like_lengths(lengths: Sequence[int], size: int) -> list[slice]:
    """Return slices of sorted lengths, each of like ones (see `LIKE`) and of `size` at most."""
    out, start = [], 0
    for i in range(1, len(lengths) + 1):
        apart = max(LIKE, LIKE_SHARE * lengths[start])
        if i == len(lengths) or lengths[i] - lengths[start] >= apart or i - start == size:
            out.append(slice(start, i))
            start = i
    return out
