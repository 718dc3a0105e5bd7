"""The documentation does what it says: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import csv
import importlib.util
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import tiny_pairs
from headstart.api import fit
from headstart.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```[ ]*([\w+-]*)[^\n]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (\S[^\n]*) -->\s*\Z")
SHELL = {"bash", "sh", "shell", "console"}
KNOWN = {"python", "text", "json", "csv", "yaml", *SHELL}
WORDS = {"good": ("wonderful", "a joy to see", "funny and moving"), "bad": ("dull", "a waste of time", "awful")}
THINGS = ("film", "cast", "ending", "music")
HOW = ("from start to end", "for me and for my friends", "I must say")
CLASSES = {"ant": True, "bee": False}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, its text, and why it is not run (empty when it is)."""

    line: int
    language: str
    text: str
    not_run: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        reason = NOT_RUN.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 2
        yield Block(line, match[1], match[2], reason[1] if reason else "")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def picture(path: Path, upright: bool, rng: np.random.Generator) -> None:
    """Write a JPEG of stripes in two random colours, upright or lying; no two are near copies."""
    height, width = 72, 96
    across = np.arange(width)[None, :] if upright else np.arange(height)[:, None]
    wave = np.sin(across / rng.uniform(1.5, 6) + rng.uniform(0, 6)) * np.ones((height, width))
    dark, light = rng.uniform(0, 255, (2, 3))
    pixels = dark + (light - dark) * (wave[..., None] + 1) / 2 + rng.normal(0, 12, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the examples speak of: a few photos, a table of them, and weights files."""
    import timm
    import torch
    import torchvision
    import transformers
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("docs")
    rng = np.random.default_rng(0)
    with (root / "labels.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["file", "species"])
        for folder, count in {"photos": 12, "more-photos": 6}.items():
            for label, upright in CLASSES.items():
                for i in range(count):
                    path = Path(folder, label, f"{i:02}.jpg")
                    picture(root / path, upright, rng)
                    if folder == "photos":
                        table.writerow([path.as_posix(), label])
    with (root / "reviews.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["review", "sentiment"])
        for label, words in WORDS.items():
            for i in range(12):
                table.writerow([f"The {THINGS[i % 4]} was {words[i % 3]} {HOW[i // 4]}.", label])
    for name in ("new.jpg", "new/1.jpg", "new/2.jpg"):
        picture(root / name, CLASSES["ant"], rng)
    torch.manual_seed(0)
    save_file(torchvision.models.mobilenet_v3_small().state_dict(), root / "mobilenet_v3_small.safetensors")
    save_file(timm.create_model("test_efficientnet").state_dict(), root / "test_efficientnet.safetensors")
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=2)
    transformers.ResNetForImageClassification(config).save_pretrained(root / "my-resnet")
    transformers.ConvNextImageProcessor(size={"shortest_edge": 64}).save_pretrained(root / "my-resnet")
    tiny_pairs.translator_folder(root / "my-translator")
    tiny_pairs.table(root)
    return root


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_of_a_page_runs(
    page: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = [b for b in blocks(page) if b.language == "python" and not b.not_run]
    if not running:
        return
    work = tmp_path / "work"
    shutil.copytree(made, work)
    monkeypatch.chdir(work)
    # What an example does not say about time is not what it shows: the linear head alone is enough for it.
    monkeypatch.setitem(fit.__kwdefaults__, "budget", 0)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in running:
        padded = "\n" * (block.line - 1) + block.text  # so that a traceback names the line of the page
        exec(compile(padded, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in KNOWN, f"{named(page)}:{block.line}: ```{block.language}"


def calls(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each `headstart` call in shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] | None = None
        for word in lexer:
            if word == "headstart" and words is None:
                words = []
            elif words is not None and set(word) <= set(";|&<>()"):
                yield words
                words = None
            elif words is not None:
                words.append(word)
        if words is not None:
            yield words


def parse(arguments: list[str], *, only_named: bool = False) -> None:
    """Parse a call as click would, without running it. Raises click's errors.

    Args:
        arguments: after `headstart`.
        only_named: the call is spoken of in a sentence, its arguments may be left out.
    """
    try:
        with cli.make_context("headstart", list(arguments)) as context:
            name, command, rest = cli.resolve_command(context, [*context._protected_args, *context.args])
            assert command is not None
            command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        pass  # --help, --version
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        if not only_named:
            raise


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_of_a_page_exist(page: Path) -> None:
    for block in blocks(page):
        for arguments in calls(block.text) if block.language in SHELL else ():
            _parsed(page, arguments, only_named=False)
    spoken = FENCE.sub("", page.read_text(encoding="utf-8"))
    for inline in re.findall(r"`(headstart [^`\n]+)`", spoken):
        for arguments in calls(inline):
            _parsed(page, arguments, only_named=True)


def _parsed(page: Path, arguments: list[str], *, only_named: bool) -> None:
    try:
        parse(arguments, only_named=only_named)
    except click.ClickException as error:
        pytest.fail(f"{named(page)}: headstart {shlex.join(arguments)}: {error.format_message()}")


def test_a_wrong_command_would_be_seen() -> None:
    assert list(calls("ls | headstart predict m - > out.csv && headstart fit a --seed 1 # why")) == [
        ["predict", "m", "-"],
        ["fit", "a", "--seed", "1"],
    ]
    for wrong in (["fit"], ["fit", "a", "--epochs", "3"], ["train", "a"], ["fit", "a", "--seed", "x"]):
        with pytest.raises(click.ClickException):
            parse(wrong)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "dev" / "LOG.md"], ids=named)
def test_links_and_scripts_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", FENCE.sub("", text)):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{named(page)}: {target}"
    for script in re.findall(r"\bpython ([\w/]+\.py)", text):
        assert (ROOT / script).exists(), f"{named(page)}: {script}"


def test_no_place_of_the_writer_is_in_a_page() -> None:
    private = re.compile(r"/(work|home|root|tmp|Users)/")
    for page in (*PAGES, ROOT / "CHANGELOG.md", ROOT / "dev" / "LOG.md"):
        assert not private.search(page.read_text(encoding="utf-8")), named(page)


def test_reference_of_the_command_line_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("gen_cli", ROOT / "docs" / "gen_cli.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run: python docs/gen_cli.py"


def test_label_curve_runs(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    weights = made / "test_efficientnet.safetensors"
    arguments = [
        "--backbone",
        f"test_efficientnet@{weights}",
        "--labels",
        "3,all",
        "--seeds",
        "2",
        str(made / "photos"),
    ]
    monkeypatch.setattr(sys, "argv", ["label_curve.py", *arguments])
    runpy.run_path(str(ROOT / "benchmarks" / "label_curve.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in printed[3:]] == ["pretrained", "random weights", "pixels"]
    assert printed[1].count("|") == 4
