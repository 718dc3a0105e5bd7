"""Weights for torchvision's detectors: a file of a whole one, or of the classification network that it is built on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from headstart.backbones import from_torchvision
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_torchvision_detectors import Built, blank, is_name, published, wrapped
from headstart.backbones.from_weights import check_fit, read_state
from headstart.backbones.whole import made
from headstart.errors import BackboneError, UsageError

State = Mapping[str, torch.Tensor]


def named(name: str) -> bool:
    """Whether a name is of a detector of torchvision: ARCHITECTURE, ARCHITECTURE@FILE, ARCHITECTURE:CLASSIFIER@FILE."""
    return is_name(name.partition("@")[0].partition(":")[0])


def open_named(name: str) -> Backbone:
    """Open a detector of torchvision by such a name.

    Raises:
        BackboneError: the weights cannot be fetched, or are not those of this architecture.
        UsageError: there is no such file.
    """
    words, _, file = name.partition("@")
    architecture, _, classifier = words.partition(":")
    built = blank(architecture)
    if not file and not classifier:
        return with_weights(built, *published(architecture), name)
    path = Path(file).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no weights file {file or 'in ' + name}.", hint=f"Write {words}@PATH/TO/FILE.")
    if classifier:
        check_fit(classifier, path)
    state, source = read_state(path), f"local file {path.name}"
    return on_classifier(built, classifier, state, name) if classifier else with_weights(built, state, source, name)


def with_weights(built: Built, state: State, source: str, name: str) -> Backbone:
    """Open a detector with all its weights, of whatever number of classes they are.

    Raises:
        BackboneError: they are not those of this architecture.
    """
    built = replace(built, outputs=_outputs(built, state, name))
    network = made(built.network)
    lost, spare = network.load_state_dict(dict(state), strict=False) if _fits(network, state) else ([], [])
    lost = [key for key in lost if not key.endswith("num_batches_tracked")]
    if lost or spare or not _fits(network, state):
        raise _misfit(built, name, [*lost, *spare] or ["other shapes"])
    return wrapped(built, network, (), name, source)


def _fits(network: nn.Module, state: State) -> bool:
    return all(state[k].shape == t.shape for k, t in network.state_dict().items() if k in state)


def _misfit(built: Built, name: str, unlike: list[str]) -> BackboneError:
    return BackboneError(
        f"{name} does not hold the weights of a whole {built.architecture}.",
        found=f"{len(unlike)} tensors are missing or unknown: {', '.join(unlike[:3])}",
        hint=f"Of a classification network alone, say so: {built.architecture}:vgg16@FILE.",
    )


def _outputs(built: Built, state: State, name: str) -> int:
    """Return of how many classes weights are, the background among them, from the shape of a class layer."""
    one, two = (built.shapes(k).state_dict() for k in (2, 3))
    key = next(k for k, t in one.items() if t.shape != two[k].shape)
    if key not in state:
        raise _misfit(built, name, [key])
    each = len(two[key]) - len(one[key])
    return 2 + (len(state[key]) - len(one[key])) // each


def on_classifier(built: Built, classifier: str, state: State, name: str) -> Backbone:
    """Open a detector whose lower layers are those of a classification network; all others are new.

    Args:
        built: the detector.
        classifier: of the classification network, as torchvision calls it.
        state: its weights; its top may be missing.
        name: as the user wrote it.

    Raises:
        BackboneError: they are not the lower layers of this detector.
    """
    if not from_torchvision.is_name(classifier):
        raise BackboneError(f"torchvision has no classification network called {classifier!r}.", found=name)
    told = from_torchvision.preprocessing(classifier)
    built = replace(built, mean=told.mean, std=told.std)
    network = made(built.network)
    order = [key for key in from_torchvision.build(classifier, meta=True).state_dict() if key in state]
    taken = _in_order(network.get_submodule("backbone"), {key: state[key] for key in order})
    if len(taken) < len(order) / 2 or not taken:
        raise BackboneError(
            f"{built.architecture} is not built on {classifier}.",
            found=f"{len(taken)} of {len(order)} tensors are alike, from the first on",
            hint="Pairs that are: ssd300_vgg16:vgg16@FILE, retinanet_resnet50_fpn:resnet50@FILE.",
        )
    kept = {f"backbone.{key}" for key in taken}
    new = tuple(key for key in network.state_dict() if key not in kept and not key.endswith("num_batches_tracked"))
    source = f"local file, {len(taken)} tensors of {classifier}"
    return wrapped(built, network, new, name, source)


def _in_order(below: nn.Module, state: State) -> list[str]:
    """Put weights into a detector's lower layers, in order, as long as they are alike; return where they went.

    Detectors name the layers of their classification network anew, but keep their order.
    """
    left = [(key, t) for key, t in below.state_dict().items() if not key.endswith("num_batches_tracked")]
    taken: list[str] = []
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        ending = name.rpartition(".")[2]
        while left and not (left[0][0].rpartition(".")[2] == ending and left[0][1].shape == tensor.shape):
            if taken:
                return taken
            left.pop(0)
        if not left:
            return taken
        key, own = left.pop(0)
        own.copy_(tensor)
        taken.append(key)
    return taken
