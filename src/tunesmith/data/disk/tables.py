"""Records as Parquet files: id and source as columns, the whole record as JSON, dropped ones with their reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow
import pyarrow.parquet

from tunesmith.data.disk.spool import Records, Spool, SpoolWriter
from tunesmith.data.disk.temporary import TemporaryFolder
from tunesmith.data.encode.example import ROLES, Example
from tunesmith.data.steps import Changed, Dropped
from tunesmith.records import Record
from tunesmith.runs import UNFINISHED
from tunesmith.vault.keys import master_key
from tunesmith.vault.seal import FILE, SealedWriter, Sealer

BATCH = 2000
"""Rows written and read at once."""


def write_records(path: Path, records: Iterable[Record], *, sealed: bool = False) -> None:
    """Writes records to Parquet, atomically; encrypted where it is to be `sealed`."""
    rows = ((record.id, record.source, _json(record)) for record in records)
    _write(path, ("id", "source", "record"), rows, sealed=sealed)


def read_records(path: Path) -> list[Record]:
    """Reads what `write_records` or `write_dropped` wrote."""
    return list(iter_records(path))


def iter_records(path: Path) -> Iterator[Record]:
    """Reads what `write_records` or `write_dropped` wrote, record by record."""
    return (Record.from_json(json.loads(text)) for text in _written(path))


def _written(path: Path) -> Iterator[str]:
    with opened(path) as source, pyarrow.parquet.ParquetFile(source) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=["record"]):
            yield from batch.column(0).to_pylist()


def load_records(path: Path) -> Records:
    """What `write_records` wrote, as records in a temporary file that goes with them."""
    return _spooled((text.encode("ascii") for text in _written(path)), sealed=is_sealed(path))


def is_sealed(path: Path) -> bool:
    """Whether a file is encrypted."""
    with path.open("rb") as file:
        return file.read(len(FILE)) == FILE


def spooled(records: Iterable[Record], *, sealed: bool = False) -> Records:
    """Records in a temporary file that goes with them."""
    return _spooled((_json(record).encode("ascii") for record in records), sealed=sealed)


def _spooled(texts: Iterable[bytes], *, sealed: bool) -> Records:
    folder = TemporaryFolder()
    with closing(SpoolWriter(folder.path / "records.spool", sealed=sealed)) as writer:
        offsets = np.fromiter(map(writer.append_bytes, texts), np.int64)
    return Records((Spool(writer.path, folder, sealed=sealed),), offsets, np.arange(len(offsets), dtype=np.int64))


def write_dropped(path: Path, dropped: Iterable[Dropped], *, sealed: bool = False) -> None:
    """Writes the rows that were left out, each with the step and the reason, atomically."""
    rows = ((d.record.id, d.record.source, d.step, d.reason, d.detail, _json(d.record)) for d in dropped)
    _write(path, ("id", "source", "step", "reason", "detail", "record"), rows, sealed=sealed)


def write_changed(path: Path, changed: Iterable[Changed], *, sealed: bool = False) -> None:
    """Writes the rows that were put right, before and after, atomically."""
    rows = ((c.after.id, c.step, c.reason, _json(c.before), _json(c.after)) for c in changed)
    _write(path, ("id", "step", "reason", "before", "after"), rows, sealed=sealed)


def _json(record: Record) -> str:
    # Escaped, because what is dropped may hold half a character that UTF-8 cannot write.
    return json.dumps(record.to_json())


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]], *, sealed: bool) -> None:
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + UNFINISHED)
    waiting = iter(rows)
    with (
        _created(temporary, sealed=sealed) as sink,
        pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as file,
    ):
        while some := list(islice(waiting, BATCH)):
            columns = [
                [text.encode("utf-8", "replace").decode("utf-8") for text in texts] for texts in zip(*some, strict=True)
            ]
            file.write_table(
                pyarrow.table([pyarrow.array(texts, pyarrow.string()) for texts in columns], schema=schema)
            )
    temporary.replace(path)


def rewrite(path: Path, table: pyarrow.Table) -> None:
    """Puts another table in the place of a file, atomically; sealed where that was."""
    temporary = path.with_name(path.name + UNFINISHED)
    with _created(temporary, sealed=is_sealed(path)) as sink:
        pyarrow.parquet.write_table(table, sink, compression="zstd")
    temporary.replace(path)


def _created(path: Path, *, sealed: bool) -> IO[Any]:
    file = path.open("wb")
    return cast(IO[Any], SealedWriter(file, Sealer(master_key()))) if sealed else file


def opened(path: Path) -> IO[Any]:
    """A Parquet file of rows, opened to be read, whether or not it is sealed."""
    file = path.open("rb")
    return cast(IO[Any], Sealer(master_key()).reader(file, where=str(path))) if is_sealed(path) else file


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
