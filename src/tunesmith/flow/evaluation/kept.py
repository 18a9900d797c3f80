"""Answers to suites that are kept in the workspace, so that no model is asked twice and a stopped suite goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.evaluate.suites.ask import Answer, ask
from tunesmith.evaluate.suites.suite import Suite
from tunesmith.flow.data.workshop import OWN
from tunesmith.models.model import Model
from tunesmith.models.roles.opening import to_fastest
from tunesmith.runs import fingerprint, write_text


def ask_kept(
    model: Model, suite: Suite, workspace: Path, *, batch: int, after: Callable[[int, int], None]
) -> list[Answer]:
    """One answer an item, in order; those given before are not asked for again.

    Args:
        model: named by its digest.
        suite: named by its content.
        workspace: the folder that holds `runs/`.
        batch: rows computed at once.
        after: told (done, total) items.
    """
    to_fastest(model)
    name = fingerprint([model.digest, suite.digest, suite.settings.model_dump(mode="json"), suite.kind])
    file = workspace / OWN / "suites" / f"{name}.jsonl"

    def keep(answers: Sequence[Answer]) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not (workspace / OWN / ".gitignore").exists():
            write_text(workspace / OWN / ".gitignore", "*\n")
        with file.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(answer.to_json()) + "\n" for answer in answers)

    return ask(model, suite, batch=batch, known=_known(file, len(suite.items)), keep=keep, after=after)


def _known(file: Path, count: int) -> list[Answer]:
    """What was answered, up to the first line that a crash cut; what stands from there on is dropped."""
    if not file.exists():
        return []
    found: list[Answer] = []
    for line in file.read_text("utf-8").splitlines():
        try:
            found.append(Answer.from_json(json.loads(line)))
        except (ValueError, TypeError):
            write_text(file, "".join(json.dumps(answer.to_json()) + "\n" for answer in found))
            break
    return found[:count]
