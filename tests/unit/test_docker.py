"""The Dockerfile agrees with the project. There is no docker where this was written: nothing here builds it."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
LINES = [
    line for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line and line[0] != "#"
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]


def arguments(instruction: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in LINES if line.partition(" ")[0] == instruction]


def sent(path: str) -> bool:
    """Whether `.dockerignore` lets a path through: the last line that fits it decides."""
    decided = True
    for line in IGNORED:
        if fnmatch(path, line.removeprefix("!")):
            decided = line.startswith("!")
    return decided


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    copied = [word for line in arguments("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert {"constraints.txt", "pyproject.toml", "src"} <= set(copied)
    for path in copied:
        assert (ROOT / path).exists() and sent(path), path
    assert not sent("tests") and not sent(".git") and not sent("runs")


def test_what_the_build_needs_of_the_project_is_copied_before_it_is_installed() -> None:
    order = [line for line in LINES if line.startswith(("COPY", "RUN pip"))]
    install = next(at for at, line in enumerate(order) if re.search(r'"\.\[', line))
    before = " ".join(order[:install])
    for needed in (PROJECT["readme"], *PROJECT["license-files"], "src", "constraints.txt"):
        assert needed in before


def test_everything_is_installed_at_locked_versions() -> None:
    installs = [line for line in arguments("RUN") if "pip install" in line]
    assert len(installs) == 2 and all("-c constraints.txt" in line for line in installs)
    pins = dict(re.findall(r"^([\w.\-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    names = {name.lower().replace("_", "-"): pin for name, pin in pins.items()}
    extras = next(line for line in arguments("ARG") if line.startswith("EXTRAS=")).partition("=")[2].split(",")
    wanted = [*PROJECT["dependencies"], *(need for name in extras for need in PROJECT["optional-dependencies"][name])]
    for need in map(Requirement, wanted):
        assert names[need.name.lower().replace("_", "-")] in need.specifier


def test_python_is_one_the_project_runs_on() -> None:
    python = next(line for line in arguments("ARG") if line.startswith("PYTHON=")).partition("=")[2]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert all(line.startswith("python:${PYTHON}-slim") for line in arguments("FROM"))


def test_it_runs_as_nobody_special_and_on_a_cpu_unless_asked() -> None:
    last = LINES[max(at for at, line in enumerate(LINES) if line.startswith("FROM")) :]
    user = next(at for at, line in enumerate(last) if line.startswith("USER"))
    entry = next(at for at, line in enumerate(last) if line.startswith("ENTRYPOINT"))
    assert last[user] == "USER tunesmith" and user < entry and "useradd" in " ".join(last[:user])
    assert not any(line.startswith("RUN") for line in last[user:])
    index = next(line for line in arguments("ARG") if line.startswith("TORCH_INDEX="))
    assert index.endswith("/cpu") and any("${TORCH_INDEX}" in line for line in arguments("RUN"))
