"""Tunesmith: from a goal and a data file to a fine-tuned language model that provably meets it.

    import tunesmith
    outcome = tunesmith.run(Path("triage.yaml"))
    outcome.verdict.decision            # "SHIP" | "DON'T SHIP" | "NO TARGETS"

Names are imported when they are first used, so that `import tunesmith` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.errors import Error, RunError, UserError
    from tunesmith.flow.data.check import check
    from tunesmith.flow.data.draft import draft
    from tunesmith.flow.plan import plan
    from tunesmith.flow.run import run
    from tunesmith.models.load import open_model
    from tunesmith.part import Part
    from tunesmith.records import Record
    from tunesmith.runs import Run, find_run
    from tunesmith.spec.load import load as load_spec
    from tunesmith.spec.sections import Spec

__version__ = "0.1.0"

_WHERE = {
    "Error": "errors",
    "Part": "part",
    "Record": "records",
    "Run": "runs",
    "RunError": "errors",
    "Spec": "spec.sections",
    "UserError": "errors",
    "check": "flow.check",
    "draft": "flow.draft",
    "find_run": "runs",
    "load_spec": "spec.load:load",
    "open_model": "models.load",
    "plan": "flow.plan",
    "run": "flow.run",
}

__all__ = [
    "Error",
    "Part",
    "Record",
    "Run",
    "RunError",
    "Spec",
    "UserError",
    "check",
    "draft",
    "find_run",
    "load_spec",
    "open_model",
    "plan",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    value = getattr(importlib.import_module(f"tunesmith.{module}"), attribute or name)
    globals()[name] = value
    return value
