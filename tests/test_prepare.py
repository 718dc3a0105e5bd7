"""General pairs beside the user's own: how many are taken, and how the user's own are divided all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.data.examples import Part
from headstart.options import Options
from headstart.prepare import DRAWN, divide, gather, with_general
from headstart.progress import quiet


def table(path: Path, texts: list[str]) -> Path:
    lines = "".join(f"{text}\t{text.upper()} !\n" for text in texts)
    path.write_text(f"en\tfr\n{lines}", encoding="utf-8")
    return path


def words(count: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    return " ".join("".join(chr(97 + c) for c in rng.integers(0, 26, 5)) for _ in range(count))


def given(tmp_path: Path, own: list[str], general: list[str]) -> Options:
    data, keep = table(tmp_path / "own.tsv", own), table(tmp_path / "general.tsv", general)
    return Options(data=str(data), out=str(tmp_path / "out"), keep=str(keep), task="translation")


def test_the_user_s_own_pairs_are_divided_by_their_own_lengths(tmp_path: Path) -> None:
    own, general = [words(30, i) for i in range(40)], [words(2, 1000 + i) for i in range(300)]
    options = given(tmp_path, own, general)
    checked, _ = with_general(options, gather(options, quiet)[1], quiet)
    parts: list[Part] = [e.part for e in checked.examples.items]
    x_ND = np.eye(len(parts), dtype=np.float32)
    splits = divide(checked, x_ND, 0).splits
    assert parts.count("general") == 225, "a quarter is held back"
    assert len(splits.judged) == 8
    assert all(parts[i] == "" for i in (*splits.judged, *splits.folds[0][1]))
    fit = splits.folds[0][0]
    assert sum(parts[i] == "general" for i in fit) == sum(parts[i] == "" for i in fit)
    assert len(splits.general) + len(splits.spare) == 225


def test_general_pairs_that_nearly_copy_what_is_chosen_or_judged_by_are_not_learned_from(tmp_path: Path) -> None:
    own, general = [words(6, i) for i in range(40)], [words(6, 1000 + i) for i in range(100)]
    options = given(tmp_path, own, general)
    checked, _ = with_general(options, gather(options, quiet)[1], quiet)
    x_ND = np.eye(len(checked.examples.items), dtype=np.float32)
    told = divide(checked, x_ND, 0).splits
    judged, held, fit = int(told.judged[0]), int(told.folds[0][1][0]), int(told.folds[0][0][0])
    for general_, own_ in zip((40, 41, 42), (judged, held, fit), strict=True):
        x_ND[general_] = x_ND[own_]
    divided = divide(checked, x_ND, 0)
    learned = {*divided.splits.general.tolist(), *divided.splits.spare.tolist()}
    assert learned == set(range(40, len(x_ND))) - {40, 41}
    assert not [f for f in divided.examples.findings if "near" in f.kind and f.name.startswith("general")]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_general_pairs_to_judge_by_are_not_judged(tmp_path: Path, count: int) -> None:
    own = [words(6, i) for i in range(20)]
    options = given(tmp_path, own, [*own, *(words(6, 1000 + i) for i in range(count))])
    checked, general = with_general(options, gather(options, quiet)[1], quiet)
    assert general is None
    assert sum(e.part == "general" for e in checked.examples.items) == count


def test_no_more_general_pairs_are_taken_than_can_be_drawn_from(tmp_path: Path) -> None:
    own, general = [words(6, i) for i in range(10)], [words(6, 1000 + i) for i in range(200)]
    options = given(tmp_path, own, general)
    found = gather(options, quiet)[1]
    checked, held_back = with_general(options, found, quiet)
    assert sum(e.part == "general" for e in checked.examples.items) == DRAWN * 10
    assert held_back is not None
    assert len(held_back.items) == 50
    assert with_general(replace(options, keep=""), found, quiet) == (found, None)
