"""A run sent to a real Ray cluster with its job server: the log followed to the verdict, the exit code brought back."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.desk import PATIENCE, make_desk
from tunesmith.flow.launch.ray import launch_on_ray

pytest.importorskip("ray.job_submission")

HEAD = """
import socket, sys, ray
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
context = ray.init(num_cpus=1, include_dashboard=True, dashboard_port=port, log_to_driver=False, logging_level="ERROR")
print("http://" + context.dashboard_url, flush=True)
sys.stdin.read()
ray.shutdown()
"""
"""A cluster of one machine, until its input ends."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    home = tmp_path / "home"
    home.mkdir()
    # The cluster's `tunesmith` is this one, and its home is nobody's.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": path,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert head.stdout and select.select([head.stdout], [], [], PATIENCE)[0], "no cluster came up"
        yield head.stdout.readline().strip()
    finally:
        head.communicate("", timeout=PATIENCE)


def test_a_run_on_a_cluster_ends_as_its_verdict_does(cluster: str, tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "desk", duration="20 steps")
    said: list[str] = []

    def launch() -> int:
        said.clear()
        return launch_on_ray(
            desk, ["goal.targets=[{metric: accuracy, at_least: 0.99}]"], tmp_path, cluster, said.append
        )

    assert launch() == 3, "".join(said)  # DON'T SHIP, here as there
    assert "is submitted" in said[0] and "DON'T SHIP" in "".join(said)
    (report,) = (tmp_path / "home").rglob("report.html")
    assert report.parent.parent.name == "colours"
    # The same command again: the ended job makes room, and the run is found whole.
    assert launch() == 3 and "DON'T SHIP" in "".join(said)
    assert [*(tmp_path / "home").rglob("report.html")] == [report]
