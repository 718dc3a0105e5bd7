"""Every error that headstart raises on purpose: one tree, each saying what is wrong, what was found, what to do."""

from __future__ import annotations

__all__ = [
    "BackboneError",
    "DataError",
    "DiskFullError",
    "EngineError",
    "FrozenError",
    "HeadstartError",
    "ModelError",
    "StopRequested",
    "StoreError",
    "UsageError",
]


class HeadstartError(Exception):
    """Base of the tree.

    Args:
        what: what is wrong, one sentence.
        found: what was found where something else was expected.
        hint: what the reader can do about it.

    Attributes:
        exit_code: what the command line returns: 1 the run failed, 2 the call or its data are wrong.
    """

    exit_code = 1

    def __init__(self, what: str, *, found: str = "", hint: str = "") -> None:
        self.what, self.found, self.hint = what, found, hint
        super().__init__(self.text())

    def text(self) -> str:
        """Return the message as people read it: up to three lines."""
        lines = [self.what]
        if self.found:
            lines.append(f"  found: {self.found}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)


class UsageError(HeadstartError):
    """The call is wrong: an unknown option value, a path that is not there."""

    exit_code = 2


class DataError(HeadstartError):
    """The user's data cannot be learned from as they are."""

    exit_code = 2


class BackboneError(HeadstartError):
    """A pretrained model cannot be found, or its weights do not fit its architecture."""

    exit_code = 2


class ModelError(HeadstartError):
    """A model folder is not one, is incomplete, or does not reproduce its golden outputs."""

    exit_code = 2


class EngineError(HeadstartError):
    """An inference engine failed on a network that PyTorch runs."""


class FrozenError(HeadstartError):
    """Weights that were to stay as they were have changed: what was trained from the cache does not fit them."""


class StoreError(HeadstartError):
    """Something could not be written to, or read back from, disk."""


class DiskFullError(StoreError):
    """The disk is full; nothing half-written was left behind."""


class StopRequested(HeadstartError):  # noqa: N818 - a request, not a fault
    """Ctrl-C or SIGTERM: what is finished is kept, the same command goes on from there."""

    exit_code = 130
