"""What is published of architectures: accuracy on ImageNet-1k, in per cent, plain data with their sources.

A good prior is hard to beat by scores of transferability (mean weighted Kendall tau over 11 models and 11 data sets:
ImageNet accuracy alone .65, LogME .51, NLEEP .61, SFDA .71), so that it takes part in the choice.
"""

from __future__ import annotations

ACCURACY = {
    # torchvision's documentation, IMAGENET1K_V1 weights
    "alexnet": 56.5,
    "squeezenet1_1": 58.2,
    "vgg16": 71.6,
    "mobilenet_v2": 71.9,
    "resnet18": 69.8,
    "resnet50": 76.1,
    "densenet121": 74.4,
    # the EfficientNet-lite README (TensorFlow TPU repository), which timm's weights reproduce
    "tf_efficientnet_lite0": 74.8,
    "tf_efficientnet_lite1": 76.6,
    "tf_efficientnet_lite2": 77.5,
    "efficientnet_lite0": 75.5,
    # timm's results-imagenet.csv
    "mobilenetv2_100": 73.0,
}


def published(architecture: str) -> float | None:
    """Return the accuracy published of an architecture, in per cent; None where none is known here."""
    return ACCURACY.get(architecture.split(".")[0].lower())
