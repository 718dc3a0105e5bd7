"""Tokens: how a text, or a pair of texts, becomes the input of an encoder. The tokenizer's one door.

An input is tokens_L2 in int32: the token's number, and one more than its segment. A place of zeros is no token, so that
texts of different lengths are put into one array by zeros alone, and what is made of an array needs no mask beside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.texts import split_pair
from headstart.errors import BackboneError, DataError

STEP = 4
"""Lengths are filled up to a multiple of this: fewer lengths make fuller batches, for 6% more tokens."""
LONGEST = 512
"""Texts are cut off after so many tokens, or after fewer where the network was made for fewer."""


@dataclass(frozen=True)
class Tokens:
    """A tokenizer as its network needs it.

    Attributes:
        tokenizer: of transformers; saved with the model.
        fast: the same, as the tokenizers library has it, cutting texts off at `length`; it may be used in threads.
        length: most tokens of a text.
        digest: of all that decides what tokens come out.
    """

    tokenizer: Any = field(repr=False)
    fast: Any = field(repr=False)
    length: int
    digest: str

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokens:
        return self  # nothing in it changes

    def key(self) -> str:
        """Return all that decides the numbers a network sees, for the cache's key."""
        import tokenizers

        return f"tokens 1;{self.digest};length={self.length};step={STEP};tokenizers {tokenizers.__version__}"

    def record(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"tokenizer": type(self.tokenizer).__name__, "length": self.length, "sha256": self.digest}

    def said(self) -> str:
        """Return it as people read it."""
        return f"{type(self.tokenizer).__name__}, {len(self.tokenizer):,} tokens known, texts of {self.length} at most"

    def load(self, data: bytes) -> NDArray[np.int32]:
        """Return tokens_L2 of an example's bytes.

        Raises:
            DataError: there is nothing in it.
        """
        texts = split_pair(data)
        if not any(text.strip() for text in texts):
            raise DataError("A text cannot be read.", found="it is empty")
        made = self.fast.encode(*texts)
        return filled(made.ids, made.type_ids)

    def lost(self, data: bytes) -> int:
        """Return how many tokens of an example are cut off."""
        if len(data) < self.length // 2:  # few tokens are shorter than a byte: those around a text
            return 0
        texts = split_pair(data)
        alone = [self.fast.encode(text, add_special_tokens=False) for text in texts]  # of a pair, overflow comes twice
        whole = sum(len(part.ids) for each in alone for part in (each, *each.overflowing))
        return whole - int(self.fast.encode(*texts).special_tokens_mask.count(0))

    def unknown(self, data: bytes) -> float:
        """Return the share of an example's tokens that stand for what the tokenizer does not know."""
        nothing = getattr(self.tokenizer, "unk_token_id", None)
        if nothing is None or data.isascii():  # Latin letters are known to all, and most texts are not looked at twice
            return 0.0
        ids = [i for text in split_pair(data) for i in self.fast.encode(text, add_special_tokens=False).ids]
        return ids.count(nothing) / max(1, len(ids))


def filled(ids: list[int], segments: list[int]) -> NDArray[np.int32]:
    """Return tokens_L2 with L a multiple of `STEP`, zeros at the end."""
    out = np.zeros((-(-len(ids) // STEP) * STEP, 2), np.int32)
    out[: len(ids), 0] = ids
    out[: len(ids), 1] = np.asarray(segments) + 1
    return out


def tokens(tokenizer: Any, longest: int, name: str) -> Tokens:
    """Return a tokenizer of transformers as encoders are fed with it.

    Args:
        tokenizer: with a backend of the tokenizers library.
        longest: the most tokens that its network can take.
        name: of the model, for errors.

    Raises:
        BackboneError: it has no such backend, or cannot fill up.
    """
    from tokenizers import Tokenizer

    if getattr(tokenizer, "backend_tokenizer", None) is None or tokenizer.pad_token_id is None:
        raise BackboneError(
            f"The tokenizer of {name} is not supported.",
            found=type(tokenizer).__name__,
            hint="It needs a tokenizer.json and a padding token.",
        )
    length = min(longest // STEP * STEP, LONGEST, tokenizer.model_max_length)  # what is filled up fits as well
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_padding()  # the library's remembers how it was used last
    fast.no_truncation()
    digest = hashlib.sha256(fast.to_str().encode()).hexdigest()
    fast.enable_truncation(length)
    return Tokens(tokenizer, fast, length, digest)
