"""What a run was asked for: the fingerprint by which the same command finds its run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tunesmith.data.passes.gather import Older
from tunesmith.data.read.find import find
from tunesmith.data.steps import Step
from tunesmith.errors import NotFound
from tunesmith.evaluate.arms import OWN, Arm
from tunesmith.flow.data.beside import files_beside
from tunesmith.flow.environment import threads, versions
from tunesmith.judges import Judge
from tunesmith.metrics import Metric
from tunesmith.models.facts import BaseFacts, base_facts
from tunesmith.models.roles.remote import RemoteResponder, is_remote
from tunesmith.runs import Run, file_digest, find_run, fingerprint, list_runs, read_json
from tunesmith.spec.load import Written, load
from tunesmith.spec.resolve import Resolved
from tunesmith.spec.sections import Source, Spec
from tunesmith.train.objectives import Objective

PREPARED = "data/train.parquet"
"""Where a run keeps its training rows."""

NO_MATTER = {"track", "scale", "search", "relative_to"}
"""Where a run is sent, how many devices train and what a search would try does not make it another, nor where its file
lies: it goes on where others are free."""
NO_MATTER_OF_DATA = {"keep"}
"""Nor does how long its rows are kept."""


def _that_matters(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What of a written spec makes a run another."""
    left = {key: value for key, value in tree.items() if key not in NO_MATTER}
    if isinstance(data := left.get("data"), Mapping):
        left["data"] = {key: value for key, value in data.items() if key not in NO_MATTER_OF_DATA}
    return left


@dataclass(frozen=True)
class Request:
    """A spec, the content of everything it names, and what computes it."""

    spec: Spec
    written: Written
    workspace: Path
    base: BaseFacts
    data: list[dict[str, Any]]
    """Each file read: its path, sha256 and size."""
    teachers: dict[str, BaseFacts]
    """The models that stages learn from, by how the spec names them."""
    older: list[Older]
    """What stages replay, in their order."""
    others: dict[str, str]
    """The models that arms, metrics and judges ask beside the base and the tuned one, and what names their content; of
    an endpoint, whose content nobody knows, its address."""
    beside: list[dict[str, Any]] = field(default_factory=list)
    """What the evaluation reads beside the data, see `files_beside`."""

    @property
    def digests(self) -> list[str]:
        """Content of the data files, of the base and of the teachers."""
        models = [self.base, *self.teachers.values()]
        return [*(file["sha256"] for file in self.data), *(facts.digest for facts in models)]

    @property
    def root(self) -> Path:
        """The folder of all runs."""
        return self.workspace / "runs"

    @property
    def folder(self) -> Path:
        """What the spec's paths are relative to."""
        return self.written.folder

    @property
    def fingerprint(self) -> str:
        """Equal for the same spec on the same data, base, packages and number of threads."""
        return fingerprint(
            {
                "spec": _that_matters(self.written.tree),
                "content": [*self.digests, *self.others.values()],
                "beside": self.beside,
                "versions": versions(),
                "threads": threads(),
            }
        )

    def find(self) -> Run | None:
        """The latest run that was asked for exactly this."""
        for run in reversed(list_runs(self.root, self.spec.name)):
            if (run / "spec.json").exists() and read_json(run / "spec.json")["request"] == self.fingerprint:
                return run
        return None


def make_request(path: Path, changes: Sequence[str], workspace: Path) -> Request:
    """Reads a spec and digests what it names.

    Raises:
        SpecError: the spec is wrong.
        DataError: a source does not exist or cannot be read.
        ModelError: the base, or a judge's model, does not exist or cannot be used.
        NotFound: a file that the evaluation reads does not exist.
    """
    spec, written = load(path, changes)
    folder = written.folder
    older = _older(spec, workspace)
    sources = [*spec.data.sources, *(Source(path=each.said) for each in older if each.prepared is None)]
    data = [file.described(folder) for source in sources for file in find(source, folder, fresh=True)]
    named = [name for step in spec.data.steps or () for name in cast(Step, step).files()]
    data += [described for name in named for described in _beside(name, folder)]
    data += [_described(each.prepared, each.said) for each in older if each.prepared is not None]
    base = base_facts(
        resolve_reference(spec.base.model, folder),
        workspace=workspace,
        revision=spec.base.revision,
        initialize=spec.base.initialize,
    )
    teachers, others = _teachers(spec, folder, workspace), _others(spec, folder, workspace)
    beside = files_beside(spec, folder)
    return Request(spec, written, workspace, base, data, teachers, older, others, beside)


def request_of(run: Run, spec_path: Path, workspace: Path) -> Request:
    """What a run was asked for, as far as whoever trains it must know; of data and arms nothing is digested again.

    Args:
        run: it has its folder.
        spec_path: the file of its spec.
        workspace: the folder that holds `runs/`.
    """
    spec = Resolved.from_json(read_json(run / "spec.json")).spec
    folder = spec_path.parent / (spec.relative_to or "")
    base = base_facts(
        resolve_reference(spec.base.model, folder),
        workspace=workspace,
        revision=spec.base.revision,
        initialize=spec.base.initialize,
    )
    teachers = _teachers(spec, folder, workspace)
    return Request(spec, Written(spec_path, "", {}, {}), workspace, base, [], teachers, _older(spec, workspace), {})


def _teachers(spec: Spec, folder: Path, workspace: Path) -> dict[str, BaseFacts]:
    """The models that stages learn from; paths are relative to the spec's folder."""
    return {
        teacher: base_facts(resolve_reference(teacher, folder), workspace=workspace)
        for stage in spec.train
        if stage.objective is not None
        for teacher in cast(Objective, stage.objective).teachers()
    }


def _others(spec: Spec, folder: Path, workspace: Path) -> dict[str, str]:
    """The models that arms, metrics and judges ask; paths are relative to the spec's folder. Refused here, and not when
    all is trained."""
    settings = spec.evaluate
    metrics = [*(settings.metrics or ()), *(target.metric for target in spec.goal.targets)]
    metrics += settings.fairness.answers if settings.fairness else ()
    parts = cast(list[Arm | Metric | Judge], [*(settings.arms or ()), *metrics, *settings.judges])
    reworded = (settings.robustness.model if settings.robustness else None) or ""
    asked = dict.fromkeys([*(part.asks for part in parts), reworded])
    return {
        name: RemoteResponder(name).reference
        if is_remote(name)
        else base_facts(resolve_reference(name, folder), workspace=workspace).digest
        for name in asked
        if name and name not in OWN
    }


def _older(spec: Spec, workspace: Path) -> list[Older]:
    """What stages replay, and where it lies."""
    found = []
    for number, stage in enumerate(spec.train):
        if stage.replay is not None:
            said, where = stage.replay.source, f"train.{number}.replay.source"
            prepared = find_run(workspace / "runs", said) / PREPARED if said.startswith("run:") else None
            if prepared is not None and not prepared.exists():
                raise NotFound("the run has no training rows", where=str(prepared), fix="name another run, or a file")
            found.append(Older(where, said, prepared))
    return found


def _beside(named: str, folder: Path) -> list[dict[str, Any]]:
    """What a step reads beside the records: a file of any kind, or what can be a source."""
    if (folder / named).is_file():
        return [_described(folder / named, named)]
    return [file.described(folder) for file in find(Source(path=named), folder, fresh=True)]


def _described(path: Path, shown: str) -> dict[str, Any]:
    return {"path": shown, "sha256": file_digest(path), "bytes": path.stat().st_size}


def resolve_reference(model: str, folder: Path) -> str:
    """A base named by a path is relative to the spec's folder; other references stay as they are."""
    path = folder / Path(model).expanduser()
    return str(path.resolve()) if model.startswith((".", "~")) or ("/" in model and path.is_dir()) else model
