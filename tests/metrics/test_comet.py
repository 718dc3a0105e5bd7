"""COMET by its program: each text gets its own score, and what goes wrong is said. The program is a stand-in here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import EngineError, UsageError
from headstart.metrics.comet import COMMAND, comet

PROGRAM = """#!{python}
import json, sys
at = dict(zip(sys.argv[1::2], sys.argv[2::2]))
read = lambda flag: open(at[flag], encoding="utf-8").read().splitlines()
assert "--gpus" in sys.argv and sys.argv[sys.argv.index("--gpus") + 1] == "0"
{what}
"""
SCORES = """
rows = [{"src": s, "mt": t, "ref": r, "COMET": float(t == r) + len(s) / 100} for s, t, r in zip(read("-s"), read("-t"), read("-r"))]
out = sys.argv[sys.argv.index("--to_json") + 1]
json.dump({at["-t"]: rows}, open(out, "w"))
"""  # noqa: E501


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"weights")
    return path


def program(folder: Path, what: str, patch: pytest.MonkeyPatch) -> None:
    path = folder / COMMAND
    path.write_text(PROGRAM.format(python=sys.executable, what=what))
    path.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_each_translation_gets_its_score(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, SCORES, monkeypatch)
    said = comet(checkpoint, ["ab", "two\nlines", "x"], ["un", "deux lignes", ""], ["un", "deux", "x"])
    np.testing.assert_allclose(said, [1.02, 0.09, 0.01])  # a text of two lines is one, an empty one is there


def test_a_program_that_fails_is_an_error_with_what_it_said(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "sys.exit('no such layer')", monkeypatch)
    with pytest.raises(EngineError, match="gave no scores") as caught:
        comet(checkpoint, ["a"], ["b"], ["c"])
    assert "no such layer" in caught.value.found


def test_without_the_program_or_the_checkpoint_it_is_said_what_to_do(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkpoint.parent))
    with pytest.raises(UsageError, match="comet-score is not here") as caught:
        comet(checkpoint, ["a"], ["b"], ["c"])
    assert "pipx install unbabel-comet" in caught.value.hint
    with pytest.raises(UsageError, match="There is no COMET model"):
        comet(checkpoint.with_name("none.ckpt"), ["a"], ["b"], ["c"])
