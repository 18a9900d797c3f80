"""What a run takes of the machine is counted."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tunesmith.flow import environment
from tunesmith.flow.environment import Meter


def test_time_of_the_clock_and_of_busy_cores_is_counted_from_the_start() -> None:
    until = time.process_time() + 0.4
    while time.process_time() < until:
        pass
    meter = Meter()
    before = meter.read()
    assert before["cpu_seconds"] <= 0.2 and "gpu_watts" not in before
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    time.sleep(0.2)
    after = meter.read()
    assert after["cpu_seconds"] >= 0.3 and after["seconds"] >= after["cpu_seconds"] + 0.1
    assert after["peak_rss_mb"] > 30


@pytest.mark.parametrize(("said", "watts"), [("700.00\n500.00\n", 1200.0), ("[N/A]\n", None), (None, None)])
def test_a_gpu_counts_by_its_rated_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, watts: float | None
) -> None:
    if said is not None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!{sys.executable}\nprint({said!r}, end='')\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment, "on_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert Meter().read().get("gpu_watts") == watts
