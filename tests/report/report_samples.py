"""Pages to render in tests and to look at: two, ten and seventy-seven classes, every section filled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

from headstart.report import (
    BackboneFacts,
    CacheUse,
    ClassCount,
    ClassScore,
    Confusion,
    DataFacts,
    EngineFacts,
    Estimate,
    FindingLine,
    Headline,
    Ladder,
    Made,
    Measure,
    Mistake,
    Page,
    Reliability,
    ReliabilityBin,
    Rung,
    Snippet,
    StageTime,
    Use,
    Yardstick,
    data_uri,
)
from headstart.report.figures import wilson

DOT = data_uri(b"not really a picture")
WORDS = """
backpack bike calculator headphones keyboard laptop monitor mouse mug projector
activate cancel declined lost_or_stolen pending wrong_exchange_rate unable_to_verify
card cash_withdrawal direct_debit top_up transfer refund pin virtual_card fee identity payee
"""
TEN, VERBS, THINGS = (tuple(line.split()) for line in WORDS.strip().splitlines())
ENDS = ("in_my_account", "in_my_account", "and_then_something_that_never_seems_to_end")
LONG = tuple(f"{verb}_{thing}_{ENDS[i % 3]}" for i, (verb, thing) in enumerate(product(VERBS, THINGS)))
BINS = tuple(
    ReliabilityBin(confidence, accuracy, count)
    for confidence, accuracy, count in (
        (0.55, 0.5, 6),
        (0.65, 0.71, 7),
        (0.76, 0.8, 10),
        (0.86, 0.83, 12),
        (0.93, 0.95, 21),
        (0.99, 0.99, 97),
    )
)


def share(right: int, of: int) -> Estimate:
    """Return a share with its interval."""
    return Estimate(right / of, *wilson(right / of, of)) if of else Estimate(None)


def confusion(labels: Sequence[str], each: int = 30, wrong: float = 0.07) -> Confusion:
    """Make a confusion matrix in which neighbours are taken for each other."""
    rng, n = random.Random(0), len(labels)
    counts = [[0] * n for _ in range(n)]
    for i in range(n):
        for _ in range(each + rng.randrange(each)):
            step = rng.choice((1, 1, 1, 2, -1, 3)) if rng.random() < wrong else 0
            counts[i][(i + step) % n] += 1
    return Confusion(tuple(labels), tuple(map(tuple, counts)))


def class_scores(table: Confusion) -> tuple[ClassScore, ...]:
    """Score each class of a confusion matrix."""
    scores = []
    for i, label in enumerate(table.labels):
        row, column, hit = sum(table.counts[i]), sum(r[i] for r in table.counts), table.counts[i][i]
        f1 = Estimate(2 * hit / (row + column) if row + column else None)
        scores.append(ClassScore(label, row, share(hit, column), share(hit, row), f1))
    return tuple(scores)


def measures(right: int, of: int) -> tuple[Measure, ...]:
    """Return the five measures of a classifier."""
    hit, loss, gap = share(right, of), Estimate(0.182, 0.113, 0.267), Estimate(0.031, 0.022, 0.071)
    surprise = "How surprised the model is by the truth; 0.693 would be a coin."
    return (
        Measure("Accuracy", hit, "How often the first guess is right."),
        Measure("Balanced accuracy", hit, "The same, with every class counting equally."),
        Measure("Macro-F1", hit, "Precision and recall together, averaged over the classes."),
        Measure("Log loss", loss, surprise, share=False, higher_is_better=False),
        Measure("Calibration error", gap, "How far its confidence is from the truth.", higher_is_better=False),
    )


def ladder(guess: float, near: Estimate, head: Estimate, deeper: int = 0) -> Ladder:
    """Return a ladder of three rungs and, if asked, some that did not pay."""
    pooled, lost = "the pooled output", "not better by more than noise"
    rungs = [
        Rung("majority guess", "", Estimate(guess), 0.0, "yardstick", "always says the most frequent class"),
        Rung("nearest neighbours", pooled, near, 1.71, "yardstick", "cosine, k = 5"),
        Rung("linear head", pooled, head, 0.22, "shipped", "L2 chosen by cross-validation"),
    ]
    for i in range(deeper):
        rungs.append(Rung(f"stages from {6 - i}", f"blocks.{6 - i}", near, 30.0 * 4**i, "beaten", lost))
    untried = () if deeper else (("last stage", "fine-tuning comes in a later version"),)
    return Ladder(tuple(rungs), "Scores here are from 5-fold cross-validation inside train/.", untried)


def mistakes(labels: Sequence[str], pictures: Sequence[str], total: int) -> tuple[Mistake, ...]:
    """Return wrong predictions, the surest first."""
    made = []
    for i in range(total):
        true, said = labels[i % len(labels)], labels[(i + 1) % len(labels)]
        name, picture = f"val/{true}/photo {i:03d}_8124ad.jpg", pictures[i % len(pictures)]
        made.append(Mistake(name, true, said, 0.9997 - i * 0.03, picture))
    return tuple(made)


STAGES = (
    StageTime("import", 1.92),
    StageTime("read", 0.04),
    StageTime("check", 0.31),
    StageTime("encode", 1.63),
    StageTime("probe", 0.22),
    StageTime("judge", 0.05),
    StageTime("ship", 0.4),
)


def made(name: str) -> Made:
    """Return how a sample was made."""
    backbone = BackboneFacts(
        name=name,
        licence="Apache-2.0",
        source=f"a local folder: ../shared/backbones/{name}",
        parameters=3_504_872,
        features=1280,
        cut="the pooled output",
        missing=("classifier.weight", "classifier.bias"),
        preprocessing="resize to 256 (bicubic, antialiased), centre crop 224, mean 0.485 0.456 0.406",
        fingerprint="sha256:9f2c4b0f1b4a77d0c2f8e7f0c6c6a1b9d54dbe0b6e21a7b0ef1f6c8a5b40d9e3",
    )
    check = "on 32 photos the features differ by 0.9% of their range; no prediction changed"
    return Made(
        backbone,
        head="logistic regression, L2 0.0031 chosen by 5-fold cross-validation, on standardised features",
        engine=EngineFacts("OpenVINO 2026.0", "bf16", "CPU, 2 cores", check),
        cache=CacheUse(computed=10, found=387),
        stages=STAGES,
        versions=(("headstart", "0.1.0"), ("python", "3.11.7"), ("torch", "2.15.0"), ("timm", "1.0.27")),
        seed=0,
        data_fingerprint="sha256:77aa4b0f1b4a77d0c2f8e7f0c6c6a1b9d54dbe0b6e21a7b0ef1f6c8a5b40d111",
    )


WITH_TIMM = """import json, timm, torch
from PIL import Image

net = timm.create_model("local-dir:model/").eval()
look = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
labels = json.load(open("model/config.json"))["label_names"]
with torch.inference_mode():
    logits = net(look(Image.open("photo.jpg").convert("RGB"))[None])
print(labels[logits.argmax().item()])"""
USE = Use(
    (
        Snippet("With headstart", 'import headstart\n\nheadstart.load("model/").predict(["photo.jpg"])'),
        Snippet("With timm alone", WITH_TIMM),
    ),
    (("config.json", "architecture, labels, preprocessing"), ("model.safetensors", "the weights")),
)
FINDINGS = (
    FindingLine("train/ants/imageNotFound.gif", "not a photo", "left out", "a picture of the words “not found”"),
    FindingLine("train/bees/2501_e2.jpg", "truncated", "left out", "ends after 12288 of 48211 bytes"),
    FindingLine("val/bees/7210_73.jpg", "rotated", "repaired", "turned upright as EXIF orientation 6 says"),
    *(FindingLine(f"train/ants/{i}.jpg", "duplicate", "note", "same bytes as 40.jpg") for i in range(12)),
)
CAVEATS = (
    "Judged on 153 photos only: the interval is 8 points wide, so a few points between models mean little.",
    "2 files could not be read and were left out.",
    "1 photo is in train/ and in val/; it was left out of train/.",
)


def two(pictures: Sequence[str] = (DOT,)) -> Page:
    """Ants and bees: what the main example of the guide looks like."""
    table = Confusion(("ants", "bees"), ((65, 5), (4, 79)))
    near, guess = (
        Yardstick("nearest neighbours", share(139, 153)),
        Yardstick("majority guess", share(83, 153)),
    )
    judged = "val/ was judged once, at the end; choices were made by cross-validation inside train/."
    classes = (ClassCount("ants", (123, 70)), ClassCount("bees", (121, 83)))
    read = "Read as train/ and val/ with one folder per class."
    return Page(
        title="hymenoptera",
        verdict="Good: right on 144 of 153 photos it had never seen, a little above nearest neighbours.",
        when="27 September 2026, 14:03",
        command="headstart fit data/hymenoptera --backbone backbones/mobilenetv2_100.timm --seed 0",
        headline=Headline("Accuracy", share(144, 153), judged, "linear head", (near, guess)),
        caveats=CAVEATS,
        measures=measures(144, 153),
        ladder=ladder(0.508, share(226, 244), share(232, 244)),
        classes=class_scores(table),
        confusion=table,
        reliability=Reliability(BINS, 1.31),
        mistakes=mistakes(table.labels, pictures, 9),
        data=DataFacts(read, ("train", "val"), classes, FINDINGS, 399, 2),
        made=made("mobilenetv2_100"),
        use=USE,
    )


def many(labels: Sequence[str], title: str, pictures: Sequence[str] = (DOT,), deeper: int = 0) -> Page:
    """As many classes as there are labels."""
    table = confusion(labels)
    of, right = sum(map(sum, table.counts)), sum(row[i] for i, row in enumerate(table.counts))
    near, guess = share(int(right * 0.97), of), share(of // len(labels), of)
    against = (Yardstick("nearest neighbours", near), Yardstick("majority guess", guess))
    judged = "test/ was judged once, at the end; choices were made on valid/."
    counts = tuple(ClassCount(c, (80 + 7 * (i * 5 % 11), 12 + i % 5, 30)) for i, c in enumerate(labels))
    read = "Read from train.csv, columns path and label."
    return Page(
        title=title,
        verdict=f"Very good: right on {right} of {of} examples of the test set.",
        when="27 September 2026, 14:03",
        command=f"headstart fit {title}",
        headline=Headline("Accuracy", share(right, of), judged, "linear head", against),
        measures=measures(right, of),
        ladder=ladder(1 / len(labels), near, share(right, of), deeper),
        classes=class_scores(table),
        confusion=table,
        reliability=Reliability(BINS, 0.87),
        mistakes=mistakes(table.labels, pictures, 24),
        data=DataFacts(read, ("train", "valid", "test"), counts, (), of, 0),
        made=made("tf_efficientnet_lite0"),
        use=USE,
    )
