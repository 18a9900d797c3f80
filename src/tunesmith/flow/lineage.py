"""What came from what, by digest: data -> run -> model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tunesmith
from tunesmith.flow.request import Request
from tunesmith.models.facts import BaseFacts
from tunesmith.runs import Run, file_digest, fingerprint, read_json


def lineage(run: Run, request: Request) -> dict[str, Any]:
    """The digests a run rests on and those it made.

    Returns:
        JSON values: the spec's and the code's digest, each data file, what is read beside
            them, the base, each stage, the model.
    """
    stages = {path.stem: read_json(path) for path in sorted((run / "stages").glob("*.json"))}
    return {
        "run": str(run),
        "request": request.fingerprint,
        "spec_digest": file_digest(run / "spec.json"),
        "code_digest": code_digest(),
        "data": request.data,
        "beside": request.beside,
        "base": {
            "reference": request.spec.base.model,
            "revision": request.spec.base.revision,
            **_described(request.base),
        },
        "teachers": [{"reference": name, **_described(facts)} for name, facts in request.teachers.items()],
        "stages": {name: {"fingerprint": said["fingerprint"], **said["result"]} for name, said in stages.items()},
        "model_digest": next(
            (said["result"]["digest"] for name, said in reversed(stages.items()) if name.startswith("train-")), None
        ),
    }


def _described(facts: BaseFacts) -> dict[str, Any]:
    return {
        "digest": facts.digest,
        "num_parameters": facts.num_parameters,
        "licence": facts.licence,
        "languages": facts.languages,
    }


def code_digest() -> str:
    """Names the source of the installed package."""
    root = Path(tunesmith.__file__).parent
    return fingerprint({str(path.relative_to(root)): file_digest(path) for path in sorted(root.rglob("*.py"))})
