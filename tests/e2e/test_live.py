"""Runs that are watched while they go: by trackers named in the spec, and by a person at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.desk import command, make_desk, tunesmith
from tunesmith.events import read_events
from tunesmith.flow.run import run as run_spec
from tunesmith.runs import Run
from tunesmith.trackers import Told, _beside


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_desk(tmp_path, duration="1 epoch")
    return tmp_path


def test_a_tracker_of_the_spec_follows_the_run(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = tunesmith("run", "colours.yaml", "track=[tensorboard]", cwd=desk)
    assert done.returncode in (0, 3) and "warning" not in done.stderr, done.stderr
    read = EventAccumulator(str(desk / "tracked/tensorboard/colours/1"), size_guidance={"scalars": 0})
    read.Reload()
    steps = read_events(desk / "runs/colours/1/events.jsonl", "step")
    assert [(event.step, event.value) for event in read.Scalars("train-1/loss")] == [
        (step["step"], pytest.approx(step["loss"], rel=1e-6)) for step in steps
    ]
    assert read.Scalars("train-1/memory_mb")[0].value == steps[0]["memory_mb"] > 50
    assert "test/accuracy/tuned" in read.Tags()["scalars"], "the last word came after the evaluation"


def test_where_a_run_is_sent_does_not_make_it_another_run(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    assert tunesmith("train", "colours.yaml", "train.duration=2 steps", cwd=desk).returncode == 0
    again = tunesmith("train", "colours.yaml", "train.duration=2 steps", "track=[tensorboard]", cwd=desk)
    assert again.returncode == 0 and "train-1: already done" in again.stderr, again.stderr
    assert not (desk / "runs/colours/2").exists() and (desk / "tracked/tensorboard/colours/1").exists()


def test_a_tracker_that_breaks_is_one_warning_and_nothing_else(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    (desk / "file").write_text("no folder")
    plain = tunesmith("train", "colours.yaml", cwd=desk)
    broken = tunesmith("train", "colours.yaml", "name=other", "track=[{kind: tensorboard, folder: file}]", cwd=desk)
    assert plain.returncode == broken.returncode == 0
    said = [line for line in broken.stderr.splitlines() if "warning" in line]
    assert len(said) == 1 and "tensorboard does not follow" in said[0] and "tunesmith send other/1" in said[0]
    models = [desk / "runs" / name / "1/model/model.safetensors" for name in ("colours", "other")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_tracker_that_hangs_is_left_behind(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    monkeypatch.setattr(_beside, "FOLLOW", [sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(_beside, "CLOSING", 0.5)
    heard: list[dict[str, object]] = []
    outcome = run_spec(
        desk / "colours.yaml",
        ["track=[tensorboard]", "train.duration=1 step"],
        desk,
        until="train",
        listen=heard.append,
    )
    assert (outcome.run / "model").is_dir()
    [warning] = [event["text"] for event in heard if event["kind"] == "warning"]
    assert "was not done" in str(warning)


def test_a_tracker_whose_package_is_missing_stops_before_anything_is_made(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.errors import MissingDependency

    monkeypatch.setattr("tunesmith.trackers.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"tunesmith\[wandb\]"):
        run_spec(desk / "colours.yaml", ["track=[wandb]"], desk)
    assert not (desk / "runs").exists()


def test_send_says_where_a_run_stands(desk: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'tunesmith[tensorboard]' brings tensorboard")
    assert tunesmith("train", "colours.yaml", "train.duration=2 steps", cwd=desk).returncode == 0
    rows = len(Told(Run(desk / "runs/colours/1")).rows())
    said = tunesmith("send", "colours", "--to", "tensorboard", "--folder", "curves", "--json", cwd=desk)
    assert json.loads(said.stdout) == {
        "run": "colours/1",
        "tracker": "tensorboard",
        "where": str(desk / "curves/tensorboard/colours/1"),
        "rows": rows,
    }
    wrong = tunesmith("send", "colours", "--to", "tensorbord", cwd=desk)
    assert wrong.returncode == 2 and "did you mean 'tensorboard'" in wrong.stderr


class Terminal:
    """A process at a terminal of 80 by 24, and all it wrote there."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        own, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=cwd,
            stdin=its,
            stdout=subprocess.PIPE,
            stderr=its,
            env={**environment, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
            # A test run in the background hands down an ignored SIGINT, which a terminal never does.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(its)
        self.shown = b""
        self._reader = threading.Thread(target=self._read, args=(own,), daemon=True)
        self._reader.start()

    def _read(self, own: int) -> None:
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(own, 65536):
                self.shown += data
        os.close(own)

    def wait_for(self, words: str, seconds: float = 120) -> None:
        late = time.monotonic() + seconds
        while words.encode() not in self.shown:
            assert time.monotonic() < late, f"{words!r} was not shown: {self.shown[-3000:]!r}"
            time.sleep(0.05)

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout, and what the terminal showed."""
        out, _ = self.process.communicate(timeout=240)
        self._reader.join(10)
        return self.process.returncode, out.decode(), self.shown.decode("utf-8", "replace")


ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


def test_run_live_shows_a_dashboard_and_ends_like_a_run_without(desk: Path) -> None:
    code, out, shown = Terminal("run", "colours.yaml", "--live", cwd=desk).end()
    assert code in (0, 3), shown
    assert shown.startswith(ENTER) and "colours" in shown and "train-1" in shown and "accuracy ≥ 0.8" in shown
    assert shown.count(LEAVE) == 1 and not shown.rpartition(LEAVE)[2].replace("\x1b[?25h", "").strip()
    again = tunesmith("run", "colours.yaml", cwd=desk)
    assert again.returncode == code and "accuracy" in out and again.stdout == out


def test_follow_watches_a_run_of_another_process_to_its_verdict(desk: Path) -> None:
    # A training by the clock: however fast the machine, it is still going when the others have come.
    working = Terminal("run", "colours.yaml", "train.duration=40 s", "train.watch=[]", cwd=desk)
    working.wait_for("train-1")
    while not (desk / "runs/colours/1/spec.json").exists():
        time.sleep(0.05)
    watching, leaving = (Terminal("show", "colours", "--follow", cwd=desk) for _ in range(2))
    watching.wait_for("colours/1")
    leaving.wait_for("colours/1")
    os.kill(leaving.process.pid, signal.SIGINT)
    code, out, shown = leaving.end()
    assert code == 0 and out == "" and "colours/1 goes on" in shown.rpartition(LEAVE)[2]
    assert working.process.poll() is None, "whoever stops watching leaves the run alone"
    assert working.end()[0] in (0, 3)
    code, out, shown = watching.end()
    assert code == 0 and LEAVE in shown
    assert "accuracy" in out and out == tunesmith("show", "colours", cwd=desk).stdout


def test_without_a_terminal_live_and_follow_write_lines_and_say_so_once(desk: Path) -> None:
    done = tunesmith("run", "colours.yaml", "train.duration=3 steps", "--live", cwd=desk)
    assert done.returncode in (0, 3) and "\x1b" not in done.stderr
    assert done.stderr.count("not a terminal: progress as plain lines") == 1 and "✓ train-1: done" in done.stderr
    followed = tunesmith("show", "colours", "--follow", cwd=desk)
    assert followed.returncode == 0 and followed.stderr.count("not a terminal") == 1
    assert "✓ evaluate: done" in followed.stderr and followed.stdout == done.stdout
    as_json = tunesmith("show", "colours", "--follow", "--json", cwd=desk)
    assert json.loads(as_json.stdout)["state"] == "complete"


def test_a_spec_cannot_be_followed(desk: Path) -> None:
    said = tunesmith("show", "colours.yaml", "--follow", cwd=desk)
    assert said.returncode == 2 and "name its run" in said.stderr
    said = tunesmith("show", "nothing", "-f", cwd=desk)
    assert said.returncode == 2 and "no run 'nothing'" in said.stderr


def test_ctrl_c_in_a_live_run_saves_and_says_how_to_go_on(desk: Path) -> None:
    endless = ("run", "colours.yaml", "train.duration=1000000 steps", "train.watch=[]", "--live")
    live = Terminal(*endless, cwd=desk)
    live.wait_for("step")
    os.kill(live.process.pid, signal.SIGINT)
    code, _, shown = live.end()
    assert code == 130 and "interrupted" in shown.rpartition(LEAVE)[2], shown[-500:]
    again = Terminal(*endless, cwd=desk)
    again.wait_for("colours/1")
    again.wait_for("training")
    os.kill(again.process.pid, signal.SIGINT)
    assert again.end()[0] == 130
