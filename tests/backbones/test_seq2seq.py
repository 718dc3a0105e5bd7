"""Whatever a rung learns lies in the saved folder: what a library computes anew on loading is not trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny_pairs
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import _same_weights, between, open_translator
from headstart.backbones.seq2seq import Translating, depths, unsaved
from headstart.encoder import encoder
from headstart.errors import ModelError
from headstart.heads.texts import TextHead
from headstart.stages.sources import open_at
from headstart.tasks.translation import TRANSLATION


@pytest.fixture(params=tiny_pairs.FAMILIES)
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    folder = tiny_pairs.translator_folder(tmp_path / "it", request.param)
    return between(open_translator(str(folder), "it", "here"), ("en", "fr"))


@pytest.mark.parametrize("place", [0, 1, 2], ids=["cross-attention", "decoder", "everything"])
def test_all_that_a_rung_may_change_is_saved(backbone: Backbone, place: int, tmp_path: Path) -> None:
    opened = open_at(depths(backbone)[place], backbone, encoder(TRANSLATION, backbone, root=tmp_path / "cache"))
    opened.free()
    moved = 0
    with torch.no_grad():
        for parameter in opened.body.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
                moved += 1
    assert moved > 1
    network, head = TextHead.of(backbone).folded()
    saved = backbone.save(tmp_path / "out", ("en", "fr"), network, head)  # type: ignore[misc]
    read = saved.model.network.state_dict()
    assert all(torch.equal(tensor, read[name]) for name, tensor in network.state_dict().items())


def test_sines_of_positions_stay_as_they_are() -> None:
    network, _ = tiny_pairs.marian()
    assert unsaved(network) == {"model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"}
    names = dict(Translating(network).requires_grad_(True).named_parameters())
    assert all(f"network.{name}" in names for name in unsaved(network))
    assert {name.removeprefix("network.") for name, p in names.items() if not p.requires_grad} == unsaved(network)


def test_a_network_that_would_be_loaded_with_another_weight_is_not_saved() -> None:
    network, _ = tiny_pairs.marian()
    again, _ = tiny_pairs.marian()
    again.load_state_dict(network.state_dict())
    _same_weights(network, again)
    positions = network.model.encoder.embed_positions.weight
    with torch.no_grad():
        positions.copy_(positions.half())  # as a published file may have them
        assert not torch.equal(positions, again.model.encoder.embed_positions.weight)
        _same_weights(network, again)
        positions[3, 2] += 0.01
    with pytest.raises(ModelError, match="other weights") as told:
        _same_weights(network, again)
    assert "embed_positions" in told.value.found
    with torch.no_grad():
        positions[3, 2] -= 0.01
        again.model.shared.weight[3, 2] += 1e-6
    with pytest.raises(ModelError, match="other weights") as told:
        _same_weights(network, again)
    assert "shared.weight" in told.value.found
