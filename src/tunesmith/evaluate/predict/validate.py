"""What is measured in the middle of training: metrics of a model on validation rows, without intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunesmith.evaluate.predict import Manner, predict
from tunesmith.records import Record

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.metrics import Metric
    from tunesmith.models.load import Model


def validation_metrics(
    model: Model,
    codec: Codec,
    records: Sequence[Record],
    metrics: Sequence[Metric],
    *,
    manner: Manner,
    labels: Sequence[str] = (),
    max_new_tokens: int = 0,
    batch: int = 32,
) -> dict[str, float]:
    """Metric name -> value on these records; a metric with nothing to measure is left out.

    Only what the metrics need is computed: without one that reads text nothing is generated.
    """
    needs = {need for metric in metrics for need in metric.needs}
    predictions = predict(
        model,
        codec,
        records,
        manner=manner,
        labels=labels,
        max_new_tokens=max_new_tokens,
        batch=batch,
        nll="nll" in needs,
        text=bool(needs & {"text", "label"}),
        alone=len(records) if "seconds" in needs else 0,
    )
    values = {metric.name: metric.score(predictions).value for metric in metrics}
    return {name: value for name, value in values.items() if math.isfinite(value)}
