"""Engines give PyTorch's features in the order of the pictures; one that does not is refused, with the reason."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import tiny
import tiny_text
from headstart.backbones import engine as engines
from headstart.backbones.engine import (
    Chosen,
    Narrow,
    Plain,
    Recalled,
    TorchEngine,
    choose,
    least_cosine,
    recalled,
)
from headstart.backbones.from_openvino import OpenVinoEngine, to_openvino
from headstart.errors import EngineError, UsageError

Pictures = list[NDArray[Any]]
SIZE = 24


class Convnet(nn.Module):
    """Small, and with what convnets have: strides, groups, BatchNorm, an activation, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            nn.ReLU6(),
            nn.Conv2d(8, 16, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        return self.layers((pixels_N3HW.float() - 127.5) / 127.5)


class Sorting(nn.Module):
    """A network that leaves PyTorch in the middle: a trace takes what it gave then for a constant."""

    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.sort(pixels_N3HW.float().numpy().reshape(len(pixels_N3HW), -1))[:, ::97].copy())


class Untraceable(nn.Module):
    def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise RuntimeError("no tracing here")
        return pixels_N3HW.float().mean((2, 3))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    made = Convnet().eval().requires_grad_(False)
    made.layers[1].running_mean.normal_()
    made.layers[1].running_var.uniform_(0.5, 2)
    return made


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Pictures of many colours: features tell them well apart."""
    rng = np.random.default_rng(0)
    colours_N311 = rng.integers(0, 200, (37, 3, 1, 1), np.uint8)
    return list(colours_N311 + rng.integers(0, 56, (37, 3, SIZE, SIZE), np.uint8))


@pytest.fixture(scope="module")
def truth(network: nn.Module, pictures: Pictures) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(each[None])).numpy() for each in pictures])


@functools.cache
def converted(network: nn.Module) -> Any:
    return to_openvino(network, torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8))


def openvino_engine(network: nn.Module, precision: str = "fp32", threads: int = 2) -> OpenVinoEngine:
    return OpenVinoEngine(converted(network), precision, threads)


def ran(engine: Any, pictures: Iterable[NDArray[Any]]) -> NDArray[np.float32]:
    return np.stack(list(engine.run(pictures)))


# -- what engines give


def test_openvino_in_fp32_gives_what_pytorch_gives(
    network: nn.Module, pictures: Pictures, truth: NDArray[np.float32]
) -> None:
    got = ran(openvino_engine(network), pictures)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, truth, rtol=0, atol=1e-4)
    assert np.abs(truth[1:] - truth[:-1]).max(1).min() > 1e-3, "rows out of order would not be noticed"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_openvino_keeps_the_order_of_any_number_of_pictures(
    threads: int, network: nn.Module, pictures: Pictures, truth: NDArray[np.float32]
) -> None:
    engine = openvino_engine(network, threads=threads)
    for count in (0, 1, 2, 5, 37):
        got = list(engine.run(iter(pictures[:count])))
        assert len(got) == count
        for row, expected in zip(got, truth, strict=False):
            np.testing.assert_allclose(row, expected, rtol=0, atol=1e-4)


def test_what_openvino_gives_for_a_picture_does_not_depend_on_its_neighbours(
    network: nn.Module, pictures: Pictures
) -> None:
    engine = openvino_engine(network)
    together = ran(engine, pictures)
    backwards = ran(engine, pictures[::-1])[::-1]
    alone = np.concatenate([ran(engine, [each]) for each in pictures])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


def test_rows_that_openvino_gave_are_not_written_over_by_later_pictures(network: nn.Module, pictures: Pictures) -> None:
    stream = openvino_engine(network).run(iter(pictures))
    first = next(stream)
    before = first.copy()
    list(stream)
    np.testing.assert_array_equal(first, before)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 32, 37])
def test_pytorch_gives_the_last_pictures_too_where_they_do_not_fill_a_batch(
    count: int, network: nn.Module, pictures: Pictures, truth: NDArray[np.float32]
) -> None:
    got = list(TorchEngine(network).run(iter(pictures[:count])))
    assert len(got) == count
    for row, expected in zip(got, truth, strict=False):
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-5)


def test_every_batch_that_pytorch_is_given_has_one_shape(pictures: Pictures) -> None:
    shapes: list[tuple[int, ...]] = []

    class Noting(nn.Module):
        def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(pixels_N3HW.shape))
            return pixels_N3HW.float().mean((2, 3))

    list(TorchEngine(Noting()).run(pictures[:19]))
    assert shapes == [(16, 3, SIZE, SIZE)] * 2


def test_an_engine_takes_pictures_as_they_come_and_not_all_at_once(network: nn.Module, pictures: Pictures) -> None:
    for engine, ahead in ((openvino_engine(network), 5), (TorchEngine(network), 16)):
        taken = 0

        def coming() -> Iterator[NDArray[Any]]:
            nonlocal taken
            for each in pictures:
                taken += 1
                yield each

        stream = engine.run(coming())
        next(stream)
        assert taken <= ahead


def test_names_tell_engines_and_precisions_apart(network: nn.Module) -> None:
    names = [TorchEngine(network).name, TorchEngine(network, "cuda:1", "bf16").name]
    names += [openvino_engine(network, precision).name for precision in ("fp32", "bf16")]
    assert len(set(names)) == 4
    assert [name.split()[0] for name in names] == ["torch", "torch", "openvino", "openvino"]
    assert [name.split()[-1] for name in names] == ["fp32", "bf16", "fp32", "bf16"]
    assert names[1].split()[2] == "cuda"


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_activations_come_as_they_are_shaped(kind: str, network: nn.Module, pictures: Pictures) -> None:
    class Below(nn.Module):
        """The network up to its last convolution."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = network.layers[:5]

        def forward(self, pixels_N3HW: torch.Tensor) -> torch.Tensor:
            return self.layers((pixels_N3HW.float() - 127.5) / 127.5)

    below = Below().eval()
    engine = openvino_engine(below) if kind == "openvino" else TorchEngine(below)
    with torch.inference_mode():
        expected = below(torch.from_numpy(np.stack(pictures[:19]))).numpy()
    got = ran(engine, pictures[:19])
    assert got.shape == (19, 8, 12, 12)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


class Giving:
    """An engine that gives what it is given."""

    name = "giving"

    def run(self, inputs: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        yield from inputs


def test_narrow_results_are_halves_that_end_where_halves_end() -> None:
    given = np.array([0, 1.5, -1.5, 65504, 65519, 65520, 1e9, -1e9, np.inf, -np.inf, 1e-9], np.float32)
    [found] = Narrow(Giving()).run([given])
    assert found.dtype == np.float16
    most = 65504.0
    assert found.tolist() == [0, 1.5, -1.5, most, most, most, most, -most, most, -most, 0]


def test_narrow_results_are_the_engine_s_to_eleven_bits(network: nn.Module, pictures: Pictures) -> None:
    full, narrow = ran(TorchEngine(network), pictures), ran(Narrow(TorchEngine(network)), pictures)
    assert (narrow.dtype, narrow.shape) == (np.float16, full.shape)
    np.testing.assert_array_equal(narrow, full.astype(np.float16))
    np.testing.assert_allclose(narrow.astype(np.float32), full, rtol=2**-11, atol=1e-7)
    assert least_cosine(narrow, full) > 0.99999


def test_a_narrow_engine_goes_by_the_name_of_the_one_inside_and_takes_pictures_as_they_come() -> None:
    taken: list[int] = []
    inputs = (taken.append(i) or np.zeros(2, np.float32) for i in range(9))  # type: ignore[func-returns-value]
    engine = Narrow(Giving())
    next(engine.run(inputs))
    assert (engine.name, taken) == ("giving", [0])


def test_no_engine_gives_the_inputs_themselves(pictures: Pictures) -> None:
    found = list(Plain().run(iter(pictures)))
    assert len(found) == len(pictures)
    assert all(one is other for one, other in zip(found, pictures, strict=True))
    assert Plain().name == "inputs"


# -- which one is taken


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "device", lambda: "cpu")


def test_openvino_is_taken_where_it_agrees(network: nn.Module, pictures: Pictures) -> None:
    chosen = choose(network, pictures[:4], "fp32", 2)
    assert chosen.engine.name.startswith("openvino")
    assert engines.LEAST_COSINE["fp32"] <= chosen.cosine <= 1 + 1e-9
    assert chosen.note == ""


def test_a_precision_that_does_not_exist_is_refused_with_those_that_do(network: nn.Module, pictures: Pictures) -> None:
    with pytest.raises(UsageError, match="no precision called 'fp8'") as caught:
        choose(network, pictures, "fp8", 1)  # type: ignore[arg-type]
    assert "auto, fp32, bf16" in str(caught.value)
    assert caught.value.exit_code == 2


def skewed(monkeypatch: pytest.MonkeyPatch, *precisions: str) -> None:
    """Let OpenVINO give something else in these precisions."""
    run = OpenVinoEngine.run

    def wrong(self: OpenVinoEngine, inputs: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for row in run(self, inputs):
            yield row[::-1] if self.precision in precisions else row

    monkeypatch.setattr(OpenVinoEngine, "run", wrong)


@pytest.mark.parametrize("native", [True, False])
def test_an_engine_that_disagrees_is_refused_with_a_note_and_pytorch_is_taken(
    native: bool,
    network: nn.Module,
    pictures: Pictures,
    truth: NDArray[np.float32],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "native_bf16", lambda: native)
    skewed(monkeypatch, "bf16", "fp32")
    chosen = choose(network, pictures[:4], "auto", 2, tmp_path / "kept")
    assert isinstance(chosen.engine, TorchEngine)
    assert chosen.cosine == 1.0
    assert chosen.note.startswith("OpenVINO fp32 was refused: cosine")
    np.testing.assert_allclose(ran(chosen.engine, pictures), truth, rtol=0, atol=1e-5)
    again = choose(network, pictures[:4], "auto", 2, tmp_path / "kept")
    assert (again.engine.name, again.note) == (chosen.engine.name, chosen.note)


def test_where_bf16_disagrees_fp32_is_taken_and_the_note_says_why(
    network: nn.Module, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "native_bf16", lambda: True)
    skewed(monkeypatch, "bf16")
    chosen = choose(network, pictures[:4], "auto", 2)
    assert chosen.engine.name.endswith("fp32")
    assert chosen.engine.name.startswith("openvino")
    assert chosen.note.startswith("OpenVINO bf16 was refused")


def test_bf16_is_not_tried_by_itself_on_a_cpu_that_only_emulates_it(
    network: nn.Module, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "native_bf16", lambda: False)
    skewed(monkeypatch, "bf16")  # a try would leave a note
    chosen = choose(network, pictures[:4], "auto", 2)
    assert (chosen.engine.name.split()[-1], chosen.note) == ("fp32", "")


def test_features_that_are_not_numbers_are_never_taken_for_agreement(
    network: nn.Module, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = OpenVinoEngine.run
    monkeypatch.setattr(OpenVinoEngine, "run", lambda self, inputs: (row * np.nan for row in run(self, inputs)))
    assert isinstance(choose(network, pictures[:4], "fp32", 2).engine, TorchEngine)


def test_a_network_that_cannot_be_converted_runs_in_pytorch_and_the_note_says_why(pictures: Pictures) -> None:
    with pytest.raises(EngineError, match="OpenVINO cannot run this network"):
        openvino_engine(Untraceable().eval())
    chosen = choose(Untraceable().eval(), pictures[:4], "auto", 2)
    assert isinstance(chosen.engine, TorchEngine)
    assert "no tracing here" in chosen.note


def test_a_network_whose_trace_forgets_what_it_does_is_noticed(pictures: Pictures) -> None:
    """The trace of this one is a constant: it gives every picture the features of the first."""
    chosen = choose(Sorting().eval(), pictures[:4], "fp32", 2)
    assert isinstance(chosen.engine, TorchEngine)
    assert chosen.note


# -- what is kept for the next run


def test_what_was_chosen_is_recalled_by_the_next_run_and_not_compared_again(
    network: nn.Module, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recalled(tmp_path / "kept", "fp32") is None
    first = choose(network, pictures[:4], "fp32", 2, tmp_path / "kept")
    expected = Recalled(first.engine.name, first.cosine, "")
    assert recalled(tmp_path / "kept", "fp32") == expected
    assert recalled(tmp_path / "kept", "auto") is None
    monkeypatch.setattr(TorchEngine, "run", lambda *_: pytest.fail("compared again"))
    monkeypatch.setattr(engines, "to_openvino", lambda *_: pytest.fail("converted again"))
    second = choose(network, pictures[:4], "fp32", 2, tmp_path / "kept")
    assert Recalled(second.engine.name, second.cosine, second.note) == expected


def test_the_first_run_and_those_that_find_its_model_give_the_very_same_features(
    network: nn.Module, pictures: Pictures, tmp_path: Path
) -> None:
    first, second = (choose(network, pictures[:4], "fp32", 2, tmp_path / "kept").engine for _ in range(2))
    np.testing.assert_array_equal(ran(first, pictures), ran(second, pictures))


def test_a_kill_before_the_choice_was_kept_only_repeats_the_comparison(
    network: nn.Module, pictures: Pictures, tmp_path: Path
) -> None:
    first = choose(network, pictures[:4], "fp32", 2, tmp_path / "kept")
    (tmp_path / "kept" / "fp32.json").unlink()
    second = choose(network, pictures[:4], "fp32", 2, tmp_path / "kept")
    assert (second.engine.name, second.cosine) == (first.engine.name, first.cosine)
    assert json.loads((tmp_path / "kept" / "fp32.json").read_text())["name"] == first.engine.name


def test_a_choice_made_on_a_cpu_is_not_recalled_where_there_is_a_gpu(
    network: nn.Module, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(network, pictures[:4], "fp32", 2, tmp_path / "kept")
    monkeypatch.setattr(engines, "device", lambda: "cuda")
    assert recalled(tmp_path / "kept", "fp32") is None


@pytest.mark.parametrize(
    ("place", "precision", "expected"),
    [("cuda", "auto", "bf16"), ("cuda", "bf16", "bf16"), ("cuda", "fp32", "fp32"), ("mps", "auto", "fp32")],
)
def test_on_a_gpu_pytorch_is_taken(
    place: str, precision: Any, expected: str, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "device", lambda: place)
    went: list[str] = []
    network = Convnet()
    monkeypatch.setattr(network, "to", lambda where: went.append(where) or network)
    chosen = choose(network, pictures[:1], precision, 1)
    assert isinstance(chosen, Chosen)
    assert chosen.engine == TorchEngine(network, place, expected)
    assert went == [place]


# -- how agreement is measured


def test_the_least_cosine_is_that_of_the_worst_row() -> None:
    truth = np.eye(3)
    off = truth.copy()
    off[1] = [0, 3, 4]
    assert least_cosine(truth * 7, truth) == pytest.approx(1)
    assert least_cosine(off, truth) == pytest.approx(0.6)


def test_rows_of_zeros_agree_with_each_other_and_with_nothing_else() -> None:
    zeros, ones = np.zeros((2, 3)), np.ones((2, 3))
    assert least_cosine(zeros, zeros) == 1
    assert least_cosine(zeros, ones) == 0
    assert least_cosine(ones * np.nan, ones) == -1


def test_activations_are_compared_row_by_row_whatever_their_shape() -> None:
    rng = np.random.default_rng(0)
    truth, other = rng.normal(size=(2, 5, 3, 4, 4))
    found = least_cosine(other, truth)
    assert found == pytest.approx(least_cosine(other.reshape(5, -1), truth.reshape(5, -1)))
    assert found < 0.5
    assert least_cosine(2 * truth, truth) == pytest.approx(1)


def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    code = """
        import sys
        import torch
        from headstart.backbones import from_openvino
        from_openvino.to_openvino(torch.nn.Linear(2, 2).eval(), torch.zeros(1, 2))
        assert from_openvino.native_bf16() in (True, False)
        assert sys.modules["openvino_telemetry"] is None
    """
    at_home = {**tiny.environment(), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", dedent(code)]
    done = subprocess.run(command, env=at_home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*openvino*"))  # where its telemetry keeps the number by which it knows a user


# -- inputs of different lengths


class Words(nn.Module):
    """tokens_NL2 -> features_ND: the mean of the tokens' vectors, turned by their place among them."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(50, 16), nn.Linear(16, 6)

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        there_NL1 = (tokens_NL2[..., 1:] > 0).float()
        hidden_NLD = self.table(tokens_NL2[..., 0].long()) * there_NL1
        hidden_NLD = torch.sin(hidden_NLD + there_NL1.cumsum(1)) * there_NL1
        return self.last(hidden_NLD.sum(1) / there_NL1.sum(1))


class Shapes(nn.Module):
    """Notes the shapes of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(tokens_NL2.shape))
        return tokens_NL2[:, :1, 0].float()


@pytest.fixture(scope="module")
def words() -> nn.Module:
    torch.manual_seed(0)
    return Words().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def texts() -> Pictures:
    rng = np.random.default_rng(0)
    return [tiny_text.tokens(int(count), seed) for seed, count in enumerate(rng.integers(1, 30, 45))]


@pytest.fixture(scope="module")
def said(words: nn.Module, texts: Pictures) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.concatenate([words(torch.from_numpy(each[None])).numpy() for each in texts])


def test_texts_of_any_length_come_back_in_their_order(
    words: nn.Module, texts: Pictures, said: NDArray[np.float32]
) -> None:
    chosen = choose(words, texts[:5], "fp32", 2, None, 8)
    assert chosen.engine.name.startswith("openvino"), chosen.note
    assert np.abs(said[1:] - said[:-1]).max(1).min() > 1e-3, "rows out of order would not be noticed"
    for engine in (chosen.engine, TorchEngine(words)):
        np.testing.assert_allclose(ran(engine, texts), said, rtol=0, atol=1e-4)


def test_what_a_text_gives_does_not_depend_on_what_is_beside_it_or_left(words: nn.Module, texts: Pictures) -> None:
    for engine in (choose(words, texts[:5], "fp32", 2, None, 8).engine, TorchEngine(words)):
        whole = ran(engine, texts)
        np.testing.assert_array_equal(ran(engine, texts[30:]), whole[30:])
        np.testing.assert_array_equal(ran(engine, texts[::-1]), whole[::-1])
        np.testing.assert_array_equal(np.concatenate([ran(engine, [each]) for each in texts[:6]]), whole[:6])


def test_batches_are_of_one_length_and_full() -> None:
    network, lengths = Shapes(), [4, 8, 4, 12, 8, 4] * 10
    given = [np.full((length, 2), place + 1, np.int32) for place, length in enumerate(lengths)]
    assert ran(TorchEngine(network), given)[:, 0].tolist() == [i + 1 for i in range(60)]
    assert {shape[0] for shape in network.seen} == {16}
    assert sorted(shape[1] for shape in network.seen) == [4, 4, 8, 8, 12]


def test_activations_of_different_lengths_come_back_each_of_its_own() -> None:
    class Same(nn.Module):
        def forward(self, tokens_NL2: torch.Tensor) -> torch.Tensor:
            return tokens_NL2.float() * 2

    given = tiny_text.some_tokens(5, 9, 6, 14)
    for got, each in zip(TorchEngine(Same()).run(given), given, strict=True):
        np.testing.assert_array_equal(got, 2 * each)


def test_a_network_that_was_kept_for_texts_takes_any_length_the_next_time(
    words: nn.Module, texts: Pictures, said: NDArray[np.float32], tmp_path: Path
) -> None:
    first = choose(words, texts[:1], "fp32", 2, tmp_path, 8)
    again = choose(words, texts[3:4], "fp32", 2, tmp_path, 8)
    assert first.engine.name == again.engine.name
    np.testing.assert_array_equal(ran(first.engine, texts), ran(again.engine, texts))
    np.testing.assert_allclose(ran(again.engine, texts), said, rtol=0, atol=1e-4)
