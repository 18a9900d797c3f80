"""Records as Parquet files: id and source as columns, the whole record as JSON, dropped ones with their reason."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from tunesmith.data.encode.example import ROLES, Example
from tunesmith.data.steps import Changed, Dropped
from tunesmith.records import Record
from tunesmith.runs import write_bytes


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Writes records to Parquet, atomically."""
    _write(path, {"id": [r.id for r in records], "source": [r.source for r in records], "record": _json(records)})


def read_records(path: Path) -> list[Record]:
    """Reads what `write_records` or `write_dropped` wrote."""
    column = pyarrow.parquet.read_table(path, columns=["record"]).column("record")
    return [Record.from_json(json.loads(text)) for text in column.to_pylist()]


def write_dropped(path: Path, dropped: Sequence[Dropped]) -> None:
    """Writes the rows that were left out, each with the step and the reason, atomically."""
    records = [drop.record for drop in dropped]
    _write(
        path,
        {
            "id": [record.id for record in records],
            "source": [record.source for record in records],
            "step": [drop.step for drop in dropped],
            "reason": [drop.reason for drop in dropped],
            "record": _json(records),
        },
    )


def write_changed(path: Path, changed: Sequence[Changed]) -> None:
    """Writes the rows that were put right, before and after, atomically."""
    _write(
        path,
        {
            "id": [change.after.id for change in changed],
            "step": [change.step for change in changed],
            "reason": [change.reason for change in changed],
            "before": _json([change.before for change in changed]),
            "after": _json([change.after for change in changed]),
        },
    )


def _json(records: Sequence[Record]) -> list[str]:
    # Escaped, because what is dropped may hold half a character that UTF-8 cannot write.
    return [json.dumps(record.to_json()) for record in records]


def _write(path: Path, columns: dict[str, list[str]]) -> None:
    safe = {
        name: pyarrow.array([text.encode("utf-8", "replace").decode("utf-8") for text in texts], pyarrow.string())
        for name, texts in columns.items()
    }
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(safe), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def sample(examples: Sequence[Example], tokenizer: Any, count: int) -> list[dict[str, Any]]:
    """The first examples token by token, for people to look at: `[{id, tokens: [{text, role, trained}]}]`.

    An encoder-decoder's answer follows its prompt, all of it trained.
    """
    return [{"id": example.id, "tokens": _shown(example, tokenizer)} for example in examples[:count]]


def _shown(example: Example, tokenizer: Any) -> list[dict[str, Any]]:
    prompt = zip(_texts(example.ids.tolist(), tokenizer), example.roles, example.trained, strict=True)
    tokens = [{"text": text, "role": ROLES[role], "trained": bool(trained)} for text, role, trained in prompt]
    answer = [] if example.answer_ids is None else example.answer_ids.tolist()
    return tokens + [{"text": text, "role": "assistant", "trained": True} for text in _texts(answer, tokenizer)]


def _texts(ids: list[int], tokenizer: Any) -> list[str]:
    """What each token adds to the text; some tokenizers drop the blank before a token that stands alone."""
    texts = []
    for before, token in zip([[], *([each] for each in ids)], ids, strict=False):
        alone, together = tokenizer.decode([token]), tokenizer.decode([*before, token])
        earlier = tokenizer.decode(before) if before else ""
        texts.append(together[len(earlier) :] if together.startswith(earlier) else alone)
    return texts
