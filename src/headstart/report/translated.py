"""What a report shows of translations: how each changed from the network as it was, the most changed first."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from headstart.codes import texts_of
from headstart.data.texts import split_pair
from headstart.metrics.translations import Translated
from headstart.report import page as p
from headstart.report.story import asked_before

if TYPE_CHECKING:
    from headstart.report.story import Story

SHOWN = 12
"""So many that came out better, and so many that came out worse."""


def translations(story: Story, after: Translated) -> tuple[p.Translation, ...]:
    """Return the translations that changed most, those that are worse now first; the worst ones where nothing is known
    of the network as it was."""
    said = texts_of(story.scores.logits_NK)
    asked = asked_before(len(said))
    truth = texts_of(story.target_N[story.scores.rows])
    if story.before is None:
        worst = [int(n) for n in np.argsort(after.merit_N, kind="stable")[:SHOWN] if after.merit_N[n] < 1]
        return tuple(_shown(story, n, "", said[n], truth[n], 0.0, float(after.merit_N[n])) for n in worst)
    earlier = dict(zip(asked.tolist(), texts_of(story.before), strict=True))
    was = Translated.of([*earlier.values()], [truth[n] for n in earlier], after.language)
    was_N = np.full(len(said), np.nan)
    was_N[asked] = was.merit_N
    gain_N = np.nan_to_num(after.merit_N - was_N)
    order = np.argsort(gain_N, kind="stable")
    worse = [int(n) for n in order[:SHOWN] if gain_N[n] < 0]
    better = [int(n) for n in order[::-1][:SHOWN] if gain_N[n] > 0]
    return tuple(
        _shown(story, n, earlier[n], said[n], truth[n], float(was_N[n]), float(after.merit_N[n]))
        for n in (*worse, *better)
    )


def _shown(story: Story, n: int, was: str, now: str, truth: str, before: float, after: float) -> p.Translation:
    example = story.examples.items[int(story.scores.rows[n])]
    source = split_pair(example.content.read())[0]
    words = _marked(was, truth) if was else ()
    return p.Translation(example.name, source, truth, words, _marked(now, truth), 100 * before, 100 * after)


def _marked(said: str, truth: str) -> tuple[p.Piece, ...]:
    """Return the words of a translation, those that the reference has not in their place with weight 1."""
    mine, theirs = said.split(), truth.split()
    out: list[p.Piece] = []
    for kind, start, end, _, _ in difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        out += [p.Piece(word, 0.0 if kind == "equal" else 1.0) for word in mine[start:end]]
    return tuple(out)
