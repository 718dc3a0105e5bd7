"""The head of a network that writes texts: its own last layers stay, so it is how the network is asked, no weights.

It is given the network's inputs, tokens_NL2, runs the whole of it, and gives what it writes as code points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone

if TYPE_CHECKING:
    from torch import nn

    from headstart.heads.writer import Writer


@dataclass(frozen=True)
class Asking:
    """How a network is asked for a text.

    Attributes:
        beams: ways that are followed at a time, of which the likeliest is taken; 1 always takes the likeliest word.
        penalty: log probabilities are divided by the length to this power, or short texts would always win.
        smoothing: of the labels in training (Szegedy et al. 2016, 1512.00567).
        batch: texts that are written at a time.
    """

    beams: int = 4
    penalty: float = 1.0
    smoothing: float = 0.1
    batch: int = 64


@dataclass(frozen=True)
class TextHead:
    """A head that runs its whole network.

    Attributes:
        network: an encoder and decoder of transformers, in eval mode.
        sentences: how texts become its inputs, and its outputs texts.
        asking: how it is asked.
    """

    network: nn.Module = field(repr=False)
    sentences: Any = field(repr=False)
    asking: Asking = Asking()

    temperature = 1.0

    @staticmethod
    def of(backbone: Backbone, asking: Asking | None = None) -> TextHead:
        """Return the head of a translator's trunk."""
        return TextHead(backbone.trunk.network, backbone.preprocess, asking or Asking())  # type: ignore[arg-type]

    def logits(self, tokens_NL2: NDArray[Any]) -> NDArray[np.float64]:
        """Return codes_NK of what the network writes for tokens; K is the longest text's length."""
        from headstart.codes import codes_of
        from headstart.heads.writer import written

        texts = written(self.network, self.sentences, tokens_NL2, self.asking)
        return codes_of(texts).astype(np.float64)

    def on(self, body: nn.Module, low: bool) -> Writer:
        """Return a network that is trained to write."""
        from headstart.heads.writer import Writer

        return Writer(body, self, low)

    def folded(self) -> tuple[Any, Any]:
        """Return (the network, this head), as a backbone saves them."""
        return self.network, self

    def with_temperature(self, temperature: float) -> TextHead:
        """Return this head: texts have none."""
        return self

    def with_beams(self, beams: int) -> TextHead:
        """Return this head following another number of ways."""
        return replace(self, asking=replace(self.asking, beams=beams))

    def arrays(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return it as arrays, and what must be written beside them."""
        return {"beams": np.array([self.asking.beams])}, {"kind": "texts", "asking": json.dumps(asdict(self.asking))}

    @staticmethod
    def read(about: Mapping[str, str], backbone: Backbone) -> TextHead:
        """Read it back."""
        return TextHead.of(backbone, Asking(**json.loads(about["asking"])))
