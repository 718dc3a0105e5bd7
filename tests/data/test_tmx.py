from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
from data_samples import kinds, names, put

from headstart.data.pair_files import Pairs
from headstart.data.texts import split_pair
from headstart.data.tmx import is_memory, read_memory
from headstart.errors import DataError, UsageError


def pairs_of(pairs: Pairs) -> list[tuple[str, object]]:
    return [(split_pair(e.content.read())[0], e.target) for e in pairs.examples.items]


def tu(*texts: tuple[str, str], tuid: str = "") -> str:
    """A unit: language and text of each."""
    inside = "".join(f'<tuv xml:lang="{lang}"><seg>{text}</seg></tuv>' for lang, text in texts)
    return f'<tu tuid="{tuid}">{inside}</tu>' if tuid else f"<tu>{inside}</tu>"


def tmx(*units: str, source: str = "en", before: str = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">') -> str:
    head = f'<?xml version="1.0"?>{before}<tmx version="1.4"><header srclang="{source}"/>'
    return f"{head}<body>{''.join(units)}</body></tmx>"


DOG = tu(("en", "a dog"), ("fr", "un chien"), tuid="n1")
CAT = tu(("fr", "un chat"), ("en", "a cat"))
BOTH = [("a dog", "un chien"), ("a cat", "un chat")]


def test_the_units_of_a_memory_are_pairs_in_the_direction_that_it_says(tmp_path: Path) -> None:
    pairs = read_memory(put(tmp_path / "m.tmx", tmx(DOG, CAT)))
    assert pairs_of(pairs) == BOTH
    assert names(pairs.examples) == ["m.tmx#1 n1", "m.tmx#2"]
    assert (pairs.source, pairs.target, pairs.examples.goal, pairs.examples.findings) == ("en", "fr", "text", ())
    assert pairs.examples.how == "TMX 1.4 m.tmx: en to fr"
    assert read_memory(put(tmp_path / "m.tmx", tmx(DOG, CAT, source="fr"))).source == "fr"
    assert read_memory(tmp_path / "m.tmx", "en").target == "fr"
    assert read_memory(put(tmp_path / "m.tmx", tmx(DOG, CAT, source="*all*")), None, "en").source == "fr"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_memories_are_read_packed_and_in_usual_encodings(tmp_path: Path, encoding: str) -> None:
    data = tmx(DOG.replace("chien", "été"), before="").encode(encoding)
    assert pairs_of(read_memory(put(tmp_path / "m.tmx", data))) == [("a dog", "un été")]
    assert pairs_of(read_memory(put(tmp_path / "m.tmx.gz", gzip.compress(data)))) == [("a dog", "un été")]
    assert is_memory(tmp_path / "M.TMX.GZ")


def test_languages_are_met_in_all_their_spellings(tmp_path: Path) -> None:
    path = put(
        tmp_path / "m.tmx", tmx(tu(("en-US", "a dog"), ("FR", "un chien")), tu(("EN", "a cat"), ("fr-CA", "un chat")))
    )
    for asked in ((None, None), ("en", "fr"), ("EN", None), ("en-us", "fr")):
        assert pairs_of(read_memory(path, *asked))[0] == BOTH[0]
    pairs = read_memory(path)
    assert (pairs_of(pairs), pairs.source, pairs.target) == (BOTH, "en", "fr")
    assert len(read_memory(path, "en-US", "fr").examples) == 2


def test_variants_of_one_language_are_two_where_both_are_asked_for_or_there_are_no_others(tmp_path: Path) -> None:
    path = put(tmp_path / "m.tmx", tmx(tu(("pt-BR", "o trem"), ("pt-PT", "o comboio")), source="pt-PT"))
    assert pairs_of(read_memory(path)) == [("o comboio", "o trem")]
    assert pairs_of(read_memory(path, "pt-BR", "pt-PT")) == [("o trem", "o comboio")]


def test_of_several_languages_two_must_be_asked_for(tmp_path: Path) -> None:
    three = tu(("en", "a dog"), ("de", "ein Hund"), ("fr", "un chien"))
    path = put(tmp_path / "m.tmx", tmx(three, DOG))
    with pytest.raises(DataError, match="several languages") as caught:
        read_memory(path)
    assert "--from en --to" in caught.value.hint
    with pytest.raises(UsageError, match="no 'cs'"):
        read_memory(path, "en", "cs")
    pairs = read_memory(path, "de", "fr")
    assert pairs_of(pairs) == [("ein Hund", "un chien")]
    assert [(f.name, f.kind, f.severity, f.bad) for f in pairs.examples.findings] == [
        ("m.tmx#2 n1", "one-sided", "left out", False)
    ]
    assert "no text in de" in pairs.examples.findings[0].reason
    assert pairs_of(read_memory(path, None, "de")) == [("a dog", "ein Hund")]


def test_a_text_that_does_not_say_its_language_is_named(tmp_path: Path) -> None:
    silent = CAT.replace(' xml:lang="en"', "")
    pairs = read_memory(put(tmp_path / "m.tmx", tmx(DOG, silent)))
    assert (pairs_of(pairs), kinds(pairs.examples)) == (BOTH[:1], ["no-language"])
    old = CAT.replace("xml:lang", "lang")
    assert pairs_of(read_memory(put(tmp_path / "m.tmx", tmx(DOG, old)))) == BOTH


def test_inline_tags_are_dropped_and_counted_and_their_text_is_kept(tmp_path: Path) -> None:
    english = 'a <bpt i="1">&lt;b&gt;</bpt>big<ept i="1"/> <hi>black <hi>old</hi></hi>\n  dog<ph x="1">{0}</ph>'
    pairs = read_memory(
        put(tmp_path / "m.tmx", tmx(tu(("en", english), ("fr", "un chien<!-- here --> &amp; co")), CAT))
    )
    assert pairs_of(pairs)[0] == ("a big black old dog", "un chien & co")
    assert [(f.name, f.kind, f.severity) for f in pairs.examples.findings] == [("m.tmx", "inline-tags", "repaired")]
    assert pairs.examples.findings[0].reason.startswith("5 inline tags are dropped from 1 units")


def test_narrow_spaces_of_french_stay(tmp_path: Path) -> None:
    text = "«\u00a0un chien\u202f!\u00a0»"
    assert pairs_of(read_memory(put(tmp_path / "m.tmx", tmx(tu(("en", "a dog!"), ("fr", text))))))[0][1] == text


def test_tags_however_deep_are_read(tmp_path: Path) -> None:
    deep = "<hi>" * 20_000 + "dog" + "</hi>" * 20_000
    assert pairs_of(read_memory(put(tmp_path / "m.tmx", tmx(tu(("en", deep), ("fr", "chien")))))) == [("dog", "chien")]


BOMB = "<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "entities", [BOMB, "<!ENTITY i SYSTEM 'file:///etc/hostname'>", "<!ENTITY % i SYSTEM 'x.dtd'>"]
)
def test_entities_are_refused_before_they_grow_or_name_files(tmp_path: Path, entities: str) -> None:
    path = put(tmp_path / "m.tmx", tmx(tu(("en", "&i;"), ("fr", "x")), before=f"<!DOCTYPE tmx [{entities}]>"))
    with pytest.raises(DataError, match="declares entities"):
        read_memory(path)


BROKEN = [tmx(DOG)[:-20], tmx(DOG).replace("</seg>", "", 1), tmx(DOG, "&nothere;"), tmx("a\0b")]


@pytest.mark.parametrize("data", ["", "no xml", *BROKEN, '<?xml version="1.0" encoding="nope"?><tmx/>', "\xff\xfe"])
def test_what_is_no_whole_xml_is_an_error_that_says_where(tmp_path: Path, data: str) -> None:
    with pytest.raises(DataError, match="no whole XML"):
        read_memory(put(tmp_path / "m.tmx", data.encode("latin-1")))


def test_a_packed_memory_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_memory(put(tmp_path / "m.tmx.gz", gzip.compress(tmx(DOG).encode())[:-9]))


def test_other_xml_and_a_memory_without_pairs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no translation memory") as caught:
        read_memory(put(tmp_path / "m.tmx", "<html/>"))
    assert caught.value.found == "<html>"
    with pytest.raises(DataError, match="fewer"):
        read_memory(put(tmp_path / "m.tmx", tmx()))
    with pytest.raises(DataError, match="no pair") as caught:
        read_memory(put(tmp_path / "m.tmx", tmx(tu(("en", "a")), tu(("fr", "b")))))
    assert "it has no text in fr" in caught.value.found


def test_without_the_parser_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "defusedxml.common", None)
    with pytest.raises(DataError, match="needs defusedxml") as caught:
        read_memory(put(tmp_path / "m.tmx", tmx(DOG)))
    assert "pip install" in caught.value.hint


XLIFF_1 = """<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file original="a" source-language="en-US" target-language="fr"><header/><body><group>
<trans-unit id="n1"><source>a <g id="1">dog</g><x id="2"/></source><seg-source><mrk>a dog</mrk></seg-source>
<target state="translated">un <g id="1">chien</g></target><alt-trans><target>un toutou</target></alt-trans></trans-unit>
</group><trans-unit id="n2"><source>a cat</source><target>un chat</target></trans-unit>
<trans-unit id="n3"><source>a fish</source></trans-unit>
<trans-unit id="n4"><source>a bird</source><target state="needs-translation">a bird</target></trans-unit>
</body></file></xliff>"""
XLIFF_2 = """<?xml version="1.0"?><xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en"
trgLang="fr"><file id="f"><unit id="n1"><notes><note>said of it</note></notes>
<segment><source>a <pc id="1">dog</pc></source><target>un <pc id="1">chien</pc><ph id="2"/></target></segment>
<ignorable><source> </source></ignorable>
<segment state="final"><source>a cat</source><target>un chat</target></segment></unit>
<unit id="n2"><segment><source>a fish</source></segment>
<segment state="initial"><source>a bird</source><target>a bird</target></segment></unit></file></xliff>"""


@pytest.mark.parametrize("suffix", [".xlf", ".xliff", ".xlf.gz"])
@pytest.mark.parametrize("text", [XLIFF_1, XLIFF_2], ids=["1.2", "2.0"])
def test_both_kinds_of_xliff_are_read_and_what_is_not_translated_is_named(
    tmp_path: Path, suffix: str, text: str
) -> None:
    data = gzip.compress(text.encode()) if suffix.endswith(".gz") else text
    pairs = read_memory(put(tmp_path / f"m{suffix}", data))
    assert pairs_of(pairs) == BOTH
    assert (pairs.source, pairs.target) == ("en", "fr")
    assert kinds(pairs.examples) == ["one-sided", "untranslated", "inline-tags"]
    assert "XLIFF" in pairs.examples.how


def test_an_xliff_that_says_no_target_language_takes_the_one_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path / "m.xlf", XLIFF_1.replace(' target-language="fr"', ""))
    for target, code in ((None, ""), ("fr", "fr")):
        pairs = read_memory(path, None, target)
        assert (pairs_of(pairs), pairs.target) == (BOTH, code)


def test_a_real_memory_is_read_whole(shared: Path) -> None:
    path = shared / "data" / "tico19_en_fr" / "all.en-fr.tmx"
    if not path.is_file():
        pytest.skip("no tico19_en_fr in the shared data")
    pairs = read_memory(path)
    assert (len(pairs.examples), pairs.source, pairs.target, pairs.examples.findings) == (3071, "en", "fr", ())
    assert pairs_of(pairs)[1][1].startswith("et toutes les douleurs thoraciques")  # type: ignore[attr-defined]
