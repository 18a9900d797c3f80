"""Calls a function on many items in several processes of this machine, and yields what it says in their order.

Processes are started when there is enough to do, by a command of their own rather than by a fork: whoever holds locks
of torch or a tokenizer may call this. They end with the one that started them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
        self._workers: list[_Worker] = []

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
            function: of a module, or a method of something that can travel, which does not remember its calls.
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
            self._workers.append(_Worker())
        starts = iter(range(0, len(items), size))
        waiting: deque[_Worker] = deque()

        def hand(worker: _Worker) -> None:
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


class _Worker:
    """A process that calls functions."""

    def __init__(self) -> None:
        self._connection, other = Pipe()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tunesmith.scale.worker", str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )

    def ask(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended; `answer` says how
            self._connection.send((function, items))

    def answer(self) -> list[Any]:
        try:
            kind, said = self._connection.recv()
        except (EOFError, ConnectionResetError):
            code = self._process.wait()
            raise RunError(
                f"a process that prepares data ended with {code}" if code >= 0 else f"was killed by signal {-code}",
                where="data",
                fix="if the machine ran out of memory, use fewer cores (OMP_NUM_THREADS=1); the same command goes on",
            ) from None
        if kind == "error":
            raise error_from_json(said)
        answers: list[Any] = said
        return answers

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()


def serve(connection: Connection) -> None:
    """Calls what is asked for, until nobody asks any more."""
    from tunesmith.errors import Error

    while True:
        try:
            function, items = connection.recv()
        except EOFError:
            return
        try:
            answer: tuple[str, Any] = ("done", [function(item) for item in items])
        except Error as error:
            answer = ("error", error.to_json())
        connection.send(answer)
