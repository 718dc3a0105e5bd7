"""Predictor: a model folder opened again. The same trunk, engine and head as when it was judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headstart.aims import aim_of
from headstart.aims.aim import Aim, Said, Spot
from headstart.backbones.backbone import Backbone
from headstart.backbones.engine import Array, Chosen, Precision, TorchEngine
from headstart.data.box_pictures import sides
from headstart.data.examples import CellContent, Content, FileContent
from headstart.encoder import Encoder, encoder
from headstart.errors import DataError, ModelError, UsageError
from headstart.heads.boxes import BoxHead
from headstart.heads.finding import FindingHead
from headstart.heads.head import Head
from headstart.heads.texts import TextHead
from headstart.ragged import pile
from headstart.stages.ship import GOLDEN, GOLDEN_TOLERANCE, HEAD, RECORD, each_alone, load_head
from headstart.store import file_digest, load_json, recover_folder
from headstart.tasks import task_named
from headstart.tasks.task import Task

if TYPE_CHECKING:
    from headstart.evaluation import Evaluation


WHOLE_BATCH = 64
"""Inputs that a head which runs a whole network is given at a time."""
Input = str | Path | tuple[str, ...] | Content | bytes
"""What stands for one example: see `Predictor.predict`."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one input; or, where `error` is not empty, why it says nothing.

    Attributes:
        name: of the input.
        label: the label; of several, all with bars between; of a number, the number.
        probability: of the label; nan where there is not just one.
        probabilities: (label, its probability) of all labels.
        error: why nothing is said.
        labels: where an example may have any number of them, those that are more likely than not; else None.
        value: the number, where one is told; else None.
        spots: the objects that were found, in pixels of the picture as it is shown, where such are looked for; else
            None.
        size: width and height of that picture; 0 where it does not matter.
    """

    name: str
    label: str = ""
    probability: float = float("nan")
    probabilities: tuple[tuple[str, float], ...] = ()
    error: str = ""
    labels: tuple[str, ...] | None = None
    value: float | None = None
    spots: tuple[Spot, ...] | None = None
    size: tuple[int, int] = (0, 0)

    @staticmethod
    def of(name: str, said: Said) -> Prediction:
        """Return what is said of an input."""
        return Prediction(name, said.label, said.probability, said.probabilities, "", said.labels, said.value)

    def record(self) -> dict[str, Any]:
        """Return it for JSON output."""
        if self.error:
            return {"name": self.name, "error": self.error}
        if self.value is not None:
            return {"name": self.name, "value": self.value}
        if self.spots is not None:
            boxes = [{"label": s.label, "score": s.score, "box": [round(v, 2) for v in s.corners]} for s in self.spots]
            return {"name": self.name, "size": list(self.size), "boxes": boxes}
        each = {"probabilities": dict(self.probabilities)}
        if self.labels is not None:
            return {"name": self.name, "labels": list(self.labels), **each}
        return {"name": self.name, "label": self.label, "probability": self.probability, **each}


@dataclass(frozen=True)
class Predictor:
    """An opened model.

    Attributes:
        folder: where it lies.
        task: its task.
        backbone: its trunk.
        head: its head.
        aim: what it says of an example; `labels` are the names of its logits.
        record: the whole of `headstart.json`.
        encoder: runs the trunk.
    """

    folder: Path
    task: Task
    backbone: Backbone
    head: Head
    aim: Aim
    record: dict[str, Any]
    encoder: Encoder

    @property
    def labels(self) -> tuple[str, ...]:
        """What each logit stands for: class names."""
        return self.aim.outputs

    def predict(self, inputs: Input | Iterable[Input]) -> list[Prediction]:
        """Predict each input, in order; what cannot be read gets a prediction with an `error`.

        Args:
            inputs: paths, or the bytes of examples. Of a model of texts: texts, pairs of texts as tuples, or `Path`s
                of text files. A single one is taken for a list of one.
        """
        alone = isinstance(inputs, str | Path | bytes | tuple) or hasattr(inputs, "read")
        return list(self.stream(cast("Iterable[Input]", [inputs] if alone else inputs)))

    def stream(self, inputs: Iterable[Input]) -> Iterator[Prediction]:
        """As `predict`, one after another, with memory that does not grow."""
        return self.named([(_name(i, each), self._content(each)) for i, each in enumerate(inputs)])

    def named(self, named: Sequence[tuple[str, Content]]) -> Iterator[Prediction]:
        """As `stream`, of contents and what they are called."""
        streamed = self.encoder.stream([c for _, c in named])
        for (name, content), features, logits_K in self._run(named, streamed):
            if isinstance(features, str):
                yield Prediction(name, error=features)
            else:
                said = self.aim.said(self.aim.probabilities(logits_K[None])[0])
                yield Prediction.of(name, said) if said.spots is None else self._found(name, content, said.spots)

    def _run(
        self, named: Sequence[tuple[str, Content]], streamed: Iterator[Any]
    ) -> Iterator[tuple[tuple[str, Content], Any, Any]]:
        """Yield each input with its features, or why there are none, and what the head gives for them: some at a time
        where the head runs a whole network."""
        size = WHOLE_BATCH if self.backbone.whole else 1
        pairs = zip(named, streamed, strict=True)
        while block := list(islice(pairs, size)):
            good = [i for i, (_, features) in enumerate(block) if not isinstance(features, str)]
            given = dict(zip(good, self.head.logits(pile([block[i][1] for i in good])), strict=True)) if good else {}
            yield from ((each, features, given.get(i)) for i, (each, features) in enumerate(block))

    @property
    def threshold(self) -> float:
        """The score from which on a found object is told; 0 where no objects are looked for."""
        return float(getattr(self.head, "threshold", 0.0))

    def with_threshold(self, threshold: float) -> Predictor:
        """Return this model telling objects from another score on.

        Raises:
            UsageError: it looks for no objects.
        """
        if not isinstance(self.head, BoxHead | FindingHead):
            raise UsageError("This model has no threshold: it looks for no objects.")
        return replace(self, head=self.head.with_threshold(threshold))

    def with_beams(self, beams: int) -> Predictor:
        """Return this model following another number of ways as it writes.

        Raises:
            UsageError: it writes no texts, or the number is below 1.
        """
        if not isinstance(self.head, TextHead):
            raise UsageError("This model writes no texts: it follows no beams.")
        if beams < 1:
            raise UsageError("A model that writes follows one beam at least.", found=str(beams))
        return replace(self, head=self.head.with_beams(beams))

    def _found(self, name: str, content: Content, spots: Sequence[Spot]) -> Prediction:
        """Return found objects in pixels, from the threshold on."""
        seen = sides(content)
        width, height = seen.shown if seen else (1.0, 1.0)
        kept = tuple(
            Spot(s.label, s.score, tuple(v * side for v, side in zip(s.corners, (width, height) * 2, strict=True)))
            for s in spots
            if s.score >= self.threshold
        )
        return Prediction(name, spots=kept, size=(round(width), round(height)))

    def _content(self, given: Input) -> Content:
        if isinstance(given, str | Path | tuple):
            return self.task.given(given)
        if isinstance(given, bytes):
            return CellContent(lambda: given)
        if not hasattr(given, "read"):
            raise DataError("An input is a path, a text or bytes.", found=type(given).__name__)
        return given

    def evaluate(self, data: str | Path) -> Evaluation:
        """Score the model on labelled data; see `headstart.evaluate`."""
        from headstart.evaluation import evaluate

        return evaluate(self, data)

    def verify(self) -> None:
        """Check files and golden outputs.

        Raises:
            ModelError: a file changed since it was written, or the model gives something else than it gave then.
        """
        from safetensors.numpy import load_file

        for name, digest in self.record["files"].items():
            path = self.folder / name
            if not path.exists() or file_digest(path) != digest:
                raise ModelError(f"{name} of this model is missing or was changed since it was saved.")
        golden = load_file(self.folder / GOLDEN)
        network = self.task.network(self.backbone.trunk, self.backbone.preprocess)
        features_ND = pile(list(TorchEngine(network).run(list(golden["inputs"]))))
        means = self.aim.probabilities
        worst = self.aim.apart(means(each_alone(self.head, features_ND)), means(golden["logits"]))
        if not worst <= GOLDEN_TOLERANCE:
            raise ModelError(
                "The model does not reproduce its golden outputs here.",
                found=f"what it says differs by {worst:.3g}",
                hint="Another version of its library may compute otherwise: see `versions` in headstart.json.",
            )


def load(
    folder: str | Path,
    *,
    verify: bool = False,
    cache: Path | None = None,
    choose: Callable[[Sequence[Array]], Chosen] | None = None,
) -> Predictor:
    """Open a model folder.

    Args:
        folder: what `fit` made.
        verify: check its files and golden outputs first.
        cache: folder of the cache, for the converted network.
        choose: takes an engine; the one that the model was judged with where it is left out.

    Raises:
        ModelError: it is no model folder, is not complete, or fails the check.
    """
    folder = Path(folder)
    recover_folder(folder.resolve())
    if not (folder / RECORD).exists():
        raise ModelError(
            f"{folder} is not a model folder: it has no {RECORD}.",
            hint="Give the folder that `headstart fit` made.",
        )
    record = load_json(folder / RECORD)
    task = task_named(record["task"])
    backbone = task.backbone(str(folder))
    precision: Precision = "bf16" if record["engine"]["name"].endswith("bf16") else "fp32"
    opened = Predictor(
        folder,
        task,
        backbone,
        load_head(folder / HEAD, backbone),
        aim_of(record.get("aim", "label"), tuple(record["labels"])),
        record,
        encoder(task, backbone, precision, cache, choose=choose),
    )
    if verify:
        opened.verify()
    return opened


def _name(position: int, given: Input) -> str:
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, tuple):
        return " / ".join(map(str, given))
    return str(given.path) if isinstance(given, FileContent) else f"input {position}"
