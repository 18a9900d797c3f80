"""Calls a function on many items in several processes of this machine, and yields what it says in their order.

Processes are started when there is enough to do, by a command of their own rather than by a fork: whoever holds locks
of torch or a tokenizer may call this. They end with the one that started them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, TypeVar

from tunesmith.errors import RunError, error_from_json

T = TypeVar("T")

LOOK = 0.5
"""Seconds in which it is seen how long an item takes."""
TURN = 0.5
"""Seconds of work handed over at once."""
MOST = 5000
"""Items handed over at once, at the most."""
WORTH = 4.0
"""Seconds of work below which processes are not worth their start."""


class Executor:
    """Several processes that call functions.

    Args:
        count: how many; with one, all is done in this process.
        worth: seconds of work left, judged by the first items, from which on processes are started.
    """

    def __init__(self, count: int, worth: float = WORTH) -> None:
        self.count, self._worth = count, worth
        self._workers: list[Worker] = []

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def map(self, function: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
        """Calls `function` on every item; yields the results in their order.

        Args:
            function: of a module, or a method of something that can travel, which neither remembers its calls nor
                changes: a process is told of it once.
            items: a slice of them must be able to travel too.

        Raises:
            Error: what the function raised in a process, or a process was killed.
        """
        started, done = time.monotonic(), 0
        while done < len(items) and (self.count < 2 or time.monotonic() - started < LOOK):
            yield function(items[done])
            done += 1
        a_piece = (time.monotonic() - started) / max(done, 1)
        if (len(items) - done) * a_piece < self._worth:
            yield from (function(item) for item in items[done:])
        else:
            yield from self._spread(function, items[done:], min(max(int(TURN / a_piece), 1), MOST))

    def _spread(self, function: Callable[[Any], T], items: Sequence[Any], size: int) -> Iterator[T]:
        """Hands `size` items at a time to the processes in turn."""
        while len(self._workers) < self.count:
            self._workers.append(Worker())
        starts = iter(range(0, len(items), size))
        waiting: deque[Worker] = deque()

        def hand(worker: Worker) -> None:
            # Only to one that waits: two that both write to each other would wait for good.
            start = next(starts, None)
            if start is not None:
                worker.ask(function, items[start : start + size])
                waiting.append(worker)

        try:
            for worker in self._workers:
                hand(worker)
            while waiting:
                worker = waiting.popleft()
                answers = worker.answer()
                hand(worker)
                yield from answers
        finally:
            if waiting:  # broken off: what they would still say must not be taken for an answer to something else
                self.close()


class Lost(Exception):
    """A process has ended before its work was done.

    Args:
        code: its exit code; below 0 the signal that killed it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"ended with {self.code}" if self.code >= 0 else f"was killed ({signal.Signals(-self.code).name})"


class Worker:
    """A process that calls functions.

    Args:
        environment: what differs from this process's beside what keeps it to one thread.
    """

    def __init__(self, environment: Mapping[str, str] = {}) -> None:
        self.connection, other = Pipe()
        self._knows: Callable[[Any], Any] | None = None
        variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **environment,
        }
        with other:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.scale.worker", str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=variables,
            )

    def ask(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """Has a function called; `hear` says what came of it. It travels once: what holds a tokenizer is large."""
        known = function is self._knows
        self._knows = function
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended; `hear` says how
            self.connection.send((None if known else function, items))

    def hear(self) -> list[Any]:
        """What the function said of each item.

        Raises:
            Error: what it raised.
            Lost: the process has ended.
        """
        try:
            kind, said = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise Lost(self.process.wait()) from None
        if kind == "error":
            raise error_from_json(said)
        answers: list[Any] = said
        return answers

    def answer(self) -> list[Any]:
        """As `hear`; a lost process is an error that users are told."""
        try:
            return self.hear()
        except Lost as lost:
            raise RunError(
                f"a process that prepares data {lost}",
                where="data",
                fix="if the machine ran out of memory, use fewer cores (OMP_NUM_THREADS=1); the same command goes on",
            ) from None

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


def serve(connection: Connection) -> None:
    """Calls what is asked for, until nobody asks any more."""
    from tunesmith.errors import Error

    known: Callable[[Any], Any] | None = None
    while True:
        try:
            told, items = connection.recv()
        except EOFError:
            return
        known = told or known
        assert known is not None
        try:
            answer: tuple[str, Any] = ("done", [known(item) for item in items])
        except Error as error:
            answer = ("error", error.to_json())
        connection.send(answer)
