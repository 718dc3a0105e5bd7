"""ship: a model folder is whole or is not there, holds what was judged, and costs the user nothing of theirs."""

from __future__ import annotations

import functools
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tiny
from forks import starter
from headstart import predictor, store
from headstart.aims.label import one_label
from headstart.backbones.backbone import Backbone, Saved
from headstart.backbones.images import open_image_backbone
from headstart.encoder import Encoder
from headstart.errors import DiskFullError, ModelError, UsageError
from headstart.heads.linear import LinearHead
from headstart.stages import ship as stage
from headstart.stages.ship import FILES, GOLDEN, HEAD, RECORD, Model, check_out, each_alone, load_head, ship
from headstart.store import file_digest, load_json
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION

LABELS = ("bark", "checks", "dots")
RECORDED = {"task": "image-classification", "engine": {"name": "torch fp32"}}


@functools.cache
def backbone(folder: Path) -> Backbone:
    return open_image_backbone(str(folder))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.timm_folder(tmp_path_factory.mktemp("network"))


def model(network: Path, seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    dim = backbone(network).dim
    head = LinearHead(
        rng.normal(size=dim), rng.uniform(0.5, 2, dim), rng.normal(size=(dim, 3)), rng.normal(size=3), 1.7
    )
    return Model(backbone(network), head, one_label(LABELS), RECORDED)


def others(saved: Saved) -> Mapping[str, bytes]:
    return {name: f"{name} {saved.library}".encode() for name in ("scores.json", "report.html", "README.md")}


def shipped(network: Path, out: Path, seed: int = 0, **changed: Any) -> Saved:
    made = model(network, seed)
    encoder = Encoder(IMAGE_CLASSIFICATION, made.backbone, "fp32", out, 1)
    load = IMAGE_CLASSIFICATION.load(made.backbone)
    golden = [load(tiny.png(tiny.texture(kind, 0))) for kind in range(3)]
    how = {"model": made, "run": encoder.reference, "golden": golden, "out": out, "others": others, **changed}
    return ship(**how)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "model"
    shipped(network, out)
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A model folder of the test's own."""
    return Path(shutil.copytree(finished, tmp_path / "model"))


def verify(folder: Path) -> None:
    predictor.load(folder, verify=True)


# -- what is written


def test_a_model_folder_has_the_files_that_it_is_said_to_have_and_no_other(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} <= set(FILES)
    assert {RECORD, HEAD, GOLDEN, "model.safetensors", "config.json", "scores.json"} <= set(tree(finished))
    assert [path.name for path in finished.parent.iterdir()] == [finished.name]


def test_the_record_knows_the_labels_and_the_digest_of_every_other_file(finished: Path) -> None:
    record = load_json(finished / RECORD)
    assert record["labels"] == list(LABELS)
    assert record["files"] == {name: file_digest(finished / name) for name in tree(finished) if name != RECORD}


def test_the_library_alone_loads_what_was_judged(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(finished)
    golden = load_file(GOLDEN)
    there: dict[str, Any] = {}
    exec(load_json(Path(RECORD))["load"]["code"], there)
    x_N3HW = torch.from_numpy(golden["inputs"]).float() / 255
    with torch.inference_mode():
        logits_NK = there["model"]((x_N3HW - 0.5) / 0.5).numpy()
    np.testing.assert_allclose(logits_NK, golden["logits"], atol=1e-4 * np.abs(golden["logits"]).max())
    assert there["labels"] == list(LABELS)


def test_the_head_comes_back_as_it_was(network: Path, finished: Path) -> None:
    head, back = model(network).head, load_head(finished / HEAD)
    for name in ("mean_D", "std_D", "weight_DK", "bias_K", "temperature"):
        np.testing.assert_array_equal(getattr(back, name), getattr(head, name))


@pytest.mark.parametrize("damage", ["missing", "torn", "without its bias"])
def test_a_head_that_cannot_be_read_is_a_model_error(damage: str, out: Path) -> None:
    path = out / HEAD
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        save_file({name: value for name, value in load_file(path).items() if name != "bias"}, path)
    with pytest.raises(ModelError, match=HEAD):
        load_head(path)


# -- what is not written


def test_a_network_that_does_not_give_what_was_judged_is_not_saved(network: Path, tmp_path: Path) -> None:
    made = model(network)
    save = made.backbone.save

    def forgetful(folder: Path, labels: Any, weight_DK: Any, bias_K: Any) -> Saved:
        return save(folder, labels, np.roll(weight_DK, 1, axis=1), bias_K)  # the classes in another order

    changed = replace(made, backbone=replace(made.backbone, save=forgetful))
    with pytest.raises(ModelError, match="does not give what was judged"):
        shipped(network, tmp_path / "model", model=changed)
    assert not list(tmp_path.iterdir())


def test_a_network_that_gives_no_numbers_is_not_saved_over_an_older_model(network: Path, out: Path) -> None:
    made = model(network)
    save = made.backbone.save

    def broken(folder: Path, labels: Any, weight_DK: Any, bias_K: Any) -> Saved:
        return save(folder, labels, weight_DK * np.nan, bias_K)

    before = tree(out.parent)
    changed = replace(made, backbone=replace(made.backbone, save=broken))
    with pytest.raises(ModelError):
        shipped(network, out, model=changed)
    assert tree(out.parent) == before


def test_a_disk_that_is_full_leaves_the_older_model_as_it_was(network: Path, out: Path) -> None:
    def full(saved: Saved) -> Mapping[str, bytes]:
        raise OSError(28, "No space left on device")

    before = tree(out.parent)
    with pytest.raises(DiskFullError):
        shipped(network, out, seed=1, others=full)
    assert tree(out.parent) == before
    verify(out)


# -- what is there already


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a model folder") as caught:
        check_out(out, tmp_path / "data")
    assert caught.value.exit_code == 2
    assert tree(out) == {"chapter.txt": b"years of work"}


def test_a_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UsageError, match="not a model folder"):
        check_out(tmp_path / "notes", tmp_path / "data")
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("where", ["data", "data/model", "data/../data/deep/er", "link/model"])
def test_a_place_inside_the_data_is_refused(where: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(UsageError, match="inside the data"):
        check_out(tmp_path / where, tmp_path / "data")


@pytest.mark.parametrize("where", [".", ".."])
def test_the_folder_that_we_are_in_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    with pytest.raises(UsageError, match="runs inside it"):
        check_out(Path(where), tmp_path / "data")


def test_a_new_place_an_empty_folder_and_an_older_model_are_taken(out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data").mkdir()
    for place in (tmp_path / "new", tmp_path / "empty", out, tmp_path / "data-model"):
        check_out(place, tmp_path / "data")
    verify(out)


def test_files_that_the_user_put_into_a_model_folder_are_carried_over(network: Path, out: Path) -> None:
    (out / "notes.txt").write_text("mine")
    (out / "plots" / "deep").mkdir(parents=True)
    (out / "plots" / "deep" / "a.svg").write_text("<svg/>")
    (out / "latest").symlink_to("plots")
    before = tree(out)
    shipped(network, out, seed=1)
    after = tree(out)
    mine = {"notes.txt", "plots/deep/a.svg"}
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert (out / "latest").readlink() == Path("plots")
    assert after[HEAD] != before[HEAD]
    assert not mine & set(load_json(out / RECORD)["files"])
    verify(out)


def test_a_file_of_the_older_model_that_the_new_one_lacks_is_not_carried_over(network: Path, out: Path) -> None:
    shipped(network, out, others=lambda saved: {"scores.json": b"{}"})
    assert "report.html" not in tree(out)
    verify(out)


# -- verify


def test_a_model_that_nobody_touched_passes(finished: Path) -> None:
    verify(finished)


def test_a_changed_byte_in_any_file_is_named(out: Path) -> None:
    names = list(load_json(out / RECORD)["files"])
    assert len(names) >= 7
    for name in names:
        path = out / name
        data = path.read_bytes()
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1
        opened = predictor.load(out)
        path.write_bytes(changed)
        with pytest.raises(ModelError, match=f"^{name} .* was changed"):
            opened.verify()
        path.unlink()
        with pytest.raises(ModelError, match=f"^{name} .* missing"):
            opened.verify()
        path.write_bytes(data)
    verify(out)


def test_a_model_that_computes_something_else_than_it_did_is_noticed(out: Path) -> None:
    opened = predictor.load(out)
    opened.verify()
    other = replace(opened, head=replace(opened.head, weight_DK=np.roll(opened.head.weight_DK, 1, axis=1)))
    with pytest.raises(ModelError, match="golden outputs"):
        other.verify()
    import torch

    with torch.no_grad():
        next(opened.backbone.trunk.parameters()).mul_(1.5)
    with pytest.raises(ModelError, match="golden outputs"):
        opened.verify()


# -- kills


def killed(network: Path, out: Path, when: str, number: int) -> None:
    """Ship, and be killed at such a call: what a process does that has nothing else to do."""
    calls = []

    def deadly(function: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            calls.append(given)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **options)

        return call

    where: dict[str, tuple[Any, str]] = {
        "save": (stage, "save_arrays"),
        "sync": (store, "_sync"),
        "rename": (Path, "rename"),
    }
    owner, name = where[when]
    setattr(owner, name, deadly(getattr(owner, name)))
    shipped(network, out, seed=1)


@pytest.mark.parametrize(("when", "number"), [("save", 1), ("sync", 9), ("rename", 1), ("rename", 2)])
def test_a_kill_while_a_model_is_written_leaves_the_older_one_usable(
    when: str, number: int, network: Path, out: Path, tmp_path: Path
) -> None:
    before = tree(out)
    (out / "notes.txt").write_text("mine")
    process = starter("forkserver")(killed, network, out, when, number)
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    verify(out)
    assert tree(out) == {**before, "notes.txt": b"mine"}
    check_out(out, tmp_path / "data")
    shipped(network, out, seed=1)
    verify(out)
    assert tree(out)[HEAD] != before[HEAD]
    assert (out / "notes.txt").read_text() == "mine"
    assert [path.name for path in out.parent.iterdir()] == [out.name], "something was left beside it"


def test_what_is_recorded_for_a_check_hangs_on_no_neighbour() -> None:
    """As what a translator writes does by its last bits, and by how long a text beside it is."""

    class Neighbours:
        def logits(self, x_ND: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            return np.full((len(x_ND), 2 + int(x_ND.max())), float(len(x_ND)))

    found = each_alone(Neighbours(), np.array([[1.0], [0.0]]))  # type: ignore[arg-type]
    assert found.tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]
