"""The demo: the main job on patches of scikit-image's photographs, which come with that package."""

from __future__ import annotations

import io
import shlex
import tempfile
from pathlib import Path
from typing import Any

from headstart.errors import UsageError
from headstart.options import Options
from headstart.pipeline import Result, fit
from headstart.progress import Track
from headstart.runs import Tell, seconds
from headstart.store import save_bytes

PHOTOS = {
    "brick wall": "brick",
    "coins": "coins",
    "grass": "grass",
    "gravel": "gravel",
    "night sky": "hubble_deep_field",
    "printed page": "page",
    "retina": "retina",
    "tissue": "immunohistochemistry",
}
SIDE = 96
OUT = "headstart-demo"
"""Where the model goes unless it is told."""
ABOUT = (
    "The demo's data are real but easy: patches of 96 x 96 pixels cut from eight photographs that come with "
    "scikit-image\n(brick wall, coins, grass, gravel, night sky, printed page, retina, tissue). "
    "Training patches come from the left of each\nphotograph, test patches from the right, with a gap between. "
    "All patches of a class show one scene, so the score says\nthat everything works, not how it will do on your "
    "pictures."
)


BUDGET = "1m"
"""The linear head is there after seconds; on a slow machine no tuning fits into the rest, and the report says so."""


def run(out: str, cache: str, track: Track, budget: str = BUDGET, tell: Tell = lambda _: None) -> Result:
    """Cut the patches and fit.

    Args:
        out: the model folder.
        cache: folder of the feature cache.
        track: shows progress.
        budget: for the whole run, as people write it.
        tell: told in a line what is going on.

    Raises:
        UsageError: scikit-image is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-demo-") as folder:
        data = Path(folder) / "demo"
        write_patches(data)
        given = (["--out", out] if out != OUT else []) + (["--budget", budget] if budget != BUDGET else [])
        command = shlex.join(["headstart", "demo", *given])
        return fit(Options(str(data), out, cache=cache, command=command, budget=seconds(budget)), track, tell=tell)


def write_patches(root: Path) -> None:
    """Write train/ and test/ folders of PNG patches.

    Raises:
        UsageError: scikit-image is not installed.
    """
    try:
        import skimage.data
    except ImportError as error:
        raise UsageError(
            "The demo's pictures come with scikit-image, which is not installed.",
            hint='pip install "headstart[demo]"',
        ) from error
    for label, name in PHOTOS.items():
        picture = getattr(skimage.data, name)()
        for part, (start, end) in {"train": (0.0, 0.6), "test": (0.65, 1.0)}.items():
            width = picture.shape[1]
            region = picture[:, round(start * width) : round(end * width)]
            for i, patch in enumerate(_patches(region)):
                save_bytes(root / part / label / f"{i:03}.png", patch)


def _patches(region: Any) -> list[bytes]:
    """Cut a region into patches, half overlapping where it is small, as PNG; blank ones are left out."""
    from PIL import Image

    height, width = region.shape[:2]
    side = min(SIDE, height, width)
    step = side if height * width > 24 * side * side else side // 2
    out = []
    for top in range(0, height - side + 1, step):
        for left in range(0, width - side + 1, step):
            patch = region[top : top + side, left : left + side]
            if patch.std() > 4:
                buffer = io.BytesIO()
                Image.fromarray(patch).save(buffer, "PNG")
                out.append(buffer.getvalue())
    return out[:: max(1, len(out) // 40)]
