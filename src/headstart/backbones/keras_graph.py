"""A Keras model as a graph: nested models unfolded, its classifier cut away, and what pixels it was trained on.

Everything here is a plain functional model of Keras' again, of the very layers of the one that was loaded, so that
Keras itself can save it, clone it and check it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headstart.backbones.keras_files import keras
from headstart.errors import BackboneError

# Random changes of pictures: training has its own, and at any other time these pass on what they are given.
_AUGMENTING = re.compile(r"Random|MixUp|CutMix|AugMix|AutoContrast|Solarization|Equalization")
_BEFORE = ("ZeroPadding2D", "Resizing", "CenterCrop", "Identity", "Cropping2D")
_WITHOUT_WEIGHTS = ("Activation", "Softmax", "Dropout", "Flatten", "Reshape", "ReLU", "Identity")


@dataclass(frozen=True)
class Colours:
    """What becomes of pixels in 0..1 before a network: (x - mean) / std, red, green and blue, perhaps turned round."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


_BYTE = 1 / 255
COLOURS = {
    "0..1": Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0..255": Colours((0.0, 0.0, 0.0), (_BYTE, _BYTE, _BYTE)),
    "-1..1": Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "torch": Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Colours((123.68 / 255, 116.779 / 255, 103.939 / 255), (_BYTE, _BYTE, _BYTE), bgr=True),
}
"""The ways of `preprocess_input` in keras.applications (`tf` there is -1..1 here), and the two plain ones."""

# Name of a network in keras.applications, layers by which it is known under another name, its pixels.
_FAMILIES = (
    (r"resnet\d+v2", {"post_bn", "conv1_conv"}, "-1..1"),
    (r"resnet(50|101|152)$", {"conv1_conv", "conv1_bn", "conv5_block3_out"}, "caffe"),
    (r"vgg1[69]", {"block1_conv2", "block5_conv3", "block5_pool"}, "caffe"),
    (r"densenet", {"conv1_conv", "conv5_block16_concat"}, "torch"),
    (r"mobilenet", {"Conv1", "block_16_project"}, "-1..1"),
    (r"mobilenet", {"conv1", "conv_dw_13"}, "-1..1"),
    (r"xception", {"block1_conv1", "block14_sepconv2"}, "-1..1"),
    (r"inception", {"mixed10"}, "-1..1"),
    (r"inception", {"conv_7b", "block8_10"}, "-1..1"),
    (r"nasnet", {"stem_conv1", "stem_bn1"}, "-1..1"),
    (r"efficientnetv2", {"stem_conv", "block1a_project_conv", "top_conv"}, "-1..1"),
)


def unfolded(model: Any) -> Any:
    """Return a functional model of the same layers with no model inside another, without augmentation.

    Raises:
        BackboneError: it is not made of layers alone, or takes or gives more than one thing.
    """
    library = keras()
    graph = _graph(model)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        found = f"{len(graph.inputs)} inputs, {len(graph.outputs)} outputs"
        raise BackboneError("Only Keras models from one picture to one result are supported.", found=found)
    given = graph.inputs[0]
    if len(given.shape) != 4 or 3 not in (given.shape[1], given.shape[3]):
        found = f"input shape {tuple(given.shape)}"
        raise BackboneError("This Keras model does not take pictures of three colours.", found=found)
    pixels = library.Input(batch_shape=(None, *given.shape[1:]), name="pixels")
    model.trainable = True  # what its author froze; statistics stay what they are
    with library.device("cpu"):
        return library.Model(pixels, _applied(graph, pixels, {"pixels": None}), name=model.name)


def _graph(model: Any) -> Any:
    graph = getattr(model, "_functional", None) or model  # what a Sequential is, once it is built
    if not hasattr(graph, "_nodes_by_depth"):
        what = "This Keras model is not made of layers alone (Functional or Sequential), so it cannot be cut."
        raise BackboneError(what, found=type(model).__name__)
    return graph


def nodes(graph: Any) -> Iterator[Any]:
    """Yield the calls of a functional model in an order in which they can be done, its input left out."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def _applied(graph: Any, pixels: Any, names: dict[str, Any]) -> Any:
    """Call a model's layers one after another on another input; return what comes out."""
    tree, values = keras().tree, {id(graph.inputs[0]): pixels}
    for node in nodes(graph):
        args, kwargs = node.arguments.fill_in(values)
        operation = node.operation
        if hasattr(operation, "_functional") or hasattr(operation, "_nodes_by_depth"):
            given = _applied(_graph(operation), tree.flatten(args)[0], names)
        elif _AUGMENTING.match(type(operation).__name__):
            given = args[0]
        else:
            _name_apart(operation, names)
            given = operation(*args, **kwargs)
        for old, new in zip(node.outputs, tree.flatten(given), strict=True):
            values[id(old)] = new
    return values[id(graph.outputs[0])]


def _name_apart(operation: Any, names: dict[str, Any]) -> None:
    """Give a layer another name where one of another model has it."""
    name, number = operation.name, 1
    while names.setdefault(operation.name, operation) is not operation:
        number += 1
        operation.name = f"{name}_{number}"


def network_names(model: Any) -> list[str]:
    """Return the names of a model and of the models inside it."""
    inner = [layer for layer in getattr(model, "layers", ()) if hasattr(layer, "layers")]
    return [str(model.name), *(name for layer in inner for name in network_names(layer))]


def below_classifier(graph: Any, head: str = "") -> tuple[Any, str]:
    """Cut an unfolded model where its features are: (model whose output is features_ND, the place in words).

    That is behind the last global pooling that everything goes through; where there is none, what goes into the last
    Dense layer; maps and tokens are averaged.

    Args:
        graph: the unfolded model.
        head: name of the layer that the features go into, where that is known.

    Raises:
        BackboneError: what is there is not vectors, maps or tokens.
    """
    library = keras()
    place = _into(graph, head) if head else _place(graph.outputs[0])
    name = place._keras_history.operation.name
    layers, shape = library.layers, tuple(place.shape)
    first = shape[1] if len(shape) == 4 and _channels_first(graph) else shape[-1]
    if len(shape) == 4 and shape.count(1) >= 2 and first != 1:
        place = layers.Flatten(name=free_name(graph, "features"))(place)
    elif len(shape) == 4:
        form = "channels_first" if _channels_first(graph) else "channels_last"
        place = layers.GlobalAveragePooling2D(data_format=form, name=free_name(graph, "features"))(place)
    elif len(shape) == 3:
        place = layers.GlobalAveragePooling1D(name=free_name(graph, "features"))(place)
    if len(place.shape) != 2 or place.shape[1] is None:
        raise BackboneError("What is below this Keras model's last layer is no feature vector.", found=str(shape))
    return library.Model(graph.inputs[0], place, name=graph.name), f"after {name}"


def _into(graph: Any, head: str) -> Any:
    for node in nodes(graph):
        if node.operation.name == head:
            return node.input_tensors[0]
    raise BackboneError("The Keras model is not the one of its config.json.", found=f"no layer called {head}")


def _place(output: Any) -> Any:
    chain = list(_chain(output))
    pools = [i for i, (layer, _, _) in enumerate(chain) if re.match(r"Global\w+Pooling", type(layer).__name__)]
    weighted = [i for i, (layer, _, _) in enumerate(chain) if getattr(layer, "weights", ())]
    scores = any(_is_softmax(layer) for layer, _, _ in chain[: (weighted or [0])[0]])
    if pools and scores and pools[0] < (weighted or [0])[0]:  # SqueezeNet: maps of classes, averaged last
        return chain[weighted[0]][1]
    if pools:
        return chain[pools[0]][2]
    for layer, given, _ in chain:
        if type(layer).__name__ == "Dense":
            return given
        if type(layer).__name__ not in _WITHOUT_WEIGHTS:
            break
    return output


def _chain(tensor: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield (layer, what it takes, what it gives) from the output back, as long as each takes one thing."""
    while True:
        history = tensor._keras_history
        given = history.operation._inbound_nodes[history.node_index].input_tensors
        if len(given) != 1:
            return
        yield history.operation, given[0], tensor
        tensor = given[0]


def _is_softmax(layer: Any) -> bool:
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return type(layer).__name__ == "Softmax" or activation == "softmax"


def _channels_first(graph: Any) -> bool:
    shape = graph.inputs[0].shape
    return bool(shape[1] == 3 and shape[3] != 3)


def channels_last(graph: Any) -> bool:
    """Whether it takes pixels_NHW3 and not pixels_N3HW."""
    return not _channels_first(graph)


def free_name(graph: Any, name: str) -> str:
    """Return a name that no layer has."""
    taken = {operation.name for operation in graph.operations}
    while name in taken:
        name += "_"
    return name


def colours_of(graph: Any, names: list[str]) -> tuple[str, str]:
    """Find out what pixels a model takes: (one of `COLOURS`, how that is known); empty where it is not.

    Args:
        graph: the unfolded model.
        names: of the networks that it was put together from.
    """
    first = next((node for node in nodes(graph) if type(node.operation).__name__ not in _BEFORE), None)
    if first is not None and (inside := _scales(first)):
        return inside, f"its layer {first.operation.name} scales them"
    layers = {operation.name for operation in graph.operations}
    for pattern, marks, colours in _FAMILIES:
        if any(re.match(pattern, name, re.IGNORECASE) for name in names) or marks <= layers:
            family = re.split(r"[^a-z]", pattern)[0]
            return colours, f"as keras.applications has it for {family}"
    return "", ""


def _scales(node: Any) -> str:
    """Say what pixels a first layer takes that scales them itself; empty where it does not."""
    layer, kind = node.operation, type(node.operation).__name__
    if kind == "Rescaling":
        scale = layer.scale if isinstance(layer.scale, int | float) else max(layer.scale)
        return "0..255" if abs(scale) < 0.1 else "0..1"
    if kind == "Normalization":
        mean = layer.mean if layer.mean is not None else layer.input_mean
        return "0..255" if float(abs(keras().ops.convert_to_numpy(mean)).max()) > 2 else "0..1"
    # What is no layer is arithmetic on the pixels: `preprocess_input` inside the model.
    return "" if isinstance(layer, keras().layers.Layer) else "0..255"
