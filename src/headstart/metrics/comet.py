"""COMET: how good a neural network finds translations (Rei et al. 2020, 2009.09025). Its one door is a program.

The package unbabel-comet asks for transformers below 5 and numpy below 2, so it lives in an environment of its own and
is run as `comet-score`. A checkpoint of it is a pickle, which runs code when that program reads it, in its own process.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from headstart.errors import EngineError, UsageError

COMET = "COMET"
COMMAND = "comet-score"


def comet(
    checkpoint: str | Path, sources: Sequence[str], said: Sequence[str], references: Sequence[str]
) -> NDArray[np.float64]:
    """Return the score_N that a COMET model gives each translation, about 0 to 1.

    Args:
        checkpoint: of the model, a `.ckpt` file with its `hparams.yaml` two folders up, as COMET keeps them.
        sources, said, references: N texts each.

    Raises:
        UsageError: there is no such file, or the program is not installed.
        EngineError: it failed.
    """
    if not Path(checkpoint).expanduser().is_file():
        raise UsageError(f"There is no COMET model {checkpoint}.", hint="Give its checkpoint, a .ckpt file.")
    program = shutil.which(COMMAND)
    if program is None:
        raise UsageError(
            f"The program {COMMAND} is not here, which scores with COMET.",
            hint='pipx install unbabel-comet, then pipx inject unbabel-comet "setuptools<81", whose pkg_resources it '
            "still needs (it wants older packages, so an environment of its own).",
        )
    with TemporaryDirectory() as name:
        folder, words = Path(name), [program]
        for flag, part, texts in (("-s", "src", sources), ("-t", "mt", said), ("-r", "ref", references)):
            (folder / part).write_text("".join(f"{_line(text)}\n" for text in texts), encoding="utf-8")
            words += [flag, str(folder / part)]
        words += ["--model", str(Path(checkpoint).expanduser()), "--gpus", "0", "--quiet"]
        ran = subprocess.run([*words, "--to_json", str(folder / "out")], capture_output=True, text=True, check=False)
        return _read(folder / "out", len(said), ran.stderr or ran.stdout)


def _line(text: str) -> str:
    """Return a text as one line that is not empty: empty ones would be left out, and all after them move up."""
    return " ".join(text.split()) or "."


def _read(path: Path, count: int, why: str) -> NDArray[np.float64]:
    try:
        [rows] = json.loads(path.read_text(encoding="utf-8")).values()
        score_N = np.asarray([row[COMET] for row in rows], np.float64)
    except (OSError, ValueError, KeyError) as error:
        found = " ".join(why.split())[-300:] or str(error)
        raise EngineError(
            f"{COMMAND} gave no scores.", found=found, hint=f"Try it by itself: {COMMAND} --help"
        ) from error
    if len(score_N) != count:
        raise EngineError(f"{COMMAND} gave {len(score_N)} scores for {count} texts.")
    return score_N
