"""headstart: transfer learning in one command.

    model = headstart.fit("photos/")
    model.predict(["new.jpg"])

Importing this module loads no other library; torch is loaded when something is computed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.api import check, evaluate, fit, load
    from headstart.errors import HeadstartError
    from headstart.predictor import Prediction, Predictor

__all__ = ["HeadstartError", "Prediction", "Predictor", "__version__", "check", "evaluate", "fit", "load"]

__version__ = "0.1.0.dev0"

_HOMES = {
    "HeadstartError": "headstart.errors",
    "Prediction": "headstart.predictor",
    "Predictor": "headstart.predictor",
    "check": "headstart.api",
    "evaluate": "headstart.api",
    "fit": "headstart.api",
    "load": "headstart.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    from headstart.process import wait_asleep

    wait_asleep()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
