"""Text classification and sentiment: one label a text, or a pair of texts."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone
from headstart.backbones.depths import Depth
from headstart.backbones.texts import open_text_backbone
from headstart.backbones.tokens import Tokens
from headstart.data.augment import View
from headstart.data.examples import Content, FileContent
from headstart.data.roles import TEXT_SUFFIXES
from headstart.data.rows import FORMATS
from headstart.data.table import read_texts
from headstart.data.texts import TextContent, TextFile, inspect_text
from headstart.errors import DataError
from headstart.report.pieces import cuts
from headstart.tasks.task import Augment, Load, Task

UNKNOWN = 0.3
"""From this share of unknown tokens on, a text is mostly nothing to its network."""


def _tokens(backbone: Backbone) -> Tokens:
    assert isinstance(backbone.preprocess, Tokens)
    return backbone.preprocess


def _load(backbone: Backbone) -> Load:
    return _tokens(backbone).load


def _view(backbone: Backbone, view: View) -> Load:
    return _load(backbone)


def _change(backbone: Backbone) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    return lambda tokens_L2, rng: tokens_L2


def _depths(backbone: Backbone) -> tuple[Depth, ...]:
    from headstart.backbones.encoder import depths

    return depths(backbone.trunk)


def _length(content: Content) -> int:
    try:  # of a file, without reading it
        return content.path.stat().st_size if isinstance(content, FileContent) else len(content.read())
    except OSError:
        return 0


def _given(text: str | Path | tuple[str, ...]) -> Content:
    if isinstance(text, Path):
        if text.suffix.lower() in FORMATS:
            raise DataError(
                f"{text.name} is a table, not a text.",
                hint="Give the texts of its rows; `headstart predict` takes the file.",
            )
        return TextFile(text)
    texts = (text,) if isinstance(text, str) else text
    if not 1 <= len(texts) <= 2:
        raise DataError("One text is given, or a pair of them.", found=f"{len(texts)}")
    return TextContent.of(*texts)


def _inputs(word: str, column: str = "") -> Iterable[tuple[str, Content]]:
    """A table stands for its rows, a file for its text, a file's name that is none for an error; else it is a text."""
    known = PurePath(word).suffix.lower() in (*FORMATS, *TEXT_SUFFIXES) or "/" in word or glob.has_magic(word)
    if not os.path.isfile(word):  # noqa: PTH113 - Path.is_file raises at texts that are too long for a name
        return [(word, FileContent(Path(word)) if known and " " not in word else TextContent.of(word))]
    if PurePath(word).suffix.lower() in FORMATS:
        return read_texts(Path(word), column or None)
    return [(word, TextFile(Path(word)))]


def _remarks(backbone: Backbone, data: bytes) -> Iterator[tuple[str, str]]:
    fed = _tokens(backbone)
    if lost := fed.lost(data):
        yield (
            "cut-off",
            f"longer than the network reads: {lost} of its tokens, after the first {fed.length}, are cut off",
        )
    if (unknown := fed.unknown(data)) > UNKNOWN:
        reason = "as a text in a script that it was not made for; name a multilingual network with --backbone"
        yield "unknown-script", f"{unknown:.0%} of its tokens are unknown to the tokenizer, {reason}"


TEXT_CLASSIFICATION = Task(
    name="text-classification",
    noun="text",
    kind="text",
    inspect=inspect_text,
    backbone=open_text_backbone,
    load=_load,
    size=_length,
    batch=8,
    depths=_depths,
    given=_given,
    inputs=_inputs,
    augment=Augment(_view, _load, _change, views=1),
    network=lambda network, _: network,
    draw=lambda _: "",
    pieces=cuts,
    sample='"A new text."',
    endings=(".txt",),
    remark=_remarks,
    pairs=True,
)
