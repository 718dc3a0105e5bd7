"""text_probe: the first rungs for texts that are written: the source copied, and the pretrained network as it is.

As `probe`, which it stands in for; but nothing is fitted: what a translator can do before it has seen a pair is what
all that comes after must beat (zero-shot).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim, Truth
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import sentences
from headstart.codes import WIDTH, codes_of
from headstart.heads.texts import TextHead
from headstart.heads.writer import written
from headstart.stages.probe import Probe, Rung
from headstart.stages.split import Splits

Clock = Callable[[], float]
COPY, AS_IT_IS, NOT_YET = "source copied", "as it is", "not trained yet"


def text_probe(
    backbone: Backbone,
    tokens_NL2: NDArray[np.float32],
    target_N: Truth,
    aim: Aim,
    splits: Splits,
    clock: Clock,
    advance: Callable[[int], None],
) -> Probe:
    """Let a translator translate as it is.

    Args:
        backbone: the translator.
        tokens_NL2: every source, judged ones included (they are not looked at here).
        target_N: codes of the translations.
        aim: of texts.
        splits: with one fold.
        clock: seconds, for the rungs' times.
        advance: called with 1 after each rung.

    Returns:
        The rungs and the head, which runs the network. Deterministic.
    """
    fit, held = splits.folds[0]
    fed, head = sentences(backbone), TextHead.of(backbone)
    truth_H = target_N[held]

    def rung(name: str, setting: str, texts: Callable[[], list[str]]) -> Rung:
        start = clock()
        said_HK = codes_of(texts(), WIDTH).astype(np.float64)
        loss_SR = aim.loss_N(said_HK, truth_H)[None]
        advance(1)
        took = clock() - start
        return Rung(name, (setting,), said_HK[None].astype(np.float32), loss_SR, (1.0,), took, judging=took)

    from headstart.codes import texts_of

    guess = rung(
        aim.scoring.naive, "training targets alone", lambda: texts_of(aim.guess(target_N[fit])[None]) * len(held)
    )
    copied = rung(COPY, "nothing translated", lambda: [fed.read_back(tokens_NL2[i]) for i in held])
    if backbone.untrained:
        first = rung(NOT_YET, "random weights", lambda: [""] * len(held))
    else:
        asked = head.with_beams(1).asking
        first = rung(AS_IT_IS, "zero-shot", lambda: written(head.network, fed, tokens_NL2[held], asked))
    return Probe((guess, copied, first), held, head, aim.solver, lambda rows: head)


def brevity(found: Probe, target_N: Truth) -> float:
    """Return how much shorter texts should be than what the network wrote as it was; 1 where they should not, and
    where no network did.

    A network that does not know a domain writes on and on: medical texts came out twice as long as they should be, and
    so much time was set aside for judging a trained one that none was left to train it.
    """
    if found.rungs[-1].name != AS_IT_IS:
        return 1.0
    said_RK = found.rungs[-1].logits_SRK[0]
    wrote, should = int((said_RK > 0).sum()), int((target_N[found.row_R] > 0).sum())
    return float(np.clip(should / max(1, wrote), 0.25, 1.0))
