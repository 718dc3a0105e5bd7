"""Vocabularies of small Marian networks: made of the data with SentencePiece, its one door; or grown by the pieces of a
language that the old one spells out letter by letter.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headstart.backbones.sentences import hush

SIZE = 4000
"""Pieces of a new vocabulary: few pairs want few of them (Sennrich and Zhang 2019, 1905.11901), and a batch of captions
took 0.6 times the seconds that it took with 8,000 (see dev/LOG.md)."""
SPELLED = 1.3
"""A vocabulary that takes so many times the pieces that one made of the data takes is not the one for them. English
captions and their French, by a vocabulary of both: 1.00; German by it: see dev/LOG.md."""
OWN = 2.5
"""The same of the language that it writes already. Another domain of it is no reason: on medical texts it was 1.4, and
with a vocabulary of these what the network could do before was lost (captions: BLEU 48.0, from 53.6)."""
NOISE = 0.02
"""Of rows that start as means, as a share of the rows' own spread (as in Hewitt 2021, initialising new words)."""
SILENT = -20.0
"""Added to the logits of pieces that are never written."""
EOS, UNK, PAD = "</s>", "<unk>", "<pad>"


def trained(texts: Iterable[str], size: int = SIZE) -> bytes:
    """Return a SentencePiece model of texts: `</s>` is 0 and `<unk>` 1, as Marian wants.

    Args:
        texts: of both languages.
        size: pieces, fewer where the texts have not so many.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.set_min_log_level(2)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(texts)), model_writer=model, vocab_size=size, hard_vocab_limit=False,
        character_coverage=1.0, eos_id=0, unk_id=1, bos_id=-1, pad_id=-1, num_threads=1,
    )  # fmt: skip
    return model.getvalue()


def pieces(model: bytes, texts: Sequence[str]) -> int:
    """Return how many pieces a model cuts texts into; an unknown one counts as two."""
    import sentencepiece

    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    unknown = read.unk_id()
    return sum(1 + (i == unknown) for ids in read.encode(list(texts)) for i in ids)


def tokenizer_of(model: bytes, languages: tuple[str, str], length: int) -> Any:
    """Return Marian's tokenizer of a SentencePiece model for both languages; `<pad>` comes after its pieces."""
    table = {piece: i for i, piece in enumerate(_pieces(model))}
    return _tokenizer((model, model), {**table, PAD: len(table)}, languages, length)


def grown(old: Any, fresh: bytes, languages: tuple[str, str], length: int) -> Any:
    """Return a tokenizer that reads as an old one does, and writes by a fresh model; new pieces come after the old."""
    table = dict(old.get_vocab())
    for piece in _pieces(fresh):
        table.setdefault(piece, len(table))
    return _tokenizer((old.spm_source.serialized_model_proto(), fresh), table, languages, length)


def _pieces(model: bytes) -> list[str]:
    import sentencepiece

    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [str(read.id_to_piece(i)) for i in range(read.get_piece_size())]


def _tokenizer(models: tuple[bytes, bytes], table: dict[str, int], languages: tuple[str, str], length: int) -> Any:
    from transformers import MarianTokenizer

    hush()
    with TemporaryDirectory() as name:
        folder = Path(name)
        for side, model in zip(("source.spm", "target.spm"), models, strict=True):
            (folder / side).write_bytes(model)
        (folder / "vocab.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
        paths = {side: str(folder / file) for side, file in _FILES.items()}
        return MarianTokenizer(
            **paths, source_lang=languages[0] or None, target_lang=languages[1] or None, model_max_length=length
        )


_FILES = {"source_spm": "source.spm", "target_spm": "target.spm", "vocab": "vocab.json"}


def spells_out(tokenizer: Any, texts: Sequence[str], fresh: bytes) -> float:
    """Return how many times the pieces of a fresh vocabulary an old one takes for texts of the target's language."""
    return pieces(tokenizer.spm_target.serialized_model_proto(), texts) / max(1, pieces(fresh, texts))


def carried(network: Any, old: Any, new: Any, lexicon: Mapping[str, Mapping[str, float]] | None = None) -> int:
    """Give a Marian network the words of another tokenizer, in place; returns how many pieces are new to it.

    A piece that both have keeps its row of the embedding. Another gets the mean of the rows of the old pieces that
    stand for it in a lexicon, weighted by their shares; else of those into which the old tokenizer cuts it (Gee et al.
    2022, fast vocabulary transfer); the mean of all where it knows none. And a little noise, or pieces of one mean
    would be as likely as each other, and which one is written left to rounding. With a lexicon, what the new tokenizer
    does not write is ruled out by its bias: a piece starts as the likeness of an old one, and would not be heard.

    Args:
        network: a Marian network.
        old: its tokenizer.
        new: the tokenizer that it gets.
        lexicon: a new piece -> the old pieces that stand for it, with shares that add up to 1; see `lexicon`.
    """
    import torch

    before = network.get_input_embeddings().weight.detach().clone()
    bias = network.final_logits_bias.detach().clone()
    written = {*_pieces(new.spm_target.serialized_model_proto()), EOS}
    known, table = old.get_vocab(), new.get_vocab()
    rows = torch.empty(len(table), before.shape[1])
    biases = torch.zeros(1, len(table))
    noise = NOISE * before.std() * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    for piece, at in table.items():
        shares = _shares(old, known, piece, lexicon or {})
        ids, share_P = [known[p] for p in shares], torch.tensor(list(shares.values()))
        rows[at] = share_P @ before[ids] if ids else before.mean(0)
        if piece not in known:
            rows[at] += noise[at]
        biases[0, at] = _bias(bias[0, ids], share_P, piece in written, bool(lexicon))
    network.resize_token_embeddings(len(table), mean_resizing=False)
    with torch.no_grad():
        network.get_input_embeddings().weight.copy_(rows)
        network.final_logits_bias = biases
    pad = table[PAD]
    for config in (network.config, network.generation_config):
        config.pad_token_id = config.decoder_start_token_id = pad
    network.config.vocab_size = network.config.decoder_vocab_size = len(table)
    network.generation_config.bad_words_ids = None
    return len(table.keys() - known.keys())


def _bias(bias_P: Any, share_P: Any, written: bool, silences: bool) -> float:
    """Return the bias of a piece's logit.

    Args:
        bias_P: of the old pieces it stands for.
        share_P: their shares.
        written: whether the new tokenizer writes it.
        silences: whether what it does not write is ruled out.
    """
    if silences and not written:
        return SILENT
    if written:  # one that an earlier change of language ruled out is heard again
        bias_P = bias_P.masked_fill(bias_P == SILENT, 0.0)
    return float(share_P @ bias_P)


def _shares(
    old: Any, known: Mapping[str, int], piece: str, lexicon: Mapping[str, Mapping[str, float]]
) -> Mapping[str, float]:
    """Return the old pieces, which are `known`, whose rows another starts from, with their shares."""
    if piece in known:
        return {piece: 1.0}
    if piece in lexicon:
        return lexicon[piece]
    cut = [p for p in old.spm_target.encode(piece.replace("▁", " "), out_type=str) if p in known and p != UNK]
    return {p: cut.count(p) / len(cut) for p in cut}
