"""A run as a job of a Ray cluster: submitted by its job API, its log followed, ended with its exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import Interrupted, MissingDependency, RunError
from tunesmith.flow.launch import Parcel, pack

EVERY = 2.0
"""Seconds between two looks at the log."""
ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}


def launch_on_ray(
    spec_path: Path, changes: Sequence[str], workspace: Path, address: str, say: Callable[[str], None]
) -> int:
    """Submits the run and follows it; where the same run is at work there already, follows that one.

    Args:
        spec_path: the spec file; tunesmith must be installed on the cluster.
        changes: overrides.
        workspace: of this machine.
        address: of the cluster's job server, `http://host:8265`.
        say: gets the job's log as it grows.

    Returns:
        The exit code of the run.

    Raises:
        RunError: the cluster cannot be reached, or refused the job.
        Interrupted: nobody follows any more; the job goes on.
    """
    client = _client(address)
    parcel = pack(spec_path, changes, workspace)
    try:
        name = _submit(client, parcel, say)
        try:
            return _follow(client, name, say)
        except KeyboardInterrupt:
            fix = f"the same command follows it again; `ray job stop {name} --address {address}` ends it"
            raise Interrupted(f"{name} goes on at {address}; nobody follows it now", fix=fix) from None
    except (RuntimeError, OSError) as error:
        raise RunError(
            f"the Ray cluster refused or broke off: {str(error).splitlines()[0]}",
            where=address,
            fix="look at the cluster; the same command goes on",
        ) from error


def _client(address: str) -> Any:
    try:
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise MissingDependency("ray", extra="ray", needed_by="launch --on ray") from error
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise RunError(
            "the Ray cluster wants a token and was given none or a wrong one",
            where=f"--address {address}",
            fix="put the cluster's token into RAY_AUTH_TOKEN or ~/.ray/auth_token (there: `ray get-auth-token`)",
        ) from error
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        if "ray[default]" in str(error):  # Ray alone comes without what its own client needs
            raise MissingDependency("ray[default]", extra="ray", needed_by="launch --on ray") from error
        raise RunError(
            f"no job server of a Ray cluster answers: {str(error).splitlines()[0]}",
            where=f"--address {address}",
            fix="start the cluster with its dashboard (ray[default]) and give its address, such as http://host:8265",
        ) from error


def _submit(client: Any, parcel: Parcel, say: Callable[[str], None]) -> str:
    """Returns the name of the job."""
    states = {str(job.submission_id): _word(str(job.status)) for job in client.list_jobs()}
    own = {name: state for name, state in states.items() if name.startswith(f"{parcel.name}.")}
    for name, state in own.items():
        if state not in ENDED:
            say(f"{name} is at work already; following it\n")
            return name
    for name in own:
        client.delete_job(name)
    # Never a name that was used: what Ray ran the last job in may not be gone yet, and has its name as long.
    name = f"{parcel.name}.{time.time_ns():x}"
    client.submit_job(
        entrypoint=parcel.line,
        submission_id=name,
        runtime_env={"working_dir": str(parcel.folder), "env_vars": {"TOKENIZERS_PARALLELISM": "false"}},
        metadata={"spec": parcel.request.spec.name},
    )
    say(f"{name} is submitted\n")
    for path in parcel.outside:
        say(f"{path} is not sent: the cluster must have it at the same place\n")
    return name


def _follow(client: Any, name: str, say: Callable[[str], None]) -> int:
    shown = 0
    while True:
        info = client.get_job_info(name)
        log = client.get_job_logs(name)
        say(log[shown:])
        shown = len(log)
        state = _word(str(info.status))
        if state in ENDED:
            break
        time.sleep(EVERY)
    if state == "STOPPED":
        return Interrupted.exit_code
    code = getattr(info, "driver_exit_code", None)
    if code is None and state == "FAILED":
        said = (str(info.message or "").strip() or "the cluster does not say why").splitlines()[0]
        raise RunError(f"{name} has failed as a job: {said}", where="launch --on ray", fix="the same command goes on")
    return int(code or 0)


def _word(status: str) -> str:
    """`JobStatus.RUNNING` and `RUNNING` are the same."""
    return status.rpartition(".")[2]
