"""The most confident mistakes of a run, as the page takes them; and what moved the first of them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.data.examples import Target, labels_of
from headstart.heads.linear import LinearHead
from headstart.report import page as p
from headstart.report.moved import Asked, by_model, moved
from headstart.report.pieces import MOST
from headstart.report.story import Moved, Story

if TYPE_CHECKING:
    from headstart.encoder import Encoder

MISTAKES = 24
NONE = "no label"
IDENTITY = LinearHead(np.zeros(1), np.ones(1), np.ones((1, 1)), np.zeros(1))
EXPLAINED = 8
"""Mistakes of which it is found out what moved them: enough to see what they have in common."""
PASSES = EXPLAINED * (1 + MOST)
"""Examples that go through the network for it, at most."""
SEEN = (
    "None of these texts was held out, so each was judged by a model that had not seen it; the words are weighed by "
    "the model that ships, which has since learned from all of them and may know better."
)


def read(story: Story) -> Any:
    """Return the judged predictions beside the truth."""
    return story.aim.scoring.read(story.scores.logits_NK, story.target_N[story.scores.rows])


def mistakes(story: Story) -> tuple[p.Mistake, ...]:
    """Return the wrong predictions that the model was most sure of, or that are furthest off."""
    aim, out = story.aim, []
    outward = aim.outward(IDENTITY)
    said_NK = aim.probabilities(story.scores.logits_NK * outward.weight_DK[0] + outward.bias_K)
    for at in _worst(story, MISTAKES):
        row = int(story.scores.rows[at])
        example, said = story.examples.items[row], aim.said(said_NK[at])
        picture, texts = _shown(story, row)
        given = said.label or NONE if said.value is None else written(said.value)
        out.append(p.Mistake(example.name, written(example.target), given, said.probability, picture, texts))
    return tuple(out)


def written(target: Target) -> str:
    """Return what is true of an example in a line."""
    if isinstance(target, tuple):
        return " | ".join(labels_of(target)) or NONE
    return target if isinstance(target, str) else f"{target:.6g}"


def explained(story: Story, encoder: Encoder) -> Moved:
    """Return what moved the first mistakes, by the rows of the examples, asking the model that ships.

    Args:
        story: of a run that has ended.
        encoder: runs the trunk that ships.
    """
    pieces = story.task.pieces
    if pieces is None or story.aim.goal != "label":  # what one label was said for can be told in a colour
        return {}
    try:
        asked = {}
        for at in _worst(story, EXPLAINED):
            whole = story.examples.items[row := int(story.scores.rows[at])].content.read()
            said = int(story.scores.logits_NK[at].argmax())
            asked[row] = Asked(whole, [cut.without for cut in pieces(whole)], said)
        found = moved(list(asked.values()), by_model(encoder, story.head, story.aim))
    except Exception:  # whatever it is that an engine or a file has: no model is lost for want of shaded words
        return {}
    return dict(zip(asked, found, strict=True))


def weighed(story: Story) -> str:
    """Say what the weights of the words must not be taken for; nothing where there are none."""
    return SEEN if story.moved and not len(story.splits.judged) else ""


def _worst(story: Story, most: int) -> list[int]:
    """Return the rows that came out worst, of equal ones the surest first, or those of the greatest loss."""
    data = read(story)
    merit_N = data.merit_N
    loss_N = story.aim.loss_N(story.scores.logits_NK, story.target_N[story.scores.rows])
    order = np.lexsort((-getattr(data, "confidence_N", loss_N), merit_N))
    return [int(at) for at in order if merit_N[at] < 1][:most]


def _shown(story: Story, row: int) -> tuple[str, tuple[p.Words, ...]]:
    """Return an example as a picture, or as its texts in weighed pieces."""
    try:
        data = story.examples.items[row].content.read()
        cuts = story.task.pieces(data) if story.task.pieces else ()
        picture = story.task.draw(data)
    except Exception:  # an example that was there a minute ago: the report goes on without it
        return "", ()
    weights = story.moved.get(row, (None,) * len(cuts))
    pairs = zip(cuts, weights, strict=True)
    texts = (tuple(p.Piece(cut.words, w) for cut, w in mine) for _, mine in groupby(pairs, lambda pair: pair[0].text))
    return picture, tuple(texts)
