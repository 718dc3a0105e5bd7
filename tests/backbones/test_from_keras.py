"""Keras: features are what goes into the classifier, pixels what `preprocess_input` makes, chance is PyTorch's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

if find_spec("keras") is None:  # no importorskip: it would import it on the backend of its own choice
    pytest.skip("Keras is not installed", allow_module_level=True)

from headstart.backbones import from_keras
from headstart.backbones.backbone import Backbone, from_pixels, weights_digest
from headstart.backbones.depth import image_depths
from headstart.backbones.engine import choose
from headstart.backbones.images import open_image_backbone
from headstart.backbones.keras_files import keras
from headstart.backbones.scratch import random_trunk
from headstart.errors import BackboneError, UsageError
from headstart.heads.linear import LinearHead
from headstart.heads.top import Top, keep_statistics
from headstart.stages.tune import Recipe, Training

SIDE = 32


def tiny(*first: Any, side: int = SIDE, top: bool = True) -> Any:
    """Return a small network of convolutions with a residual block, statistics of its own, and a classifier."""
    k = keras()
    layers = k.layers
    given = k.Input((side, side, 3))
    x = given
    for layer in first:
        x = layer(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    y = layers.BatchNormalization(scale=False, name="deep_bn")(y)
    x = layers.Add(name="sum")([x, layers.Conv2D(8, 1, name="project")(y)])
    x = layers.Conv2D(12, 3, strides=2, activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    model = k.Model(given, layers.Dense(4, activation="softmax", name="classes")(x) if top else x)
    return restless(model)


def restless(model: Any) -> Any:
    """Give kernels a size that signals live through, and statistics values that show where they are lost."""
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        kind = type(layer).__name__
        for variable in layer.weights if kind == "BatchNormalization" or "Conv" in kind else ():
            shape = tuple(variable.shape)
            least, most = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
            seen = np.prod(shape[:2]) if kind == "DepthwiseConv2D" else np.prod(shape[:-1])
            kernel = len(shape) == 4
            drawn = rng.normal(0, (2 / seen) ** 0.5, shape) if kernel else rng.uniform(least, most, shape)
            variable.assign(drawn.astype(np.float32))
    return model


def scaled() -> Any:
    return tiny(keras().layers.Rescaling(1 / 127.5, offset=-1))


def until(model: Any, layer: str, pixels_N3HW: np.ndarray) -> np.ndarray:
    """Return what a layer of a Keras model gives for pixels_N3HW in 0..255, as Keras runs it."""
    k = keras()
    part = k.Model(model.inputs, model.get_layer(layer).output)
    x_NHW3 = pixels_N3HW.transpose(0, 2, 3, 1).astype(np.float32)
    return k.ops.convert_to_numpy(part([x_NHW3], training=False))


def opened(model: Any, file: Path) -> Backbone:
    model.save(file)
    return open_image_backbone(str(file))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    scaled().save(folder / "model.keras")
    return folder


@pytest.fixture
def mine(saved: Path) -> Backbone:
    return open_image_backbone(str(saved))


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model")
def test_features_are_what_keras_pools(ending: str, tmp_path: Path, noise: Any, features: Any) -> None:
    model = scaled()
    mine = opened(model, tmp_path / f"model{ending}")
    pixels_N3HW = noise(mine.preprocess, 3)
    np.testing.assert_allclose(features(mine, pixels_N3HW), until(model, "pool", pixels_N3HW), atol=1e-4)
    assert (mine.library, mine.cut, mine.dim) == ("keras", "after pool", 12)
    assert "its layer rescaling" in mine.source


@pytest.mark.parametrize(
    ("name", "options", "colours"),
    [
        ("VGG16", {}, "caffe"),
        ("MobileNetV2", {"alpha": 0.35}, "-1..1"),
        ("MobileNet", {"alpha": 0.25}, "-1..1"),
    ],
)
def test_a_network_of_keras_applications_gives_its_own_features_of_its_own_preprocessing(
    name: str, options: dict[str, Any], colours: str, tmp_path: Path, noise: Any, features: Any
) -> None:
    k = keras()
    model = restless(getattr(k.applications, name)(weights=None, include_top=False, input_shape=(64, 64, 3), **options))
    mine = opened(model, tmp_path / "model.keras")
    pixels_N3HW = noise(mine.preprocess, 2)
    module = {"VGG16": "vgg16", "MobileNetV2": "mobilenet_v2", "MobileNet": "mobilenet"}[name]
    prepared = getattr(k.applications, module).preprocess_input(pixels_N3HW.transpose(0, 2, 3, 1).astype(np.float32))
    expected = k.ops.convert_to_numpy(model(prepared, training=False)).mean((1, 2))
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 0
    assert f"pixels {colours}" in mine.source


def test_without_global_pooling_the_features_are_what_goes_into_the_last_dense_layer(tmp_path: Path) -> None:
    k = keras()
    given = k.Input((16, 16, 3))
    x = k.layers.Flatten()(k.layers.MaxPooling2D(4)(k.layers.Rescaling(1 / 255)(given)))
    x = k.layers.Dense(7, activation="relu", name="hidden")(x)
    mine = opened(k.Model(given, k.layers.Dense(3)(k.layers.Dropout(0.2)(x))), tmp_path / "model.keras")
    assert (mine.dim, mine.cut) == (7, "after dropout")


def test_maps_of_classes_that_are_averaged_last_are_left_out(tmp_path: Path) -> None:
    k = keras()
    given = k.Input((16, 16, 3))
    x = k.layers.Conv2D(6, 3, activation="relu", name="body")(k.layers.Rescaling(1 / 255)(given))
    x = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(3, 1, name="classes")(x))
    mine = opened(k.Model(given, k.layers.Softmax()(x)), tmp_path / "model.keras")
    assert (mine.dim, mine.cut) == (6, "after body")


def test_a_network_inside_another_is_unfolded_and_augmentation_left_out(
    tmp_path: Path, noise: Any, features: Any
) -> None:
    k = keras()
    inner = tiny(side=SIDE, top=False)
    given = k.Input((SIDE, SIDE, 3))
    x = k.layers.RandomFlip("horizontal")(given)
    x = k.layers.Rescaling(1 / 127.5, offset=-1)(x)
    whole = k.Model(given, k.layers.Dense(2, name="classes")(inner(x, training=False)))
    mine = opened(whole, tmp_path / "model.keras")
    pixels_N3HW = noise(mine.preprocess, 2)
    expected = until(k.Model(inner.inputs, inner.outputs), "drop", pixels_N3HW / 127.5 - 1)
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, atol=1e-4)
    assert not any("flip" in name for name, _ in mine.trunk.named_modules())


def test_arithmetic_on_the_pixels_inside_the_network_is_seen_and_done(
    tmp_path: Path, noise: Any, features: Any
) -> None:
    k = keras()
    body = tiny(side=SIDE)
    given = k.Input((SIDE, SIDE, 3))
    model = k.Model(given, body(k.applications.mobilenet_v2.preprocess_input(given)))
    mine = opened(model, tmp_path / "model.keras")
    pixels_N3HW = noise(mine.preprocess, 2)
    np.testing.assert_allclose(features(mine, pixels_N3HW), until(body, "pool", pixels_N3HW / 127.5 - 1), atol=1e-4)
    assert "pixels 0..255" in mine.source


def test_channels_first_needs_no_turning(tmp_path: Path, noise: Any, normalised: Any, features: Any) -> None:
    k = keras()
    given = k.Input((3, 16, 16))
    x = k.layers.Conv2D(5, 3, data_format="channels_first")(k.layers.Rescaling(1 / 255)(given))
    x = k.layers.BatchNormalization(axis=1)(x)
    model = restless(k.Model(given, x))
    mine = opened(model, tmp_path / "model.keras")
    pixels_N3HW = noise(mine.preprocess, 2)
    expected = k.ops.convert_to_numpy(model(pixels_N3HW.astype(np.float32), training=False)).mean((2, 3))
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, atol=1e-4)


def test_pixels_that_nobody_knows_are_refused_until_a_file_beside_says_them(tmp_path: Path) -> None:
    tiny().save(tmp_path / "model.keras")
    with pytest.raises(BackboneError, match=r"(?s)Nothing says which pixels.*config\.json"):
        open_image_backbone(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"pixels": "0..1"}))
    assert open_image_backbone(str(tmp_path)).preprocess.std == (1.0, 1.0, 1.0)
    (tmp_path / "config.json").write_text(json.dumps({"pixels": "upside down"}))
    with pytest.raises(BackboneError, match="upside down"):
        open_image_backbone(str(tmp_path / "model.keras"))


def test_moving_statistics_are_no_parameters_and_stay_out_of_the_optimiser(mine: Backbone) -> None:
    assert not any("running" in name for name, _ in mine.trunk.named_parameters())
    head = LinearHead(np.zeros(mine.dim), np.ones(mine.dim), np.ones((mine.dim, 2)), np.zeros(2))
    top = Top(mine.trunk.requires_grad_(True), head)
    keep_statistics(top)
    training = Training(top, Recipe(steps=2, rate=0.1))
    given = sum(p.numel() for group in training.optimizer.param_groups for p in group["params"])
    assert given == mine.parameters + sum(p.numel() for p in top.linear.parameters())
    before = {n: b.clone() for n, b in mine.trunk.named_buffers()}
    kernel = mine.trunk.get_submodule("stem").kernel.clone()
    training.learn(torch.rand(8, 3, SIDE, SIDE) * 255, torch.arange(8) % 2)
    assert all(torch.equal(before[n], b) for n, b in mine.trunk.named_buffers())
    assert not torch.equal(kernel, mine.trunk.get_submodule("stem").kernel)


def test_statistics_move_where_all_of_the_network_is_trained(mine: Backbone) -> None:
    fresh = random_trunk(mine, 0)
    fresh.train()
    fresh(torch.rand(8, 3, SIDE, SIDE) * 255)
    assert fresh.get_submodule("stem_bn").running_mean.abs().max() > 0


def test_dropout_follows_the_mode_of_the_module_and_the_generator_of_pytorch() -> None:
    k = keras()
    given = k.Input((8, 8, 3))
    x = k.layers.Dropout(0.5, noise_shape=(None, 1, 1, 3))(k.layers.Rescaling(1 / 255)(given))
    trunk = from_keras._wrapped(k.Model(given, k.layers.Conv2D(2, 3)(x)), "x", "x", {}).trunk
    x_N3HW = torch.rand(4, 3, 8, 8) * 255
    still = trunk(x_N3HW)
    assert torch.equal(still, trunk(x_N3HW))
    trunk.train()
    torch.manual_seed(1)
    once, other = trunk(x_N3HW), trunk(x_N3HW)
    torch.manual_seed(1)
    assert torch.equal(once, trunk(x_N3HW))
    assert not torch.equal(once, other)


def test_layers_that_their_author_froze_are_trained_like_others(tmp_path: Path) -> None:
    model = scaled()
    for layer in model.layers[:6]:
        layer.trainable = False
    frozen = opened(model, tmp_path / "frozen.keras")
    model.trainable = True
    free = opened(model, tmp_path / "free.keras")
    assert (frozen.parameters, frozen.weights) == (free.parameters, free.weights)


def test_it_is_cut_between_its_layers_and_the_halves_give_the_same(mine: Backbone) -> None:
    *cuts, whole = image_depths(mine)
    assert whole.at_input
    assert cuts
    x_N3HW = torch.rand(2, 3, SIDE, SIDE) * 255
    for depth in cuts:
        halves = depth.halves()
        with torch.inference_mode():
            assert torch.equal(halves.top(halves.trunk(x_N3HW)), mine.trunk(x_N3HW))


def test_openvino_gives_the_same_features(mine: Backbone, noise: Any) -> None:
    pixels_N3HW = noise(mine.preprocess, 3)
    chosen = choose(from_pixels(mine.trunk, mine.preprocess), list(pixels_N3HW), "fp32", 1)
    assert chosen.engine.name.startswith("openvino")
    assert chosen.cosine > 0.99999
    assert not chosen.note


def test_a_copy_is_trained_and_saved_without_touching_the_first(mine: Backbone, tmp_path: Path) -> None:
    copy = deepcopy(mine)
    with torch.no_grad():
        for parameter in copy.trunk.parameters():
            parameter.add_(1.0)
    assert weights_digest(mine.trunk) == mine.weights
    weight_DK, bias_K = np.ones((mine.dim, 2)), np.zeros(2)
    copy.save(tmp_path, ("a", "b"), weight_DK, bias_K)
    assert open_image_backbone(str(tmp_path)).weights == weights_digest(copy.trunk) != mine.weights


def test_random_weights_depend_on_the_seed_alone_and_leave_chance_as_it_was(mine: Backbone) -> None:
    random.seed(3)
    state = random.getstate(), torch.random.get_rng_state()
    one, same, other = (weights_digest(random_trunk(mine, seed)) for seed in (0, 0, 1))
    assert one == same != other
    assert random.getstate() == state[0]
    assert torch.equal(torch.random.get_rng_state(), state[1])


@pytest.mark.parametrize("make", [scaled, lambda: vgg()], ids=["tiny", "bgr"])
def test_the_saved_folder_loaded_by_keras_alone_gives_the_same_and_opens_again(
    make: Callable[[], Any], tmp_path: Path, noise: Any, normalised: Any, features: Any, elsewhere: Any
) -> None:
    mine = opened(make(), tmp_path / "model.keras")
    rng = np.random.default_rng(0)
    weight_DK, bias_K = rng.standard_normal((mine.dim, 3)), rng.standard_normal(3)
    out = tmp_path / "out"
    out.mkdir()
    saved = mine.save(out, ("a", "b", "c"), weight_DK, bias_K)
    pixels_N3HW = noise(mine.preprocess, 2)
    expected = features(mine, pixels_N3HW) @ weight_DK + bias_K
    x_N3HW = normalised(pixels_N3HW, mine.preprocess)
    with torch.inference_mode():
        np.testing.assert_allclose(saved.model(torch.from_numpy(x_N3HW)).numpy(), expected, rtol=1e-4, atol=1e-3)
    (given,) = elsewhere({out: (saved.code, x_N3HW)})
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-3)
    again = open_image_backbone(str(out))
    assert (again.weights, again.preprocess, again.cut) == (mine.weights, mine.preprocess, mine.cut)
    assert again.architecture == mine.architecture


def test_it_is_written_as_one_file_of_onnx_that_openvino_reads(mine: Backbone, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from headstart.backbones.from_openvino import openvino
    from headstart.backbones.to_onnx import write_onnx

    saved = mine.save(tmp_path, ("a", "b"), np.ones((mine.dim, 2)), np.arange(2.0))
    write_onnx(saved.model, torch.zeros(2, 3, *mine.preprocess.size), ("logits",), tmp_path / "model.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.keras", "model.onnx"]
    x_N3HW = torch.rand(3, 3, SIDE, SIDE) * 255
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino().Core().compile_model(tmp_path / "model.onnx", "CPU", settings)
    with torch.inference_mode():
        np.testing.assert_allclose(compiled({0: x_N3HW.numpy()})[0], saved.model(x_N3HW).numpy(), rtol=1e-4, atol=1e-3)


def vgg() -> Any:
    """Return two convolutions that go by the names of VGG16's."""
    k = keras()
    given = k.Input((16, 16, 3))
    x = given
    for name in ("block1_conv2", "block5_conv3"):
        x = k.layers.Conv2D(4, 3, name=name)(x)
    return k.Model(given, k.layers.MaxPooling2D(name="block5_pool")(x))


@pytest.mark.filterwarnings("ignore:You are saving your model")
def test_a_file_with_the_arguments_of_keras_2_opens(tmp_path: Path) -> None:
    import h5py

    scaled().save(tmp_path / "model.h5")
    expected = open_image_backbone(str(tmp_path / "model.h5")).weights
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            inner = layer["config"]
            inner |= {"groups": 1} if layer["class_name"] == "DepthwiseConv2D" else {}
            inner |= {"axis": [3]} if layer["class_name"] == "BatchNormalization" else {}
            inner |= {"activation": "relu6"} if layer["config"]["name"] == "last" else {}
        file.attrs["model_config"] = json.dumps(config)
    assert open_image_backbone(str(tmp_path / "model.h5")).weights == expected


@pytest.mark.filterwarnings("ignore:You are saving your model")
def test_weights_alone_are_opened_with_the_name_of_their_architecture(tmp_path: Path) -> None:
    model = keras().applications.MobileNet(weights=None, include_top=False)
    model.save_weights(tmp_path / "own.weights.h5")
    with pytest.raises(BackboneError, match="holds weights alone"):
        open_image_backbone(str(tmp_path / "own.weights.h5"))
    mine = open_image_backbone(f"keras:mobilenet@{tmp_path / 'own.weights.h5'}")
    assert (mine.dim, mine.architecture) == (1024, "MobileNet")
    with pytest.raises(BackboneError, match="does not hold the weights of VGG16"):
        open_image_backbone(f"keras:VGG16@{tmp_path / 'own.weights.h5'}")


def test_a_name_without_its_weights_at_hand_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: Any) -> None:
        raise Exception("URL fetch failure on https://storage.example")

    unreachable.__name__ = "VGG16"
    monkeypatch.setattr(keras().applications, "VGG16", unreachable)
    with pytest.raises(BackboneError, match=r"(?s)cannot be had.*URL fetch.*keras:VGG16@"):
        open_image_backbone("keras:VGG16")
    with pytest.raises(UsageError, match=r"(?s)no architecture called 'MobilNetV2'.*MobileNetV2"):
        open_image_backbone("keras:MobilNetV2")


def test_what_is_no_network_of_pictures_is_refused(tmp_path: Path) -> None:
    k = keras()
    words = k.Input((10,))
    with pytest.raises(BackboneError, match="pictures of three colours"):
        opened(k.Model(words, k.layers.Dense(2)(words)), tmp_path / "words.keras")
    one, other = k.Input((8, 8, 3)), k.Input((8, 8, 3))
    with pytest.raises(BackboneError, match=r"(?s)one picture to one result.*2 inputs"):
        opened(k.Model([one, other], k.layers.Add()([one, other])), tmp_path / "two.keras")
    with pytest.raises(BackboneError, match="more than one Keras model"):
        open_image_backbone(str(tmp_path))


def test_another_backend_than_pytorch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras().backend, "backend", lambda: "tensorflow")
    with pytest.raises(BackboneError, match=r"(?s)another backend.*KERAS_BACKEND=torch"):
        keras()


def test_the_dogs_that_tensorflow_saved_are_opened(shared: Path, noise: Any, features: Any) -> None:
    file = shared / "backbones" / "mobilenetv2_dogs.keras" / "model.h5"
    mine = open_image_backbone(str(file.parent))
    assert (mine.architecture, mine.dim, mine.parameters) == ("mobilenetv2_1.00_160", 1280, 2_223_872)
    assert mine.preprocess.mean == mine.preprocess.std == (0.5, 0.5, 0.5)
    model = keras().saving.load_model(file, compile=False)
    pixels_N3HW = noise(mine.preprocess, 2)
    expected = until(model, "global_average_pooling2d", pixels_N3HW / 127.5 - 1)
    np.testing.assert_allclose(features(mine, pixels_N3HW), expected, atol=1e-4)
