"""The most confident mistakes of a run, as the page takes them; and what moved the first of them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from headstart.metrics.labels import Labelled
from headstart.report import page as p
from headstart.report.moved import Asked, by_model, moved
from headstart.report.pieces import MOST
from headstart.report.story import Moved, Story

if TYPE_CHECKING:
    from headstart.encoder import Encoder

MISTAKES = 24
EXPLAINED = 8
"""Mistakes of which it is found out what moved them: enough to see what they have in common."""
PASSES = EXPLAINED * (1 + MOST)
"""Examples that go through the network for it, at most."""
SEEN = (
    "None of these texts was held out, so each was judged by a model that had not seen it; the words are weighed by "
    "the model that ships, which has since learned from all of them and may know better."
)


def read(story: Story) -> Labelled:
    """Return the judged predictions beside the truth."""
    return story.task.scoring.read(story.scores.logits_NK, story.target_N[story.scores.rows])


def mistakes(story: Story, data: Labelled) -> tuple[p.Mistake, ...]:
    """Return the wrong predictions that the model was most sure of."""
    labels, out = story.examples.classes, []
    for at in _worst(data, MISTAKES):
        row = int(story.scores.rows[at])
        example = story.examples.items[row]
        picture, texts = _shown(story, row)
        said, confidence = labels[int(data.guess_N[at])], float(data.confidence_N[at])
        out.append(p.Mistake(example.name, example.target, said, confidence, picture, texts))
    return tuple(out)


def explained(story: Story, encoder: Encoder) -> Moved:
    """Return what moved the first mistakes, by the rows of the examples, asking the model that ships.

    Args:
        story: of a run that has ended.
        encoder: runs the trunk that ships.
    """
    pieces = story.task.pieces
    if pieces is None:
        return {}
    try:
        data, asked = read(story), {}
        for at in _worst(data, EXPLAINED):
            whole = story.examples.items[row := int(story.scores.rows[at])].content.read()
            asked[row] = Asked(whole, [cut.without for cut in pieces(whole)], int(data.guess_N[at]))
        found = moved(list(asked.values()), by_model(encoder, story.head))
    except Exception:  # whatever it is that an engine or a file has: no model is lost for want of shaded words
        return {}
    return dict(zip(asked, found, strict=True))


def weighed(story: Story) -> str:
    """Say what the weights of the words must not be taken for; nothing where there are none."""
    return SEEN if story.moved and not len(story.splits.judged) else ""


def _worst(data: Labelled, most: int) -> list[int]:
    wrong = np.flatnonzero(~data.right_N)
    return [int(at) for at in wrong[np.argsort(-data.confidence_N[wrong], kind="stable")][:most]]


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
