"""readout: of the ways to make a vector of what a network gives, the one with the best linear head, held out.

Habit says the mean over the tokens after the last layer, or the first token; which is best depends on the network and
on the data, and on cached features it costs a linear head each to know. All candidates stay settings of the linear
head's rung, so that its score is corrected for this choice too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, Readout
from headstart.stages.probe import Probe

Floats = NDArray[np.float32]


def first_columns(x_ND: Floats, readouts: Sequence[Readout]) -> Floats:
    """Return the features of the usual way."""
    return x_ND[:, readouts[0].columns] if readouts else x_ND


def alike(x_ND: Floats, backbone: Backbone) -> Floats:
    """Return features by which examples are told to be alike."""
    return backbone.whole(x_ND) if backbone.whole else summary(first_columns(x_ND, backbone.readouts), backbone.maps)


def summary(x_ND: Floats, maps: Sequence[tuple[int, int, int]]) -> Floats:
    """Return features by which examples are told to be alike: of maps, the coarsest ones' means; else all of them."""
    if not maps:
        return x_ND
    channels, height, width = maps[-1]
    last_NCP = x_ND[:, -channels * height * width :].reshape(len(x_ND), channels, height * width)
    return np.ascontiguousarray(last_NCP.mean(2))


def best_readout(
    x_ND: Floats,
    readouts: Sequence[Readout],
    probe: Callable[[Floats], Probe],
    loss: Callable[[Floats], float] | None = None,
) -> tuple[Probe, Floats, Readout | None]:
    """Probe each way, and keep the one with the least held-out log loss.

    Args:
        x_ND: features of all ways, side by side.
        readouts: the ways; none where there is nothing to choose.
        probe: features_ND -> what probing finds.
        loss: features_ND -> what the ways are compared by where probing each would take long: only the best is probed
            then. For data with examples held out for the end, as the choice is not corrected for.

    Returns:
        The probe of the best way, with the candidates of all that were probed in its last rung; its features; the way.
    """
    if not readouts:
        return probe(x_ND), x_ND, None
    columns = [np.ascontiguousarray(x_ND[:, each.columns]) for each in readouts]
    if loss is not None:
        best = min(range(len(columns)), key=[loss(each) for each in columns].__getitem__)
        return _with_all([probe(columns[best])], 0, [readouts[best].name]), columns[best], readouts[best]
    probes = [probe(each) for each in columns]
    best = min(range(len(probes)), key=lambda i: float(probes[i].rungs[-1].loss_SR.mean(1).min()))
    return _with_all(probes, best, [each.name for each in readouts]), columns[best], readouts[best]


def _with_all(probes: Sequence[Probe], best: int, names: Sequence[str]) -> Probe:
    rungs = [probe.rungs[-1] for probe in probes]
    joined = replace(
        rungs[best],
        settings=tuple(f"{n}, {s}" for n, rung in zip(names, rungs, strict=True) for s in rung.settings),
        logits_SRK=np.concatenate([rung.logits_SRK for rung in rungs]),
        loss_SR=np.concatenate([rung.loss_SR for rung in rungs]),
        temperatures=tuple(t for rung in rungs for t in rung.temperatures),
        seconds=sum(rung.seconds for rung in rungs),
    )
    return replace(probes[best], rungs=(*probes[best].rungs[:-1], joined))
