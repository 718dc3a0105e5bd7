"""encode: the network runs for what the cache lacks and for nothing else, and a kill costs at most one shard."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiny
from headstart import cache, store
from headstart.backbones.backbone import Backbone
from headstart.backbones.engine import Chosen, Recalled, TorchEngine
from headstart.backbones.from_openvino import OpenVinoEngine, to_openvino
from headstart.backbones.images import open_image_backbone
from headstart.data.augment import View, augment, load_view
from headstart.data.examples import CellContent, FileContent
from headstart.data.pictures import inspect_picture
from headstart.data.pixels import Preprocess
from headstart.encoder import Encoder
from headstart.errors import DataError, DiskFullError
from headstart.progress import quiet
from headstart.stages import encode as stage
from headstart.stages.encode import Features, Item
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION

BAD = b"bad"


class Counting:
    """An engine that halves its inputs and knows how many it was given."""

    name = "counting"

    def __init__(self) -> None:
        self.ran = 0

    def run(self, inputs: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for pixels in inputs:
            self.ran += 1
            yield pixels.astype(np.float32) / 2


def load(data: bytes) -> NDArray[np.uint8]:
    if data.startswith(BAD):
        raise DataError("An example cannot be decoded.", found="it begins badly")
    return np.frombuffer(hashlib.sha256(data).digest(), np.uint8)


def item(data: bytes, read: Callable[[], bytes] | None = None) -> Item:
    return Item(repr(data), hashlib.sha256(data).hexdigest(), CellContent(read or (lambda: data)))


def items(start: int, stop: int) -> list[Item]:
    return [item(b"%d" % i) for i in range(start, stop)]


def run(
    given: Sequence[Item],
    root: Path,
    engine: Any = None,
    load: Callable[[bytes], NDArray[Any]] = load,
    known: Recalled | None = None,
) -> Features:
    chosen = Chosen(engine or Counting(), 1.0)
    return stage.encode(given, load, known, lambda _: chosen, lambda name: name, root, quiet, lambda: 0.0, 2)


def table(features: Features, given: Sequence[Item]) -> NDArray[np.float32]:
    return features.space.take([given[i].digest for i in features.kept])


def truth(given: Sequence[Item]) -> NDArray[np.float32]:
    return np.stack([load(each.content.read()) for each in given]).astype(np.float32) / 2


# -- what the network runs for


def test_ten_examples_beside_a_hundred_known_ones_are_ten_runs_of_the_network(tmp_path: Path) -> None:
    run(items(0, 100), tmp_path)
    engine = Counting()
    given = items(0, 110)
    random.Random(0).shuffle(given)
    found = run(given, tmp_path, engine)
    assert (found.computed, engine.ran) == (10, 10)
    np.testing.assert_array_equal(table(found, given), truth(given))


def test_copies_of_one_example_are_one_run_of_the_network(tmp_path: Path) -> None:
    engine = Counting()
    given = [*items(0, 5), *items(0, 5), *items(3, 7)]
    found = run(given, tmp_path, engine)
    assert (found.computed, engine.ran, found.kept) == (7, 7, tuple(range(14)))
    np.testing.assert_array_equal(table(found, given), truth(given))


def test_where_nothing_is_missing_no_engine_is_built_and_nothing_is_read(tmp_path: Path) -> None:
    run(items(0, 5), tmp_path)

    def never(*_: object) -> Any:
        raise AssertionError("not needed")

    given = [replace(each, content=CellContent(never)) for each in items(0, 5)]
    known = Recalled("counting", 0.5, "as before")
    found = stage.encode(given, never, known, never, lambda name: name, tmp_path, never, lambda: 0.0, 2)
    assert (found.computed, found.engine, found.cosine, found.note) == (0, "counting", 0.5, "as before")
    np.testing.assert_array_equal(table(found, given), truth(items(0, 5)))


def test_one_more_example_than_an_earlier_run_knew_is_computed(tmp_path: Path) -> None:
    run(items(0, 5), tmp_path)
    engine = Counting()
    assert run(items(0, 6), tmp_path, engine, known=Recalled("counting", 1.0, "")).computed == engine.ran == 1


def test_shards_are_as_long_as_they_are_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SHARD_ROWS", 8)
    given = items(0, 20)
    found = run(given, tmp_path)
    assert len(list(found.space.folder.iterdir())) == 3
    np.testing.assert_array_equal(table(found, given), truth(given))


def test_a_slow_run_writes_a_shard_before_it_is_full(tmp_path: Path) -> None:
    times = iter(range(0, 10_000, 6))
    clock = lambda: float(next(times))  # noqa: E731 - six seconds between any two looks
    chosen = Chosen(Counting(), 1.0)
    found = stage.encode(items(0, 8), load, None, lambda _: chosen, lambda name: name, tmp_path, quiet, clock, 2)
    assert len(list(found.space.folder.iterdir())) == 4


# -- what cannot be decoded, and what cannot be read


def test_failures_in_the_middle_leave_the_others_in_their_order(tmp_path: Path) -> None:
    given = items(0, 30)
    bad = (0, 7, 8, 29)
    for i in bad:
        given[i] = item(BAD + b"%d" % i)
    found = run(given, tmp_path)
    assert found.kept == tuple(i for i in range(30) if i not in bad)
    assert found.failures == dict.fromkeys(bad, "it begins badly")
    np.testing.assert_array_equal(table(found, given), truth([given[i] for i in found.kept]))


def test_an_example_that_cannot_be_decoded_is_remembered_and_not_tried_again(tmp_path: Path) -> None:
    given = [*items(0, 9), item(BAD)]
    run(given, tmp_path)
    tried: list[bytes] = []

    def noting(data: bytes) -> NDArray[np.uint8]:
        tried.append(data)
        return load(data)

    found = run(given, tmp_path, load=noting, known=Recalled("counting", 1.0, ""))
    assert found.failures == {9: "it begins badly"}
    assert tried == []


def test_an_example_that_cannot_be_read_is_named_and_tried_again_by_the_next_run(tmp_path: Path) -> None:
    def gone() -> bytes:
        raise PermissionError(13, "Permission denied")

    given = items(0, 9)
    found = run([*given[:4], item(b"4", gone), *given[5:]], tmp_path)
    assert found.failures == {4: "cannot be read: Permission denied"}
    assert given[4].digest not in cache.open_space(tmp_path, "counting").failures
    again = run(given, tmp_path)
    assert (again.computed, again.failures) == (1, {})
    np.testing.assert_array_equal(table(again, given), truth(given))


def test_where_nothing_can_be_decoded_no_engine_is_chosen(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="None of the examples can be decoded"):
        run([item(BAD), item(BAD + b"2")], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_bug_in_loading_is_not_taken_for_a_bad_example(tmp_path: Path) -> None:
    def broken(data: bytes) -> NDArray[np.uint8]:
        if data == b"15":
            raise ZeroDivisionError
        return load(data)

    with pytest.raises(ZeroDivisionError):
        run(items(0, 30), tmp_path, load=broken)


# -- a full disk


def test_a_disk_that_fills_up_while_encoding_says_so_and_keeps_the_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "SHARD_ROWS", 5)
    given = items(0, 40)
    written: list[Path] = []
    write = Path.write_bytes

    def filling(path: Path, data: bytes) -> int:
        if len(written) == 3:
            write(path, data[:100])
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, data)

    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(DiskFullError, match="disk is full"):
            run(given, tmp_path)
    assert threading.active_count() <= before + 2, "threads were left running"
    space = cache.open_space(tmp_path, "counting")
    assert sorted(space.rows) == sorted(each.digest for each in given[:15])
    np.testing.assert_array_equal(space.take([each.digest for each in given[:15]]), truth(given[:15]))
    assert not [path for path in space.folder.iterdir() if path.suffix == ".part"]
    engine = Counting()
    found = run(given, tmp_path, engine)
    assert found.computed == engine.ran == 25
    np.testing.assert_array_equal(table(found, given), truth(given))


def test_a_disk_that_is_full_for_the_last_shard_only_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFullError("The disk is full.")

    monkeypatch.setattr(cache, "append", full)
    with pytest.raises(DiskFullError):
        run(items(0, 3), tmp_path)


# -- kills

KILLED = dedent(
    """
    import hashlib, json, sys, time
    from pathlib import Path
    import numpy as np
    from contextlib import contextmanager
    from headstart.backbones.engine import Chosen
    from headstart.data.examples import CellContent
    from headstart.stages import encode as stage

    stage.SHARD_ROWS = 4
    stage.decoding_thread = lambda: None  # there is nothing of PyTorch's here
    root, count = Path(sys.argv[1]), int(sys.argv[2])

    class Engine:
        name = "slow"
        ran = 0
        def run(self, inputs):
            for each in inputs:
                self.ran += 1
                yield np.sin(each.astype(np.float32))

    def load(data):
        time.sleep(0.004)
        return np.frombuffer(hashlib.sha512(data).digest(), np.uint8)

    @contextmanager
    def track(label, total):
        def advance(n):
            print("advanced", flush=True)
        yield advance

    def item(data):
        return stage.Item("x", hashlib.sha256(data).hexdigest(), CellContent(lambda: data))

    engine = Engine()
    items = [item(b"%d" % i) for i in range(count)]
    found = stage.encode(
        items, load, None, lambda _: Chosen(engine, 1.0), str, root, track, time.perf_counter, 2
    )
    features = found.space.take([items[i].digest for i in found.kept])
    print(json.dumps([found.computed, engine.ran, hashlib.sha256(features.tobytes()).hexdigest()]))
    """
)
COUNT = 61


def child(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", KILLED, str(root), str(COUNT)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(tiny.environment()))


def finished(root: Path) -> list[Any]:
    with child(root) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def known_rows(root: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a torn shard
        return len(cache.open_space(root, "slow").rows)


def test_after_kills_at_any_moment_the_next_run_goes_on_and_gives_the_very_same_features(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole")
    assert whole[:2] == [COUNT, COUNT]
    rng = random.Random(1)
    root = tmp_path / "killed"
    before = 0
    for _ in range(5):
        with child(root) as process:
            assert process.stdout
            for _ in range(rng.randint(1, 14)):
                process.stdout.readline()
            process.kill()
            seen = process.stdout.read().count("advanced")
        known = known_rows(root)
        assert known >= before, "a kill lost what was finished"
        assert known % 4 == 0, "a torn shard was counted"
        assert seen < COUNT
        before = known
    assert 0 < before < COUNT
    resumed = finished(root)
    assert resumed == [COUNT - before, COUNT - before, whole[2]]


# -- real networks


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.timm_folder(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def backbone(network: Path) -> Backbone:
    return open_image_backbone(str(network))


@pytest.fixture(scope="module")
def pictures() -> list[Item]:
    return [item(tiny.png(tiny.texture(i % 5, i, (60 + i, 80)))) for i in range(21)]


def torch_only(backbone: Backbone, root: Path) -> Encoder:
    made = Encoder(IMAGE_CLASSIFICATION, backbone, "fp32", root, 2)
    return replace(made, take=lambda _: Chosen(TorchEngine(made.network), 1.0))


def openvino_too(backbone: Backbone, root: Path) -> Encoder:
    return Encoder(IMAGE_CLASSIFICATION, backbone, "fp32", root, 2)


def encoded(made: Encoder, given: Sequence[Item]) -> Features:
    return made.encode(given, quiet, lambda: 0.0)


def reference(made: Encoder, given: Sequence[Item]) -> NDArray[np.float32]:
    """Each picture by itself through the network in PyTorch."""
    import torch

    loaded = [made.task.load(made.backbone)(each.content.read()) for each in given]
    with torch.inference_mode():
        return np.concatenate([made.network(torch.from_numpy(pixels[None])).numpy() for pixels in loaded])


@pytest.mark.parametrize(("make", "tolerance"), [(torch_only, 1e-5), (openvino_too, 1e-4)])
def test_features_are_row_by_row_those_of_the_network_given_one_picture_at_a_time(
    make: Any, tolerance: float, backbone: Backbone, pictures: list[Item], tmp_path: Path
) -> None:
    made = make(backbone, tmp_path)
    found = encoded(made, [*pictures[:5], item(b"no picture"), *pictures[5:]])
    assert list(found.failures) == [5]
    expected = reference(made, pictures)
    assert np.abs(expected - expected[0]).max() > 100 * tolerance, "these pictures do not tell rows apart"
    got = found.space.take([each.digest for each in pictures])
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("make", [torch_only, openvino_too])
def test_what_a_real_network_gives_does_not_depend_on_where_an_earlier_run_stopped(
    make: Any, backbone: Backbone, pictures: list[Item], tmp_path: Path
) -> None:
    whole = table(encoded(make(backbone, tmp_path / "whole"), pictures), pictures)
    for stop in (1, 10, 17):
        made = make(backbone, tmp_path / f"after {stop}")
        encoded(made, pictures[:stop])
        found = encoded(made, pictures)
        assert found.computed == len(pictures) - stop
        np.testing.assert_array_equal(table(found, pictures), whole)


def test_a_stream_gives_the_features_and_the_reasons_in_order(
    backbone: Backbone, pictures: list[Item], tmp_path: Path
) -> None:
    made = openvino_too(backbone, tmp_path)
    given = [*pictures[:3], item(b"no picture"), *pictures[3:]]
    stream = list(made.stream([each.content for each in given]))
    assert [i for i, each in enumerate(stream) if isinstance(each, str)] == [3]
    got = np.stack([each for each in stream if not isinstance(each, str)])
    np.testing.assert_array_equal(got, table(encoded(made, pictures), pictures))
    assert list(made.stream([item(b"no picture").content])) == [stream[3]]


# -- another look at the same examples


def looking(made: Encoder, number: int) -> Encoder:
    view = View(number, 5)
    return replace(made, look=made.task.augment.view(made.backbone, view), seen=view.name)


def test_features_of_a_view_are_those_of_the_network_on_that_view_and_have_a_place_of_their_own(
    backbone: Backbone, tmp_path: Path, pictures: list[Item]
) -> None:
    import torch

    made, given = torch_only(backbone, tmp_path), pictures[:5]
    plain = table(encoded(made, given), given)
    for number in (1, 2):
        found = encoded(looking(made, number), given)
        loaded = [load_view(each.content.read(), backbone.preprocess, View(number, 5)) for each in given]
        with torch.inference_mode():
            expected = made.network(torch.from_numpy(np.stack(loaded))).numpy()
        np.testing.assert_allclose(table(found, given), expected, atol=1e-5)
        assert np.abs(table(found, given) - plain).max() > 1e-3
        streamed = np.stack(list(looking(made, number).stream([each.content for each in given])))  # type: ignore[arg-type]
        np.testing.assert_array_equal(streamed, table(found, given))
        assert found.computed == 5
        assert encoded(looking(made, number), given).computed == 0
    again = encoded(made, given)
    assert again.computed == 0
    np.testing.assert_array_equal(table(again, given), plain)


def test_view_0_is_what_the_linear_head_was_fitted_on_and_is_not_computed_again(
    backbone: Backbone, tmp_path: Path, pictures: list[Item]
) -> None:
    made = torch_only(backbone, tmp_path)
    encoded(made, pictures[:5])
    assert encoded(looking(made, 0), pictures[:5]).computed == 0


def test_the_task_s_inputs_for_training_are_crops_of_what_it_keeps_for_that(
    backbone: Backbone, pictures: list[Item]
) -> None:
    augmented, data = IMAGE_CLASSIFICATION.augment, pictures[0].content.read()
    wide = augmented.wide(backbone)(data)
    assert all(a > b for a, b in zip(wide.shape[1:], backbone.preprocess.size, strict=True))
    one, other = (augmented.change(backbone)(wide, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(one, augment(wide, backbone.preprocess.size, np.random.default_rng(0)))
    assert one.shape == other.shape == (3, *backbone.preprocess.size)
    assert (one != other).any()


# -- the key


def keyed(backbone: Backbone, engine: str = "e") -> str:
    return Encoder(IMAGE_CLASSIFICATION, backbone, "fp32", Path("nowhere"), 1).key(engine)


def test_the_key_changes_with_any_tensor_of_the_trunk_and_not_with_the_head_that_is_cut_off(
    network: Path, backbone: Backbone, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    state = load_file(network / "model.safetensors")
    (tmp_path / "config.json").write_bytes((network / "config.json").read_bytes())
    head = [name for name in state if name.startswith("fc.")]
    assert len(head) == 2
    assert {name for name in state if name not in head} == set(backbone.trunk.state_dict())
    keys: dict[str, str] = {}
    for name, tensor in state.items():
        changed = tensor.copy()
        changed.reshape(-1)[-1] += 1
        save_file({**state, name: changed}, tmp_path / "model.safetensors")
        keys[name] = keyed(open_image_backbone(str(tmp_path)))
    assert {keys.pop(name) for name in head} == {keyed(backbone)}
    assert len({*keys.values(), keyed(backbone)}) == len(keys) + 1


CHANGES = {
    "size": (160, 128),
    "resize": "squash",
    "resize_to": (168, 170),
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.4999999),
    "std": (0.5, 0.4999999, 0.5),
    "crop": "floor",
}


def test_every_field_of_the_preprocessing_is_tried_below() -> None:
    assert set(CHANGES) == {field.name for field in fields(Preprocess)}


@pytest.mark.parametrize("field", CHANGES)
def test_the_key_changes_with_every_field_of_the_preprocessing(field: str, backbone: Backbone) -> None:
    changed = replace(backbone.preprocess, **{field: CHANGES[field]})
    assert changed != backbone.preprocess
    assert keyed(replace(backbone, preprocess=changed)) != keyed(backbone)


def test_the_key_changes_with_the_mean_that_a_folder_s_config_says(network: Path, tmp_path: Path) -> None:
    config = json.loads((network / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((network / "model.safetensors").read_bytes())
    keys = set()
    for mean in ([0.5, 0.5, 0.5], [0.485, 0.456, 0.406]):
        config["pretrained_cfg"]["mean"] = mean
        (tmp_path / "config.json").write_text(json.dumps(config))
        keys.add(keyed(open_image_backbone(str(tmp_path))))
    assert len(keys) == 2


def test_the_key_changes_with_the_decoder(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.data import pixels

    before = keyed(backbone)
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "_decoder", lambda: "another")
        assert keyed(backbone) != before
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "DECODER_VERSION", pixels.DECODER_VERSION + 1)
        assert keyed(backbone) != before
    assert keyed(backbone) == before


def test_the_key_changes_with_the_cut(backbone: Backbone) -> None:
    assert keyed(replace(backbone, cut="the third stage")) != keyed(backbone)


def test_the_key_changes_with_the_engine_and_its_precision(backbone: Backbone, tmp_path: Path) -> None:
    import torch

    made = torch_only(backbone, tmp_path)
    model = to_openvino(made.network, torch.zeros(1, 3, 160, 160, dtype=torch.uint8))
    engines = [TorchEngine(made.network), TorchEngine(made.network, "cpu", "bf16"), TorchEngine(made.network, "cuda:0")]
    names = [each.name for each in (*engines, *(OpenVinoEngine(model, p, 1) for p in ("fp32", "bf16")))]
    assert len({made.key(name) for name in names}) == len(names) == 5


def test_a_trunk_of_other_weights_finds_nothing_in_the_cache(
    backbone: Backbone, pictures: list[Item], tmp_path: Path
) -> None:
    encoded(openvino_too(backbone, tmp_path), pictures)
    other = open_image_backbone(str(tiny.timm_folder(tmp_path / "other", seed=1)))
    assert encoded(openvino_too(other, tmp_path), pictures).computed == len(pictures)
    assert encoded(openvino_too(backbone, tmp_path), pictures).computed == 0


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
def test_any_changed_byte_of_a_file_changes_its_digest(place: float, tmp_path: Path) -> None:
    data = bytearray(tiny.png(tiny.texture(0, 0)))
    file = tmp_path / "a.png"
    file.write_bytes(data)
    before = inspect_picture("a.png", FileContent(file)).digest
    assert before == store.file_digest(file)
    data[int(place * (len(data) - 1))] ^= 1
    file.write_bytes(data)
    after = inspect_picture("a.png", FileContent(file)).digest
    assert after != before
    assert after == store.file_digest(file)


def test_a_picture_that_changed_on_disk_is_computed_again(backbone: Backbone, tmp_path: Path) -> None:
    made = openvino_too(backbone, tmp_path / "cache")
    file = tmp_path / "a.png"
    seen = []
    for seed in (0, 1, 0):
        file.write_bytes(tiny.png(tiny.texture(0, seed)))
        content = FileContent(file)
        given = [Item("a.png", inspect_picture("a.png", content).digest, content)]
        found = encoded(made, given)
        seen.append((found.computed, table(found, given)))
    assert [computed for computed, _ in seen] == [1, 1, 0]
    np.testing.assert_array_equal(seen[0][1], seen[2][1])
    assert np.abs(seen[0][1] - seen[1][1]).max() > 0
