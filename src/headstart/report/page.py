"""What a report says, as frozen values of plain types, and `render`, which makes the HTML page of it.

Every field with a default may be left out: the section that would show it is then absent. Strings are
text, never HTML: whatever they hold is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# those who describe a page find everything here
from headstart.report.making import BackboneFacts as BackboneFacts
from headstart.report.making import CacheUse as CacheUse
from headstart.report.making import Choosing as Choosing
from headstart.report.making import Contender as Contender
from headstart.report.making import EngineFacts as EngineFacts
from headstart.report.making import Made as Made
from headstart.report.making import PlanBlock as PlanBlock
from headstart.report.making import PlanLine as PlanLine
from headstart.report.making import StageTime as StageTime
from headstart.report.making import TrainingCurve as TrainingCurve
from headstart.report.shown import Mistake as Mistake
from headstart.report.shown import Piece as Piece
from headstart.report.shown import Translation as Translation
from headstart.report.shown import Words as Words
from headstart.report.shown import data_uri as data_uri

RungStatus = Literal["shipped", "passed", "yardstick", "beaten"]
Severity = Literal["left out", "repaired", "note"]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval. NaN or None stands for "not defined" and is shown as a dash."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Yardstick:
    """Something simpler that was scored on the very same examples as the headline."""

    name: str
    estimate: Estimate


@dataclass(frozen=True)
class Headline:
    """The one number of the run.

    `judged` says in one sentence how it was measured, `model` what was measured; `share` means that the
    number lies in 0..1 and reads as a percentage. `against` holds what it is compared with.
    """

    name: str
    estimate: Estimate
    judged: str
    model: str = "this model"
    against: tuple[Yardstick, ...] = ()
    share: bool = True


@dataclass(frozen=True)
class Measure:
    """One measure of the shipped model, with a plain one-line explanation."""

    name: str
    estimate: Estimate
    meaning: str
    share: bool = True
    higher_is_better: bool = True


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: `seconds` is what it cost beyond the rungs below it.

    `at` is how many seconds after the start of the run it was done; without it the chart adds up what the
    rungs cost. "passed" was accepted when it was climbed and then beaten by a later rung.
    """

    name: str
    cut: str
    headline: Estimate
    seconds: float | None
    status: RungStatus
    note: str = ""
    at: float | None = None


@dataclass(frozen=True)
class Scratch:
    """The same network trained from random weights: its score, its training time, what that says in a sentence.

    `worth` is what pretraining gained, as the paired difference on the same examples; `at`, in seconds since the run
    began, when it was done.
    """

    estimate: Estimate
    seconds: float | None
    sentence: str
    worth: Estimate | None = None
    at: float | None = None


@dataclass(frozen=True)
class Ladder:
    """The rungs as they were climbed, how their scores were measured, and what was not tried and why.

    `scratch` is what they are compared with; `scratch_note` says why it was left out, when it was.
    """

    rungs: tuple[Rung, ...]
    judged: str = ""
    untried: tuple[tuple[str, str], ...] = ()
    scratch: Scratch | None = None
    share: bool = True
    scratch_note: str = ""


@dataclass(frozen=True)
class CurvePoint:
    """What so many labels give: `labels` per class in words ("5", "all"), `examples` of all classes together."""

    labels: str
    examples: int
    transfer: Estimate
    scratch: Estimate | None


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class; `examples` counts those it was judged on."""

    name: str
    examples: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class Confusion:
    """`counts[i][j]`: examples of class `labels[i]` that the model called `labels[j]`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions of about the same confidence: its mean, the share that was right, how many there were."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """Whether the probabilities mean what they say; `temperature` is what the logits were divided by."""

    bins: tuple[ReliabilityBin, ...]
    temperature: float | None = None


@dataclass(frozen=True)
class Scatter:
    """True and predicted numbers of judged examples, `(true, predicted)` each; `count` is how many there are in all."""

    dots: tuple[tuple[float, float], ...]
    count: int


@dataclass(frozen=True)
class ClassCount:
    """How many examples of a class each part holds, in the order of `DataFacts.parts`."""

    name: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class FindingLine:
    """Something the checks saw, one line with its reason."""

    name: str
    kind: str
    severity: Severity
    reason: str


@dataclass(frozen=True)
class DataFacts:
    """What the data are: `files` were seen, each a `noun`, `bad` of them could not be used."""

    how: str = ""
    parts: tuple[str, ...] = ()
    classes: tuple[ClassCount, ...] = ()
    findings: tuple[FindingLine, ...] = ()
    files: int = 0
    bad: int = 0
    noun: str = "file"


@dataclass(frozen=True)
class Snippet:
    """A piece of code to copy."""

    title: str
    code: str


@dataclass(frozen=True)
class Use:
    """How to use the model, and its files as (name, what it is)."""

    snippets: tuple[Snippet, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole report. `title` names the data, `verdict` is one sentence, `command` repeats the run.

    `weighed` says what else must be known of the weights that the words of mistakes have, or of what is drawn on
    pictures; `third` is what the third score of each class is.
    """

    title: str
    verdict: str
    when: str = ""
    command: str = ""
    headline: Headline | None = None
    caveats: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    ladder: Ladder | None = None
    curve: tuple[CurvePoint, ...] = ()
    classes: tuple[ClassScore, ...] = ()
    confusion: Confusion | None = None
    reliability: Reliability | None = None
    scatter: Scatter | None = None
    mistakes: tuple[Mistake, ...] = ()
    translations: tuple[Translation, ...] = ()
    weighed: str = ""
    third: str = "F1"
    data: DataFacts | None = None
    made: Made | None = None
    use: Use | None = None


def render(page: Page) -> str:
    """Return the report as one HTML document that needs nothing beside it: no network, no script, no file."""
    from headstart.report.html import fill  # Jinja is loaded by those who render, not by those who describe

    return fill(page)
