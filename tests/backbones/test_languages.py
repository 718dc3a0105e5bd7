"""A network is told its languages in its own codes; a missing or unknown one is an error, not bad output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tiny_pairs
from headstart.backbones.backbone import Backbone
from headstart.backbones.from_seq2seq import between, open_translator, sentences
from headstart.errors import BackboneError

TOLD = {"mbart": ("en_XX", "fr_XX"), "nllb": ("eng_Latn", "fra_Latn"), "m2m": ("en", "fr")}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    made = {}
    for family in tiny_pairs.FAMILIES:
        folder = tiny_pairs.translator_folder(tmp_path_factory.mktemp(family), family)
        made[family] = open_translator(str(folder), family, "here")
    return made


@pytest.mark.parametrize("family", TOLD)
def test_a_network_of_many_languages_is_told_both(networks: dict[str, Backbone], family: str) -> None:
    fed = sentences(between(networks[family], ("en", "fr")))
    assert (fed.source.src_lang, fed.source.tgt_lang) == TOLD[family]
    token = fed.target.convert_ids_to_tokens(fed.forced["forced_bos_token_id"])
    assert TOLD[family][1] in str(token)
    labels = fed.labels(["chien"])[0].tolist()
    assert fed.forced["forced_bos_token_id"] in labels


@pytest.mark.parametrize("family", TOLD)
def test_its_own_codes_may_be_said_too(networks: dict[str, Backbone], family: str) -> None:
    fed = sentences(between(networks[family], TOLD[family]))
    assert fed.source.tgt_lang == TOLD[family][1]


@pytest.mark.parametrize("family", TOLD)
@pytest.mark.parametrize(("languages", "flag"), [(("", "fr"), "--from"), (("en", ""), "--to")])
def test_a_language_that_nobody_said_is_asked_for(
    networks: dict[str, Backbone], family: str, languages: tuple[str, str], flag: str
) -> None:
    with pytest.raises(BackboneError, match="nobody said") as caught:
        between(networks[family], languages)
    assert flag in caught.value.hint


@pytest.mark.parametrize("family", TOLD)
def test_an_unknown_language_is_named_with_those_that_are_known(networks: dict[str, Backbone], family: str) -> None:
    with pytest.raises(BackboneError, match="'tlh'") as caught:
        between(networks[family], ("en", "tlh"))
    assert TOLD[family][0][:2] in caught.value.found or "…" in caught.value.found


def test_t5_is_asked_in_words_and_must_be_told_which(networks: dict[str, Backbone]) -> None:
    assert sentences(between(networks["t5"], ("en", "fr"))).prefix == "translate English to French: "
    assert sentences(between(networks["t5"], ("en", "nl"))).prefix == "translate English to nl: "
    with pytest.raises(BackboneError, match="nobody said"):
        between(networks["t5"], ("", "fr"))


def test_a_marian_network_of_one_pair_is_told_nothing(networks: dict[str, Backbone]) -> None:
    fed = sentences(between(networks["marian"], ("", "")))
    assert (fed.prefix, fed.forced) == ("", {})


def test_a_marian_network_of_several_targets_has_a_mark_before_each_text(networks: dict[str, Backbone]) -> None:
    from headstart.backbones.languages import spoken

    class Marked:
        supported_language_codes = (">>fra<<", ">>ron<<")

    network: Any = networks["marian"].trunk.network
    assert spoken(Marked(), network, ("en", "fr"), "it").prefix == ">>fra<< "
    with pytest.raises(BackboneError, match="does not know"):
        spoken(Marked(), network, ("en", "de"), "it")


def test_a_folder_that_is_no_translator_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneError, match="as a translator"):
        open_translator(str(tmp_path), "nothing", "here")
