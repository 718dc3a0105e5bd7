"""The climb: no rung ships that is not measurably better; nothing is trained twice, and what is frozen stays so."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from climb_samples import (
    NO,
    NOTHING,
    YES,
    Around,
    assert_same_climb,
    based,
    climbed,
    depths_of,
    differing,
    ground,
    places,
    rung,
)
from headstart.aims.aim import Aim
from headstart.aims.label import one_label
from headstart.backbones import lora
from headstart.backbones.backbone import weights_digest
from headstart.backbones.depths import EVERYTHING
from headstart.errors import FrozenError, UsageError
from headstart.heads.linear import fit_temperature, fresh_head, log_loss_N, softmax
from headstart.pipeline import Base
from headstart.stages import climb as stage
from headstart.stages.climb import Climbed, rows_of_folds, rung_of
from headstart.stages.judge import gain
from headstart.stages.plan import RungPlan
from headstart.stages.sources import Opened
from headstart.stages.trial import ALPHAS, Tried, ended

pytestmark = pytest.mark.usefixtures("calm")
AIM = one_label(("a", "b", "c"))


@pytest.fixture(scope="module")
def last(base: Base) -> str:
    """The shallowest place to train from."""
    return places(base.encoder.backbone)[0]


def two(last: str) -> list[RungPlan]:
    """A rung of four trainings and a shorter one of two."""
    return [rung(last), rung(EVERYTHING, folds=1, epochs=2)]


@dataclass(frozen=True)
class Done:
    """A finished climb of two rungs, both accepted."""

    folder: Path
    climbed: Climbed
    around: Around

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.folder, to))


@pytest.fixture(scope="module")
def done(base: Base, last: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder, around = tmp_path_factory.mktemp("run") / "run", Around()
    return Done(folder, climbed(base, folder, two(last), [YES, YES], around), around)


def settings(climbed: Climbed) -> list[tuple[str, ...]]:
    return [step.tried.rung.settings for step in climbed.steps]


# -- the gate


@pytest.mark.parametrize(
    ("value", "error", "accepted"),
    [(0.2, 0.1, True), (0.1001, 0.1, True), (0.1, 0.1, False), (0.0, 0.0, False), (-0.2, 0.1, False)],
)
def test_a_rung_ships_where_its_gain_is_above_one_standard_error_and_nowhere_else(
    value: float, error: float, accepted: bool, base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    found = climbed(base, done.copy(tmp_path / "run"), [rung(last)], [(value, error)])
    [step] = found.steps
    assert (step.tried.gain, step.tried.error, step.tried.accepted) == (value, error, accepted)
    assert (found.best is step) == accepted
    assert (found.head is not base.probe.head) == accepted
    assert (found.backbone.weights != base.encoder.backbone.weights) == accepted


def test_where_no_rung_is_better_the_linear_head_ships_on_the_pretrained_weights_and_deeper_rungs_say_why_they_rest(
    base: Base, last: str, tmp_path: Path
) -> None:
    before = weights_digest(base.encoder.backbone.trunk)
    plan = [rung(last), *(rung(name) for name in places(base.encoder.backbone)[1:])]
    found = climbed(base, tmp_path, plan, [NOTHING], untried=(("one more", "no time"),))
    assert found.best is None
    assert found.head is base.probe.head
    assert found.backbone is base.encoder.backbone
    assert weights_digest(found.backbone.trunk) == before == found.backbone.weights
    [step] = found.steps
    why = f"{step.tried.rung.name} was no better than what was there before"
    assert found.untried == (("one more", "no time"), *((each.name, why) for each in plan[1:]))
    assert [path.name for path in tmp_path.iterdir()] == [f"0-{last}"], "the others were not begun"
    assert not (tmp_path / f"0-{last}" / "final").exists(), "no last training of what does not ship"


def test_a_gain_within_the_noise_ships_nothing_but_the_next_rung_is_tried(
    base: Base, last: str, tmp_path: Path
) -> None:
    found = climbed(base, tmp_path, two(last), [NO, NOTHING])
    assert found.best is None
    assert [step.tried.accepted for step in found.steps] == [False, False]


def test_an_accepted_rung_ships_with_its_own_weights_above_the_cut_and_its_own_head(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    before = base.encoder.backbone
    found = climbed(base, done.copy(tmp_path / "run"), [rung(last)], [YES])
    moved = differing(found.backbone.trunk, before.trunk)
    opened = stage.open_at(depths_of(before)[last], before, base.encoder)
    assert opened.trunk is not None
    above = {name for name, _ in opened.body.named_parameters()}
    assert moved == above
    assert moved.isdisjoint(name for name, _ in opened.trunk.named_parameters())
    assert found.backbone.weights == weights_digest(found.backbone.trunk)
    assert not found.backbone.trunk.training
    assert not any(p.requires_grad for p in found.backbone.trunk.parameters())
    assert weights_digest(before.trunk) == before.weights, "the pretrained network is another"
    best = found.steps[0].tried.rung
    assert found.head.temperature == best.temperatures[best.best]
    np.testing.assert_allclose(found.head.mean_D, base.probe.head.mean_D, rtol=1e-6)
    assert np.abs(found.head.weight_DK - base.probe.head.weight_DK).max() > 0


def test_a_rung_that_is_no_better_than_an_accepted_one_leaves_nothing_of_itself(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    alone = climbed(base, done.copy(tmp_path / "a"), [rung(last)], [YES])
    found = climbed(base, done.copy(tmp_path / "b"), two(last), [YES, NO])
    assert [step.tried.accepted for step in found.steps] == [True, False]
    assert found.best is found.steps[0]
    assert_same_climb(replace(found, steps=found.steps[:1]), alone)
    assert found.backbone.weights != done.climbed.backbone.weights


def test_of_two_accepted_rungs_the_later_ships(done: Done, base: Base) -> None:
    assert done.climbed.best is done.climbed.steps[1]
    moved = differing(done.climbed.backbone.trunk, base.encoder.backbone.trunk)
    assert moved == {name for name, _ in base.encoder.backbone.trunk.named_parameters()}


def test_each_rung_is_compared_with_the_best_below_it_on_the_rows_of_its_folds(
    base: Base, last: str, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Any, ...]] = []

    def noted(*args: Any) -> tuple[float, float]:
        given.append(args)
        return YES

    monkeypatch.setattr(stage, "gain", noted)
    found = climbed(base, done.copy(tmp_path / "run"), two(last))
    (one, linear, folds, *_), (_, below, *_) = given
    assert linear is base.probe.rungs[-1]
    np.testing.assert_array_equal(one.logits_SRK, below.logits_SRK)
    assert below is found.steps[0].tried.rung
    np.testing.assert_array_equal(folds, rows_of_folds(base.divided.splits, 2))


def test_the_gain_that_decides_is_the_paired_one_of_the_judge(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    [step] = climbed(base, done.copy(tmp_path / "run"), [rung(last)]).steps
    splits, d = base.divided.splits, base.divided
    expected = gain(
        step.tried.rung, base.probe.rungs[-1], rows_of_folds(splits, 2), base.probe.row_R, d.target_N, splits,
        d.aim,
    )  # fmt: skip
    assert (step.tried.gain, step.tried.error) == expected
    assert step.tried.accepted == (expected[0] > expected[1])


# -- what is trained


def test_what_is_frozen_is_the_same_before_and_after(base: Base, last: str, done: Done) -> None:
    opened = stage.open_at(depths_of(base.encoder.backbone)[last], base.encoder.backbone, base.encoder)
    assert [step.frozen for step in done.climbed.steps] == [(opened.digest(), opened.digest()), ("", "")]


def test_frozen_weights_that_change_while_a_rung_is_trained_stop_the_run(
    base: Base, last: str, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_at = stage.source_at

    def spoiling(opened: Opened, *given: Any) -> Any:
        source = source_at(opened, *given)
        assert opened.trunk is not None
        with torch.no_grad():
            next(opened.trunk.parameters()).view(-1)[0] += 1
        return source

    monkeypatch.setattr(stage, "source_at", spoiling)
    with pytest.raises(FrozenError, match="Frozen weights have changed"):
        climbed(base, done.copy(tmp_path / "run"), [rung(last)], [YES])


def test_every_setting_starts_from_the_pretrained_network_whatever_was_trained_before(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    """Neither another start nor an accepted rung below leaves a trace."""
    assert settings(done.climbed)[0][-1] == "from a fresh head, rate 0.003"
    for place, plan in enumerate(two(last)):
        [step] = climbed(base, tmp_path / plan.name, [replace(plan, starts=("fresh",))], [NO]).steps
        fresh = done.climbed.steps[place].tried.rung.logits_SRK[-1:]
        np.testing.assert_array_equal(step.tried.rung.logits_SRK, fresh)
    assert np.abs(np.diff(done.climbed.steps[0].tried.rung.logits_SRK, axis=0)).max(axis=(1, 2)).min() > 0


def test_candidates_are_places_on_the_way_from_the_linear_head_and_the_end_from_a_fresh_one(
    done: Done, last: str
) -> None:
    way = [f"from the linear head, rate 0.003, {alpha:.0%} of the way" for alpha in ALPHAS[:-1]]
    for names in settings(done.climbed):
        assert names == (*way, "from the linear head, rate 0.003", "from a fresh head, rate 0.003")
    assert [step.tried.rung.name for step in done.climbed.steps] == [f"layers {last}", EVERYTHING]
    assert [step.tried.cut for step in done.climbed.steps] == [last, EVERYTHING]


def test_settings_are_compared_on_the_folds_and_the_last_training_is_on_all_training_examples(
    base: Base, last: str, done: Done
) -> None:
    splits, names = base.divided.splits, []
    for number, (plan, step) in enumerate(zip(two(last), done.climbed.steps, strict=True)):
        held = sum(len(held) for _, held in splits.folds[: plan.folds])
        assert step.tried.rung.logits_SRK.shape == (len(ALPHAS) + 1, held, 3)
        for fold, (fit, _) in enumerate(splits.folds[: plan.folds]):
            for start in plan.starts:
                names.append(f"{number}-{plan.name}/fold{fold}-{start}-0.003")
                assert len(done.around.rows[names[-1]]) <= plan.epochs * (len(fit) // plan.batch)
        names.append(f"{number}-{plan.name}/final")
        assert len(done.around.rows[names[-1]]) == plan.epochs * (len(splits.train) // plan.batch)
    assert list(done.around.rows) == names, "each under a name of its own"


def test_where_a_validation_set_was_given_the_very_network_that_it_judged_ships(
    base: Base, last: str, tmp_path: Path
) -> None:
    fit, held = base.divided.splits.folds[0]
    splits = replace(base.divided.splits, train=np.union1d(fit, held), folds=((fit, held),), given_valid=len(held))
    given = replace(base, divided=replace(base.divided, splits=splits))
    around, once = Around(), [rung(last, folds=1, again=False)]
    found = climbed(given, tmp_path, once, [YES], around)
    names = [f"0-{last}/fold0-{start}-0.003" for start in ("linear", "fresh")]
    assert list(around.rows) == names, "no further training"
    best = found.steps[0].tried.rung.best
    start, alpha = [("linear", a) for a in ALPHAS][best] if best < len(ALPHAS) else ("fresh", 1.0)
    weights = ended(tmp_path / f"0-{last}" / f"fold0-{start}-0.003", alpha)
    np.testing.assert_array_equal(found.head.weight_DK, weights["linear.weight"].numpy().T.astype(np.float64))
    shipped = found.backbone.trunk.state_dict()
    body = {name.removeprefix("body."): tensor for name, tensor in weights.items() if name.startswith("body.")}
    assert body
    assert all(torch.equal(shipped[name], tensor) for name, tensor in body.items())
    again = climbed(given, tmp_path, once, [YES])
    assert_same_climb(found, again)


def favouring(start: str, alpha: float, share: float = 1.0) -> Callable[..., Tried]:
    """Trainings that train nothing, of which one candidate is right, and which took a share of their steps."""

    def attempt(
        model: Any,
        recipe: Any,
        batches: Any,
        held: Any,
        alphas: Sequence[float],
        aim: Aim,
        folder: Path,
        watch: Any,
        keep: bool,
        by_pairs: bool,
    ) -> Tried:
        assert not keep
        assert not by_pairs
        right_HK = np.eye(len(aim.outputs))[batches.target_N[held]]
        said = [right_HK if (start in folder.name and alpha == a) else 1 - right_HK for a in alphas]
        return Tried(np.stack(said), share)

    return attempt


@pytest.mark.parametrize("start", ["linear", "fresh"])
def test_the_last_training_is_of_the_setting_that_was_best(
    start: str, base: Base, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = []
    model_at = stage.model_at

    def noted(body: Any, head: Any, *given: Any) -> Any:
        began.append(head)
        return model_at(body, head, *given)

    monkeypatch.setattr(stage, "attempt", favouring(start, 1.0))
    monkeypatch.setattr(stage, "model_at", noted)
    climbed(base, tmp_path, [rung(last)], [YES])
    linear = base.probe.refit(base.divided.splits.train)
    expected = linear if start == "linear" else fresh_head(linear, 0)
    np.testing.assert_array_equal(began[-1].weight_DK, expected.weight_DK)
    assert len(began) == 5


def test_a_setting_on_the_way_ships_weights_on_the_way(
    base: Base, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {}
    for alpha in (0.25, 1.0):
        monkeypatch.setattr(stage, "attempt", favouring("linear", alpha))
        shipped[alpha] = climbed(base, tmp_path / f"{alpha}", [rung(last)], [YES]).backbone.trunk.state_dict()
    before, far = base.encoder.backbone.trunk.state_dict(), 0.0
    for name, start in before.items():
        if start.is_floating_point():
            torch.testing.assert_close(shipped[0.25][name], torch.lerp(start, shipped[1.0][name], 0.25))
            far = max(far, (shipped[1.0][name] - start).abs().max().item())
    assert far > 1e-3


def test_what_the_folds_stopped_early_the_last_training_stops_as_early(
    base: Base, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "attempt", favouring("fresh", 1.0, share=0.5))
    around = Around()
    climbed(base, tmp_path, [rung(last)], [YES], around)
    steps = 3 * (len(base.divided.splits.train) // 4)
    assert {name: len(rows) for name, rows in around.rows.items()} == {f"0-{last}/final": steps // 2}


# -- a plan that does not fit, and time that runs out


@pytest.mark.parametrize("before", [0, 1], ids=["alone", "after one that fits"])
def test_a_place_that_the_network_does_not_have_is_a_wrong_plan_before_anything_is_trained(
    before: int, base: Base, last: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="'after layer9' is no place of this network") as caught:
        climbed(base, tmp_path, [*[rung(last)] * before, rung("after layer9")])
    assert caught.value.found == ", ".join(places(base.encoder.backbone))
    assert list(tmp_path.iterdir()) == []


def test_a_rung_that_runs_out_of_time_is_given_up_for_good(base: Base, last: str, tmp_path: Path) -> None:
    around, plan = Around(seconds=5), two(last)
    found = climbed(base, tmp_path, plan, [], around)
    assert len(around.rows[f"0-{last}/fold0-linear-0.003"]) == 5
    assert [name for name, _ in found.untried] == [last, EVERYTHING]
    assert all("budget was spent" in why for _, why in found.untried)
    assert found.backbone is base.encoder.backbone
    assert found.head is base.probe.head
    written = json.loads((tmp_path / f"0-{last}" / "given-up.json").read_text())
    assert written == {"reason": dict(found.untried)[last]}
    rich = Around()
    assert_same_climb(climbed(base, tmp_path, plan, [], rich), found)
    assert rich.rows == {}, "a run that goes on decides the same, however much time there is"


def test_what_was_accepted_before_time_ran_out_ships(base: Base, last: str, done: Done, tmp_path: Path) -> None:
    folder = done.copy(tmp_path / "run")
    shutil.rmtree(folder / f"1-{EVERYTHING}")
    found = climbed(base, folder, two(last), [YES], Around(seconds=3))
    assert [name for name, _ in found.untried] == [EVERYTHING]
    alone = climbed(base, done.copy(tmp_path / "alone"), [rung(last)], [YES])
    assert_same_climb(replace(found, untried=()), alone)


def test_time_that_runs_out_in_the_last_training_gives_the_rung_up_though_it_was_better(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    folder = done.copy(tmp_path / "run")
    shutil.rmtree(folder / f"0-{last}" / "final")
    found = climbed(base, folder, [rung(last)], [YES], Around(seconds=3))
    assert (found.steps, [name for name, _ in found.untried]) == ((), [last])
    assert found.backbone is base.encoder.backbone
    assert weights_digest(found.backbone.trunk) == found.backbone.weights


def test_a_lone_training_that_ships_itself_ends_when_time_is_out_and_says_how_far_it_came(
    base: Base, last: str, tmp_path: Path
) -> None:
    """Half of it is worth more than nothing, and is judged as the whole would be."""
    once, around = [rung(last, folds=1, starts=("linear",), again=False)], Around(seconds=6)
    found = climbed(base, tmp_path, once, [YES], around)
    assert {name: len(rows) for name, rows in around.rows.items()} == {f"0-{last}/fold0-linear-0.003": 6}
    assert (len(found.steps), found.untried) == (1, ())
    assert all(each.endswith(", ended after 50% of its steps") for each in found.steps[0].tried.rung.settings)
    assert_same_climb(climbed(base, tmp_path, once, [YES]), found)


# -- going on


def test_a_climb_in_the_folder_of_a_finished_one_trains_nothing_and_gives_the_same_bits(
    base: Base, last: str, done: Done, tmp_path: Path
) -> None:
    around = Around()
    again = climbed(base, done.copy(tmp_path / "run"), two(last), [YES, YES], around)
    assert around.rows == {}
    assert_same_climb(again, done.climbed)


@pytest.mark.parametrize("where", ["a fold of the first", "the last training of the first", "a fold of the second"])
def test_a_climb_that_was_killed_goes_on_and_ends_with_the_same_bits(
    where: str, base: Base, last: str, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.stages.loops.CHECKPOINT_SECONDS", 0.0)
    name, rows = {
        "a fold of the first": (f"0-{last}/fold1-linear-0.003", 12),
        "the last training of the first": (f"0-{last}/final", 13),
        "a fold of the second": (f"1-{EVERYTHING}/fold0-fresh-0.003", 2),
    }[where]
    folder, names, plan = done.copy(tmp_path / "run"), list(done.around.rows), two(last)
    for later in names[names.index(name) :]:
        shutil.rmtree(folder / later)
    first, again = Around(kill=rows), Around()
    with pytest.raises(KeyboardInterrupt):
        climbed(base, folder, plan, [YES, YES], first)
    assert list(first.rows) == [name]
    assert_same_climb(climbed(base, folder, plan, [YES, YES], again), done.climbed)
    assert list(again.rows) == names[names.index(name) :]
    assert again.rows[name][0].step == (11 if rows > 10 else 1), "it goes on from the checkpoint"


def test_a_damaged_last_training_is_made_again(base: Base, last: str, done: Done, tmp_path: Path) -> None:
    folder, around = done.copy(tmp_path / "run"), Around()
    final = max((folder / f"1-{EVERYTHING}" / "final").glob("step-*.safetensors"))
    final.write_bytes(final.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="damaged"):
        again = climbed(base, folder, two(last), [YES, YES], around)
    assert list(around.rows) == [f"1-{EVERYTHING}/final"]
    assert_same_climb(again, done.climbed)


def test_how_many_workers_read_ahead_changes_no_bit(base: Base, last: str, tmp_path: Path) -> None:
    plan = [rung(name, epochs=2, folds=1, starts=("fresh",)) for name in (last, EVERYTHING)]
    none, two = (climbed(base, tmp_path / f"{n}", plan, [YES, YES], workers=n) for n in (0, 2))
    assert_same_climb(none, two)


def test_what_is_judged_at_the_end_is_not_looked_at(base: Base, done: Done, tmp_path: Path) -> None:
    """All climbs of these tests are given judged examples that cannot be read."""
    judged = base.divided.splits.judged
    assert len(judged) == 6
    for i in judged:
        with pytest.raises(AssertionError, match="must not be looked at"):
            ground(base, tmp_path).items[i].content.read()


# -- LoRA


@pytest.mark.skipif(not lora.available(), reason="peft is not installed")
def test_adapters_are_merged_and_nothing_of_them_ships(tmp_path: Path) -> None:
    base = based(tmp_path, "test_vit")
    names, before = places(base.encoder.backbone), base.encoder.backbone
    assert lora.has_attention(before.trunk)
    plan = [rung(name, lora=2, epochs=1, folds=1, starts=("fresh",)) for name in (names[0], EVERYTHING)]
    around = Around()
    found = climbed(base, tmp_path / "run", plan, [YES, YES], around)
    titles = [step.tried.rung.name for step in found.steps]
    assert titles == [f"layers {names[0]} by LoRA, rank 2", f"{EVERYTHING} by LoRA, rank 2"]
    shipped = found.backbone.trunk
    assert {n: type(m) for n, m in shipped.named_modules()} == {n: type(m) for n, m in before.trunk.named_modules()}
    moved = differing(shipped, before.trunk)
    linear = {f"{n}.weight" for n, m in shipped.named_modules() if isinstance(m, torch.nn.Linear) and "blocks" in n}
    assert moved == linear
    assert weights_digest(before.trunk) == before.weights
    again = Around()
    assert_same_climb(climbed(base, tmp_path / "run", plan, [YES, YES], again), found)
    assert again.rows == {}
    stopped = climbed(base, tmp_path / "stopped", plan, [], Around(seconds=2))
    assert stopped.backbone is before


# -- rung_of


def logits(settings: int, rows: int = 40, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    target_R = np.arange(rows) % classes
    return 2 * np.eye(classes)[target_R] + rng.normal(size=(settings, rows, classes)), target_R


def test_a_rung_has_a_temperature_of_each_candidate_in_its_logits_and_losses() -> None:
    raw_SRK, target_R = logits(3)
    found = rung_of("a rung", ["a", "b", "c"], raw_SRK, target_R, AIM)
    assert (found.name, found.settings, found.seconds) == ("a rung", ("a", "b", "c"), 0.0)
    assert found.logits_SRK.dtype == np.float32
    for one, raw_RK, temperature, loss_R in zip(
        found.logits_SRK, raw_SRK, found.temperatures, found.loss_SR, strict=True
    ):
        assert temperature == fit_temperature(raw_RK, target_R)
        np.testing.assert_allclose(one, raw_RK / temperature, rtol=1e-6)
        np.testing.assert_allclose(loss_R, -np.log(softmax(raw_RK / temperature)[range(40), target_R]))


def test_candidates_that_differ_by_a_factor_are_alike_in_a_rung() -> None:
    """Otherwise the choice would go to whichever was surer, not to whichever was righter."""
    raw_SRK, target_R = logits(1)
    found = rung_of("a rung", ["a", "b"], np.concatenate([raw_SRK, 30 * raw_SRK]), target_R, AIM)
    np.testing.assert_allclose(found.logits_SRK[0], found.logits_SRK[1], rtol=1e-3)
    assert found.temperatures[1] == pytest.approx(30 * found.temperatures[0], rel=1e-3)
    surer = [log_loss_N(raw_RK, target_R).mean() for raw_RK in (raw_SRK[0], 30 * raw_SRK[0])]
    assert not math.isclose(*surer, rel_tol=0.1)


# -- rows_of_folds


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_the_fold_of_each_held_out_row_is_in_the_order_of_the_probe_s_rows(folds: int, base: Base) -> None:
    splits = base.divided.splits
    fold_R = rows_of_folds(splits, folds)
    assert len(np.unique(fold_R)) == folds
    for fold, (_, held) in enumerate(splits.folds[:folds]):
        np.testing.assert_array_equal(base.probe.row_R[: len(fold_R)][fold_R == fold], held)
