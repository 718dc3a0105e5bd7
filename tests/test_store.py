"""Writing that survives kills, full disks and writers that raise."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from headstart import store
from headstart.errors import DiskFullError, ModelError, StoreError

Write = Callable[[Path, Callable[[Path], None]], None]
MEGABYTE = 1 << 20


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fill(text: str) -> Callable[[Path], None]:
    """A writer of one file, or of a folder with two."""

    def write(to: Path) -> None:
        if to.is_dir():
            (to / "deep").mkdir()
            (to / "deep" / "a.txt").write_text(text)
            (to / "b.txt").write_text(text)
        else:
            to.write_text(text)

    return write


def fill_then(text: str, error: BaseException) -> Callable[[Path], None]:
    def write(to: Path) -> None:
        fill(text)(to)
        raise error

    return write


both_writers = pytest.mark.parametrize("write", [store.write_atomically, store.write_folder], ids=["file", "folder"])


# -- whole or not at all


@both_writers
def test_what_is_written_is_there_and_nothing_else(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "new" / "out", fill("new"))
    assert set(tree(tmp_path).values()) == {b"new"}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


@both_writers
def test_writing_again_replaces_the_old_content_and_leaves_nothing_beside_it(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "out", fill("old"))
    write(tmp_path / "out", fill("new"))
    assert set(tree(tmp_path).values()) == {b"new"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@both_writers
@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), ModelError("mine")], ids=lambda e: type(e).__name__
)
def test_a_writer_that_raises_leaves_the_old_content_and_its_own_error(
    write: Write, error: BaseException, tmp_path: Path
) -> None:
    write(tmp_path / "out", fill("old"))
    before = tree(tmp_path)
    with pytest.raises(type(error)) as caught:
        write(tmp_path / "out", fill_then("new", error))
    assert caught.value is error
    assert tree(tmp_path) == before


@both_writers
def test_a_writer_that_raises_leaves_nothing_where_nothing_was(write: Write, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"):
        write(tmp_path / "out", fill_then("new", RuntimeError("mine")))
    assert list(tmp_path.iterdir()) == []


@both_writers
def test_the_old_content_is_in_place_while_the_new_is_written(write: Write, tmp_path: Path) -> None:
    out, seen = tmp_path / "out", []
    write(out, fill("old"))
    write(out, lambda to: (seen.append(tree(tmp_path)), fill("new")(to))[1])
    assert {v for k, v in seen[0].items() if k.startswith("out")} == {b"old"}


@pytest.mark.parametrize(
    ("write", "call"), [(store.write_atomically, "replace"), (store.write_folder, "rename")], ids=["file", "folder"]
)
def test_a_rename_that_fails_leaves_the_old_content_in_its_place(
    write: Write, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", fill("old"))
    before = tree(tmp_path)
    real = getattr(Path, call)

    def fails_for_the_new(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(errno.EBUSY, "busy")
        return real(self, target)

    monkeypatch.setattr(Path, call, fails_for_the_new)
    with pytest.raises(StoreError, match="busy"):
        write(tmp_path / "out", fill("new"))
    assert tree(tmp_path) == before


@both_writers
def test_others_can_read_what_was_written(write: Write, tmp_path: Path) -> None:
    def private(to: Path) -> None:
        fill("new")(to)
        for p in (to, *to.rglob("*")) if to.is_dir() else (to,):
            p.chmod(0o700 if p.is_dir() else 0o600)

    write(tmp_path / "out", private)
    modes = {stat.S_IMODE(p.stat().st_mode): p.is_dir() for p in tmp_path.rglob("*")}
    assert modes in ({0o644: False}, {0o644: False, 0o755: True})


def test_links_and_execute_bits_of_a_folder_are_left_as_they_are(tmp_path: Path) -> None:
    def write(to: Path) -> None:
        (to / "run.sh").write_text("true")
        (to / "run.sh").chmod(0o700)
        (to / "nowhere").symlink_to("not there")

    store.write_folder(tmp_path / "out", write)
    assert stat.S_IMODE((tmp_path / "out" / "run.sh").stat().st_mode) == 0o744
    assert (tmp_path / "out" / "nowhere").readlink() == Path("not there")


@both_writers
def test_every_file_and_folder_is_forced_to_disk_before_it_is_renamed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_rename, real_replace = store._sync, Path.rename, Path.replace

    def sync(path: Path) -> None:
        done.append(f"sync {path.name if not path.name.startswith('.') else 'temporary'}")
        real_sync(path)

    monkeypatch.setattr(store, "_sync", sync)
    monkeypatch.setattr(Path, "rename", lambda a, b: (done.append("rename"), real_rename(a, b))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (done.append("rename"), real_replace(a, b))[1])
    write(tmp_path / "out", fill("new"))
    at = done.index("rename")
    inside = {"sync a.txt", "sync b.txt", "sync deep"} if write is store.write_folder else set()
    assert set(done[:at]) == {"sync temporary"} | inside
    assert done[at + 1 :] == [f"sync {tmp_path.name}"]


@both_writers
def test_a_folder_that_cannot_be_made_is_a_store_error(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot write") as caught:
        write(tmp_path / "file" / "out", fill("new"))
    assert not isinstance(caught.value, DiskFullError)
    assert caught.value.hint == "Is the folder writable?"


# -- full disks


@both_writers
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("where", ["fsync", "write"])
def test_no_space_is_a_full_disk_whatever_call_meets_it(
    write: Write, code: int, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", fill("old"))
    before = tree(tmp_path)
    if where == "fsync":
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, "no room")))
    writer = fill("new") if where == "fsync" else fill_then("ne", OSError(code, "no room"))
    with pytest.raises(DiskFullError, match="The disk is full: out was not written") as caught:
        write(tmp_path / "out", writer)
    assert caught.value.found == str(tmp_path)
    assert tree(tmp_path) == before


@both_writers
def test_a_library_s_own_error_for_no_space_is_a_full_disk(write: Write, tmp_path: Path) -> None:
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(DiskFullError):
        write(tmp_path / "out", fill_then("", error))
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_names_no_cause_is_a_full_disk_where_nothing_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=100))
    with pytest.raises(DiskFullError):
        store.write_folder(tmp_path / "out", fill_then("", RuntimeError("basic_ios::clear: iostream error")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else tmp_path / "none"
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def too_much(to: Path) -> None:
    (to / "big.bin" if to.is_dir() else to).write_bytes(bytes(2 * MEGABYTE))


def too_much_by_safetensors(to: Path) -> None:
    save_file({"a": np.zeros(2 * MEGABYTE, np.uint8)}, to / "big.safetensors" if to.is_dir() else to)


LIMITED = """
    import resource, signal, sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    import test_store
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        test_store.store.{write}(Path({out!r}), test_store.too_much)
    except test_store.DiskFullError as error:
        print(error.what)
"""


@both_writers
@pytest.mark.parametrize("writer", [too_much, too_much_by_safetensors])
def test_a_disk_that_is_really_full_says_so_and_keeps_the_old_content(
    write: Write, writer: Callable[[Path], None], small_disk: Path, tmp_path: Path
) -> None:
    if small_disk.exists():
        write(small_disk / "out", fill("old"))
        before = tree(small_disk)
        with pytest.raises(DiskFullError, match="out was not written"):
            write(small_disk / "out", writer)
        assert tree(small_disk) == before
    else:  # mounting is not allowed here: a limit on the size of files gives the same kind of failure
        write(tmp_path / "out", fill("old"))
        before = tree(tmp_path)
        path = [str(Path(__file__).parent), str(Path(store.__file__).parents[1])]
        script = LIMITED.format(path=path, write=write.__name__, out=str(tmp_path / "out"))
        assert python(script).stdout == "The disk is full: out was not written.\n"
        assert tree(tmp_path) == before


def test_a_limit_on_the_size_of_files_is_a_full_disk_too(tmp_path: Path) -> None:
    path = [str(Path(__file__).parent), str(Path(store.__file__).parents[1])]
    script = LIMITED.format(path=path, write="write_atomically", out=str(tmp_path / "out"))
    assert python(script).stdout == "The disk is full: out was not written.\n"
    assert list(tmp_path.iterdir()) == []


# -- kills


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from headstart import store
    out = Path({out!r})

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def write(to):
        (to / "b.txt").write_text("new")
        if {when!r} == "write":
            die()

    rename = Path.rename

    def rename_or_die(self, target):
        if self.suffix == ".part" and {when!r} == "between":
            die()
        moved = rename(self, target)
        if self.suffix == ".part" and {when!r} == "after":
            die()
        return moved

    Path.rename = rename_or_die
    store.write_folder(out, write)
    print("was not killed")
"""


def killed(out: Path, when: str) -> None:
    script = KILLED.format(path=[str(Path(store.__file__).parents[1])], out=str(out), when=when)
    ended = python(script)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.mark.parametrize(("when", "content"), [("write", b"old"), ("between", b"old"), ("after", b"new")])
def test_after_a_kill_the_folder_is_the_old_or_the_new_one_once_recovered(
    when: str, content: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    store.write_folder(out, lambda to: (to / "b.txt").write_text("old") and None)
    killed(out, when)
    assert out.exists() == (when != "between")
    store.recover_folder(out)
    assert tree(out) == {"b.txt": content}


@pytest.mark.parametrize("when", ["write", "between", "after"])
def test_the_next_write_after_a_kill_replaces_whatever_the_kill_left(when: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    store.write_folder(out, fill("old"))
    killed(out, when)
    store.write_folder(out, fill("newest"))
    assert tree(out) == {"b.txt": b"newest", "deep/a.txt": b"newest"}
    assert not (tmp_path / ".out.old").exists()


def test_after_a_kill_between_the_renames_the_next_writer_finds_the_old_folder_in_its_place(tmp_path: Path) -> None:
    """Writing a model carries over what else lies in the old folder."""
    out = tmp_path / "out"
    store.write_folder(out, fill("old"))
    killed(out, "between")
    store.write_folder(out, lambda to: (to / "kept.txt").write_bytes((out / "b.txt").read_bytes()) and None)
    assert tree(out) == {"kept.txt": b"old"}


def test_a_write_that_fails_after_a_kill_between_the_renames_brings_the_old_folder_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    store.write_folder(out, fill("old"))
    killed(out, "between")
    with pytest.raises(ValueError, match="mine"):
        store.write_folder(out, fill_then("new", ValueError("mine")))
    assert tree(out) == {"b.txt": b"old", "deep/a.txt": b"old"}


def test_recovering_does_nothing_where_nothing_was_moved_aside(tmp_path: Path) -> None:
    store.recover_folder(tmp_path / "out")
    store.write_folder(tmp_path / "out", fill("new"))
    store.recover_folder(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


# -- fingerprints

parts = st.lists(st.one_of(st.text(), st.integers(), st.lists(st.text(max_size=3), max_size=3)), max_size=4)


@given(st.lists(st.binary(max_size=6), max_size=5), st.lists(st.binary(max_size=6), max_size=5))
def test_different_lists_of_bytes_have_different_fingerprints(a: list[bytes], b: list[bytes]) -> None:
    assert (store.fingerprint(*a) == store.fingerprint(*b)) == (a == b)


@given(parts, parts)
def test_different_lists_of_values_have_different_fingerprints(a: list[object], b: list[object]) -> None:
    assert (store.fingerprint(*a) == store.fingerprint(*b)) == (a == b)


@given(st.lists(st.text(max_size=4), min_size=1), st.data())
def test_moving_a_boundary_between_parts_changes_the_fingerprint(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(texts)
    cut = data.draw(st.integers(0, len(whole)))
    other = [whole[:cut], whole[cut:]]
    assert (store.fingerprint(*texts) == store.fingerprint(*other)) == (texts == other)


def test_a_fingerprint_is_a_fixed_function_of_its_parts() -> None:
    """The number is written out: caches of users live as long as it does."""
    raw = b"".join(len(p).to_bytes(8, "little") + p for p in (b"ab", b'"c"', b'{"a": [1, null], "b": 2}'))
    assert store.fingerprint(b"ab", "c", {"b": 2, "a": [1, None]}) == hashlib.sha256(raw).hexdigest()
    assert store.fingerprint() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_is_neither_bytes_nor_json_has_no_fingerprint() -> None:
    """By their print, which leaves out the middle, these two arrays would be one."""
    a, b = np.zeros(10_000), np.zeros(10_000)
    b[5_000] = 1
    assert str(a) == str(b)
    for array in (a, b):
        with pytest.raises(TypeError):
            store.fingerprint(array)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 5000)
    assert store.file_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


# -- values


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s, max_size=3)))
def test_json_comes_back_as_it_was_saved(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    store.save_json(path, value)
    assert store.load_json(path) == value


def test_json_is_for_people_too(tmp_path: Path) -> None:
    store.save_json(tmp_path / "a.json", {"name": "übung"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "name": "übung"\n}\n'.encode()


def test_a_number_that_json_does_not_have_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    store.save_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save_json(tmp_path / "a.json", float("nan"))
    assert store.load_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize("content", [None, b"", b'{"a": ', b"\xff\xfe"], ids=["missing", "empty", "torn", "binary"])
def test_what_is_not_json_is_a_store_error_that_names_the_file(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"Cannot read .*a\.json"):
        store.load_json(tmp_path / "a.json")


def test_arrays_come_back_with_their_types_shapes_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays = {"t": np.arange(6.0).reshape(2, 3).T, "n": np.array([3], np.uint8), "empty": np.empty((0, 4), np.float32)}
    store.save_arrays(path, arrays, {"made": "here"})
    with safe_open(path, "numpy") as handle:
        assert handle.metadata() == {"made": "here"}
        for name, array in arrays.items():
            np.testing.assert_array_equal(handle.get_tensor(name), array, strict=True)


def test_saving_the_same_arrays_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store.save_arrays(tmp_path / name, {"x": np.arange(4), "y": np.ones((2, 2))}, {"k": json.dumps({"v": 1})})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
