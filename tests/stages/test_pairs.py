"""pairs: few labels are used in pairs, and the head that comes of it is an ordinary one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from climb_samples import NO, YES, Around, assert_same_climb, climbed, places, rung
from headstart.pipeline import Base
from headstart.stages import climb as stage
from headstart.stages.levels import PAIRS
from headstart.stages.pairs import FEW, STEPS, fit_head, pair_loss
from headstart.stages.plan import Speed, plan
from training_samples import CLASSES, EXAMPLES, TARGET_N, Given, examples, lively, top

pytestmark = pytest.mark.usefixtures("calm")
LAST = Speed("after layer 5", 0.2, 0.004, 0.002, False, attention=True)
WHOLE = Speed("after the embeddings", 0.99, 0.001, 0.02, False, attention=True)


def turned(*degrees: float) -> torch.Tensor:
    """Vectors of different lengths at these angles."""
    radians = torch.tensor(degrees) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], 1) * torch.arange(1.0, len(degrees) + 1)[:, None]


def test_pairs_of_one_class_are_pulled_together_and_others_to_a_right_angle() -> None:
    apart = pair_loss(turned(0, 0, 90, 90), torch.tensor([0, 0, 1, 1]))
    assert apart.item() == pytest.approx(0, abs=1e-12)
    # Within: cosines 0.5 and 0.5, errors 0.25; across: 0.5, 1, 1, 0.5 squared, mean 0.625; both kinds weigh the same.
    mixed = pair_loss(turned(0, 60, 0, 60), torch.tensor([0, 0, 1, 1]))
    assert mixed.item() == pytest.approx((0.25 + 0.625) / 2, abs=1e-6)


def test_a_batch_of_one_class_or_of_one_example_has_a_loss_too() -> None:
    assert pair_loss(turned(0, 60), torch.tensor([1, 1])).item() == pytest.approx(0.25, abs=1e-6)
    alone = turned(30).requires_grad_()
    pair_loss(alone, torch.tensor([1])).backward()  # type: ignore[no-untyped-call]
    assert alone.grad is not None
    assert not alone.grad.any()


def test_the_head_on_the_features_is_the_logistic_regression_of_scikit_learn() -> None:
    model, source, rows = top(lively()), Given(examples()), np.arange(EXAMPLES)
    fit_head(model, source, rows, TARGET_N, CLASSES, "cpu")
    with torch.inference_mode():
        x = torch.from_numpy(source.clean(rows))
        features_ND, said_NK = model.features(x).double().numpy(), model(x).double().softmax(1).numpy()
    scaled_ND = (features_ND - features_ND.mean(0)) / np.where(features_ND.std(0) > 1e-8, features_ND.std(0), 1)
    reference = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-8).fit(scaled_ND, TARGET_N)
    np.testing.assert_allclose(said_NK, reference.predict_proba(scaled_ND), atol=2e-3)


def test_pairs_come_first_where_labels_are_few_and_only_there() -> None:
    few = plan((LAST, WHOLE), 48, 5, 1e9, 1e9, by_pairs=True)
    assert [each.starts == (PAIRS,) for each in few.rungs] == [True, False, False]
    [pairs, *_] = few.rungs
    assert pairs.name == WHOLE.name
    assert pairs.epochs * (48 // pairs.batch) == STEPS
    assert not any(PAIRS in each.starts for each in plan((LAST, WHOLE), 48, 5, 1e9, 1e9).rungs)
    assert FEW == 100


def test_pairs_that_do_not_fit_in_are_not_tried() -> None:
    needed = plan((LAST, WHOLE), 48, 5, 1e9, 1e9, by_pairs=True).rungs[0].seconds
    assert not any(PAIRS in each.starts for each in plan((LAST, WHOLE), 48, 5, needed / 4, 1e9, by_pairs=True).rungs)


def test_a_rung_by_pairs_is_killed_and_goes_on_with_the_same_bits(base: Base, tmp_path: Path) -> None:
    """The head is not trained but fitted: no step of a training by pairs moves it."""
    last = places(base.encoder.backbone)[0]
    by_pairs = [rung(last, starts=(PAIRS,))]
    whole = climbed(base, tmp_path / "whole", by_pairs, [YES])
    with pytest.raises(KeyboardInterrupt):
        climbed(base, tmp_path / "killed", by_pairs, [YES], Around(kill=20))
    again = climbed(base, tmp_path / "killed", by_pairs, [YES])
    assert_same_climb(whole, again)
    [step] = whole.steps
    assert step.tried.rung.settings == ("by pairs (SetFit), rate 0.003",)
    assert step.tried.rung.name == f"layers {last} by pairs"
    head = base.probe.head
    assert not np.array_equal(whole.head.weight_DK, head.weight_DK)


@pytest.mark.parametrize("less", [True, False])
def test_a_rung_by_pairs_is_taken_where_it_surprises_less_whatever_its_gain(
    less: bool, base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of so few labels the standard error of an accuracy is as large as any gain."""
    monkeypatch.setattr(stage, "gain", lambda *_: NO if less else YES)
    monkeypatch.setattr(stage, "surprised_less", lambda *_: less)
    [step] = climbed(base, tmp_path, [rung(places(base.encoder.backbone)[0], starts=(PAIRS,))]).steps
    assert step.tried.accepted is less
    assert (step.tried.gain, step.tried.error) == (NO if less else YES)


def test_pairs_beside_other_starts_are_no_plan() -> None:
    from headstart.errors import UsageError
    from headstart.stages.plan_record import from_record

    made = plan((LAST, WHOLE), 48, 5, 1e9, 1e9, by_pairs=True)
    assert from_record(made.record()) == made
    wrong = replace(made, rungs=(replace(made.rungs[0], starts=(PAIRS, "linear")),))
    with pytest.raises(UsageError, match="plan"):
        from_record(wrong.record())
