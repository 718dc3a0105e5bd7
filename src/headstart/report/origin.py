"""Where a model comes from: the command that makes it again, and the versions that decide what it computes."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.options import Options

LIBRARIES = (
    "headstart",
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "tokenizers",
    "keras",
    "sacrebleu",
    "sentencepiece",
    "openvino",
    "pillow",
    "numpy",
)


def versions() -> dict[str, str]:
    """Return the versions that decide what a model computes."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "not installed"
    return found


def command(options: Options) -> str:
    """Return the command line that repeats a run."""
    if options.command:
        return options.command
    words = ["headstart", "fit", options.data]
    defaults = type(options)(options.data)
    flags: Mapping[str, Any] = {
        "--out": options.out,
        "--task": options.task,
        "--goal": options.goal,
        "--backbone": options.backbone,
        "--test": options.test,
        "--content": options.content,
        "--label": options.label,
        "--seed": options.seed,
        "--precision": options.precision,
        "--plan": options.plan,
        "--keep": options.keep,
    }
    for flag, value in flags.items():
        if value != getattr(defaults, flag[2:]):
            words += [flag, str(value)]
    if options.budget != defaults.budget:
        words += ["--budget", f"{options.budget:g}s"]
    for flag, code in (("--from", options.source_language), ("--to", options.target_language)):
        words += [flag, code] if code else []
    for rule, value in options.rules:
        words += ["--rule", f"{rule}={value:g}"]
    if options.labels:
        words += ["--labels-per-class", options.labels]
    for folder in options.folders:
        words += ["--folders", folder]
    if options.licence != defaults.licence:
        words += ["--licence", options.licence]
    if not options.scratch:
        words.append("--no-scratch")
    return shlex.join(words)
