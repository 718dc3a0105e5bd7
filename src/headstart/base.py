"""base: a run as far as the linear head: read, check, encode, split, choose how to read out, probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from headstart.backbones.engine import Array
from headstart.choosing import AUTO, Choice, choose, note
from headstart.data.check import Checked
from headstart.data.examples import Examples
from headstart.deepen import Deepened
from headstart.encoder import Encoder, encoder
from headstart.errors import UsageError
from headstart.options import Options, Stopwatch
from headstart.prepare import Divided, Floats, data_fingerprint, decodable, divide, gather, items_of, with_general
from headstart.progress import Track
from headstart.report.story import Story
from headstart.runs import Tell
from headstart.stages.curve import counts
from headstart.stages.encode import Features, sample
from headstart.stages.judge import Scores, judge
from headstart.stages.probe import Probe, closed_form_loss
from headstart.stages.readout import alike, best_readout
from headstart.stages.ship import check_out
from headstart.stages.solvers import MANY_ROWS
from headstart.stages.split import Index, Splits
from headstart.tasks.task import Task

GOLDEN = 4
"""How many inputs are kept with their expected outputs."""


@dataclass(frozen=True)
class Base:
    """All that is known once the linear head is there."""

    options: Options
    task: Task
    encoder: Encoder
    features: Features
    data: Checked
    x_ND: Floats
    divided: Divided
    probe: Probe
    mark: str
    golden: list[Array]
    general: Examples | None = None
    choice: Choice | None = None

    def story(self, scores: Scores, watch: Stopwatch) -> Story:
        """Return what is told of a run that ended here."""
        found, d = self.divided.examples, self.divided
        return Story(
            self.task, d.aim, self.options, self.encoder.backbone, found, self.features, d.splits, d.target_N,
            self.probe, scores, watch.seconds, watch.done, self.mark, d.near,
            ranking=self.choice.ranking if self.choice else None,
        )  # fmt: skip

    def judged(self, splits: Splits, deep: Deepened | None, x_of: Callable[[Index], Floats]) -> Scores:
        """Score what ships."""
        tried = [step.tried for step in deep.climbed.steps] if deep else []
        head = deep.climbed.head if deep else self.probe.head
        target_N, aim = self.divided.target_N, self.divided.aim
        return judge(self.probe, tried, head, x_of, target_N, splits, aim, self.options.seed)


def begin(options: Options, track: Track, watch: Stopwatch, tell: Tell = lambda _: None) -> Base:
    """Go as far as the linear head."""
    clock = watch.clock
    check_out(options.folder, Path(options.data))
    with watch("read"):
        task, checked = gather(options, track)
        checked, general = with_general(options, checked, track)
    with watch("choose" if options.backbone == AUTO else "backbone"):
        choice = choose(options, task, checked, track, clock, tell)
    with watch("backbone"):
        backbone = task.backbone(choice.name)
        backbone = task.several(backbone) if choice.ranking or options.cut == "any" else backbone
        encode_with = encoder(task, backbone, options.precision, Path(options.cache) if options.cache else None)
        backbone = task.fitted(backbone, checked.examples)
        encode_with = replace(encode_with, backbone=backbone)
    with watch("encode"):
        features = encode_with.encode(items_of(checked, task.size), track, clock)
        data, x_ND = decodable(checked, features, partial(task.remark, backbone) if task.remark else None)
    with watch("split"):
        divided = divide(data, alike(x_ND, backbone), options.seed)
    if counts(options.labels) and divided.aim.costly:
        raise UsageError(
            "There is no learning curve here: a head takes minutes, and each point of it takes one.",
            hint="Leave --labels-per-class out.",
        )
    with watch("probe"), track("probe", 3 * max(1, len(backbone.readouts))) as advance:
        aim, target_N = divided.aim, divided.target_N
        rungs = task.probe(backbone, options.seed)
        fast = len(divided.splits.judged) and len(divided.splits.train) > MANY_ROWS
        probed, x_ND, way = best_readout(
            x_ND,
            backbone.readouts,
            lambda x: rungs(x, target_N, aim, divided.splits, clock, advance),
            (lambda x: closed_form_loss(x, target_N, aim, divided.splits)) if fast else None,
        )
    note(encode_with.root, checked, backbone, probed, target_N, aim)
    if way is not None:
        encode_with = replace(encode_with, backbone=way.open())
    golden = recorded(sample([e.content for e in data.examples.items], encode_with.load), aim.costly)
    mark = data_fingerprint(data)
    return Base(options, task, encode_with, features, data, x_ND, divided, probed, mark, golden, general, choice)


def recorded(inputs: Sequence[Array], costly: bool) -> list[Array]:
    """Return a few inputs to record with what the model gives for them: short ones where a text is written for each,
    which took 8 s for four sentences of medicine, and is done four times in a run."""
    return (sorted(inputs, key=len) if costly else list(inputs))[:GOLDEN]
