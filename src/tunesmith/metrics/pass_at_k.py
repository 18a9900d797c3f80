"""pass@k: the chance that of k answers drawn one passes its row's tests (Chen et al. 2021, arXiv 2107.03374).

Of n answers c pass, and k of the n would all fail with C(n - c, k) / C(n, k): 1 less that is an estimate without bias.
With one sample the likeliest answer is run and none is drawn.

An answer is the first block between fences (three backticks), or the whole of it where there are none. It is run as
Python, after the row's setup and before its tests, and passes when all of it has run to the end. Each program has a
process of its own that the kernel locks in: no network, no files but in a folder of its own, no further processes, no
variables of the environment, bounds on time, memory and disk. Only 64-bit Linux (5.13 and later) can do that;
elsewhere programs that nobody has read are not run. It is a share of tests passed, and no judge of intent: an answer
could be written to fool its tests.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from tunesmith.errors import DataError
from tunesmith.metrics import Draws, Mean, Need
from tunesmith.metrics._remembered import remembered
from tunesmith.metrics._sandbox import Limits, check_machine, run
from tunesmith.records import Prediction

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_NEXT_ASSERT = re.compile(r",\s+(?=assert\b)")
_KEPT: dict[tuple[str, Limits], bool] = {}


class PassAtK(Mean):
    """Chance that one of k answers passes its tests."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    k: int = Field(default=1, ge=1)
    """How many answers there are to be one that passes."""
    samples: int = Field(default=1, ge=1, le=1000)
    """How many are drawn for each row, n; 1 takes the likeliest answer."""
    temperature: float = Field(default=0.8, gt=0)
    """How freely they are drawn: Chen et al. take 0.2 for k of 1 and 0.8 for many."""
    tests: str | None = "tests"
    """The column of a row's tests: Python that fails where an answer is wrong. With none (`null`) what the row has for
    further right answers are its tests."""
    setup: str | None = None
    """The column of what is run before an answer, such as imports."""
    seconds: int = Field(default=3, ge=1)
    """CPU time that a program may take."""
    memory: int = Field(default=1000, ge=100)
    """MB that a program may take."""

    @model_validator(mode="after")
    def _has_enough(self) -> Self:
        if self.samples < self.k:
            raise ValueError(f"pass_at_k with k={self.k} needs at least as many samples; samples is {self.samples}")
        return self

    @property
    def draws(self) -> Draws | None:
        """None where the likeliest answer will do."""
        return Draws(self.samples, self.temperature) if self.samples > 1 else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Tests and setup."""
        return tuple(column for column in (self.tests, self.setup) if column)

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        programs = [self._programs(row) for row in predictions]
        limits = Limits(self.seconds, self.memory)
        keys = [(program, limits) for of_row in programs for program in of_row]
        passed = iter(remembered(_KEPT, keys, _run_all))
        counts = [(len(of_row), sum(next(passed) for _ in of_row)) for of_row in programs]
        return [estimate(n, c, self.k) if n >= self.k else np.nan for n, c in counts]

    def _programs(self, row: Prediction) -> list[str]:
        """One for each answer; none for a row without tests."""
        tests = self._column(row, self.tests) if self.tests else "\n".join(row.record.references)
        if not tests:
            return []
        answers = row.samples[: self.samples] if self.samples > 1 else (row.output,)
        setup = self._column(row, self.setup) if self.setup else ""
        return [f"{setup}\n{code_of(answer)}\n\n{tests}\n" for answer in answers]

    def _column(self, row: Prediction, name: str) -> str:
        """What a column of the row holds; empty where it holds nothing to run.

        Raises:
            DataError: it is no Python.
        """
        said = row.record.slices.get(name, "").replace("\r\n", "\n")
        # Lists in columns are joined by commas; a list of asserts is parted again.
        for written in (said, _NEXT_ASSERT.sub("\n", said)):
            statements = _statements(written)
            if statements is not None:
                # A column that a row lacks says `(missing)`, a name that nothing is done with.
                return written if any(not _is_name(line) for line in statements) else ""
        raise DataError(
            f"the column {name!r} holds no Python",
            where=row.record.source,
            fix=f"name the column of the rows' tests: pass_at_k.{'tests' if name == self.tests else 'setup'}",
        )


def estimate(n: int, c: int, k: int) -> float:
    """The chance that of k answers one passes, where c of n did."""
    return 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def code_of(answer: str) -> str:
    """The first block between fences, or all of an answer without; lines end as Python wants them."""
    block = _FENCE.search(answer)
    return (block[1] if block else answer).replace("\r\n", "\n")


def _statements(text: str) -> list[ast.stmt] | None:
    """None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that later Pythons refuse
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_name(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Name)


def _run_all(programs: list[tuple[str, Limits]]) -> list[bool]:
    check_machine()
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        return [outcome.passed for outcome in pool.map(lambda program: run(*program), programs)]
