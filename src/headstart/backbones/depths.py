"""A depth: a place of a network that a rung trains from, whatever kind of network it is and however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headstart.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn

SHARES = (0.08, 0.3)
"""Rungs start at the highest cuts with at least these shares of the multiply-adds above them, then at the input.

The last stage of a ResNet has 0.23 of its work, of an EfficientNet-lite0 0.13; a ViT's last two of twelve blocks 0.17.
"""
EVERYTHING = "everything"


class Halves(Protocol):
    """A network in two: `top(trunk(x_N...))` is what the network gives. `shared`: parameters that both read."""

    @property
    def trunk(self) -> nn.Module: ...
    @property
    def top(self) -> nn.Module: ...
    @property
    def shared(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Depth:
    """A place to train from.

    Attributes:
        name: as plans and reports have it; `EVERYTHING` for the input.
        share: of the network's multiply-adds for one example, what lies above.
        cut: takes the network apart there; None for the input.
        kept: names of parameters that stay as they are, where the network is not taken apart.
    """

    name: str
    share: float
    cut: Callable[[], Halves] | None = field(default=None, repr=False)
    kept: tuple[str, ...] = field(default=(), repr=False)

    @property
    def at_input(self) -> bool:
        """Whether there is nothing below."""
        return self.cut is None

    def halves(self) -> Halves:
        """Return the trunk below and the top above; they share the network's modules.

        Raises:
            BackboneError: there is nothing below the input.
        """
        if self.cut is None:
            raise BackboneError("There is no trunk below the input.")
        return self.cut()
