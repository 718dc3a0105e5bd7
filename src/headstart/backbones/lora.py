"""LoRA: a transformer tuned by low-rank matrices beside its linear layers, added into them at the end. peft's one door.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022. What is trained is a small share
of the parameters, what is shipped is the network itself: after `Adapted.merge` nothing tells that there were any.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Adapted", "adapt", "available", "has_attention"]

_ATTENTION = re.compile(r"(?:.*\.)?[^.]*att(?:n|ention)[^.]*(?=\.)", re.IGNORECASE)
_NUMBERED = re.compile(r".*\d(?=\.)")


def available() -> bool:
    """Say whether peft is installed."""
    return importlib.util.find_spec("peft") is not None


def has_attention(network: nn.Module) -> bool:
    """Say whether a network, or a top that `cut.split` gives, is a transformer.

    It is where a module's class has "Attention" in its name. A traced network has lost the classes: there it is
    where a linear layer lies in a module called attn or attention, or where attention is computed in one function.
    (Convolutional networks have modules called attn as well, but no linear layers in them.)
    """
    return any(_attentions(network))


@dataclass(frozen=True)
class Adapted:
    """A network with adapters in it, which alone can be trained.

    Attributes:
        top: the network that was given; its linear layers are wrapped, till `merge`.
        layers: paths of the linear layers that have an adapter.
        rank: of the adapters.
    """

    top: nn.Module = field(repr=False)
    layers: tuple[str, ...]
    rank: int

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the adapters' parameters by their names in `top`, down_RI and up_OR a layer; none once merged."""
        pairs = ((f"{path}.{name}", p) for path, layer in self._wrapped() for name, p in layer.named_parameters())
        return {name: p for name, p in pairs if ".lora_" in name}

    def merge(self) -> None:
        """Add the adapters into the layers' own weights, in place, and take the wrappers away.

        Classes of modules and keys of the state dict are what they were before `adapt`; a network that shares its
        layers with `top` computes what `top` did. Parameters stay frozen. Merging again changes nothing.
        """
        import torch

        for path, layer in self._wrapped():
            with torch.no_grad():
                layer.merge()
            self.top.set_submodule(path, layer.get_base_layer())

    def _wrapped(self) -> Iterator[tuple[str, Any]]:
        modules = ((path, self.top.get_submodule(path)) for path in self.layers)
        return ((path, module) for path, module in modules if hasattr(module, "get_base_layer"))


def adapt(top: nn.Module, rank: int, seed: int, frozen: Collection[str] = ()) -> Adapted:
    """Put adapters beside all linear layers of a network's transformer blocks, in place, and freeze the rest.

    What the network computes is not changed before the adapters are trained. They are twice as strong as their
    product (alpha = 2 rank), without dropout. Fused attention (`torch.nn.MultiheadAttention`) reads its weights
    without calling its layers: there the linear layers of the rest of the block are adapted.

    Args:
        top: mostly `cut.split(...).top`, which has its layers in common with the network that was cut.
        rank: columns of the adapters' matrices, at least 1.
        seed: what the adapters start from depends on it alone; global randomness is left as it was.
        frozen: names of parameters that must not change, such as `Halves.shared`.

    Raises:
        UsageError: peft is not installed, or the rank is less than 1.
        BackboneError: there is no linear layer to adapt, or there are adapters already.
    """
    import torch

    if rank < 1:
        raise UsageError("The rank of LoRA adapters is at least 1.", found=str(rank))
    peft = _peft()
    layers = tuple(_targets(top, frozen))
    if not layers:
        raise BackboneError("There is no linear layer of a transformer block to adapt.", found=type(top).__name__)
    paths = "|".join(map(re.escape, layers))  # as a list, they would also match where a longer path ends so
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none", target_modules=paths)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the accelerators' generators too, and leave them so.
        torch.default_generator.manual_seed(seed)
        peft.inject_adapter_in_model(config, top)  # draws on the CPU wherever the layers are
    del top.peft_config  # a note of peft's, by which it would take the network for adapted after merging
    return Adapted(top, layers, rank)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        hint = 'pip install "headstart[lora]"'
        raise UsageError("LoRA needs peft, which is not installed.", found=str(error), hint=hint) from error
    return peft


def _attentions(network: nn.Module) -> Iterator[str]:
    """Yield the paths of the modules that compute attention."""
    from torch import fx, nn

    for path, module in network.named_modules():
        if path and "Attention" in type(module).__name__:
            yield path
        elif isinstance(module, nn.Linear) and (found := _ATTENTION.match(path)):
            yield found.group()
    if isinstance(network, fx.GraphModule):
        from torch.nn.functional import scaled_dot_product_attention as fused

        nodes = (node for node in network.graph.nodes if node.target == fused)
        yield from (node.meta["paths"][-2] for node in nodes if len(node.meta.get("paths", ())) > 1)


def _block(path: str) -> str:
    """Return the block of an attention module: the innermost module around it that has a number, or itself."""
    found = _NUMBERED.match(path)
    return found.group() if found else path


def _targets(top: nn.Module, frozen: Collection[str]) -> Iterator[str]:
    """Yield the paths of the linear layers in blocks, less those that must not be wrapped.

    These are the layers within fused attention, those whose weight is to be left alone, and those whose weight
    is in another place too: wrapped here it would be adapted here, merged in both.
    """
    from torch import nn

    blocks = tuple({f"{_block(path)}." for path in _attentions(top)})
    fused = tuple(f"{path}." for path, module in top.named_modules() if isinstance(module, nn.MultiheadAttention))
    uses = Counter(id(p) for _, p in top.named_parameters(remove_duplicate=False))
    for path, module in top.named_modules():
        if hasattr(module, "get_base_layer"):
            raise BackboneError("This network has adapters already.", found=path, hint="Merge them first.")
        inside = isinstance(module, nn.Linear) and path.startswith(blocks) and not path.startswith(fused)
        if inside and uses[id(module.weight)] == 1 and f"{path}.weight" not in frozen:
            yield path
