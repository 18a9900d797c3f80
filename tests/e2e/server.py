"""Carries out commands for the tests: imports the package once, and every command is a copy of this process.

Each line of standard input is a command, `{"arguments": [...], "folder": ".", "stdout": FILE, "stderr": FILE}`; each
line of standard output is the exit code it ended with.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

# What takes longest to load: libraries alone, so that a module of ours that leans on another's import is still found.
import peft  # noqa: F401
import pyarrow.parquet  # noqa: F401
import scipy.stats  # noqa: F401
import transformers.models.bert.modeling_bert
import transformers.models.llama.modeling_llama  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: F401
from sklearn.linear_model import LogisticRegression  # noqa: F401

from tunesmith.cli.app import main


def carry_out(asked: dict[str, Any]) -> int:
    """In the copy: what `tunesmith ARGUMENTS` does in that folder."""
    os.chdir(asked["folder"])
    for number, name in ((0, os.devnull), (1, asked["stdout"]), (2, asked["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
    sys.argv = ["tunesmith", *asked["arguments"]]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    process = os.fork()
    if not process:
        code = carry_out(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
