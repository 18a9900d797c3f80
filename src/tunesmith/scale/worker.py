"""A process of an `Executor`: `python -m tunesmith.scale.worker HANDLE`."""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from tunesmith.scale.executor import serve

if __name__ == "__main__":
    # Ctrl-C is for the one that started this, which ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Connection(int(sys.argv[1])))
