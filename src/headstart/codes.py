"""Texts as rows of code points, so that they go wherever logits and targets go: zeros are no character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH = 1024
"""Characters of a text that are compared while rungs are; what ships is not cut off."""


def codes_of(texts: Sequence[str], width: int = 0) -> NDArray[np.uint32]:
    """Return codes_NK of texts.

    Args:
        texts: N of them; a NUL character, which would end one, is dropped.
        width: K; the longest text's length where it is 0. Longer ones are cut off.
    """
    plain = [text.replace("\0", "") for text in texts]
    width = width or max(1, *map(len, plain), 1)
    out = np.zeros((len(plain), width), np.uint32)
    for row, text in zip(out, plain, strict=True):
        points = np.frombuffer(text[:width].encode("utf-32-le", "replace"), np.uint32)
        row[: len(points)] = points
    return out


def texts_of(codes_NK: NDArray[Any]) -> list[str]:
    """Return the texts of codes_NK of any number type; code points fit into float32 exactly, being below 2^21."""
    rows = np.ascontiguousarray(np.asarray(codes_NK).astype(np.uint32))
    return [row[: np.count_nonzero(row)].tobytes().decode("utf-32-le", "replace") for row in rows]
