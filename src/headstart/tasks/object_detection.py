"""Object detection: boxes with a label each, on a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.backbones.backbone import Backbone, from_pixels, pixels
from headstart.backbones.depths import Depth
from headstart.backbones.detectors import fitted, open_detector_backbone
from headstart.data.augment import View
from headstart.data.box_views import load_box_view, seen
from headstart.data.examples import Examples
from headstart.data.pictures import inspect_picture
from headstart.tasks.image_classification import IMAGE_CLASSIFICATION
from headstart.tasks.task import Augment, Load, Prober, Task


def _fitted(backbone: Backbone, examples: Examples) -> Backbone:
    targets = [e.target for e in examples.items]
    learned = [e.target for e in examples.items if e.part in ("", "train")]
    return fitted(backbone, targets, learned or targets)


def _probe(backbone: Backbone, seed: int) -> Prober:
    from headstart.stages.box_probe import box_probe

    return partial(box_probe, backbone, seed=seed)


def _view(backbone: Backbone, view: View) -> Load:
    return partial(load_box_view, preprocess=pixels(backbone), view=view)


def _change(backbone: Backbone) -> Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]:
    return lambda pixels_3HW, rng: seen(pixels_3HW, pixels(backbone).size, rng)


def _depths(backbone: Backbone) -> tuple[Depth, ...]:
    from headstart.backbones import depth, whole

    return whole.depths(backbone) if backbone.whole else depth.map_depths(backbone)


def _network(network: Any, preprocess: Any) -> Any:
    from headstart.backbones.whole import OfBytes

    return network if isinstance(network, OfBytes) else from_pixels(network, preprocess)


OBJECT_DETECTION = Task(
    name="object-detection",
    noun="picture",
    kind="picture",
    goals=("boxes",),
    inspect=inspect_picture,
    backbone=open_detector_backbone,
    fitted=_fitted,
    probe=_probe,
    load=IMAGE_CLASSIFICATION.load,
    size=lambda _: 0,
    batch=1,
    depths=_depths,
    given=IMAGE_CLASSIFICATION.given,
    inputs=IMAGE_CLASSIFICATION.inputs,
    augment=Augment(_view, IMAGE_CLASSIFICATION.augment.wide, _change, views=8),
    network=_network,
    draw=IMAGE_CLASSIFICATION.draw,
    pieces=None,
    sample='"new.jpg"',
    endings=IMAGE_CLASSIFICATION.endings,
    longer=4,
)
