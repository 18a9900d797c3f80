"""A run on a rented machine, as a task of SkyPilot, which is called as an outside program."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from tunesmith.errors import GateFailed
from tunesmith.flow.data.ready import make_ready
from tunesmith.flow.launch import Parcel, pack
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.plan.costs import CONTEXT_BYTES, Rent, rents
from tunesmith.flow.plan.work import batches_of, work_of
from tunesmith.flow.request import Request
from tunesmith.flow.training import encode_stage
from tunesmith.flow.training.settle import heaviest
from tunesmith.models.memory import estimate
from tunesmith.runs import write_text
from tunesmith.scale.instances import Instance, find_instance, instances

IDLE_MINUTES = 10
"""The machine is given back when nothing has run on it for so long."""


@dataclass(frozen=True)
class Rental:
    """A task for SkyPilot, and what it would cost."""

    parcel: Parcel
    task: Path
    """The file."""
    instance: Instance
    why: str
    seconds: float
    """About how long the trainings take there, by formula."""
    usd: float
    command: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "instance": self.instance.to_json(),
            "spot": self.parcel.request.spec.scale.spot,
            "why": self.why,
            "seconds": self.seconds,
            "usd": self.usd,
            "task": str(self.task),
            "command": list(self.command),
        }

    def lines(self) -> list[str]:
        """For people."""
        hours, gpus = self.seconds / 3600, f"{self.instance.count} x {self.instance.gpu.kind}"
        cost = f"about {self.usd:,.2f} USD at {self.usd / hours:g} USD/h (prices of {self.instance.as_of})"
        return [
            f"instance: {self.instance.name} ({self.instance.cloud}, {gpus}): {self.why}",
            f"training: about {hours:.2f} h there by formula, {cost}; evaluation is not counted",
            f"task file: {self.task}",
            f"command: {' '.join(map(shlex.quote, self.command))}",
        ]


def rent(
    spec_path: Path, changes: Sequence[str], workspace: Path, *, wheel: Path | None = None, listen: Listener = silent
) -> Rental:
    """Picks the machine, and writes the task file with everything it needs into `launches/` of the workspace.

    Args:
        spec_path: the spec file.
        changes: overrides.
        workspace: of this machine; may hold an `instances.yaml`.
        wheel: of tunesmith, to be installed there; that of this version from pip's index when None.
        listen: gets every event.

    Raises:
        GateFailed: no known machine holds a step.
        NotFound: `scale.instance` is not known.
    """
    parcel = pack(spec_path, changes, workspace)
    scale = parcel.request.spec.scale
    machine, why, seconds = _choose(parcel.request, workspace, listen)
    price = machine.price(scale.spot)
    if price is None:
        raise GateFailed(
            f"no spot price of {machine.name} is known", where="scale.spot", fix="leave spot out, or write scale.price"
        )
    if scale.price is None:
        parcel = pack(spec_path, changes, workspace, [f"scale.price={price:g} USD/h"])
    task = parcel.folder.with_name("task.yaml")
    write_text(task, task_yaml(parcel, machine, wheel))
    command = ("sky", "launch", "--cluster", parcel.name.lower().replace("_", "-").replace(".", "-"), str(task))
    paid = scale.price.value if scale.price else price
    return Rental(parcel, task, machine, why, seconds, seconds / 3600 * paid, command)


def launch_on_sky(rental: Rental) -> int:
    """Calls SkyPilot, which asks before it spends money; returns its exit code."""
    return subprocess.run(rental.command, check=False).returncode


def _choose(request: Request, workspace: Path, listen: Listener) -> tuple[Instance, str, float]:
    """The cheapest machine that holds a step of every stage, or the one that is written; and seconds of training."""
    narrator, scale, known = Narrator(listen), request.spec.scale, instances(workspace)
    if scale.instance is not None:
        known = (find_instance(scale.instance, workspace),)
    job, _, _ = make_ready(request, narrator)
    totals: dict[str, float] = dict.fromkeys((machine.name for machine in known), 0.0)
    largest = 0
    for number, stage in enumerate(job.spec.train):
        examples, _, order = encode_stage(job, number, narrator)
        there = stage.model_copy(update={"precision": "bf16"})
        found = estimate(request.base, there, **heaviest(there, examples))
        gpu_bytes = found.total_bytes - found.process_bytes + CONTEXT_BYTES
        largest = max(largest, gpu_bytes)
        work = work_of(stage, examples, batches_of(stage, examples, order), found, cached=False)
        able: dict[str, Rent] = {rent.instance: rent for rent in rents(work, found, gpu_bytes, known)}
        totals = {name: whole + able[name].seconds for name, whole in totals.items() if name in able}
    if not totals:
        raise GateFailed(
            f"a step takes about {largest / 1e9:.1f} GB of one GPU, and no machine of instances.yaml has so much",
            where="scale.instance" if scale.instance else "",
            fix="train an adapter, compute fewer rows at once, or add a larger machine to instances.yaml",
        )
    priced = {machine.name: machine.price(scale.spot) for machine in known}
    name = min(totals, key=lambda each: (totals[each] * (priced[each] or float("inf")), each))
    machine = next(machine for machine in known if machine.name == name)
    need = f"a step takes about {largest / 1e9:.1f} GB of the {machine.gpu.memory_gb:g} GB of one GPU"
    chosen = "as written" if scale.instance else f"the cheapest of {len(totals)} that hold it"
    return machine, f"{need}; {chosen}", totals[name]


def task_yaml(parcel: Parcel, machine: Instance, wheel: Path | None) -> str:
    """The task file: the machine, what is sent, the locked install, the run, and the end when nothing runs."""
    scale = parcel.request.spec.scale
    write_text(parcel.folder / "constraints.txt", locked())
    package = f"tunesmith=={version('tunesmith')}"
    if wheel is not None:
        shutil.copy2(wheel, parcel.folder / wheel.name)
        package = wheel.name
    resources: dict[str, Any] = {
        **({"infra": machine.cloud} if machine.cloud != "other" else {}),
        "instance_type": machine.name,
        "use_spot": scale.spot,
        "autostop": {"idle_minutes": IDLE_MINUTES, "down": True},
    }
    task: dict[str, Any] = {
        "name": parcel.name,
        "resources": resources,
        "workdir": str(parcel.folder),
        **({"file_mounts": {str(path): str(path) for path in parcel.outside}} if parcel.outside else {}),
        "setup": LiteralScalarString(f"pip install -c constraints.txt {shlex.quote(package)}\n"),
        "run": LiteralScalarString(f"{parcel.line}\n"),
    }
    stream = io.StringIO()
    YAML().dump(task, stream)
    return stream.getvalue()


def locked() -> str:
    """The packages of this environment at their versions, for pip's `-c`; builds for one device are left to pip."""
    found = {each.metadata["Name"].lower(): each.version.partition("+")[0] for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found.items()) if name != "tunesmith")
