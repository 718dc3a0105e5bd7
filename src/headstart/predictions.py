"""What `predict` reads and writes: paths from arguments, folders, globs, stdin; predictions as CSV or JSON."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO, TextIO

from headstart import found
from headstart.data.encodings import decoded
from headstart.data.rows import FORMATS
from headstart.data.texts import TextContent
from headstart.errors import UsageError
from headstart.predictor import WHOLE_BATCH, Prediction, Predictor
from headstart.store import save_bytes


def gather(inputs: Sequence[str], endings: Sequence[str], stdin: TextIO) -> list[str]:
    """Return words in the order given; a folder gives its files with these endings, sorted, without hidden ones.

    What a word stands for, a path or a text, the task knows.

    Args:
        inputs: files, folders, globs, texts; `-`, or nothing at all, stands for those on stdin, one a line.
        endings: what is looked for in folders.
        stdin: where `-` reads from.

    Raises:
        UsageError: there is nothing to predict, or stdin was asked for and is a terminal.
    """
    if not inputs and stdin.isatty():
        raise UsageError("There is nothing to predict.", hint="Give files, folders or globs, or one a line on stdin.")
    out: list[str] = []
    for given in inputs or ("-",):
        if given == "-":
            out += [line for line in stdin.read().split("\n") if line.strip()]
        elif os.path.isdir(given):  # noqa: PTH112 - Path.is_dir raises at texts that are too long for a name
            out += _inside(Path(given), endings)
        elif glob.has_magic(given) and not os.path.exists(given):  # noqa: PTH110
            out += sorted(glob.glob(given, recursive=True)) or [given]  # noqa: PTH207 - the user's own pattern
        else:
            out.append(given)  # one that is not there gets a prediction that says so
    if not out:
        raise UsageError("There is nothing to predict.", found=" ".join(inputs) or "nothing on stdin")
    return out


def by_lines(model: Predictor, inputs: Sequence[str]) -> bool:
    """Whether a model translates, and is given lines: on stdin, or a single text file."""
    if model.aim.goal != "text":
        return False
    return not inputs or list(inputs) == ["-"] or (len(inputs) == 1 and _is_text(inputs[0]))


def _is_text(word: str) -> bool:
    path = PurePath(word)
    return os.path.isfile(word) and path.suffix.lower() not in FORMATS  # noqa: PTH113 - long texts raise


def lines_of(inputs: Sequence[str], stdin: BinaryIO) -> list[str]:
    """Return the lines of stdin or of a file, empty ones too; only "\\n" ends one, as `wc -l` counts them."""
    data = Path(inputs[0]).read_bytes() if inputs and inputs[0] != "-" else stdin.read()
    lines = decoded(data)[0].split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def translate(
    model: Predictor, lines: Sequence[str], output: Path | None, advance: Callable[[int], None], as_json: bool
) -> None:
    """Write a line for each line, in order; what cannot be translated gives an empty one.

    Raises:
        StoreError: the file cannot be written.
    """
    out: list[str] = []
    for number, said in enumerate(model.named([(f"line {i}", TextContent.of(t)) for i, t in enumerate(lines, 1)])):
        record = {"source": lines[number], "translation": said.label, **({"error": said.error} if said.error else {})}
        out.append(json.dumps(record, ensure_ascii=False) if as_json else " ".join(said.label.split()))
        advance(1)
        if output is None:
            print(out[-1], flush=number % WHOLE_BATCH == 0)  # noqa: T201 - data to stdout
    if output is not None:
        save_bytes(output, ("\n".join(out) + "\n" * bool(out)).encode())


def _inside(folder: Path, endings: Sequence[str]) -> list[str]:
    files = (p for p in folder.rglob("*") if p.suffix.lower() in endings and p.is_file())
    return sorted(str(p) for p in files if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def as_csv(said: Iterable[Prediction], boxes: bool = False) -> str:
    """Return predictions as CSV: name, label, probability, then one column a class, then error.

    Of any number of labels: name, labels with bars between, one column a label, error; of numbers: name, value, error;
    of a model that looks for objects, `boxes`, a row for each.
    """
    said = list(said)
    if boxes or any(p.spots is not None for p in said):
        return found.as_csv(said)
    first = next((p for p in said if not p.error), None)
    if first and first.labels is None and first.value is None and not first.probabilities:
        return _texts(said)
    if first and (first.value is not None or first.labels is not None):
        return _without_probability(said, first)
    classes = next((tuple(c for c, _ in p.probabilities) for p in said if not p.error), ())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "label", "probability", *(f"p({c})" for c in classes), "error"])
    for p in said:
        each = [f"{value:.6f}" for _, value in p.probabilities] or [""] * len(classes)
        writer.writerow([p.name, p.label, "" if p.error else f"{p.probability:.6f}", *each, p.error])
    return out.getvalue()


def _texts(said: Sequence[Prediction]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", "translation", "error"])
    writer.writerows([p.name, p.label, p.error] for p in said)
    return out.getvalue()


def _without_probability(said: Sequence[Prediction], first: Prediction) -> str:
    classes = [c for c, _ in first.probabilities]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "labels" if classes else "value", *(f"p({c})" for c in classes), "error"])
    for p in said:
        each = [f"{value:.6f}" for _, value in p.probabilities] or [""] * len(classes)
        writer.writerow([p.name, p.label, *each, p.error])
    return out.getvalue()


def write(path: Path, said: Sequence[Prediction], classes: Sequence[str] = ()) -> None:
    """Write predictions in the format that the file's ending names; found objects in `.json` as COCO has them.

    Raises:
        UsageError: another ending.
        StoreError: it cannot be written.
    """
    records = [p.record() for p in said]
    if path.suffix == ".csv":
        text = as_csv(said)
    elif path.suffix == ".json" and any(p.spots is not None for p in said):
        text = found.as_coco(said, classes)
    elif path.suffix == ".json":
        text = json.dumps(records, indent=2, ensure_ascii=False) + "\n"
    elif path.suffix == ".jsonl":
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    else:
        raise UsageError(f"Predictions cannot be written as {path.name}.", hint="End it in .csv, .json or .jsonl.")
    save_bytes(path, text.encode(errors="backslashreplace"))  # file names need not be text
