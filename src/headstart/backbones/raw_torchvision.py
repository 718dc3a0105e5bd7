"""What torchvision's one-stage detectors give before it is decoded: for export. Decoding is in `heads.decode_whole`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from headstart.backbones.whole import Exported
from headstart.errors import UsageError
from headstart.heads.decode_whole import Anchored

if TYPE_CHECKING:
    from headstart.backbones.from_torchvision_detectors import Built

OUTPUTS = ("cls_logits", "bbox_regression", "bbox_ctrness")


class Raw(nn.Module):
    """pixels_13HW in 0..255 -> the head's outputs as they are, each by its name in `names`; the anchors_A4 last.

    Args:
        network: an SSD, RetinaNet or FCOS of torchvision, in eval mode; shared, not copied.
        side: of the pictures, in pixels.
    """

    mean: torch.Tensor
    std: torch.Tensor
    anchors: torch.Tensor

    def __init__(self, network: Any, side: int) -> None:
        super().__init__()
        self.network = network
        transform = network.transform
        self.more = -side % transform.size_divisible
        for name, values in (("mean", transform.image_mean), ("std", transform.image_std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        with torch.no_grad():
            levels = self.levels(torch.zeros(1, 3, side, side))
            self.counts = tuple(level.shape[2] * level.shape[3] for level in levels)
            pictures = ImageList(torch.zeros(1, 3, side + self.more, side + self.more), [(side, side)])
            [anchors_A4] = network.anchor_generator(pictures, levels)
            told = network.head(levels)
        self.names = tuple(name for name in OUTPUTS if name in told)
        self.register_buffer("anchors", anchors_A4, persistent=False)

    def levels(self, pixels_N3HW: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps that the head is given."""
        shares = (pixels_N3HW.float() / 255 - self.mean) / self.std
        return list(self.network.backbone(F.pad(shares, (0, self.more, 0, self.more))).values())

    def forward(self, pixels_N3HW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        told = self.network.head(self.levels(pixels_N3HW))
        return (*(told[name] for name in self.names), self.anchors.clone())


def exported(network: Any, built: Built) -> Exported:
    """Return a detector without its decoding, and how that is done.

    Raises:
        UsageError: it has two stages.
    """
    if not isinstance(network, SSD | RetinaNet | FCOS):
        raise UsageError(
            f"{built.architecture} is not exported: between its two stages boxes are decoded and overlapping ones "
            "dropped, inside the network.",
            found=type(network).__name__,
            hint="Train a one-stage detector: ssd300_vgg16, ssdlite320_mobilenet_v3_large, retinanet_resnet50_fpn, "
            "fcos_resnet50_fpn; or use this one through torchvision, as its README.md says.",
        )
    raw = Raw(network.eval(), built.side).eval()
    distances, single = isinstance(network, FCOS), isinstance(network, SSD)
    each = len(raw.anchors) // sum(raw.counts)  # but for SSD, whose levels differ in it and are not told apart
    decoding = Anchored(
        size=built.side,
        levels=(len(raw.anchors),) if single else tuple(each * count for count in raw.counts),
        softmax=single,
        by_class=single,
        distances=distances,
        scale=(1.0,) * 4 if distances else tuple(map(float, network.box_coder.weights)),
        most=0.0 if distances else float(network.box_coder.bbox_xform_clip),
        least=network.score_thresh,
        overlap=network.nms_thresh,
        candidates=network.topk_candidates,
    )
    return Exported(raw, (*raw.names, "anchors"), decoding)
