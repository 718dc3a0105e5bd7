"""Tiny translators and pairs of sentences that tests make: Marian, T5, mBART, NLLB and M2M-100 with random weights, and
one of Marian's architecture that was taught a language of twenty words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from headstart.backbones.vocabulary import tokenizer_of, trained

hf.logging.set_verbosity_error()
hf.logging.disable_progress_bar()

ENGLISH = ("dog", "cat", "man", "boy", "sees", "hears", "likes", "red", "big", "old", "house", "tree", "river", "car")
FRENCH = ("chien", "chat", "homme", "fils", "voit", "entend", "aime", "rouge", "grand", "vieux", "toit", "arbre",
          "fleuve", "auto")  # fmt: skip
WORDS = dict(zip(ENGLISH, FRENCH, strict=True))
WIDTH, LONGEST = 64, 64
_CODES = {"mbart": ("en_XX", "fr_XX"), "nllb": ("eng_Latn", "fra_Latn")}


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return different pairs: words in an order of their own, each with a translation of its own."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        words = [str(word) for word in rng.choice(ENGLISH, int(rng.integers(3, 7)), replace=False)]
        found[" ".join(words)] = " ".join(WORDS[word] for word in words)
    return list(found.items())


def table(path: Path, count: int = 48, seed: int = 0) -> Path:
    """Write pairs as a table; returns the file."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / "pairs.tsv"
    file.write_text("en\tfr\n" + "".join(f"{s}\t{t}\n" for s, t in sentences(count, seed)), encoding="utf-8")
    return file


def _sizes(heads: str = "attention_heads") -> dict[str, int]:
    return {
        "d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 1, f"encoder_{heads}": 2, f"decoder_{heads}": 2,
        "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": LONGEST,
    }  # fmt: skip


def marian_tokenizer() -> Any:
    texts = [text for pair in sentences(200) for text in pair]
    return tokenizer_of(trained(texts, 200), ("en", "fr"), LONGEST)


def marian(tokenizer: Any | None = None) -> tuple[Any, Any]:
    tokenizer = tokenizer or marian_tokenizer()
    pad = tokenizer.get_vocab()["<pad>"]
    ids = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0}
    config = hf.MarianConfig(
        vocab_size=pad + 1, decoder_vocab_size=pad + 1, bos_token_id=None, dropout=0.0, scale_embedding=True,
        **_sizes(), **ids,
    )  # fmt: skip
    return hf.MarianMTModel(config), tokenizer


def _pieces() -> list[str]:
    letters = sorted(
        {letter for word in (*ENGLISH, *FRENCH, "translate English to French:") for letter in word} - {" "}
    )
    return ["▁", *letters, *(f"▁{word}" for word in (*ENGLISH, *FRENCH, "translate", "English", "to", "French:"))]


def t5() -> tuple[Any, Any]:
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -float(len(piece) < 3)) for piece in _pieces())]
    tokenizer = hf.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=LONGEST)
    config = hf.T5Config(
        vocab_size=len(tokenizer), d_model=WIDTH, d_kv=16, d_ff=48, num_layers=1, num_decoder_layers=1, num_heads=2,
        decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config), tokenizer


def mbart() -> tuple[Any, Any]:
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocab = [*special, *((piece, -float(len(piece) < 3)) for piece in _pieces())]
    tokenizer = hf.MBart50Tokenizer(vocab=vocab, model_max_length=LONGEST)
    config = hf.MBartConfig(vocab_size=len(tokenizer), decoder_start_token_id=2, dropout=0.0, **_sizes())
    return hf.MBartForConditionalGeneration(config), tokenizer


def nllb() -> tuple[Any, Any]:
    pieces = {piece: 4 + i for i, piece in enumerate(_pieces())}
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **pieces}
    tokenizer = hf.NllbTokenizer(vocab=vocab, merges=[], model_max_length=LONGEST)
    config = hf.M2M100Config(vocab_size=len(tokenizer), decoder_start_token_id=2, dropout=0.0, **_sizes())
    return hf.M2M100ForConditionalGeneration(config), tokenizer


def m2m(folder: Path) -> tuple[Any, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    model = trained([text for pair in sentences(200) for text in pair], 200)
    (folder / "spm.model").write_bytes(model)
    import sentencepiece

    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [read.id_to_piece(i) for i in range(read.get_piece_size())]
    words = ["<s>", "<pad>", "</s>", "<unk>", *(p for p in pieces if p not in ("</s>", "<unk>"))]
    table = {word: i for i, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(table), encoding="utf-8")
    tokenizer = hf.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "spm.model"), model_max_length=LONGEST, src_lang="en", tgt_lang="fr"
    )
    config = hf.M2M100Config(
        vocab_size=max(tokenizer.lang_token_to_id.values()) + 9, decoder_start_token_id=2, dropout=0.0, **_sizes()
    )
    return hf.M2M100ForConditionalGeneration(config), tokenizer


FAMILIES: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "marian": lambda folder: marian(),
    "t5": lambda folder: t5(),
    "mbart": lambda folder: mbart(),
    "nllb": lambda folder: nllb(),
    "m2m": lambda folder: m2m(folder / "files"),
}


def translator_folder(folder: Path, family: str = "marian") -> Path:
    """Save a translator with random weights as transformers does; returns the folder."""
    torch.manual_seed(0)
    network, tokenizer = FAMILIES[family](folder)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def filled(rows: list[list[int]], value: int) -> torch.Tensor:
    """Return rows of one length, filled up with a value."""
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def taught_folder(folder: Path, steps: int = 450) -> Path:
    """Save a translator of Marian's architecture that knows most of the twenty words; returns the folder."""
    torch.manual_seed(0)
    network, tokenizer = marian()
    pairs = sentences(400, seed=7)
    sources = [tokenizer(source).input_ids for source, _ in pairs]
    targets = [tokenizer(text_target=target).input_ids for _, target in pairs]
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = [int(i) for i in rng.integers(0, len(pairs), 32)]
        x_BL = filled([sources[i] for i in chosen], tokenizer.pad_token_id)
        labels_BT = filled([targets[i] for i in chosen], -100)
        mask_BL = (x_BL != tokenizer.pad_token_id).long()
        network(input_ids=x_BL, attention_mask=mask_BL, labels=labels_BT).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    network.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
