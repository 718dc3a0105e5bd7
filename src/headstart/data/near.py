"""Near copies: pictures that differ only in compression, size, border or brightness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.examples import Finding, Part

Floats = NDArray[np.float32]

NEAR_SHARE = 0.12
"""Near copies are at most this share of the typical (median) cosine distance apart."""
# TO FILL
_TYPICAL = 1 / 3  # the median cosine similarity of photos, taken where there are too few to measure
_FEW = 8
_BLOCK = 1024
_NOTES = {True: "near-duplicate-across-parts", False: "near-duplicate"}


def near_duplicates(
    features_ND: Floats, names: Sequence[str], parts: Sequence[Part], threshold: float | None = None
) -> tuple[list[tuple[int, int]], list[Finding]]:
    """Find pairs of near copies by cosine similarity, in blocks of 1024 rows.

    Args:
        features_ND: pooled features, one row an example; a row of zeros resembles nothing.
        names: of the examples.
        parts: of the examples.
        threshold: similarity, at most 1, from which two are near copies; by default set from the features,
            see `near_threshold`.

    Returns:
        pairs: (i, j), i < j, in order.
        findings: one note for each j that has such an i, naming the most similar; across parts first.
    """
    length_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    unit_ND = features_ND / np.maximum(length_N1, np.finfo(np.float32).tiny)
    least = near_threshold(unit_ND) if threshold is None else threshold
    pairs: list[tuple[int, int]] = []
    best: dict[int, tuple[bool, float, int]] = {}
    for i, j, similarity in _alike(unit_ND, least):
        pairs.append((i, j))
        across = _side(parts[i]) != _side(parts[j])
        best[j] = max(best.get(j, (False, -1.0, -1)), (across, similarity, i))
    findings = [_note(names[j], names[i], across, s) for j, (across, s, i) in sorted(best.items())]
    return sorted(pairs), findings


def near_threshold(unit_ND: Floats) -> float:
    """Return the similarity from which rows of unit length are near copies, from up to 1024 rows.

    Networks differ in how alike any two photos look to them; as a share of the typical distance copies lie at
    the same place.
    """
    sample_SD = unit_ND[:: max(1, -(-len(unit_ND) // _BLOCK))]
    if len(sample_SD) < _FEW:
        return 1 - NEAR_SHARE * (1 - _TYPICAL)
    similarity = (sample_SD @ sample_SD.T)[np.triu_indices(len(sample_SD), 1)]
    return 1 - NEAR_SHARE * (1 - float(np.median(similarity)))


def _alike(unit_ND: Floats, least: float) -> Iterator[tuple[int, int, float]]:
    """Yield (i, j, similarity), i < j, of the pairs that are at least so similar, block by block."""
    for top in range(0, len(unit_ND), _BLOCK):
        for left in range(top, len(unit_ND), _BLOCK):
            similarity = unit_ND[top : top + _BLOCK] @ unit_ND[left : left + _BLOCK].T
            for i, j in np.argwhere(similarity >= least):
                if top + i < left + j:
                    yield int(top + i), int(left + j), float(similarity[i, j])


def _side(part: Part) -> Part:
    return part or "train"


def _note(name: str, other: str, across: bool, similarity: float) -> Finding:
    where = "which is in another part" if across else "both stay, on one side of every split"
    reason = f"looks like {other} (similarity {similarity:.3f}); {where}"
    return Finding(name, _NOTES[across], "note", reason)
