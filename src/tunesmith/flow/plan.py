"""What a run would take on this machine: parameters, tokens, steps, memory, time. Trains nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil

from tunesmith.data.tokenize import Example
from tunesmith.flow.environment import use_threads
from tunesmith.flow.narrator import Listener, Narrator, silent
from tunesmith.flow.prepare import Job, collect_job, encode_job
from tunesmith.flow.request import Request, make_request
from tunesmith.models.memory import Estimate, estimate
from tunesmith.spec.sections import Train
from tunesmith.train.batches import Batches
from tunesmith.train.horizon import Horizon, Position
