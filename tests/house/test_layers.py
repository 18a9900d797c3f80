"""Imports only point down the layers of docs/design, and folders of one layer do not import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tunesmith"

LAYERS = [
    {"errors", "part", "records", "runs", "events", "vault"},
    {"spec", "scale", "store"},
    {"data", "prompts", "metrics", "judges", "models"},
    {"train", "evaluate", "retrieve", "search", "registry"},
    {"serve", "monitor", "report", "trackers"},
    {"flow"},
    {"cli", "studio"},
]
GROUND = LAYERS[0]
"""Files, not folders: they may import each other."""
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
KNOW_TORCH = {"models", "train", "evaluate"}
LAZY_TORCH = {"flow", "testing"}
"""Import torch inside of functions only."""
HEAVY = {"torch", "transformers", "peft", "pandas", "datasets", "safetensors"}
AT_THE_TOP = {"__init__", "testing"}
"""The public face, and what tests are made with: they may import everything, and nothing imports them."""

FILES = sorted(path for path in SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    """The folder or file directly under `tunesmith` that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of everything imported anywhere, under `if TYPE_CHECKING` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports name the whole module"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def edges(path: Path) -> Iterator[tuple[str, str, int]]:
    own = room(path)
    for name, line in imports(ast.parse(path.read_text())):
        if name.startswith("tunesmith.") and name != "tunesmith.__version__":
            yield own, name.split(".")[1], line


def wrong(own: str, other: str) -> str | None:
    if own in AT_THE_TOP or own == other:
        return None
    if other in AT_THE_TOP:
        return "nothing imports it"
    if own in GROUND and other in GROUND:
        return None
    if LAYER_OF[other] < LAYER_OF[own]:
        return None
    return "the same layer" if LAYER_OF[other] == LAYER_OF[own] else "a layer above"


def test_every_room_has_its_layer() -> None:
    rooms = {room(path) for path in FILES}
    assert rooms - AT_THE_TOP <= set(LAYER_OF), f"new on the first level: {rooms - AT_THE_TOP - set(LAYER_OF)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line} imports tunesmith.{other}: {why}"
        for own, other, line in edges(path)
        if (why := wrong(own, other))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ("errors", "part", None),
        ("spec", "errors", None),
        ("data", "spec", None),
        ("data", "prompts", "the same layer"),
        ("train", "evaluate", "the same layer"),
        ("data", "train", "a layer above"),
        ("errors", "spec", "a layer above"),
        ("flow", "cli", "a layer above"),
        ("flow", "report", None),
        ("data", "testing", "nothing imports it"),
        ("testing", "train", None),
    ],
)
def test_the_rule_itself(own: str, other: str, expected: str | None) -> None:
    assert wrong(own, other) == expected


def test_imports_under_type_checking_and_in_functions_are_seen() -> None:
    code = "if TYPE_CHECKING:\n    from tunesmith.train import loop\ndef f():\n    import tunesmith.flow.run\n"
    assert [name for name, _ in imports(ast.parse(code))] == ["tunesmith.train.loop", "tunesmith.flow.run"]


def at_import(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What is imported when the module is: not in functions, not under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(node)
        else:
            yield from at_import(node)


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(path) not in KNOW_TORCH], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_only_models_train_and_evaluate_know_torch(path: Path) -> None:
    tree = ast.parse(path.read_text())
    seen = at_import(tree) if room(path) in LAZY_TORCH else imports(tree)
    # The hub reader is the one that needs `datasets`, and asks for it when it is used.
    allowed = {"datasets"} if path == SOURCE / "data" / "readers" / "hub.py" else set()
    found = [f"line {line}: {name}" for name, line in seen if name.split(".")[0] in HEAVY - allowed]
    assert not found, f"{path.relative_to(SOURCE)} imports what is heavy: {found}"
