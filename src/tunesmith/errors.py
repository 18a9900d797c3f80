"""Everything Tunesmith raises on purpose.

Error
├── UserError              the user can mend it; printed without a traceback; exit code 2
│   ├── SpecError          one or more problems of a spec, all reported at once
│   ├── DataError          a source cannot be read, or holds nothing that can be trained on
│   ├── ModelError         a base model or adapter cannot be loaded or does not fit the job
│   ├── MissingDependency  an optional package is needed; the fix is a pip line
│   ├── VaultError         the vault or a sealed file cannot be opened: no key, another key, damaged or altered
│   ├── GateFailed         a check refused to let the work go on (leak, empty loss, lost rows)
│   └── NotFound           a run, part or file of that name does not exist
└── RunError               the work itself failed; exit code 1
    ├── NonFinite          a loss or gradient is NaN or infinite
    ├── OutOfMemory        the machine cannot hold the job
    └── Interrupted        stopped by the user; the same command resumes; exit code 130
        └── OutOfBudget    stopped because what may be spent is spent
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


class Error(Exception):
    """Something Tunesmith noticed. Says what happened, where, and what to do.

    Args:
        what: what happened, in one sentence without a full stop.
        where: the file, line, field or row it happened at; empty when there is none.
        fix: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  fix: {self.fix}" if self.fix else head

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.fix))

    def to_json(self) -> dict[str, str]:
        """Plain JSON values, for another process."""
        return {"kind": type(self).__name__, "what": self.what, "where": self.where, "fix": self.fix}


def error_from_json(said: Mapping[str, str]) -> Error:
    """The inverse of `to_json`; says the same, with the same exit code."""
    kinds = {kind.__name__: kind for kind in _kinds(Error)}
    return _rebuild(kinds.get(said["kind"], RunError), said["what"], said["where"], said["fix"])


def _kinds(kind: type[Error]) -> Iterator[type[Error]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _rebuild(kind: type[Error], what: str, where: str, fix: str) -> Error:
    error = kind.__new__(kind)
    Error.__init__(error, what, where=where, fix=fix)
    return error


class UserError(Error):
    """An error the user can mend. `fix` is required."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str) -> None:
        super().__init__(what, where=where, fix=fix)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec."""

    where: str
    """`file:line path.of.field`, as far as known."""
    what: str
    """What is wrong and, where it can be told, what to write instead."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class SpecError(UserError):
    """Every problem of a spec at once.

    Args:
        problems: what is wrong, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            fix=f"mend the {'line' if count == 1 else f'{count} lines'} above and run the command again",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (SpecError, (self.problems,))


class DataError(UserError):
    """A source cannot be read, or nothing in it can be used."""


class ModelError(UserError):
    """A model, tokenizer or adapter cannot be loaded, or does not fit the job."""


class MissingDependency(UserError):
    """An optional package is needed.

    Args:
        package: the name to import.
        extra: the extra of Tunesmith that brings it.
        needed_by: the option or file that asked for it.
    """

    def __init__(self, package: str, *, extra: str, needed_by: str) -> None:
        self.package, self.extra, self.needed_by = package, extra, needed_by
        super().__init__(
            f"the package {package!r} is not installed",
            where=needed_by,
            fix=f"pip install 'tunesmith[{extra}]'",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_missing, (self.package, self.extra, self.needed_by))


def _rebuild_missing(package: str, extra: str, needed_by: str) -> MissingDependency:
    return MissingDependency(package, extra=extra, needed_by=needed_by)


class VaultError(UserError):
    """The vault or a sealed file cannot be opened: no key, another key, damaged or altered."""


class GateFailed(UserError):
    """A check refused to let the work go on."""


class NotFound(UserError):
    """A run, part, file or model of that name does not exist."""


class RunError(Error):
    """The work itself failed."""


class NonFinite(RunError):
    """A loss or a gradient is NaN or infinite."""


class OutOfMemory(RunError):
    """The machine cannot hold the job."""


class Interrupted(RunError):
    """Stopped by the user; what was done is saved and the same command goes on from there."""

    exit_code = 130


class OutOfBudget(Interrupted):
    """Stopped because a set budget is spent; what was done is saved, and with a larger one it goes on from there."""


def did_you_mean(name: str, names: Iterable[str], *, likeness: float = 0.6) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest of `names`; empty when none is alike enough, 1 being equal."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=likeness)
    return f" (did you mean {near[0]!r}?)" if near else ""
