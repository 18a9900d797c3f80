"""Integrated gradients: how much each token adds to what is explained (Sundararajan et al. 2017, arXiv 1703.01365).

The question's tokens are led from the mean embedding of the vocabulary to their own, and the gradient is summed up on
the way. What stands around the question stays, and gets nothing. The shares of all tokens sum to the difference that
the question makes; how far they miss it is the completeness gap, and more steps are taken where it is too large.

Tensors: S steps, T tokens of a row, D hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunesmith.evaluate.explain.put import Put, parts, score
from tunesmith.models.inference.inside import embedding_layer, mean_embedding, replaced_embeddings

if TYPE_CHECKING:
    from tunesmith.models.model import Model

STEPS = 32
"""Taken at first."""
MOST_STEPS = 512
TOLERANCE = 0.05
"""The largest gap that is put up with, as a share of all that is attributed, before more steps are taken."""


@dataclass(frozen=True)
class Attribution:
    """What the tokens of a row add."""

    values: NDArray[np.float64]
    """[T], in nats; 0 for what is none of the question's."""
    difference: float
    """What is explained, less what it is without the question: what the values should sum to."""
    steps: int

    @property
    def gap(self) -> float:
        """How far the sum misses the difference, as a share of all that is attributed."""
        mass = float(np.abs(self.values).sum())
        return abs(float(self.values.sum()) - self.difference) / mass if mass else 0.0


def attribute(model: Model, row: Put, *, batch: int, steps: int = STEPS, most: int = MOST_STEPS) -> Attribution:
    """Integrated gradients of a row; steps are doubled until the gap is small, or `most` are taken.

    Args:
        model: any, with its weights in floating point.
        row: as it is read, with what is explained.
        batch: steps computed at once.
        steps: taken at first.
        most: taken at the most.
    """
    model.train(False)
    baseline_D = mean_embedding(model)
    while True:
        values_T, difference = np.zeros(len(row.ids)), 0.0
        for sign, part in parts(row):
            some_T, apart = _path(model, part, baseline_D, steps, batch)
            values_T += sign * some_T
            difference += sign * apart
        found = Attribution(values_T, difference, steps)
        if found.gap <= TOLERANCE or steps * 2 > most:
            return found
        steps *= 2


def _path(model: Model, row: Put, baseline_D: Tensor, steps: int, batch: int) -> tuple[NDArray[np.float64], float]:
    """The integral along the straight line by Gauss and Legendre's points, and the difference of its ends."""
    # A causal model reads its answer behind the question.
    read = [*row.ids, *(row.answer.written[0] if model.head is None and model.family == "causal" else ())]
    with torch.no_grad():
        own_TD = embedding_layer(model)(torch.tensor([read], device=model.device))[0]
    free_T1 = torch.zeros(len(read), 1, dtype=torch.bool, device=own_TD.device)
    free_T1[: len(row.ids), 0] = torch.from_numpy(row.free)
    start_TD = torch.where(free_T1, baseline_D.to(own_TD), own_TD)
    points_S, weights_S = np.polynomial.legendre.leggauss(steps)
    slopes_TD = torch.zeros_like(own_TD)
    for first in range(0, steps, batch):
        some = slice(first, first + batch)
        at_S11 = torch.tensor((points_S[some] + 1) / 2).to(own_TD)[:, None, None]
        path_STD = (start_TD + at_S11 * (own_TD - start_TD)).requires_grad_()
        with replaced_embeddings(model, path_STD):
            told_S = score(model, [row] * len(path_STD))
        (slope_STD,) = torch.autograd.grad(told_S.sum(), path_STD)
        slopes_TD += (torch.tensor(weights_S[some] / 2).to(own_TD)[:, None, None] * slope_STD).sum(dim=0)
    ends_2TD = torch.stack([start_TD, own_TD])
    with torch.no_grad(), replaced_embeddings(model, ends_2TD):
        before, after = score(model, [row, row]).double().tolist()
    values_T = (slopes_TD * (own_TD - start_TD)).sum(dim=1)[: len(row.ids)]
    return values_T.double().cpu().numpy(), after - before
