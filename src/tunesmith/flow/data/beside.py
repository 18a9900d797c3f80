"""What an evaluation reads beside the data: suites, answers that people rated, questions out of scope."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tunesmith.errors import NotFound
from tunesmith.evaluate.suites.suite import files_of
from tunesmith.judges import Judge
from tunesmith.runs import file_digest
from tunesmith.spec.sections import Spec


def files_beside(spec: Spec, folder: Path) -> list[dict[str, Any]]:
    """Each file: its path and sha256.

    Raises:
        NotFound: a suite, a file of ratings or one of questions does not exist.
    """
    settings, found = spec.evaluate, list[dict[str, Any]]()
    for source in settings.retention.sources if settings.retention else ():
        files = files_of(source, folder)
        found += [{"path": f"{source} {path.name}", "sha256": file_digest(path)} for path in files]
    for judge in cast(list[Judge], settings.judges):
        if judge.human is not None:
            if not (folder / judge.human).is_file():
                raise NotFound(
                    f"no file of ratings {judge.human!r}",
                    where=str(folder / judge.human),
                    fix="give the judge a JSONL file of rated answers, or leave `human` out",
                )
            found.append({"path": judge.human, "sha256": file_digest(folder / judge.human)})
    if settings.robustness and settings.robustness.questions:
        path = folder / settings.robustness.questions
        if not path.is_file():
            raise NotFound(
                f"no file of questions {settings.robustness.questions!r}",
                where=str(path),
                fix="name a text file of questions out of scope, one a line, or leave `questions` out",
            )
        found.append({"path": settings.robustness.questions, "sha256": file_digest(path)})
    return found
