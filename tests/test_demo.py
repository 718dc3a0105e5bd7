"""The demo: real pictures, honest about what they are, and nothing from a network."""

from __future__ import annotations

import builtins
import io
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import demo
from headstart.errors import UsageError
from headstart.progress import quiet


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "demo"
    demo.write_patches(root)
    return root


def pixels(file: Path) -> Any:
    return np.asarray(Image.open(file))


def test_every_scene_has_patches_of_one_size_in_train_and_test(patches: Path) -> None:
    for label in demo.PHOTOS:
        for part, least in (("train", 6), ("test", 2)):
            files = sorted((patches / part / label).iterdir())
            assert len(files) >= least
            assert {pixels(file).shape[:2] for file in files} == {(demo.SIDE, demo.SIDE)}


def test_no_patch_is_in_training_and_test(patches: Path) -> None:
    train, test = ({f.read_bytes() for f in (patches / part).rglob("*.png")} for part in ("train", "test"))
    assert len(train) > len(test) > 50
    assert not train & test


def test_the_patches_are_cut_from_the_photograph_left_for_training_and_right_for_testing(patches: Path) -> None:
    import skimage.data

    photo = skimage.data.grass()
    width = photo.shape[1]
    for part, region in {"train": photo[:, : round(0.6 * width)], "test": photo[:, round(0.65 * width) :]}.items():
        first = pixels(patches / part / "grass" / "000.png")
        assert np.array_equal(first, region[: demo.SIDE, : demo.SIDE])


def test_the_same_patches_are_cut_every_time_so_that_a_second_demo_finds_its_features(
    patches: Path, tmp_path: Path
) -> None:
    demo.write_patches(tmp_path / "again")
    for file in sorted(patches.rglob("*.png"))[::17]:
        assert (tmp_path / "again" / file.relative_to(patches)).read_bytes() == file.read_bytes()


def test_blank_patches_are_left_out() -> None:
    region = np.full((demo.SIDE, 4 * demo.SIDE), 200, np.uint8)
    region[:, -demo.SIDE :] = np.random.default_rng(0).integers(0, 256, (demo.SIDE, demo.SIDE))
    cut = [np.asarray(Image.open(io.BytesIO(data))) for data in demo._patches(region)]
    assert cut
    assert all(patch.std() > 4 for patch in cut)


def test_without_scikit_image_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name.startswith("skimage"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(UsageError, match=r'pip install "headstart\[demo\]"'):
        demo.write_patches(tmp_path)


def test_it_says_that_the_data_are_easy_and_where_they_come_from() -> None:
    for words in ("scikit-image", "real but easy", "not how it will do on your pictures", *demo.PHOTOS):
        assert words in demo.ABOUT.replace("\n", " ")


def test_the_whole_demo_runs_without_a_network_and_leaves_nothing_but_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: Any) -> None:
        raise OSError("no network here")

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(socket.socket, "connect", cut_off)
    said = demo.run(str(tmp_path / "model"), "", quiet).scores
    assert said["headline"]["value"] > 0.9
    assert said["judged"]["by"] == "test"
    assert said["guess"]["value"] < 0.3
    assert not list((tmp_path / "temporary").glob("headstart*"))
    told = (tmp_path / "model" / "README.md").read_text()
    assert f"`headstart demo --out {tmp_path / 'model'}`" in told
    assert "temporary" not in told
