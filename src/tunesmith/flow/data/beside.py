"""What an evaluation reads beside the data: suites, answers that people rated, swaps, questions out of scope."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from tunesmith.data.methods.augmenting.identity import open_swaps
from tunesmith.errors import NotFound
from tunesmith.evaluate.fairness.suites import read_suites
from tunesmith.evaluate.suites.suite import files_of
from tunesmith.judges import Judge
from tunesmith.runs import file_digest, fingerprint
from tunesmith.spec.sections import Spec


def files_beside(spec: Spec, folder: Path) -> list[dict[str, Any]]:
    """Each of them: its path and what names its content.

    What fairness asks for is read here, and not first when all is trained.

    Raises:
        NotFound: one does not exist.
        DataError: a suite or a file of swaps cannot be read.
    """
    return [{"path": path, "sha256": digest} for path, digest in _found(spec, folder)]


def _found(spec: Spec, folder: Path) -> Iterator[tuple[str, str]]:
    settings = spec.evaluate
    for source in settings.retention.sources if settings.retention else ():
        yield from ((f"{source} {path.name}", file_digest(path)) for path in files_of(source, folder))
    for judge in cast(list[Judge], settings.judges):
        if judge.human is not None:
            yield _file(judge.human, folder, "ratings", "give the judge a JSONL file of rated answers")
    if settings.robustness and (questions := settings.robustness.questions):
        yield _file(questions, folder, "questions", "name a text file of questions out of scope, one a line")
    for name in settings.fairness.suites if settings.fairness else ():
        suites = read_suites(folder / name, name)
        yield name, fingerprint([asdict(item) for suite in suites for item in suite.items])
    if settings.fairness and (swaps := settings.fairness.swaps):
        open_swaps((folder / swaps).resolve())
        yield swaps, file_digest(folder / swaps)


def _file(named: str, folder: Path, what: str, fix: str) -> tuple[str, str]:
    path = folder / named
    if not path.is_file():
        raise NotFound(f"no file of {what} {named!r}", where=str(path), fix=f"{fix}, or leave it out")
    return named, file_digest(path)
