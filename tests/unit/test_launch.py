"""What is sent elsewhere: the files a run names and no others, a task that gives its machine back, a followed job."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.e2e.desk import make_desk

from tunesmith.errors import GateFailed, MissingDependency, NotFound, RunError
from tunesmith.flow.launch import pack
from tunesmith.flow.launch import ray as on_ray
from tunesmith.flow.launch.sky import launch_on_sky, locked, rent
from tunesmith.scale.instances import find_instance


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "secret.txt").write_text("not named by the spec")
    return make_desk(folder, duration="20 steps")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_the_spec_names_is_sent_and_nothing_else(desk: Path, tmp_path: Path) -> None:
    parcel = pack(desk, ["train.seed=3"], tmp_path)
    sent = names(parcel.folder)
    assert {"colours.yaml", "rows.jsonl", "base/config.json"} <= sent and "secret.txt" not in sent
    assert parcel.line == "tunesmith run colours.yaml train.seed=3 --workspace ~/tunesmith"
    assert parcel.name == pack(desk, ["train.seed=3"], tmp_path).name != pack(desk, [], tmp_path).name
    # What is sent is the same run over there.
    assert pack(parcel.folder / "colours.yaml", ["train.seed=3"], tmp_path / "there").name == parcel.name


def test_files_elsewhere_are_told_or_refused(desk: Path, tmp_path: Path) -> None:
    parcel = pack(desk, [f"data.sources=[{desk.parent / 'rows.jsonl'}]"], tmp_path)
    assert parcel.outside == (desk.parent / "rows.jsonl",)
    with pytest.raises(GateFailed, match="outside of the spec's folder"):
        pack(desk, [f"data.sources=[../{desk.parent.name}/rows.jsonl]"], tmp_path)


def test_a_command_line_is_quoted(desk: Path, tmp_path: Path) -> None:
    assert "'card.intended_use=a b; rm -rf x'" in pack(desk, ["card.intended_use=a b; rm -rf x"], tmp_path).line


# SkyPilot -----------------------------------------------------------------------------------------


def test_the_cheapest_machine_that_holds_a_step_is_rented(desk: Path, tmp_path: Path) -> None:
    rental = rent(desk, ["scale.spot=true"], tmp_path)
    task = YAML(typ="safe").load(rental.task.read_text())
    assert task["resources"] == {
        "infra": rental.instance.cloud,
        "instance_type": rental.instance.name,
        "use_spot": True,
        "autostop": {"idle_minutes": 10, "down": True},
    }
    assert rental.instance.gpu.kind in ("T4", "L4", "A10G")
    assert Path(task["workdir"]) == tmp_path / "launches" / "colours" / "job"
    price = rental.instance.price(True)
    assert f"'scale.price={price:g} USD/h'" in task["run"] and task["run"].startswith("tunesmith run colours.yaml")
    assert task["setup"].startswith("pip install -c constraints.txt tunesmith==")
    assert "file_mounts" not in task
    assert rental.usd == pytest.approx(rental.seconds / 3600 * price) and rental.seconds >= 300
    assert rental.command[:3] == ("sky", "launch", "--cluster")
    said = "\n".join(rental.lines())
    assert "the cheapest of" in said and f"at {price:g} USD/h" in said and str(rental.task) in said
    json.dumps(rental.to_json())


def test_a_written_machine_price_and_wheel_are_taken(desk: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "tunesmith-9.9-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    rows = f"data.sources=[{desk.parent / 'rows.jsonl'}]"
    rental = rent(desk, ["scale.instance=p5.48xlarge", "scale.price=7 USD/h", rows], tmp_path, wheel=wheel)
    task = YAML(typ="safe").load(rental.task.read_text())
    assert rental.instance == find_instance("p5.48xlarge", tmp_path) and not task["resources"]["use_spot"]
    assert rental.usd == pytest.approx(rental.seconds / 3600 * 7) and task["run"].count("scale.price") == 1
    assert "constraints.txt tunesmith-9.9" in task["setup"] and (rental.parcel.folder / wheel.name).exists()
    assert task["file_mounts"] == {str(desk.parent / "rows.jsonl"): str(desk.parent / "rows.jsonl")}


def test_what_no_machine_holds_is_refused(desk: Path, tmp_path: Path) -> None:
    (tmp_path / "instances.yaml").write_text(
        "as_of: 2026-01-01\nsource: ours\ngpus: {Tiny: {memory_gb: 0.5, tflops: 1}}\n"
        "instances: [{name: tiny, cloud: other, gpu: Tiny, count: 1, host_gb: 4, on_demand: 0.1}]\n"
    )
    with pytest.raises(GateFailed, match=r"a step takes about 0\.8 GB of one GPU, and no machine"):
        rent(desk, ["scale.instance=tiny"], tmp_path)
    with pytest.raises(NotFound):
        rent(desk, ["scale.instance=nothing"], tmp_path)


def test_sky_is_called_with_the_task(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "sky"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\nexit 7\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    rental = rent(desk, [], tmp_path)
    assert launch_on_sky(rental) == 7
    called = (tmp_path / "called").read_text().split()
    assert called[:2] == ["launch", "--cluster"] and called[-1] == str(rental.task)


def test_the_lock_names_every_package_once() -> None:
    lines = locked().splitlines()
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines) and {"torch", "transformers", "numpy"} <= set(found)
    assert "tunesmith" not in found and not any("+" in number for number in found.values())


# Ray ----------------------------------------------------------------------------------------------


class JobServer(ThreadingHTTPServer):
    """Stands in for the job server of a Ray cluster: the requests of `ray.job_submission`, answered from a script."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}
        self.submitted: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.script: list[tuple[str, str, int | None]] = []
        """(status, log so far, exit code) at each look; the last one stays."""
        self.message = ""


class Answers(BaseHTTPRequestHandler):
    server: JobServer

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, said: Any, code: int = 200) -> None:
        body = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        if path == "/api/version":
            import ray

            self.answer({"version": "4", "ray_version": ray.__version__, "ray_commit": "", "session_name": ""})
        elif path.startswith("/api/packages/"):
            self.answer({}, 200 if path in self.server.packages else 404)
        elif path == "/api/jobs":
            self.answer(list(self.server.jobs.values()))
        elif path.endswith("/logs"):
            self.answer({"logs": self.server.script[0][1]})
            if len(self.server.script) > 1:
                self.server.script.pop(0)
        else:
            job = self.server.jobs[path.rpartition("/")[2]]
            status, _, code = self.server.script[0]
            self.answer({**job, "status": status, "driver_exit_code": code, "message": self.server.message})

    def do_PUT(self) -> None:
        self.server.packages[self.path] = self.body()
        self.answer({})

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        self.server.submitted.append(asked)
        name = asked["submission_id"]
        self.server.jobs[name] = job(name, "PENDING")
        self.answer({"job_id": name, "submission_id": name})

    def do_DELETE(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.deleted.append(name)
        del self.server.jobs[name]
        self.answer({"deleted": True})


def job(name: str, status: str) -> dict[str, Any]:
    return {"type": "SUBMISSION", "submission_id": name, "status": status, "entrypoint": "x"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobServer]:
    pytest.importorskip("ray")
    monkeypatch.setattr(on_ray, "EVERY", 0.0)
    server = JobServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def launched(desk: Path, tmp_path: Path, cluster: JobServer, *changes: str) -> tuple[int, str]:
    said: list[str] = []
    address = f"http://127.0.0.1:{cluster.server_address[1]}"
    code = on_ray.launch_on_ray(desk, list(changes), tmp_path, address, said.append)
    return code, "".join(said)


@pytest.mark.parametrize(
    ("end", "code", "exits"), [("SUCCEEDED", 0, 0), ("SUCCEEDED", None, 0), ("FAILED", 3, 3), ("STOPPED", None, 130)]
)
def test_a_job_is_submitted_followed_and_ends_with_its_code(
    desk: Path, tmp_path: Path, cluster: JobServer, end: str, code: int | None, exits: int
) -> None:
    cluster.script = [("PENDING", "", None), ("RUNNING", "step 1\n", None), (end, "step 1\nstep 2\n", code)]
    assert launched(desk, tmp_path, cluster, "train.seed=3") == (
        exits,
        f"{cluster.submitted[0]['submission_id']} is submitted\nstep 1\nstep 2\n",
    )
    (asked,) = cluster.submitted
    assert asked["entrypoint"] == "tunesmith run colours.yaml train.seed=3 --workspace ~/tunesmith"
    (package,) = cluster.packages.values()
    with zipfile.ZipFile(io.BytesIO(package)) as sent:
        assert {"colours.yaml", "rows.jsonl"} <= set(sent.namelist())
    assert asked["runtime_env"]["working_dir"].startswith("gcs://")


def test_the_same_command_follows_a_job_at_work_and_repeats_an_ended_one(
    desk: Path, tmp_path: Path, cluster: JobServer
) -> None:
    name = f"{pack(desk, [], tmp_path).name}.1"
    cluster.jobs[name] = job(name, "RUNNING")
    cluster.script = [("SUCCEEDED", "done\n", 0)]
    assert launched(desk, tmp_path, cluster) == (0, f"{name} is at work already; following it\ndone\n")
    assert not cluster.submitted
    cluster.jobs[name] = job(name, "STOPPED")
    assert launched(desk, tmp_path, cluster)[0] == 0
    assert cluster.deleted == [name] and len(cluster.submitted) == 1
    (last,) = cluster.jobs
    cluster.jobs[last] = job(last, "FAILED")
    assert launched(desk, tmp_path, cluster)[0] == 0
    names = [asked["submission_id"] for asked in cluster.submitted]
    assert len({name, *names}) == 3, "a name is used once: Ray may not have let go of the last job's"


def test_a_job_that_never_ran_says_why(desk: Path, tmp_path: Path, cluster: JobServer) -> None:
    cluster.script = [("FAILED", "", None)]
    cluster.message = "Failed to start supervisor actor\nand more"
    with pytest.raises(RunError, match="failed as a job: Failed to start supervisor actor") as caught:
        launched(desk, tmp_path, cluster)
    assert "and more" not in str(caught.value)


def test_a_cluster_that_wants_a_token_says_where_to_put_it(
    desk: Path, tmp_path: Path, cluster: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "do_GET", lambda self: self.answer("Unauthorized: Missing authentication token", 401))
    with pytest.raises(RunError, match="wants a token") as caught:
        launched(desk, tmp_path, cluster)
    assert "RAY_AUTH_TOKEN" in str(caught.value)


def test_ray_without_its_client_names_the_extra(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("ray.dashboard.modules.job.sdk")
    monkeypatch.setattr(sdk, "requests", None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[ray\]"):
        on_ray.launch_on_ray(desk, [], tmp_path, "http://127.0.0.1:9", print)


def test_no_cluster_is_an_error_that_says_so(desk: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(RunError, match="no job server of a Ray cluster answers"):
        on_ray.launch_on_ray(desk, [], tmp_path, "http://127.0.0.1:9", print)
