"""ship: a model folder that needs no headstart: its library's own layout, and beside it what is known of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.aims.aim import Aim
from headstart.backbones.backbone import Backbone, Saved
from headstart.backbones.engine import Array
from headstart.errors import ModelError, UsageError
from headstart.heads.head import Head, read_head
from headstart.ragged import pile
from headstart.store import (
    file_digest,
    load_json,
    recover_folder,
    save_arrays,
    save_bytes,
    save_json,
    write_folder,
)

if TYPE_CHECKING:
    from torch import nn

RECORD = "headstart.json"
HEAD = "head.safetensors"
GOLDEN = "golden.safetensors"
LEARNED = "learned.safetensors"
FORMAT = 1
GOLDEN_TOLERANCE = 1e-3
"""Largest difference of a probability at which a loaded model counts as the one that was saved: fp32
convolutions differ by 1e-6 between machines and by up to 1e-4 between PyTorch releases."""


FILES = {
    "model.safetensors": "the weights of the whole model, head included",
    "model.keras": "of Keras, the whole model, head included",
    "config.json": "the architecture, in its library's own layout",
    "preprocessor_config.json": "of pictures, the preprocessing as transformers reads it",
    "tokenizer.json": "of texts, the tokenizer; tokenizer_config.json says how it is used",
    RECORD: "labels, preprocessing, versions, how it was made",
    HEAD: "the linear head with its feature standardisation, for further training",
    LEARNED: "marks of the examples that it learned from, by which `evaluate` knows them again",
    GOLDEN: "a few inputs with the outputs that the model must give for them",
    "scores.json": "the scores, for programs",
    "plan.json": "what was tuned and how long, to edit and give back with --plan",
    "report.html": "the report, for people",
    "README.md": "the model card",
}


@dataclass(frozen=True)
class Model:
    """A finished model, before it is written.

    Attributes:
        backbone: its trunk.
        head: its head, in the units of training.
        aim: what it says of an example.
        record: what `headstart.json` says beside labels and files.
        learned: SHA-256 of the bytes of the examples that it learned from.
    """

    backbone: Backbone
    head: Head
    aim: Aim
    record: Mapping[str, Any]
    learned: Sequence[str] = ()


def each_alone(head: Head, features_ND: NDArray[Any]) -> NDArray[np.float64]:
    """Return logits_NK of a few examples, each by itself: how long a text may become, and its last bits, hang on what
    is written beside it."""
    return pile([head.logits(x_D[None])[0] for x_D in features_ND])


def check_out(out: Path, data: Path) -> None:
    """Refuse to write over a folder that headstart did not make; clear up after a run that was killed while writing.

    Raises:
        UsageError: it is there, is not empty and is no model folder; or is a file; or is the folder we are in; or
            lies inside `data`.
    """
    out = out.resolve()
    if data.is_dir() and out.is_relative_to(data.resolve()):
        raise UsageError(
            "The model folder would lie inside the data, where the next run would take it for a class.",
            found=str(out),
            hint="Name another place with --out.",
        )
    if out in (Path.cwd(), *Path.cwd().parents):
        raise UsageError(
            f"The model folder cannot be {out}: it is replaced whole, and this command runs inside it.",
            hint="Name another folder with --out.",
        )
    recover_folder(out)
    for torn in out.parent.glob(f".{escape(out.name)}.*.part"):
        shutil.rmtree(torn, ignore_errors=True)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / RECORD).exists()):
        raise UsageError(
            f"{out} is there already and is not a model folder of headstart's.",
            hint="Name another folder with --out; nothing of yours is overwritten.",
        )


def ship(
    model: Model,
    run: Callable[[nn.Module, Sequence[Array]], NDArray[np.float32]],
    golden: Sequence[Array],
    out: Path,
    others: Callable[[Saved], Mapping[str, bytes]],
) -> Saved:
    """Write the model folder whole, in the place of an older one.

    Args:
        model: what to write.
        run: (a network of the backbone's library, inputs) -> what it gives, by the reference engine in fp32.
        golden: inputs to record with their outputs.
        out: the folder. Files in it that headstart did not write are carried over.
        others: given how the model is loaded, further files by name (scores, report, model card).

    Raises:
        ModelError: the saved network does not give what trunk and head give.
        StoreError: it cannot be written; an older folder stays as it was.
    """
    head, aim = model.aim.outward(model.head), model.aim
    logits_NK = each_alone(head, run(model.backbone.trunk, golden))
    saved: list[Saved] = []

    def write(folder: Path) -> None:
        weight_DK, bias_K = head.folded()
        saved.append(model.backbone.save(folder, aim.outputs, weight_DK, bias_K))
        given_NK = aim.probabilities(pile([run(saved[0].model, [each])[0] for each in golden]))
        _same(saved[0].library, aim.apart(given_NK, aim.probabilities(logits_NK)))
        _say_problem(folder / "config.json", aim.problem)
        save_arrays(folder / GOLDEN, {"inputs": pile(golden), "logits": logits_NK.astype(np.float32)})
        save_arrays(folder / HEAD, *head.arrays())
        save_arrays(folder / LEARNED, {"digests": marks(model.learned)})
        for name, data in others(saved[0]).items():
            save_bytes(folder / name, data)
        inside = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        files = {p.relative_to(folder).as_posix(): file_digest(p) for p in inside}
        load = {"library": saved[0].library, "code": saved[0].code}
        what = {"aim": aim.goal, "labels": list(aim.outputs)}
        about = {"format": FORMAT, **what, **model.record, "load": load, "files": files}
        save_json(folder / RECORD, about)
        _carry_over(out, folder)

    write_folder(out.resolve(), write)
    return saved[0]


def marks(digests: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of SHA-256 digests in hexadecimal as numbers, sorted: they tell examples apart."""
    return np.sort(np.asarray([int(digest[:16], 16) for digest in digests], np.uint64))


def _say_problem(config: Path, problem: str) -> None:
    """Say in a model's configuration what its logits are, which decides how transformers' pipelines read them."""
    if config.exists():
        save_json(config, {**load_json(config), "problem_type": problem})


def _same(library: str, worst: float) -> None:
    if not worst <= GOLDEN_TOLERANCE:
        raise ModelError(
            f"The model as {library} would load it does not give what was judged; it was not saved.",
            found=f"what it says differs by {worst:.3g}",
            hint="This architecture's last layers are unusual: please report it, and take another backbone.",
        )


def _carry_over(old: Path, new: Path) -> None:
    if not (old / RECORD).exists():
        return
    written = (name.partition("/")[0] for name in load_json(old / RECORD).get("files", {}))
    ours = {RECORD, *written, *(p.name for p in new.iterdir())}
    for item in old.iterdir():
        if item.name not in ours:
            if item.is_dir() and not item.is_symlink():
                shutil.copytree(item, new / item.name, symlinks=True)
            else:
                shutil.copy2(item, new / item.name, follow_symlinks=False)


def load_head(path: Path, backbone: Backbone | None = None) -> Head:
    """Read a head back, for its network.

    Raises:
        ModelError: the file is missing or torn.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return read_head(arrays, file.metadata() or {}, backbone)
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"The model's {path.name} cannot be read.", found=str(error)) from error
