"""Tiny encoders of texts and texts that tests make: nine families with random weights, a tokenizer that knows words."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from headstart.backbones.encoder import Encoding
from headstart.backbones.texts import open_text_backbone

hf.logging.set_verbosity_error()
hf.logging.disable_progress_bar()

Tokens = NDArray[np.int32]
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
TOPICS = {
    "sea": ("wave", "ship", "salt", "harbour", "gull", "tide"),
    "kitchen": ("pan", "onion", "oven", "butter", "spoon", "soup"),
    "sky": ("cloud", "star", "moon", "rain", "wind", "sun"),
}
COMMON = ("the", "a", "of", "and", "is", "was", "in", "near", "very", "old", "we", "saw")
WORDS = (*SPECIAL, *COMMON, *(word for words in TOPICS.values() for word in words))
LAYERS, WIDTH, LONGEST = 3, 32, 32

_SMALL = {"vocab_size": len(WORDS), "num_hidden_layers": LAYERS, "max_position_embeddings": 2 * LONGEST}
_USUAL = {**_SMALL, "hidden_size": WIDTH, "num_attention_heads": 4, "intermediate_size": 48}
_DISTIL = {**_SMALL, "dim": WIDTH, "n_heads": 4, "hidden_dim": 48, "n_layers": LAYERS}
_DEBERTA = {
    "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True,
    "norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0,
}  # fmt: skip
_MODERN = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2, "local_attention": 8}
CONFIGS: dict[str, Callable[[], Any]] = {
    "bert": lambda: hf.BertConfig(**_USUAL),
    "distilbert": lambda: hf.DistilBertConfig(**{k: v for k, v in _DISTIL.items() if k != "num_hidden_layers"}),
    "roberta": lambda: hf.RobertaConfig(pad_token_id=1, type_vocab_size=1, **_USUAL),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(pad_token_id=1, **_USUAL),
    "electra": lambda: hf.ElectraConfig(embedding_size=16, **_USUAL),
    "mpnet": lambda: hf.MPNetConfig(pad_token_id=1, **_USUAL),
    "deberta-v2": lambda: hf.DebertaV2Config(**_DEBERTA, **_USUAL),
    "modernbert": lambda: hf.ModernBertConfig(pad_token_id=0, **_MODERN, **_USUAL),
    "camembert": lambda: hf.CamembertConfig(pad_token_id=1, **_USUAL),
}
POOLED = ("bert", "roberta", "xlm-roberta", "mpnet", "camembert")
"""Those that have a pooled output of their own."""


def tokenizer(padding: str = "[PAD]") -> Any:
    """Return a tokenizer of transformers that knows a few dozen words, as BERT puts them in order."""
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=padding,
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=LONGEST,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def network(family: str, seed: int = 0) -> Any:
    """Return an encoder of transformers in eval mode; its random weights are large, so that no layer does nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = hf.AutoModel.from_config(CONFIGS[family](), dtype="float32").eval()
        for name, parameter in made.named_parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
            elif "norm" not in name.lower():
                torch.nn.init.normal_(parameter, std=0.1)
    return made


def encoder_folder(folder: Path, family: str = "bert", seed: int = 0) -> Path:
    """Save an encoder and its tokenizer as transformers does; return the folder."""
    network(family, seed).save_pretrained(folder)
    # The families do not agree on the number of the filling token: it is the one that their configuration says.
    tokenizer(WORDS[CONFIGS[family]().pad_token_id]).save_pretrained(folder)
    return folder


def sentence(topic: str, seed: int, words: int = 0) -> str:
    """Return a text of a topic; two words of three are the topic's own."""
    rng = np.random.default_rng([seed, *topic.encode()])
    count = words or int(rng.integers(3, 18))
    return " ".join(str(rng.choice(COMMON if i % 3 == 1 else TOPICS[topic])) for i in range(count))


def table(path: Path, each: int = 12, seed: int = 0) -> Path:
    """Write a table of texts of three topics; return its path."""
    path = path.with_suffix(".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f'"{sentence(topic, 1000 * seed + i)}",{topic}' for i in range(each) for topic in TOPICS]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return path


def tokens(count: int, seed: int = 0, pair: bool = False) -> Tokens:
    """Return tokens_L2 of a text with so many tokens, filled up as texts are."""
    rng = np.random.default_rng([seed, count])
    made = np.zeros((-(-count // 4) * 4, 2), np.int32)
    made[:count, 0] = rng.integers(len(SPECIAL), len(WORDS), count)
    made[:count, 1] = 1
    if pair:
        made[count // 2 : count, 1] = 2
    return made


def some_tokens(*counts: int) -> list[Tokens]:
    """Return tokens_L2 of texts with so many tokens each; every third one is a pair."""
    return [tokens(count, seed, pair=seed % 3 == 2) for seed, count in enumerate(counts)]


@functools.cache
def _opened(folder: Path) -> Any:
    return open_text_backbone(str(folder))


def encodings(folder: Path) -> dict[str, Encoding]:
    """Return the encodings of a saved encoder by the names of their readouts."""
    return {way.name: way.open().trunk for way in _opened(folder).readouts}


def weights(width: int, classes: int = 3, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight_DK and bias_K of a linear layer that is sure of some things and not of others."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(width, classes)), rng.normal(size=classes)
