"""Data sets of the Hugging Face hub, streamed with the `datasets` package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.errors import DataError, MissingDependency


class Hub(Reader):
    """A data set of the hub by its id, `owner/name`. Code in data sets is never run."""

    subset: str | None = None
    """The configuration, where the data set has several."""
    split: str = "train"
    """The published split to read."""
    revision: str | None = None
    """A commit, tag or branch; a commit hash pins the rows."""

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        name = path.as_posix()
        try:
            import datasets
        except ImportError as error:
            raise MissingDependency("datasets", extra="hub", needed_by=f"data.sources: {name}") from error
        try:
            stream: Any = datasets.load_dataset(
                name, self.subset, split=self.split, revision=self.revision, streaming=True
            )
            for number, values in enumerate(stream, 1):
                yield Row(dict(values), f"{name}:{number}")
        except (OSError, ValueError, RuntimeError) as error:  # what `datasets` raises for ids, splits and the network
            raise DataError(
                f"cannot be read from the hub: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
                where=name,
                fix="check the id, `subset`, `split` and `revision`, and that the network reaches huggingface.co",
            ) from error
