"""The command `rank`: which pretrained network suits the data."""

from __future__ import annotations

import click

from headstart.console import print_json, say, table, wait
from headstart.flags import CACHE, FOLDERS, GOAL, JSON, LICENCE, columns


@click.command()
@click.argument("data")
@FOLDERS
@click.option("--backbone", "names", multiple=True, metavar="NAME", help="Only these; may be given several times.")
@LICENCE
@click.option(
    "--all", "every", is_flag=True, help="Let all run however long it takes; else twice one extraction with the pick."
)
@columns
@GOAL
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Fixes what is drawn.")
@CACHE
@JSON
def rank(
    data: str, folders: tuple[str, ...], names: tuple[str, ...], licence: str, content: str, label: str, goal: str,
    seed: int, cache: str, as_json: bool, every: bool,
) -> None:  # fmt: skip
    """Find out which pretrained network suits DATA: a race on a few hundred of the training examples.

    Networks that can be used here and now run, the most promising first, but for those that are slower than another of
    higher published accuracy: a linear head on cached features is scored by cross-validation, and the better half goes
    on with more examples. It takes at most about twice as long as `fit` takes to extract all features with the network
    that is picked; which were left out for that is said. What `fit` judges at the end is not looked at. `fit` finds the
    features in the cache; `fit --backbone auto` does all of this by itself.

    \b
    headstart rank photos/
    headstart rank photos/ --folders models/ --licence permissive
    headstart rank reviews.csv --backbone all-MiniLM-L6-v2 --backbone models/minilm-l3
    """
    import math
    import time

    from headstart.backbones.catalog import named, permissive
    from headstart.choosing import candidates
    from headstart.options import Options
    from headstart.progress import bars
    from headstart.race import TWICE, race

    wait("Looking for networks …")
    options = Options(
        data, content=content, label=label, goal=goal, seed=seed, cache=cache, folders=folders, licence=licence
    )
    given = [e for e in (named(name) for name in names) if licence == "any" or permissive(e)]
    entries = given if names else candidates(options)
    found = race(options, entries, bars, time.perf_counter, say, math.inf if every else TWICE)
    if as_json:
        print_json(found.record())
        return
    rows = [
        (
            f"{'→ ' * (r.name == found.pick)}{r.name}",
            f"{r.score.value:.3f}",
            f"{r.score.low:.3f} to {r.score.high:.3f}",
            f"{r.expected:.3f}",
            f"{r.neighbours:.3f}",
            f"{r.logme:.3f}",
            "" if r.prior is None else f"{r.prior:.1f}",
            f"{r.opening + found.learned * r.milliseconds / 1000:.0f}",
            f"{r.milliseconds:.1f}",
            f"{r.parameters / 1e6:.1f} M" if r.parameters else "?",
            r.licence,
            f"round {r.dropped}" if r.dropped else "",
        )
        for r in found.runners
    ]
    heads = (
        "backbone",
        found.measure,
        "95% interval",
        "expected",
        "neighbours",
        "LogME",
        "ImageNet",
        "extract, s",
        "ms each",
        "size",
        "licence",
        "out in",
    )
    within = f" of {found.limit:.0f} that it may take" if found.limit else ""
    table(f"{found.runners[0].examples} examples, {found.seconds:.0f} s{within}", heads, rows)
    if found.joint:
        say(f"joined: {found.joint}")
    for name, why in found.failed:
        say(f"did not run: {name}: {why}")
    say(f"Take {found.pick}: {found.why}.")
    say(f"headstart fit {data} --backbone {found.pick}{' --cut any' * (found.cut == 'any')}")
