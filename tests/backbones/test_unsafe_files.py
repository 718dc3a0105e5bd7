"""Files that would run or read what they name: none does, each is an error that says why."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

if find_spec("keras") is None:  # no importorskip: it would import it on the backend of its own choice
    pytest.skip("Keras is not installed", allow_module_level=True)

from headstart.backbones.images import open_image_backbone
from headstart.backbones.keras_files import keras
from headstart.errors import BackboneError


class Payload:
    """Something that, unpickled, leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def pickled(mark: Path, file: Path) -> str:
    file.write_bytes(pickle.dumps(Payload(mark)))
    return str(file)


def test_the_payload_of_these_tests_does_run_when_it_is_unpickled(mark: Path, tmp_path: Path) -> None:
    pickle.loads(Path(pickled(mark, tmp_path / "a.pkl")).read_bytes())
    assert mark.exists()


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
def test_a_pickle_that_calls_itself_a_keras_file_is_not_read(ending: str, mark: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"(?s)not a file of Keras'.*a pickle"):
        open_image_backbone(pickled(mark, tmp_path / f"model{ending}"))
    assert not mark.exists()


@pytest.mark.parametrize("ending", [".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt"])
def test_a_pickle_named_as_a_backbone_is_not_read(ending: str, mark: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"(?s)pickle, which runs code|pickle runs code"):
        open_image_backbone(pickled(mark, tmp_path / f"model{ending}"))
    assert not mark.exists()


@pytest.mark.parametrize("write", [pickled, lambda mark, file: (torch.save(Payload(mark), file), str(file))[1]])
def test_a_payload_in_a_file_of_weights_is_not_run(
    write: Callable[[Path, Path], str], mark: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=r"(?s)cannot be read as weights.*never pickled objects"):
        open_image_backbone(f"resnet18@{write(mark, tmp_path / 'weights.pt')}")
    assert not mark.exists()


def network(*layers: Any) -> Any:
    k = keras()
    given = k.Input((16, 16, 3))
    x = k.layers.Rescaling(1 / 255)(given)
    for layer in layers:
        x = layer(x)
    return k.Model(given, k.layers.Conv2D(2, 3)(x))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model")
def test_a_lambda_layer_is_refused(ending: str, mark: Path, tmp_path: Path) -> None:
    touches = eval(f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]")
    layer = keras().layers.Lambda(touches, name="twice", output_shape=(16, 16, 3))
    network(layer).save(tmp_path / f"model{ending}")
    mark.unlink(missing_ok=True)  # building it here ran it
    with pytest.raises(BackboneError, match=r"(?s)could run code.*Lambda layer, which is Python code \(layer twice\)"):
        open_image_backbone(str(tmp_path / f"model{ending}"))
    assert not mark.exists()


def rewritten(file: Path, change: Callable[[dict[str, Any]], None], model: Any) -> str:
    """Save a model and change its description."""
    model.save(file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in {**parts, "config.json": json.dumps(config)}.items():
            archive.writestr(name, data)
    return str(file)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"module": "os", "class_name": "function", "config": "system"}, "the function system of os"),
        ({"module": "keras.utils", "class_name": "function", "config": "get_file"}, "the function get_file"),
        ({"module": "mine", "class_name": "Thing", "config": {}}, "Thing of mine"),
        (
            {"module": None, "class_name": "Thing", "config": {}, "registered_name": "mine>Thing"},
            "mine>Thing of keras, which is not",
        ),
        ({"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}}, "a pickled PyTorch module"),
        ({"module": "keras.layers", "class_name": "TFSMLayer", "config": {}}, "loads another file"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_description_that_names_code_is_refused(part: dict[str, Any], why: str, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][2]["config"]["kernel_initializer"] = part

    with pytest.raises(BackboneError) as error:
        open_image_backbone(rewritten(tmp_path / "model.keras", change, network()))
    assert why in error.value.found


def test_a_network_with_functions_of_keras_own_is_no_danger(tmp_path: Path) -> None:
    k = keras()
    layers = [
        k.layers.Activation(k.activations.gelu),
        k.layers.Conv2D(4, 1, activation="hard_silu", kernel_regularizer="l2"),
    ]
    network(*layers).save(tmp_path / "model.keras")
    assert open_image_backbone(str(tmp_path / "model.keras")).dim == 2


@pytest.mark.filterwarnings("ignore:You are saving your model")
def test_weights_that_lie_in_another_file_are_not_read(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.ones(3)
    for how in ("link", "data"):
        network().save(tmp_path / "model.h5")
        with h5py.File(tmp_path / "model.h5", "r+") as file:
            if how == "link":
                file["model_weights"]["stolen"] = h5py.ExternalLink("../secret.h5", "/numbers")
            else:
                secret = [(str(tmp_path / "secret.h5"), 0, 24)]
                file["model_weights"].create_dataset("stolen", (3,), np.float64, external=secret)
        with pytest.raises(BackboneError, match=r"(?s)points outside itself.*stolen"):
            open_image_backbone(str(tmp_path / "model.h5"))


def test_an_archive_with_a_way_out_is_not_unpacked(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "a") as archive:
        archive.writestr("../outside.txt", "x")
    with pytest.raises(BackboneError, match=r"(?s)points outside itself.*outside\.txt"):
        open_image_backbone(str(tmp_path / "model.keras"))


def test_an_onnx_file_whose_data_lie_elsewhere_is_not_read(tmp_path: Path) -> None:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + struct.pack("B", len(data)) + data

    entry = field(13, field(1, b"location") + field(2, b"../../etc/passwd"))  # TensorProto.external_data
    tensor = b"\x08\x03\x10\x01" + field(8, b"kernel") + entry + b"\x70\x01"  # EXTERNAL
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(7, field(5, tensor)))
    with pytest.raises(BackboneError, match=r"(?s)model\.onnx.*any other file that it names.*nothing of it was read"):
        open_image_backbone(str(tmp_path / "model.onnx"))
