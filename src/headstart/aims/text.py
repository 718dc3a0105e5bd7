"""A text: translations as rows of code points, BLEU and chrF++, and how alike two models translate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Floats, Index, Loss, Said, Scoring, Truth
from headstart.backbones.backbone import Backbone
from headstart.codes import WIDTH, codes_of, texts_of
from headstart.data.examples import Target
from headstart.heads.texts import TextHead
from headstart.metrics import translations
from headstart.metrics.translations import BLEU, CHRF, Translated

STRATA = 4
"""Parts of a split have as many short and long texts as the whole: by quarters of their length."""
MAY_DIFFER = 0.5
"""Golden texts may have so many other words: where two words are as likely, rounding decides, and what follows
is another text. A network with other weights has about nine of ten others."""


def some_text(languages: tuple[str, ...]) -> Aim:
    """Return the aim of translating.

    Args:
        languages: the source's code and the target's, empty where nobody said them.
    """
    target = languages[-1] if languages else ""
    signed = translations.signatures(target)
    scoring = Scoring(
        read=partial(_read, target),
        score=translations.score,
        explained={
            BLEU: f"runs of one to four words that the references have as well, from 0 to 100 ({signed[BLEU]})",
            CHRF: f"runs of characters and words in common, from 0 to 100 ({signed[CHRF]})",
        },
        shares=(),
        percent=(),
        lower=(),
        guess="always the commonest translation",
        naive="commonest translation",
    )
    return Aim(
        goal="text",
        outputs=languages,
        encode=_encode,
        knows=lambda target: isinstance(target, str),
        strata=_strata,
        guess=_guess,
        near=_nothing,
        spread=_nothing,
        fit=None,
        solver="as it was pretrained",
        loss_N=lambda said_NK, truth_NT: 1 - _read(target, said_NK, truth_NT).merit_N,
        temperature=lambda said_NK, truth_NT: 1.0,
        training=_training,
        probabilities=lambda said_NK: np.asarray(said_NK, np.float64),
        outward=lambda head: head,
        said=lambda said_K: Said(texts_of(said_K[None])[0]),
        scoring=scoring,
        problem="translation",
        plain=_plain,
        apart=apart,
        costly=True,
        watched=lambda model, x_B, truth_BT: model.loss(x_B, truth_BT),
        ended=lambda model, x_B, truth_BT: model.missed(x_B, truth_BT),
        lengths=_lengths,
    )


def _read(language: str, said_NK: Floats, truth_NT: Truth) -> Translated:
    return Translated.of(texts_of(said_NK), texts_of(truth_NT), language)


def _encode(targets: Sequence[Target]) -> Truth:
    return codes_of([str(target) for target in targets])


def _lengths(truth_NT: Truth) -> Index:
    return np.asarray((truth_NT != 0).sum(1), np.intp)


def _strata(truth_NT: Truth) -> Index:
    length_N = _lengths(truth_NT)
    rank_N = np.argsort(np.argsort(length_N, kind="stable"), kind="stable")
    return np.asarray(rank_N * STRATA // max(1, len(rank_N)), np.intp)


def _guess(truth_NT: Truth) -> NDArray[np.float64]:
    often = Counter(texts_of(truth_NT))
    commonest = max(sorted(often), key=often.__getitem__)
    return codes_of([commonest], WIDTH)[0].astype(np.float64)


def _nothing(*_: Any) -> Any:
    raise NotImplementedError("texts are written by a network: see stages.text_probe")


def _training(truth_NT: Truth) -> Loss:
    return lambda model, x_B, truth_BT: model.loss(x_B, truth_BT)


def apart(one_NK: Floats, other_NK: Floats) -> float:
    """Return the share of words that two models write differently, beyond what may differ by rounding."""
    pairs = zip(texts_of(one_NK), texts_of(other_NK), strict=True)
    alike = [SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio() for a, b in pairs]
    return max(0.0, 1 - float(np.mean(alike or [1.0])) - MAY_DIFFER)


def _plain(backbone: Backbone, seed: int) -> TextHead:
    return TextHead.of(backbone)
