"""Languages as translators know them: codes of their tokenizers, prefixes, and errors where one is not there.

A network that is told no language, or a wrong one, writes well-formed nonsense; so this refuses instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headstart.data.pair_files import language_of
from headstart.errors import BackboneError

_CODE = re.compile(r"^(?:>>)?(?:__)?([a-z]{2,3})(?:[_-][A-Za-z]{2,4})?(?:__)?(?:<<)?$")
_NAMES = {"en": "English", "fr": "French", "de": "German", "ro": "Romanian"}
_T5 = ("t5",)


@dataclass(frozen=True)
class Spoken:
    """What a network must be told.

    Attributes:
        source, target: the tokenizer's own codes; empty where it has none.
        prefix: what texts are begun with.
        forced: what `generate` must be told.
    """

    source: str
    target: str
    prefix: str
    forced: dict[str, Any]


def spoken(tokenizer: Any, network: Any, languages: tuple[str, str], name: str) -> Spoken:
    """Return what a network must be told to translate from one language into another.

    Args:
        tokenizer: of transformers.
        network: of transformers, an encoder and decoder.
        languages: the codes of both, empty where nobody said them.
        name: of the network, for errors.

    Raises:
        BackboneError: the network must be told a language that nobody said, or that it does not have.
    """
    kind = str(network.config.model_type)
    marked = list(getattr(tokenizer, "supported_language_codes", None) or ())
    if kind == "marian":
        prefix = f"{_code(marked, languages[1], name, 'to')} " if marked else ""
        return Spoken("", "", prefix, {})
    if kind in _T5:
        return Spoken("", "", _asked(languages, name), {})
    codes = _codes(tokenizer)
    if not codes:
        return Spoken("", "", "", {})
    source, target = (_code(codes, each, name, side) for each, side in zip(languages, ("from", "to"), strict=True))
    return Spoken(source, target, "", {"forced_bos_token_id": _number(tokenizer, target)})


def set_to(tokenizer: Any, told: Spoken) -> Any:
    """Return a tokenizer set to the languages, in place."""
    if told.source:
        tokenizer.src_lang, tokenizer.tgt_lang = told.source, told.target
    return tokenizer


def _codes(tokenizer: Any) -> list[str]:
    """Return a tokenizer's tokens that are codes of languages."""
    table = getattr(tokenizer, "lang_code_to_token", None) or getattr(tokenizer, "lang_code_to_id", None)
    if table:
        return sorted(table)
    special = list(tokenizer.all_special_tokens) + [str(t) for t in tokenizer.added_tokens_encoder]
    return sorted({t for t in special if "_" in t and _CODE.match(t)})


def _code(codes: list[str], language: str, name: str, side: str) -> str:
    if not language:
        raise BackboneError(
            f"{name} translates between several languages, and nobody said which one is translated {side}.",
            found=f"codes {', '.join(codes[:12])}{' …' * (len(codes) > 12)}",
            hint=f"Say it: --{side} en, --{side} fr, …",
        )
    fit = [code for code in codes if code == language or _plain(code) == language]
    if not fit:
        raise BackboneError(
            f"{name} does not know the language {language!r} that is translated {side}.",
            found=f"codes {', '.join(codes[:30])}{' …' * (len(codes) > 30)}",
            hint="Take another network, or say the language by one of these codes.",
        )
    return fit[0]


def _plain(code: str) -> str:
    found = _CODE.match(code)
    return language_of(found.group(1)) or found.group(1) if found else code


def _number(tokenizer: Any, code: str) -> int:
    if hasattr(tokenizer, "get_lang_id"):
        return int(tokenizer.get_lang_id(code))
    return int(tokenizer.convert_tokens_to_ids(code))


def _asked(languages: tuple[str, str], name: str) -> str:
    """Return what T5 is asked with. Languages that it was not trained to translate between are named all the same: with
    enough pairs it learns them."""
    if not all(languages):
        return _code(sorted(_NAMES), "", name, "from" if not languages[0] else "to")
    source, target = (_NAMES.get(each, each) for each in languages)
    return f"translate {source} to {target}: "
