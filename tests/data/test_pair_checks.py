from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from data_samples import names

from headstart.data.examples import Examples, Part
from headstart.data.pair_checks import PairRules, check_pairs, counted, script_of
from headstart.data.pair_files import Pairs, pair
from headstart.data.pairs import read_pairs
from headstart.errors import UsageError

ENGLISH = ["the dog runs in the park", "a man is on the bench", "the girl sees a cat", "two men sit in the house"]
FRENCH = [
    "le chien court dans le parc",
    "un homme est sur le banc",
    "la fille voit un chat",
    "deux hommes dans la maison",
]


def made(*rows: tuple[str, str] | tuple[str, str, Part], languages: tuple[str, str] = ("en", "fr")) -> Pairs:
    """Pairs called 0, 1, …; the third of a row is its part."""
    items = tuple(pair(str(i), r[0], r[1], r[2] if len(r) > 2 else "") for i, r in enumerate(rows))
    return Pairs(Examples(items, "made", (), "text", "text"), *languages)


def sound(count: int = 40) -> list[tuple[str, str]]:
    return [(f"{ENGLISH[i % 4]} number {i}", f"{FRENCH[i % 4]} numéro {i}") for i in range(count)]


def said(pairs: Pairs) -> list[tuple[str, str, str, bool]]:
    return [(f.name, f.kind, f.severity, f.bad) for f in pairs.examples.findings]


def test_sound_pairs_pass_without_a_finding() -> None:
    pairs = made(*sound())
    assert check_pairs(pairs) == pairs


@pytest.mark.parametrize("nothing", ["", " ", "\t\u00a0", "\u200b"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_side_is_left_out_of_every_part(nothing: str, part: Part) -> None:
    checked = check_pairs(made(("a text", nothing, part), (nothing, "un texte", part), ("the end", "la fin", part)))
    assert said(checked) == [("0", "empty", "left out", True), ("1", "empty", "left out", True)]
    assert [f.reason for f in checked.examples.findings] == ["the target is empty", "the source is empty"]
    assert names(checked.examples) == ["2"]


def test_a_text_of_a_wildly_different_length_is_left_out() -> None:
    checked = check_pairs(made(*sound(), ("a short text about a dog", "oui")))
    assert said(checked) == [("40", "length-ratio", "left out", True)]
    assert "24 and 3 characters" in checked.examples.findings[0].reason
    assert not said(check_pairs(made(*sound(), ("a short text about a dog", "oui")), PairRules(max_ratio=20)))


def test_names_and_exclamations_are_too_short_for_a_ratio() -> None:
    assert not said(check_pairs(made(*sound(), ("OK", "d'accord, pourquoi"))))
    assert said(check_pairs(made(*sound(), ("OK", "d'accord, pourquoi")), PairRules(min_chars=5)))


def test_lengths_are_compared_with_what_is_usual_for_two_languages() -> None:
    rows = [(f"a sentence of several words about number {i}", f"第{i}号的一些词") for i in range(1000, 1030)]
    assert not said(check_pairs(made(*rows, languages=("en", "zh"))))
    longer = check_pairs(made(*rows, ("a sentence of several words", "一些词" * 12), languages=("en", "zh")))
    assert [f.kind for f in longer.examples.findings] == ["length-ratio"]


def test_a_source_equal_to_its_target_is_left_out_unless_it_is_short_or_a_number() -> None:
    rows = [("This was never translated.", "this was  never translated."), ("Paris", "Paris"), ("1" * 30, "1" * 30)]
    assert said(check_pairs(made(*sound(), *rows))) == [("40", "same-text", "left out", False)]


@pytest.mark.parametrize(("language", "text"), [
    ("ru", "Собака бежит по большому парку"),
    ("el", "Ο σκύλος τρέχει στο μεγάλο πάρκο"),
    ("ja", "犬は大きな公園の中をとても速く走っています"),
    ("ar", "الكلب يجري في الحديقة الكبيرة"),
    ("hi", "कुत्ता बड़े पार्क में दौड़ रहा है और खुश है"),
    ("eng_Latn", "The dog runs in the large park"),
])  # fmt: skip
def test_every_language_is_known_by_its_script(language: str, text: str) -> None:
    for mine, other in (("en", language), ("xx", language), ("", language)):
        source = "The cat sleeps on the old bench"
        assert not said(check_pairs(made((source, text), languages=(mine, other))))
    wrong = "Собака спит на старой скамейке" if language != "ru" else "The cat sleeps on the old bench"
    checked = check_pairs(made(("1", wrong), languages=("", language)))
    assert said(checked) == [("0", "wrong-script", "left out", True)]


def test_a_language_that_is_not_known_has_no_expected_script() -> None:
    assert not said(check_pairs(made(("Собака спит на старой", "The cat sleeps there"), languages=("", "tlh"))))


def test_names_in_latin_letters_are_no_other_script() -> None:
    text = "Microsoft Windows 11 выпущена корпорацией для компьютеров"
    assert not said(check_pairs(made(("Microsoft Windows 11 was released for PCs", text), languages=("en", "ru"))))
    strict = check_pairs(made(("Microsoft Windows 11 was released", text), languages=("en", "ru")), PairRules(script=1))
    assert [f.kind for f in strict.examples.findings] == ["wrong-script"]


def test_the_script_of_a_character_is_that_of_its_name() -> None:
    assert [script_of(c) for c in "aяλ中カ1 "] == ["LATIN", "CYRILLIC", "GREEK", "CJK", "KATAKANA", "", ""]


def test_sides_that_are_turned_and_sides_that_are_not_translated_are_told_apart() -> None:
    rows = [*sound(80), (FRENCH[0], ENGLISH[0]), (FRENCH[1], FRENCH[2]), (ENGLISH[1], ENGLISH[2] + " there")]
    checked = check_pairs(made(*rows))
    assert [(f.name, f.kind) for f in checked.examples.findings] == [
        ("80", "swapped"),
        ("81", "wrong-language"),
        ("82", "wrong-language"),
    ]
    assert "the source is in the language of the target" in checked.examples.findings[1].reason
    assert not said(check_pairs(made(*rows), PairRules(language=50)))


def test_what_is_judged_is_noted_and_stays() -> None:
    rows = [(FRENCH[0], ENGLISH[0], "test"), ("a short text about a dog", "oui", "valid")]
    twice: list[tuple[str, str, Part]] = [("good day", "bonjour", "test")] * 2
    checked = check_pairs(made(*((s, t, "train") for s, t in sound(80)), *rows, *twice))  # type: ignore[arg-type]
    assert said(checked) == [
        ("80", "swapped", "note", False),
        ("81", "length-ratio", "note", False),
        ("83", "duplicate", "note", False),
    ]
    assert len(checked.examples) == 84


def test_a_pair_that_comes_again_is_left_out_and_one_translated_in_another_way_stays() -> None:
    checked = check_pairs(made(("hello", "bonjour"), ("hello", "bonjour"), ("Hello", "salut"), ("hello", "bonjour")))
    assert said(checked) == [
        ("1", "duplicate", "left out", False),
        ("2", "several-targets", "note", False),
        ("3", "duplicate", "left out", False),
    ]
    assert names(checked.examples) == ["0", "2"]
    assert all(f.reason.endswith("as 0") or "as 0," in f.reason for f in checked.examples.findings)


def test_a_source_of_a_later_part_is_left_out_of_the_earlier_ones() -> None:
    rows: Sequence[tuple[str, str, Part]] = [
        ("one dog", "un chien", "train"),
        ("two dogs", "deux chiens", "train"),
        ("ONE  dog", "un seul chien", "valid"),
        ("two dogs", "deux chiens", "test"),
        ("one dog", "un chien", "test"),
    ]
    checked = check_pairs(made(*rows))
    assert said(checked) == [(name, "overlap", "left out", False) for name in "012"]
    assert ["which is in the test part" in f.reason for f in checked.examples.findings] == [True] * 3
    assert names(checked.examples) == ["3", "4"]


LONG = "a tall man in a blue shirt is standing on a ladder and cleaning the window of an old house"


FILLER = "x" * 90


@pytest.mark.parametrize(("other", "near"), [
    (LONG.title() + "!", True),
    (LONG + " today", True),
    (LONG.replace("tall", "short"), True),
    (LONG.replace("ladder", "chair").replace("shirt", "coat").replace("old", "new"), False),
    ("a man", False),
    ("", False),
])  # fmt: skip
def test_a_source_that_is_nearly_one_of_a_later_part_is_noted(other: str, near: bool) -> None:
    for part in ("valid", "test"):
        checked = check_pairs(made((other or "!", FILLER[: len(other) or 1], "train"), (LONG, FILLER, part)))  # type: ignore[arg-type]
        found = [f for f in checked.examples.findings if f.kind == "near-overlap"]
        assert [f.name for f in found] == ["0"] * near
        assert len(checked.examples) == 2


def test_without_parts_there_is_no_overlap() -> None:
    assert not said(check_pairs(made((LONG + " today", FILLER), (LONG, FILLER + "x"))))


def test_no_near_copy_escapes_by_the_way_candidates_are_found() -> None:
    words = LONG.split()
    train = [" ".join([*words[:i], "new", *words[i + 1 :]]) for i in range(len(words))]
    rows = [(t, f"x{i}" * 20, "train") for i, t in enumerate(train)]
    checked = check_pairs(made(*rows, (LONG, FILLER, "test")), PairRules(near=0.6))  # type: ignore[arg-type]
    runs = {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
    shares = []
    for text in train:
        mine = {tuple(text.split()[i : i + 3]) for i in range(len(words) - 2)}
        shares.append(len(mine & runs) / len(mine | runs))
    found = {f.name for f in checked.examples.findings if f.kind == "near-overlap"}
    assert found == {str(i) for i, share in enumerate(shares) if share >= 0.6}
    assert 0 < len(found) <= len(train)


def test_texts_without_spaces_are_compared_by_characters() -> None:
    text = "犬は大きな公園の中をとても速く走っています"
    checked = check_pairs(
        made((text + "。", FILLER[:30], "train"), (text + "よ", FILLER[:31], "test"), languages=("ja", "en"))
    )
    assert "near-overlap" in counted(checked)


def test_findings_are_counted_by_kind_and_come_in_the_order_of_the_pairs() -> None:
    checked = check_pairs(made(*sound(), ("x", ""), sound()[0], sound()[1], ("", "y")))
    assert counted(checked) == {"empty": 2, "duplicate": 2}
    assert [f.name for f in checked.examples.findings] == ["40", "41", "42", "43"]


def test_the_rules_are_shown_with_their_thresholds() -> None:
    lines = PairRules(max_ratio=4.5, near=0.8, min_chars=7).lines()
    assert "4.5 times" in lines[1]
    assert "from 7 characters" in lines[1]
    assert "80%" in lines[-1]
    assert max(map(len, lines)) < 120


@pytest.mark.parametrize(
    "wrong", [{"max_ratio": 0.5}, {"near": 0.0}, {"near": 2.0}, {"min_chars": -1}, {"near": float("nan")}]
)
def test_an_impossible_threshold_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="impossible threshold") as caught:
        PairRules(**wrong)  # type: ignore[arg-type]
    assert next(iter(wrong)) in caught.value.found


def test_ten_thousand_pairs_take_a_moment() -> None:
    rows = [(f"{LONG} {i * 7919 % 10007}", f"{FILLER} {i}", "test" if i % 20 == 0 else "train") for i in range(10_000)]
    start = time.process_time()
    check_pairs(made(*rows), PairRules(near=0.99))  # type: ignore[arg-type]
    assert time.process_time() - start < 20  # 2 s on an idle machine


def test_what_is_wrong_in_real_captions_is_found(shared: Path) -> None:
    if not (shared / "data" / "multi30k").is_dir():
        pytest.skip("no multi30k in the shared data")
    pairs = read_pairs(shared / "data" / "multi30k", "en", "de")
    train = [e for e in pairs.examples.items if e.part == "train"][16000:17000]
    rest = tuple(e for e in pairs.examples.items if e.part != "train")
    checked = check_pairs(replace(pairs, examples=replace(pairs.examples, items=(*train, *rest))))
    ratio = [f for f in checked.examples.findings if f.kind == "length-ratio"]
    assert [f.name for f in ratio] == ["train#16510", "train#16664"]  # both are translated by "@@"
    assert Counter(e.part for e in checked.examples.items)["test"] == 1000


def test_what_is_wrong_in_a_real_memory_is_found(shared: Path) -> None:
    if not (shared / "data" / "tico19_en_fr").is_dir():
        pytest.skip("no tico19_en_fr in the shared data")
    checked = check_pairs(read_pairs(shared / "data" / "tico19_en_fr"))
    assert counted(checked) == {"length-ratio": 43, "duplicate": 1}  # a stretch of the memory is not aligned
    assert len(checked.examples) == 3071 - 44
