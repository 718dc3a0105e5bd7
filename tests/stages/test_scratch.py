"""From scratch: a fair rival, that knows nothing of the pretrained weights and is judged on what it never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import training_samples as samples
from climb_samples import Around, ground
from headstart.aims.label import one_label
from headstart.checkpoints import read
from headstart.heads.linear import log_loss_N, plain_head
from headstart.metrics.interval import LEVEL, RESAMPLES, Measure, resamples
from headstart.metrics.labels import Labelled, scores
from headstart.pipeline import Base
from headstart.prepare import items_of
from headstart.progress import quiet
from headstart.stages.batches import Batches, Source
from headstart.stages.held import logits_of
from headstart.stages.plan import ScratchPlan
from headstart.stages.scratch import (
    DECAY,
    SETTLING,
    Scratch,
    from_scratch,
    halves,
    random_model,
    sentence,
    settle,
    worth,
)
from headstart.stages.sources import inputs
from headstart.stages.split import Index, Splits
from headstart.stages.trial import begun
from headstart.stages.tune import Recipe, tune

PLAN = ScratchPlan(20, 12, 4, (1e-6, 3e-3), False, 1.0, 1.0)


pytestmark = pytest.mark.usefixtures("calm")


@dataclass
class Seen:
    """A source that knows which examples it was asked for, to train on and to judge."""

    source: Source
    trained: set[int] = field(default_factory=set)
    judged: set[int] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def train(self, index_B: Index, epoch: int) -> NDArray[Any]:
        self._note("train", index_B)
        return self.source.train(index_B, epoch)

    def clean(self, index_B: Index) -> NDArray[Any]:
        self._note("clean", index_B)
        return self.source.clean(index_B)

    def _note(self, what: str, index_B: Index) -> None:
        (self.trained if what == "train" else self.judged).update(index_B.tolist())
        self.calls.append(what)


class Setting:
    """A ground in a folder, its inputs, and a training from scratch on it."""

    def __init__(self, base: Base, folder: Path, around: Around | None = None) -> None:
        self.around = around or Around()
        self.ground = replace(ground(base, folder, self.around), items=items_of(base.data))
        self.fit, self.judged = halves(self.ground.splits)
        rows, clock = np.union1d(self.fit, self.judged), self.ground.clock
        self.source = Seen(inputs(self.ground.encoder, self.ground.items, rows, 0, quiet, clock))
        self.folder = folder / "scratch"

    def train(self, plan: ScratchPlan = PLAN, **more: Any) -> Scratch:
        given = {"fit": self.fit, "judged": self.judged, "left": self.around.left, **more}
        return from_scratch(self.ground, self.source, plan, folder=self.folder, **given)

    def saved(self, name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a training ended with."""
        return read(next((self.folder / name).glob("step-99999999.safetensors")))

    def logits(self, name: str, rows: Index) -> NDArray[np.float64]:
        """Those of the network that a training ended with."""
        model = random_model(self.ground, False)
        model.load_state_dict(self.saved(name)[0], strict=False)
        return logits_of(model, self.source.source, rows, "cpu")


@pytest.fixture
def setting(base: Base, tmp_path: Path) -> Setting:
    return Setting(base, tmp_path)


@pytest.fixture(scope="module")
def trained(base: Base, tmp_path_factory: pytest.TempPathFactory) -> tuple[Setting, Scratch]:
    """A setting with what training came to."""
    made = Setting(base, tmp_path_factory.mktemp("trained"))
    return made, made.train()


# -- what trains and what is judged


def divided(judged: Index) -> Splits:
    folds = ((np.array([0, 1, 2]), np.array([3, 4])), (np.array([2, 3, 4]), np.array([0, 1])))
    return Splits(np.arange(5), judged, folds, np.arange(9), 0, "made up")


def test_where_a_test_is_given_all_that_may_be_learned_from_is() -> None:
    fit, judged = halves(divided(np.array([7, 8])))
    assert (fit.tolist(), judged.tolist()) == ([0, 1, 2, 3, 4], [7, 8])


def test_where_none_is_the_first_fold_is_judged_and_not_learned_from() -> None:
    fit, judged = halves(divided(np.empty(0, np.intp)))
    assert (fit.tolist(), judged.tolist()) == ([0, 1, 2], [3, 4])


# -- the network


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])]


def test_random_weights_come_from_the_seed_and_not_from_the_pretrained_network(setting: Setting) -> None:
    model = random_model(setting.ground, False)
    first, backbone = state(model), setting.ground.encoder.backbone
    before = state(backbone.trunk)
    with torch.no_grad():
        for tensor in backbone.trunk.state_dict().values():
            tensor.add_(1)
    try:
        assert differing(state(random_model(setting.ground, False)), first) == []
    finally:
        backbone.trunk.load_state_dict(before)
    matrices = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    assert matrices <= set(differing(state(random_model(replace(setting.ground, seed=1), False)), first))


def test_random_weights_do_not_depend_on_what_was_drawn_before(setting: Setting) -> None:
    torch.manual_seed(3)
    first = state(random_model(setting.ground, False))
    torch.manual_seed(4)
    assert differing(state(random_model(setting.ground, False)), first) == []


def test_all_of_a_random_network_is_trained_statistics_too(setting: Setting) -> None:
    model = random_model(setting.ground, False)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in setting.ground.encoder.backbone.trunk.parameters())
    head = plain_head(setting.ground.encoder.backbone.dim, setting.ground.outputs, 0)
    np.testing.assert_array_equal(model.head().weight_DK, head.weight_DK.astype(np.float32))
    assert not model.low
    assert random_model(setting.ground, True).low


# -- training


def test_what_is_judged_is_not_trained_on_and_comes_in_its_order(trained: tuple[Setting, Scratch]) -> None:
    setting, made = trained
    assert setting.source.trained == set(setting.fit.tolist())
    assert not setting.source.trained & set(setting.judged.tolist())
    np.testing.assert_array_equal(made.rows, setting.judged)
    np.testing.assert_array_equal(made.logits_NK, setting.logits("whole", setting.judged))
    assert made.logits_NK.shape == (len(setting.judged), 3)
    assert (made.fitted, made.steps, made.planned) == (len(setting.fit), PLAN.steps, PLAN.steps)
    assert made.seconds > 0


def test_the_rate_is_the_one_whose_trial_is_better_on_pictures_that_it_did_not_train_on(
    trained: tuple[Setting, Scratch], base: Base, tmp_path: Path
) -> None:
    made, alone = trained[1], Setting(base, tmp_path)
    alone.train(replace(PLAN, rates=(*PLAN.rates, 1e-3), steps=1))
    losses = []
    held = np.array(sorted(alone.source.judged - set(alone.judged.tolist())))
    for rate in (*PLAN.rates, 1e-3):
        logits_HK = alone.logits(f"trial-{rate:g}", held)
        losses.append(float(log_loss_N(logits_HK, alone.ground.target_N[held]).mean()))
        assert alone.saved(f"trial-{rate:g}")[1] == {"steps": PLAN.trial}
    assert len(set(losses)) == 3
    best = (*PLAN.rates, 1e-3)[int(np.argmin(losses))]
    assert alone.train(replace(PLAN, rates=(*PLAN.rates, 1e-3), steps=1)).rate == best
    assert made.rate == PLAN.rates[int(np.argmin(losses[:2]))]


def test_a_fifth_is_kept_from_the_trials_and_not_from_the_training(base: Base, tmp_path: Path) -> None:
    """The first batch of the training is the first that may hold what the trials did not see."""
    setting = Setting(base, tmp_path)
    seen: list[set[int]] = []
    train = setting.source.train

    def noted(index_B: Index, epoch: int) -> NDArray[Any]:
        seen.append(set(index_B.tolist()))
        return train(index_B, epoch)

    setting.source.train = noted  # type: ignore[method-assign]
    setting.train()
    settled = [
        min(n // PLAN.batch, SETTLING) for n in (len(setting.fit) - math.ceil(len(setting.fit) / 5), len(setting.fit))
    ]
    trials = len(PLAN.rates) * (PLAN.trial + settled[0])
    inner, everyone = set.union(*seen[:trials]), set.union(*seen[trials:])
    held = set(setting.fit.tolist()) - inner
    assert len(held) == math.ceil(len(setting.fit) / 5)
    assert held == setting.source.judged - set(setting.judged.tolist())
    assert everyone == set(setting.fit.tolist())
    assert len(seen) == trials + PLAN.steps + settled[1]


def test_a_single_rate_is_not_tried_first(setting: Setting) -> None:
    made = setting.train(replace(PLAN, rates=(1e-3,), steps=3))
    assert (made.rate, made.steps) == (1e-3, 3)
    assert setting.around.count == 3
    assert setting.source.calls.count("train") == 3 + min(len(setting.fit) // PLAN.batch, SETTLING)


def test_statistics_are_learned_averaged_and_judged_with(trained: tuple[Setting, Scratch]) -> None:
    setting, made = trained
    weights, _ = setting.saved("whole")
    begun = state(random_model(setting.ground, False))
    moving = [name for name in begun if name.endswith(("running_mean", "running_var"))]
    assert moving
    for name in moving:
        assert not torch.equal(weights[name], begun[name]), name
    model = random_model(setting.ground, False)
    model.load_state_dict({n: t for n, t in weights.items() if n not in moving}, strict=False)
    without = logits_of(model, setting.source.source, setting.judged, "cpu")
    assert np.abs(without - made.logits_NK).max() > 1e-3, "they matter"


def test_what_is_judged_is_the_average_of_the_weights(trained: tuple[Setting, Scratch]) -> None:
    """By the loop alone, the statistics those of the averaged weights."""
    setting, made = trained
    batches = Batches(setting.source.source, setting.fit, setting.ground.target_N, PLAN.batch, 0)
    recipe = Recipe(PLAN.steps, made.rate, seed=0, decay=DECAY)
    _, alone = begun(random_model(setting.ground, False), recipe, batches, setting.ground.aim)
    assert len(list(tune(alone, batches))) == PLAN.steps
    assert "linear.weight" in differing(alone.followed, alone.average)
    alone.use(alone.average)
    settle(alone.model, batches)
    assert differing(setting.saved("whole")[0], alone.followed) == []


def test_the_same_again_is_read_and_not_trained(trained: tuple[Setting, Scratch], base: Base) -> None:
    setting, first = trained
    again = Setting(base, setting.ground.folder)
    made = again.train()
    assert (again.around.count, again.source.calls.count("train")) == (0, 0)
    np.testing.assert_array_equal(made.logits_NK, first.logits_NK, strict=True)
    assert (made.rate, made.steps, made.planned, made.fitted) == (first.rate, first.steps, first.planned, first.fitted)


def test_the_same_elsewhere_comes_to_the_same_bits(trained: tuple[Setting, Scratch], setting: Setting) -> None:
    torch.manual_seed(99)
    np.testing.assert_array_equal(setting.train().logits_NK, trained[1].logits_NK, strict=True)


# -- out of time


def test_out_of_time_it_is_judged_as_it_is_and_says_how_far_it_came(base: Base, tmp_path: Path) -> None:
    single = replace(PLAN, rates=(3e-3,))
    short = Setting(base, tmp_path, Around(seconds=7))
    made = short.train(single)
    assert (made.steps, made.planned) == (7, PLAN.steps)
    np.testing.assert_array_equal(made.logits_NK, short.logits("whole", short.judged))
    assert np.isfinite(made.logits_NK).all()
    again = Setting(base, tmp_path).train(single)
    assert (again.steps, again.planned) == (7, PLAN.steps), "with more time it is what it was"
    np.testing.assert_array_equal(again.logits_NK, made.logits_NK)


def test_out_of_time_within_the_trials_there_still_is_something_to_judge(base: Base, tmp_path: Path) -> None:
    short = Setting(base, tmp_path, Around(seconds=5))
    made = short.train()
    assert 1 <= made.steps < PLAN.steps
    assert made.rate in PLAN.rates
    assert made.logits_NK.shape == (len(short.judged), 3)


# -- what pretraining is worth

SCORING = one_label(("a", "b", "c")).scoring


def both(examples: int = 24, classes: int = 3) -> tuple[NDArray[Any], NDArray[Any], Index, Index]:
    """Logits of a good and of a poor model, the truth, and units with copies, their numbers with gaps."""
    rng = np.random.default_rng(5)
    target_N = rng.integers(0, classes, examples)
    right_NK = np.eye(classes)[target_N]
    good_NK, poor_NK = (right_NK * gain + rng.normal(size=right_NK.shape) for gain in (2.5, 0.8))
    return good_NK, poor_NK, target_N, 7 + 3 * rng.integers(0, examples // 2, examples)


def test_what_pretraining_is_worth_is_the_difference_on_examples_that_are_drawn_again_and_again() -> None:
    """Each resample written out as the rows that it draws, a row as often as its unit."""
    good_NK, poor_NK, target_N, unit_N = both()
    found = worth(good_NK, poor_NK, target_N, unit_N, SCORING, 3)
    right_N, other_N = (logits_NK.argmax(1) == target_N for logits_NK in (good_NK, poor_NK))
    names = np.unique(unit_N)
    drawn = []
    for counts in resamples(len(names), 3):
        rows = np.concatenate([np.flatnonzero(unit_N == names[u]) for u in np.repeat(np.arange(len(names)), counts)])
        drawn.append(right_N[rows].mean() - other_N[rows].mean())
    tail = 50 * (1 - LEVEL)
    assert len(drawn) == RESAMPLES
    assert found.name == next(iter(scores(Labelled.of(good_NK, target_N), np.ones(len(target_N)))))
    assert found.value == pytest.approx(right_N.mean() - other_N.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [tail, 100 - tail])))
    assert found.low < found.value < found.high


def test_the_other_way_round_it_is_as_much_less() -> None:
    good_NK, poor_NK, target_N, unit_N = both()
    there, back = (worth(*pair, target_N, unit_N, SCORING, 3) for pair in ((good_NK, poor_NK), (poor_NK, good_NK)))
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert there.value > 0


def test_a_model_is_worth_nothing_more_than_itself() -> None:
    good_NK, _, target_N, unit_N = both()
    same = worth(good_NK, good_NK, target_N, unit_N, SCORING, 0)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_both_are_compared_on_the_same_draws() -> None:
    """Two models that err on nearly the same examples differ by little for certain; apart they could by much."""
    _, poor_NK, target_N, _ = both(200)
    better_NK = poor_NK.copy()
    wrong = np.flatnonzero(poor_NK.argmax(1) != target_N)[:8]
    better_NK[wrong] = np.eye(3)[target_N[wrong]]
    found = worth(better_NK, poor_NK, target_N, np.arange(200), SCORING, 0)
    assert found.value == pytest.approx(8 / 200)
    assert found.low > 0
    assert found.high - found.low < 0.07


@pytest.mark.parametrize(
    ("gain", "begins"),
    [
        ((0.2, 0.1, 0.3), "Pretraining was worth +20.0 points (95% interval +10.0 to +30.0) of accuracy: "),
        ((-0.2, -0.3, -0.1), "Pretraining did harm, -20.0 points (95% interval -30.0 to -10.0) of accuracy: "),
        ((0.2, -0.1, 0.5), "There is no evidence that pretraining helps here, +20.0 points (95% interval -10.0 to +50"),
        ((0.2, 0.0, 0.5), "There is no evidence that pretraining helps here, +20.0 points"),
        ((-0.2, -0.4, 0.0), "There is no evidence that pretraining helps here, -20.0 points"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(gain: tuple[float, float, float], begins: str) -> None:
    said = sentence(Measure("accuracy", *gain), 0.9, 0.7, (61.4, 70.6), 120, "picture")
    assert said.startswith(begins)
    for fact in (
        "trained for 71 s where the transfer run took 61 s",
        "70.0% of accuracy on the same 120 pictures",
        "against 90.0%",
    ):
        assert fact in said


# -- statistics


def test_statistics_in_the_end_are_those_of_the_final_weights_on_what_is_trained_on() -> None:
    model, batches = samples.top(samples.lively(), moving=True), samples.batches(samples.Given(samples.examples(), 0.5))
    linear, norm = model.body[0], model.body[1]
    norm.running_mean.fill_(9.0)
    before = torch.get_rng_state()
    settle(model, batches)
    assert torch.equal(torch.get_rng_state(), before)
    x_NF = torch.cat([batches.batch(step)[0] for step in range(batches.in_epoch)])
    torch.testing.assert_close(norm.running_mean, linear(x_NF).mean(0).detach(), rtol=1e-4, atol=1e-5)
    assert model.training
    assert norm.momentum == 0.1
