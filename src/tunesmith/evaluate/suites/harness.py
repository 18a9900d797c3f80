"""Tasks of lm-evaluation-harness (Gao et al.), run by it on a model of ours.

The harness drives our opened model through its own `HFLM`, so that adapters and freshly read weights are what is
measured. Unless network is asked for, nothing is fetched: tasks and their data must lie on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import MissingDependency, ModelError, NotFound, UserError

if TYPE_CHECKING:
    from tunesmith.models.load import Model


def run_tasks(
    model: Model,
    tasks: Sequence[str],
    *,
    include: Path | None = None,
    network: bool = False,
    batch: int = 16,
    most: int | None = None,
    few_shot: int | None = None,
) -> dict[str, Any]:
    """Runs tasks and returns what the harness says of them.

    Args:
        model: with its own language head, causal.
        tasks: names the harness knows.
        include: a folder with further tasks, as its `--include_path`.
        network: whether data may be fetched.
        batch: rows computed at once.
        most: only the first so many items of each task.
        few_shot: examples shown; as each task says when left out.

    Returns:
        JSON values: task -> figure -> {value, stderr}, with the versions of tasks and harness.

    Raises:
        MissingDependency: the harness is not installed.
        NotFound: it knows no such task.
        ModelError: it cannot drive the model.
    """
    if model.head is not None or model.family != "causal":
        raise ModelError(
            f"the harness asks causal models, and this is {model.family} with a {model.head_kind} head",
            where=model.reference,
            fix="name a causal model, or a run trained by sft",
        )
    with _network(network):
        try:
            import lm_eval
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise MissingDependency("lm_eval", extra="harness", needed_by="tunesmith suite --harness") from error
        manager = _manager(TaskManager, tasks, include)
        driven = HFLM(
            pretrained=model.inner,
            tokenizer=model.tokenizer,
            batch_size=batch,
            max_length=model.context,
            add_bos_token=_begins_with_bos(model),
        )
        try:
            said = lm_eval.simple_evaluate(
                driven, tasks=list(tasks), num_fewshot=few_shot, limit=most, task_manager=manager, verbosity="ERROR"
            )
        except (ConnectionError, FileNotFoundError) as error:
            raise UserError(
                f"the data of a task are not here: {str(error).partition(chr(10))[0]}",
                where=", ".join(tasks),
                fix="allow it to fetch them with --network, or use tasks whose data lie on this machine",
            ) from error
    return {
        "model": model.reference,
        "lm_eval": lm_eval.__version__,
        "tasks": {task: _figures(figures) for task, figures in said["results"].items()},
        "versions": dict(said["versions"]),
        "few_shot": dict(said["n-shot"]),
    }


def _manager(make: Any, tasks: Sequence[str], include: Path | None) -> Any:
    """The harness's own register of tasks, with all that are asked for."""
    # It reads thousands of task files to list them; a folder that holds all that is asked for spares it.
    manager = make(include_path=str(include), include_defaults=False) if include else None
    if manager is None or not set(tasks) <= set(manager.all_tasks):
        manager = make(include_path=str(include) if include else None)
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise NotFound(
            f"the harness knows no task {unknown[0]!r}",
            where="tunesmith suite --harness",
            fix="see `lm_eval ls tasks`, or name the folder of your own with --include",
        )
    return manager


def _figures(said: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """`acc,none` and `acc_stderr,none` as one figure."""
    found: dict[str, dict[str, float | None]] = {}
    for key, value in said.items():
        name, _, filtered = key.partition(",")
        if not filtered or isinstance(value, str) or name.endswith("_stderr"):
            continue
        error = said.get(f"{name}_stderr,{filtered}")
        shown = name if filtered == "none" else f"{name} ({filtered})"
        found[shown] = {"value": float(value), "stderr": float(error) if isinstance(error, (int, float)) else None}
    return found


def _begins_with_bos(model: Model) -> bool:
    from tunesmith.data.encode.tokenize import Codec

    codec = Codec(model.tokenizer, need="text", family=model.family, max_length=model.context, too_long="truncate")
    return codec.bos_id is not None


@contextmanager
def _network(allowed: bool) -> Iterator[None]:
    """Hub and data sets are offline within, unless allowed; both read the environment when they are imported."""
    if allowed:
        yield
        return
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        import huggingface_hub.constants

        online = huggingface_hub.constants.HF_HUB_OFFLINE
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            huggingface_hub.constants.HF_HUB_OFFLINE = online
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
