"""Machines that can be rented and what an hour costs, from `instances.yaml` here and in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tunesmith.errors import NotFound, UserError

FILE = "instances.yaml"
PACKAGED = Path(__file__).parent / FILE

Cloud = Literal["aws", "gcp", "azure", "other"]


@dataclass(frozen=True)
class Gpu:
    """A kind of accelerator."""

    kind: str
    memory_gb: float
    """Of one, in GB (10^9 bytes, as data sheets say it)."""
    tflops: float
    """Its peak in bf16, of dense products, in 10^12 operations a second."""


@dataclass(frozen=True)
class Instance:
    """A machine that can be rented."""

    name: str
    """As its cloud calls it."""
    cloud: Cloud
    gpu: Gpu
    count: int
    """How many GPUs it has."""
    host_gb: float
    """Its own memory, in GB."""
    on_demand: float
    """USD an hour."""
    spot: float | None
    """USD an hour where it may be taken away at any time; None where that is not known or not offered."""
    as_of: date
    """When the prices were true."""
    source: str
    """Where they come from."""

    def price(self, spot: bool) -> float | None:
        """USD an hour; None where no spot price is known."""
        return self.spot if spot else self.on_demand

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Gpu(_Strict):
    memory_gb: float = Field(gt=0)
    tflops: float = Field(gt=0)


class _Row(_Strict):
    name: str = Field(min_length=1)
    cloud: Cloud
    gpu: str
    count: int = Field(ge=1)
    host_gb: float = Field(gt=0)
    on_demand: float = Field(gt=0)
    spot: float | None = Field(default=None, gt=0)
    as_of: date | None = None
    """Where it is not that of the file."""
    source: str | None = None


class _File(_Strict):
    as_of: date
    source: str
    gpus: dict[str, _Gpu] = {}
    instances: list[dict[str, Any]]


def instances(workspace: Path) -> tuple[Instance, ...]:
    """All that are known; what the workspace's `instances.yaml` says takes the place of what comes with Tunesmith.

    Args:
        workspace: the folder that holds `runs/`.

    Raises:
        UserError: a file cannot be read as such a table.
    """
    gpus: dict[str, _Gpu] = {}
    rows: dict[str, dict[str, Any]] = {}
    found: dict[str, Instance] = {}
    for path in (PACKAGED, workspace / FILE):
        if path.exists():
            _add(path, gpus, rows, found)
    return tuple(found.values())


def find_instance(name: str, workspace: Path) -> Instance:
    """The instance of that name.

    Raises:
        NotFound: there is none.
    """
    known = {instance.name: instance for instance in instances(workspace)}
    if name not in known:
        fix = f"write one of {', '.join(known)}, or describe it in {workspace / FILE}"
        raise NotFound(f"no instance {name!r}", fix=fix)
    return known[name]


def _add(path: Path, gpus: dict[str, _Gpu], rows: dict[str, dict[str, Any]], found: dict[str, Instance]) -> None:
    """Reads one file into what is known so far."""
    try:
        said = TypeAdapter(_File).validate_python(YAML(typ="safe", pure=True).load(path.read_text("utf-8")))
        gpus.update(said.gpus)
        for written in said.instances:
            name = str(written.get("name"))
            before = {key: value for key, value in rows.get(name, {}).items() if key not in ("as_of", "source")}
            rows[name] = {**before, **written}
            found[name] = _instance(_Row.model_validate(rows[name]), gpus, said, path)
    except (ValidationError, YAMLError, UnicodeDecodeError) as error:
        raise UserError(_first(error), where=str(path), fix="write it in the form of docs/plan.md") from None


def _instance(row: _Row, gpus: Mapping[str, _Gpu], said: _File, path: Path) -> Instance:
    if row.gpu not in gpus:
        known = ", ".join(gpus)
        fix = f"write one of {known}, or describe it under `gpus:`"
        raise UserError(f"{row.name} has a GPU {row.gpu!r} that is not known", where=str(path), fix=fix)
    gpu = Gpu(row.gpu, gpus[row.gpu].memory_gb, gpus[row.gpu].tflops)
    values = row.model_dump(exclude={"gpu", "as_of", "source"})
    return Instance(**values, gpu=gpu, as_of=row.as_of or said.as_of, source=row.source or said.source)


def _first(error: Exception) -> str:
    """The first thing that is wrong, in one line."""
    if isinstance(error, ValidationError):
        wrong = error.errors()[0]
        place = ".".join(str(part) for part in wrong["loc"])
        return f"{place}: {wrong['msg']}" if place else wrong["msg"]
    return str(error).splitlines()[0]
