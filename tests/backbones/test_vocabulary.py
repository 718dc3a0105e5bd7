"""Vocabularies: made of the data, and carried over to a language that the old one spells out."""

from __future__ import annotations

import pytest
import torch

import tiny_pairs
from headstart.backbones.vocabulary import SILENT, SPELLED, carried, grown, pieces, spells_out, tokenizer_of, trained

GERMAN = ["der hund sieht die katze", "ein alter mann hört den fluss", "das haus ist gross", "er mag das auto"] * 20


def test_a_vocabulary_knows_every_character_of_its_texts() -> None:
    model = trained(GERMAN, 60)
    tokenizer = tokenizer_of(model, ("en", "de"), 64)
    for text in GERMAN[:4]:
        ids = tokenizer(text).input_ids
        assert tokenizer.get_vocab()["<unk>"] not in ids
        assert ids[-1] == tokenizer.get_vocab()["</s>"] == 0
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_few_texts_give_a_smaller_vocabulary_than_was_asked_for() -> None:
    assert len(tokenizer_of(trained(GERMAN, 4000), ("", ""), 64)) < 400


def test_another_language_takes_more_pieces_than_its_own_vocabulary_would() -> None:
    old, fresh = tiny_pairs.marian_tokenizer(), trained(GERMAN, 100)
    french = [target for _, target in tiny_pairs.sentences(50)]
    assert spells_out(old, GERMAN, fresh) > SPELLED
    assert spells_out(old, french, trained(french, 200)) < SPELLED
    assert pieces(fresh, ["zzz"]) > 1


def test_pieces_in_common_keep_their_rows_and_others_start_as_the_mean_of_theirs() -> None:
    network, old = tiny_pairs.marian()
    before = network.get_input_embeddings().weight.detach().clone()
    fresh = tokenizer_of(trained([*GERMAN, "dog cat"] * 2, 100), ("en", "de"), 64)
    new = carried(network, old, fresh)
    after, known, table = network.get_input_embeddings().weight, old.get_vocab(), fresh.get_vocab()
    shared = set(known) & set(table)
    assert new == len(table) - len(shared) > 5
    assert len(shared) > 5
    assert len(after) == len(table) == network.config.vocab_size
    for piece in shared:
        assert torch.equal(after[table[piece]], before[known[piece]])
    [other, *_] = [piece for piece in table if piece not in known and piece.isalpha()]
    cut = [known[p] for p in old.spm_target.encode(other, out_type=str) if p in known and p != "<unk>"]
    expected = before[cut].mean(0) if cut else before.mean(0)
    assert torch.allclose(after[table[other]], expected, atol=0.1 * float(before.std()))
    assert len(torch.unique(after, dim=0)) == len(after), "two pieces could not be told apart"
    assert network.config.pad_token_id == table["<pad>"] == network.generation_config.decoder_start_token_id


def test_a_piece_with_others_that_stand_for_it_starts_as_their_mean_and_old_ones_fall_silent() -> None:
    network, old = tiny_pairs.marian()
    before = network.get_input_embeddings().weight.detach().clone()
    both, known = grown(old, trained(GERMAN, 100), ("en", "de"), 64), old.get_vocab()
    [piece, *_] = sorted(set(both.get_vocab()) - set(known))
    carried(network, old, both, {piece: {"▁chien": 0.75, "▁chat": 0.25}})
    table, bias = both.get_vocab(), network.final_logits_bias[0]
    expected = 0.75 * before[known["▁chien"]] + 0.25 * before[known["▁chat"]]
    row = network.get_input_embeddings().weight[table[piece]]
    assert torch.allclose(row, expected, atol=0.1 * float(before.std()))
    written = {both.spm_target.id_to_piece(i) for i in range(both.spm_target.get_piece_size())}
    assert all((bias[at] == SILENT) == (name not in written) for name, at in table.items())
    ids = network.generate(**both(["dog sees cat"], return_tensors="pt"), max_new_tokens=8, num_beams=1)[0, 1:]
    assert set(both.convert_ids_to_tokens(ids)) <= written


@pytest.mark.parametrize("lexicon", [{}, {"▁hund": {"▁katze": 1.0}}], ids=["no lexicon", "a lexicon"])
def test_a_language_that_was_ruled_out_can_be_written_again(lexicon: dict[str, dict[str, float]]) -> None:
    network, old = tiny_pairs.marian()
    german = grown(old, trained(GERMAN, 100), ("en", "de"), 64)
    [piece, *_] = sorted(set(german.get_vocab()) - set(old.get_vocab()))
    carried(network, old, german, {piece: {"▁chien": 1.0}})
    french = old.get_vocab()["▁chien"]
    assert network.final_logits_bias[0, french] == SILENT
    again = grown(german, trained([target for _, target in tiny_pairs.sentences(200)], 200), ("en", "fr"), 64)
    carried(network, german, again, lexicon)
    assert network.final_logits_bias[0, again.get_vocab()["▁chien"]] == 0.0


def test_a_grown_tokenizer_reads_as_the_old_one_and_writes_by_the_new() -> None:
    network, old = tiny_pairs.marian()
    both = grown(old, trained(GERMAN, 100), ("en", "de"), 64)
    for text in ("dog sees cat", "old man likes big red house"):
        assert both(text).input_ids == old(text).input_ids
    ids = both(text_target=GERMAN[0]).input_ids
    assert len(ids) < len(old(text_target=GERMAN[0]).input_ids)
    assert both.decode(ids, skip_special_tokens=True) == GERMAN[0]
    before = network.get_input_embeddings().weight.detach().clone()
    new = carried(network, old, both)
    assert new == len(both) - len(before) > 0
    assert torch.equal(network.get_input_embeddings().weight[: len(before)], before)
    batch = both(["dog sees cat"], text_target=[GERMAN[0]], return_tensors="pt")
    assert network(**batch).loss.isfinite()
    assert network.generate(**both(["dog"], return_tensors="pt"), max_new_tokens=4).shape[0] == 1
