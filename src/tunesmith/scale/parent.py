"""The process that launched this one, as this one sees it.

Both talk in lines: upwards in JSON on what was standard output, downwards in the words `noted` and `stop` on standard
input. When that ends the parent is gone, and this process ends too.
"""

from __future__ import annotations

import json
import os
import threading
from io import FileIO
from typing import Any, BinaryIO

from tunesmith.errors import Error

ORPHANED = 70
"""The exit code of a process whose parent has gone."""


class Parent:
    """What this process tells its parent and hears from it. There is one in a process, made before anything is printed.

    Args:
        incoming: where the parent's words come in.
        outgoing: where events go out; nothing else may be written there.
    """

    def __init__(self, incoming: FileIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._noted = threading.Semaphore(0)
        self._stop = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def of_this_process(cls) -> Parent:
        """The parent of a launched process; whatever is printed from now on goes to standard error."""
        outgoing = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        # Unbuffered: a thread that waits inside of a buffer keeps Python from shutting down.
        return cls(os.fdopen(os.dup(0), "rb", buffering=0), outgoing)

    def tell(self, event: dict[str, Any]) -> None:
        """Tells of an event, and waits until it is noted: what follows it may rest on that."""
        self._write({"event": event})
        self._noted.acquire()

    def mention(self, event: dict[str, Any]) -> None:
        """Tells of something that need not be noted."""
        self._write({"passing": event})

    def finish(self, result: Any) -> None:
        """Says what the work came to."""
        self._write({"result": result})

    def fail(self, error: Error) -> None:
        """Says why the work ended."""
        self._write({"error": error.to_json()})

    def stopping(self) -> bool:
        """Whether the work is to stop in order."""
        return self._stop.is_set()

    def _write(self, value: dict[str, Any]) -> None:
        self._outgoing.write(json.dumps(value).encode() + b"\n")
        self._outgoing.flush()

    def _listen(self) -> None:
        for line in self._incoming:
            if line == b"stop\n":
                self._stop.set()
            else:
                self._noted.release()
        os._exit(ORPHANED)
