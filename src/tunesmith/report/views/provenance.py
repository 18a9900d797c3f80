"""Where it all came from: data, base, code and machine by digest, and every value of the spec by origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tunesmith.report.evidence import Evidence, Section
from tunesmith.report.format import NONE, count, short


def lineage(evidence: Evidence) -> Section:
    """The chapter that names every input by its content."""
    title, short = "Lineage", "Lineage"
    if not evidence.lineage and not evidence.environment:
        return Section("lineage", title, short, missing="This run has no lineage: it ended before one was written.")
    packages = evidence.environment.get("packages") or {}
    return Section(
        "lineage",
        title,
        short,
        {
            "data": [_file(entry) for entry in evidence.lineage.get("data") or []],
            "base": _named(
                evidence.lineage.get("base") or {},
                ("Model", "reference"),
                ("Revision", "revision"),
                ("Parameters", "num_parameters"),
                ("Licence", "licence"),
                ("Digest", "digest"),
            ),
            "digests": _named(
                evidence.lineage, ("Spec", "spec_digest"), ("Code", "code_digest"), ("Trained model", "model_digest")
            ),
            "stages": [
                (name, said.get("fingerprint", NONE), _result(said))
                for name, said in (evidence.lineage.get("stages") or {}).items()
            ],
            "environment": _named(
                evidence.environment,
                ("Processor", "cpu"),
                ("Device", "device"),
                ("Cores", "cores"),
                ("Threads used", "threads"),
                ("Memory in GB", "memory_gb"),
                ("System", "platform"),
                ("Python", "python"),
            ),
            "packages": sorted(packages.items()),
        },
    )


def spec(evidence: Evidence) -> Section:
    """The chapter that lists every resolved value and who chose it."""
    title, short = "Spec", "Spec"
    if not evidence.spec:
        return Section("spec", title, short, missing="This run has no resolved spec.")
    rows = [(path, _written(value), *_origin(evidence.origins, path)) for path, value in leaves(evidence.spec)]
    kinds = [kind for _, _, kind, _ in rows]
    return Section(
        "spec",
        title,
        short,
        {
            "rows": rows,
            "written": kinds.count("written"),
            "derived": kinds.count("derived"),
            "default": kinds.count("default"),
            "source": _source(evidence),
        },
    )


def _file(entry: dict[str, Any]) -> dict[str, str]:
    size = entry.get("bytes")
    return {
        "path": str(entry.get("path", NONE)),
        "size": NONE if size is None else f"{short(size)}B",
        "sha256": str(entry.get("sha256") or NONE),
    }


def _named(values: dict[str, Any], *names: tuple[str, str]) -> list[tuple[str, str]]:
    """(name, text) of the values that are there."""
    found = [(name, values[key]) for name, key in names if values.get(key) is not None]
    return [(name, count(value) if isinstance(value, int) else str(value)) for name, value in found]


def _result(said: dict[str, Any]) -> str:
    """What a stage said of itself, on one line; digests stand elsewhere."""
    told = [(key, value) for key, value in said.items() if key not in ("fingerprint", "digest", "reason") and value]
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in told)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested mapping under its dotted path; lists of plain values stay whole."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(tree, list) and any(isinstance(item, (dict, list)) for item in tree):
        for index, item in enumerate(tree):
            yield from leaves(item, f"{path}.{index}")
    else:
        yield path, tree


def _origin(origins: dict[str, str], path: str) -> tuple[str, str]:
    """What decided a value: its own entry, or that of the nearest section above it."""
    while path and path not in origins:
        path = path.rpartition(".")[0]
    kind, _, detail = origins.get(path, "default").partition(" ")
    return kind.rstrip(":"), detail


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _source(evidence: Evidence) -> str | None:
    path = evidence.run / "spec.yaml"
    return path.read_text("utf-8", "replace") if path.exists() else None
