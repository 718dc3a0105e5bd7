"""Tables of tiny texts and pictures whose targets are tags or numbers that an untrained network can tell."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

import tiny
import tiny_text

TOPICS = tuple(tiny_text.TOPICS)
PRICE = 1000.0
"""What a text is worth at least: far from 0, and in units in which nothing is trained."""


def mixed(topics: tuple[str, ...], seed: int) -> str:
    """Return a text of words of each of some topics, common words between; without topics of these alone."""
    rng = np.random.default_rng([seed, len(topics)])
    own = [str(rng.choice(tiny_text.TOPICS[topic])) for topic in topics for _ in range(3)]
    common = [str(word) for word in rng.choice(tiny_text.COMMON, 2 if own else 6)]
    return " ".join(rng.permutation([*own, *common]).tolist())


def topics_of(seed: int) -> tuple[str, ...]:
    """Return some of the topics, in order; every eighth seed has none."""
    return tuple(topic for k, topic in enumerate(TOPICS) if seed >> k & 1)


def tags_table(path: Path, count: int = 40, start: int = 0) -> Path:
    """Write a table of texts and their topics; return its path."""
    rows = [(mixed(topics_of(i), i), list(topics_of(i))) for i in range(start, start + count)]
    return _written(path, ("text", "tags"), [(text, str(topics)) for text, topics in rows])


def worth(sea: int, seed: int) -> tuple[str, float]:
    """Return a text of eight words of which so many are of the sea, and what it is worth: more with each of them."""
    rng = np.random.default_rng([seed, sea])
    words = [*rng.choice(tiny_text.TOPICS["sea"], sea), *rng.choice(tiny_text.TOPICS["kitchen"], 8 - sea)]
    return " ".join(rng.permutation(words).tolist()), PRICE + 250.0 * sea + round(float(rng.normal(0, 20)), 2)


def numbers_table(path: Path, count: int = 45, start: int = 0) -> Path:
    """Write a table of texts and what they are worth; return its path."""
    return _written(path, ("text", "score"), [worth(i % 9, i) for i in range(start, start + count)])


def lit_table(root: Path, count: int = 36) -> Path:
    """Write pictures and a table of their mean brightness; return the table's path."""
    rows = []
    for i in range(count):
        pixels_HW3 = (tiny.texture(i % 5, i, (64, 64)) * (0.25 + 0.75 * (i * 7 % count) / count)).astype(np.uint8)
        (root / "pictures").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_HW3).save(root / "pictures" / f"{i:03}.png")
        rows.append((f"pictures/{i:03}.png", round(float(pixels_HW3.mean()), 3)))
    return _written(root / "brightness", ("path", "score"), rows)


def _written(path: Path, names: tuple[str, str], rows: list[tuple[str, object]]) -> Path:
    path = path.with_suffix(".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path
