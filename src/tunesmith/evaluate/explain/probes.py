"""What hidden states say of a label or a column, layer by layer: a linear probe, cross-validated on test rows.

A probe may learn what no layer holds, so the same probe is fitted to labels that were dealt out anew (a control in the
sense of Hewitt and Liang 2019, arXiv 1909.03368): what it reads of these is its own doing.

L layers, N rows, D hidden width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunesmith.evaluate.comparison import Estimate, closed
from tunesmith.evaluate.explain.found import Layer, Probe
from tunesmith.metrics._intervals import wilson

FOLDS = 5
FEWEST = 10
"""Rows that a value needs, to be told apart."""
MOST_LAYERS = 9
"""Layers that are probed; of more, some evenly spaced, the first and the last among them."""


def layers_of(count: int) -> list[int]:
    """Which layers are probed of `count`: 0 is what the first one reads."""
    return sorted({round(place) for place in np.linspace(0, count, min(MOST_LAYERS, count + 1)).tolist()})


def probe(
    column: str,
    values: Sequence[str],
    states_LND: NDArray[np.float32],
    layers: Sequence[int],
    *,
    confidence: float,
    seed: int,
) -> Probe | None:
    """How well each layer says a value; None where fewer than two values have enough rows.

    Args:
        column: what it is called.
        values: of N rows; empty where a row has none.
        states_LND: one vector a row of each layer.
        layers: their numbers.
        confidence: of the intervals, by which rows of different folds are taken as independent.
        seed: draws the folds and deals the labels out anew.
    """
    counts = Counter(value for value in values if value)
    large = {value for value, count in counts.items() if count >= FEWEST}
    kept = np.array([value in large for value in values])
    if len(large) < 2:
        return None
    names, targets_N = np.unique([value for value in values if value in large], return_inverse=True)
    dealt_N = np.random.default_rng(seed).permutation(targets_N)
    found = []
    for layer, states_ND in zip(layers, states_LND[:, kept], strict=True):
        told = [_right(states_ND, of_rows, seed) for of_rows in (targets_N, dealt_N)]
        found.append(Layer(layer, *(_estimate(hits, len(targets_N), confidence) for hits in told)))
    commonest = int(np.bincount(targets_N).max())
    return Probe(column, len(names), len(targets_N), commonest / len(targets_N), found)


def _right(states_ND: NDArray[np.float32], targets_N: NDArray[np.int64], seed: int) -> int:
    """Rows that probes fitted to the other folds get right."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200, tol=1e-2))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    said_N = cross_val_predict(fitted, states_ND, targets_N, cv=folds)
    return int((said_N == targets_N).sum())


def _estimate(hits: int, rows: int, confidence: float) -> Estimate:
    return Estimate(hits / rows, closed(wilson(hits, rows, confidence)), rows)
