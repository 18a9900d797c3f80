"""Records as Parquet files: id and source as columns, the whole record as JSON, dropped ones with their reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from tunesmith.data.disk.spool import Records, Spool, SpoolWriter
from tunesmith.data.disk.temporary import TemporaryFolder
from tunesmith.data.encode.example import ROLES, Example
from tunesmith.data.steps import Changed, Dropped
from tunesmith.records import Record
from tunesmith.runs import UNFINISHED

BATCH = 2000
"""Rows written and read at once."""


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes records to Parquet, atomically."""
    _write(path, ("id", "source", "record"), ((record.id, record.source, _json(record)) for record in records))


def read_records(path: Path) -> list[Record]:
    """Reads what `write_records` or `write_dropped` wrote."""
    return list(iter_records(path))


def iter_records(path: Path) -> Iterator[Record]:
    """Reads what `write_records` or `write_dropped` wrote, record by record."""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=["record"]):
            yield from (Record.from_json(json.loads(text)) for text in batch.column(0).to_pylist())


def load_records(path: Path) -> Records:
    """What `write_records` wrote, as records in a temporary file that goes with them."""
    return spooled(iter_records(path))


def spooled(records: Iterable[Record]) -> Records:
    """Records in a temporary file that goes with them."""
    folder = TemporaryFolder()
    writer = SpoolWriter(folder.path / "records.spool")
    offsets = np.fromiter((writer.append(record.to_json()) for record in records), np.int64)
    writer.close()
    return Records((Spool(writer.path, folder),), offsets, np.arange(len(offsets), dtype=np.int64))


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Writes the rows that were left out, each with the step and the reason, atomically."""
    rows = ((d.record.id, d.record.source, d.step, d.reason, d.detail, _json(d.record)) for d in dropped)
    _write(path, ("id", "source", "step", "reason", "detail", "record"), rows)


def write_changed(path: Path, changed: Iterable[Changed]) -> None:
    """Writes the rows that were put right, before and after, atomically."""
    rows = ((c.after.id, c.step, c.reason, _json(c.before), _json(c.after)) for c in changed)
    _write(path, ("id", "step", "reason", "before", "after"), rows)


def _json(record: Record) -> str:
    # Escaped, because what is dropped may hold half a character that UTF-8 cannot write.
    return json.dumps(record.to_json())


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + UNFINISHED)
    waiting = iter(rows)
    with pyarrow.parquet.ParquetWriter(temporary, schema, compression="zstd") as file:
        while some := list(islice(waiting, BATCH)):
            columns = [
                [text.encode("utf-8", "replace").decode("utf-8") for text in texts] for texts in zip(*some, strict=True)
            ]
            file.write_table(
                pyarrow.table([pyarrow.array(texts, pyarrow.string()) for texts in columns], schema=schema)
            )
    temporary.replace(path)


def _whole(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


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
