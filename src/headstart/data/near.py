"""Near copies: pictures that differ only in compression, size, border or brightness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.examples import Finding, Part

Floats = NDArray[np.float32]

NEAR_SHARE = 0.08
"""Near copies are at most this share of the typical (median) cosine distance apart."""
# Measured with EfficientNet-lite0, SqueezeNet and a ResNet-50 on photos of hymenoptera and of Office-Caltech's webcam,
# as shares of the median distance: 5% brighter 0.003-0.010 (median; largest 0.08); 10% smaller 0.02-0.04 (0.10); 2%
# cropped 0.04-0.06 (0.23); JPEG quality 50 0.05-0.12 (0.28). Distinct photos of hymenoptera are 0.29 apart or more;
# webcam frames of one object 0.04-0.09. At 0.12 chains of look-alikes grew to 51 of 958 photos of amazon and 24 of
# 1123 of caltech10, at 0.08 to 10 and 3, and no pair was of two classes: so most copies but strong recompressions.
_TYPICAL = 1 / 3  # the median cosine similarity of photos, taken where there are too few to measure
_FEW = 8
_BLOCK = 1024
NEAR = "near-duplicate"
_NOTES = {True: f"{NEAR}-across-parts", False: NEAR}


def near_duplicates(
    features_ND: Floats, names: Sequence[str], parts: Sequence[Part], threshold: float | None = None
) -> tuple[list[tuple[int, int]], list[Finding]]:
    """Find pairs of near copies by cosine similarity, in blocks of 1024 rows.

    Args:
        features_ND: pooled features, one row an example; a row of zeros resembles nothing.
        names: of the examples.
        parts: of the examples.
        threshold: similarity, at most 1, from which two are near copies; by default set from the features,
            see `threshold_for`.

    Returns:
        pairs: (i, j), i < j, in order, both of one part: not all of them, but enough to join all that hang together.
        findings: one note for each j that has such an i, naming the most similar; across parts first.
    """
    least = threshold_for(features_ND, parts) if threshold is None else threshold
    length_N1 = _lengths(features_ND)
    sides_N = _sides(parts)
    pairs: set[tuple[int, int]] = set()
    best: dict[int, tuple[bool, float, int]] = {}
    for i, j, across, similarity in _alike(features_ND, length_N1, sides_N, least):
        if not across:
            pairs.add((i, j))
        best[j] = max(best.get(j, (False, -1.0, -1)), (across, similarity, i))
    findings = [_note(names[j], names[i], across, s) for j, (across, s, i) in sorted(best.items())]
    return sorted(pairs), findings


def threshold_for(features_ND: Floats, parts: Sequence[Part]) -> float:
    """Return the similarity from which two of these examples are near copies.

    Only the features of training examples count: what is judged must not change how the rest is divided.
    """
    learned = np.flatnonzero(_sides(parts) == "train")
    spread_SD = features_ND[learned[:: max(1, -(-len(learned) // _BLOCK))]]
    return near_threshold(spread_SD / _lengths(spread_SD))


def _sides(parts: Sequence[Part]) -> NDArray[np.str_]:
    return np.asarray(["train" if part in ("", "general") else part for part in parts], dtype=np.str_)


def _lengths(features_ND: Floats) -> Floats:
    """Return the lengths of the rows, N x 1, none of them zero."""
    return np.maximum(np.linalg.norm(features_ND, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def near_threshold(unit_SD: Floats) -> float:
    """Return the similarity from which rows are near copies, from a sample of rows of unit length.

    Networks differ in how alike any two photos look to them; as a share of the typical distance copies lie at
    the same place.
    """
    if len(unit_SD) < _FEW:
        return 1 - NEAR_SHARE * (1 - _TYPICAL)
    similarity = (unit_SD @ unit_SD.T)[np.triu_indices(len(unit_SD), 1)]
    return 1 - NEAR_SHARE * (1 - float(np.median(similarity)))


def _alike(
    features_ND: Floats, length_N1: Floats, sides_N: NDArray[np.str_], least: float
) -> Iterator[tuple[int, int, bool, float]]:
    """Yield (i, j, across parts, similarity), i < j, of near copies, block by block.

    Of the i that a j has in a block the most similar is given, those of another part before others, and then what
    is needed to join all that hang together: 20,000 pictures of one scene are not 200 million pairs.
    """
    group_N = np.arange(len(features_ND))
    for left in range(0, len(features_ND), _BLOCK):
        columns = slice(left, left + _BLOCK)
        right_BD = features_ND[columns] / length_N1[columns]
        for top in range(0, left + 1, _BLOCK):
            rows = slice(top, top + _BLOCK)
            similarity = (features_ND[rows] / length_N1[rows]) @ right_BD.T
            near = similarity >= least
            if top == left:
                near &= np.triu(np.ones_like(near), 1)
            if not near.any():
                continue
            across = sides_N[rows, None] != sides_N[None, columns]
            ranked = np.where(near, similarity + 2.0 * across, -np.inf)
            nearest = [(int(ranked[:, j].argmax()), int(j)) for j in np.flatnonzero(near.any(0))]
            inside = [(i, j) for i, j in nearest if not across[i, j]]
            joined = (*_joining(group_N, inside, top, left), *_apart(near & ~across, group_N, top, left))
            for i, j in dict.fromkeys((*nearest, *joined)):
                yield top + i, left + j, bool(across[i, j]), float(similarity[i, j])


def _apart(near: NDArray[np.bool_], group_N: NDArray[np.intp], top: int, left: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a block that are near and still in different groups, and join these."""
    rows, columns = (slice(start, start + size) for start, size in zip((top, left), near.shape, strict=True))
    while True:
        apart = near & (group_N[rows, None] != group_N[None, columns])
        found = np.flatnonzero(apart.any(0))
        if not len(found):
            return
        yield from _joining(group_N, [(int(apart[:, j].argmax()), int(j)) for j in found], top, left)


def _joining(
    group_N: NDArray[np.intp], pairs: Sequence[tuple[int, int]], top: int, left: int
) -> Iterator[tuple[int, int]]:
    """Put the two of each pair into one group; yield the pairs that were not in one."""
    for i, j in pairs:
        mine, other = group_N[top + i], group_N[left + j]
        if mine != other:
            group_N[group_N == other] = mine
            yield i, j


def _note(name: str, other: str, across: bool, similarity: float) -> Finding:
    where = "which is in another part" if across else "both stay, on one side of every split"
    reason = f"looks like {other} (similarity {similarity:.3f}); {where}"
    return Finding(name, _NOTES[across], "note", reason)
