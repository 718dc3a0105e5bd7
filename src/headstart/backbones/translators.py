"""Finding a translator by what the user wrote, and making it fit the pairs: languages, vocabulary, a new network."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from headstart.backbones.backbone import Backbone, freeze
from headstart.backbones.from_seq2seq import between, languages_of, open_translator, sentences, translator
from headstart.data.examples import Examples
from headstart.errors import BackboneError
from headstart.store import load_json

T = TypeVar("T")
NEW = "new:marian-small"
RECORD = "headstart.json"
NOTHING = (
    "no pretrained translator comes with the installation, so a small one is trained from nothing, on these pairs; "
    "--backbone names one that knows the languages, such as Helsinki-NLP/opus-mt-en-fr of the hub, or a folder"
)
LENGTH = 128
LOOKED, SHORT = 1000, 200
"""Sources that are translated to find what stands for what, and characters that they have at most; by a network of ten
million parameters: they take it some ten seconds, and larger ones translate fewer."""
MODEL = {
    "d_model": 256, "encoder_layers": 3, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 1024, "decoder_ffn_dim": 1024, "dropout": 0.1,
    "activation_function": "swish", "scale_embedding": True, "static_position_embeddings": True,
    "max_position_embeddings": 256, "tie_word_embeddings": True, "share_encoder_decoder_embeddings": True,
}  # fmt: skip
"""Opus-MT's architecture at half its width and depth: an hour on two cores is enough to train it (see recipes/)."""


def open_translation_backbone(name: str) -> Backbone:
    """Open a pretrained translator.

    Args:
        name: a folder in transformers' or headstart's layout; a name on the hub, such as
            `Helsinki-NLP/opus-mt-en-fr`; or `new:marian-small`, a small network with random weights and a vocabulary of
            the data's own, which is also what is taken where none is named, with a word about it.

    Raises:
        BackboneError: there is no such model.
    """
    if name == NEW:
        return _blank()
    if name in ("default", "auto", ""):
        return replace(_blank(), why=NOTHING)
    if name.startswith("new:"):
        raise BackboneError("There is no such new network.", found=name, hint=f"There is {NEW}.")
    folder = Path(name).expanduser()
    if folder.is_dir():
        opened = open_translator(str(folder), name, f"local folder {folder.name}")
        told = _told(folder)
        return opened if told is None else between(opened, told)
    return open_translator(name, name, f"Hugging Face hub: {name}")


def _told(folder: Path) -> tuple[str, str] | None:
    """Return the languages that a model of headstart's was told; None for other folders."""
    if not (folder / RECORD).exists():
        return None
    about = load_json(folder / RECORD).get("preprocessing", {})
    return about.get("from", ""), about.get("to", "")


def fitted(backbone: Backbone, examples: Examples) -> Backbone:
    """Return a translator as these pairs need it.

    A new one gets a vocabulary and random weights; of a small Marian network that spells the target's language out
    letter by letter the vocabulary is renewed; all others are told their languages.

    Raises:
        BackboneError: it must be told a language that nobody said, or that it does not know.
    """
    if backbone.untrained:
        return replace(_new(examples), why=backbone.why)
    languages = languages_of(backbone, examples)
    if backbone.architecture == "marian" and not sentences(backbone).source.supported_language_codes:
        backbone = _respelled(backbone, examples, languages)
    return between(backbone, languages)


def _texts(examples: Examples) -> tuple[list[str], list[str]]:
    """Return the sources and targets that are learned from."""
    learned = [e for e in examples.items if e.part in ("", "train", "general")]
    return [e.content.read().decode("utf-8", "replace") for e in learned], [str(e.target) for e in learned]


def _blank() -> Backbone:
    """Return what stands for a new network until the data are read."""
    from headstart.backbones.vocabulary import tokenizer_of, trained

    model = trained(["a b c d e f g h i j k l m n o p q r s t u v w x y z"], 64)
    made = _made(tokenizer_of(model, ("", ""), LENGTH), ("", ""))
    return replace(made, untrained=True)


def _new(examples: Examples) -> Backbone:
    from headstart.backbones.vocabulary import tokenizer_of, trained

    sources, targets = _texts(examples)
    model = trained([*sources, *targets])
    made = _made(tokenizer_of(model, examples.languages, LENGTH), examples.languages)
    return replace(between(made, examples.languages), untrained=True)


def _made(tokenizer: Any, languages: tuple[str, str], seed: int = 0) -> Backbone:
    """Return a small Marian network with random weights."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    pad = tokenizer.get_vocab()["<pad>"]
    ids = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0}
    config = MarianConfig(vocab_size=pad + 1, decoder_vocab_size=pad + 1, bos_token_id=None, **MODEL, **ids)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = freeze(MarianMTModel(config))
    return translator(network, tokenizer, NEW, "random weights", languages)


def _respelled(backbone: Backbone, examples: Examples, languages: tuple[str, str]) -> Backbone:
    """Return a Marian network with a vocabulary of the data, where its own spells the target's language out."""
    from headstart.backbones.vocabulary import OWN, SPELLED, carried, grown, spells_out, trained

    fed = sentences(backbone)
    sources, targets = _texts(examples)
    fresh = trained(targets)
    times = spells_out(fed.source, _some(targets, 500), fresh)
    own = (fed.source.source_lang, fed.source.target_lang)
    known = [a or b for a, b in zip(fed.languages, own, strict=True)]
    same = bool(languages[1]) and languages[1] == known[1]
    if times < (OWN if same else SPELLED) or fed.source.separate_vocabs:
        return backbone
    network = deepcopy(backbone.trunk.network)
    tokenizer = grown(fed.source, fresh, languages, fed.length)
    another = bool(languages[1] and known[1]) and not same and languages[0] in ("", known[0])
    stands = _standing(backbone, tokenizer, sources, targets) if another else {}
    new = carried(network, fed.source, tokenizer, stands)
    made = translator(network, tokenizer, backbone.name, backbone.source, languages)
    what = f"for the targets its vocabulary takes {times:.1f} times the pieces that one of these data takes"
    count = len(stands.keys() - fed.source.get_vocab().keys())
    how = f"{count} of which start as what it wrote where they stand" if count else "which start as means of old ones"
    return replace(made, why=f"{what}, so it writes by that one: {new} pieces are new, {how}")


def _standing(
    backbone: Backbone, new: Any, sources: Sequence[str], targets: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return which pieces of the language that a network writes stand for those of the targets: it writes the sources,
    and pieces of the one and the other that come together in pairs belong together."""
    import numpy as np

    from headstart.backbones.lexicon import lexicon
    from headstart.heads.texts import Asking
    from headstart.heads.writer import written
    from headstart.ragged import pile

    fed = sentences(backbone)
    short = [(a, b) for a, b in zip(sources, targets, strict=True) if a and b and max(len(a), len(b)) <= SHORT]
    chosen = _some(short, min(LOOKED, max(100, LOOKED * 10_000_000 // backbone.parameters)))
    if not chosen:
        return {}
    tokens_NL2 = pile([np.asarray(fed.load(source.encode())) for source, _ in chosen])
    said = written(backbone.trunk.network, fed, tokens_NL2, Asking(beams=1))
    old, known = fed.source, fed.source.get_vocab()
    theirs = [[p for p in old.spm_target.encode(text, out_type=str) if p in known] for text in said]
    return lexicon(theirs, [new.spm_target.encode(text, out_type=str) for _, text in chosen])


def _some(texts: Sequence[T], count: int) -> list[T]:
    return list(texts[:: max(1, len(texts) // count)])[:count]
