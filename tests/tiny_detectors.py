"""Tiny detectors of DETR's family with random weights that tests make, saved as transformers saves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t

LABELS = 5
"""Classes that they were "trained" for, other than a test's own."""
_SMALL = {
    "d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16, "encoder_layers": 1, "decoder_layers": 2, "num_queries": 12, "use_timm_backbone": False,
    "use_pretrained_backbone": False, "backbone": None, "num_labels": LABELS,
}  # fmt: skip
_HYBRID = {
    "d_model": 16, "encoder_hidden_dim": 16, "encoder_in_channels": [16] * 3, "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2, "decoder_in_channels": [16] * 3, "decoder_ffn_dim": 16, "decoder_layers": 2,
    "decoder_attention_heads": 2, "num_queries": 20, "num_denoising": 10, "num_labels": LABELS,
}  # fmt: skip
_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 16], "depths": [1] * 4, "layer_type": "basic"}
_LEVELS = ["stage2", "stage3", "stage4"]
_SQUARE = {"height": 128, "width": 128}


def _rt_detr() -> tuple[Any, Any]:
    below = t.RTDetrResNetConfig(**_RESNET, out_features=_LEVELS)
    return t.RTDetrConfig(backbone_config=below, **_HYBRID), t.RTDetrImageProcessor(size=_SQUARE)


def _d_fine() -> tuple[Any, Any]:
    below = t.HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 16], stage_mid_channels=[4] * 4,
        stage_out_channels=[8, 16, 16, 16], stage_num_blocks=[1] * 4, stage_downsample=[False, True, True, True],
        stage_light_block=[False] * 4, stage_kernel_size=[3] * 4, stage_numb_of_layers=[2] * 4, out_features=_LEVELS,
        embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1] * 4,
    )  # fmt: skip
    config = t.DFineConfig(backbone_config=below, decoder_n_points=[2, 2, 2], **_HYBRID)
    return config, t.RTDetrImageProcessor(size=_SQUARE)


def _yolos() -> tuple[Any, Any]:
    config = t.YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=[96, 96],
        num_detection_tokens=12, num_labels=LABELS,
    )  # fmt: skip
    return config, t.YolosImageProcessor()


def _detr() -> tuple[Any, Any]:
    below = t.ResNetConfig(**_RESNET, out_features=["stage4"])
    return t.DetrConfig(backbone_config=below, **_SMALL), t.DetrImageProcessor()


KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "rt_detr": _rt_detr,
    "d_fine": _d_fine,
    "yolos": _yolos,
    "detr": _detr,
}


def folder_of(kind: str, folder: Path) -> Path:
    """Save a detector of a kind with its processor; return the folder."""
    config, processor = KINDS[kind]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = t.AutoModelForObjectDetection.from_config(config)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
