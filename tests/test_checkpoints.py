"""Checkpoints: whole or not there; what is damaged is noticed, said, and costs only itself."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from headstart import checkpoints, store
from headstart.errors import DiskFullError, StoreError


def state(step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and numbers that say which step they are of."""
    tensors = {"model.weight": torch.arange(6.0).reshape(2, 3) + step, "step.weight": torch.tensor(float(step))}
    return tensors, {"step": step, "scale": 0.1, "watched": [0.5, math.inf]}


def written(folder: Path, *steps: int) -> list[Path]:
    return [checkpoints.write(folder, step, *state(step)) for step in steps]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest_step(folder: Path) -> int | None:
    """The step of the newest whole checkpoint, which must be whole indeed, and found without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = checkpoints.newest(folder)
    if found is None:
        return None
    assert_state(*found)
    return found[0]


def assert_state(step: int, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
    expected, numbers = state(step)
    assert about == numbers
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


# -- round trip


def test_what_was_written_is_read(tmp_path: Path) -> None:
    [path] = written(tmp_path / "deep" / "er", 7)
    assert path.name == "step-00000007.safetensors"
    assert newest_step(path.parent) == 7
    assert_state(7, *checkpoints.read(path))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.empty(0, 4),
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(12.0)[::3],
        torch.tensor([1.5, math.nan, -math.inf]),
        torch.tensor([1, 2], dtype=torch.int64),
        torch.tensor([True, False]),
        torch.tensor([1.5, -2], dtype=torch.float16),
        torch.tensor([1.5, -2], dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=["scalar", "empty", "transposed", "strided", "not finite", "int64", "bool", "half", "bfloat16", "parameter"],
)
def test_tensors_of_all_kinds_come_back_bit_by_bit(tensor: torch.Tensor, tmp_path: Path) -> None:
    checkpoints.write(tmp_path, 1, {"it": tensor}, {})
    found = checkpoints.newest(tmp_path)
    assert found is not None
    torch.testing.assert_close(found[1]["it"], tensor.detach(), rtol=0, atol=0, equal_nan=True)


def test_where_nothing_was_written_there_is_nothing(tmp_path: Path) -> None:
    assert newest_step(tmp_path) is None
    assert newest_step(tmp_path / "no such folder") is None


def test_a_checkpoint_is_a_safetensors_file_that_says_its_own_checksum(tmp_path: Path) -> None:
    [path] = written(tmp_path, 7)
    with safe_open(path, framework="pt") as handle:
        assert set(handle.metadata()) == {"about", "checksum"}
    assert torch.equal(load_file(path)["model.weight"], state(7)[0]["model.weight"])


def test_the_same_state_has_the_same_checksum_wherever_it_is_written(tmp_path: Path) -> None:
    """The bytes may differ: safetensors writes metadata in any order."""
    sums = set()
    for name, step in (("one", 7), ("other", 7), ("third", 8)):
        with safe_open(written(tmp_path / name, step)[0], framework="pt") as handle:
            sums.add((step, handle.metadata()["checksum"]))
    assert len(sums) == 2


# -- how many


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step, expected in ((1, [1]), (9, [1, 9]), (10, [9, 10]), (200, [10, 200])):
        written(tmp_path, step)
        assert names(tmp_path) == [f"step-{n:08}.safetensors" for n in expected]
        assert newest_step(tmp_path) == step


def test_the_same_step_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    written(tmp_path, 3, 5, 5)
    assert names(tmp_path) == ["step-00000003.safetensors", "step-00000005.safetensors"]


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "held.safetensors").write_bytes(b"mine")
    written(tmp_path, 1, 2, 3)
    assert (tmp_path / "held.safetensors").read_bytes() == b"mine"
    assert newest_step(tmp_path) == 3


def test_after_a_fall_back_what_is_written_is_kept_and_the_damaged_one_is_not(tmp_path: Path) -> None:
    """The damaged one has the higher number: it must not push out what came after it."""
    [good, torn] = written(tmp_path, 50, 100)
    torn.write_bytes(torn.read_bytes()[:-5])
    written(tmp_path, 60)
    assert names(tmp_path) == [good.name, "step-00000060.safetensors"]
    assert newest_step(tmp_path) == 60


def test_after_both_were_damaged_the_first_one_that_is_written_stays(tmp_path: Path) -> None:
    for path in written(tmp_path, 50, 100):
        path.write_bytes(b"")
    written(tmp_path, 10)
    assert newest_step(tmp_path) == 10
    written(tmp_path, 20)
    assert names(tmp_path) == ["step-00000010.safetensors", "step-00000020.safetensors"]


# -- damage


def truncated(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


@pytest.mark.parametrize("share", [0.0, 0.005, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_newest_one_falls_back_to_the_one_before_with_a_warning_that_names_both(
    share: float, tmp_path: Path
) -> None:
    older, newer = written(tmp_path, 10, 20)
    truncated(newer, share)
    with pytest.warns(UserWarning, match=f"{newer.name} is damaged .*going on from {older.name}") as told:
        found = checkpoints.newest(tmp_path)
    assert len(told) == 1
    assert found is not None
    assert_state(*found)
    assert found[0] == 10


def flipped(data: bytes, place: int, bits: int) -> bytes:
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


@pytest.mark.parametrize("where", ["the first weight", "the last byte", "the about", "the checksum"])
def test_one_flipped_bit_falls_back_to_the_one_before(where: str, tmp_path: Path) -> None:
    older, newer = written(tmp_path, 10, 20)
    data = newer.read_bytes()
    header = int.from_bytes(data[:8], "little")
    places = {
        "the first weight": 8 + header,
        "the last byte": len(data) - 1,
        "the about": data.index(b"scale") + 2,
        "the checksum": data.index(b"checksum") + 14,
    }
    newer.write_bytes(flipped(data, places[where], 1))
    with pytest.warns(UserWarning, match=f"{newer.name} is damaged .*{older.name}"):
        found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found[0] == 10


def test_whichever_byte_of_it_is_flipped_it_is_refused_in_this_package_s_words(tmp_path: Path) -> None:
    [path] = written(tmp_path, 20)
    data = path.read_bytes()
    for place in range(len(data)):
        for bits in (1, 0x20, 0x80):
            path.write_bytes(flipped(data, place, bits))
            with pytest.raises(StoreError, match="Cannot read step-00000020"):
                checkpoints.read(path)
    path.write_bytes(data)
    assert newest_step(tmp_path) == 20


def test_a_tensor_under_another_s_name_is_noticed(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    [path] = written(tmp_path, 20)
    with safe_open(path, framework="pt") as handle:
        metadata = handle.metadata()
    tensors = load_file(path)
    tensors["model.other"] = tensors.pop("model.weight")
    save_file(tensors, path, metadata)
    with pytest.raises(StoreError, match="Cannot read"):
        checkpoints.read(path)


def test_a_file_without_a_checksum_is_no_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state(1)[0], tmp_path / "step-00000001.safetensors")
    with pytest.warns(UserWarning, match=r"damaged .*going on from the beginning"):
        assert checkpoints.newest(tmp_path) is None


def test_where_all_are_damaged_each_is_named_and_training_begins_anew(tmp_path: Path) -> None:
    older, newer = written(tmp_path, 10, 20)
    truncated(older, 0.5)
    truncated(newer, 0.5)
    with pytest.warns(UserWarning, match="is damaged") as told:
        assert checkpoints.newest(tmp_path) is None
    first, second = (str(each.message) for each in told)
    assert first.startswith(f"Checkpoint {newer.name} is damaged (torn: ")
    assert first.endswith(f"going on from {older.name}.")
    assert second.startswith(f"Checkpoint {older.name} is damaged")
    assert second.endswith("going on from the beginning.")


# -- writing that fails


def test_a_full_disk_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, 10, 20)

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_sync", full)
    with pytest.raises(DiskFullError):
        written(tmp_path, 30)
    monkeypatch.undo()
    assert names(tmp_path) == ["step-00000010.safetensors", "step-00000020.safetensors"]
    assert newest_step(tmp_path) == 20


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    from test_checkpoints import store, written

    folder = Path({folder!r})
    written(folder, 10, 20)
    {fatal}
    written(folder, 30)
"""
DIE = "lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "while it is written": (f"store._sync = {DIE}", 20),
    "before it is renamed": (f"Path.replace = {DIE}", 20),
    "before an old one is removed": (f"Path.glob = {DIE}", 30),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_leaves_the_earlier_one_or_the_new_one_and_never_a_part(moment: str, tmp_path: Path) -> None:
    fatal, expected = MOMENTS[moment]
    path = [str(Path(__file__).parent), str(Path(checkpoints.__file__).parents[1])]
    script = dedent(KILLED).format(path=path, folder=str(tmp_path), fatal=fatal)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert newest_step(tmp_path) == expected
    written(tmp_path, 40)
    whole = [name for name in names(tmp_path) if not name.endswith(".part")]
    assert whole == [f"step-{expected:08}.safetensors", "step-00000040.safetensors"]
    assert os.access(tmp_path / whole[-1], os.R_OK)


# -- the checksum


def test_the_checksum_knows_names_kinds_shapes_bytes_and_text() -> None:
    zeros = torch.zeros(2, 3)
    sums = {
        checkpoints.checksum({"a": zeros}, ""),
        checkpoints.checksum({"a": zeros}, "x"),
        checkpoints.checksum({"b": zeros}, ""),
        checkpoints.checksum({"a": zeros.T}, ""),
        checkpoints.checksum({"a": zeros.to(torch.int32)}, ""),
        checkpoints.checksum({"a": zeros + 1}, ""),
        checkpoints.checksum({"a": zeros, "b": zeros}, ""),
        checkpoints.checksum({}, ""),
    }
    assert len(sums) == 8


def test_the_checksum_does_not_depend_on_order_or_layout() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(1)
    assert checkpoints.checksum({"a": a, "b": b}, "x") == checkpoints.checksum({"b": b, "a": a}, "x")
    assert checkpoints.checksum({"a": a.T.contiguous().T}, "") == checkpoints.checksum({"a": a}, "")
