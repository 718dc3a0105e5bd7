"""How threads should wait for each other: asleep at once, after a short look, or spinning as the library does.

Each way in a process of its own, as it must be said before torch is loaded: milliseconds an example of training a small
translator on captions, eight in a batch, and seconds of writing some along four beams; alone on the machine, and beside
one process that never rests. In rounds, so that what else the machine does meets all of them; the least of each counts.

    python -m benchmarks.waiting                     4 min on two cores
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.common import SHARED, keep
from headstart.process import SPINS

WAYS: Mapping[str, Mapping[str, str]] = {
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    f"{SPINS} looks": {"GOMP_SPINCOUNT": str(SPINS)},
    "as the library does": {},
}
MARIAN = SHARED.parent / "backbones" / "marian-small-en-fr"
PAIRS, BATCH, WRITTEN = 160, 8, 48
BUSY = "while True: pass"


def work() -> dict[str, float]:
    """Train and write in this process; returns what it took."""
    import numpy as np

    from benchmarks.translations import lines
    from headstart.aims import aim_for
    from headstart.backbones.from_seq2seq import between
    from headstart.codes import codes_of
    from headstart.heads.texts import TextHead
    from headstart.heads.writer import written
    from headstart.process import keep_freed
    from headstart.ragged import pile
    from headstart.stages.batches import tensor
    from headstart.stages.trial import begun, model_at
    from headstart.stages.tune import Recipe
    from headstart.tasks.translation import TRANSLATION

    class Pairs:
        target_N = codes_of(lines("train", "fr")[:PAIRS])
        rows = np.arange(PAIRS)

    backbone = between(TRANSLATION.backbone(str(MARIAN)), ("en", "fr"))
    load = TRANSLATION.load(backbone)
    inputs = [load(text.encode()) for text in lines("train", "en")[:PAIRS]]
    aim = aim_for("text", ["a", "b"], ("en", "fr"))
    head = TextHead.of(backbone)
    keep_freed()
    written(head.network, head.sentences, pile(inputs[:BATCH]), head.asking)
    start = time.perf_counter()
    written(head.network, head.sentences, pile(inputs[:WRITTEN]), head.asking)
    writing = time.perf_counter() - start
    backbone.trunk.requires_grad_(True)
    model = model_at(backbone.trunk, head, False, "cpu")
    _, training = begun(model, Recipe(10_000, 1e-6), Pairs, aim)  # type: ignore[arg-type]
    order = np.argsort([len(each) for each in inputs], kind="stable")
    batches = [order[at : at + BATCH] for at in range(0, PAIRS, BATCH)]
    took = []
    for _ in range(3):
        start = time.perf_counter()
        for batch in batches:
            targets = tensor(Pairs.target_N[batch].astype(np.float32), "cpu")
            training.learn(tensor(pile([inputs[i] for i in batch]), "cpu"), targets)
        took.append(1000 * (time.perf_counter() - start) / PAIRS)
    return {"training, ms an example": min(took[1:]), "writing, s": writing}


def apart(way: Mapping[str, str]) -> dict[str, float]:
    """Do the work in a process that waits in a way."""
    known = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    command = [sys.executable, "-m", "benchmarks.waiting", "--work"]
    if not way:  # headstart would choose
        command = [sys.executable, "-c", "import torch, runpy, sys; sys.argv[1:] = ['--work']; "
                   "runpy.run_module('benchmarks.waiting', run_name='__main__')"]  # fmt: skip
    done = subprocess.run(command, env={**known, **way}, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def beside(busy: bool) -> Iterator[None]:
    """Let another process work without rest, or none."""
    other = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        yield
    finally:
        if other is not None:
            other.kill()
            other.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.work:
        print(json.dumps(work()))
        return
    for busy in (False, True):
        with beside(busy):
            rounds = [{name: apart(way) for name, way in WAYS.items()} for _ in range(given.rounds)]
        for name in WAYS:
            least = {what: min(each[name][what] for each in rounds) for what in rounds[0][name]}
            keep("waiting", {"beside": "a busy process" if busy else "nothing", "threads wait": name, **least})


if __name__ == "__main__":
    main()
