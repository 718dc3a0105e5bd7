"""What a report says of a network that could do something before: what training changed, on the user's examples and
on others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentences(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what became of the network as it was, one sentence for each thing that is known of it.

    Args:
        said: the content of `scores.json`.
    """
    return (*_mine(said), *([said["general"]["sentence"]] if said.get("general") else []))


def _mine(said: Mapping[str, Any]) -> tuple[str, ...]:
    before = said.get("before")
    if not before:
        return ()
    gain, name = before["gain"], said["headline"]["name"]
    way = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "no different beyond noise"
    was, now = before["measures"][name], before["now"][name]
    return (
        f"On {before['examples']} of the judged texts the network as it was gets {was:.1f} of {name}, now it gets "
        f"{now:.1f}: {gain['value']:+.1f} (95% interval {gain['low']:+.1f} to {gain['high']:+.1f}, paired), {way}.",
    )
