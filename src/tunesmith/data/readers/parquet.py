"""Apache Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
import pyarrow.parquet

from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.errors import DataError


class Parquet(Reader):
    """A Parquet file, read in batches of 1,024 rows."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        number = 0
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024):
                    for index in range(batch.num_rows):
                        number += 1
                        yield _row(batch, index, f"{path.name}:{number}")
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(
                f"is not a whole Parquet file: {str(error).splitlines()[0]}",
                where=f"{path.name}:{number + 1}" if number else path.name,
                fix="write or fetch it again; a Parquet file cut short cannot be read in part",
            ) from error


def _row(batch: Any, index: int, where: str) -> Row | Broken:
    try:
        return Row({name: batch.column(name)[index].as_py() for name in batch.schema.names}, where)
    except UnicodeDecodeError:
        return Broken(where, "bytes that are not UTF-8", "")
