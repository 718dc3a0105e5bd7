from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from data_samples import jpeg, kinds, names, put
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.data import near
from headstart.data.check import Checked, bad_share, check, inspected, near_duplicates
from headstart.data.examples import CellContent, Example, Examples, Finding, Part
from headstart.data.folder import read_folder
from headstart.data.near import near_threshold
from headstart.data.pictures import inspect_picture
from headstart.errors import DataError
from headstart.progress import Advance, quiet
from headstart.stages.split import units


def example(name: str, target: str, seed: int, part: Part = "") -> Example:
    return Example(name, CellContent(lambda: jpeg(seed)), target, part)


def several(*more: Example) -> Examples:
    """Two classes of two, and what a test adds."""
    base = [example(f"{c}{i}.jpg", c, 100 + i + 2 * (c == "dog")) for c in ("cat", "dog") for i in range(2)]
    if any(e.part for e in more):
        base = [Example(e.name, e.content, e.target, "train") for e in base]
    return Examples((*base, *more), "made")


def run(examples: Examples) -> Checked:
    return check(examples, inspect_picture, quiet)


def found(checked: Checked) -> list[tuple[str, str]]:
    return [(f.kind, f.name) for f in checked.examples.findings]


def test_good_examples_pass_with_the_digest_of_their_bytes() -> None:
    checked = run(several())
    assert names(checked.examples) == ["cat0.jpg", "cat1.jpg", "dog0.jpg", "dog1.jpg"]
    assert checked.digests == tuple(inspect_picture(e.name, e.content).digest for e in several().items)
    assert found(checked) == []


def test_bad_examples_are_left_out_and_named_in_their_order(tmp_path: Path) -> None:
    for i in range(20):
        put(tmp_path / f"c{i % 2}" / f"{i:02}.jpg", seed=i)
    put(tmp_path / "c0" / "05-empty.jpg", b"")
    put(tmp_path / "c1" / "05-torn.jpg", jpeg()[:-40])
    put(tmp_path / "c1" / "06-tiny.jpg", jpeg(height=5))
    checked = run(read_folder(tmp_path))
    assert found(checked) == [
        ("empty", "c0/05-empty.jpg"),
        ("truncated", "c1/05-torn.jpg"),
        ("tiny", "c1/06-tiny.jpg"),
    ]
    assert len(checked.examples) == len(checked.digests) == 21


def test_progress_is_told_of_every_example() -> None:
    told: list[object] = []

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        told.append((label, total))
        yield told.append

    check(several(), inspect_picture, track)
    assert told == [("check", 4), 1, 1, 1, 1]


def test_copies_in_one_part_stay_and_are_noted() -> None:
    checked = run(several(example("copy.jpg", "cat", 100)))
    assert found(checked) == [("duplicate", "copy.jpg")]
    finding = checked.examples.findings[0]
    assert (finding.severity, finding.bad) == ("note", False)
    assert "cat0.jpg" in finding.reason
    assert len(checked.examples) == 5


@pytest.mark.parametrize(("part", "later"), [("train", "valid"), ("train", "test"), ("valid", "test")])
def test_a_copy_that_is_also_in_a_later_part_is_left_out(part: Part, later: Part) -> None:
    examples = several(example("early.jpg", "cat", 7, part), example("late.jpg", "cat", 7, later))
    checked = run(examples)
    assert found(checked) == [("duplicate-across-parts", "early.jpg")]
    finding = checked.examples.findings[0]
    assert (finding.severity, finding.bad) == ("left out", False)
    assert f"late.jpg, which is in the {later} part" in finding.reason
    assert "late.jpg" in names(checked.examples)
    assert "early.jpg" not in names(checked.examples)


def test_a_copy_in_all_parts_stays_in_the_test_part_alone() -> None:
    copies = [example(f"{p}.jpg", "cat", 7, p) for p in ("train", "valid", "test")]
    checked = run(several(*copies))
    assert [n for n in names(checked.examples) if n.startswith(("train", "valid", "test"))] == ["test.jpg"]


def test_one_picture_with_two_labels_is_named_with_both() -> None:
    checked = run(several(example("also.jpg", "dog", 100)))
    assert found(checked) == [("conflicting-labels", "also.jpg")]
    reason = checked.examples.findings[0].reason
    assert "'cat'" in reason
    assert "'dog'" in reason


def test_a_picture_with_two_labels_across_parts_is_both_named_and_left_out() -> None:
    checked = run(several(example("early.jpg", "cat", 7, "train"), example("late.jpg", "dog", 7, "test")))
    assert found(checked) == [("conflicting-labels", "early.jpg"), ("duplicate-across-parts", "early.jpg")]


def test_a_class_with_one_example_is_noted() -> None:
    checked = run(several(example("emu.jpg", "emu", 7)))
    assert found(checked) == [("single-example-class", "emu.jpg")]
    assert "emu.jpg" in names(checked.examples)


def test_a_test_class_that_lost_its_training_examples_is_left_out() -> None:
    examples = several(example("e.jpg", "emu", 7, "train"), example("f.jpg", "emu", 7, "test"))
    checked = run(examples)
    assert found(checked) == [("duplicate-across-parts", "e.jpg"), ("unseen-class", "test/emu")]
    assert checked.examples.classes == ("cat", "dog")
    assert len(checked.digests) == 4


def test_a_single_class_is_an_error() -> None:
    examples = Examples((example("1.jpg", "cat", 1), example("2.jpg", "cat", 2)), "made")
    with pytest.raises(DataError, match="single class") as error:
        run(examples)
    assert "'cat'" in error.value.found
    assert error.value.exit_code == 2


def test_no_usable_example_is_an_error() -> None:
    empty = Examples((Example("1.jpg", CellContent(lambda: b""), "cat"),), "made")
    with pytest.raises(DataError, match="No example can be used") as error:
        run(empty)
    assert "1.jpg" in error.value.found
    with pytest.raises(DataError, match="No example can be used"):
        run(Examples((), "made"))


def broken(count: int) -> list[Example]:
    return [Example(f"bad{i}.jpg", CellContent(lambda: b"text"), "cat") for i in range(count)]


def test_more_than_a_fifth_of_bad_files_is_an_error_that_names_the_first() -> None:
    assert len(run(several(*broken(1))).examples) == 4  # exactly a fifth
    with pytest.raises(DataError) as error:
        run(several(*broken(2)))
    assert "2 of 6 files (33%)" in error.value.what
    assert "bad0.jpg: the content is no picture" in error.value.found
    assert error.value.hint
    assert error.value.exit_code == 2


def test_what_a_reader_could_not_find_counts_as_bad() -> None:
    missing = [Finding(f"m{i}.jpg", "missing", "left out", "no such file", bad=True) for i in range(2)]
    with pytest.raises(DataError, match="2 of 6 files"):
        run(Examples(several().items, "made", tuple(missing)))
    bad_share(Examples(several().items, "made", tuple(missing[:1])))


def test_inspection_alone_applies_no_rules() -> None:
    checked = inspected(Examples(tuple(broken(3)), "made"), inspect_picture, quiet)
    assert len(checked.examples) == 0
    assert kinds(checked.examples) == ["not-image"] * 3


def test_findings_are_the_same_in_every_run(tmp_path: Path) -> None:
    for i in range(60):
        data = jpeg()[: -40 if i % 11 == 0 else None] if i % 2 else None
        put(tmp_path / f"c{i % 3}" / f"{i:02}.jpg", data, seed=i)
    first, again = (run(read_folder(tmp_path)) for _ in range(2))
    assert first == again


# near copies


def features(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows that all lie somewhat in one direction, as the features of photos do."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((count, 64)) + 0.7).astype(np.float32)


def test_near_copies_are_found_and_others_are_not() -> None:
    x_ND = features(40)
    x_ND[30] = 3 * x_ND[4] + 0.05
    pairs, findings = near_duplicates(x_ND, [f"{i}.jpg" for i in range(40)], [""] * 40)
    assert pairs == [(4, 30)]
    assert [(f.kind, f.name, f.severity) for f in findings] == [("near-duplicate", "30.jpg", "note")]
    assert "4.jpg" in findings[0].reason


def test_near_copies_across_parts_are_named_as_such() -> None:
    x_ND = features(40)
    x_ND[30] = x_ND[4] * 1.01
    parts: list[Part] = ["train"] * 20 + ["test"] * 20
    _, findings = near_duplicates(x_ND, [str(i) for i in range(40)], parts)
    assert [f.kind for f in findings] == ["near-duplicate-across-parts"]


@given(st.integers(0, 60), st.integers(1, 9), st.floats(0.2, 0.9))
def test_blocks_join_what_the_whole_matrix_joins(count: int, block: int, threshold: float) -> None:
    x_ND = features(count)
    unit_ND = x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)
    similarity = unit_ND.astype(np.float64) @ unit_ND.T.astype(np.float64)
    if np.any(np.abs(similarity - threshold) < 1e-5):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "_BLOCK", block)
        pairs, _ = near_duplicates(x_ND, [str(i) for i in range(count)], [""] * count, threshold)
    every = [(i, j) for i in range(count) for j in range(i + 1, count) if similarity[i, j] >= threshold]
    assert set(pairs) <= set(every)
    assert units(count, pairs).tolist() == units(count, every).tolist()
    assert {j for _, j in pairs} == {j for _, j in every}
    nearest = {j: max(similarity[i, j] for i, k in every if k == j) for _, j in every}
    assert all(max(similarity[i, k] for i, k in pairs if k == j) >= nearest[j] - 1e-6 for j in nearest)


def test_copies_that_hang_together_by_one_example_alone_are_joined() -> None:
    angle = np.deg2rad(20)
    around = [(np.sin(angle) * np.cos(f), np.sin(angle) * np.sin(f), np.cos(angle)) for f in np.arange(6) * np.pi / 3]
    x_ND = np.asarray([*around[::2], (0, 0, 1)], np.float32)  # three apart from each other, the fourth near to each
    pairs, _ = near_duplicates(x_ND, list("abcd"), [""] * 4, float(np.cos(np.deg2rad(21))))
    assert pairs == [(0, 3), (1, 3), (2, 3)]


def test_memory_is_bounded_by_the_block_and_not_by_the_number_of_examples() -> None:
    x_ND = np.random.default_rng(0).standard_normal((6000, 16)).astype(np.float32)
    tracemalloc.start()
    near_duplicates(x_ND, [""] * 6000, [""] * 6000, 0.999)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # the whole matrix would take 144 MB


def test_the_threshold_follows_how_alike_everything_looks_to_the_network() -> None:
    alike_ND = features(50) + 3
    unit_ND = alike_ND / np.linalg.norm(alike_ND, axis=1, keepdims=True)
    assert near_threshold(unit_ND) > 0.98
    assert near_duplicates(alike_ND, [""] * 50, [""] * 50)[0] == []
    assert near_threshold(unit_ND[:3]) == pytest.approx(1 - 0.08 * 2 / 3)


def test_rows_of_zeros_and_few_rows_are_no_trouble() -> None:
    for count in (0, 1, 2):
        assert near_duplicates(np.zeros((count, 8), np.float32), ["x"] * count, [""] * count) == ([], [])
