"""Mistakes that are texts: cut into pieces, weighed by leaving them out, shown shortened and marked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import report_samples as samples
from numpy.typing import NDArray
from report_parsed import Parsed

from headstart.aims.label import one_label
from headstart.data.examples import Content, Example
from headstart.data.texts import TextContent, split_pair
from headstart.heads.linear import LinearHead
from headstart.report import Mistake, Page, Piece, render
from headstart.report.mistakes import EXPLAINED, SEEN, explained, mistakes, weighed
from headstart.report.moved import Asked, by_model, moved
from headstart.report.passages import ROOM, excerpt, passages
from headstart.report.pieces import MOST, READ, Cut, cuts
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from headstart.tasks.text_classification import TEXT_CLASSIFICATION

SPOKE = {"awful": 0.3, "dull": 0.2, "great": -0.25}
DULL = TextContent.of("a dull and awful film , great cast").data


def toy(inputs: Sequence[bytes]) -> NDArray[np.float64]:
    """Return p_N2 of a model for which each word adds what it is worth; it cannot read an empty text."""
    texts = [" ".join(split_pair(data)) for data in inputs]
    bad_N = np.array([0.4 + sum(SPOKE.get(w, 0.0) for w in t.split()) if t.strip() else np.nan for t in texts])
    return np.stack([1 - bad_N, bad_N], 1)


def weights(data: bytes, said: int = 1) -> dict[str, float]:
    """Return the weight of each piece."""
    pieces = cuts(data)
    (found,) = moved([Asked(data, [c.without for c in pieces], said)], toy)
    return {c.words.strip(): w for c, w in zip(pieces, found, strict=True)}


def test_a_word_weighs_what_leaving_it_out_takes_from_the_probability() -> None:
    assert weights(DULL) == pytest.approx(
        {"a": 0, "dull": 0.2, "and": 0, "awful": 0.3, "film": 0, ",": 0, "great": -0.25, "cast": 0}
    )
    assert weights(DULL, 0)["awful"] == pytest.approx(-0.3)


def test_all_examples_are_asked_about_at_once_and_each_gets_its_own() -> None:
    calls: list[int] = []

    def counted(inputs: Sequence[bytes]) -> NDArray[np.float64]:
        calls.append(len(inputs))
        return toy(inputs)

    asked = [Asked(d, [c.without for c in cuts(d)], 1) for d in (b"dull", b"so dull", b"awful film")]
    one, two, three = moved(asked, counted)
    assert calls == [3 + 1 + 2 + 2]
    assert math.isnan(one[0])  # nothing is left without it
    assert two == pytest.approx((0, 0.2))
    assert three == pytest.approx((0.3, 0))
    assert moved([], counted) == []


def test_each_piece_is_a_word_and_the_text_without_it() -> None:
    assert cuts(b"  a fine\nfilm ") == (
        Cut("a ", 0, b"fine\nfilm "),
        Cut("fine\n", 0, b"a film "),
        Cut("film ", 0, b"a fine\n"),
    )
    assert [c.words for c in cuts("映画は good".encode())] == ["映", "画", "は ", "good"]
    assert cuts(b" \n ") == ()


def test_a_pair_stays_a_pair_whatever_is_left_out() -> None:
    pieces = cuts(TextContent.of("It rains.", "It is wet.").data)
    assert [c.text for c in pieces] == [0, 0, 1, 1, 1]
    assert split_pair(pieces[0].without) == ("rains.", "It is wet.")
    assert split_pair(pieces[4].without) == ("It rains.", "It is ")
    assert split_pair(cuts(TextContent.of("Yes", "no").data)[0].without) == ("", "no")


@pytest.mark.parametrize("sizes", [(41,), (300,), (1, 100), (100, 1), (700, 700), (5000,), (0, 90), (20, 20)])
def test_a_long_text_is_cut_into_few_pieces_of_neighbouring_words(sizes: tuple[int, ...]) -> None:
    data = TextContent.of(*(" ".join(f"w{i}" for i in range(n)) for n in sizes)).data
    pieces = cuts(data)
    assert len(pieces) <= MOST
    for at, size in enumerate(sizes):
        words = "".join(c.words for c in pieces if c.text == at).replace("…", "").split()
        assert words == [f"w{i}" for i in range(min(size, READ))]


def test_what_is_too_far_behind_to_be_read_moves_up_and_is_no_piece() -> None:
    pieces = cuts(" ".join(f"w{i}" for i in range(600)).encode())
    assert pieces[-1].words.endswith("w511 …")
    assert all(c.without.endswith(b"w512 " + b" ".join(b"w%d" % i for i in range(513, 600))) for c in pieces)
    assert max(len(c.without) for c in cuts(b"word " * 1_000_000)) < 10 * READ
    assert max(len(c.words) for c in cuts(b"x" * 1_000_000)) < 1_000


def page(*shown: Mistake, note: str = "") -> Page:
    return dataclasses.replace(samples.two(), mistakes=shown, weighed=note)


def mistake(*texts: str, weight: float | None = None, predicted: str = "negative") -> Mistake:
    pieces = (tuple(Piece(word + " ", weight) for word in text.split()) for text in texts)
    return Mistake("reviews.csv#1", "positive", predicted, 0.9, texts=tuple(pieces))


def test_the_words_of_a_text_are_escaped_as_everything_is() -> None:
    hostile = mistake("<script>alert(1)</script> & {{7*7}}", weight=0.5, predicted='"><script>')
    html = render(page(hostile))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{7*7}}" in html
    assert Parsed(html).open == []


def test_words_are_marked_by_sign_and_strength_and_the_number_is_said() -> None:
    pieces = (Piece("so ", 0.0), Piece("dull ", 0.5), Piece("but ", None), Piece("fine", -0.2), Piece("!", 0.02))
    shown = Mistake("a", "positive", "negative", 0.9, texts=(pieces,))
    (text,) = passages(shown)
    assert [w.shade for w in text] == ["", "for miss4", "", "against hit2", ""]
    html = render(page(shown))
    assert 'title="without this, negative would lose 50.0 points">dull</mark> but ' in html
    assert 'title="without this, negative would gain 20.0 points">fine</mark>!' in html


def test_words_that_moved_next_to_nothing_are_not_marked_however_they_compare() -> None:
    weak = mistake("one two", weight=0.004)
    assert not any(w.shade for w in passages(weak)[0])
    assert "no words moved this by more than 1.0 points" in render(page(weak))
    assert "no words moved" not in render(page(mistake("one two"), mistake("one two", weight=-0.02)))


def test_the_legend_is_there_only_when_words_were_weighed_and_says_how_many_texts() -> None:
    plain, strong = mistake("a text"), mistake("a text", weight=0.5)
    assert "Marked words" not in render(page(plain))
    assert "<mark" not in render(page(plain))
    text = Parsed(render(page(strong, plain, note="Mind this."))).text
    assert "Marked words moved the decision" in text
    assert "Words of the first 1 text are marked. Mind this." in text
    assert "are marked" not in render(page(strong, strong))


def test_a_report_on_texts_has_no_picture_and_one_on_pictures_no_text() -> None:
    texts, pictures = render(page(mistake("a text", weight=0.5))), render(samples.two())
    assert Parsed(texts).all("img") == []
    assert "no picture" not in texts
    assert 'class="cards"' not in texts
    assert len(Parsed(pictures).all("img")) == 9
    assert not {"texts", "passage"} & {str(a.get("class")) for _, a in Parsed(pictures).tags}
    assert Parsed(pictures).all("mark") == []


def test_a_text_that_is_gone_says_so_among_the_others() -> None:
    html = render(page(mistake("a text"), Mistake("b", "positive", "negative", 0.8)))
    assert "the text could not be read again" in html


def test_a_pair_is_two_lines() -> None:
    passages_of = [a for a in Parsed(render(page(mistake("It rains.", "It is wet.")))).all("p") if "dir" in a]
    assert [a["class"] for a in passages_of] == ["passage", "passage"]


def test_a_long_text_is_shown_around_its_strongest_words() -> None:
    pieces = tuple(Piece(f"word{i} ", 0.8 if i == 300 else 0.0) for i in range(600))
    shown = "".join(p.words for p in excerpt(pieces, ROOM))
    assert shown.startswith("word0 word1 ")
    assert shown.endswith("… word299 word300 word301 … ")
    assert len(shown) < ROOM + 20
    assert shown.count("…") == 2
    assert excerpt(pieces[:20], ROOM) == pieces[:20]
    assert excerpt((Piece("x" * 2 * ROOM, 0.1), Piece("y", 0.0)), ROOM)[0].words == "x" * 2 * ROOM


class Trunk:
    """Stands for an encoder: two features, how much a text says for each class; it remembers what it was given."""

    seen: int = 0

    def stream(self, contents: Sequence[Content]) -> Iterator[NDArray[np.float32] | str]:
        for content in contents:
            self.seen += 1
            data = content.read()
            yield np.log(toy([data])[0]).astype(np.float32) if data else "it is empty"


class Broken:
    def stream(self, contents: Sequence[Content]) -> Iterator[NDArray[np.float32] | str]:
        raise RuntimeError("no memory")


HEAD = LinearHead(np.zeros(2), np.ones(2), np.eye(2), np.zeros(2))
AIM = one_label(("good", "bad"))


def story(count: int = 12, task: Any = TEXT_CLASSIFICATION, judged: int = 12, **more: Any) -> Any:
    """Return what of a story the mistakes are made from: texts that are good and were all taken for bad."""
    items = tuple(Example(f"t{i}", TextContent(DULL), "good", "") for i in range(count))
    return SimpleNamespace(
        task=task,
        aim=AIM,
        scores=SimpleNamespace(rows=np.arange(count), logits_NK=np.array([[0.0, 3.0 - 0.1 * i] for i in range(count)])),
        target_N=np.zeros(count, np.intp),
        examples=SimpleNamespace(items=items, classes=("good", "bad")),
        splits=SimpleNamespace(judged=np.arange(judged)),
        head=HEAD,
        **{"moved": {}, **more},
    )


def test_the_shipped_trunk_and_head_give_the_probabilities() -> None:
    p_NK = by_model(Trunk(), HEAD, AIM)([DULL, b""])  # type: ignore[arg-type]
    assert p_NK[0] == pytest.approx(toy([DULL])[0])
    assert np.isnan(p_NK[1]).all()


def test_only_the_first_mistakes_are_explained_and_all_are_shown() -> None:
    trunk: Any = Trunk()
    found = explained(story(), trunk)
    assert list(found) == list(range(EXPLAINED))
    assert trunk.seen == EXPLAINED * 9
    shown = mistakes(story(moved=found))
    assert [m.texts[0][0].weight is None for m in shown] == [False] * EXPLAINED + [True] * 4
    assert shown[0].texts[0][3] == ("awful ", pytest.approx(0.3))
    assert {m.picture for m in shown} == {""}


def test_a_report_whose_words_cannot_be_weighed_goes_on_without() -> None:
    broken: Any = Broken()
    assert explained(story(), broken) == {}
    shown = mistakes(story())
    assert "".join(p.words for p in shown[0].texts[0]) == DULL.decode()


def test_of_pictures_nothing_is_left_out() -> None:
    broken: Any = Broken()
    assert explained(story(task=IMAGE_CLASSIFICATION), broken) == {}


def test_it_is_said_where_the_words_are_weighed_by_a_model_that_learned_from_them() -> None:
    assert weighed(story(judged=0, moved={0: (0.1,)})) == SEEN
    assert weighed(story(judged=0)) == ""
    assert weighed(story(moved={0: (0.1,)})) == ""
