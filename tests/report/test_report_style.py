"""The style sheet: legible in light and in dark, and no colour outside its variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headstart.report import page

STYLE = (Path(page.__file__).parent / "style.css").read_text(encoding="utf-8")
BLOCKS = [dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", b)) for b in re.findall(r":root \{(.*?)\}", STYLE, re.S)]
LIGHT, DARK = BLOCKS[0], BLOCKS[1]
TINTS = [f"{kind}{level}" for kind in ("hit", "miss") for level in range(1, 6)]
TEXTS = [
    *(("text", ground) for ground in ("paper", "wash", "warn-wash", *TINTS)),
    *(("muted", ground) for ground in ("paper", "wash", "warn-wash")),
    *(("accent", ground) for ground in ("paper", "wash", "warn-wash")),
    ("warn", "warn-wash"),
    ("on-accent", "accent"),
]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dim, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dim + 0.05)


def test_contrast_is_computed_as_the_guidelines_say() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXTS)
def test_text_stands_out_from_its_ground(theme: dict[str, str], ink: str, ground: str) -> None:
    assert contrast(theme[ink], theme[ground]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("mark", ["accent", "muted", "shade1", "warn"])
def test_marks_of_charts_stand_out_from_the_paper(theme: dict[str, str], mark: str) -> None:
    assert contrast(theme[mark], theme["paper"]) >= 3


def test_stronger_shades_of_the_matrix_are_further_from_the_paper() -> None:
    for theme in (LIGHT, DARK):
        for kind in ("hit", "miss"):
            steps = [contrast(theme[f"{kind}{level}"], theme["paper"]) for level in range(1, 6)]
            assert steps == sorted(steps)


def test_light_and_dark_define_the_same_colours_and_every_variable_is_defined() -> None:
    assert set(LIGHT) == set(DARK)
    assert set(re.findall(r"var\(--([\w-]+)\)", STYLE)) - {"parts", "cells"} <= set(LIGHT)


def test_colours_are_written_only_as_variables() -> None:
    rules = re.sub(r":root \{.*?\}", "", STYLE, flags=re.S)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", rules)


def test_paper_is_always_light() -> None:
    assert "@media screen and (prefers-color-scheme: dark)" in STYLE
    assert "@media print" in STYLE
