"""Keras layers as PyTorch modules: one module a layer, so that PyTorch's own tools see them.

Keras keeps its flag `training` to itself and its moving statistics among its parameters: `model.train()` does not
switch its layers, and an optimiser that is given `model.parameters()` trains the statistics. Here each layer is told
`training` at every call, what is no weight is a buffer, and BatchNorm is PyTorch's own kind, on Keras' numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from timm.models import register_notrace_module
from torch import Tensor, nn

from headstart.backbones.keras_files import keras
from headstart.backbones.keras_graph import channels_last, nodes

_SEEDS = 2**31


class Kept:
    """Something that copies share: of Keras' layers only what they do is used, their numbers are kept elsewhere."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return self


@register_notrace_module  # `cut.trace` takes it for one step
class KerasLayer(nn.Module):
    """A layer or an operation of Keras', called as it was in its model, with the weights that are kept here.

    Args:
        node: the call of it, in an unfolded model.
    """

    def __init__(self, node: Any) -> None:
        super().__init__()
        layer = node.operation
        self.kept, self.names = Kept(node), list[str]()
        for number, variable in enumerate(getattr(layer, "weights", ())):
            name = _identifier(variable.name)
            name = f"{name}_{number}" if name in self.names else name
            self.names.append(name)
            value = _outputs_first(variable.value.detach())
            if variable.trainable:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
        draws = getattr(layer, "non_trainable_variables", ())
        known = {id(variable) for variable in getattr(layer, "weights", ())}
        self.seeds = Kept([v for v in draws if id(v) not in known])
        self.told = "training" in signature(layer.call).parameters

    def forward(self, *given: Tensor) -> Any:
        node = self.kept.value
        args, kwargs = node.arguments.fill_in(dict(zip(map(id, node.arguments.keras_tensors), given, strict=True)))
        if self.told:
            kwargs = {**kwargs, "training": self.training and not _has_statistics(node.operation)}
        library = keras()
        with library.device(str(given[0].device)), library.StatelessScope(list(self._numbers())):
            return node.operation.call(*args, **kwargs)

    def _numbers(self) -> Iterator[tuple[Any, Tensor]]:
        """Pair Keras' variables with the tensors here. Seeds come from PyTorch's generator, as all chance does."""
        for variable, name in zip(getattr(self.kept.value.operation, "weights", ()), self.names, strict=True):
            yield variable, _outputs_last(getattr(self, name))
        for variable in self.seeds.value:
            shape = tuple(variable.shape)
            yield variable, torch.randint(_SEEDS, shape) if self.training else torch.zeros(shape, dtype=torch.int64)

    def values(self) -> list[Any]:
        """Return the weights as Keras' `set_weights` takes them."""
        return [_outputs_last(getattr(self, name)).detach().cpu().numpy() for name in self.names]


@register_notrace_module
class KerasBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm along any axis, with a scale, a shift, both or neither."""

    def __init__(self, node: Any) -> None:
        layer = node.operation
        features = int(layer.moving_mean.shape[0])
        super().__init__(features, layer.epsilon, 1 - layer.momentum, affine=False)
        self.axis = layer.axis
        for name, variable in (("weight", layer.gamma), ("bias", layer.beta)):
            if variable is not None:
                self.register_parameter(name, nn.Parameter(variable.value.detach()))
        self.register_buffer("running_mean", layer.moving_mean.value.detach())
        self.register_buffer("running_var", layer.moving_variance.value.detach())

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - PyTorch's name
        pass

    def forward(self, x_N: Tensor) -> Tensor:
        return super().forward(x_N.movedim(self.axis, 1)).movedim(1, self.axis)

    def values(self) -> list[Any]:
        """Return the weights as Keras' `set_weights` takes them."""
        kept = (self.weight, self.bias, self.running_mean, self.running_var)
        return [tensor.detach().cpu().numpy() for tensor in kept if tensor is not None]


@dataclass(frozen=True)
class Step:
    """A call of a layer: the module's name, the numbers of what it takes and gives, and of what is not needed after."""

    name: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]
    over: tuple[int, ...]


class KerasTrunk(nn.Module):
    """normalised pixels_N3HW, RGB -> features_ND: the layers of an unfolded Keras model, one after another.

    Args:
        graph: the model; its weights are shared, not copied.
        bgr: whether it takes blue, green and red.
    """

    def __init__(self, graph: Any, bgr: bool) -> None:
        super().__init__()
        self.bgr, self.last_axis = bgr, channels_last(graph)
        self.layers, self.steps, self.output = Kept(list[str]()), list[Step](), 0
        calls = list(nodes(graph))
        number = {id(graph.inputs[0]): 0}
        for node in calls:
            for tensor in node.outputs:
                number[id(tensor)] = len(number)
        takes = [tuple(number[id(t)] for t in node.arguments.keras_tensors) for node in calls]
        last = {value: i for i, each in enumerate(takes) for value in each}
        for i, node in enumerate(calls):
            gives = tuple(number[id(t)] for t in node.outputs)
            over = tuple(value for value in set(takes[i]) if last[value] == i)
            self.steps.append(Step(self._add(node), takes[i], gives, over))
        self.output = number[id(graph.outputs[0])]

    def _add(self, node: Any) -> str:
        """Take a layer in; one that is called again shares its weights with the first call."""
        layer = node.operation
        name = base = _identifier(layer.name)
        count = 1
        while hasattr(self, name):
            count += 1
            name = f"{base}_{count}"
        plain = type(layer).__name__ == "BatchNormalization" and not getattr(layer, "renorm", False)
        module = KerasBatchNorm(node) if plain else KerasLayer(node)
        again = self.layers.value.count(layer.name)
        if again:
            first = self.get_submodule(base)
            for key, parameter in first.named_parameters():
                module.register_parameter(key, parameter)
        self.layers.value.append(layer.name)
        self.add_module(name, module)
        return name

    def forward(self, x_N3HW: Tensor) -> Tensor:
        x_N = x_N3HW.flip(1) if self.bgr else x_N3HW
        values: dict[int, Any] = {0: x_N.permute(0, 2, 3, 1) if self.last_axis else x_N}
        for step in self.steps:
            given = self.get_submodule(step.name)(*(values[i] for i in step.takes))
            for i, value in enumerate(step.gives):
                values[value] = given if len(step.gives) == 1 else given[i]
            for value in step.over:
                del values[value]
        features_ND: Tensor = values[self.output]
        return features_ND

    def fill(self, graph: Any) -> None:
        """Put the weights into a model of the same layers."""
        for layer, step in zip(self.layers.value, self.steps, strict=True):
            module: Any = self.get_submodule(step.name)
            if values := module.values():
                graph.get_layer(layer).set_weights(values)


def _has_statistics(layer: Any) -> bool:
    """Whether a layer normalises by batches somewhere inside: such statistics are left as they are."""
    inner = layer._flatten_layers() if hasattr(layer, "_flatten_layers") else ()
    return any(type(each).__name__ == "BatchNormalization" for each in inner)


def _outputs_first(weight: Tensor) -> Tensor:
    """Lay a convolution's kernel out as PyTorch does: so only is it in order in memory when maps are channels last."""
    return weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight


def _outputs_last(weight: Tensor) -> Tensor:
    return weight.permute(2, 3, 1, 0) if weight.ndim == 4 else weight


def _identifier(name: str) -> str:
    """Return a name that a module or tensor can have."""
    word = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    return word if word[:1].isalpha() else f"layer_{word}"
