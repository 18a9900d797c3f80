from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tunesmith.part import FAMILIES
from tunesmith.spec.schema import json_schema

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD = [
    "name: a\ndata: {sources: [a.jsonl]}\n",
    "name: a\ndata: {sources: [{path: a.jsonl, format: csv, map: {prompt: x}}], steps: [clean, {kind: exact_dedup}]}\n",
    "name: a\ndata: {sources: [a]}\ntrain: {adapter: lora, optimizer: {lr: 1.0e-4}, batch: 16, duration: 3 epochs}\n",
    "name: a\ndata: {sources: [a]}\ntrain: [{objective: pretrain}, {objective: {kind: sft}, watch: [early_stop]}]\n",
    "name: a\ndata: {sources: [a]}\ngoal: {targets: [{metric: {kind: f1, label: x}, at_least: 0.5, slice: {b: c}}]}\n",
    "extends: other.yaml\n",
    "extends: other.yaml\nname: b\ntrain: {schedule: {warmup: 5%}}\n",
]

BAD = [
    "name: a\n",
    "name: a b\ndata: {sources: [a]}\n",
    "name: a\ndata: {sources: a.jsonl}\n",
    "name: a\ndata: {sources: [a], stepps: [clean]}\n",
    "name: a\ndata: {sources: [a]}\ntrain: {objective: dop}\n",
    "name: a\ndata: {sources: [a]}\ntrain: {adapter: {kind: lora, rnak: 8}}\n",
    "name: a\ndata: {sources: [a]}\ntrain: {adapter: {kind: lora, rank: many}}\n",
    "name: a\ndata: {sources: [a]}\ntrain: {duration: 3}\n",
    "name: a\ndata: {sources: [a]}\ngoal: {task: classfy}\n",
]


def test_the_schema_is_valid() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)
    json.dumps(SCHEMA, allow_nan=False)


@pytest.mark.parametrize("text", GOOD)
def test_editors_take_what_we_take(text: str) -> None:
    VALIDATOR.validate(YAML(typ="safe", pure=True).load(text))


@pytest.mark.parametrize("text", BAD)
def test_editors_refuse_what_we_refuse(text: str) -> None:
    assert not VALIDATOR.is_valid(YAML(typ="safe", pure=True).load(text))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for key, inner in schema.items():
            if key not in ("default", "examples"):
                yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


def test_every_field_has_its_help() -> None:
    for part in objects(SCHEMA):
        assert part.get("description") or part is SCHEMA
        for name, field in part["properties"].items():
            told = "const" in field or "description" in field
            told = told or "description" in SCHEMA["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            assert told, f"{part.get('title')}.{name}"


def test_every_part_is_in_it() -> None:
    kinds = {field["const"] for part in objects(SCHEMA) for field in part["properties"].values() if "const" in field}
    assert {name for family in FAMILIES for name in family.names()} <= kinds


def test_a_spec_without_parts_of_training_is_read_without_torch() -> None:
    """What imports torch are the parts that compute with it, when a spec names them."""
    code = (
        "import sys; from tunesmith.spec.load import parse;"
        "parse('name: a\\ngoal: {targets: [{metric: accuracy, at_least: 1}]}\\n"
        "data: {sources: [a], steps: [clean]}\\ntrain: {adapter: lora, batch: 8}\\n');"
        "print([name for name in ('torch', 'transformers', 'pandas', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
