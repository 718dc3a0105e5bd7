"""transformers: encoders with decoders that translate (Marian, T5, mBART, NLLB, M2M-100). Its one door for them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, Saved, count_parameters, freeze, weights_digest
from headstart.backbones.languages import set_to, spoken
from headstart.backbones.scratch import rebuilt
from headstart.backbones.sentences import Sentences, digest_of, hush, longest
from headstart.data.examples import Examples
from headstart.errors import BackboneError, ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

ALIKE = 256
"""Sources are told to be alike by their tokens, counted in so many bins."""
_CODE = """from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained(".").eval()
tokenizer = AutoTokenizer.from_pretrained("."{languages})
batch = tokenizer([{prefix}text for text in ["A text."]], return_tensors="pt", padding=True)
said = tokenizer.batch_decode(model.generate(**batch{forced}), skip_special_tokens=True)"""


def open_translator(place: str, name: str, source: str) -> Backbone:
    """Open a translator by hub name or folder. Its languages are set later: see `between`.

    Raises:
        BackboneError: it cannot be loaded, or lacks weights.
    """
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    hush()
    try:
        # trust_remote_code is off by default only after a question on the terminal.
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        network, report = AutoModelForSeq2SeqLM.from_pretrained(
            place, dtype="float32", output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # foreign files and a hub: anything can be wrong
        raise BackboneError(
            f"transformers cannot load {name} as a translator.",
            found=f"{type(error).__name__}: {error}"[:300],
            hint="The folder needs config.json, model.safetensors and the tokenizer's files of encoder and decoder. "
            "new:marian-small is trained from nothing.",
        ) from error
    if lost := sorted(report["missing_keys"]):
        raise BackboneError(f"The weights of {name} lack layers.", found=", ".join(lost[:5]))
    return translator(network, tokenizer, name, source)


def translator(network: Any, tokenizer: Any, name: str, source: str, languages: tuple[str, str] = ("", "")) -> Backbone:
    """Return a network and its tokenizer as a backbone, with whatever it must be told still to be set."""
    from headstart.backbones.seq2seq import Translating

    trunk = freeze(Translating(network))
    fed = Sentences(tokenizer, tokenizer, longest(tokenizer, network), languages, "", {}, digest_of(tokenizer))
    return Backbone(
        name=name,
        library="transformers",
        architecture=str(network.config.model_type),
        trunk=trunk,
        preprocess=fed,
        dim=int(network.config.d_model),
        parameters=count_parameters(trunk),
        weights=weights_digest(trunk),
        source=source,
        licence="not stated",
        cut="input: the network is taken whole",
        missing=(),
        save=partial(_save, fed),
        fresh=partial(rebuilt, partial(_from_config, network.config), trunk),
        whole=alike,
    )


def between(backbone: Backbone, languages: tuple[str, str]) -> Backbone:
    """Return a translator that is told its languages.

    Raises:
        BackboneError: it must be told one that nobody said, or that it does not know.
    """
    fed, network = sentences(backbone), backbone.trunk.network
    told = spoken(fed.source, network, languages, backbone.name)
    source, target = (set_to(_copied(fed.source), told) for _ in range(2))
    made = replace(
        fed, source=source, target=target, languages=languages, prefix=told.prefix, forced=told.forced, known={}
    )
    return replace(backbone, preprocess=made, save=partial(_save, made))


def _copied(tokenizer: Any) -> Any:
    """Return a tokenizer of its own: asked for the target's texts, it changes meanwhile. Copied deeply, those in Python
    would read files, which may be gone."""
    if getattr(tokenizer, "backend_tokenizer", None) is not None:
        return deepcopy(tokenizer)
    made = object.__new__(type(tokenizer))
    made.__dict__.update(tokenizer.__dict__)
    return made


def sentences(backbone: Backbone) -> Sentences:
    """Return the preprocessing of a translator."""
    assert isinstance(backbone.preprocess, Sentences)
    return backbone.preprocess


def alike(tokens_NL2: NDArray[Any]) -> NDArray[np.float32]:
    """Return how often a text has tokens of each of some bins, the usual of all texts taken away."""
    out = np.zeros((len(tokens_NL2), ALIKE), np.float32)
    row_T, place_T = np.nonzero(tokens_NL2[..., 1])
    np.add.at(out, (row_T, tokens_NL2[row_T, place_T, 0].astype(np.int64) * 2654435761 % 4294967296 % ALIKE), 1.0)
    often = np.log1p(len(out) / (1 + (out > 0).sum(0)))
    return np.asarray(out * often, np.float32)


def _from_config(config: Any) -> nn.Module:
    """Build the translator that a configuration describes, with random weights."""
    from transformers import AutoModelForSeq2SeqLM

    from headstart.backbones.seq2seq import Translating

    return Translating(AutoModelForSeq2SeqLM.from_config(deepcopy(config), dtype="float32", trust_remote_code=False))


def _save(fed: Sentences, folder: Path, labels: tuple[str, ...], network: Any, head: Any) -> Saved:
    """Write the network and its tokenizer, and read them back, so that what is checked is what lies there."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    hush()
    asking = head.asking
    network.generation_config.update(
        num_beams=asking.beams,
        length_penalty=asking.penalty,
        early_stopping=asking.beams > 1,
        max_length=None,
        max_new_tokens=fed.length,  # else transformers stops after 20
    )
    if "forced_bos_token_id" in fed.forced:
        network.generation_config.forced_bos_token_id = fed.forced["forced_bos_token_id"]
    network.save_pretrained(folder)
    fed.source.save_pretrained(folder)
    again = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype="float32", trust_remote_code=False)
    _same_weights(network, again)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    told = spoken(tokenizer, again, fed.languages, str(folder))
    read = replace(fed, source=set_to(_copied(tokenizer), told), target=set_to(tokenizer, told), known={})
    return Saved("transformers", _code(fed), _writing(freeze(again), read, head))


def _same_weights(network: nn.Module, again: nn.Module) -> None:
    """Raises ModelError where a network that was read back has another weight: texts alone would hide small ones.

    What its library computes anew may be off by the rounding of a published file in half precision, and no more.
    """
    import torch

    from headstart.backbones.seq2seq import unsaved

    read, anew = again.state_dict(), unsaved(network)

    def same(name: str, tensor: torch.Tensor) -> bool:
        other = read[name].to(tensor)
        return torch.allclose(tensor, other, rtol=0, atol=1e-3) if name in anew else torch.equal(tensor, other)

    if lost := [n for n, tensor in network.state_dict().items() if n not in read or not same(n, tensor)]:
        raise ModelError(
            "The translator as transformers loads it has other weights; it was not saved.",
            found=", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else ""),
            hint="This architecture is unusual: please report it, and take another backbone.",
        )


def _code(fed: Sentences) -> str:
    codes = (getattr(fed.source, "src_lang", None), getattr(fed.source, "tgt_lang", None)) if fed.forced else ()
    languages = f', src_lang="{codes[0]}", tgt_lang="{codes[1]}"' if codes else ""
    forced = f", forced_bos_token_id={fed.forced['forced_bos_token_id']}" if fed.forced else ""
    return _CODE.format(languages=languages, prefix=f'"{fed.prefix}" + ' if fed.prefix else "", forced=forced)


def _writing(network: nn.Module, fed: Sentences, head: Any) -> nn.Module:
    """Return tokens_NL2 -> codes_NK of a saved network, which checks it against what was judged."""
    import torch
    from torch import nn

    from headstart.codes import codes_of
    from headstart.heads.writer import written

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
            texts = written(network, fed, tokens_NL2.cpu().numpy(), head.asking)
            return torch.from_numpy(codes_of(texts).astype(np.float32))

    return freeze(Written())


def languages_of(backbone: Backbone, examples: Examples) -> tuple[str, str]:
    """Return from what into what is translated: as the data say, else as the tokenizer does."""
    fed = sentences(backbone)
    own = (getattr(fed.source, "source_lang", ""), getattr(fed.source, "target_lang", ""))
    said = tuple(a or b or c or "" for a, b, c in zip(examples.languages, fed.languages, own, strict=True))
    return said[0], said[1]
