"""Predictions on disk: one Parquet table an arm, readable by any tool, and back again."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunesmith.records import Prediction, Record, Span
from tunesmith.runs import write_bytes

_SPAN = pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())])
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("expected", pa.string()),
        ("output", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("spans", pa.list_(_SPAN)),
        ("nll", pa.float64()),
        ("num_tokens", pa.int64()),
        ("num_chars", pa.int64()),
        ("seconds", pa.float64()),
        ("samples", pa.list_(pa.string())),
        ("measured", pa.map_(pa.string(), pa.float64())),
        ("record", pa.string()),
    ]
)


def write_predictions(path: Path, predictions: Sequence[Prediction]) -> None:
    """Writes predictions whole or not at all; `record` holds the record as JSON."""
    table = pa.Table.from_pylist([_row(prediction) for prediction in predictions], schema=_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions that `write_predictions` wrote."""
    return [_prediction(row) for row in pq.read_table(path).to_pylist()]


def _row(prediction: Prediction) -> dict[str, Any]:
    return {
        "id": _utf8(prediction.record.id),
        "source": _utf8(prediction.record.source),
        "expected": _utf8(prediction.expected),
        "output": _utf8(prediction.output),
        "scores": [(_utf8(label), score) for label, score in prediction.scores.items()],
        "spans": None
        if prediction.spans is None
        else [{"start": span.start, "end": span.end, "label": _utf8(span.label)} for span in prediction.spans],
        "nll": prediction.nll,
        "num_tokens": prediction.num_tokens,
        "num_chars": prediction.num_chars,
        "seconds": prediction.seconds,
        "samples": [_utf8(sample) for sample in prediction.samples],
        "measured": [(_utf8(name), value) for name, value in prediction.measured.items()],
        # Escapes keep half of a surrogate pair, which UTF-8 cannot hold.
        "record": json.dumps(prediction.record.to_json(), ensure_ascii=True),
    }


def _prediction(row: dict[str, Any]) -> Prediction:
    spans = row["spans"]
    return Prediction(
        record=Record.from_json(json.loads(row["record"])),
        output=row["output"],
        expected=row["expected"],
        scores=dict(row["scores"]),
        spans=None if spans is None else tuple(Span(**span) for span in spans),
        nll=row["nll"],
        num_tokens=row["num_tokens"],
        num_chars=row["num_chars"],
        seconds=row["seconds"],
        samples=tuple(row["samples"]),
        measured=dict(row["measured"]),
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
