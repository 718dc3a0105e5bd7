"""pairs: few labels used in pairs: examples of one class are pulled together, others apart, then a head is fitted.

Source: SetFit (Tunstall et al. 2022, 2209.11055): sentence encoders tuned so that the cosine of two texts is 1 within a
class and 0 across, then a logistic regression. Eight texts of each of two classes are 120 pairs, which say more of the
classes than sixteen labels do. The recipe draws pairs and encodes both texts of each; here all pairs of a batch count,
those within and those across classes the same in sum, so that a text is encoded once and not forty times.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from headstart.heads.linear import LinearHead
from headstart.heads.logistic import fit_logistic
from headstart.heads.top import Top
from headstart.stages.batches import Source, tensor
from headstart.stages.split import Index

FEW = 100
"""Up to so many examples a class, pairs are worth trying: with more, labels alone say as much."""
STEPS = 24
RATES = (5e-5,)
_C = 1.0
_BLOCK = 64


def pair_loss(features_BD: torch.Tensor, target_B: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of the pairs' cosines, from 1 within classes and from 0 across.

    Both kinds weigh the same, where a batch has both.
    """
    unit_BD = F.normalize(features_BD, dim=-1)
    cosine_P, same_P = _pairs(unit_BD @ unit_BD.T), _pairs(target_B[:, None] == target_B)
    error_P = (cosine_P - same_P.to(cosine_P.dtype)) ** 2
    kinds = [error_P[kind].mean() for kind in (same_P, ~same_P) if bool(kind.any())]
    return torch.stack(kinds).mean() if kinds else features_BD.sum() * 0


def _pairs(square_BB: torch.Tensor) -> torch.Tensor:
    row, column = torch.triu_indices(len(square_BB), len(square_BB), offset=1)
    return square_BB[row, column]


def fit_head(model: Top, source: Source, rows: Index, target_N: Index, classes: int, device: str) -> None:
    """Give a model the logistic regression on its own features of some examples."""
    features = []
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(rows), _BLOCK):
            x_B = tensor(source.clean(rows[at : at + _BLOCK]), device)
            features.append(model.features(x_B).float().cpu().numpy())
    head = fit_logistic(np.concatenate(features).astype(np.float64), target_N[rows], classes, (_C,))[0]
    model.begin(on_standardised(head))


def on_standardised(head: LinearHead) -> LinearHead:
    """Return the same head with its own standardisation folded in, on what it was given."""
    weight_DK, bias_K = head.folded()
    zero_D = np.zeros(len(weight_DK))
    return LinearHead(zero_D, zero_D + 1, weight_DK, bias_K)
