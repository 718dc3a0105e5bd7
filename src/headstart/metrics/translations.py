"""Translations beside what they should be: BLEU and chrF++ of a corpus, by sacrebleu. Its one door.

Both are ratios of counts that are summed over the texts, so that a resample only sums other texts' counts: what
sacrebleu's own significance tests do (Koehn 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLEU, CHRF = "BLEU", "chrF2++"
_TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}
"""Languages without spaces between words are cut into characters; sacrebleu's own cutters need further packages."""


@lru_cache
def measures(language: str) -> tuple[Any, Any]:
    """Return sacrebleu's BLEU and chrF++ for a target language, given as a code of two letters or nothing."""
    import logging

    import sacrebleu.metrics as by

    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    return by.BLEU(tokenize=_TOKENIZERS.get(language, "13a"), force=True), by.CHRF(word_order=2)


def signatures(language: str) -> dict[str, str]:
    """Return how each measure was computed, in sacrebleu's own words, by which papers compare."""
    out = {}
    for name, metric in zip((BLEU, CHRF), measures(language), strict=True):
        metric.corpus_score(["a"], [["a"]])  # which is when it knows the number of references
        out[name] = str(metric.get_signature())
    return out


@dataclass(frozen=True)
class Translated:
    """Translations beside their references, reduced to counts.

    Attributes:
        bleu_NS: lengths, matching runs of one to four words, and all such runs, of each text.
        chrf_NS: runs of characters and words, and matching ones.
        language: the target's code.
    """

    bleu_NS: NDArray[np.float64]
    chrf_NS: NDArray[np.float64]
    language: str

    @staticmethod
    def of(translations: Sequence[str], references: Sequence[str], language: str = "") -> Translated:
        """Count."""
        bleu, chrf = measures(language)
        counted = [
            np.asarray(metric._extract_corpus_statistics(list(translations), [list(references)]), np.float64)
            for metric in (bleu, chrf)
        ]
        return Translated(counted[0], counted[1], language)

    @cached_property
    def merit_N(self) -> Floats:
        """chrF++ of each text, from 0 to 1: finer than BLEU, which is 0 for most single texts that are not right."""
        chrf = measures(self.language)[1]
        return np.asarray([chrf._compute_score_from_stats(list(row)).score / 100 for row in self.chrf_NS])


def score(data: Translated, weight_N: NDArray[np.floating]) -> dict[str, float]:
    """Return BLEU and chrF++ of the corpus, from 0 to 100, each text counted as often as its weight says."""
    bleu, chrf = measures(data.language)
    return {
        BLEU: float(bleu._compute_score_from_stats([round(v) for v in weight_N @ data.bleu_NS]).score),
        CHRF: float(chrf._compute_score_from_stats(list(weight_N @ data.chrf_NS)).score),
    }
