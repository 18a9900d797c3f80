"""Processes that are launched together end together: well, in order, or with the cause named."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tunesmith.errors import DataError, Interrupted, RunError
from tunesmith.scale import launch as launching
from tunesmith.scale.launch import launch

CHILD = """
import json, os, signal, sys, time
from tunesmith.errors import DataError, Interrupted
from tunesmith.scale.parent import Parent

parent = Parent.of_this_process()
place = json.loads(sys.argv[1])
rank, count = place["rank"], place["count"]
"""
WAIT = "while not parent.stopping(): time.sleep(0.01)\n"


def run(body, *, count=2, hear=lambda event: None, stop=lambda: False, **environment):
    return launch([sys.executable, "-c", CHILD + body], count, environment=environment, hear=hear, stop=stop)


def test_each_has_its_place_and_the_first_says_what_came_of_it():
    heard = []
    body = "parent.tell({'rank': rank, 'of': count, 'set': os.environ['SAID']}); parent.finish({'rank': rank})"
    assert run(body, count=3, hear=heard.append, SAID="so") == {"rank": 0}
    assert sorted(heard, key=lambda event: event["rank"]) == [{"rank": r, "of": 3, "set": "so"} for r in range(3)]


def test_what_is_told_is_noted_before_the_process_goes_on(tmp_path):
    noted = tmp_path / "noted"

    def hear(event):
        if event["number"] == 1:
            assert not (tmp_path / "after").exists()
            time.sleep(0.1)
            assert not (tmp_path / "after").exists()
            noted.write_text("yes")

    body = f"""
parent.tell({{'number': 1}})
assert os.path.exists({str(noted)!r})
open({str(tmp_path / "after")!r}, "w").close()
parent.mention({{'number': 2}})
parent.finish(None)
"""
    run(body, count=1, hear=hear)


def test_what_is_printed_is_no_message():
    assert run("print('{\"result\": 2}'); parent.finish(1)", count=1) == 1


def test_asked_to_stop_all_stop_in_order():
    asked = threading.Timer(0.3, lambda: None)
    asked.start()
    with pytest.raises(Interrupted, match="in order"):
        run(WAIT + "parent.fail(Interrupted('in order')); sys.exit(1)", stop=lambda: not asked.is_alive())


def test_a_named_error_is_raised_here_and_ends_the_others(monkeypatch):
    monkeypatch.setattr(launching, "GRACE", 0.3)
    body = "if rank: parent.fail(DataError('no rows', where='data', fix='add some')); sys.exit(1)\n" + WAIT
    with pytest.raises(DataError) as raised:
        run(body)
    assert (raised.value.what, raised.value.where, raised.value.fix) == ("no rows", "data", "add some")


@pytest.mark.parametrize("other", ["time.sleep(60)", "time.sleep(0.2); raise OSError('connection closed')"])
def test_a_killed_process_is_the_cause_whatever_the_others_say(monkeypatch, other):
    monkeypatch.setattr(launching, "GRACE", 0.5)
    began = time.monotonic()
    with pytest.raises(RunError, match=r"process 2 of 2 was killed \(SIGKILL\)"):
        run(f"if rank: os.kill(os.getpid(), signal.SIGKILL)\n{other}")
    assert time.monotonic() - began < 10


def test_a_bug_is_told_by_its_last_line(monkeypatch):
    monkeypatch.setattr(launching, "GRACE", 0.3)
    with pytest.raises(RunError, match="process 1 of 2 broke off: ZeroDivisionError: division by zero"):
        run("if rank: time.sleep(60)\n1 / 0")


def test_none_is_left_when_this_one_is_interrupted():
    processes = []

    def hear(event):
        processes.append(event["process"])
        if len(processes) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("parent.tell({'process': os.getpid()}); " + "time.sleep(60)", hear=hear)
    assert all(gone(process) for process in processes)


def test_orphans_end_by_themselves(tmp_path):
    """SIGKILL of the launching process, which can do nothing about the others."""
    child = CHILD + f"open({str(tmp_path)!r} + '/' + str(os.getpid()), 'w').close()\ntime.sleep(60)"
    script = (
        "import sys; from tunesmith.scale.launch import launch\n"
        "launch([sys.executable, '-c', sys.argv[1]], 2, environment={}, hear=print, stop=lambda: False)"
    )
    parent = os.spawnve(os.P_NOWAIT, sys.executable, [sys.executable, "-c", script, child], {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))
    })  # fmt: skip
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.02)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 10
    orphans = [int(file.name) for file in tmp_path.iterdir()]
    while time.monotonic() < deadline and not all(map(gone, orphans)):
        time.sleep(0.02)
    assert all(map(gone, orphans))


def gone(process):
    """Whether a process has ended; one that nobody has waited for counts as ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
