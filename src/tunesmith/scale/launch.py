"""Launches the processes of one job on this machine and attends to them: all end well, or all end.

This process computes nothing, so it can say what became of the others: which one failed and why, or which was killed.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tunesmith.errors import RunError, error_from_json

LOOK = 0.1
"""Seconds between two looks at whether somebody asked to stop."""
GRACE = 5.0
"""Seconds that the others have to end by themselves once one has failed."""
PATIENCE = 1800.0
"""Seconds after which the others give up one that does not answer."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"

Hear = Callable[[dict[str, Any]], None]


def launch(
    command: Sequence[str],
    count: int,
    *,
    environment: Mapping[str, str],
    hear: Hear,
    stop: Callable[[], bool],
    patience: float = PATIENCE,
) -> Any:
    """Runs `count` processes to their end; each has this one as its `tunesmith.scale.parent.Parent`.

    Args:
        command: what each runs; JSON with its `rank`, the `count`, a file to meet at and its `patience` comes last.
        count: how many there are.
        environment: what differs from this process's.
        hear: called with each event of any process; one that was told, not mentioned, goes on when this returns.
        stop: asked again and again; True asks all to stop in order.
        patience: seconds after which they give up one that does not answer.

    Returns:
        What the first process finished with.

    Raises:
        Error: what a process failed with.
        RunError: a process was killed or broke off.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
        said = {"count": count, "meeting": str(Path(folder, "meeting")), "patience": patience}
        # They talk to each other on this machine only: nothing listens on the network.
        everywhere = {"GLOO_SOCKET_IFNAME": LOOPBACK, "NCCL_SOCKET_IFNAME": LOOPBACK}
        everywhere |= {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with _started(
            [[*command, json.dumps({**said, "rank": rank})] for rank in range(count)], everywhere
        ) as children:
            _attend(children, hear, stop)
            _judge(children)
            return children[0].result


class _Child:
    """A launched process."""

    def __init__(self, rank: int, command: Sequence[str], environment: Mapping[str, str], says: IO[bytes]) -> None:
        self.rank, self._says = rank, says
        # A session of its own: Ctrl-C reaches this process alone, which asks all to stop in order.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=says, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.out = self.process.stdout
        self.result: Any = None
        self.error: dict[str, Any] | None = None
        self.ended: float | None = None
        self.killed = False
        self._rest = b""

    @property
    def failed(self) -> bool:
        return self.error is not None or (self.ended is not None and self.process.returncode != 0)

    def read(self) -> Iterator[dict[str, Any]]:
        """What it has said since; the last time, notes how it ended."""
        if chunk := os.read(self.out.fileno(), 2**16):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            yield from map(json.loads, lines)
        else:
            self.process.wait()
            self.ended = time.monotonic()

    def write(self, word: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(word + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; how is known once its output is read to the end

    def kill(self) -> None:
        if self.process.poll() is None:
            self.killed = True
            self.process.kill()

    def end(self) -> None:
        self.kill()
        self.process.communicate()

    def last_words(self) -> str:
        self._says.seek(0)
        lines = self._says.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:500] if lines else "it said nothing"


@contextmanager
def _started(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Iterator[list[_Child]]:
    """The processes; none is left when the block ends, however it does."""
    with ExitStack() as ends:
        children: list[_Child] = []
        for rank, command in enumerate(commands):
            says = ends.enter_context(tempfile.TemporaryFile())
            children.append(_Child(rank, command, environment, says))
            ends.callback(children[-1].end)
        yield children


def _attend(children: Sequence[_Child], hear: Hear, stop: Callable[[], bool]) -> None:
    """Hears all of them out. Once one has failed the others, who wait for it, have `GRACE` seconds."""
    asked, deadline = False, None
    with selectors.DefaultSelector() as waiting:
        for child in children:
            waiting.register(child.out, selectors.EVENT_READ, child)
        while waiting.get_map():
            if not asked and stop():
                asked = True
                for child in children:
                    child.write(b"stop")
            for key, _ in waiting.select(LOOK):
                child = key.data
                for said in child.read():
                    _take(child, said, hear)
                if child.ended is not None:
                    waiting.unregister(child.out)
            if deadline is None and any(child.failed for child in children):
                deadline = time.monotonic() + GRACE
            if deadline is not None and time.monotonic() > deadline:
                for child in children:
                    child.kill()


def _take(child: _Child, said: dict[str, Any], hear: Hear) -> None:
    if "event" in said:
        hear(said["event"])
        child.write(b"noted")
    elif "passing" in said:
        hear(said["passing"])
    elif "error" in said:
        child.error = said["error"]
    else:
        child.result = said["result"]


def _judge(children: Sequence[_Child]) -> None:
    """Raises what one has failed with: named errors first, then a death by another's hand, then what broke off first.

    The others of a process that fails lose the connection to it and fail too, so not every failure is a cause.
    """
    failed = sorted((child for child in children if child.failed), key=lambda child: child.ended or 0.0)
    for child in failed:
        if child.error is not None:
            raise error_from_json(child.error)
    for child in failed:
        if child.process.returncode < 0 and not child.killed:
            by = signal.Signals(-child.process.returncode).name
            raise RunError(
                f"process {child.rank + 1} of {len(children)} was killed ({by})",
                where="scale.devices",
                fix="if the machine ran out of memory, train on fewer devices; the same command goes on from the last"
                " checkpoint",
            )
    for child in failed:
        raise RunError(
            f"process {child.rank + 1} of {len(children)} broke off: {child.last_words()}",
            where="scale.devices",
            fix="the same command goes on from the last checkpoint; with scale.devices=1 in a single process",
        )
