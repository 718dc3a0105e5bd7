"""The cut: an image network taken apart, by torch.fx, into a frozen trunk and a trainable top.

Sources: torch.fx (Reed et al., MLSys 2022), traced as timm and torchvision do, so with the node names of
`torchvision.models.feature_extraction`; liveness analysis. Halves share their modules with the network:
training a top trains it. Dropout and BatchNorm modules obey `top.train()`; timm's DropPath stays off.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from headstart.errors import BackboneError

__all__ = ["Below", "Cut", "Halves", "activation_at", "below_missing", "cuts", "node_name", "split", "trace", "upto"]

_PLAIN = (int, float, str, torch.Size, torch.dtype, torch.device, type(None))
_PASSING: set[Any] = {nn.Dropout, nn.Identity, nn.Flatten, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d}
_PASSING |= {F.dropout, F.adaptive_avg_pool2d, torch.flatten}


@dataclass(frozen=True)
class Cut:
    """A place between two stages: after module `name`, which ends with node number `index` of the graph."""

    name: str
    index: int


@dataclass(frozen=True)
class Halves:
    """A network in two, in eval mode: `top(trunk(x_N3HW))` equals `network(x_N3HW)` bit for bit.

    The trunk gives activation_N..., one row an example. What crosses beside it (`constants`) is alike for
    all images of one size and kept in the top, tensors as buffers that `top.to(device)` takes along. Keys
    of the state dicts are the network's. Parameters that both read (`shared`) must be frozen in the top too.
    """

    trunk: fx.GraphModule
    top: fx.GraphModule
    constants: dict[str, Any]
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Below:
    """What is below layers without weights; `create_feature_extractor(whole, {name: "maps"})` gives it."""

    name: str
    network: fx.GraphModule


def trace(network: nn.Module) -> fx.GraphModule:
    """Return the network's graph, x_N3HW -> output, other arguments at their defaults; leave it in eval mode.

    Raises:
        BackboneError: it takes more than an image, or cannot be traced: its code branches on values.
    """
    import torchvision.ops
    from timm.models import _features_fx
    from torchvision.models.feature_extraction import NodePathTracer

    others = list(inspect.signature(network.forward).parameters.values())[1:]
    others = [p for p in others if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if needed := [p.name for p in others if p.default is p.empty]:
        raise BackboneError("The network takes more than an image.", found=", ".join(needed))

    class Tracer(NodePathTracer):  # type: ignore[misc]  # torchvision has no types
        """Takes `if size != expected: raise`, by which transformers' models check their input, as passed."""

        def to_bool(self, obj: fx.Proxy) -> bool:
            if obj.node.target is operator.ne:
                return False
            return bool(super().to_bool(obj))

    leaves = [m for m in vars(torchvision.ops).values() if inspect.isclass(m) and issubclass(m, nn.Module)]
    tracer = Tracer(
        leaf_modules=[*leaves, *_features_fx.get_notrace_modules()],
        autowrap_functions=tuple(_features_fx.get_notrace_functions()),
        autowrap_modules=(math, torchvision.ops),
    )
    network.eval()
    try:
        graph: fx.Graph = tracer.trace(network, concrete_args={p.name: p.default for p in others} or None)
    except Exception as error:  # a forward can fail on a proxy in any way
        what = "The network cannot be traced, so not cut: train all of it, or a head on its output."
        found = f"{type(network).__name__} raises {type(error).__name__}: {error}"
        raise BackboneError(what, found=found) from error
    spare = [n for n in graph.nodes if n.op == "placeholder" and n.target[0] != "*"][1:]
    for node in spare:  # fx leaves such an argument, and an assertion that it has its default
        spare.extend(node.users)
    for node in reversed(spare):
        graph.erase_node(node)
    units, number = set(_units(network)), {node: index for index, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        paths = list(accumulate(tracer.node_to_qualname.get(node, node.name).split("."), "{}.{}".format))
        within = [*paths[:-1], node.target] if node.op == "call_module" else paths[:-1]
        own = [] if node.op == "get_attr" else [number[node]]  # what is only read is where it is used
        places = own + [number[user] for user in node.users]
        node.meta |= {"paths": paths, "units": [path for path in within if path in units]}
        node.meta |= {"start": min(places, default=math.inf), "end": max(places, default=-1)}
    return _assemble(network, graph)


def cuts(graph_module: fx.GraphModule, example_N3HW: Tensor) -> tuple[Cut, ...]:
    """Return the places where exactly one tensor with a row an example crosses, from input to output.

    Places are the ends of blocks and stages, and the vector that goes into the last layer. Of places with no
    matrix or kernel between them only the last is given, and none above the last of those: with num_classes=0
    the pooled output is the network's output, not a cut. The network runs on noise of the example's size, one
    image and then two, to see what has a batch dimension; that is noted in the graph, where `split` finds it.

    Raises:
        BackboneError: the network does not run on images of this size.
    """
    nodes = list(graph_module.graph.nodes)
    reads = [_reads(graph_module, node).values() for node in nodes]
    heavy = [any(isinstance(t, nn.Parameter) and t.ndim > 1 for t in tensors) for tensors in reads]
    last = {unit: index for index, node in enumerate(nodes) for unit in node.meta["units"]}
    ends = {index: unit for unit, index in last.items()}  # the innermost comes last, and names the place
    pooled = max((index for index, weighs in enumerate(heavy) if weighs), default=1) - 1
    activations = _activations(graph_module, {*ends, pooled, len(nodes) - 2}, example_N3HW)
    if (vector := activations[pooled]) and sum(side > 1 for side in vector.meta["shape"][1:]) == 1:
        ends.setdefault(pooled, node_name(nodes, vector))
    places = [place for place in sorted(ends) if activations[place] is not None]
    pairs = zip(places, [*places[1:], len(nodes)], strict=False)
    return tuple(Cut(ends[place], place) for place, after in pairs if any(heavy[place + 1 : after + 1]))


def split(graph_module: fx.GraphModule, cut: Cut) -> Halves:
    """Return the two halves at a cut that `cuts` found in this graph.

    Nodes are copied into two graphs (`torch.fx.passes.split_module` would lift parameters out of them). What
    both halves read is read again; an activation that the top might change in place is copied first.

    Raises:
        BackboneError: the network cannot be cut there.
    """
    nodes = list(graph_module.graph.nodes)
    crossing, activation = _crossing(nodes, cut.index), activation_at(nodes, cut.index)
    if activation is None:
        found, hint = ", ".join(n.name for n in crossing[:4]), "Take one of cuts() of this very graph."
        raise BackboneError(f"The network cannot be cut after {cut.name!r}.", found=found, hint=hint)
    graph, constants = fx.Graph(), dict[str, Any]()
    rows = graph.placeholder("activation")
    own = graph.call_method("clone", (rows,)) if activation.meta["changed"] else rows
    copies: dict[fx.Node, Any] = {activation: own}
    for node in crossing:
        if node.meta["crosses"] == "count":
            copies[node] = graph.call_method("size", (rows, 0))
        elif node.meta["crosses"] == "constant":
            value = copies[node] = constants[node.name] = node.meta["value"]
            if isinstance(value, Tensor):
                graph_module.register_buffer(f"_crossing_{node.name}", value, persistent=False)
                copies[node] = graph.create_node("get_attr", f"_crossing_{node.name}")
    for node in [n for n in nodes if n.meta["end"] > cut.index and n not in crossing]:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    trunk, top = upto(graph_module, cut.index, activation), _assemble(graph_module, graph)
    shared = dict(trunk.named_parameters()).keys() & dict(top.named_parameters()).keys()
    return Halves(trunk, top, constants, tuple(sorted(shared)))


def below_missing(graph_module: fx.GraphModule, missing: Collection[str], example_N3HW: Tensor) -> Below:
    """Return the network below its layers without weights: x_N3HW -> maps_NCHW, maps_NHWC or tokens_NLC.

    It goes back over nodes that need none (flatten, dropout, adaptive pooling) to the last maps or tokens; if
    it has pooled by then, it gives features_NC. `missing` are state-dict keys; those not in the graph do not
    count. Layers without weights are not run: they may be on the meta device.

    Raises:
        BackboneError: layers with weights come after the first one without, or none come before it.
    """
    nodes = list(graph_module.graph.nodes)
    reads = [_reads(graph_module, node) for node in nodes]
    lost = {key for key in missing if not key.endswith(".num_batches_tracked")}
    first = next((i for i, tensors in enumerate(reads) if lost & tensors.keys()), None)
    if first is None:
        return Below(node_name(nodes, nodes[-1].all_input_nodes[0]), graph_module)
    above = {key: tensor for tensors in reads[first:] for key, tensor in tensors.items() if key not in lost}
    kept = [key for key, tensor in above.items() if isinstance(tensor, nn.Parameter)]
    start = max((i for i, tensors in enumerate(reads[:first]) if tensors), default=first)
    activations = _activations(graph_module, set(range(start, first)), example_N3HW)
    found = [(i, node) for i in reversed(range(start, first)) if (node := activations[i]) is not None]
    if kept or not found:
        what = "The weights that are missing are not the last layers of this network."
        gap = f"none for {', '.join(sorted(lost)[:4])}, but for {', '.join(kept[:4]) or 'nothing'} above them"
        raise BackboneError(what, found=gap, hint="Take a complete weights file, or its own architecture.")
    place, value = next(((i, node) for i, node in found if _is_map(graph_module, node)), found[0])
    return Below(node_name(nodes, value), upto(graph_module, place, value))


def _reads(graph_module: nn.Module, node: fx.Node) -> dict[str, Tensor]:
    """Return the parameters and buffers that a node reads, by state-dict key."""
    found = attrgetter(str(node.target))(graph_module) if node.op in ("get_attr", "call_module") else None
    if isinstance(found, nn.Module):
        return found.state_dict(prefix=f"{node.target}.", keep_vars=True)
    return {str(node.target): found} if isinstance(found, Tensor) else {}


def _crossing(nodes: list[fx.Node], place: int) -> list[fx.Node]:
    """Return what is computed (not just read) up to node number `place` and needed after it."""
    return [n for n in nodes if n.op != "get_attr" and n.meta["start"] <= place < n.meta["end"]]


def activation_at(nodes: list[fx.Node], place: int) -> fx.Node | None:
    """Return the tensor with a row an example that crosses, if it is one and nothing is in the way."""
    crossing = [n for n in _crossing(nodes, place) if n.meta.get("crosses") not in ("constant", "count")]
    return crossing[0] if len(crossing) == 1 and crossing[0].meta.get("crosses") == "rows" else None


def _activations(graph: fx.GraphModule, places: set[int], example_N3HW: Tensor) -> dict[int, fx.Node | None]:
    """Run one image, then two; note in the nodes that cross how they do; return what crosses each place."""
    nodes, size = list(graph.graph.nodes), example_N3HW.shape[1:]
    watched = list({node for place in places for node in _crossing(nodes, place)})
    watch, noise = upto(graph, max(places, default=0), watched), torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            ones, twos = (watch(torch.randn(n, *size, generator=noise).to(example_N3HW)) for n in (1, 2))
    except Exception as error:  # whatever a network does with images that it was not made for
        raise BackboneError(f"The network fails on images of {tuple(size)}.", found=str(error)) from error
    for node, one, two in zip(watched, ones, twos, strict=True):
        node.meta |= {"crosses": "other", "value": None}
        if isinstance(one, Tensor) and isinstance(two, Tensor):
            node.meta |= {"shape": tuple(two.shape), "changed": two._version > 0}  # changes in place count up
            if [one.shape[:1], two.shape[:1]] == [(1,), (2,)] and one.shape[1:] == two.shape[1:]:
                node.meta["crosses"] = "rows"
            elif torch.equal(one, two):
                node.meta |= {"crosses": "constant", "value": one}
        elif isinstance(one, _PLAIN) and (one == two or (one, two) == (1, 2)):
            node.meta |= {"crosses": "constant" if one == two else "count", "value": one}
    return {place: activation_at(nodes, place) for place in places}


def _is_map(graph_module: nn.Module, node: fx.Node) -> bool:
    """Whether a node gives maps or tokens, of more than one position, and not only passes or resizes them."""
    layer = attrgetter(str(node.target))(graph_module) if node.op == "call_module" else None
    shape = node.meta["shape"] if (type(layer) if layer else node.target) not in _PASSING else ()
    return len(shape) in (3, 4) and sum(side > 1 for side in shape[1:]) > 1


def _units(module: nn.Module, path: str = "", outer: bool = True) -> Iterator[str]:
    """Yield the paths of the modules at whose ends to cut: the outermost, and blocks in series of blocks."""
    wraps = outer and sum(any(True for _ in child.parameters()) for child in module.children()) == 1
    for name, child in module.named_children():
        yield (inner := f"{path}.{name}" if path else name)
        # What wraps one child with weights is as good as that child.
        outermost = wraps or (outer and isinstance(child, nn.Sequential | nn.ModuleList))
        if outermost or _is_series(child) or any(map(_is_series, child.children())):
            yield from _units(child, inner, wraps)


def _is_series(module: nn.Module) -> bool:
    """Whether a module's children are alike but for their number, and most have two matrices or kernels."""
    names = [name for name, _ in module.named_children()]
    weights = [sum(p.ndim > 1 for p in child.parameters()) for child in module.children()]
    alike = len({name.rstrip("0123456789") for name in names}) == 1 and names[0][-1].isdigit()
    return alike and 2 * sum(count > 1 for count in weights) > sum(count > 0 for count in weights)


def node_name(nodes: list[fx.Node], value: fx.Node) -> str:
    """Return the shortest path that ends at a node: what `create_feature_extractor` is to be asked for."""
    ends = {path: node for node in nodes for path in node.meta["paths"]}
    *outer, own = map(str, value.meta["paths"])
    return next((path for path in outer if ends[path] is value), own)


def upto(graph_module: fx.GraphModule, place: int, values: Any) -> fx.GraphModule:
    """Return the nodes up to number `place`, giving a node's value, or those of a list of nodes."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in [n for n in graph_module.graph.nodes if n.meta["start"] <= place]:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.node.map_arg(values, copies.__getitem__))
    return _assemble(graph_module, graph)


def _assemble(root: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """Return a graph with what it uses of `root`, under the same names, saving only what `root` does."""
    made = fx.GraphModule(root, graph, type(root).__name__)
    for key in dict(made.named_buffers()).keys() - root.state_dict().keys():
        owner, _, name = key.rpartition(".")
        made.get_submodule(owner)._non_persistent_buffers_set.add(name)
    return made.eval()
