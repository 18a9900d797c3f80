"""What no file of the product does: run what it reads, print, or be called `utils`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tunesmith"
FILES = sorted(SOURCE.rglob("*.py"))

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "imp", "telnetlib"}
"""Modules that run what they load; `ruamel.yaml` is read by events and makes no objects."""
NAMES = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
ATTRIBUTES = {"torch.load", "os.system", "os.popen", "pickle.load", "pickle.loads", "torch.hub", "tempfile.mktemp"}
KEYWORDS = {("shell", True), ("trust_remote_code", True), ("allow_pickle", True), ("weights_only", False)}
ARM = SOURCE / "evaluate" / "arms" / "base.py"
"""An arm of that name, which is the field `base` of a spec, and no module for what found no other place."""
LOCKED_IN = Path("metrics", "_sandbox", "inside.py")
"""The one file that may run what it reads, a model's answer, since it has had the kernel lock its process in before."""
KEEPS_THE_TEXT = Path("flow", "search", "winner.py")
"""The one file that loads YAML: a spec that was read by events before, to put values into its own text (round trip)."""
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "managers", "core"}


def crimes(tree: ast.AST, *, may_print: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in NAMES or called in ATTRIBUTES or called.endswith("yaml.load"):
                yield f"line {node.lineno}: calls {called}"
            if called == "print" and not may_print:
                yield f"line {node.lineno}: prints"
            if called.endswith("YAML") and "unsafe" in ast.unparse(node):
                yield f"line {node.lineno}: reads YAML unsafely"
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if (keyword.arg, value) in KEYWORDS:
                    yield f"line {node.lineno}: {keyword.arg}={value}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_runs_what_it_reads_and_nothing_prints_but_the_command_line(path: Path) -> None:
    found = list(crimes(ast.parse(path.read_text()), may_print=path.is_relative_to(SOURCE / "cli")))
    if path.relative_to(SOURCE) == LOCKED_IN:
        found = [crime for crime in found if not crime.endswith(("calls exec", "calls compile"))]
    if path.relative_to(SOURCE) == KEEPS_THE_TEXT:
        found = [crime for crime in found if not crime.endswith("calls yaml.load")]
    assert not found, f"{path.relative_to(SOURCE)}: {found}"


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "torch.load('x')",
        "eval('x')",
        "exec('x')",
        "os.system('x')",
        "subprocess.run('x', shell=True)",
        "AutoModel.from_pretrained('x', trust_remote_code=True)",
        "np.load('x', allow_pickle=True)",
        "YAML(typ='unsafe')",
        "ruamel.yaml.load('x')",
        "print('x')",
    ],
)
def test_the_rule_itself(code: str) -> None:
    assert list(crimes(ast.parse(code), may_print=False))


def test_what_is_run_is_locked_in_before() -> None:
    tree = ast.parse((SOURCE / LOCKED_IN).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [name for name, node in functions.items() if "exec(" in ast.unparse(node)] == ["run"]
    lines = ast.unparse(functions["main"])
    assert lines.count("lock_in([") == lines.count("run(program)") == 1
    assert lines.index("lock_in([") < lines.index("run(program)")


def test_what_looks_alike_is_allowed() -> None:
    code = "model.eval()\nre.compile('x')\nsubprocess.run(['x'])\nfrom_pretrained('x', trust_remote_code=False)"
    assert not list(crimes(ast.parse(code), may_print=False))


def test_no_module_is_called_after_nothing() -> None:
    found = [
        path for path in SOURCE.rglob("*") if path.stem.strip("_") in FORBIDDEN_NAMES and path.with_suffix(".py") != ARM
    ]
    assert not found


def test_no_weights_that_run_code_are_shipped() -> None:
    wild = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".so"}
    assert not [path for path in SOURCE.rglob("*") if path.suffix in wild]
