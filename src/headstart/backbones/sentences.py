"""Sentences: how a text becomes the input of a translator, and what it writes a text. The tokenizer's one door.

An input is tokens_L2 in int32: the token's number, and the part of the text that it belongs to, from 1; a text that is
longer than the network reads is cut into parts at the ends of sentences. A place of zeros is no token.
"""

from __future__ import annotations

import hashlib
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.backbones.tokens import LONGEST, STEP
from headstart.data.encodings import decoded
from headstart.errors import DataError

_ENDS = re.compile(r"(?<=[.!?…;:])\s+|(?<=[。！？；])")
_UNSPACED = ("zh", "ja", "th", "lo", "km", "my")
IGNORED = -100


@dataclass(frozen=True)
class Sentences:
    """A translator's tokenizer as its network needs it.

    Attributes:
        source: of transformers, set to the language that is translated from; saved with the model.
        target: the same, set to the one that is translated into.
        length: most tokens of a text, or of a part of one.
        languages: the codes of both, empty where nobody said them.
        prefix: what every text is begun with, by which some networks know what is asked.
        forced: what transformers' `generate` must be told beside the input.
        digest: of all that decides what tokens come out.
    """

    source: Any = field(repr=False)
    target: Any = field(repr=False)
    length: int
    languages: tuple[str, str]
    prefix: str
    forced: dict[str, Any]
    digest: str
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)
    known: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sentences:
        return self  # nothing in it changes but what is remembered

    def key(self) -> str:
        """Return all that decides the numbers a network sees, for the cache's key."""
        return f"sentences 1;{self.digest};length={self.length};prefix={self.prefix};{'>'.join(self.languages)}"

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        name = type(self.source).__name__
        languages = {"from": self.languages[0], "to": self.languages[1]}
        return {"tokenizer": name, "length": self.length, "sha256": self.digest, **languages, "prefix": self.prefix}

    def said(self) -> str:
        """Return it as people read it."""
        known = f"{type(self.source).__name__}, {len(self.source):,} tokens known"
        return f"{known}; longer texts are cut at the ends of sentences into parts of {self.length} tokens at most"

    @property
    def joint(self) -> str:
        """What stands between the parts of a long text once they are written."""
        return "" if self.languages[1] in _UNSPACED else " "

    def load(self, data: bytes) -> NDArray[np.int32]:
        """Return tokens_L2 of a text's bytes; of one without a visible character, places of zeros.

        Raises:
            DataError: it is no text.
        """
        if b"\0" in data and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError("A text cannot be read.", found="it has NUL characters in it")
        text = " ".join(decoded(data)[0].split())
        if not text:
            return np.zeros((STEP, 2), np.int32)
        return numbered([self.ids(part) for part in self._parts(text)])

    def ids(self, text: str) -> list[int]:
        """Return the numbers of a source text's tokens, with those that the network wants around them."""
        with self.lock:
            return list(self.source(self.prefix + text).input_ids)

    def labels(self, texts: Sequence[str]) -> torch.Tensor:
        """Return labels_BT of target texts, cut off at `length`, filled up with -100."""
        rows = [self._labels(text)[: self.length] for text in texts]
        out = torch.full((len(rows), max(map(len, rows))), IGNORED)
        for place, row in zip(out, rows, strict=True):
            place[: len(row)] = torch.tensor(row)
        return out

    def texts(self, ids_NT: NDArray[Any]) -> list[str]:
        """Return what a network wrote, without special tokens."""
        # M2M-100's tokenizer, where no file says so, does not take its codes of languages for special tokens.
        codes = list((getattr(self.target, "lang_token_to_id", None) or {}).values())
        plain_NT = np.where(np.isin(ids_NT, codes), self.target.pad_token_id, ids_NT) if codes else ids_NT
        with self.lock:
            decode = self.target.batch_decode
            return [" ".join(t.split()) for t in decode(plain_NT, skip_special_tokens=True)]

    def read_back(self, tokens_L2: NDArray[Any]) -> str:
        """Return the text that tokens were made of, as far as the tokenizer knows it."""
        ids = tokens_L2[tokens_L2[:, 1] > 0, 0].astype(np.int64)
        ids = ids[~np.isin(ids, list(getattr(self.source, "prefix_tokens", None) or ()))]
        with self.lock:
            text = " ".join(str(self.source.decode(ids, skip_special_tokens=True)).split())
        return text.removeprefix(self.prefix.strip()).strip()

    def parts(self, data: bytes) -> int:
        """Return in how many parts a text is translated."""
        return int(self.load(data)[:, 1].max())

    def _labels(self, text: str) -> list[int]:
        if text not in self.known:
            with self.lock:
                self.known[text] = list(self.target(text_target=text).input_ids)
        return self.known[text]

    def _parts(self, text: str) -> Iterator[str]:
        """Yield as many sentences at a time as the network reads."""
        if len(self.ids(text)) <= self.length:
            yield text
            return
        held = ""
        for sentence in self._sentences(text):
            if held and len(self.ids(f"{held} {sentence}")) > self.length:
                yield held
                held = sentence
            else:
                held = f"{held} {sentence}".strip()
        if held:
            yield held

    def _sentences(self, text: str) -> Iterator[str]:
        """Yield sentences, halves of those that are too long, of words or, where there is just one, of characters."""
        for sentence in filter(None, _ENDS.split(text)):
            if len(self.ids(sentence)) <= self.length:
                yield sentence
                continue
            words = sentence.split(" ")
            if len(words) > 1:
                halves = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
            else:
                halves = [sentence[: len(sentence) // 2], sentence[len(sentence) // 2 :]]
            for half in halves:
                yield from self._sentences(half) if len(half) > 1 else (half,)


def hush() -> None:
    """Keep transformers' bars, and its advice to install a library that changes no token of most texts, off the
    terminal."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")


def numbered(parts: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Return tokens_L2 of a text in parts, with L a multiple of `STEP`, zeros at the end."""
    ids = [i for part in parts for i in part]
    out = np.zeros((-(-len(ids) // STEP) * STEP, 2), np.int32)
    out[: len(ids), 0] = ids
    out[: len(ids), 1] = [number for number, part in enumerate(parts, 1) for _ in part]
    return out


def longest(tokenizer: Any, network: Any) -> int:
    """Return how many tokens a network can read and write."""
    config = network.config
    most = int(getattr(config, "max_position_embeddings", 0) or LONGEST)
    return min(most, int(tokenizer.model_max_length), LONGEST)


def digest_of(tokenizer: Any) -> str:
    """Return a SHA-256 of a tokenizer's tokens and settings."""
    made = hashlib.sha256(repr(sorted(tokenizer.get_vocab().items())).encode())
    for name in ("source.spm", "target.spm"):
        model = getattr(tokenizer, "spm_source" if name == "source.spm" else "spm_target", None)
        if model is not None:
            made.update(model.serialized_model_proto())
    return made.hexdigest()
