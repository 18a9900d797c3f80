"""Where and with what data is prepared."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import tunesmith.data
from tunesmith.data.disk.cache import Cache
from tunesmith.data.read.find import find
from tunesmith.data.room import Mapper
from tunesmith.data.steps import Step
from tunesmith.part import Part
from tunesmith.records import Models
from tunesmith.runs import file_digest
from tunesmith.spec.sections import Source

After = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and how much there is, if that is known."""


def silent(what: str, done: int, total: int | None) -> None:
    """A listener that does not care."""


@dataclass(frozen=True)
class Workshop:
    """Where and with what data is prepared."""

    folder: Path = Path()
    """What relative paths start from, the spec's folder."""
    contents: Sequence[str] = ()
    """Digests of the files that are read; they name what is kept in the cache."""
    cache: Cache = field(default_factory=lambda: Cache(None))
    """Where every pass over the rows is kept."""
    models: Models | None = None
    """What steps may ask."""
    model_print: Callable[[str], str] = str
    """Names a model by its content."""
    vault: Path | None = None
    """The workspace's vault, a file that need not be there yet."""
    mapper: Mapper | None = None
    """Calls a function on records, on several cores; one after the other when left out."""
    reader: Mapper | None = None
    """As `mapper`, on this machine, where the files are."""
    seed: int = 0
    """Of what steps draw."""
    after: After = silent
    """Told of the progress."""

    def prints(self, step: Step) -> list[str]:
        """What a step's result depends on beside its settings and rows: its code and that of its parts, the models it
        asks, the files it reads, the seed, and what it keeps in the vault."""
        codes = [_code_of(part) for part in _parts_in(step)]
        files = [file.path for path in step.files() for file in find(Source(path=path), self.folder)]
        # What is no file is a data set of the hub, which has no content here.
        contents = [file_digest(path) if path.is_file() else str(path) for path in files]
        models = map(self.model_print, step.models())
        return [*codes, *models, *contents, str(self.seed), step.kept(self.vault)]


@lru_cache
def code() -> str:
    """Names the code that prepares data, so that a changed one does not find what an older one has kept."""
    digest = sha256()
    for file in sorted(Path(tunesmith.data.__path__[0]).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _parts_in(step: Step) -> list[type[Part]]:
    """The step's class and those of the parts it is given, labelling functions for example."""
    held = (value if isinstance(value, tuple) else (value,) for _, value in step)
    return [type(step), *(type(part) for values in held for part in values if isinstance(part, Part))]


def _code_of(part: type[Part]) -> str:
    module = sys.modules[part.__module__]
    try:
        return sha256(inspect.getsource(module).encode()).hexdigest()[:16]
    except (OSError, TypeError):  # made at a prompt
        return part.__qualname__
