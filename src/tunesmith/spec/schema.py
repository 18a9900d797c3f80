"""The JSON Schema of a spec file, for editors and forms."""

from __future__ import annotations

from typing import Any

from tunesmith.spec.sections import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of the whole spec, every installed part included."""
    body = Spec.model_json_schema(mode="validation")
    body["properties"]["extends"] = {
        "type": "string",
        "description": "Another spec file, in this folder or below it, whose values hold where this one is silent.",
    }
    # What one file leaves out may stand in the one it extends.
    needed = body.pop("required")
    return {"$schema": DIALECT, **body, "anyOf": [{"required": needed}, {"required": ["extends"]}]}
