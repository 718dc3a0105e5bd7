"""An exported model gives, in another runtime, what it gave here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny
from headstart import predictor
from headstart.backbones.backbone import pixels
from headstart.data.pixels import load_pixels
from headstart.errors import UsageError
from headstart.export import export
from headstart.options import Options
from headstart.pipeline import fit

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


def test_a_classifier_as_onnx_gives_the_same_logits_for_any_number_of_pictures(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    data = tiny.photos(tmp_path / "photos", each=8, classes=2)
    backbone = str(tiny.timm_folder(tmp_path / "network"))
    fit(Options(str(data), str(tmp_path / "model"), backbone=backbone, cache=str(tmp_path / "cache"), budget=0))
    model = predictor.load(tmp_path / "model", cache=tmp_path / "cache")
    assert export(model, tmp_path / "model.onnx") == ("logits",)
    pictures = sorted(data.rglob("*.*"))[:3]
    x_N3HW = np.stack([load_pixels(p.read_bytes(), pixels(model.backbone)) for p in pictures])
    run = openvino.Core().compile_model(str(tmp_path / "model.onnx"), "CPU")
    logits_NK = np.asarray(run(x_N3HW)[0])
    p_NK = model.aim.probabilities(logits_NK)
    said = model.predict(pictures)
    for p_K, each in zip(p_NK, said, strict=True):
        np.testing.assert_allclose(p_K, [p for _, p in each.probabilities], atol=1e-3)


def test_a_model_of_texts_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Texts:
        kind, name = "text", "text-classification"

    model = predictor.Predictor(tmp_path, Texts(), *[None] * 5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Only models of pictures"):
        export(model, tmp_path / "model.onnx")
