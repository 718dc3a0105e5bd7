"""The library's own classifier says what was read out, and nothing of ours is needed to load it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny_text
from headstart.backbones.backbone import weights_digest
from headstart.backbones.encoder import Encoding, Logits, layer_count
from headstart.backbones.stock import FAMILIES, classifier, family
from headstart.errors import BackboneError
from headstart.ragged import pile

pytestmark = pytest.mark.usefixtures("calm")
LABELS = ("bad", "good", "no idea")
TOLERANCE = 1e-4
"""Of a probability."""
Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def x_NL2() -> Tensor:
    return torch.from_numpy(pile(tiny_text.some_tokens(7, 12, 20, 5, 16, 24, 9, 8, 3, 32)))


@pytest.fixture(params=list(tiny_text.CONFIGS))
def encodings(request: pytest.FixtureRequest, encoder_folder: Saved) -> dict[str, Encoding]:
    return tiny_text.encodings(encoder_folder(request.param))


def usual(folder: Path) -> Encoding:
    return next(iter(tiny_text.encodings(folder).values()))


def probabilities(model: Any, x_NL2: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.softmax(Logits(model).eval()(x_NL2).double(), 1)


def expected(encoding: Encoding, x_NL2: Tensor, weight_DK: Any, bias_K: Any) -> Tensor:
    with torch.inference_mode():
        return torch.softmax(encoding(x_NL2).double() @ torch.tensor(weight_DK) + torch.tensor(bias_K), 1)


def deciding(encoding: Encoding, x_NL2: Tensor, scale: float) -> tuple[Any, Any]:
    """A linear layer as training finds it: texts differ in their logits, by so much, and in no class all are alike."""
    weight_DK, _ = tiny_text.weights(tiny_text.WIDTH)
    with torch.inference_mode():
        features_ND = encoding(x_NL2).double().numpy()
    weight_DK = scale * weight_DK / (features_ND @ weight_DK).std(0)
    return weight_DK, -(features_ND @ weight_DK).mean(0)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_it_gives_the_same_probabilities_whatever_is_read_out(
    encodings: dict[str, Encoding], x_NL2: Tensor, scale: float
) -> None:
    for name, encoding in encodings.items():
        weight_DK, bias_K = deciding(encoding, x_NL2, scale)
        truth = expected(encoding, x_NL2, weight_DK, bias_K)
        model = classifier(encoding, LABELS, weight_DK, bias_K)
        assert (probabilities(model, x_NL2) - truth).abs().max() < TOLERANCE, name
        assert truth.std(0).min() > 0.05, "texts differ"


def test_two_classes_and_many_are_no_others(encoder_folder: Saved, x_NL2: Tensor) -> None:
    encoding = usual(encoder_folder("bert"))
    for classes in (2, 40):
        weight_DK, bias_K = tiny_text.weights(tiny_text.WIDTH, classes)
        model = classifier(encoding, [f"{i}" for i in range(classes)], weight_DK, bias_K)
        given = probabilities(model, x_NL2)
        assert given.shape == (len(x_NL2), classes)
        assert (given - expected(encoding, x_NL2, weight_DK, bias_K)).abs().max() < TOLERANCE


def test_its_configuration_says_what_the_classes_are_and_what_is_read_out(encodings: dict[str, Encoding]) -> None:
    for encoding in encodings.values():
        model = classifier(encoding, LABELS, *tiny_text.weights(tiny_text.WIDTH))
        config, count, kind = model.config, layer_count(encoding.network), encoding.readout.kind
        assert config.id2label == dict(enumerate(LABELS))
        assert config.label2id == {label: i for i, label in enumerate(LABELS)}
        assert config.num_labels == 3
        assert config.problem_type == "single_label_classification"
        assert config.architectures == [type(model).__name__]
        assert config.headstart == {"layers": count, "readout": kind}
        more = kind == "mean" and family(config.model_type).means == "layer"
        assert layer_count(model.base_model) == config.num_hidden_layers == count + more
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_encoder_stays_as_it_was_and_shares_nothing_with_the_classifier(encoder_folder: Saved) -> None:
    encoding = usual(encoder_folder("bert"))
    before, labels = weights_digest(encoding), encoding.network.config.num_labels
    model = classifier(encoding, LABELS, *tiny_text.weights(tiny_text.WIDTH))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert weights_digest(encoding) == before
    assert encoding.network.config.num_labels == labels
    assert not hasattr(encoding.network.config, "headstart")


def test_a_tuned_encoder_s_weights_are_in_it(encoder_folder: Saved, x_NL2: Tensor) -> None:
    for name in ("bert", "modernbert", "deberta-v2"):
        tuned = deepcopy(usual(encoder_folder(name)))
        with torch.no_grad():
            for parameter in tuned.parameters():
                parameter.mul_(1.1)
        weight_DK, bias_K = deciding(tuned, x_NL2, 2.0)
        model = classifier(tuned, LABELS, weight_DK, bias_K)
        assert (probabilities(model, x_NL2) - expected(tuned, x_NL2, weight_DK, bias_K)).abs().max() < TOLERANCE


def test_what_is_read_out_of_normalised_vectors_is_never_beyond_what_the_activations_let_through(
    encoder_folder: Saved, x_NL2: Tensor
) -> None:
    """tanh bends above a thousandth of ten, gelu below -32 + 6: here are the largest values that there can be."""
    from headstart.backbones.stock import _OFFSET, _SMALL

    largest = np.sqrt(384 - 1)  # of a vector of mean 0 and variance 1: one alone differs
    assert largest < _OFFSET - 6
    assert abs(np.tanh(largest * _SMALL) / (largest * _SMALL) - 1) < 2e-4


def test_weights_that_the_library_has_no_place_for_are_an_error_and_not_lost(encoder_folder: Saved) -> None:
    encoding = deepcopy(usual(encoder_folder("bert")))
    encoding.network.further = nn.Linear(2, 2)
    with pytest.raises(BackboneError, match="built otherwise") as caught:
        classifier(encoding, LABELS, *tiny_text.weights(tiny_text.WIDTH))
    assert "further.weight" in caught.value.found


def test_weights_that_are_lacking_are_an_error_and_not_left_to_chance(encoder_folder: Saved) -> None:
    encoding = deepcopy(usual(encoder_folder("bert")))
    del encoding.network.embeddings.LayerNorm
    with pytest.raises(BackboneError, match="built otherwise") as caught:
        classifier(encoding, LABELS, *tiny_text.weights(tiny_text.WIDTH))
    assert "embeddings.LayerNorm.weight" in caught.value.found


def test_a_kind_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(BackboneError, match="'gpt2' are not supported") as caught:
        family("gpt2")
    assert all(name in caught.value.hint for name in FAMILIES)


def test_every_family_that_is_known_is_tested_but_for_those_that_are_another_by_name() -> None:
    assert set(FAMILIES) - set(tiny_text.CONFIGS) == {"data2vec-text", "ernie"}
