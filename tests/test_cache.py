"""The feature cache: what goes in comes out, what is torn is done again, and the key knows all that matters."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart import cache
from headstart.errors import StoreError
from headstart.store import save_arrays

HOW = {"weights": "w", "preprocess": "p", "cut": "c", "view": "v", "engine": "e"}


def digest(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def digests(*names: object) -> list[str]:
    return [digest(name) for name in names]


def rows(*values: float, width: int = 3) -> NDArray[np.float32]:
    """Features that say whose they are: each row is one value, repeated."""
    return np.repeat(np.asarray(values, np.float32)[:, None], width, 1)


def shards(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


@pytest.fixture
def space(tmp_path: Path) -> cache.Space:
    return cache.open_space(tmp_path, "key")


def reopened(space: cache.Space) -> cache.Space:
    return cache.open_space(space.folder.parents[1], space.folder.name)


# -- round trip


def test_features_come_back_by_the_digest_of_their_example(space: cache.Space) -> None:
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    cache.append(space, digests("a", "b", "c"), features, {})
    np.testing.assert_array_equal(reopened(space).take(digests("c", "a", "b")), features[[2, 0, 1]], strict=True)


def test_features_of_several_shards_come_back_in_the_order_asked_for(space: cache.Space) -> None:
    for shard in range(4):
        names = range(10 * shard, 10 * shard + 10)
        cache.append(space, digests(*names), rows(*names), {})
    order = np.random.default_rng(0).permutation(40)
    assert reopened(space).take(digests(*order))[:, 0].tolist() == order.tolist()
    assert len(shards(space.folder)) == 4


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=4), st.data())
def test_whatever_was_appended_can_be_taken(
    tmp_path_factory: pytest.TempPathFactory, written: list[list[int]], data: st.DataObject
) -> None:
    space = cache.open_space(tmp_path_factory.mktemp("cache"), "key")
    for names in written:
        cache.append(space, digests(*names), rows(*names), {})
    known = sorted({name for names in written for name in names})
    asked = data.draw(st.lists(st.sampled_from(known), max_size=10)) if known else []
    assert [row[0] for row in reopened(space).take(digests(*asked))] == asked
    assert set(reopened(space).rows) == set(digests(*known))


def test_an_example_asked_for_twice_comes_twice(space: cache.Space) -> None:
    cache.append(space, digests("a", "b"), rows(1, 2), {})
    assert reopened(space).take(digests("b", "a", "b"))[:, 0].tolist() == [2, 1, 2]


def test_an_example_that_two_shards_hold_is_one_example(space: cache.Space) -> None:
    cache.append(space, digests("a", "b"), rows(1, 2), {})
    cache.append(space, digests("b", "c"), rows(2, 3), {})
    assert len(reopened(space).rows) == 3
    assert reopened(space).take(digests("a", "b", "c"))[:, 0].tolist() == [1, 2, 3]


def test_nothing_asked_for_is_a_table_without_rows(space: cache.Space) -> None:
    assert reopened(space).take([]).shape == (0, 0)


def test_what_is_not_there_is_an_error_and_not_somebody_else_s_features(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {})
    with pytest.raises(KeyError):
        reopened(space).take(digests("a", "stranger"))


def test_a_space_that_was_never_written_to_is_empty_and_makes_no_folder(tmp_path: Path) -> None:
    space = cache.open_space(tmp_path, "key")
    assert (dict(space.rows), dict(space.failures)) == ({}, {})
    assert list(tmp_path.iterdir()) == []


def test_an_open_space_is_a_snapshot(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {})
    assert not space.knows(digest("a"))
    assert reopened(space).knows(digest("a"))


def test_rows_without_their_examples_are_refused(space: cache.Space) -> None:
    with pytest.raises(StoreError, match="2 examples and 1 rows"):
        cache.append(space, digests("a", "b"), rows(1), {})
    assert shards(space.folder) == []


def test_the_same_examples_again_take_no_more_room(space: cache.Space) -> None:
    for _ in range(2):
        cache.append(space, digests("a", "b"), rows(1, 2), {})
    assert len(shards(space.folder)) == 1


# -- rows of any shape, left on disk

KINDS = ["float32", "float16", "uint8"]
SHAPES = [(5,), (3, 4, 6), (2, 3), (1, 1, 1, 2)]


def drawn(n: int, shape: tuple[int, ...], kind: str, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_of_any_shape_and_kind_come_back_as_they_were(
    shape: tuple[int, ...], kind: str, space: cache.Space
) -> None:
    given = drawn(12, shape, kind)
    for names in (range(5), range(5, 6), range(6, 12)):
        cache.append(space, digests(*names), given[list(names)], {})
    again = reopened(space)
    assert len(shards(space.folder)) == 3
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(again.take(digests(*order)), given[order], strict=True)
    left = again.rows_of(digests(*order))
    np.testing.assert_array_equal(left.take(np.arange(12)), given[order], strict=True)
    np.testing.assert_array_equal(left.take(np.array([7, 0, 7])), given[order[[7, 0, 7]]], strict=True)
    assert len(left) == 12


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.data())
def test_rows_left_on_disk_are_those_that_are_taken(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """Whatever the lengths of the shards, and so of their headers: nothing is read from beside its place."""
    space = cache.open_space(tmp_path_factory.mktemp("cache"), "key")
    given = drawn(sum(sizes), (3, 2), data.draw(st.sampled_from(KINDS)))
    for start, stop in pairwise([0, *np.cumsum(sizes).tolist()]):
        cache.append(space, digests(*range(start, stop)), given[start:stop], {digest(f"torn {start}"): "x" * start})
    asked = data.draw(st.lists(st.integers(0, len(given) - 1), min_size=1, max_size=12))
    left = reopened(space).rows_of(digests(*asked))
    every = np.arange(len(asked))
    np.testing.assert_array_equal(left.take(every), reopened(space).take(digests(*asked)), strict=True)
    np.testing.assert_array_equal(left.take(every), given[asked], strict=True)


def test_only_the_shards_that_are_needed_are_mapped_and_none_is_read(space: cache.Space) -> None:
    for shard in range(4):
        cache.append(space, digests(*range(3 * shard, 3 * shard + 3)), drawn(3, (2,), "float16", shard), {})
    left = reopened(space).rows_of(digests(1, 10, 2))
    assert len(left.blocks) == 2
    assert all(isinstance(block, np.memmap) for block in left.blocks)
    assert left.place_N2[:, 1].tolist() == [1, 1, 2]


def test_what_is_taken_is_a_copy_that_can_be_written_to_and_the_cache_is_not(space: cache.Space) -> None:
    given = drawn(4, (3,), "float32")
    cache.append(space, digests(*range(4)), given, {})
    left = reopened(space).rows_of(digests(*range(4)))
    left.take(np.array([1, 2]))[:] = -1
    np.testing.assert_array_equal(left.take(np.arange(4)), given)
    with pytest.raises(ValueError, match="read-only"):
        left.blocks[0][0] = 0


def test_rows_of_strangers_are_refused(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {})
    with pytest.raises(KeyError):
        reopened(space).rows_of(digests("a", "stranger"))


def test_rows_of_no_one_are_none(space: cache.Space) -> None:
    assert len(reopened(space).rows_of([])) == 0


def test_halves_take_half_the_room(space: cache.Space, tmp_path: Path) -> None:
    half = cache.open_space(tmp_path / "half", "key")
    given = drawn(50, (64,), "float32")
    cache.append(space, digests(*range(50)), given, {})
    cache.append(half, digests(*range(50)), given.astype(np.float16), {})
    [full_shard], [half_shard] = shards(space.folder), shards(half.folder)
    assert full_shard.stat().st_size - half_shard.stat().st_size == pytest.approx(given.nbytes / 2, abs=64)


# -- failures


def test_what_failed_is_remembered_with_its_reason(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {digest("torn"): "ends early", digest("é"): "kein Bild – ü"})
    again = reopened(space)
    assert again.failures == {digest("torn"): "ends early", digest("é"): "kein Bild – ü"}
    assert again.knows(digest("torn"))
    assert digest("torn") not in again.rows


def test_a_shard_of_failures_only_is_one_too(space: cache.Space) -> None:
    cache.append(space, [], np.empty((0, 1), np.float32), {digest("torn"): "ends early"})
    cache.append(space, digests("a"), rows(1), {})
    again = reopened(space)
    assert again.failures == {digest("torn"): "ends early"}
    assert again.take(digests("a")).shape == (1, 3)


# -- what is missing


def test_missing_are_the_positions_of_what_is_unknown_each_example_once(space: cache.Space) -> None:
    cache.append(space, digests("a", "b"), rows(1, 2), {digest("torn"): "ends early"})
    asked = digests("new", "a", "torn", "new", "other", "b", "other")
    assert cache.missing(reopened(space), asked) == [0, 4]


def test_ten_new_examples_beside_a_hundred_known_ones_are_ten_to_compute(space: cache.Space) -> None:
    cache.append(space, digests(*range(100)), rows(*range(100)), {})
    assert cache.missing(reopened(space), digests(*range(110))) == list(range(100, 110))


# -- damage


def torn_shard(shard: Path, keep: float) -> None:
    shard.write_bytes(shard.read_bytes()[: int(keep * shard.stat().st_size)])


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_shard_is_passed_over_with_a_warning_and_its_examples_are_missing(
    space: cache.Space, keep: float
) -> None:
    cache.append(space, digests("a"), rows(1), {})
    [torn] = shards(space.folder)
    cache.append(space, digests("b"), rows(2), {})
    torn_shard(torn, keep)
    with pytest.warns(UserWarning, match=f"cache shard {torn.name} cannot be read and is passed over"):
        again = reopened(space)
    assert cache.missing(again, digests("a", "b")) == [0]
    assert again.take(digests("b"))[:, 0].tolist() == [2]


def test_a_torn_shard_is_whole_again_once_its_examples_are_redone(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {})
    torn_shard(shards(space.folder)[0], 0.5)
    with pytest.warns(UserWarning, match="passed over"):
        again = reopened(space)
    cache.append(again, digests("a"), rows(1), {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reopened(space).take(digests("a"))[:, 0].tolist() == [1]


ODD: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "no digests": ({"features": rows(1)}, {}),
    "no features": ({"digests": np.zeros((1, 32), np.uint8)}, {}),
    "another rank": ({"digests": np.zeros((2, 32), np.uint8), "features": np.zeros(2, np.float32)}, {}),
    "fewer rows": ({"digests": np.zeros((2, 32), np.uint8), "features": rows(1)}, {}),
    "failures": ({"digests": np.zeros((1, 32), np.uint8), "features": rows(1)}, {"failures": "{"}),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_file_that_is_no_shard_is_passed_over_with_a_warning(space: cache.Space, odd: str) -> None:
    arrays, metadata = ODD[odd]
    save_arrays(space.folder / "odd.safetensors", arrays, metadata)
    with pytest.warns(UserWarning, match=r"odd\.safetensors cannot be read"):
        again = reopened(space)
    assert not again.rows


def test_unfinished_files_of_a_killed_run_are_not_looked_at(space: cache.Space) -> None:
    cache.append(space, digests("a"), rows(1), {})
    (space.folder / ".x.safetensors.abc.part").write_bytes(b"half of a shard")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(reopened(space).rows) == set(digests("a"))


KILLED = """
    import os, signal, sys
    sys.path[:0] = {path!r}
    from pathlib import Path
    from test_cache import cache, digests, rows
    from headstart import store

    space = cache.open_space(Path({root!r}), "key")
    cache.append(space, digests("a", "b"), rows(1, 2), {{}})
    store._sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    cache.append(space, digests("c", "d"), rows(3, 4), {{}})
"""


def test_a_kill_while_a_shard_is_written_loses_that_shard_and_no_other(tmp_path: Path) -> None:
    path = [str(Path(__file__).parent), str(Path(cache.__file__).parents[1])]
    script = dedent(KILLED).format(path=path, root=str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    space = cache.open_space(tmp_path, "key")
    assert cache.missing(space, digests("a", "b", "c", "d")) == [2, 3]
    assert space.take(digests("b", "a"))[:, 0].tolist() == [2, 1]


# -- keys


@pytest.mark.parametrize("part", HOW)
def test_the_key_changes_with_each_thing_that_changes_a_feature(part: str) -> None:
    assert cache.space_key(**HOW) != cache.space_key(**{**HOW, part: "other"})


def test_the_key_tells_which_thing_a_value_belongs_to() -> None:
    keys = {cache.space_key(**{**HOW, part: "other"}) for part in HOW}
    assert len(keys) == len(HOW)


def test_the_key_is_the_same_in_every_process() -> None:
    """Written out: a change makes every user's cache useless, and must be meant."""
    parts = ("features 1", *HOW.values())
    raw = b"".join(len(json.dumps(p)).to_bytes(8, "little") + json.dumps(p).encode() for p in parts)
    assert cache.space_key(**HOW) == hashlib.sha256(raw).hexdigest()[:32]


def test_spaces_of_different_keys_share_nothing(tmp_path: Path) -> None:
    cache.append(cache.open_space(tmp_path, "one"), digests("a"), rows(1), {})
    assert not cache.open_space(tmp_path, "two").knows(digest("a"))
    assert cache.open_space(tmp_path, "one").knows(digest("a"))


# -- where


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "mine"))
    assert cache.default_root() == tmp_path / "mine"


def test_without_a_word_the_cache_is_in_the_platform_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for said in (None, ""):
        monkeypatch.delenv("HEADSTART_CACHE", raising=False)
        if said is not None:
            monkeypatch.setenv("HEADSTART_CACHE", said)
        assert cache.default_root().is_absolute()
        assert cache.default_root().name == "headstart"


def test_tests_write_to_a_cache_of_their_own(cache_of_the_tests: Path) -> None:
    assert cache.default_root() == cache_of_the_tests
    assert os.environ["HEADSTART_CACHE"] == str(cache_of_the_tests)


# -- rows of different lengths


def of_length(name: int, length: int) -> NDArray[np.int32]:
    return np.full((length, 2), name, np.int32)


def test_shards_of_texts_differ_in_their_longest_and_come_back_together(space: cache.Space) -> None:
    for names, length in (((1, 2), 8), ((3,), 4), ((4, 5), 12)):
        cache.append(space, digests(*names), np.stack([of_length(name, length) for name in names]), {})
    opened = reopened(space)
    for order in ([1, 2, 3, 4, 5], [5, 3, 1, 4, 2], [3], [3, 1]):
        longest = max({1: 8, 2: 8, 3: 4, 4: 12, 5: 12}[name] for name in order)
        for taken in (opened.take(digests(*order)), opened.rows_of(digests(*order)).take(np.arange(len(order)))):
            assert (taken.shape, taken.dtype) == ((len(order), longest, 2), np.int32)
            for row, name in zip(taken, order, strict=True):
                length = {1: 8, 2: 8, 3: 4, 4: 12, 5: 12}[name]
                assert (row[:length] == name).all()
                assert not row[length:].any()
